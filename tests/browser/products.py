"""The catalogue of the browser's shop: some products of each category that its crowd likes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from stream_persona.domain.taxonomy import Taxonomy

#: Products of a category, and what stands before its name in their titles.
KINDS: Final = ("Everyday", "Fine", "Large", "Small", "Gift")
#: Categories that begin with more popular products than the next one.
MOST: Final = 10_000


def products(taxonomy: Taxonomy) -> Iterator[dict[str, Any]]:
    """Yield products; those of one rank are of all categories in turn, so that popularity mixes."""
    categories = list(dict.fromkeys(
        category for persona in taxonomy.personas for category in persona.seeds.get("category", ())
    ))  # fmt: skip
    for rank, kind in enumerate(KINDS):
        for place, category in enumerate(categories):
            name = category.rpartition("/")[2].replace("-", " ")
            yield {
                "product_id": f"{category}-{rank}",
                "title": f"{kind} {name}",
                "category": category,
                "brand": f"Brand {rank}",
                "price": 5.0 + 3 * rank + place,
                "popularity": MOST - rank * len(categories) - place,
                "attributes": {"product_type": name},
                "bought_with": [
                    f"{other}-{(rank + 1) % len(KINDS)}"
                    for other in categories
                    if other != category
                ],
            }


def write_catalogue(folder: Path, taxonomy: Taxonomy) -> Path:
    """Write it as JSON Lines; return the file."""
    file = folder / "catalogue.jsonl"
    file.write_text("".join(f"{json.dumps(each)}\n" for each in products(taxonomy)))
    return file
