"""Customer ids of messages: nobody's, colliding ones, e-mail addresses, the heaviest; and keys."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from stream_persona.domain.identity import NobodyIds
from stream_persona.inspection.sample import compute_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_persona.inspection.sample import Reading

_SHOWN: Final = 5
_ADDRESS: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def describe_ids(readings: Sequence[Reading], nobody_ids: Sequence[str]) -> dict[str, Any]:
    """Describe the customer ids of messages."""
    given = [each.fields["customer_id"] for each in readings if "customer_id" in each.fields]
    counts: Counter[str] = Counter(each for each in given if isinstance(each, str))
    nobody = NobodyIds(nobody_ids)
    nobodies = Counter({each: n for each, n in counts.items() if each in nobody})
    nobodies.update({repr(None): sum(each is None for each in given)})
    others = {each: n for each, n in counts.items() if each not in nobody}
    colliding = _find_colliding(others)
    addresses = [each for each in others if _ADDRESS.fullmatch(each.strip())]
    padded = [each for each in others if each != each.strip()]
    return {
        "messages": len(given),
        "customers": len(others),
        "nobody": {each: n for each, n in nobodies.most_common() if n},
        "not_texts": sum(not isinstance(each, str | None) for each in given),
        "with_blanks_at_an_end": {
            "ids": len(padded), "messages": sum(others[each] for each in padded),
            "examples": padded[:_SHOWN],
        },
        "colliding": {
            "groups": len(colliding),
            "messages": sum(others[each] for group in colliding for each in group),
            "examples": [sorted(group) for group in colliding[:_SHOWN]],
        },
        "e_mail_addresses": {
            "ids": len(addresses), "messages": sum(others[each] for each in addresses),
        },
        "median_share": compute_share(_find_median(list(others.values())), sum(others.values())),
        "heaviest": {
            each: compute_share(n, sum(others.values()))
            for each, n in Counter(others).most_common(_SHOWN)
        },
    }  # fmt: skip


def _find_median(counts: Sequence[int]) -> int:
    return sorted(counts)[len(counts) // 2] if counts else 0


def describe_keys(readings: Sequence[Reading]) -> dict[str, Any]:
    """Return how many messages of a topic have a key that is not their customer's id."""
    named = [each for each in readings if each.customer_id is not None]
    without = [each for each in named if not each.message.key]
    others = [each for each in named if each.message.key and not _is_keyed(each)]
    return {
        "without_key": len(without),
        "other_keys": len(others),
        "example": _show_pair(others[0]) if others else None,
    }


def _is_keyed(reading: Reading) -> bool:
    return reading.message.key == (reading.customer_id or "").encode(errors="replace")


def _show_pair(reading: Reading) -> dict[str, str]:
    key = (reading.message.key or b"").decode(errors="backslashreplace")
    return {
        "key": key, "customer_id": reading.customer_id or "", "position": reading.message.position,
    }  # fmt: skip


def _find_colliding(ids: dict[str, int]) -> list[list[str]]:
    """Find ids that are one, but for blanks at an end, case and Unicode form."""
    groups: dict[str, list[str]] = defaultdict(list)
    for each in ids:
        groups[unicodedata.normalize("NFKC", each).strip().casefold()].append(each)
    found = [group for group in groups.values() if len(group) > 1]
    return sorted(found, key=lambda group: -sum(ids[each] for each in group))
