"""Titles that people can read, of the Complete Journey's product types and sizes.

The data have types in capitals, abbreviated and cut off at 30 characters, and no names.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WORDS: Final = {
    "beeralemalt": "beer, ale and malt", "bev": "beverages", "brd": "bread",
    "btl": "bottle", "btls": "bottles", "cand": "candy", "carb": "carbonated", "catfd": "cat food",
    "chix": "chicken", "chocol": "chocolate", "chocola": "chocolate", "chococlate": "chocolate",
    "choc": "chocolate", "ckng": "cooking", "cnd": "candy", "coff": "coffee",
    "crbntd": "carbonated", "dete": "detergents", "dnrs": "dinners", "dogfd": "dog food",
    "drnk": "drinks", "drnking": "drinking", "drnkng": "drinking", "etc": "", "excl": "without",
    "exc": "without", "fd": "food", "fre": "fresh", "fem": "feminine", "flv": "flavoured",
    "flvr": "flavour", "flvrd": "flavoured", "frd": "fried", "frz": "frozen", "frzn": "frozen",
    "gds": "goods",
    "grnd": "ground", "hygn": "hygiene", "inc": "with", "incl": "with", "juic": "juice",
    "jce": "juice", "liq": "liquid", "micro": "microwave", "misc": "other",
    "mlk": "milk", "mnr": "mineral", "mnrl": "mineral", "mustar": "mustard",
    "naturl": "natural", "ntrtnl": "nutritional", "otc": "", "oth": "other", "otyher": "other",
    "pk": "pack", "pkg": "package", "pkgd": "packaged", "plstc": "plastic", "pnch": "punch",
    "prpck": "prepacked", "pwdrs": "powders", "refrg": "refrigerated",
    "refrgratd": "refrigerated", "refrig": "refrigerated", "rw": "raw", "rtd": "ready to drink",
    "rts": "ready to serve", "sauc": "sauces", "saucessalsapicantee": "sauces and salsa",
    "saus": "sausage", "sft": "soft", "shldr": "shoulder", "sngl": "single", "snk": "snack",
    "specilaty": "speciality", "spcl": "special", "spt": "sport", "srv": "serve",
    "ss": "single-serve", "stk": "stick", "supplemen": "supplements", "swt": "sweet",
    "thn": "thin", "veg": "vegetables", "w": "with", "wht": "white", "wo": "without",
    "wtr": "water", "xpctrnt": "expectorant",
}  # fmt: skip
#: Written in capitals.
_CAPITALS: Final = frozenset({"bbq", "cd", "dvd", "mlb", "nfl", "spf", "tv"})
#: Types that say little, or too much, of what is sold most.
_NAMES: Final = {
    "BEERALEMALT LIQUORS": "Beer",
    "DAIRY CASE 100% PURE JUICE - O": "Orange juice",
    "FLUID MILK WHITE ONLY": "White milk",
    "MAINSTREAM WHITE BREAD": "White bread",
    "SFT DRNK 2 LITER BTL CARB INCL": "Soft drinks, 2 litre bottle",
    "SOFT DRINKS 12/18&15PK CAN CAR": "Soft drinks, cans in a case",
    "SOFT DRINKS 6PK/4PK CAN CARB (": "Soft drinks, cans",
    "YOGURT NOT MULTI-PACKS": "Yogurt",
}
#: Departments whose types of one word need the category before them, as `Beef, lean`; and one whose
#: sizes are those of crates.
_NEED_CATEGORY: Final = ("MEAT", "DELI", "PASTRY", "SEAFOOD", "COSMETICS")
_CRATES: Final = "PRODUCE"
_SIZE: Final = re.compile(r"(?:\d+ )?\d*[./]?\d+ (?:OZ|LB|CT|ML|GAL|QT|PT|L|LTR|PK|KG|G|IN|FT)\b")
#: What a type does not end with: the rest was cut off.
_NO_END: Final = frozenset({"and", "with", "without", "of", *string.ascii_lowercase})


class ProductData(NamedTuple):
    """What the data say of a product; an empty text is nothing."""

    kind: str
    department: str
    category: str
    size: str


def make_titles(products: Iterable[ProductData]) -> Iterator[str]:
    """Yield a title of each product: equal ones are numbered, so that no two are the same."""
    seen: Counter[str] = Counter()
    for product in products:
        size = None if product.department == _CRATES else _SIZE.search(product.size)
        name = write_type(product.kind, product.department, product.category)
        title = f"{name}, {size[0].lower()}" if size else name
        seen[title] += 1
        yield title if seen[title] == 1 else f"{title}, variety {seen[title]}"


@cache
def write_type(kind: str, department: str = "", category: str = "") -> str:
    """Write a type in plain case, with its abbreviations in full.

    >>> write_type("FRZN SS PREMIUM ENTREES/DNRS/N"), write_type("CANDY BARS (SINGLES)(INCLUDING")
    ('Frozen single-serve premium entrees/dinners', 'Candy bars')
    >>> write_type("LEAN", "MEAT", "BEEF")
    'Beef, lean'
    """
    if kind in _NAMES:
        return _NAMES[kind]
    name = _write(kind)
    if " " not in name and department.startswith(_NEED_CATEGORY) and (before := _write(category)):
        name = name if name[:4] == before[:4] else f"{before}, {name}"
    return name[:1].upper() + name[1:]


def _write(kind: str) -> str:
    text = kind.partition("(")[0].lower().replace("w/o", "wo ").replace("w/", "w ")
    text = text.replace("-magazine", " magazine").replace("seafood-", "seafood ")
    text = re.sub(r"[:;*]|(?<!\w)-|-(?!\w)", " ", text).replace("&", " and ")
    text = re.sub(r"/[a-z]?$", "", text.strip())
    words = ["/".join(filter(None, map(_spell, word.split("/")))) for word in text.split()]
    while words and words[-1] in _NO_END:
        words.pop()
    return " ".join(filter(None, words)) or kind.lower()


def _spell(word: str) -> str:
    bare = word.strip(".,")
    return bare.upper() if bare in _CAPITALS else _WORDS.get(bare, bare)
