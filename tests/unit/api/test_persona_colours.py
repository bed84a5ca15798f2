"""Colours of personas: as many as a taxonomy may have, apart from each other and from the page."""

import re
from importlib import resources
from itertools import combinations

import numpy as np
import pytest

from stream_persona.domain.taxonomy import MOST

STATIC = resources.files("stream_persona.api") / "static"
#: The least ratio of contrast of what is no text (WCAG 2.2, 1.4.11).
CONTRAST = 3.0
#: Distances in OKLab of which two colours are apart, for full and for deficient colour vision.
APART, APART_DEFICIENT = 0.06, 0.035

#: OKLab's two matrices (Ottosson, 2020).
TO_CONES = np.array([
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
])  # fmt: skip
TO_LAB = np.array([
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
])  # fmt: skip
#: What linear RGB becomes without red, green or blue cones (Machado, Oliveira, Fernandes, 2009).
VISIONS = {
    "full": np.eye(3),
    "protanopia": np.array([
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]),
    "deuteranopia": np.array([
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]),
    "tritanopia": np.array([
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ]),
}  # fmt: skip

THEMES = pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])


def variables(theme: int) -> dict[str, str]:
    """The style's colours by name; the dark theme's stand behind the light one's."""
    text = (STATIC / "base.css").read_text()
    part = text.split("@media (prefers-color-scheme: dark)", 1)[theme]
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", part.partition("\n}\n")[0]))


def linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def seen(colour: str, vision: str) -> np.ndarray:
    """A colour in OKLab as it is seen."""
    return TO_LAB @ np.cbrt(TO_CONES @ np.clip(VISIONS[vision] @ linear(colour), 0, 1))


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(linear(each) @ [0.2126, 0.7152, 0.0722]) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


def colours(theme: int) -> list[str]:
    known = variables(theme)
    return [known[f"p{number}"] for number in range(MOST)]


@THEMES
def test_every_persona_that_a_taxonomy_may_have_has_a_colour_of_its_own(theme: int) -> None:
    assert len(set(colours(theme))) == MOST
    assert f"p{MOST}" not in variables(theme)


def test_the_page_uses_as_many_colours_as_a_taxonomy_may_have_personas() -> None:
    assert f"const COLOURS = {MOST};" in (STATIC / "words.js").read_text()


@THEMES
def test_colours_of_personas_stand_out_from_the_page(theme: int) -> None:
    ground = variables(theme)["card"]
    assert min(contrast(each, ground) for each in colours(theme)) >= CONTRAST


@THEMES
@pytest.mark.parametrize("vision", VISIONS)
def test_no_two_personas_look_alike(theme: int, vision: str) -> None:
    found = [seen(each, vision) for each in [*colours(theme), variables(theme)["none"]]]
    apart = APART if vision == "full" else APART_DEFICIENT
    nearest = min(float(np.linalg.norm(one - other)) for one, other in combinations(found, 2))
    assert nearest >= apart
