"""A shopper that is kept is never older than its last change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_persona.client.cache import ShopperCache
from stream_persona.client.lookup import Lookup
from stream_persona.client.models import UNREACHABLE, UNREADABLE, Shopper

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "answer", "change", "lost", "subscribed"]), st.sampled_from("ab")
    ),
    max_size=60,
)


def live(capacity: int = 10) -> ShopperCache:
    cache = ShopperCache(capacity)
    cache.resume()
    return cache


@given(STEPS)
def test_what_is_kept_is_never_older_than_the_last_change(steps: list[tuple[str, str]]) -> None:
    """A server's truth moves between question, answer and notification, in any order."""
    cache, truth = live(), {"a": 0, "b": 0}
    pending: dict[str, list[tuple[int, int]]] = {"a": [], "b": []}
    for step, name in steps:
        if step == "ask":
            pending[name].append((cache.begin_lookup(name), truth[name]))
        elif step == "answer" and pending[name]:
            began, revision = pending[name].pop(0)
            cache.end_lookup(began, Shopper(name, fallback=None, revision=revision))
        elif step == "change":
            truth[name] += 1
            cache.invalidate(name)
        elif step == "lost":
            truth[name] += 1  # a change without a notification
            cache.suspend()
        elif step == "subscribed":
            cache.resume()
        for each, newest in truth.items():
            kept = cache.get(each)
            assert kept is None or kept.revision == newest


def test_a_cache_keeps_the_shoppers_used_last() -> None:
    cache = live(capacity=2)
    for name in "abc":
        cache.end_lookup(cache.begin_lookup(name), Shopper(name))
        cache.get("a")
    assert [cache.get(name) is not None for name in "abc"] == [True, False, True]
    assert len(cache) == 2


def test_a_shopper_that_could_not_be_looked_up_is_asked_for_again() -> None:
    cache = live()
    for fallback in (UNREACHABLE, UNREADABLE):
        cache.end_lookup(cache.begin_lookup("a"), Shopper("a", fallback=fallback))
        assert cache.get("a") is None


def test_a_lookup_asks_for_the_missing_customers_alone_and_each_once() -> None:
    cache = live()
    with Lookup(["a"], cache) as lookup:
        lookup.answer([None])
    with Lookup(["b", "a", "b"], cache) as lookup:
        assert lookup.missing == ["b"]
        lookup.answer([b"{"])
    assert list(lookup.shoppers) == ["b", "a"]
    assert lookup.shoppers["b"].fallback == UNREADABLE


def test_a_lookup_that_is_not_answered_ends_all_the_same() -> None:
    cache = live()
    with pytest.raises(TimeoutError), Lookup(["a"], cache) as lookup:
        raise TimeoutError
    assert lookup.shoppers["a"].fallback == UNREACHABLE
    assert (cache.get("a"), cache._pending, cache._changed) == (None, {}, {})
