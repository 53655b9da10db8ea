"""Results of every layout, made without a session."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_sam2.core.axes import StackView
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.core.placement import Placement
from napari_sam2.core.results import LabelResult, Score
from napari_sam2.core.sources import ImageSource

OBLIQUE = np.array(
    [[-0.95, 0.03, 0.1, 7.5], [0.1, 0.3, -0.05, 11], [0.4, -0.01, 0.28, -20], [0, 0, 0, 1]]
)
"""From (z, y, x) to the world, with a negative direction."""


def random_labels(shape, dtype=np.uint16, highest=3, seed=0):
    labels = np.random.default_rng(seed).integers(0, highest + 1, shape)
    return labels.astype(dtype)


def result_of(labels, view=None, placement=None, kind="array", path=None, **changes):
    """A result of labels (T, Y, X); `view` and `placement` are those of the image."""
    view = view or StackView.default(3)
    placement = placement or Placement.plain(view.ndim)
    source = ImageSource("made", placement, kind, None if path is None else str(path))
    is_array = isinstance(labels, np.ndarray)
    found = [int(value) for value in np.unique(labels) if value] if is_array else []
    return replace(LabelResult(labels, view, source, objects=tuple(found)), **changes)


def in_image_order(labels, view):
    """The labels as the axes of the image have them, straight from the frames."""
    fixed = {axis for axis, _ in view.fixed}
    axes = [axis for axis in range(view.ndim) if axis not in fixed]
    counted = [view.volume_axis, view.frame_axis, view.row_axis, view.column_axis]
    order = [axis for axis in counted if axis is not None]
    shape = labels.shape[1:] if view.frame_axis is None else labels.shape
    if view.depth:
        shape = (shape[0] // view.depth, view.depth, *shape[1:])
    return labels.reshape(shape).transpose([order.index(axis) for axis in axes])


def told(object_id=1, **info):
    return {object_id: ObjectInfo(**info)}


def scored(*places):
    return {place: Score(3.0, 0.75, "tracked") for place in places}
