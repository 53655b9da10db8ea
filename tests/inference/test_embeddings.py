"""A cache with a budget: what was not used for longest goes first, the newest stays."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.inference.embeddings import BoundedCache, embedding_size
from napari_sam2.model.sam2 import ImageFeatures


def test_what_is_there_is_not_made_again() -> None:
    cache: BoundedCache[str] = BoundedCache(2)
    made = []

    def make(value):
        made.append(value)
        return value

    assert cache.get_or_make("a", lambda: make("first")) == "first"
    assert cache.get_or_make("a", lambda: make("second")) == "first"
    assert made == ["first"]


def test_what_was_not_used_for_longest_is_dropped() -> None:
    cache: BoundedCache[int] = BoundedCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1  # now b waits longest
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c"), len(cache)) == (1, None, 3, 2)


def test_the_newest_is_kept_even_if_it_alone_exceeds_the_budget() -> None:
    cache: BoundedCache[str] = BoundedCache(3, len)
    cache.put("small", "x")
    assert cache.put("large", "x" * 9) == "x" * 9
    assert (cache.get("small"), cache.get("large"), len(cache)) == (None, "x" * 9, 1)
    cache.put("small", "x")
    assert (cache.get("small"), cache.get("large"), len(cache)) == ("x", None, 1)


def test_a_value_that_is_put_again_is_counted_once() -> None:
    cache: BoundedCache[str] = BoundedCache(4, len)
    for _ in range(5):
        cache.put("a", "xx")
    cache.put("b", "xx")
    assert (cache.get("a"), cache.get("b")) == ("xx", "xx")
    cache.put("a", "xxxx")
    assert (cache.get("a"), cache.get("b")) == ("xxxx", None)


def test_there_is_room_until_one_more_of_the_usual_size_would_push_something_out() -> None:
    cache: BoundedCache[str] = BoundedCache(6, len)
    assert cache.has_room
    cache.put("a", "xx")
    cache.put("b", "xx")
    assert cache.has_room
    cache.put("c", "xx")
    assert not cache.has_room
    assert "a" in cache
    cache.put("d", "xx")
    assert "a" not in cache, "asking is not using"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=40), st.integers(0, 20))
def test_the_budget_holds_after_any_history_but_for_the_newest(history, budget):
    cache: BoundedCache[int] = BoundedCache(budget, lambda size: size)
    for key, size in history:
        cache.put(key, size)
        kept = [cache.get(k) for k in range(6)]
        sizes = [value for value in kept if value is not None]
        assert cache.get(key) == size
        assert sum(sizes) <= budget or len(sizes) == 1
        assert len(cache) == len(sizes)


def test_the_size_of_an_embedding_is_its_bytes() -> None:
    features = ImageFeatures(
        torch.zeros(1, 4, 16, 16), torch.zeros(1, 8, 8, 8), torch.zeros(1, 32, 4, 4).bfloat16()
    )
    assert embedding_size(features) == 4 * 1024 + 4 * 512 + 2 * 512
