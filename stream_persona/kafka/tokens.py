"""Tokens for logins by OAUTHBEARER, from a token endpoint (OAuth 2.0, client credentials).

aiokafka asks for a token whenever it connects. One token serves all clients of a process, in
whichever thread, until shortly before it ends. Its endpoint is asked in a thread: no event loop
waits for it.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus, urlencode

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

from stream_persona.setting_forms import name_variable

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

#: A token is renewed when it has less of its time left than this share, or these seconds.
_RENEWED_SHARE: Final = 0.2
_RENEWED_SECONDS: Final = 30.0
#: Seconds of a token of which the endpoint does not say how long it holds.
_UNSAID_SECONDS: Final = 300.0
#: Seconds that the endpoint may take.
_PATIENCE: Final = 10.0
#: Answers of an endpoint that may be another one with the next try.
_PASSING: Final = frozenset({408, 425, 429})
_SERVERS_FAULT: Final = 500
_CODES: Final = frozenset(
    {"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client",
     "unsupported_grant_type", "invalid_scope"}
)  # fmt: skip
_MOST_BYTES: Final = 1_000_000


class TokenError(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """The endpoint gave no token, and may give one later.

    An error of aiokafka's, as those of connecting are: what else is raised there ends the task that
    keeps a client's metadata, in silence.
    """


class RefusedTokenError(TokenError):
    """The endpoint refuses the login, or is none."""


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Gives a token that is valid now. ``clock`` gives seconds that never go back.

    The endpoint's certificate may come from the brokers' ``authorities``, or from the system's.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        secret: SecretStr,
        scope: str = "",
        authorities: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._client_id, self._secret = client_id, secret
        self._scope = scope
        self._authorities = authorities
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""  # nosec B105
        self._renewed_at = 0.0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._url}>"

    async def token(self) -> str:
        """Return a token that holds for a while.

        Raises:
            RefusedTokenError: the endpoint refuses the login.
            TokenError: it did not answer.
        """
        if self._token and self._clock() < self._renewed_at:
            return self._token
        return await asyncio.to_thread(self._renew)

    def _renew(self) -> str:
        with self._lock:
            if not self._token or self._clock() >= self._renewed_at:
                found = self._fetch()
                seconds = _read_seconds(found.get("expires_in"))
                early = max(_RENEWED_SHARE * seconds, min(_RENEWED_SECONDS, seconds / 2))
                self._renewed_at = self._clock() + seconds - early
                self._token = str(found["access_token"])
            return self._token

    def _fetch(self) -> dict[str, Any]:
        """Ask the endpoint; of what it answers, only an error's code is in a message."""
        try:
            with self._open() as answer:
                found = json.loads(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                raise self._explain_status(error) from None
        except ssl.SSLCertVerificationError as error:
            raise self._refuse_certificate(error) from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise self._refuse_certificate(error.reason) from None
            raise TokenError(f"{self._name}: it does not answer ({error.reason})") from None
        except (OSError, http.client.HTTPException) as error:
            raise TokenError(f"{self._name}: it does not answer ({error!r})") from None
        except ValueError:
            raise self._refuse("what answers there is no JSON") from None
        if not isinstance(found, dict) or not isinstance(found.get("access_token"), str):
            raise self._refuse("there is no access_token in what answers")
        return found

    def _open(self) -> http.client.HTTPResponse:
        context = ssl.create_default_context()
        if self._authorities is not None:
            context.load_verify_locations(self._authorities)
        opener = urllib.request.build_opener(_Unmoved, urllib.request.HTTPSHandler(context=context))
        answer: http.client.HTTPResponse = opener.open(self._request(), timeout=_PATIENCE)
        return answer

    def _request(self) -> urllib.request.Request:
        """Make the request of RFC 6749, 4.4.2, with the client's login as its 2.3.1 says."""
        login = ":".join(map(quote_plus, (self._client_id, self._secret.get_secret_value())))
        fields = {"grant_type": "client_credentials"}
        fields |= {"scope": self._scope} if self._scope else {}
        return urllib.request.Request(  # noqa: S310 - the setting is checked to be http or https
            self._url,
            data=urlencode(fields).encode(),
            headers={
                "Authorization": f"Basic {base64.b64encode(login.encode()).decode()}",
                "Accept": "application/json",
            },
        )

    @property
    def _name(self) -> str:
        return f"{name_variable('kafka_token_url')} {self._url.partition('?')[0]}"

    def _refuse(self, why: str) -> RefusedTokenError:
        return RefusedTokenError(
            f"{self._name} gives no token ({why}); correct it, "
            f"{name_variable('kafka_username')} or "
            f"{name_variable('kafka_password')}"
        )

    def _refuse_certificate(self, error: ssl.SSLCertVerificationError) -> RefusedTokenError:
        return RefusedTokenError(
            f"{self._name}: its certificate cannot be verified ({error.verify_message}); name the "
            f"server as that does, and add its authority to {name_variable('kafka_ca_file')}"
        )

    def _explain_status(self, error: urllib.error.HTTPError) -> RefusedTokenError | TokenError:
        if error.code >= _SERVERS_FAULT or error.code in _PASSING:
            return TokenError(f"{self._name}: it fails with HTTP {error.code}")
        try:
            code = str(json.loads(error.read(_MOST_BYTES))["error"])
        except (ValueError, TypeError, KeyError, OSError):
            code = ""
        # RFC 6749 names the codes; whatever else stands there may repeat what was sent.
        known = f", {code}" if code in _CODES else ""
        return self._refuse(f"HTTP {error.code}{known}")


def _read_seconds(text: object) -> float:
    """Read for how long a token holds, as a number or, as some write it, digits."""
    try:
        seconds = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return _UNSAID_SECONDS
    return seconds if 0 < seconds < float("inf") else _UNSAID_SECONDS


class _Unmoved(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the client's secret would go on to another place."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow none."""
