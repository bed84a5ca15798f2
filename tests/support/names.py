"""The names of tokens: shown as if enough customers carried them, and read as they are stored."""

from collections.abc import Iterable, Sequence

from stream_persona.domain.carried_names import CarriedNames
from stream_persona.domain.events import Behaviour, Event, Purchase
from stream_persona.domain.slots import hash_to_slot
from stream_persona.domain.token_names import SHOWN_FROM, Listing, Name, ShownName
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.pipeline.process import Delivery
from stream_persona.store.names import decode_listing, load_carried
from stream_persona.store.tables import Tables
from tests.support.events import purchase

#: As many customers as have to carry a token before its name is shown.
CARRIERS = tuple(f"carrier-{number}" for number in range(SHOWN_FROM))


def carry(*categories: str) -> list[Purchase]:
    """Let so many customers buy in these categories that their names are shown."""
    return [purchase(f"{name}-buys", customer=name, categories=categories) for name in CARRIERS]


def slot_mate(token: str) -> str:
    """Another token of the same field that is in the same slot, a coarse one."""
    slot, field = hash_to_slot(token, fine=False), token.partition(":")[0]
    others = (f"{field}:w{number}" for number in range(10**7))
    return next(other for other in others if hash_to_slot(other, fine=False) == slot)


def names_in(tokenizer: Tokenizer, events: Iterable[Event]) -> set[Name]:
    """The names of the tokens in events of behaviour that somebody has to carry."""
    behaviour = [event for event in events if isinstance(event, Behaviour)]
    return {name for event in behaviour for name in tokenizer.tokenize(event).names}


def show_names(tokenizer: Tokenizer, *events: Event) -> Tokenizer:
    """Let a tokenizer show the names of all tokens in events, and of no others."""
    found = names_in(tokenizer, events)
    tokenizer.show_names(Listing(tuple(sorted(ShownName(*name, SHOWN_FROM) for name in found))))
    return tokenizer


def show_names_of(tokenizer: Tokenizer, deliveries: Sequence[Delivery]) -> Tokenizer:
    """The same of events that are delivered."""
    return show_names(tokenizer, *(delivery.event for delivery in deliveries))


async def load_shown(tables: Tables) -> set[str]:
    """The tokens that are listed to be shown."""
    listing = decode_listing(await tables.load_listing() or b"")
    return set() if listing is None else {name.token for name in listing.names}


async def load_all_carried(tables: Tables, partitions: int = 1) -> dict[str, int]:
    """How many carriers of each token are stored."""
    found: dict[str, int] = {}
    for partition in range(partitions):
        names: CarriedNames = await load_carried(tables, partition, partitions)
        for name in names:
            found[name.token] = found.get(name.token, 0) + len(name.carriers)
    return found
