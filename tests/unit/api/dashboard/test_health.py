"""What is damaged in Redis is among the troubles, in sentences."""

from stream_persona.api.dashboard.health import Damage, check_health


def messages(damage: Damage) -> list[str]:
    found = check_health(
        disagreement=None, redis_away=False, storage=list(damage.describe()), kafka_away=False,
        silence=0.0, waiting=0, stalled=None,
    )  # fmt: skip
    assert all(each["part"] == "storage" for each in found)
    return [each["message"] for each in found]


def test_nothing_damaged_is_no_trouble() -> None:
    assert messages(Damage()) == []


def test_what_is_damaged_is_counted_and_the_logs_are_named() -> None:
    assert messages(Damage(1_200, 1, 2)) == [
        "1,200 entries in Redis were damaged and are restored: the workers log which.",
        "The topics may not hold all of 1 customer whose record was damaged.",
        "2 public records can't be read: workers write such ones again within the hour.",
    ]
