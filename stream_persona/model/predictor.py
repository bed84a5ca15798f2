"""The port for predictions: what pipeline, explanations and API use of a fitted model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stream_persona.domain.features import Profiles

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]


class Predictor(Protocol):
    """A model that has been fitted; immutable.

    ``classes`` are the personas, in the order of every column. ``version`` is equal for equal
    predictions, ``customers`` the labelled customers it was fitted to, ``log_prior`` (classes,).
    ``threshold`` is the confidence from which personas are named, and ``thresholds`` has that of
    each persona, as high or higher: more than 1 for one that is never named. ``candidate_floor`` is
    the probability from which one is a candidate. All are None where they are not measured.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def version(self) -> str: ...  # noqa: D102

    @property
    def customers(self) -> int: ...  # noqa: D102

    @property
    def log_prior(self) -> Floats: ...  # noqa: D102

    @property
    def threshold(self) -> float | None: ...  # noqa: D102

    @property
    def thresholds(self) -> tuple[float | None, ...]: ...  # noqa: D102

    @property
    def candidate_floor(self) -> float | None: ...  # noqa: D102

    @property
    def weighted_slots(self) -> Ints:
        """The slots of the tokens that have a weight of their own, ascending."""
        ...

    def predict_probabilities(self, profiles: Profiles) -> Floats:
        """Return the posterior over ``classes``, (rows, classes); each row sums to 1.

        A row does not depend on the others.
        """
        ...

    def compute_logits(self, profiles: Profiles) -> Floats:
        """Return unnormalised log-probabilities before any calibration of the likeliest one's.

        (rows, classes).
        """
        ...

    def compute_contributions(self, profiles: Profiles) -> tuple[Ints, Ints, Floats]:
        """Return row and slot of each weighted token, and what it adds to logits.

        The rows ascend; the last array is (tokens, classes).
        """
        ...

    def predict_one(self, profile: Profiles) -> tuple[Floats, Ints, Floats]:
        """Return ``probabilities`` and ``evidence`` of one row, worked out together.

        The posterior is (classes,), the slots are (tokens,), what they add is (tokens, classes).
        """
        ...

    def compute_share_log_ratios(self, slots: Ints) -> Floats:
        """Return the log-ratio of each class's share of a token to the common one.

        It is shown and ranked by: shrunken to 0 where few customers have the token. (slots,
        classes); each of ``slots`` must be one of ``weighted_slots``.
        """
        ...

    def list_common_shares(self) -> tuple[Ints, Floats]:
        """Return the slots of tokens that enough labelled customers have, and their common shares.

        That is the share of these customers' events with the token. The slots ascend.
        """
        ...
