"""What the taxonomy would make of messages: tokens, seeds, personas of assignments."""

from __future__ import annotations

import difflib
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from stream_persona.domain.events import BEHAVIOURAL
from stream_persona.domain.slots import EVENTS, SLOT_TYPE
from stream_persona.domain.tokenizer import Tokenizer
from stream_persona.inspection.sample import compute_share, is_assignment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_persona.domain.events import Behaviour
    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.inspection.sample import Reading

#: Tokens that say something of a shopper's taste; an event has the others in any case.
USEFUL: Final = frozenset({
    "product", "category", "brand", "price", "attributes", "query", "channel", "campaign",
})  # fmt: skip
_SHOWN: Final = 10


class FieldTokens:
    """Counts the tokens of each field, by a tokenizer that reads nothing else."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self._tokenizers = {
            field: Tokenizer(_with_fields(taxonomy, field)) for field in taxonomy.features.fields
        }
        #: By field, the slots that were seen, and in how many events.
        self.slots: dict[str, Counter[int]] = {field: Counter() for field in self._tokenizers}

    def add(self, reading: Reading) -> frozenset[str]:
        """Add an event's tokens; return the fields that have some, by their first part."""
        if reading.event is None or reading.kind not in BEHAVIOURAL:
            return frozenset()
        found = set()
        for field, tokenizer in self._tokenizers.items():
            packed = tokenizer.tokenize(cast("Behaviour", reading.event)).slots
            own = set(np.frombuffer(packed, SLOT_TYPE).tolist()) - {EVENTS}
            if own:
                found.add(field.partition(".")[0])
                self.slots[field].update(own)
        return frozenset(found)

    def knows(self, field: str, value: str) -> bool:
        """Whether some event has the token of a value."""
        tokenizer = self._tokenizers.get(field) or self._tokenizers.get(field.partition(".")[0])
        if tokenizer is None:
            return False
        seen = self.slots.get(field) or self.slots.get(field.partition(".")[0])
        return seen is not None and tokenizer.find_slot(field, value) in seen


def _with_fields(taxonomy: Taxonomy, field: str) -> Taxonomy:
    features = taxonomy.features.model_copy(update={"fields": (field,)})
    return taxonomy.model_copy(update={"features": features})


def describe_meaning(
    readings: Sequence[Reading],
    tokens: Sequence[frozenset[str]],
    counted: FieldTokens,
    taxonomy: Taxonomy,
) -> dict[str, Any]:
    """Return what the taxonomy makes of the events of behaviour."""
    behaviour = [
        (reading, own) for reading, own in zip(readings, tokens, strict=True)
        if reading.event is not None and reading.kind in BEHAVIOURAL
    ]  # fmt: skip
    useless = [reading for reading, own in behaviour if not own & USEFUL]
    return {
        "taxonomy": taxonomy.name,
        "events": len(behaviour),
        "tokens": {
            field: {"events": sum(field.partition(".")[0] in own for _, own in behaviour),
                    "distinct": len(slots)}
            for field, slots in counted.slots.items()
        },
        "without_useful_token": {
            "events": len(useless),
            "share": compute_share(len(useless), len(behaviour)),
            "example": useless[0].message.position if useless else None,
        },
        "seeds_without_match": _find_unmatched(counted, taxonomy) if behaviour else {},
        "seeds_matched": _count_matched(counted, taxonomy) if behaviour else 0,
        "categories": _count_top_categories(behaviour, taxonomy),
    }  # fmt: skip


def _find_unmatched(counted: FieldTokens, taxonomy: Taxonomy) -> dict[str, list[str]]:
    """Find, by persona, the seeds that no event has."""
    return {
        persona.name: unmatched
        for persona in taxonomy.personas
        if (unmatched := [
            f"{field}:{value}" for field, values in persona.seeds.items() for value in values
            if not counted.knows(field, value)
        ])
    }  # fmt: skip


def _count_matched(counted: FieldTokens, taxonomy: Taxonomy) -> int:
    return sum(
        counted.knows(field, value)
        for persona in taxonomy.personas
        for field, values in persona.seeds.items()
        for value in values
    )


def _count_top_categories(
    behaviour: Sequence[tuple[Reading, frozenset[str]]], taxonomy: Taxonomy
) -> dict[str, int]:
    """Count the top levels of categories, the commonest ones."""
    counts: Counter[str] = Counter()
    separator = taxonomy.features.category_separator
    for reading, _ in behaviour:
        items = reading.fields.get("items") or [reading.fields.get("product")]
        for item in items if isinstance(items, list) else ():
            category = item.get("category") if isinstance(item, dict) else None
            if isinstance(category, str) and (levels := category.strip().strip(separator)):
                counts[levels.split(separator)[0].split(" > ")[0].strip()] += 1
    return dict(counts.most_common(_SHOWN))


def describe_assignments(readings: Sequence[Reading], taxonomy: Taxonomy) -> dict[str, Any]:
    """Return the personas that are assigned; of those that are unknown, the nearest known one."""
    named = [
        reading.fields["persona"] for reading in readings
        if is_assignment(reading) and isinstance(reading.fields.get("persona"), str)
    ]  # fmt: skip
    counts = Counter(named)
    known = {_fold(name): name for name in taxonomy.names}
    titles = {_fold(persona.title): persona.name for persona in taxonomy.personas if persona.title}
    # A persona may carry the names that it had before, which are known as well.
    earlier = {_fold(n) for p in taxonomy.personas for n in getattr(p, "renamed_from", ())}
    unknown = {name: n for name, n in counts.items() if not {_fold(name)} & {*known, *earlier}}
    return {
        "assignments": sum(map(is_assignment, readings)),
        "personas": {name: n for name, n in counts.most_common() if name not in unknown},
        "unknown": {
            name: {"count": number, "nearest": _find_nearest(name, known, titles)}
            for name, number in sorted(unknown.items(), key=lambda entry: -entry[1])
        },
    }


def _find_nearest(name: str, known: dict[str, str], titles: dict[str, str]) -> str | None:
    folded = _fold(name)
    if folded in titles:
        return titles[folded]
    near = difflib.get_close_matches(folded, known, 1, 0.6)
    return known[near[0]] if near else None


def _fold(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().casefold()
