"""The rows of the demo's catalogue, from the tables of the Complete Journey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy import sparse

from stream_persona.demo import journey_tables
from stream_persona.demo.titles import ProductData, make_titles

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from numpy.typing import NDArray

#: Least baskets of a product, and of a pair.
_LEAST_SOLD: Final = 12
_LEAST_TOGETHER: Final = 3
#: Products that are named as bought with others: the most popular; and most of them for one.
_PARTNERS: Final = 3_000
_MOST_PARTNERS: Final = 8
#: Products whose partners are found at a time, so that memory stays small.
_BLOCK: Final = 4_000
#: What is no product that a shop shows.
_NO_SHELF: Final = frozenset({
    "CHARITABLE CONT", "CNTRL/STORE SUP", "COUPON", "FUEL", "MISCELLANEOUS", "POSTAL CENTER",
    "PROD-WHS SALES", "TRAVEL & LEISURE",
})  # fmt: skip


def make_rows(lines: pd.DataFrame, products: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the catalogue's rows, the most popular product first."""
    known = products[~products["department"].isin(_NO_SHELF)]
    known = known[known["product_type"].notna() & known["department"].notna()]
    lines = lines[lines["product_id"].isin(known["product_id"])]
    sold = lines.groupby("product_id")["basket_id"].nunique()
    sold = sold[sold >= _LEAST_SOLD].sort_index().sort_values(ascending=False, kind="stable")
    lines = lines[lines["product_id"].isin(sold.index)]
    known = known.set_index("product_id").loc[sold.index]
    shown = journey_tables.make_catalogue(known)
    sums = lines.groupby("product_id")[["sales_value", "quantity"]].sum().loc[sold.index]
    prices = (sums["sales_value"] / sums["quantity"].clip(lower=1)).round(2).tolist()
    titles = make_titles(_describe(known))
    partners = find_partners(lines, sold)
    rows = zip(shown, titles, prices, sold.tolist(), partners, strict=True)
    for product, title, price, popularity, together in rows:
        yield {
            "product_id": product.product_id,
            "title": title,
            "category": product.category,
            "brand": product.brand,
            "price": price,
            "popularity": popularity,
            "attributes": {"product_type": product.product_type},
            "bought_with": [
                [shown[other].product_id, round(weight, 4)] for other, weight in together
            ],
        }


def _describe(products: pd.DataFrame) -> Iterator[ProductData]:
    columns = ["product_type", "department", "product_category", "package_size"]
    texts = products[columns].fillna("")
    return (ProductData(*row) for row in texts.itertuples(index=False))


def find_partners(lines: pd.DataFrame, sold: pd.Series) -> Iterator[list[tuple[int, float]]]:
    """Yield for each product, as ``sold`` has them, what goes with it best, and how well."""
    number = len(sold)
    rows = sold.index.get_indexer(lines["product_id"])
    _, baskets = np.unique(lines["basket_id"].to_numpy(), return_inverse=True)
    shape = (number, int(baskets.max()) + 1 if len(baskets) else 0)
    bought = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, baskets)), shape)
    bought.data[:] = 1.0  # a product that stands twice in a basket
    popular = bought[:_PARTNERS].T.tocsr()
    times = sold.to_numpy().astype(float)
    for start in range(0, number, _BLOCK):
        together = (bought[start : start + _BLOCK] @ popular).tocsr()
        for row in range(together.shape[0]):
            own = slice(together.indptr[row], together.indptr[row + 1])
            yield _choose(start + row, together.indices[own], together.data[own], times)


def _choose(
    row: int, others: NDArray[np.int32], counts: NDArray[np.float32], times: NDArray[np.float64]
) -> list[tuple[int, float]]:
    kept = (counts >= _LEAST_TOGETHER) & (others != row)
    others, counts = others[kept], counts[kept]
    weights = counts / np.sqrt(times[others] * times[row])
    best = np.lexsort((others, -weights))[:_MOST_PARTNERS]
    return list(zip(others[best].tolist(), weights[best].tolist(), strict=True))
