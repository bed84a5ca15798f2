"""Bodies that take the shorter way are read as FastAPI reads them, or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, MutableMapping
from contextlib import suppress
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import Response
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from stream_persona.api import problems
from stream_persona.api.plain_rank import PlainRankRequest, read_rank_request
from stream_persona.api.predict import EXAMPLE, PersonaQuery, read_query
from stream_persona.api.quick_route import Read, make_quick_route, parse_object
from stream_persona.api.rank import EXAMPLE as RANK_EXAMPLE
from stream_persona.api.rank import RankRequest
from stream_persona.domain.events import encode

NUMBERS = st.sampled_from(
    [0, -0, 1, -1, 0.0, -0.0, 0.1, 1e-7, 2**53 + 1, 2**63 - 1, 2**64 - 1, 2**64, -(2**63) - 1,
     10**30, 1e100, 1.1e100, -1e100, 1e300, math.inf, math.nan, True]
)  # fmt: skip
TEXTS = st.sampled_from(["", "a", "baby/diapers", "Zoë", "\ud800", "\0", "x" * 256, "x" * 1_025])
ONES = NUMBERS | TEXTS | st.none()
VALUES = ONES | st.lists(ONES, max_size=2) | st.dictionaries(TEXTS, ONES, max_size=2)
FIELDS = ["title", "score", "attributes", "price", "brand", "category", "product_id"]
ORDINARY = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["A title", 3, True, None]),
        "score": st.floats(-9, 9) | st.integers(-9, 9),
        "attributes": st.dictionaries(st.sampled_from("ab"), st.sampled_from("cd")),
        "price": st.floats(0, 1e4) | st.integers(0, 900) | st.none(),
        "brand": st.sampled_from(["a", "b"]),
        "product_id": st.sampled_from(["p1", "p2"]),
    },
)
ITEMS = ORDINARY | st.dictionaries(st.sampled_from(FIELDS), VALUES)
RANKINGS = st.fixed_dictionaries(
    {"customer_id": TEXTS, "items": st.lists(ITEMS, max_size=3)},
    optional={"strength": NUMBERS, "other": ONES},
)
QUERIES = st.fixed_dictionaries(
    {"where": st.dictionaries(st.sampled_from(["customer_id", "category", "price"]), VALUES)},
    optional={
        "from": ONES, "predict": ONES, "limit": NUMBERS, "offset": NUMBERS, "other": ONES,
        "select": st.lists(st.sampled_from(["$p", "$why", "colour"]), max_size=2),
    },
)  # fmt: skip


def longer(model: type[BaseModel], body: bytes) -> Any:
    """What FastAPI makes of a body."""
    return model.model_validate(json.loads(body))


@given(RANKINGS)
def test_a_ranking_is_read_as_before_or_not_at_all(asked: dict[str, Any]) -> None:
    body = json.dumps(asked).encode()
    parsed = parse_object(body)
    quick = None if parsed is None else read_rank_request(parsed)
    if quick is None:
        return
    slow = longer(RankRequest, body)
    assert repr(quick.list_items()) == repr(slow.list_items())
    assert encode(quick.list_items()) == encode(slow.list_items())
    assert quick.model_dump(exclude={"items"}) == slow.model_dump(exclude={"items"})


@given(st.lists(ORDINARY, min_size=1, max_size=4))
def test_ordinary_items_take_the_shorter_way(items: list[dict[str, Any]]) -> None:
    body = json.dumps({"customer_id": "c", "items": items}).encode()
    quick = read_rank_request(parse_object(body) or {})
    assert isinstance(quick, PlainRankRequest)
    assert repr(quick.list_items()) == repr(longer(RankRequest, body).list_items())


@given(QUERIES)
def test_a_query_is_read_as_before_or_not_at_all(asked: dict[str, Any]) -> None:
    body = json.dumps(asked).encode()
    parsed = parse_object(body)
    quick = None if parsed is None else read_query(parsed)
    if quick is not None:
        assert repr(quick) == repr(longer(PersonaQuery, body))


@given(st.recursive(ONES, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)))
def test_anything_else_is_no_ordinary_body(asked: object) -> None:
    parsed = parse_object(json.dumps(asked).encode())
    if parsed is not None:
        assert (read_rank_request(parsed), read_query(parsed)) == (None, None)


def test_the_examples_take_the_shorter_way() -> None:
    assert read_query(dict(EXAMPLE)) == PersonaQuery.model_validate(EXAMPLE)
    found = read_rank_request(dict(RANK_EXAMPLE))
    assert found is not None
    assert found.list_items() == RankRequest.model_validate(RANK_EXAMPLE).list_items()


class Routes:
    """The same two endpoints, by the shorter way and by FastAPI's alone."""

    def __init__(self) -> None:
        app = FastAPI()
        problems.install_handlers(app)
        self.quick = 0

        def count(read: Read) -> Read:
            def counted(body: dict[str, Any]) -> object | None:
                found = read(body)
                self.quick += found is not None
                return found

            return counted

        async def rank(request: RankRequest) -> Response:
            return Response(encode([request.customer_id, request.list_items()]))

        async def predict(query: PersonaQuery) -> Response:
            return Response(repr(query))

        for path, endpoint, read in (
            ("/rank", rank, read_rank_request), ("/predict", predict, read_query)
        ):  # fmt: skip
            app.add_api_route(f"/long{path}", endpoint, methods=["POST"])
            app.router.add_api_route(
                f"/quick{path}", endpoint, methods=["POST"],
                route_class_override=make_quick_route(count(read)),
            )  # fmt: skip
        transport = httpx.ASGITransport(app)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://api")


@pytest.fixture
async def routes() -> AsyncIterator[Routes]:
    made = Routes()
    async with made.client:
        yield made


RANK, QUERY = json.dumps(RANK_EXAMPLE).encode(), json.dumps(EXAMPLE).encode()
JSON = "application/json"


@pytest.mark.parametrize(
    ("path", "body", "kind", "is_quick"),
    [
        ("rank", RANK, JSON, True),
        ("predict", QUERY, JSON, True),
        ("predict", QUERY, f"{JSON}; charset=utf-8", True),
        ("predict", QUERY, "application/ld+json", False),
        ("predict", QUERY, "text/plain", False),
        ("predict", QUERY, None, False),
        ("predict", QUERY.decode().encode("utf-16"), JSON, False),
        ("predict", b"\xef\xbb\xbf" + QUERY, JSON, False),
        ("predict", QUERY + b"}", JSON, False),
        ("predict", b"", JSON, False),
        ("predict", b"[]", JSON, False),
        ("predict", b'{"where": {"price": 1e999}}', JSON, False),
        ("predict", b'{"where": {"price": [1180591620717411303423]}}', JSON, False),
        ("predict", b'{"where": {"brand": "a"}, "limit": "3"}', JSON, False),
        ("rank", b'{"customer_id": "a", "items": [{"price": -1}]}', JSON, False),
        ("rank", b'{"customer_id": "a", "items": [{"x": {"y": [1]}}]}', JSON, False),
        ("rank", b'{"customer_id": 3, "items": [{}]}', JSON, False),
        ("rank", b'{"customer_id": "a", "items": [{}], "how": 1}', JSON, False),
        ("rank", b'{"customer_id": "a", "items": []}', JSON, False),
    ],
)
async def test_both_ways_give_the_same_answer(
    routes: Routes, path: str, body: bytes, kind: str | None, *, is_quick: bool
) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    quick = await routes.client.post(f"/quick/{path}", content=body, headers=headers)
    assert routes.quick == is_quick
    slow = await routes.client.post(f"/long/{path}", content=body, headers=headers)
    assert (quick.status_code, quick.content) == (slow.status_code, slow.content)
    assert (quick.status_code == 200) or not is_quick


async def test_a_body_that_its_caller_does_not_end_is_not_answered() -> None:
    """What came of it could be read as a whole one."""
    asked: list[dict[str, Any]] = []

    def read(body: dict[str, Any]) -> None:
        asked.append(body)

    async def predict(query: PersonaQuery) -> Response:
        return Response(repr(query))

    app = FastAPI()
    app.router.add_api_route(
        "/quick", predict, methods=["POST"], route_class_override=make_quick_route(read)
    )
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": QUERY, "more_body": True}, {"type": "http.disconnect"},
    ]  # fmt: skip
    left, sent = iter(messages), []

    async def receive() -> dict[str, Any]:
        return next(left)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/quick", "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }  # fmt: skip
    with suppress(ClientDisconnect):
        await app(scope, receive, send)
    assert asked == []
    assert all(message.get("status") != 200 for message in sent)


def test_what_is_wrong_is_never_taken() -> None:
    for wrong in ({"customer_id": "a", "items": [{"brand": 3}]}, {"items": [{}]}):
        assert read_rank_request(wrong) is None
        with pytest.raises(ValidationError):
            RankRequest.model_validate(wrong)
