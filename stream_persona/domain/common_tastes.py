"""The common shares that own tastes are compared with, as ``persona-common-tastes`` holds them.

A field for each token, ``slot share``, and ``:taxonomy`` with the version of the taxonomy. It needs
nothing but the standard library, since clients read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TAXONOMY: Final = ":taxonomy"

#: Slot and share of events, by canonical token.
Shares = dict[str, tuple[int, float]]


def encode_common(shares: Shares, taxonomy: str) -> dict[str, str]:
    """Return the fields; none where no share is known."""
    fields = {token: f"{slot} {share!r}" for token, (slot, share) in shares.items()}
    return fields and {_TAXONOMY: taxonomy, **fields}


def decode_common(fields: Mapping[bytes, bytes]) -> tuple[Shares, str]:
    """Return the shares and the taxonomy's version; what is damaged of them is left out.

    >>> decode_common({b":taxonomy": b"0123456789ab", b"category:baby": b"23163 0.25", b"x": b"?"})
    ({'category:baby': (23163, 0.25)}, '0123456789ab')
    """
    version = fields.get(_TAXONOMY.encode(), b"").decode(errors="replace")
    return dict(_decode_shares(fields)), version


def _decode_shares(fields: Mapping[bytes, bytes]) -> Iterator[tuple[str, tuple[int, float]]]:
    for field, text in fields.items():
        try:
            slot, share = text.split()
            token, found = field.decode(), (int(slot), float(share))
        except ValueError:
            continue
        if 0 < found[1] < float("inf"):
            yield token, found
