"""Encoded frames, kept as long as memory allows: a bounded cache, least recently used first out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from napari_sam2.model.sam2 import ImageFeatures

Value = TypeVar("Value")

DEFAULT_BUDGET = 1 << 30
"""Bytes of embeddings kept: 60 frames of an official model, thousands of nano's."""


class BoundedCache(Generic[Value]):
    """Remember what was computed, up to `budget` in units of `size_of`.

    The newest value is always kept, also when it alone exceeds the budget.
    """

    def __init__(self, budget: int, size_of: Callable[[Value], int] = lambda value: 1) -> None:
        self._budget, self._size_of = budget, size_of
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._used = 0

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: Hashable) -> bool:
        """Say whether the value of `key` is there, without marking it as used."""
        return key in self._values

    @property
    def has_room(self) -> bool:
        """Whether one more value, as large as the others, fits without dropping any."""
        count = len(self._values)
        return not count or self._used + self._used / count <= self._budget

    def reserve(self, budget: int) -> None:
        """Let the budget be at least this."""
        self._budget = max(self._budget, budget)

    def get(self, key: Hashable) -> Value | None:
        """Return the value of `key`, if it is still there, and mark it as used."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> Value:
        """Keep `value`, dropping what was not used for longest; return it."""
        old = self._values.pop(key, None)
        self._used += self._size_of(value) - (0 if old is None else self._size_of(old))
        self._values[key] = value
        while self._used > self._budget and len(self._values) > 1:
            _, dropped = self._values.popitem(last=False)
            self._used -= self._size_of(dropped)
        return value

    def get_or_make(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value of `key`; make and keep it if it is not there."""
        value = self.get(key)
        return self.put(key, make()) if value is None else value


def embedding_size(features: ImageFeatures) -> int:
    """Return the bytes of an encoded frame."""
    return sum(tensor.numel() * tensor.element_size() for tensor in features)
