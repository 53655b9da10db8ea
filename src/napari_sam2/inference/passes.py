"""An object on its way through the frames: what a pass remembers, where it looks, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from napari_sam2.core.ids import ObjectId
from napari_sam2.core.masks import EMPTY_BOX, Box, ObjectMask
from napari_sam2.core.plan import Track
from napari_sam2.core.views import View
from napari_sam2.inference.focus import Side, Trail
from napari_sam2.inference.memory import MemoryEntry, Selection, window_of
from napari_sam2.inference.step import StepOutput


@dataclass(frozen=True, slots=True, eq=False)
class Conditioned:
    """What a view showed and what memory made of it. `seen`, `conditioned`: (1, C, h, w)."""

    view: View
    seen: Tensor
    conditioned: Tensor

    def is_like(self, view: View, seen: Tensor, limit: float) -> bool:
        """Say whether `seen` differs by less than `limit` times the size of what was seen, in the same view."""
        if view != self.view:
            return False
        return float((seen - self.seen).norm()) < limit * float(self.seen.norm())


class Pass:
    """Recent memories of one object on its way from one conditioning frame, and the trail it left.

    Immutable: `after` gives the next one, so a resume point is a reference. `last`: what was conditioned last, if a
    frame may take it over.
    """

    __slots__ = ("anchor", "is_reverse", "last", "recent", "trail")

    def __init__(
        self,
        anchor: int,
        is_reverse: bool,
        trail: Trail,
        recent: dict[int, MemoryEntry] | None = None,
        last: Conditioned | None = None,
    ) -> None:
        self.anchor, self.is_reverse = anchor, is_reverse
        self.trail, self.recent, self.last = trail, recent or {}, last

    def is_of(self, track: Track, is_reverse: bool) -> bool:
        """Say whether `track` goes on with this pass."""
        return self.anchor == track.anchor and self.is_reverse == is_reverse

    def after(
        self,
        frame: int,
        entry: MemoryEntry,
        box: Box,
        stride: int = 1,
        last: Conditioned | None = None,
    ) -> Pass:
        """Return the pass with one more frame remembered and the unreachable ones forgotten."""
        window = window_of({**self.recent, frame: entry}, frame, stride)
        trail = self.trail.missed() if box == EMPTY_BOX else self.trail.seen(box)
        return Pass(self.anchor, self.is_reverse, trail, window, last)

    def past_noise(self) -> Pass:
        """Return the pass after a frame on which nothing could be said: nothing is remembered of it."""
        return Pass(self.anchor, self.is_reverse, self.trail.missed(), self.recent)


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """One object on the frame that is tracked now.

    `side`: of its window; `view`: where it is looked for; `selection`: what it attends to; `last`: what was conditioned
    last, if that may be taken over.
    """

    object_id: ObjectId
    side: Side
    view: View
    selection: Selection
    last: Conditioned | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a slot's view showed.

    `output`: as it is remembered, None if it was noise; `mask`: as it is shown, holes filled; `last`: what was
    conditioned last, if kept.
    """

    slot: Slot
    output: StepOutput | None
    mask: ObjectMask
    last: Conditioned | None = None

    @property
    def is_visible(self) -> bool:
        """Whether the object is there."""
        return self.mask.box != EMPTY_BOX
