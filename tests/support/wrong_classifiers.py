"""Classifiers that a setting may name and that can't work."""

from typing import NoReturn

from river import base


class Unmade(base.Classifier):
    """Can't be made."""

    def __init__(self) -> None:
        raise RuntimeError("no data set")

    def learn_one(self, x: object, y: object) -> NoReturn:
        raise NotImplementedError


class Unlearning(base.Classifier):
    """Can't learn."""

    _multiclass = True

    def learn_one(self, x: object, y: object) -> NoReturn:
        raise RuntimeError("the tree has no root")

    def predict_proba_one(self, x: object) -> dict[str, float]:
        return {}


class Silent(Unlearning):
    """Can't predict."""

    def learn_one(self, x: object, y: object) -> None:
        """Learn nothing."""

    def predict_proba_one(self, x: object) -> NoReturn:
        raise RuntimeError("no answer")


class Unrelated:
    """Is no classifier."""
