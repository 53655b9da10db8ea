"""Measures: what is measured on masks, remembered because records never change."""

from __future__ import annotations

from collections.abc import Mapping

from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.quality import Shape, claimed_pixels, shape_of
from napari_sam2.core.state import RecordKey, SessionState
from napari_sam2.core.store import MaskStore

MAX_MEASURED = 200_000
"""Shapes that are remembered."""


class Measures:
    """Shapes of the masks of a store, and how much of them others claim; each is taken once."""

    def __init__(self, store: MaskStore) -> None:
        self._store = store
        self._shapes: dict[RecordKey, Shape] = {}
        self._overlaps: dict[
            FrameIndex, tuple[Mapping[ObjectId, RecordKey], Mapping[ObjectId, float]]
        ] = {}

    def shape(self, key: RecordKey) -> Shape:
        """Return the shape of a mask."""
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= MAX_MEASURED:
                self._shapes.clear()
            shape = self._shapes[key] = shape_of(self._store.get(key))
        return shape

    def shares(self, state: SessionState, frame: FrameIndex) -> Mapping[ObjectId, float]:
        """Return which share of each mask that `state` shows on a frame other objects claim, as a sum over them.

        Measured again only if something else is shown there.
        """
        shown = ((item, state.shown(item, frame)) for item in state.objects)
        keys = {item: key for item, key in shown if key is not None}
        known = self._overlaps.get(frame)
        if known is None or known[0] != keys:
            known = self._overlaps[frame] = keys, self._measured(keys)
        return known[1]

    def _measured(self, keys: Mapping[ObjectId, RecordKey]) -> Mapping[ObjectId, float]:
        counts = claimed_pixels([self._store.get(key) for key in keys.values()])
        return {
            item: min(1.0, count / self.shape(key).area)
            for (item, key), count in zip(keys.items(), counts, strict=True)
            if count
        }
