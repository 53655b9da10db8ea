"""Tables over frames: immutable, and a change costs one chunk, because a session keeps hundreds of states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from napari_sam2.core.ids import FrameIndex

V = TypeVar("V")

_BITS = 6  # chunks of 64 frames: setting one frame of 100,000 copies 64 + 1,563 references


class FrameTable(Mapping[FrameIndex, V]):
    """A mapping from frame to value; `with_value` and `without` return a new one and copy one chunk.

    Parameters
    ----------
    items : iterable of (frame, value)
        What it holds; of a frame that comes twice the last value.
    """

    __slots__ = ("_chunks",)

    def __init__(self, items: Iterable[tuple[FrameIndex, V]] = ()) -> None:
        chunks: dict[int, dict[FrameIndex, V]] = {}
        for frame, value in items:
            chunks.setdefault(frame >> _BITS, {})[frame] = value
        self._chunks: Mapping[int, Mapping[FrameIndex, V]] = chunks

    def __contains__(self, frame: object) -> bool:
        return isinstance(frame, int) and frame in self._chunks.get(frame >> _BITS, ())

    def __len__(self) -> int:
        return sum(len(chunk) for chunk in self._chunks.values())

    def __iter__(self) -> Iterator[FrameIndex]:
        """Iterate over the frames in ascending order."""
        for number in sorted(self._chunks):
            yield from sorted(self._chunks[number])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrameTable) and self._chunks == other._chunks

    __hash__ = None  # type: ignore[assignment]  # a value, but too large to be a key

    def __getitem__(self, frame: FrameIndex) -> V:
        return self._chunks.get(frame >> _BITS, {})[frame]

    def values_beside(self, seen: set[int]) -> Iterator[V]:
        """Yield the values of all chunks that are not in `seen`, by their identity, and note them there."""
        for chunk in self._chunks.values():
            if id(chunk) not in seen:
                seen.add(id(chunk))
                yield from chunk.values()

    def with_value(self, frame: FrameIndex, value: V) -> FrameTable[V]:
        """Return a table in which `frame` has `value`."""
        chunk = {**self._chunks.get(frame >> _BITS, {}), frame: value}
        return self._with_chunk(frame >> _BITS, chunk)

    def without(self, frame: FrameIndex) -> FrameTable[V]:
        """Return a table in which `frame` has no value."""
        if frame not in self:
            return self
        chunk = {t: value for t, value in self._chunks[frame >> _BITS].items() if t != frame}
        return self._with_chunk(frame >> _BITS, chunk)

    def differing(self, other: FrameTable[V]) -> set[FrameIndex]:
        """Return the frames whose value is not the same in both; chunks that are shared are not looked at."""
        frames: set[FrameIndex] = set()
        for number in self._chunks.keys() | other._chunks.keys():
            mine, theirs = self._chunks.get(number, {}), other._chunks.get(number, {})
            if mine is not theirs:
                both = mine.keys() | theirs.keys()
                frames.update(t for t in both if mine.get(t) != theirs.get(t))
        return frames

    def _with_chunk(self, number: int, chunk: Mapping[FrameIndex, V]) -> FrameTable[V]:
        chunks = {**self._chunks, number: chunk}
        if not chunk:
            del chunks[number]
        table: FrameTable[V] = FrameTable()
        table._chunks = chunks
        return table


class OrderedFrameTable(Mapping[FrameIndex, V]):
    """A `FrameTable` that knows in which order its frames were set first; as in a `dict`, equality ignores it."""

    __slots__ = ("_next", "_numbered")

    def __init__(self, items: Iterable[tuple[FrameIndex, V]] = ()) -> None:
        latest = dict(items)
        self._next = len(latest)
        self._numbered: FrameTable[tuple[int, V]] = FrameTable(
            (frame, (number, latest[frame])) for number, frame in enumerate(latest)
        )

    def __contains__(self, frame: object) -> bool:
        return frame in self._numbered

    def __len__(self) -> int:
        return len(self._numbered)

    def __iter__(self) -> Iterator[FrameIndex]:
        """Iterate over the frames in the order in which they were set first."""
        return iter(sorted(self._numbered, key=lambda frame: self._numbered[frame][0]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OrderedFrameTable) and not self.differing(other)

    __hash__ = None  # type: ignore[assignment]  # as in FrameTable

    def __getitem__(self, frame: FrameIndex) -> V:
        return self._numbered[frame][1]

    def with_value(self, frame: FrameIndex, value: V) -> OrderedFrameTable[V]:
        """Return a table in which `frame` has `value`; a frame that was there keeps its place in the order."""
        known = self._numbered.get(frame)
        number = self._next if known is None else known[0]
        return self._having(
            self._numbered.with_value(frame, (number, value)), max(self._next, number + 1)
        )

    def without(self, frame: FrameIndex) -> OrderedFrameTable[V]:
        """Return a table in which `frame` has no value."""
        rest = self._numbered.without(frame)
        return self if rest is self._numbered else self._having(rest, self._next)

    def differing(self, other: OrderedFrameTable[V]) -> set[FrameIndex]:
        """Return the frames whose value is not the same in both; chunks that are shared are not looked at."""
        moved = self._numbered.differing(other._numbered)
        return {frame for frame in moved if self.get(frame) != other.get(frame)}

    def _having(self, numbered: FrameTable[tuple[int, V]], following: int) -> OrderedFrameTable[V]:
        table: OrderedFrameTable[V] = OrderedFrameTable()
        table._numbered, table._next = numbered, following
        return table
