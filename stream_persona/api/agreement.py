"""Whether the API is set as the workers are; where it is not, it gives no answers.

With another number of partitions it would read a part of the model, with another taxonomy its
predictions would be of other personas, with other topics nobody would apply its commands. A public
record is what the workers have published, so lookups go on; so do probes, pages, and the overview,
which says what is wrong. Where the descriptor itself is gone, Redis has lost the records as well,
which makes nobody unknown: there are no lookups either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream_persona.api.problems import answer_unavailable, make_problem
from stream_persona.api.security.caller import may_operate
from stream_persona.errors import ConfigError, RedisUnavailableError, UnavailableError
from stream_persona.store import deployment as deployments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

    from stream_persona.domain.taxonomy import Taxonomy
    from stream_persona.settings import Settings
    from stream_persona.store.deployment import Deployment, Difference
    from stream_persona.store.tables import Tables

#: Seconds between two looks at the descriptor.
INTERVAL: Final = 2.0

#: What makes no answer of the API wrong: it names groups in figures alone, and reads records.
_HARMLESS: Final = ("group", "tastes")
#: The sentence for callers without the scope ``operate``, in place of the details.
DISAGREEMENT: Final = (
    "this API and the workers do not agree, so that answers could be wrong: a key with the scope "
    "`operate` sees why"
)
_OTHERWISE: Final = "this API is set otherwise than the workers"
_LOST: Final = (
    "this Redis holds nothing any more of the deployment that it had: set STREAM_PERSONA_REDIS_URL "
    "and STREAM_PERSONA_PREFIX to what they were, or stop all workers and fold it again from the "
    "topics with `stream-persona rebuild`"
)
_GATED: Final = ("/v1/", "/api/")
_LOOKUPS: Final = ("/v1/customers/", "/persona")
_OVERVIEW: Final = "/v1/overview"


class Agreement:
    """Compares the API's settings and taxonomy with the deployment's, which a worker has made."""

    def __init__(self, settings: Settings, taxonomy: Taxonomy, tables: Tables) -> None:
        self._settings = settings
        self._taxonomy = taxonomy
        self._tables = tables
        self._looked = self._found = False
        #: What makes answers wrong, in a sentence.
        self.fault: str | None = None
        #: ``fault``, or a difference that only makes the stream's figures wrong (the group's name).
        self.finding: str | None = None
        #: Whether there was a deployment, and is none any more.
        self.lost = False

    async def refresh(self) -> None:
        """Compare; where no worker has made a descriptor yet, there is nothing to disagree with.

        Raises:
            UnavailableError: Redis is away; what was found before holds.
        """
        try:
            stored = await deployments.load(self._tables)
        except ConfigError as error:
            self.fault = self.finding = str(error)
        else:
            self.lost = self._found and stored is None
            self._compare(stored)
        self._looked = True

    def _compare(self, stored: Deployment | None) -> None:
        if stored is None:
            self.fault = self.finding = _LOST if self.lost else None
            return
        self._found = True
        found = deployments.find_differences(self._settings, self._taxonomy, stored)
        self.finding = _describe([each for each in found if each.subject != "tastes"])
        self.fault = _describe([each for each in found if each.subject not in _HARMLESS])

    async def find_fault(self) -> str | None:
        """Return the fault; compare first if that has not been done.

        Raises:
            UnavailableError: Redis is away, and has been since the start.
        """
        if not self._looked:
            await self.refresh()
        return self.fault


def _describe(differences: Sequence[Difference]) -> str | None:
    """Describe the first difference; None if there is none."""
    return f"{_OTHERWISE}: {differences[0].message}" if differences else None


class AgreementMiddleware:
    """Middleware that answers 503 to what would be answered wrongly."""

    def __init__(self, app: ASGIApp, agreement: Agreement) -> None:
        self._app = app
        self._agreement = agreement

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through if its answer would be right."""
        if scope["type"] == "http" and self._is_gated(scope):
            try:
                fault = await self._agreement.find_fault()
            except UnavailableError as error:
                away = RedisUnavailableError(str(error))
                await answer_unavailable(scope, away)(scope, receive, send)
                return
            if fault is not None:
                message = fault if may_operate(scope) else DISAGREEMENT
                await make_problem(503, message, {"Retry-After": "1"})(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_gated(self, scope: Scope) -> bool:
        """Whether the answer rests on more than what workers have written for lookups."""
        path: str = scope["path"]
        if not path.startswith(_GATED) or path == _OVERVIEW:
            return False
        start, end = _LOOKUPS
        is_lookup = scope["method"] == "GET" and path.startswith(start) and path.endswith(end)
        return self._agreement.lost or not is_lookup
