from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.estimator import derive
from stream_persona.pipeline import process
from stream_persona.pipeline.decision import Cause
from tests.support.constants import NOW
from tests.support.events import deliver, labelled_shoppers, purchase, shop
from tests.support.processing import model_of, process_batch

SHOP = shop(policy={"confidence_step": 0.02})
BEHAVIOUR = labelled_shoppers(SHOP, customers=20)
LEARNED = derive(model_of(BEHAVIOUR, SHOP), SHOP.names)


def test_rescoring_publishes_the_changes_that_processing_publishes() -> None:
    order, tokenizer = deliver(*BEHAVIOUR), Tokenizer(SHOP)
    processed = process.process_batch(order, {}, LEARNED, SHOP, tokenizer, NOW)
    applied = process.apply_events(order, {}, SHOP, tokenizer)
    scored = process.rescore(applied.records, LEARNED, SHOP, tokenizer, NOW, Cause.BEHAVIOUR)
    assert scored.messages == processed.messages
    assert scored.public_records == processed.public_records
    assert [r.published for r in scored.records.values()] == [
        r.published for r in processed.records.values()
    ]


def idle(taxonomy: Taxonomy = SHOP) -> process.Outcome:
    """Customers without a label, as a model has left them that knew nothing."""
    bought = [purchase(f"{n}-{i}", NOW, n, [n]) for n in taxonomy.names for i in range(9)]
    return process_batch(deliver(*bought, purchase("p", NOW, "other", ["nothing known"])), taxonomy)


def test_rescoring_returns_the_records_that_changed_and_no_others() -> None:
    stored = idle().records
    outcome = process.rescore(stored, LEARNED, SHOP, Tokenizer(SHOP), NOW, Cause.MODEL)
    assert outcome.records.keys() == set(SHOP.names)
    assert outcome.records.keys() == outcome.public_records.keys() == dict(outcome.messages).keys()
    assert set(outcome.causes) == {Cause.MODEL}
    again = process.rescore(
        stored | outcome.records, LEARNED, SHOP, Tokenizer(SHOP), NOW, Cause.MODEL
    )
    assert not again.records


def test_rescoring_no_customers_leads_to_nothing() -> None:
    outcome = process.rescore({}, LEARNED, SHOP, Tokenizer(SHOP), NOW, Cause.MODEL)
    assert outcome == process.Outcome(messages=[], model_updates=[], causes=[])
