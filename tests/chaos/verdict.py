"""What the judge finds: mismatches, each with its customer, and figures worth telling."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: Mismatches of one check that are told in full.
TOLD = 20


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
    """All that was found; ``figures`` are what is worth telling of a good run as well."""

    mismatches: list[Mismatch] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)

    def add(self, check: str, customer: str, what: str) -> None:
        self.mismatches.append(Mismatch(check, customer, what))

    def equal(
        self, check: str, found: Mapping[str, object], expected: Mapping[str, object]
    ) -> None:
        """One mismatch for every key that has another value, or that only one of them has."""
        for name in sorted(found.keys() | expected.keys()):
            if name not in expected:
                self.add(check, name, "is there, and should not be")
            elif name not in found:
                self.add(check, name, "is missing")
            elif found[name] != expected[name]:
                self.add(check, name, f"{short(found[name])}, not {short(expected[name])}")


def told(mismatches: Iterable[Mismatch]) -> list[str]:
    """The first mismatches of each check in full, then how many more there are."""
    seen: Counter[str] = Counter()
    lines = []
    for mismatch in mismatches:
        seen[mismatch.check] += 1
        if seen[mismatch.check] <= TOLD:
            lines.append(str(mismatch))
    more = {check: number - TOLD for check, number in seen.items() if number > TOLD}
    return [*lines, *(f"{check}: and {number} more" for check, number in more.items())]


def short(value: object) -> str:
    """A value, short enough for a line."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 160 else f"{text[:157]}..."
