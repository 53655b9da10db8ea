"""Overlapping: who gets the pixels that several claim."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from napari_sam2.core.arrays import ArrayLikeStack
from napari_sam2.core.errors import LabelsError
from napari_sam2.core.ids import FrameIndex
from napari_sam2.core.masks import Box
from napari_sam2.core.projection import check_label, check_overlap
from napari_sam2.core.reading import Reading
from napari_sam2.core.recording import recorded
from napari_sam2.core.state import ExistingLabels, OverlapPolicy, SessionState


class Overlapping(Reading):
    """The overlap policy, and labels that were there before."""

    @recorded
    def set_overlap(self, overlap: OverlapPolicy) -> None:
        """Choose who wins where masks of different runs overlap: "keep", "overwrite" or "highest"; see `Session`."""
        checked = check_overlap(overlap)
        if checked != self.overlap:
            self._act("overlap", replace(self.state, overlap=checked))

    @recorded
    def use_existing(self, labels: ArrayLikeStack | None, *, protect: bool = True) -> None:
        """Show labels that were there before beside those of the session; None leaves them out again.

        Parameters
        ----------
        labels : array-like of shape (T, Y, X), integer
            Read frame by frame, and once as a whole for its largest label: new objects get ids above it.
        protect : bool
            No mask of the session covers them; otherwise all do.
        """
        existing = None if labels is None else self._checked_existing(labels, protect)
        if existing is not self.state.existing:
            self._highest_id = max(self._highest_id, existing.highest if existing else 0)
            self._act("existing labels", replace(self.state, existing=existing))

    def _checked_existing(self, labels: ArrayLikeStack, protect: bool) -> ExistingLabels:
        shape, dtype = tuple(labels.shape), np.dtype(labels.dtype)
        expected = (len(self.frames), *self.frames.shape)
        if shape != expected or dtype.kind not in "iu":
            raise LabelsError(
                f"existing labels must be whole numbers of shape {expected}, got {dtype} {shape}"
            )
        highest = max(int(np.asarray(labels[t]).max()) for t in range(shape[0]))
        check_label(highest, self.labels_dtype)
        return ExistingLabels(labels, highest, protect)

    def _repainted(self, old: SessionState) -> Iterable[tuple[FrameIndex, Box]]:
        whole = (0, 0, *self.frames.shape)
        is_same = old.existing is self.state.existing
        return () if is_same else ((FrameIndex(t), whole) for t in range(len(self.frames)))
