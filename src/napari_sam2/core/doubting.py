"""Doubting: where a person should look next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.measuring import Measures
from napari_sam2.core.quality import (
    NOWHERE,
    FrameQuality,
    assess,
    place_to_click,
)
from napari_sam2.core.reading import Reading
from napari_sam2.core.validation import check_frame


class Doubt(NamedTuple):
    """An object on a frame, and how likely its mask is bad, 0 to 1."""

    object_id: ObjectId
    frame: FrameIndex
    doubt: float


class Doubting(Reading):
    """The quality of every mask, measured on the masks themselves."""

    @cached_property
    def _measures(self) -> Measures:
        return Measures(self.store)

    def quality(self, object: int) -> tuple[FrameQuality, ...]:
        """Return how an object looks on every frame of the stack."""
        return self._quality(self._known(object), self._all_shares())

    def doubtful(
        self, objects: Iterable[int] | None = None, least: float = 0.5
    ) -> tuple[Doubt, ...]:
        """Return where a mask is likely bad, the worst first; of equal ones the earlier frame.

        Parameters
        ----------
        objects : iterable of int, optional
            Which objects; all by default.
        least : float
            Doubts below are left out.
        """
        chosen = self.objects if objects is None else tuple(map(self._known, objects))
        shares = self._all_shares()
        doubts = [
            Doubt(object_id, FrameIndex(item.frame), item.doubt)
            for object_id in chosen
            for item in self._quality(object_id, shares)
            if item.kind in ("tracked", "absent") and item.doubt >= least
        ]
        return tuple(sorted(doubts, key=lambda item: (-item.doubt, item.frame, item.object_id)))

    def place_to_click(self, object: int, frame: int) -> tuple[int, int] | None:
        """Return the pixel (y, x) where a click about an object on a frame would tell most; None if nothing is known.

        It lies where the mask differs most widely from that of the frame beside it, on the side of the nearest prompt.
        Whether it belongs to the object is for the person to say.
        """
        object_id, frame_idx = self._known(object), check_frame(frame, len(self.frames))
        prompted = self.state.objects[object_id].prompts
        anchor = min(prompted, key=lambda t: (abs(t - frame_idx), t))
        way = np.sign(anchor - frame_idx)
        around = range(frame_idx + way, anchor + way, way) if way else ()
        beside = (self.mask(object_id, t) for t in around)
        seen = next((mask for mask in beside if mask.any()), None)
        return place_to_click(self.mask(object_id, frame_idx), seen)

    def _quality(
        self, object_id: ObjectId, shares: Sequence[Mapping[ObjectId, float]]
    ) -> tuple[FrameQuality, ...]:
        keys = [self.state.shown(object_id, FrameIndex(t)) for t in range(len(self.frames))]
        shapes = [NOWHERE if key is None else self._measures.shape(key) for key in keys]
        records = [None if key is None else self.store.get(key) for key in keys]
        overlaps = [share.get(object_id, 0.0) for share in shares]
        prompted = self.state.objects[object_id].prompts
        return assess(records, shapes, overlaps, prompted, self.frames.shape)

    def _all_shares(self) -> list[Mapping[ObjectId, float]]:
        """Return for every frame which share of each mask other objects claim, as a sum over them."""
        return [self._measures.shares(self.state, FrameIndex(t)) for t in range(len(self.frames))]
