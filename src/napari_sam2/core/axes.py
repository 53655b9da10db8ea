"""StackView: which axes of an n-D array are the frame, the rows and the columns, and which counts volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_sam2.core.errors import ImageError, PromptError
from napari_sam2.core.geometry import nearest_index
from napari_sam2.core.ids import FrameIndex, is_whole


@dataclass(frozen=True, slots=True)
class StackView:
    """How an n-D array is seen as a stack of frames (T, Y, X).

    With a volume axis it is a row of volumes, such as (T, Z, Y, X) along z and t: all frames of the first volume, then
    all of the second, and so on. Frame ``volume * depth + place`` is the one at `place` of a volume.

    Attributes
    ----------
    frame_axis : int or None
        The axis along which objects are propagated; None for a single 2-D image.
    row_axis, column_axis : int
        The axes of a frame's rows (y) and columns (x).
    fixed : tuple of (axis, index)
        Where all other axes stand. Together they name every axis once.
    volume_axis : int, optional
        The axis that counts volumes, along which objects are propagated from volume to volume.
    depth : int
        Frames of a volume, where there is a volume axis; else 0.
    """

    frame_axis: int | None
    row_axis: int
    column_axis: int
    fixed: tuple[tuple[int, int], ...] = ()
    volume_axis: int | None = None
    depth: int = 0

    def __post_init__(self) -> None:
        if (self.volume_axis is not None) != (self.depth > 0) or (
            self.depth and self.frame_axis is None
        ):
            raise ImageError(
                f"a volume axis comes with a frame axis and the depth of a volume, got axis {self.volume_axis} "
                f"and depth {self.depth}",
                remedy="give all three, or no volume axis",
            )
        used = sorted(self._used_axes())
        if used != list(range(len(used))):
            raise ImageError(
                f"a stack view names every axis once, counted from 0; got {used}",
                remedy="give the frame, row and column axis and an index for each other axis",
            )

    @classmethod
    def default(cls, ndim: int, frame_axis: int = 0) -> StackView:
        """Return the view of a 2-D image or a 3-D stack whose rows and columns are the other axes, in order."""
        if ndim == 2:
            return cls(None, 0, 1)
        if ndim != 3:
            raise ImageError(
                f"an array with {ndim} axes has no obvious frames",
                remedy="choose the frame, row and column axis and an index for each other axis",
            )
        if not is_whole(frame_axis) or not 0 <= frame_axis < ndim:
            raise ImageError(
                f"frame axis {frame_axis!r} is outside 0..{ndim - 1}",
                remedy="axes are counted from 0; the default is the first",
            )
        row_axis, column_axis = (axis for axis in range(ndim) if axis != frame_axis)
        return cls(int(frame_axis), row_axis, column_axis)

    @property
    def ndim(self) -> int:
        """Number of axes of the array, a channel axis of RGB not counted."""
        return len(self._used_axes())

    def num_frames(self, shape: Sequence[int]) -> int:
        """Return how many frames an array of `shape` has; `ImageError` if its volumes have another depth."""
        if self.frame_axis is None:
            return 1
        length = int(shape[self.frame_axis])
        if self.volume_axis is None:
            return length
        if length != self.depth:
            raise ImageError(
                f"volumes have {length} frames, and the view says {self.depth}",
                remedy="say how many frames a volume has",
            )
        return length * int(shape[self.volume_axis])

    def frame_shape(self, shape: Sequence[int]) -> tuple[int, int]:
        """Return (Y, X) of a frame of an array of `shape`."""
        return int(shape[self.row_axis]), int(shape[self.column_axis])

    def frame_key(self, t: int) -> tuple[int | slice, ...]:
        """Return the index that cuts frame `t` out of the array; rows and columns stay in the array's order."""
        key: list[int | slice] = [slice(None)] * self.ndim
        for axis, index in self.standing(t).items():
            key[axis] = index
        return tuple(key)

    def standing(self, frame: int) -> dict[int, int]:
        """Return where every axis but rows and columns stands on a frame."""
        standing = dict(self.fixed)
        if self.volume_axis is not None:
            standing[self.volume_axis], frame = divmod(int(frame), self.depth)
        if self.frame_axis is not None:
            standing[self.frame_axis] = int(frame)
        return standing

    def frame_at(self, index: Sequence[Any]) -> Any:
        """Return the number of the frame at a data index of whole numbers, or those at arrays of them; see `is_on`."""
        if self.frame_axis is None:
            return 0 * index[self.row_axis]
        place = index[self.frame_axis]
        return place if self.volume_axis is None else index[self.volume_axis] * self.depth + place

    def is_on(self, index: Sequence[float]) -> bool:
        """Say whether a data index lies where the fixed axes stand."""
        return all(_is_at(index[axis], at) for axis, at in self.fixed)

    @property
    def is_transposed(self) -> bool:
        """Whether columns come before rows in the array."""
        return self.column_axis < self.row_axis

    def to_frame(self, index: Sequence[float]) -> tuple[FrameIndex, float, float]:
        """Turn a data index of the array into (frame, y, x).

        Raises
        ------
        PromptError
            If the index does not lie on the plane that this view shows.
        """
        if len(index) != self.ndim:
            raise PromptError(
                f"a position needs {self.ndim} numbers, got {len(index)}",
                remedy="give a data index of the whole array",
            )
        for axis, expected in self.fixed:
            if not _is_at(index[axis], expected):
                raise PromptError(
                    f"position {_text(index)} is not on the plane in use: axis {axis} is at {expected}",
                    remedy=f"move axis {axis} to {expected}, or choose another plane for the stack",
                )
        counted = {axis: _finite_index(index[axis], index) for axis in self._counted_axes}
        whole = [counted.get(axis, 0) for axis in range(self.ndim)]
        frame = FrameIndex(int(self.frame_at(whole)))
        if self.depth and not 0 <= counted[self.frame_axis or 0] < self.depth:
            raise PromptError(
                f"position {_text(index)} lies in no volume: axis {self.frame_axis} ends at {self.depth - 1}",
                remedy="give a position within one volume",
            )
        return frame, float(index[self.row_axis]), float(index[self.column_axis])

    def lift(self, frame: int, y: float, x: float) -> tuple[float, ...]:
        """Turn (frame, y, x) back into a data index of the array."""
        index = [0.0] * self.ndim
        for axis, value in self.standing(frame).items():
            index[axis] = float(value)
        index[self.row_axis], index[self.column_axis] = float(y), float(x)
        return tuple(index)

    def check_displayed(self, displayed: Sequence[int]) -> None:
        """Refuse a prompt unless the viewer displays exactly the rows and columns of the frames.

        Raises
        ------
        PromptError
            If other axes, or more than two, are displayed.
        """
        if set(displayed) != {self.row_axis, self.column_axis} or len(displayed) != 2:
            raise PromptError(
                f"axes {tuple(displayed)} are shown, but frames have axes {self.row_axis} and {self.column_axis}",
                remedy=f"show Y/X (axes {self.row_axis} and {self.column_axis}) in the 2-D view to place prompts",
            )

    @property
    def _counted_axes(self) -> list[int]:
        """The axes that count frames, the outer one first."""
        return [axis for axis in (self.volume_axis, self.frame_axis) if axis is not None]

    def _used_axes(self) -> list[int]:
        fixed = (axis for axis, _ in self.fixed)
        return [*self._counted_axes, self.row_axis, self.column_axis, *fixed]


def _is_at(value: float, expected: int) -> bool:
    # A comparison with NaN is false, so a position that is not a number is never on a plane.
    return expected - 0.5 <= value < expected + 0.5


def _finite_index(value: float, index: Sequence[float]) -> int:
    if not -(2**62) < value < 2**62:
        raise PromptError(
            f"position {_text(index)} has no frame",
            remedy="give a position whose frame is a finite number",
        )
    return nearest_index(value)


def _text(index: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in index) + ")"
