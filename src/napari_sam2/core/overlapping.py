"""Overlapping: who gets the pixels that several claim."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Set
from dataclasses import replace

import numpy as np

from napari_sam2.core.arrays import ArrayLikeStack
from napari_sam2.core.errors import LabelsError
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.label_stack import PackedLabels
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
            New objects get ids above the largest label, and none that is a label. They are read frame by frame and
            copied, compressed: what becomes of the original later changes nothing.
        protect : bool
            No mask of the session covers them; otherwise all do.

        Raises
        ------
        LabelsError
            If their shape or their type does not fit, or one of them is negative, beyond the type of the session's
            labels, or the id of an object.
        """
        taken = self.state.objects.keys()
        existing = None if labels is None else self._checked_existing(labels, protect, taken)
        if existing is not self.state.existing:
            self._act("existing labels", replace(self.state, existing=existing))

    def _checked_existing(
        self, labels: ArrayLikeStack, protect: bool, taken: Set[ObjectId]
    ) -> ExistingLabels:
        """Return a copy of labels, unless they fit neither the stack nor the ids that objects have taken."""
        shape, dtype = tuple(labels.shape), np.dtype(labels.dtype)
        expected = (len(self.frames), *self.frames.shape)
        if shape != expected or dtype.kind not in "iu":
            raise LabelsError(
                f"existing labels must be whole numbers of shape {expected}, got {dtype} {shape}",
                remedy="give labels of this stack, 0 for background",
            )
        values, packed = set[int](), list[bytes]()
        for t in range(shape[0]):
            frame = np.asarray(labels[t], dtype)
            values.update(np.unique(frame).tolist())
            packed.append(PackedLabels.pack(frame))
        if min(values) < 0:
            raise LabelsError(
                f"existing labels must not be negative, got {min(values)}",
                remedy="give them numbers from 1, and 0 to what is background",
            )
        check_label(max(values), self.labels_dtype)
        both = sorted(values & taken)
        if both:
            raise LabelsError(
                f"existing labels and objects have the same ids: {reprlib.repr(both)}",
                remedy=f"give the labels other numbers, for example from {self.next_object_id} on",
            )
        copied = PackedLabels((shape[0], shape[1], shape[2]), dtype, packed)
        return ExistingLabels(copied, max(values), protect, frozenset(values - {0}))

    def _repainted(self, old: SessionState) -> Iterable[tuple[FrameIndex, Box]]:
        whole = (0, 0, *self.frames.shape)
        is_same = old.existing is self.state.existing
        return () if is_same else ((FrameIndex(t), whole) for t in range(len(self.frames)))
