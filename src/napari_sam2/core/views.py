"""View: the window of a frame that the model sees, in whole frame pixels."""

from __future__ import annotations

from dataclasses import dataclass

from napari_sam2.core.errors import ImageError
from napari_sam2.core.masks import Box


@dataclass(frozen=True, slots=True)
class View:
    """A window of a frame: its first row and column and its size, frame pixels.

    The window is resampled to a square, so `height` and `width` may differ. It may reach over the frame's edge;
    `clipped` gives the part that exists.
    """

    y0: int
    x0: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ImageError(
                f"a view needs at least 1x1 pixels, got {self.height}x{self.width}",
                remedy="give a window of at least one pixel",
            )

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> View:
        """Return the default view: the whole frame of `shape` (Y, X)."""
        return cls(0, 0, int(shape[0]), int(shape[1]))

    @classmethod
    def around(cls, box: Box, side: int, shape: tuple[int, int]) -> View:
        """Return the window of `side` pixels centred on `box`, moved (and, if need be, cut) to lie in the frame."""
        height, width = min(side, shape[0]), min(side, shape[1])
        y0 = _start((box[0] + box[2]) // 2 - height // 2, height, shape[0])
        x0 = _start((box[1] + box[3]) // 2 - width // 2, width, shape[1])
        return cls(y0, x0, height, width)

    @property
    def box(self) -> Box:
        """(y0, x0, y1, x1), half open."""
        return self.y0, self.x0, self.y0 + self.height, self.x0 + self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of a frame that the view shows, for a view that lies inside it."""
        return slice(self.y0, self.y0 + self.height), slice(self.x0, self.x0 + self.width)

    def contains(self, y: float, x: float) -> bool:
        """Say whether the position lies on one of the view's pixels (centres are integers)."""
        y_inside = self.y0 - 0.5 <= y < self.y0 + self.height - 0.5
        return y_inside and self.x0 - 0.5 <= x < self.x0 + self.width - 0.5

    def contains_box(self, box: Box) -> bool:
        """Say whether all pixels of the half-open `box` are shown."""
        y0, x0, y1, x1 = self.box
        return y0 <= box[0] and x0 <= box[1] and box[2] <= y1 and box[3] <= x1

    def clipped(self, shape: tuple[int, int]) -> View:
        """Return the part that lies in a frame of `shape` (Y, X); `ImageError` if there is none."""
        y0, x0, y1, x1 = self.box
        y0, x0, y1, x1 = max(y0, 0), max(x0, 0), min(y1, shape[0]), min(x1, shape[1])
        if y0 >= y1 or x0 >= x1:
            raise ImageError(
                f"view {self.box} lies outside a frame of {shape[0]}x{shape[1]}",
                remedy="give a window within the frame",
            )
        return View(y0, x0, y1 - y0, x1 - x0)


def _start(wanted: int, length: int, total: int) -> int:
    return max(0, min(wanted, total - length))
