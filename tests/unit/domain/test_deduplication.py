from stream_persona.domain.deduplication import MAX_RECENT, event_hash, with_recent

WINDOW = 600


def test_event_ids_are_hashed_alike_everywhere() -> None:
    assert event_hash("e-1") == event_hash("e-1") != event_hash("e-2")
    assert 0 <= event_hash("") < 2**32


def test_a_known_id_within_the_window_is_a_retry() -> None:
    recent = with_recent((), 7, 1_000, WINDOW)
    assert recent == (7, 1_000)
    assert with_recent(recent, 7, 1_500, WINDOW) is None
    assert with_recent(recent, 7, 1_600, WINDOW) == (7, 1_600)


def test_an_id_is_not_taken_for_a_time() -> None:
    assert with_recent((7, 1_000), 1_000, 1_001, WINDOW) == (7, 1_000, 1_000, 1_001)


def test_an_event_older_than_the_window_is_not_remembered() -> None:
    assert with_recent((7, 1_000), 8, 400, WINDOW) == (7, 1_000)


def test_the_oldest_id_makes_room_for_a_new_one() -> None:
    recent: tuple[int, ...] = ()
    for number in range(MAX_RECENT + 1):
        recent = with_recent(recent, number, 1_000, WINDOW) or ()
    assert recent[::2] == tuple(range(1, MAX_RECENT + 1))
