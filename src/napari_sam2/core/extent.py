"""Extent: the frames on which an object may be."""

from __future__ import annotations

from dataclasses import dataclass

from napari_sam2.core.ids import FrameIndex


@dataclass(frozen=True, slots=True)
class Extent:
    """The frames `first` to `stop` - 1; `stop` None: to the end of the stack."""

    first: int = 0
    stop: int | None = None

    def __contains__(self, frame: FrameIndex) -> bool:
        return self.first <= frame and (self.stop is None or frame < self.stop)

    def widened(self, frame: FrameIndex) -> Extent:
        """Return the extent with `frame` in it."""
        if frame in self:
            return self
        if frame < self.first:
            return Extent(frame, self.stop)
        return Extent(self.first, frame + 1)

    def clipped(self, first: int, stop: int, *, is_reverse: bool) -> tuple[int, int]:
        """Return the frames of a pass that are needed here: it may begin outside, but does not go on beyond the end."""
        end = stop if self.stop is None else self.stop
        if is_reverse:
            return (max(first, self.first), stop) if first < end else (first, first)
        return (first, min(stop, end)) if stop > self.first else (first, first)


WHOLE = Extent()
"""Everywhere."""
