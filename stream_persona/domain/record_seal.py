"""The seal of a record's bytes: whatever has changed of them since is noticed.

A sealed record is a mark, a checksum (CRC-32), and the content that the checksum is of. It is of
the customer's id as well, so that a record under another customer's key is no record. No format
before the seal can begin with the mark: its last byte would be that of a head of 16 MB and more.
"""

from __future__ import annotations

import zlib
from typing import Final

_MARK: Final = b"SPR\xf6"
_START: Final = 8


def seal(customer_id: str, content: bytes) -> bytes:
    """Put the mark and the checksum before the content of a customer's record."""
    return _start(customer_id, content) + content


def is_sealed(blob: bytes) -> bool:
    """Whether bytes begin as those of a sealed record do."""
    return blob.startswith(_MARK)


def unseal(customer_id: str, blob: bytes) -> bytes | None:
    """Return the content of a customer's record; None where it is not as it was sealed.

    >>> unseal("c", seal("c", b"content")), unseal("b", seal("c", b"content"))
    (b'content', None)
    """
    content = blob[_START:]
    return content if blob[:_START] == _start(customer_id, content) else None


def _start(customer_id: str, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(customer_id.encode()))
    return _MARK + checksum.to_bytes(4, "little")
