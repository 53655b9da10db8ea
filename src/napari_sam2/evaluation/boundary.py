"""Boundary accuracy F: how much of two outlines lies within a tolerance of the other."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from napari_sam2.core.masks import EMPTY_BOX, bounding_box, union_box

TOLERANCE = 0.008
"""Share of the frame's diagonal within which two boundary pixels match."""


def outline(mask: np.ndarray) -> np.ndarray:
    """Mark the pixels that differ from their right, lower or lower right neighbour.

    Parameters
    ----------
    mask : ndarray of shape (Y, X), bool
        Where the frame ends, the object does not: the frame's edge gives no outline.

    Returns
    -------
    ndarray of shape (Y, X), bool
        An outline one pixel wide. It lies on both sides of the border: inside it below and on the right, outside it
        above and on the left, as in the tool that made this measure common.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, below, diagonal = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return (mask != right) | (mask != below) | (mask != diagonal)


def tolerance_pixels(shape: tuple[int, ...], tolerance: float = TOLERANCE) -> int:
    """Return the matching distance in pixels for frames of `shape` (Y, X), rounded up."""
    return math.ceil(tolerance * math.hypot(*shape))


def boundary_accuracy(
    prediction: np.ndarray, reference: np.ndarray, tolerance: float = TOLERANCE
) -> float:
    """Return F, the harmonic mean of the precision and the recall of outline pixels.

    Parameters
    ----------
    prediction, reference : ndarray of shape (Y, X), bool
        Masks of one object on one frame.
    tolerance : float
        Share of the frame's diagonal; a pixel matches if the other outline, widened by a disc of this radius
        (rounded up to whole pixels), covers it.

    Returns
    -------
    float
        0 to 1; 1 when neither mask has an outline, 0 when only one has.

    Notes
    -----
    The measure of the DAVIS 2017 benchmark (Perazzi et al. 2016; Pont-Tuset et al. 2017), written from its description.
    Widening by a disc is done as "distance to the nearest outline pixel is at most the radius": the same pixels.
    """
    radius = tolerance_pixels(prediction.shape, tolerance)
    crop = _working_area(prediction, reference)
    predicted, expected = outline(prediction)[crop], outline(reference)[crop]
    num_predicted, num_expected = np.count_nonzero(predicted), np.count_nonzero(expected)
    if num_predicted == 0 or num_expected == 0:
        return 1.0 if num_predicted == num_expected else 0.0
    precision = np.count_nonzero(predicted & _widen(expected, radius)) / num_predicted
    recall = np.count_nonzero(expected & _widen(predicted, radius)) / num_expected
    total = precision + recall
    return 2.0 * precision * recall / total if total else 0.0


def _widen(lines: np.ndarray, radius: int) -> np.ndarray:
    return ndimage.distance_transform_edt(~lines) <= radius


def _working_area(prediction: np.ndarray, reference: np.ndarray) -> tuple[slice, slice]:
    """Cut away what holds no outline: the distance transform of a whole large frame is slow."""
    box = union_box(bounding_box(prediction), bounding_box(reference))
    if box == EMPTY_BOX:
        return slice(0, 1), slice(0, 1)
    # An outline reaches one pixel above and left of its object.
    y0, x0 = max(box[0] - 1, 0), max(box[1] - 1, 0)
    return slice(y0, box[2]), slice(x0, box[3])
