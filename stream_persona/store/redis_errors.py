"""Which of Redis's errors may pass by themselves, and what an operator can do about the others.

A server that is away, slow, starting, read-only, full, without a disk, busy or failing over may be
back soon: its errors are worth another try. A refused login and a key that another program uses do
not pass, and are reported at once.
"""

from __future__ import annotations

import re
import ssl

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    ClusterError,
    InvalidResponse,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from stream_persona.errors import RedisUnavailableError, TopologyError
from stream_persona.tls_files import WRONG_NAME_CODES

#: What may pass by itself: tried again until the deadline. A Cluster that moves slots or replaces
#: a master is among it; ``LOADING`` is a connection's error, ``MASTERDOWN`` and ``CLUSTERDOWN`` are
#: the Cluster's.
_PASSING = (
    RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError, ClusterError,
    RedisClusterException, AskError, TryAgainError,
)  # fmt: skip
#: The same, of errors that the client knows by their text alone: no disk, no replicas, a script
#: that does not end.
_PASSING_CODES = re.compile(r"(^|caused error: \W*)(MISCONF|NOREPLICAS|BUSY) ")
#: The login, or what it may do.
_REFUSED = (
    AuthenticationError, AuthenticationWrongNumberOfArgsError, AuthorizationError,
    NoPermissionError,
)  # fmt: skip


#: What lacks of them stands in the server's own text.
_RIGHTS = "; add it to the user's ACL, deploy/README.md lists what each process needs"
#: The same of a command in a script, of which the client knows the text alone.
_IN_A_SCRIPT = re.compile("ACL failure in script|NOPERM|The user executing the script can't")

#: The number of a database.
_NO_DATABASE = re.compile("DB index is out of range|invalid DB index|SELECT is not allowed")


def raise_if_permanent(error: Exception) -> None:
    """Raise what no waiting will change; return when the error may pass.

    Raises:
        TopologyError: the login is refused, a key is of a type that is not ours, or the address is
            of no Redis or of a database that it lacks.
        RedisUnavailableError: Redis refuses for a reason that is not known to pass.
    """
    error = _find_refusal(error)
    text = str(error)
    if isinstance(error, _REFUSED):
        message = f"STREAM_PERSONA_REDIS_URL: the server refuses the login ({text})"
        raise TopologyError(f"{message}{_find_remedy(error)}") from None
    if _IN_A_SCRIPT.search(text):
        message = f"STREAM_PERSONA_REDIS_URL: the server refuses the login ({text})"
        raise TopologyError(f"{message}{_RIGHTS}") from None
    if cause := find_tls_fault(error):
        raise _explain_tls(cause) from None
    if isinstance(error, InvalidResponse):
        message = f"STREAM_PERSONA_REDIS_URL: what answers there is no Redis ({text})"
        raise TopologyError(f"{message}; name the address of one") from None
    if text.startswith("WRONGTYPE"):
        raise make_foreign_key_error(text) from None
    if _NO_DATABASE.search(text):
        message = f"STREAM_PERSONA_REDIS_URL: the server has no such database ({text})"
        raise TopologyError(f"{message}; name one that it has, on a Cluster 0") from None
    if not isinstance(error, _PASSING) and not _PASSING_CODES.search(text):
        raise RedisUnavailableError(f"Redis refused a command: {text}") from error


def _find_remedy(error: Exception) -> str:
    return _RIGHTS if isinstance(error, NoPermissionError) else ""


def _find_refusal(error: Exception) -> Exception:
    """Return what a Cluster's client was refused, which it takes for a server of no Cluster."""
    found: BaseException | None = error
    while isinstance(found, RedisClusterException):
        found = found.__cause__ or found.__context__
        if isinstance(found, _REFUSED):
            return found
    return error


def find_tls_fault(error: BaseException) -> ssl.SSLError | None:
    """Find the error of TLS, if any, that an error of the client's comes from."""
    found: BaseException | None = error
    for _ in range(5):
        if isinstance(found, ssl.SSLError):
            return found
        found = found and (found.__cause__ or found.__context__)
    return None


def _explain_tls(error: ssl.SSLError) -> TopologyError | RedisUnavailableError:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in WRONG_NAME_CODES:
            return TopologyError(
                "STREAM_PERSONA_REDIS_URL: the server's certificate is for another name; name the "
                "server as its certificate does"
            )
        return TopologyError(
            "STREAM_PERSONA_REDIS_CA_FILE: the server's certificate cannot be verified "
            f"({error.verify_message}); name the file of the authority that it comes from"
        )
    reason = error.reason or type(error).__name__
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER_FAILURE" in reason:
        return TopologyError(
            "STREAM_PERSONA_REDIS_URL: what answers there has no TLS; write redis://, or the "
            "port that does"
        )
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason:
        return TopologyError(
            "STREAM_PERSONA_REDIS_CERT_FILE: the server wants a certificate of us that it trusts "
            f"({reason.lower().replace('_', ' ')})"
        )
    return RedisUnavailableError(f"Redis broke a connection off ({reason})")


def make_foreign_key_error(details: str) -> TopologyError:
    """Return the error that says whose keys these are."""
    message = "another program uses keys of this deployment; set STREAM_PERSONA_PREFIX"
    return TopologyError(f"{message} to a name of its own ({details})")
