"""Catalogues to test with: of a few rows, or of many that repeat themselves as a shop's do."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from typing import Any

from stream_persona.api.shop.builder import CatalogueBuilder
from stream_persona.api.shop.catalogue import Catalogue
from stream_persona.client.ranking import Affinities

CATEGORIES = ("Baby/Diapers", "Baby/Food", "pets/dog", "pets/cat", "books", "garden/tools/saws")
BRANDS = ("Tiny", "Rex", "Acme & Co", None)


def row(number: object = 1, **more: object) -> dict[str, Any]:
    """A row that is taken."""
    return {"product_id": f"P-{number}", "title": f"Thing {number}", **more}


def lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as JSON Lines."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in rows)


def build(rows: Iterable[Mapping[str, Any]]) -> Catalogue:
    """The catalogue of some rows."""
    builder = CatalogueBuilder("/")
    for each in rows:
        builder.add(json.dumps(each).encode())
    return builder.build()


def shop_rows(number: int, seed: int = 1) -> list[dict[str, Any]]:
    """Rows like those of a shop: few categories, brands and prices, popularities that repeat."""
    rng = random.Random(seed)
    return [
        row(
            n, title=f"{rng.choice(['Small', 'Large'])} thing {n}", brand=rng.choice(BRANDS),
            category=rng.choice([*CATEGORIES, None]), price=rng.choice([None, 0.5, 3, 9.99, 120]),
            popularity=rng.choice([0, 1, 5, 5, 20, 300]),
            attributes={"size": rng.choice("SML")} if rng.random() < 0.5 else {},
        )
        for n in range(number)
    ]  # fmt: skip


def likings_of_personas(seed: int = 1) -> Affinities:
    """Lifts of three personas for what such rows have."""
    rng = random.Random(seed)
    tokens = [
        "category:baby", "category:baby/diapers", "category:pets", "category:pets/dog",
        "category:garden/tools", "brand:tiny", "brand:acme & co", "price:8..16", "price:<0.25",
        "attributes.size:s", "product:P-3", "product:P-7",
    ]  # fmt: skip
    return Affinities({
        name: {token: rng.uniform(0.05, 25) for token in tokens if rng.random() < 0.8}
        for name in ("parent", "pet_owner", "student")
    })  # fmt: skip
