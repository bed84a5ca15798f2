"""What the judge finds: mismatches, each with its customer, and figures."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: Mismatches of one check that are described in full.
IN_FULL = 20


@dataclass(frozen=True)
class Mismatch:
    """One difference: which check, of which customer, and what it is."""

    check: str
    customer: str
    what: str

    def __str__(self) -> str:
        return f"{self.check}: {self.customer or '-'}: {self.what}"


@dataclass
class Verdict:
    """All that was found; ``figures`` are of interest in a good run as well."""

    mismatches: list[Mismatch] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)

    def add(self, check: str, customer: str, what: str) -> None:
        self.mismatches.append(Mismatch(check, customer, what))

    def equal(
        self, check: str, found: Mapping[str, object], expected: Mapping[str, object]
    ) -> None:
        """Add a mismatch for every key that has another value, or that only one of them has."""
        for name in sorted(found.keys() | expected.keys()):
            if name not in expected:
                self.add(check, name, "is there, and should not be")
            elif name not in found:
                self.add(check, name, "is missing")
            elif found[name] != expected[name]:
                self.add(check, name, f"{short(found[name])}, not {short(expected[name])}")


def describe(mismatches: Iterable[Mismatch]) -> list[str]:
    """Describe the first mismatches of each check in full, then count the others."""
    seen: Counter[str] = Counter()
    lines = []
    for mismatch in mismatches:
        seen[mismatch.check] += 1
        if seen[mismatch.check] <= IN_FULL:
            lines.append(str(mismatch))
    more = {check: number - IN_FULL for check, number in seen.items() if number > IN_FULL}
    return [*lines, *(f"{check}: and {number} more" for check, number in more.items())]


def short(value: object) -> str:
    """Shorten a value to a line."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 160 else f"{text[:157]}..."
