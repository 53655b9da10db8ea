"""FrameTable: an immutable mapping from frame to value that shares what did not change with its predecessor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from napari_sam2.core.ids import FrameIndex

V = TypeVar("V")

_BITS = 6  # chunks of 64 frames: setting one frame of 100,000 copies 64 + 1,563 references


class FrameTable(Generic[V]):
    """A mapping from frame to value; `with_value` and `without` return a new one and copy one chunk."""

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: Mapping[int, Mapping[FrameIndex, V]] = {}

    def __contains__(self, frame: FrameIndex) -> bool:
        return frame in self._chunks.get(frame >> _BITS, ())

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
        return self._chunks[frame >> _BITS][frame]

    def get(self, frame: FrameIndex) -> V | None:
        """Return the value of `frame`, or None."""
        return self._chunks.get(frame >> _BITS, {}).get(frame)

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
