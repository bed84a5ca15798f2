"""Logging in by an OpenID provider: the code flow with PKCE, and a signed session in a cookie.

authlib does the flow and checks the identity token. What must be remembered between both halves of
a login, and then as long as the session lasts, is in cookies that this API alone can make: signed
with a key that is derived from the client's secret, so that each of its processes reads them.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from authlib.integrations.starlette_client import OAuthError, StarletteOAuth2App
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from stream_persona.api.security.logins import LoginError, Person, ProviderAwayError

try:  # authlib calls by it where it is there
    from httpx2 import HTTPError
except ModuleNotFoundError:
    from httpx import HTTPError  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_persona.settings import Settings

logger = logging.getLogger(__name__)

#: Seconds of a session, and those that a login may take.
SESSION_SECONDS: Final = 8 * 3_600
LOGIN_SECONDS: Final = 600
#: Seconds that the provider may take to answer.
_PATIENCE: Final = 5.0
#: Signatures that a key of the provider's makes, which nobody else has.
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA", "Ed25519")
_MOST_GROUPS: Final = 50


class Provider:
    """An OpenID provider. ``clock`` gives epoch seconds."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._issuer = settings.oidc_issuer.rstrip("/")
        self._redirect_url = settings.oidc_redirect_url
        self._clock = clock
        secret = settings.oidc_client_secret
        key = hmac.new(secret.encode(), b"sessions of stream_persona", hashlib.sha256).digest()
        self._key = OctKey.import_key(key)
        self._client_id = settings.oidc_client_id
        self._secret = secret
        self._app: StarletteOAuth2App | None = None
        logging.getLogger("authlib").setLevel(logging.INFO)  # at DEBUG it logs verifiers

    async def begin(self) -> tuple[str, str]:
        """Begin a login; return the provider's address to go to, and what to remember.

        Raises:
            ProviderAwayError: it does not answer.
        """
        try:
            app = await self._load_app()
            begun = await app.create_authorization_url(self._redirect_url)
        except (HTTPError, OAuthError, RuntimeError, ValueError) as error:
            raise _make_away_error(error) from error
        kept = {name: begun[name] for name in ("state", "nonce", "code_verifier")}
        return begun["url"], self._sign("login", kept, LOGIN_SECONDS)

    async def finish(self, query: Mapping[str, str], remembered: str) -> str:
        """Finish a login; return the session.

        Raises:
            ProviderAwayError: the provider does not answer.
            LoginError: it is not the login that was begun here, or the provider refuses it.
        """
        kept = self._read("login", remembered)
        state = query.get("state", "")
        if kept is None or not hmac.compare_digest(state.encode(), str(kept["state"]).encode()):
            raise LoginError("this login was not begun here, or took too long: open /login again")
        if "code" not in query:
            logger.warning("the provider refused a login: %.200r", query.get("error"))
            raise LoginError("the provider refused the login: open /login again")
        claims = await self._exchange(query["code"], kept)
        until = int(self._clock()) + SESSION_SECONDS
        return self._sign("session", {**_select_facts(claims), "until": until}, SESSION_SECONDS)

    def find_person(self, session: str) -> Person | None:
        """Return the person of a session that has not ended."""
        kept = self._read("session", session)
        if kept is None:
            return None
        return Person(kept["sub"], kept["email"], frozenset(kept["groups"]), kept["until"])

    async def _exchange(self, code: str, kept: Mapping[str, Any]) -> dict[str, Any]:
        try:
            app = await self._load_app()
            token = await app.fetch_access_token(
                self._redirect_url, code=code, code_verifier=kept["code_verifier"]
            )
            options = {
                "iss": {"essential": True, "value": self._find_issuer(app)},
                "aud": {"essential": True, "value": self._client_id},
            }
            claims = await app.parse_id_token(token, kept["nonce"], options)
        except (OAuthError, JoseError, KeyError, TypeError, ValueError) as error:
            logger.warning("a login failed: %s", type(error).__name__)
            raise LoginError("the login failed: open /login again") from error
        except (HTTPError, RuntimeError) as error:
            raise _make_away_error(error) from error
        if claims is None:
            raise LoginError("the provider gives no identity: its operators must allow `openid`")
        return dict(claims)

    async def _load_app(self) -> StarletteOAuth2App:
        """Return the client, once the provider has named where its endpoints are."""
        if self._app is not None:
            return self._app
        app = StarletteOAuth2App(
            None, "provider", client_id=self._client_id, client_secret=self._secret,
            server_metadata_url=f"{self._issuer}/.well-known/openid-configuration",
            client_kwargs={
                "scope": "openid email profile", "code_challenge_method": "S256",
                "timeout": _PATIENCE,
            },
        )  # fmt: skip
        found = await app.load_server_metadata()
        if str(found.get("issuer", "")).rstrip("/") != self._issuer:
            raise ValueError("it names another issuer than STREAM_PERSONA_OIDC_ISSUER")
        offered = found.get("id_token_signing_alg_values_supported") or ["RS256"]
        allowed = [each for each in offered if each in _ALGORITHMS]
        app.server_metadata["id_token_signing_alg_values_supported"] = allowed or ["RS256"]
        self._app = app
        return app

    def _find_issuer(self, app: StarletteOAuth2App) -> str:
        return str(app.server_metadata["issuer"])

    def _sign(self, use: str, facts: Mapping[str, object], seconds: int) -> str:
        claims = {**facts, "use": use, "exp": int(self._clock()) + seconds}
        return jwt.encode({"alg": "HS256"}, claims, self._key)

    def _read(self, use: str, signed: str) -> dict[str, Any] | None:
        """Return what was signed for a use and has not ended."""
        try:
            claims = jwt.decode(signed, self._key, algorithms=["HS256"]).claims
        except (JoseError, ValueError):
            return None
        if claims.get("use") != use or claims["exp"] <= self._clock():
            return None
        return claims


def _make_away_error(error: Exception) -> ProviderAwayError:
    logger.warning("the OpenID provider is not usable: %s", error)
    return ProviderAwayError("the OpenID provider does not answer: try again later")


def _select_facts(claims: Mapping[str, Any]) -> dict[str, object]:
    """Return what a session holds: an address counts if the provider has verified it."""
    email = claims.get("email") if claims.get("email_verified") is True else ""
    groups = claims.get("groups")
    named = [each for each in groups if isinstance(each, str)] if isinstance(groups, list) else []
    return {"sub": str(claims["sub"]), "email": str(email or ""), "groups": named[:_MOST_GROUPS]}
