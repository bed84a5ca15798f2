import json

import numpy as np
import pytest
from msgspec.structs import replace

from stream_persona.domain.features import Counts
from stream_persona.domain.record import Label, PublishedChange, Record
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.pipeline.decision import CAUSES, Belief, Cause, decide, to_millionths
from stream_persona.pipeline.messages import encode_change, encode_public_record
from tests.support.constants import DAY, HOUR, NOW, PERSONAS
from tests.support.events import shop

POLICY = {"min_confidence": 0.5, "switch_margin": 0.05, "confidence_step": 0.1}
SHOP = shop(policy=POLICY)


def at(clock: int, record: Record | None = None) -> Record:
    """The record, its newest event at ``clock``."""
    return replace(record or Record(), counts=Counts(0, clock, b"", b""))


def belief(*shares: float, evidence: float = 9.0) -> Belief:
    rest = (1 - sum(shares)) / (len(PERSONAS) - len(shares)) if len(shares) < 5 else 0
    row = [*shares, *[rest] * (len(PERSONAS) - len(shares))]
    whole = to_millionths(np.array([row]))[0]
    return Belief(whole, evidence, "m")


def published(record: Record, held: Belief, taxonomy: Taxonomy = SHOP) -> Record:
    """The record after a decision that must publish a change."""
    found = decide(record, held, taxonomy, NOW)
    assert found is not None
    return replace(record, published=found)


def last(record: Record) -> PublishedChange:
    assert record.published is not None
    return record.published


def persona(record: Record) -> str | None:
    return last(record).current.persona


def test_the_first_belief_is_published() -> None:
    first = last(published(at(NOW), belief(0.7)))
    assert (first.revision, first.cause, first.previous) == (1, Cause.BEHAVIOUR, None)
    assert (first.current.persona, first.current.confidence) == ("parent", 700_000)


def test_the_same_belief_is_not_published_again() -> None:
    assert decide(published(at(NOW), belief(0.7)), belief(0.7), SHOP, NOW) is None


@pytest.mark.parametrize(("share", "publishes"), [(0.79, False), (0.8, True), (0.61, False)])
def test_only_a_step_of_confidence_is_published(share: float, publishes: bool) -> None:
    found = decide(published(at(NOW), belief(0.7)), belief(share), SHOP, NOW)
    assert (found is not None) is publishes


def test_another_persona_needs_a_margin() -> None:
    taxonomy = shop(policy={**POLICY, "min_confidence": 0.3})
    record = published(at(NOW), belief(0.45, 0.40), taxonomy)
    assert decide(record, belief(0.40, 0.44), taxonomy, NOW) is None
    switched = published(record, belief(0.40, 0.46), taxonomy)
    assert (persona(record), persona(switched)) == ("parent", "student")


def test_little_confidence_names_no_persona_but_candidates() -> None:
    taxonomy = shop(policy={**POLICY, "candidate_coverage": 0.2})
    record = published(at(NOW), belief(0.4, 0.35), taxonomy)
    public = json.loads(encode_public_record("c", last(record)))
    assert (public["persona"], public["ambiguous"]) == (None, True)
    assert public["candidates"] == ["parent", "student"]
    assert public["confidence"] == 0.4


def test_a_name_is_kept_a_little_below_the_threshold_and_given_only_at_it() -> None:
    record = published(at(NOW), belief(0.52))
    assert decide(record, belief(0.46), SHOP, NOW) is None
    assert persona(published(record, belief(0.44))) is None
    assert persona(published(at(NOW), belief(0.49))) is None


def test_little_evidence_is_ambiguous_however_confident() -> None:
    assert persona(published(at(NOW), belief(0.9, evidence=0.5))) is None


def test_a_persona_dwells_before_another_is_named() -> None:
    taxonomy = shop(policy={**POLICY, "min_dwell_seconds": 3600})
    record = published(at(NOW), belief(0.7), taxonomy)
    early, late = at(NOW + HOUR - 1, record), at(NOW + HOUR, record)
    held = decide(early, belief(0.3, 0.6), taxonomy, NOW)
    assert held is None or held.current.persona != "student"
    assert persona(published(late, belief(0.3, 0.6), taxonomy)) == "student"


def test_a_name_of_a_removed_persona_dwells_too() -> None:
    record = published(at(NOW), belief(0.7))
    others = shop(
        ("student", "builder", "athlete", "gamer", "cook"),
        policy={**POLICY, "min_dwell_seconds": 3600},
    )
    early, late = at(NOW + HOUR - 1, record), at(NOW + HOUR, record)
    assert persona(published(early, belief(0.8), others)) is None
    assert persona(published(late, belief(0.8), others)) == "student"


def test_an_ambiguous_change_does_not_end_the_dwell() -> None:
    taxonomy = shop(policy={**POLICY, "min_dwell_seconds": 3600})
    record = published(at(NOW), belief(0.7), taxonomy)
    for minute in range(1, 10):
        record = at(NOW + minute * 60_000, record)
        found = decide(record, belief(0.1, 0.8), taxonomy, NOW)
        record = replace(record, published=found or record.published)
    assert persona(record) != "student"


def test_an_assignment_pins_the_persona() -> None:
    record = published(at(NOW), belief(0.7))
    pinned = published(replace(record, label=Label(NOW, "a", "gamer")), belief(0.7))
    now = last(pinned).current
    assert (now.persona, now.confidence, now.assigned, now.ambiguous) == (
        "gamer", 1_000_000, True, False,
    )  # fmt: skip
    assert last(pinned).cause == Cause.ASSIGNMENT
    assert now.distribution[0] == 700_000
    assert decide(at(NOW + DAY, pinned), belief(0.1, 0.9), SHOP, NOW) is None


def test_an_override_is_published_as_an_assignment() -> None:
    pinned = published(replace(at(NOW), label=Label(NOW, "a", "gamer")), belief(0.7))
    again = published(replace(pinned, label=Label(NOW + 1, "b", "student")), belief(0.7))
    assert (persona(again), last(again).cause, last(again).revision) == (
        "student",
        Cause.ASSIGNMENT,
        2,
    )


def test_a_withdrawal_gives_the_name_back_to_behaviour() -> None:
    pinned = published(replace(at(NOW), label=Label(NOW, "a", "gamer")), belief(0.7))
    free = published(replace(pinned, label=Label(NOW + 1, "b", None)), belief(0.7))
    assert (persona(free), last(free).cause) == ("parent", Cause.ASSIGNMENT)
    assert not last(free).current.assigned


def test_an_expiry_is_published_as_one() -> None:
    label = Label(NOW, "a", "gamer", NOW + DAY)
    pinned = published(replace(at(NOW), label=label), belief(0.7))
    assert decide(at(NOW + DAY - 1, pinned), belief(0.7), SHOP, NOW) is None
    free = published(at(NOW + DAY, pinned), belief(0.7))
    assert (persona(free), last(free).cause) == ("parent", Cause.EXPIRY)


def test_a_persona_that_was_removed_is_not_named_again() -> None:
    record = published(at(NOW), belief(0.7))
    others = shop(("student", "builder", "athlete", "gamer", "cook"), policy=POLICY)
    after = last(published(record, belief(0.6), others))
    assert after.current.persona == "student"
    assert after.previous is not None
    assert after.previous.persona == "parent"


@pytest.mark.parametrize(
    "names",
    [(*PERSONAS, "cook"), PERSONAS[1:], PERSONAS[::-1], ("cook", "driver"), ("parent", "cook")],
)
def test_the_previous_posterior_is_that_of_the_last_change_whatever_the_personas_are_now(
    names: tuple[str, ...],
) -> None:
    before = published(at(NOW), belief(0.7))
    share = 1 / len(names)
    row = to_millionths(np.array([[share] * len(names)]))[0]
    after = published(before, Belief(row, 9.0, "m"), shop(names, policy=POLICY))
    change = json.loads(encode_change("c", after))
    assert change["previous"] == json.loads(encode_change("c", before))["current"]
    assert list(change["previous"]["distribution"]) == list(PERSONAS)
    assert list(change["current"]["distribution"]) == list(names)
    again = published(at(NOW + DAY, after), replace(belief(1.0), distribution=row[::-1]))
    assert last(again).previous == last(after).current


def test_a_pin_to_a_removed_persona_gives_way() -> None:
    pinned = published(replace(at(NOW), label=Label(NOW, "a", "parent")), belief(0.7))
    others = shop(("student", "builder", "athlete", "gamer", "cook"), policy=POLICY)
    assert persona(published(pinned, belief(0.6), others)) == "student"


def test_since_is_when_the_persona_began() -> None:
    record = published(at(NOW), belief(0.7))
    grown = published(at(NOW + HOUR, record), belief(0.9))
    moved = published(at(NOW + DAY, grown), belief(0.1, 0.8))
    assert [last(r).since for r in (record, grown, moved)] == [NOW, NOW, NOW + DAY]


def test_a_change_and_its_public_record_agree() -> None:
    record = published(at(NOW), belief(0.7))
    change = json.loads(encode_change("c", record))
    public = json.loads(encode_public_record("c", last(record)))
    assert encode_change("c", record) == encode_change("c", record)
    for key in ("persona", "confidence", "ambiguous", "source", "distribution"):
        assert change["current"][key] == public[key]
    assert change["published_at"] == public["updated_at"] == "2025-11-24T16:00:00.000Z"
    assert public["candidates"] == ["parent"]
    assert change["why"] == public["why"]


def test_a_record_without_a_change_has_no_message() -> None:
    with pytest.raises(ValueError, match="no change of c was published"):
        encode_change("c", Record())


def test_causes_keep_their_stored_numbers() -> None:
    assert [(cause.name.lower(), int(cause)) for cause in Cause] == [
        ("behaviour", 0), ("assignment", 1), ("model", 2), ("decay", 3), ("expiry", 4),
    ]  # fmt: skip
    assert CAUSES == ("behaviour", "assignment", "model", "decay", "expiry")
