"""What was odd about the last hour is told in words, and is a trouble from a share on."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from stream_persona.api.dashboard.last_hour import (
    LEAST,
    LETTERS,
    REASONS,
    describe_hour,
    describe_rollbacks,
    describe_unknown_labels,
    find_excesses,
)
from stream_persona.domain.anomaly import Anomaly
from stream_persona.store.last_hour import LastHour

MINUTE = 60_000


def hour(read: int, **numbers: int) -> LastHour:
    """An hour with so many anomalies of each reason; ``dead_letter`` are letters."""
    letters = numbers.pop(LETTERS, 0)
    return LastHour(read, dict(numbers), {"not_json": letters} if letters else {})


def only(sentences: Iterable[str]) -> str:
    (sentence,) = sentences
    return sentence


# --- in words ---


def test_every_reason_has_its_words() -> None:
    assert set(REASONS) == {*Anomaly, LETTERS}
    for reason, words in REASONS.items():
        assert words.one.startswith("1 "), reason
        assert words.many.startswith("{} "), reason
        assert not words.advice.endswith("."), reason


def test_each_reason_is_told_with_its_number_its_share_and_where_to_look() -> None:
    described = describe_hour(hour(12_345, retry=1_200, nobody=1, dead_letter=3))
    assert described["events"] == 12_345
    assert [(each["reason"], each["count"], each["text"]) for each in described["odd"]] == [
        ("dead_letter", 3, "3 unreadable"),
        ("nobody", 1, "1 belonged to nobody"),
        ("retry", 1_200, "1,200 retries"),
    ]
    assert described["odd"][2]["share"] == pytest.approx(1_200 / 12_345)
    assert "`stream-persona inspect TOPIC`" in described["odd"][2]["about"]
    assert described["dead_letters"] == {"not_json": 3}


def test_nothing_odd_is_told_of_an_hour_without() -> None:
    assert describe_hour(hour(500, retry=0))["odd"] == []
    assert describe_hour(LastHour()) == {
        "events": 0, "odd": [], "dead_letters": {}, "rollbacks": [], "heaviest": [],
    }  # fmt: skip


def test_a_reason_of_another_release_is_told_by_its_name() -> None:
    (odd,) = describe_hour(hour(100, new_reason=5))["odd"]
    assert (odd["reason"], odd["text"], odd["about"]) == ("new_reason", "5 new_reason", "")
    assert list(find_excesses(hour(100, new_reason=99))) == []


def test_a_share_is_never_more_than_all() -> None:
    (odd,) = describe_hour(hour(10, returned_line=25))["odd"]
    assert odd["share"] == 1.0


def test_the_heaviest_have_their_share_of_all_events() -> None:
    described = describe_hour(LastHour(1_000, heaviest=[("bot", 250)]))
    assert described["heaviest"] == [{"customer_id": "bot", "events": 250, "share": 0.25}]


# --- troubles ---


@pytest.mark.parametrize("reason", [each for each in REASONS if REASONS[each].share is not None])
def test_a_reason_is_a_trouble_from_its_share_on(reason: str) -> None:
    share = REASONS[reason].share
    assert share is not None
    at = round(100_000 * share)
    assert reason_of(find_excesses(hour(100_000, **{reason: at}))) == [reason]
    assert list(find_excesses(hour(100_000, **{reason: at - 1}))) == []


@pytest.mark.parametrize("reason", [each for each in REASONS if REASONS[each].share is not None])
def test_a_few_events_are_no_trouble_whatever_their_share(reason: str) -> None:
    assert list(find_excesses(hour(LEAST - 1, **{reason: LEAST - 1}))) == []
    assert reason_of(find_excesses(hour(LEAST, **{reason: LEAST}))) == [reason]


def test_a_bot_is_a_trouble_at_once() -> None:
    assert reason_of(find_excesses(hour(1_000_000, excess=1))) == ["excess"]


def reason_of(sentences: Iterable[str]) -> list[str]:
    """The reasons that these sentences are of, by their words."""
    return [
        next(str(name) for name, words in REASONS.items() if words.predicate in sentence)
        for sentence in sentences
    ]


def test_a_trouble_says_the_share_what_it_usually_means_and_what_to_do() -> None:
    assert only(find_excesses(hour(12_000, retry=9_000))) == (
        "75 % of the last hour's 12,000 events (9,000) are retries and do not count: one event_id "
        "on many events: a session's id? `stream-persona inspect TOPIC` shows it"
    )


def test_a_trouble_of_dead_letters_names_their_reasons() -> None:
    found = LastHour(1_000, {}, {"not_json": 30, "bad_time": 70})
    assert "(100) could not be read (bad_time (70), not_json (30)):" in only(find_excesses(found))


def test_the_shares_are_as_operators_read_them() -> None:
    text = (Path(__file__).parents[4] / "deploy" / "README.md").read_text()
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    told = {cells[1].strip(" `"): cells[3].strip() for cells in rows if len(cells) == 5}
    for reason, words in REASONS.items():
        share = "the first" if words.share is None else f"{round(100 * words.share)} %"
        assert told[str(reason)] == share, reason


# --- rollbacks ---


def test_rollbacks_that_several_workers_saw_are_one() -> None:
    noon = 12 * 60 * MINUTE
    sentence = only(describe_rollbacks([(noon, 300), (noon + 900, 0), (noon + 40 * MINUTE, 45)]))
    assert sentence == ("Redis came back older at 12:00 and 12:40 UTC; 345 events were read again")


def test_the_last_times_of_many_rollbacks_are_told() -> None:
    each = [(n * 5 * MINUTE, 1) for n in range(5)]
    assert only(describe_rollbacks(each)).startswith(
        "Redis came back older at 00:10 and 00:15 and 00:20 UTC, and 2 times before; 5 events"
    )


def test_nothing_is_told_without_a_rollback() -> None:
    assert list(describe_rollbacks([])) == []


# --- labels ---


def test_unknown_labels_are_told_with_what_to_add_to_the_taxonomy() -> None:
    assert only(describe_unknown_labels({"old": 35, "b": 2})) == (
        "37 labels are of personas that the taxonomy does not know: old (35), b (2). "
        'Add renamed_from = ["old"] to the persona that took its place'
    )


def test_nothing_is_told_without_unknown_labels() -> None:
    assert list(describe_unknown_labels({})) == list(describe_unknown_labels({"old": 0})) == []
