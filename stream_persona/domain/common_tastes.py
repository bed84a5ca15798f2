"""The common shares that own tastes are compared with, as ``persona-common-tastes`` holds them.

A field for each token, ``slot share``, with a third word, ``shared``, where the slot holds another
token as well; and ``:taxonomy`` with the version of the taxonomy. It needs nothing but the standard
library, since clients read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TAXONOMY: Final = ":taxonomy"
_SHARED: Final = b"shared"


class CommonShare(NamedTuple):
    """The share of all events with a token; ``is_reason`` if its slot holds no other token."""

    slot: int
    share: float
    is_reason: bool = True


def encode_common(shares: Mapping[str, CommonShare], taxonomy: str) -> dict[str, str]:
    """Return the fields; none where no share is known."""
    fields = {
        token: f"{slot} {share!r}" if is_reason else f"{slot} {share!r} {_SHARED.decode()}"
        for token, (slot, share, is_reason) in shares.items()
    }
    return fields and {_TAXONOMY: taxonomy, **fields}


def decode_common(fields: Mapping[bytes, bytes]) -> tuple[dict[str, CommonShare], str]:
    """Return the shares and the taxonomy's version; what is damaged of them is left out.

    >>> decode_common({b":taxonomy": b"0123456789ab", b"category:baby": b"23163 0.25", b"x": b"?"})
    ({'category:baby': CommonShare(slot=23163, share=0.25, is_reason=True)}, '0123456789ab')
    """
    version = fields.get(_TAXONOMY.encode(), b"").decode(errors="replace")
    return dict(_decode_shares(fields)), version


def _decode_shares(fields: Mapping[bytes, bytes]) -> Iterator[tuple[str, CommonShare]]:
    for field, text in fields.items():
        try:
            slot, share, *more = text.split()
            token, found = field.decode(), CommonShare(int(slot), float(share), not more)
        except ValueError:
            continue
        if 0 < found.share < float("inf") and more in ([], [_SHARED]):
            yield token, found
