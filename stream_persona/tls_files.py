"""Files of certificates: checked at the start, and made into what verifies a server.

The name of a server is verified always: nothing switches that off.
"""

from __future__ import annotations

import re
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from stream_persona.setting_forms import name_variable

_CERTIFICATE: Final = re.compile(rb"-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----")
_KEY: Final = re.compile(rb"-----BEGIN ([A-Z]+ )*PRIVATE KEY-----")
_ENCRYPTED: Final = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED")
#: OpenSSL's codes of a certificate for another name.
WRONG_NAME_CODES: Final = frozenset({62, 64})


class TlsFiles(NamedTuple):
    """The authorities that are trusted (the system's where None), our certificate and its key."""

    authorities: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def check_files(server: str, files: TlsFiles, *, has_tls: bool, remedy: str) -> None:
    """Check files, ``server`` being the beginning of their settings' names.

    Raises:
        ValueError: one is not as it must be; the sentence names the setting. No path is repeated:
            somebody may have written a key itself there.
    """
    names = TlsFiles(*(f"{server}_{kind}_file" for kind in ("ca", "cert", "key")))  # type: ignore[arg-type]
    for name, path in zip(names, files, strict=True):
        if path is not None and not has_tls:
            raise ValueError(
                f"{_name_variable(name)}: it has no effect without TLS; {remedy}, or unset it"
            )
    if (files.certificate is None) != (files.key is None):
        lacking, given = names[1:] if files.certificate is None else names[:0:-1]
        raise ValueError(
            f"{_name_variable(lacking)}: set it as well, {_name_variable(given)} alone is of no use"
        )
    for name, path, form in zip(names, files, (_CERTIFICATE, _CERTIFICATE, _KEY), strict=True):
        if path is not None:
            _check_form(_name_variable(name), path, form)
    _check_use(names, files)


def _name_variable(name: object) -> str:
    return name_variable(str(name))


def _check_form(name: str, path: Path, form: re.Pattern[bytes]) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{name}: the file cannot be read ({error.strerror})") from None
    except ValueError:
        raise ValueError(f"{name}: expected the name of a file") from None
    if _ENCRYPTED.search(content):  # OpenSSL would ask for its password on the terminal
        raise ValueError(f"{name}: the key is encrypted; give one that is not, which only we read")
    if not form.search(content):
        kind = "a private key" if form is _KEY else "certificates"
        raise ValueError(f"{name}: expected a PEM file of {kind}")


def _check_use(names: TlsFiles, files: TlsFiles) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if files.authorities is not None:
        try:
            context.load_verify_locations(files.authorities)
        except (ssl.SSLError, OSError):
            raise ValueError(
                f"{_name_variable(names.authorities)}: the certificates in it are damaged"
            ) from None
    if files.certificate is not None and files.key is not None:
        try:
            context.load_cert_chain(files.certificate, files.key, password="")  # nosec B106
        except (ssl.SSLError, OSError):
            raise ValueError(
                f"{_name_variable(names.key)}: it is not the key of "
                f"{_name_variable(names.certificate)}, or one of both "
                "is damaged"
            ) from None


def make_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a context that verifies servers and their names.

    It is shared by all connections that are made until a file changes: one that is put in a
    certificate's place before that ends is used by the next connection of a new client.

    Raises:
        OSError: a file is gone, or not what it was.
    """
    return _make_context(files, tuple(_stamp(path) for path in files if path is not None))


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_ino


@lru_cache(maxsize=8)
def _make_context(files: TlsFiles, stamps: tuple[tuple[int, int], ...]) -> ssl.SSLContext:
    del stamps  # a part of the cache's key alone
    context = ssl.create_default_context(cafile=files.authorities)
    if files.certificate is not None:
        context.load_cert_chain(files.certificate, files.key, password="")  # nosec B106
    return context
