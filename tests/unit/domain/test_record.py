from stream_persona.domain.record import Record
from tests.support.constants import DAY, NOW
from tests.support.events import assignment, deletion, purchase, shop
from tests.support.processing import record_of


def test_a_marker_holds_nothing_but_the_time_of_a_deletion() -> None:
    taxonomy = shop()
    assert record_of(deletion("d"), taxonomy=taxonomy).is_marker
    assert record_of(purchase("p"), deletion("d"), taxonomy=taxonomy).is_marker
    assert not record_of(deletion("d"), purchase("p", NOW + 2 * DAY), taxonomy=taxonomy).is_marker
    assert not record_of(deletion("d"), assignment("a", NOW + 2 * DAY), taxonomy=taxonomy).is_marker
    assert not Record().is_marker


def test_a_label_expires_by_the_records_own_clock() -> None:
    given_ = assignment("a", NOW, expires_at=NOW + DAY)
    taxonomy = shop()
    before = record_of(given_, purchase("p", NOW + DAY - 1), taxonomy=taxonomy)
    after = record_of(given_, purchase("p", NOW + DAY), taxonomy=taxonomy)
    assert (before.find_active_label(), after.find_active_label()) == ("parent", None)


def test_a_withdrawal_is_a_label_of_no_persona() -> None:
    record = record_of(assignment("a"), assignment("b", NOW + 1, persona=None), taxonomy=shop())
    assert record.label is not None
    assert record.find_active_label() is None
