"""Models of answers on the shop's catalogue, for the documentation."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, Field, JsonValue

from stream_persona.api.schemas.queries import Number, RankAnswer, configure_example

_ITEM: Final[dict[str, JsonValue]] = {
    "product_id": "P-17", "title": "Diapers, 40 pieces", "category": "baby/diapers",
    "brand": "Tiny", "price": 9.5, "attributes": {"size": "4"}, "score": 812.0,
}  # fmt: skip


class ShopItem(BaseModel):
    """A product, as `/v1/rank` takes it."""

    model_config = configure_example(**_ITEM)

    product_id: str
    title: str
    category: str | None
    brand: str | None
    price: Annotated[float | None, Field(ge=0)]
    attributes: dict[str, str]
    score: Annotated[
        float, Field(ge=0, description="The baseline's: the popularity, or what the route says.")
    ]


class CategoryCount(BaseModel):
    """A top level of the categories."""

    category: str
    products: Number


class CatalogueFacts(BaseModel):
    """What was read of the catalogue's file."""

    model_config = configure_example(
        products=50_189, categories=[{"category": "grocery", "products": 22_307}],
        other_categories=0, skipped={"duplicate": 2}, without_popularity=0, unknown_bought_with=0,
    )  # fmt: skip

    products: Number
    categories: Annotated[list[CategoryCount], Field(description="The largest first.")]
    other_categories: Annotated[int, Field(ge=0, description="Those that are not listed.")]
    skipped: Annotated[dict[str, Number], Field(description="Rows left out, by reason.")]
    without_popularity: Annotated[int, Field(ge=0, description="Products that come last for it.")]
    unknown_bought_with: Annotated[
        int, Field(ge=0, description="Ids in `bought_with` that no product has.")
    ]


class Found(BaseModel):
    """What a search finds, the most popular first."""

    model_config = configure_example(q="diap", total=1, items=[_ITEM])

    q: str
    total: Annotated[int, Field(ge=0, description="All that it finds.")]
    items: list[ShopItem]


class Together(BaseModel):
    """What is bought with products, that which goes best with them first."""

    model_config = configure_example(
        product_ids=["P-3", "P-4"], unknown=["P-4"], total=1, items=[_ITEM]
    )

    product_ids: list[str]
    unknown: Annotated[list[str], Field(description="Those that are not in the catalogue.")]
    total: Annotated[int, Field(ge=0, description="All that is bought with them.")]
    items: list[ShopItem]


class Recommendations(RankAnswer):
    """The products, the best first."""

    model_config = configure_example(
        customer_id="CUST-04812", persona="parent_of_young_kids", fallback=None,
        group="treatment", strength=1.0, own=0.0, own_fallback=None, ambiguous="baseline",
        items=[{
            "item": _ITEM, "position": 34, "score": 3_167.0, "affinity": 3.9,
            "why": [{"feature": "category", "value": "baby/diapers", "lift": 4.2}],
            "own": 1.0, "why_own": [],
        }],
    )  # fmt: skip
