"""Overlapping: who gets the pixels that several claim."""

from __future__ import annotations

import reprlib
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
            New objects get ids above the largest label, and none that is a label. A numpy array is copied, others are
            read frame by frame whenever a frame is shown.
        protect : bool
            No mask of the session covers them; otherwise all do.

        Raises
        ------
        LabelsError
            If their shape or their type does not fit, or one of them is negative, beyond the type of the session's
            labels, or the id of an object.
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
        if isinstance(labels, np.ndarray):
            labels = labels.copy()  # somebody may go on drawing in it
        planes = (np.unique(np.asarray(labels[t])) for t in range(shape[0]))
        values = frozenset(value for plane in planes for value in plane.tolist())
        if min(values) < 0:
            raise LabelsError(
                f"existing labels must not be negative, got {min(values)}",
                remedy="give them numbers from 1, and 0 to what is background",
            )
        check_label(max(values), self.labels_dtype)
        both = sorted(values & self.state.objects.keys())
        if both:
            raise LabelsError(
                f"existing labels and objects have the same ids: {reprlib.repr(both)}",
                remedy=f"give the labels other numbers, for example from {self.next_object_id} on",
            )
        return ExistingLabels(labels, max(values), protect, values - {0})

    def _repainted(self, old: SessionState) -> Iterable[tuple[FrameIndex, Box]]:
        whole = (0, 0, *self.frames.shape)
        is_same = old.existing is self.state.existing
        return () if is_same else ((FrameIndex(t), whole) for t in range(len(self.frames)))
