"""Focus: the window of a frame in which the model looks at a small object, and how it follows it. Pure; no network.

In a whole frame a small object covers a token or two of the model's grid and is hardly seen. In a window around it, it
covers as many as the model needs. The side of the window is chosen from the object's size and stays the same for a run,
so memories of different frames have one scale; its place follows the object.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from napari_sam2.core.masks import Box, union_box
from napari_sam2.core.views import View

SMALL_TOKENS = 3.0
"""Objects narrower than this many tokens of the whole frame get a window."""

WANTED_TOKENS = 4.0
"""Width of an object in its window, tokens; on a fine grid an eighth of the window."""

MAX_ZOOM = 8
"""Frame pixels are enlarged at most so much: beyond it there is nothing more to see."""

MIN_GAIN = 0.8
"""A window larger than this part of the frame gains too little: the whole frame, shared by all objects, is taken."""

MAX_FILL = 0.6
"""The longest side of an object fills at most this part of its window."""

SNAP = 32
"""Windows begin at multiples of this part of their side, so that an object that hardly moves keeps its window. Larger
steps let it jump in its window, which the memory takes for motion: with 8, small cells were soon lost."""

TRAIL_LENGTH = 3
"""Places from which the next one is expected."""

SEARCHED = frozenset({1, 2, 4, 8, 16, 32})
"""Numbers of frames after losing an object at which the windows around are searched too."""

Centre = tuple[float, float]
"""(y, x), frame pixels."""

Side = int | None
"""Side of a window, frame pixels; None is the whole frame."""


@dataclass(frozen=True, slots=True)
class Focus:
    """Chooses windows.

    `shape`: (Y, X) of the frames; `model_side`: model pixels; `stride`: model pixels a token; `is_on`: False always
    takes the whole frame.
    """

    shape: tuple[int, int]
    model_side: int
    stride: int = 16
    is_on: bool = True

    @property
    def whole(self) -> View:
        """The whole frame."""
        return View.whole(self.shape)

    def side_for(self, box: Box) -> Side:
        """Return the side of the window for an object that fills `box`; the whole frame for one that fills nothing."""
        height, width = box[2] - box[0], box[3] - box[1]
        longest = max(height, width)
        if not self.is_on or longest <= 0:
            return None
        extent, frame = (height + width) / 2, max(self.shape)
        if extent * self.model_side / frame >= SMALL_TOKENS * self.stride:
            return None
        grid = self.model_side // self.stride
        wanted = extent * grid / max(WANTED_TOKENS, grid / 8)
        side = _rung(max(wanted, longest / MAX_FILL, self.model_side / MAX_ZOOM))
        return None if side > MIN_GAIN * frame else side

    def window(self, centre: Centre, side: Side) -> View:
        """Return the window of `side` around `centre`, moved to lie in the frame."""
        if side is None:
            return self.whole
        step = max(1, side // SNAP)
        y, x = (round(c / step) * step for c in centre)
        return View.around((y, x, y, x), side, self.shape)

    def window_for(self, box: Box) -> View:
        """Return the window for an object that fills `box`; all of the box lies in it."""
        view = self.window(centre_of(box), self.side_for(box))
        return view if view.contains_box(box) else self.whole

    def first_looks(self, points: Sequence[Centre]) -> tuple[View, ...]:
        """Return where clicks are looked at before anything is known about the object's size.

        Frames that are not much larger than the model's input are seen whole. Of larger ones the part around the clicks
        that the model sees pixel by pixel is looked at as well.
        """
        if not self.is_on or max(self.shape) <= 2 * self.model_side:
            return (self.whole,)
        near = self.window(points[0], self.model_side)
        sees_all = all(near.contains(y, x) for y, x in points)
        return (near if sees_all else self.window_for(box_of(points)), self.whole)

    def closer_looks(self, point: Centre) -> tuple[View, ...]:
        """Return smaller and smaller windows around a click, for when nothing is seen at the first look."""
        if not self.is_on:
            return ()
        sides = (self.model_side // 2, self.model_side // 4)
        return tuple(
            self.window(point, side) for side in sides if side < MIN_GAIN * max(self.shape)
        )

    def wider(self, view: View) -> View:
        """Return a window twice as wide as `view`, or the whole frame."""
        side = 2 * max(view.height, view.width)
        if side > MIN_GAIN * max(self.shape):
            return self.whole
        return self.window(centre_of(view.box), side)

    def around(self, view: View, side: Side) -> tuple[View, ...]:
        """Return the four windows that overlap one half of `view` each: where a lost object is searched."""
        if side is None:
            return ()
        y, x = view.y0 + view.height / 2, view.x0 + view.width / 2
        half = side / 2
        places = ((y - half, x), (y + half, x), (y, x - half), (y, x + half))
        views = dict.fromkeys(self.window(place, side) for place in places)
        return tuple(other for other in views if other != view)

    def is_cut(self, box: Box, view: View) -> bool:
        """Say whether a mask in `box` ends at a border of `view` where the frame, and maybe the object, goes on."""
        y0, x0, y1, x1 = view.box
        height, width = self.shape
        return (
            (box[0] <= y0 > 0)
            or (box[1] <= x0 > 0)
            or (box[2] >= y1 < height)
            or (box[3] >= x1 < width)
        )


def _rung(side: float) -> int:
    """Round to the ladder 32, 45, 64, 91, 128, …: neighbours of similar size share windows."""
    return round(2 ** (round(2 * math.log2(side)) / 2))


def centre_of(box: Box) -> Centre:
    """Return the middle of a box."""
    return (box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2


def box_of(points: Sequence[Centre]) -> Box:
    """Return the box of the pixels under `points`, half open."""
    ys, xs = zip(*((math.floor(y + 0.5), math.floor(x + 0.5)) for y, x in points), strict=True)
    return min(ys), min(xs), max(ys) + 1, max(xs) + 1


def widened(box: Box, points: Sequence[Centre]) -> Box:
    """Return the box that holds `box` and the pixels under `points`."""
    return union_box(box, box_of(points)) if points else box


@dataclass(frozen=True, slots=True)
class Trail:
    """Where an object was seen last on a pass, oldest first, and for how many frames it has not been seen since."""

    centres: tuple[Centre, ...] = ()
    lost: int = 0

    def seen(self, box: Box) -> Trail:
        """Return the trail after a frame on which the object fills `box`."""
        known = self.centres if self.lost == 0 else ()
        return Trail((*known, centre_of(box))[-TRAIL_LENGTH:])

    def missed(self) -> Trail:
        """Return the trail after a frame on which the object is not visible."""
        return Trail(self.centres[-1:], self.lost + 1)

    def expected(self, limit: float) -> Centre:
        """Return where the object is looked for on the next frame: as far on as it came, at most `limit` pixels."""
        (y0, x0), (y1, x1) = self.centres[0], self.centres[-1]
        steps = max(1, len(self.centres) - 1)
        dy, dx = (y1 - y0) / steps, (x1 - x0) / steps
        return y1 + min(max(dy, -limit), limit), x1 + min(max(dx, -limit), limit)
