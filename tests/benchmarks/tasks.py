"""Real households as tasks: events of the Complete Journey, labels, and records after n events.

Four sets of labels: B7, a persona by what is bought in the second half-year, to be predicted from
the first; L4, L2 and L6, what the households stated about themselves, predicted from the year.
An event is one line of a basket or one redeemed coupon. A basket in which a count falls is cut
there, in two purchases that keep the size of the whole one.
"""

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from msgspec.structs import replace
from numpy.typing import NDArray

from stream_persona.demo import journey, journey_engagements, journey_tables
from stream_persona.demo.study import (
    ACTIVE_LINES,
    MIDYEAR,
    Study,
    find_theme_hits,
    make_customer_id,
    select_before,
)
from stream_persona.domain import taxonomy
from stream_persona.domain.binning import find_size_band
from stream_persona.domain.events import (
    ENGAGEMENT,
    PURCHASE,
    Behaviour,
    Purchase,
    TokenizedEvent,
    get_event_time,
)
from stream_persona.domain.events import to_milliseconds as epoch_ms
from stream_persona.domain.features import Counts, Profiles, compute_profiles
from stream_persona.domain.record import Record
from stream_persona.domain.slots import SLOT_TYPE
from stream_persona.domain.taxonomy import Taxonomy
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.model.calibration_panel import Member
from stream_persona.model.statistics import FOLDS, hash_customer
from stream_persona.pipeline import process
from stream_persona.pipeline.process import Delivery

TAXONOMY = taxonomy.load(taxonomy.find_shipped_path("complete-journey"))
FEATURES = TAXONOMY.features
#: Counts of events after which a household is scored; and once more at the end.
CHECKPOINTS = (1, 3, 5, 10, 30, 100, 300)
TIMES = (*map(str, CHECKPOINTS), "end")
#: Names of the tasks that share their households and events.
GROUPS = (("B7",), ("L4", "L2", "L6"))

_YEAR = datetime(2017, 1, 1, tzinfo=UTC)
_YOUNG = ("19-24", "25-34", "35-44")
_AT_ONCE = 50

Stories = dict[str, list[Behaviour]]


@dataclass
class Task:
    """Labelled households and what was known of each after n events.

    ``labels`` index ``classes``; ``counts`` hold a list over the households for each of ``TIMES``.
    """

    name: str
    customers: list[str]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    counts: dict[str, list[Counts]]

    def seen(self, rows: Iterable[int], time: str = "end") -> Profiles:
        """The profiles of some households."""
        return compute_profiles([self.counts[time][row] for row in rows], FEATURES)

    def members(self, rows: Sequence[int]) -> list[Member]:
        """Some households as a panel for calibration."""
        seen = self.seen(rows)
        return [
            Member(
                *key_and_fold(self.customers[row]),
                self.classes[self.labels[row]],
                seen.select_row(i),
            )
            for i, row in enumerate(rows)
        ]


def key_and_fold(customer: str) -> tuple[int, int]:
    """A customer's hash, and the fold it falls in."""
    key = hash_customer(customer)
    return key, key % FOLDS


# --- labels ---


def tables(*names: str) -> list[pd.DataFrame]:
    """The data's tables."""
    _, folder = journey_tables.find_data()
    return [pd.read_parquet(folder / f"{name}.parquet") for name in names]


def labels(lines: pd.DataFrame, products: pd.DataFrame) -> dict[str, dict[str, str]]:
    """The label of each customer, by task."""
    (people,) = tables("demographics")
    return {"B7": spend_personas(lines, products), **demographic(people)}


def demographic(people: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Composition of the household (L4), with kids or without (L2), kids, adults and age (L6)."""
    composition, kids_count, age = (
        people[name].astype(str) for name in ("household_comp", "kids_count", "age")
    )
    kids, two, young = kids_count != "0", composition.str.startswith("2"), age.isin(_YOUNG)
    adults = np.where(two, "couple", "single")
    years = np.where(young, "young_", "mature_")
    family = np.where(kids_count == "1", "small_family", "big_family")
    columns = {
        "L4": composition,
        "L2": np.where(kids, "kids", "nokids"),
        "L6": np.where(kids, family, np.char.add(years, adults)),
    }
    ids = [make_customer_id(household) for household in people["household_id"]]
    return {name: dict(zip(ids, map(str, values), strict=True)) for name, values in columns.items()}


def spend_personas(lines: pd.DataFrame, products: pd.DataFrame) -> dict[str, str]:
    """The strongest theme of each active household's second half-year."""
    late = ~select_before(lines)
    hits = find_theme_hits(products).reindex(lines["product_id"].to_numpy()[late], fill_value=False)
    shares = hits.groupby(lines["household_id"].to_numpy()[late]).mean()
    roots = shares.loc[active(lines, late)] ** 0.5
    strongest = ((roots - roots.mean()) / roots.std()).idxmax(axis="columns")
    return {make_customer_id(household): str(theme) for household, theme in strongest.items()}


def active(lines: pd.DataFrame, late: pd.Series) -> list[int]:
    """Households with enough lines in both half-years."""
    found: list[set[int]] = []
    for half, least in zip((~late, late), ACTIVE_LINES, strict=True):
        counts = lines["household_id"][half].value_counts()
        found.append(set(counts.index[counts >= least]))
    return sorted(set.intersection(*found))


# --- events ---


def stories(labelled: Iterable[str], group: Sequence[str], year: journey.Journey) -> Stories:
    """The events of each labelled customer that the group's tasks may see, in their order."""
    known: Stories = {customer: [] for customer in sorted(labelled)}
    end = epoch_ms(MIDYEAR) if "B7" in group else year.end + 1
    for _, event in year.generate_events():
        if event.customer_id in known and get_event_time(event) < end:
            known[event.customer_id].append(event)
    return known


def load(group: Sequence[str]) -> tuple[dict[str, dict[str, str]], Stories]:
    """Labels by task, and the customers' events: baskets and redeemed coupons."""
    lines, products, coupons = tables("transactions", "products", "coupon_redemptions")
    by_task = {name: known for name, known in labels(lines, products).items() if name in group}
    year = journey.build(
        Study({}, {}), lines, products, journey_engagements.from_coupons(coupons), _YEAR
    )
    found = stories(set().union(*by_task.values()), group, year)
    return by_task, {customer: events for customer, events in found.items() if events}


def size_of(event: Behaviour) -> int:
    """How many events of the protocol an event is."""
    return len(event.items) if isinstance(event, Purchase) else 1


def pieces(events: Iterable[Behaviour]) -> Iterator[tuple[int, Behaviour]]:
    """The events, cut at the checkpoints, each with the checkpoint that comes next after it."""
    done = 0
    for event in events:
        size = size_of(event)
        inside = [n - done for n in CHECKPOINTS if done < n < done + size]
        for number, (start, stop) in enumerate(itertools.pairwise((0, *inside, size))):
            part = event
            if isinstance(event, Purchase) and inside:
                name = f"{event.event_id}/{number}"
                part = replace(event, event_id=name, items=event.items[start:stop])
            yield bisect.bisect_right(CHECKPOINTS, done + start), part
        done += size


class PartTokenizer(Tokenizer):
    """Reads a part of a basket with the size of the whole one; ``sizes`` are by order."""

    def __init__(self, taxonomy: Taxonomy, sizes: Mapping[str, int]) -> None:
        super().__init__(taxonomy)
        self._sizes = sizes

    def tokenize(self, event: Behaviour) -> TokenizedEvent:
        # Parts of an order are no edits of it: all of them count.
        tokens = replace(super().tokenize(event), order_id=None)
        if not isinstance(event, Purchase):
            return tokens
        part, whole = (
            find_size_band(len(event.items)),
            find_size_band(self._sizes[event.order_id or ""]),
        )
        if part == whole:
            return tokens
        wrong, right = self.find_slot("basket_size", part), self.find_slot("basket_size", whole)
        slots = np.frombuffer(tokens.slots, SLOT_TYPE)
        slots = np.where(slots == wrong, SLOT_TYPE.type(right), slots)
        return replace(tokens, slots=slots.tobytes())


# --- records ---


def prepare(group: Sequence[str]) -> list[Task]:
    """The tasks of a group, their households' events folded by the pipeline."""
    by_task, known = load(group)
    snapshots = snapshots_of(known)
    made = []
    for name, labelled in by_task.items():
        customers = sorted(labelled.keys() & known.keys())
        classes = tuple(sorted(set(labelled.values())))
        numbers = np.array([classes.index(labelled[customer]) for customer in customers])
        counts = {time: [rows[customer] for customer in customers] for time, rows in snapshots}
        made.append(Task(name, customers, classes, numbers, counts))
    return made


def snapshots_of(known: Stories) -> list[tuple[str, dict[str, Counts]]]:
    """The counts of each customer after each of ``TIMES``."""
    sizes = {
        event.order_id or "": len(event.items)
        for events in known.values()
        for event in events
        if isinstance(event, Purchase)
    }
    tokenizer = PartTokenizer(TAXONOMY, sizes)
    found: list[tuple[str, dict[str, Counts]]] = [(time, {}) for time in TIMES]
    names = sorted(known)
    for first in range(0, len(names), _AT_ONCE):
        records: dict[str, Record] = {}
        some = {name: known[name] for name in names[first : first + _AT_ONCE]}
        for (_, rows), batch in zip(found, rounds(some), strict=True):
            records |= process.apply_events(batch, records, TAXONOMY, tokenizer).records
            rows |= {customer: record.counts for customer, record in records.items()}
    return found


def rounds(known: Stories) -> list[list[Delivery]]:
    """What is delivered up to each checkpoint and after the one before."""
    made: list[list[Delivery]] = [[] for _ in TIMES]
    for events in known.values():
        for offset, (number, event) in enumerate(pieces(events)):
            kind = PURCHASE if isinstance(event, Purchase) else ENGAGEMENT
            made[number].append(Delivery.of(event, kind, 0, offset))
    return made
