"""What producers really send, and how it is to be read: the rows of ``test_first_day``."""

import time
from typing import Final

from tests.support.constants import DAY, HOUR
from tests.support.field_messages import (
    DOG_FOOD,
    FAR,
    PURCHASES,
    Row,
    Sent,
    assign,
    in_every_unit,
    look,
    order,
    spelled,
    widen,
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


#: Ids of customers that no path of an address can hold.
PATHLESS: Final = ("x/persona", ".", "..", "a%2Fb")
NOBODIES: Final = (
    "undefined",
    "null",
    "None",
    "NaN",
    "0",
    "-1",
    "Guest",
    "ANONYMOUS",
    "unknown",
    "(not set)",
    "[object Object]",
    "00000000-0000-0000-0000-000000000000",
    " ",
    "",
)

ROWS: Final = (
    Row(
        "orders in epoch seconds, with fractions, in micro- and nanoseconds",
        in_every_unit,
        evidence={"C1": 5},
    ),
    Row(
        "an order whose clock says 2045 among others",
        lambda now, _: [
            *[order("C2", f"a{n}", now) for n in range(3)],
            order("C2", "far", FAR),
            *[order("C2", f"c{n}", now) for n in range(12)],
        ],
        at_least={"C2": 15},
        forgotten=("C2",),
    ),
    Row(
        "two events of a clock that is two hours ahead, then a deletion",
        lambda now, _: [order("C3", name, now + 2 * HOUR) for name in "ab"],
        evidence={"C3": 2},
        forgotten=("C3",),
    ),
    Row(
        "ids that stand for nobody",
        lambda now, _: [order(name, f"n{n}", now) for n, name in enumerate(NOBODIES)],
        absent=NOBODIES,
        anomalies={"nobody": len(NOBODIES)},
    ),
    Row(
        "ids with blanks at an end",
        lambda now, _: [order("C4 ", "a", now), order("\tC4", "b", now)],
        absent=("C4", "C4 ", "\tC4"),
        letters={"C4 ": "invalid_id", "\tC4": "invalid_id"},
    ),
    Row(
        "ids that no path can hold",
        lambda now, _: [order(name, "p", now) for name in PATHLESS],
        evidence=dict.fromkeys(PATHLESS, 1),
    ),
    Row(
        "an order that the shop tries again after a newer one",
        lambda now, _: [
            order("C5", "o1", now - 2 * HOUR),
            order("C5", "o2", now),
            order("C5", "o1", now - 2 * HOUR),
        ],
        evidence={"C5": 2},
        anomalies={"retry": 1},
    ),
    Row(
        "five updates of one order",
        lambda now, _: [order("C6", f"u{n}", now + n, order_id="O-1") for n in range(5)],
        evidence={"C6": 1},
        anomalies={"edited_order": 4},
    ),
    Row(
        "ten views with the id of their session",
        lambda now, _: [look("C7", "session", now + n, product=DOG_FOOD) for n in range(10)],
        evidence={"C7": 0.25},
        anomalies={"retry": 9},
    ),
    Row(
        "a search in Hindi",
        lambda now, _: [look("C8", "h", now, "search", query="कुत्ते का खाना")],
        holds={"C8": ("query:कुत्ते", "query:का", "query:खाना")},
        lacks={"C8": ("query:कु", "query:त्ते")},
    ),
    Row(
        "a search in Chinese",
        lambda now, _: [look("C9", "h", now, "search", query="狗粮")],
        holds={"C9": ("query:狗", "query:粮", "query:狗粮")},
    ),
    Row(
        "one category in many spellings",
        spelled(
            "C10",
            "category",
            "Élevage/Pâtée",
            "E\u0301levage/Pa\u0302te\u0301e",
            "élevage/pâtée",
            "/Élevage/Pâtée",
            "Élevage > Pâtée",
            "Élevage &gt; P&acirc;t&eacute;e",
            " Élevage // Pâtée/ ",
        ),
        alike=tuple(f"C10-{n}" for n in range(7)),
    ),
    Row(
        "an entity in a brand",
        spelled("C11", "brand", "Food &amp; Treats", "food & treats", "Food &amp;amp; Treats"),
        alike=("C11-0", "C11-1", "C11-2"),
    ),
    Row(
        "prices in yen and rupiah",
        lambda now, _: [
            order(f"C12-{n}", "y", now, {"product_id": "P", "price": price})
            for n, price in enumerate((1_920, 128_000, 2_500_000, 1e12))
        ],
        apart=("C12-0", "C12-1", "C12-2", "C12-3"),
    ),
    Row(
        "four corrections of an assignment with the same time",
        lambda now, personas: [
            assign("C13", name, now - DAY, personas[number])
            for name, number in (("z", 0), ("m", 1), ("q", 0), ("a", 2))
        ],
        label={"C13": 2},
    ),
    Row(
        "a returned line in an order",
        lambda now, _: [
            order(
                "C14",
                "r",
                now,
                {"product_id": "P", "category": "dog/food"},
                {"product_id": "Q", "category": "cat/food", "quantity": -1},
                {"product_id": "R", "category": "cat/toys", "price": -3.5},
            )
        ],
        evidence={"C14": 1},
        holds={"C14": ("category:dog/food",)},
        lacks={"C14": ("category:cat", "category:cat/food", "category:cat/toys")},
        anomalies={"returned_line": 2},
    ),
    Row(
        "items whose fields nobody reads",
        lambda now, _: [
            order(
                "C15",
                "f",
                now,
                {"product_id": "P", "item_category": "dog", "qty": 2, "unit_price": 3.5},
            )
        ],
        evidence={"C15": 1},
        anomalies={"uninformative": 1},
    ),
    Row(
        "an unknown action",
        lambda now, _: [look("C16", "x", now, "purchase")],
        absent=("C16",),
        letters={"C16": "invalid_field"},
    ),
    Row(
        "a persona in another Unicode form and case",
        lambda now, personas: [assign("C17", "x", now, f" {widen(personas[0]).upper()}\xa0")],
        label={"C17": 0},
    ),
    Row(
        "a message with neither key nor value",
        lambda now, _: [Sent(PURCHASES, None, None)],
        letters={"": "empty"},
    ),
    Row(
        "orders of a producer that compresses",
        lambda now, _: [order("C18", f"l{n}", now + n) for n in range(20)],
        evidence={"C18": 20},
        codec="lz4",
    ),
    Row(
        "an assignment that expires while nothing comes",
        lambda now, personas: [
            order("C19", "x", now),
            assign("C19", "x", now, personas[0], expires_at=now + 8_000),
        ],
    ),
)
