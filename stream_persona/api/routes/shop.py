"""Routes of the shop: the catalogue, what is found in it, and recommendations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from msgspec import Raw
from starlette.exceptions import HTTPException

from stream_persona.api.customer_ids import refuse_two_ids
from stream_persona.api.routes.common import ANY, encode_answer
from stream_persona.api.schemas import shop as documents
from stream_persona.api.schemas.queries import describe_answer, describe_problem, describe_problems
from stream_persona.api.shop.catalogue import NOTHING
from stream_persona.api.shop.recommendations import Asked
from stream_persona.client.ranking import MOST_STRENGTH, STRENGTH
from stream_persona.domain.events import MAX_ID_BYTES

if TYPE_CHECKING:
    from stream_persona.api.dependencies import Dependencies

#: Most categories that are listed, and most products of an answer and of a question.
MOST_CATEGORIES: Final = 200
MOST_ITEMS: Final = 200
MOST_GIVEN: Final = 50
_MOST_QUERY: Final = 256
_MOST_CATEGORY: Final = 512

Limit = Annotated[int, Query(ge=1, le=MOST_ITEMS, description="Most products of the answer.")]
_ProductId = Annotated[str, Query(max_length=MAX_ID_BYTES)]
_MISSING: Final[dict[int | str, Any]] = {
    404: describe_problem("No catalogue is set, or there is no such product in it.")
}


def build_router(dependencies: Dependencies) -> APIRouter:
    """Build the routes."""
    routes = APIRouter(tags=["shop"], responses=ANY | _MISSING | describe_problems(431))
    _add_catalogue(routes, dependencies)
    _add_search(routes, dependencies)
    _add_together(routes, dependencies)
    _add_recommendations(routes, dependencies)
    return routes


def _add_catalogue(routes: APIRouter, dependencies: Dependencies) -> None:
    @routes.get(
        "/v1/catalogue", summary="The catalogue, and what of its file is left out",
        responses=describe_answer(documents.CatalogueFacts, "Its figures.")
        | describe_problems(503),
    )  # fmt: skip
    async def catalogue() -> Response:
        """Count the products, by the top level of their categories, and the rows left out.

        Without a catalogue there are none: the other routes say then how to set one.
        """
        facts = dependencies.catalogue.facts or NOTHING
        listed = list(facts.categories.items())[:MOST_CATEGORIES]
        return encode_answer({
            "products": facts.products,
            "categories": [{"category": name, "products": n} for name, n in listed],
            "other_categories": len(facts.categories) - len(listed),
            "skipped": facts.skipped,
            "without_popularity": facts.without_popularity,
            "unknown_bought_with": facts.unknown_partners,
        })  # fmt: skip

    @routes.get(
        "/v1/catalogue/products/{product_id:path}", summary="A product",
        responses=describe_answer(documents.ShopItem, "The product.") | describe_problems(400, 503),
    )  # fmt: skip
    async def product(product_id: str) -> Response:
        """Give a product of the catalogue, as `/v1/rank` takes it."""
        found = dependencies.catalogue.get()
        position = found.positions.get(product_id)
        if position is None:
            raise HTTPException(404, f"product {product_id!r:.80} is not in the catalogue")
        return Response(found.encode_item(position), media_type="application/json")


def _add_search(routes: APIRouter, dependencies: Dependencies) -> None:
    @routes.get(
        "/v1/catalogue/search", summary="Products by words, the most popular first",
        responses=describe_answer(documents.Found, "The products.") | describe_problems(400, 503),
    )  # fmt: skip
    async def search(
        q: Annotated[
            str, Query(max_length=_MOST_QUERY, description="Words; the last one may go on.")
        ] = "",
        category: Annotated[
            str,
            Query(max_length=_MOST_CATEGORY, description="A level of a category, as in events."),
        ] = "",
        limit: Limit = 20,
    ) -> Response:
        """Find products with all words in their title, category or brand: the baseline of a search.

        Without words these are all products of the category, or of the catalogue.
        """
        found = dependencies.catalogue.get()
        positions = found.search(q, category)
        items = [Raw(found.encode_item(each)) for each in positions[:limit].tolist()]
        return encode_answer({"q": q, "total": len(positions), "items": items})


def _add_together(routes: APIRouter, dependencies: Dependencies) -> None:
    @routes.get(
        "/v1/catalogue/bought-together", summary="Products that are bought with others",
        responses=describe_answer(documents.Together, "The products.")
        | describe_problems(400, 503),
    )  # fmt: skip
    async def bought_together(
        product_id: Annotated[
            list[_ProductId], Query(min_length=1, max_length=MOST_GIVEN, description="One or more.")
        ],
        limit: Limit = 20,
    ) -> Response:
        """Find what is bought with products: each score is the sum of the weights beside them."""
        catalogue = dependencies.catalogue.get()
        known = [catalogue.positions[each] for each in product_id if each in catalogue.positions]
        positions, scores = catalogue.find_together(known)
        best = zip(positions[:limit].tolist(), scores[:limit].tolist(), strict=True)
        return encode_answer({
            "product_ids": product_id,
            "unknown": [each for each in product_id if each not in catalogue.positions],
            "total": len(positions),
            "items": [Raw(catalogue.encode_item(each, score)) for each, score in best],
        })  # fmt: skip


def _add_recommendations(routes: APIRouter, dependencies: Dependencies) -> None:
    described: dict[str, Any] = {
        "summary": "Products of the catalogue that suit a shopper",
        "responses": describe_answer(documents.Recommendations, "The products, the best first.")
        | describe_problems(400, 503),
        "dependencies": [Depends(refuse_two_ids)],
    }

    @routes.get("/v1/recommendations", **described)
    @routes.get("/v1/recommendations/{customer_id:path}", **described)
    async def recommendations(
        customer_id: str,
        limit: Limit = 10,
        strength: Annotated[float, Query(ge=0, le=MOST_STRENGTH, allow_inf_nan=False)] = STRENGTH,
        own: Annotated[float, Query(ge=0, le=MOST_STRENGTH, allow_inf_nan=False)] = 0.0,
        ambiguous: Literal["baseline", "mixture"] | None = None,
        exclude: Annotated[list[_ProductId] | None, Query(max_length=MOST_GIVEN)] = None,
    ) -> Response:
        """Rank the whole catalogue for a shopper, as `/v1/rank` would; the best are the answer.

        A shopper who is unknown, ambiguous or held out gets the most popular products, and
        `fallback` says which it was. What the shopper has bought before is not left out: name in
        `exclude` what should be.
        """
        choice = dependencies.ranker.choose(strength, own, ambiguous)
        asked = Asked(customer_id, limit, choice, exclude or ())
        return encode_answer(await dependencies.recommender.recommend(asked))
