"""The shop of everything that is long: titles, categories, brands and reasons."""

from typing import Any, Final

from tests.browser.stand_in import Answers

#: A product's answers are asked for by its path, so that its id is short.
_ID: Final = "P-{}"


def answers(customer: str, persona: str, titles: list[str], why: list[dict[str, Any]]) -> Answers:
    """Answers of the routes of the shop; each product has another title."""
    items = [_item(number, title) for number, title in enumerate(titles)]
    ranked = [
        {"item": item, "position": place, "score": 1.0, "affinity": 1.0, "why": why, "own": 1.0,
         "why_own": why}
        for place, item in reversed(list(enumerate(items)))
    ]  # fmt: skip
    order = {
        "customer_id": customer, "persona": persona, "fallback": None, "strength": 1.0, "own": 0.0,
        "own_fallback": None, "ambiguous": "baseline", "group": "treatment", "items": ranked,
    }  # fmt: skip
    return {
        "/v1/catalogue": {
            "products": len(items), "categories": [{"category": "c" * 90, "products": len(items)}],
            "other_categories": 0, "skipped": {}, "without_popularity": 0,
            "unknown_bought_with": 0,
        },
        "/v1/catalogue/search": {"q": "q" * 90, "total": len(items), "items": items},
        "/v1/catalogue/bought-together": {
            "product_ids": [_ID.format(0)], "unknown": [], "total": len(items), "items": items,
        },
        f"/v1/catalogue/products/{_ID.format(0)}": items[0],
        "/v1/rank": order,
        "/v1/recommendations": order,
    }  # fmt: skip


def _item(number: int, title: str) -> dict[str, Any]:
    return {
        "product_id": _ID.format(number), "title": title, "category": f"c/{'n' * 120}",
        "brand": "B" * 90, "price": 1e9, "attributes": {}, "score": 1.0,
    }  # fmt: skip
