"""LabelResult: what a session found, with all that a file of it can hold; every export is made from one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from napari_sam2.core.arrays import ArrayLikeStack
from napari_sam2.core.axes import StackView
from napari_sam2.core.frames import FrameSource
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.objects import PLAIN, ObjectInfo
from napari_sam2.core.placement import Placement
from napari_sam2.core.sources import ImageSource


@dataclass(frozen=True, slots=True)
class Score:
    """How sure an object on a frame is: logit that it is there, predicted overlap, and where the mask came from."""

    object_score: float
    iou: float
    provenance: str


@dataclass(frozen=True)
class LabelResult:
    """Labels of a stack, and what is known about them.

    Attributes
    ----------
    labels : array-like of shape (T, Y, X), unsigned integer
        Object ids, 0 for background; read frame by frame.
    view : StackView
        Which axes of the image the frames are.
    source : ImageSource
        The image, with the placement of all its axes.
    infos : mapping of ObjectId to ObjectInfo
        Names, classes and parents.
    scores : mapping of (ObjectId, FrameIndex) to Score
        Where it is known.
    frames : FrameSource, optional
        The pixels, for intensities.
    objects : tuple of ObjectId
        All objects, also those that are visible nowhere.
    """

    labels: ArrayLikeStack
    view: StackView
    source: ImageSource
    infos: Mapping[ObjectId, ObjectInfo] = field(default_factory=dict)
    scores: Mapping[tuple[ObjectId, FrameIndex], Score] = field(default_factory=dict)
    frames: FrameSource | None = None
    objects: tuple[ObjectId, ...] = ()

    def info(self, object_id: int) -> ObjectInfo:
        """Return what was said about an object."""
        return self.infos.get(ObjectId(object_id), PLAIN)

    @property
    def num_frames(self) -> int:
        """Number of frames of the stack."""
        return int(self.labels.shape[0])

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(Y, X) of a frame."""
        return int(self.labels.shape[1]), int(self.labels.shape[2])

    @property
    def dtype(self) -> np.dtype:
        """Type of the labels."""
        dtype: np.dtype = np.dtype(self.labels.dtype)
        return dtype

    @cached_property
    def axes(self) -> tuple[int, ...]:
        """The axes of the image that the labels have, in the image's order; fixed ones are left out."""
        fixed = {axis for axis, _ in self.view.fixed}
        return tuple(axis for axis in range(self.view.ndim) if axis not in fixed)

    @cached_property
    def placement(self) -> Placement:
        """Where the labels lie in the world: as the image does, without fixed axes."""
        return self.source.placement.taking(self.axes, dict(self.view.fixed))

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis of the labels, in the image's order."""
        lengths = dict(zip(self._order, self._lengths, strict=True))
        return tuple(lengths[axis] for axis in self.axes)

    @property
    def _order(self) -> tuple[int, ...]:
        """The axes of the image in the order in which frames go through them."""
        view = self.view
        counted = (view.volume_axis, view.frame_axis, view.row_axis, view.column_axis)
        return tuple(axis for axis in counted if axis is not None)

    @property
    def _lengths(self) -> tuple[int, ...]:
        if self.view.frame_axis is None:
            return self.frame_shape
        depth = self.view.depth
        counted = (self.num_frames // depth, depth) if depth else (self.num_frames,)
        return (*counted, *self.frame_shape)

    def index_of(self, t: int) -> tuple[int | slice, ...]:
        """Return where frame `t` lies in the labels in the image's order."""
        standing = self.view.standing(t)
        return tuple(standing.get(axis, slice(None)) for axis in self.axes)

    def in_place(self, frame: np.ndarray) -> np.ndarray:
        """Return a frame (Y, X) with its axes in the image's order."""
        return frame.T if self.view.is_transposed else frame

    @property
    def is_in_order(self) -> bool:
        """Whether frame after frame is how the labels lie in the image's order."""
        return self._order == self.axes

    def planes(self) -> Iterator[np.ndarray]:
        """Yield the labels in the image's order, plane by plane (Y, X); frame by frame where that is the same."""
        if self.is_in_order:
            for t in range(self.num_frames):
                yield np.asarray(self.labels[t])
        else:
            whole = self.array()
            yield from whole.reshape(-1, *whole.shape[-2:])

    def array(self) -> np.ndarray:
        """Return all labels in the image's order, in memory."""
        whole = np.asarray(self.labels[...]).reshape(self._lengths)
        ordered: np.ndarray = whole.transpose([self._order.index(axis) for axis in self.axes])
        return ordered

    @property
    def labels_of_axes(self) -> tuple[str, ...]:
        """Names of the axes; where none is known, "t" or "z" by the unit, "y" and "x"."""
        return tuple(
            self.placement.labels[number] or self._guessed(axis)
            for number, axis in enumerate(self.axes)
        )

    def _guessed(self, axis: int) -> str:
        if axis == self.view.row_axis:
            return "y"
        if axis == self.view.column_axis:
            return "x"
        if axis == self.view.volume_axis or not self.source.placement.metres(axis):
            return "t"
        return "z"

    @property
    def is_deep(self) -> bool:
        """Whether frames follow each other in space, so that objects are measured over all of them."""
        if self.view.frame_axis is None:
            return False
        return self.labels_of_axes[self.axes.index(self.view.frame_axis)] == "z"


def measured_axes(result: LabelResult) -> Sequence[int]:
    """Return the axes of the image that make up a pixel's size: two for an area, three for a volume."""
    view = result.view
    plane = (view.row_axis, view.column_axis)
    if result.is_deep and view.frame_axis is not None:
        return (view.frame_axis, *plane)
    return plane
