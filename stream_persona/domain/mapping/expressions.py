"""JMESPath expressions: compiled once, with every mistake found when they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import jmespath
from jmespath.exceptions import JMESPathError, JMESPathTypeError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

from stream_persona.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What an expression may raise on a document that it was not written for.
_FAILURES: Final = (
    JMESPathError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError,
    ValueError,
)  # fmt: skip
#: Nodes of JMESPath that return the result of their second child.
_PASSED_ON: Final = frozenset({
    "subexpression", "pipe", "projection", "filter_projection", "value_projection",
})  # fmt: skip
_FUNCTIONS: Final[Mapping[str, Mapping[str, Any]]] = Functions.FUNCTION_TABLE  # type: ignore[attr-defined,unused-ignore]


class Expression:
    """A compiled expression; ``a.b.c``, as most are, is looked up without JMESPath."""

    __slots__ = ("_keys", "_parsed", "text")

    def __init__(self, text: str) -> None:
        """Compile a text.

        Raises:
            ValueError: it is no JMESPath; the message says where.
        """
        self.text = text
        try:
            self._parsed = jmespath.compile(text).parsed
        except JMESPathError as error:
            reason = " ".join(str(error).split("\n")[0].split()).rstrip(".:")
            message = f"{text!r} is no JMESPath expression: {reason}"
            raise ValueError(message) from None
        except RecursionError:
            message = "the expression is nested too deep"
            raise ValueError(message) from None
        _check_functions(text, self._parsed)
        self._keys = _find_keys(self._parsed)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def search(self, document: object) -> Any:
        """Return what is found in a document, None where nothing is.

        Raises:
            DecodeError: a function met what it cannot take.
        """
        if self._keys is not None:
            for key in self._keys:
                if not isinstance(document, dict):
                    return None
                document = document.get(key)
            return document
        try:
            return TreeInterpreter().visit(self._parsed, document)
        except _FAILURES as error:
            reason = _find_reason(error)
            raise DecodeError(
                "invalid_field", f"`{self.text}` cannot be evaluated: {reason}"
            ) from None

    def misses(self, document: object) -> bool:
        """Whether names joined by dots lead to nothing, not even to null."""
        for key in self._keys or ():
            if not isinstance(document, dict) or key not in document:
                return True
            document = document[key]
        return False

    @property
    def hash_keys(self) -> tuple[str, ...]:
        """The names in ``{name: expression}``, where that is what an expression makes."""
        node = self._parsed
        while node["type"] in _PASSED_ON:
            node = node["children"][1]
        is_hash = node["type"] == "multi_select_dict"
        return tuple(each["value"] for each in node["children"]) if is_hash else ()

    def holds(self, document: object) -> bool:
        """Whether a condition holds: as JMESPath has it, 0 does and what is empty does not.

        One that cannot be evaluated, as ``starts_with`` of a field that is not there, does not.
        """
        try:
            found = self.search(document)
        except DecodeError:
            return False
        return found not in (None, False, "", [], {}) or (found == 0 and found is not False)


def _find_reason(error: Exception) -> str:
    """Return what is wrong, without the value: it may be anybody's, and as long as the document."""
    if isinstance(error, JMESPathTypeError):
        expected = " or ".join(error.expected_types)
        return f"{error.function_name}() got {error.actual_type}, expected {expected}"
    return "a function met what it cannot take"


def _find_keys(node: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the names of ``a.b.c``; None of any other expression."""
    if node["type"] == "field":
        return (node["value"],)
    if node["type"] != "subexpression":
        return None
    parts = [_find_keys(child) for child in node["children"]]
    return tuple(key for part in parts if part for key in part) if all(parts) else None


def _check_functions(text: str, parsed: Mapping[str, Any]) -> None:
    """Refuse functions that there are none of, and wrong numbers of arguments.

    JMESPath itself finds them only when they are called.
    """
    for node in _walk(parsed):
        if node.get("type") != "function_expression":
            continue
        name, given = node["value"], len(node["children"])
        if name not in _FUNCTIONS:
            known = ", ".join(sorted(_FUNCTIONS))
            message = f"{text!r} calls {name}(), which is no function; there are {known}"
            raise ValueError(message)
        signature = _FUNCTIONS[name]["signature"]
        is_variadic = bool(signature and signature[-1].get("variadic"))
        if given < len(signature) or (given > len(signature) and not is_variadic):
            message = f"{text!r} gives {name}() {given} arguments; it takes {len(signature)}"
            raise ValueError(message)


def _walk(node: object) -> Iterator[Mapping[str, Any]]:
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield each
            waiting.extend(each.get("children", ()))
