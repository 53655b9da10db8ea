"""A simulated annotator: clicks in the middle of an object, or of the largest error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

EIGHT_CONNECTED = np.ones((3, 3), bool)


@dataclass(frozen=True, slots=True)
class Click:
    """One click. `y`, `x`: frame pixels; `positive`: the pixel belongs to the object."""

    y: int
    x: int
    positive: bool = True


def innermost_pixel(mask: np.ndarray) -> tuple[int, int]:
    """Return the pixel of `mask` that is farthest from its border.

    Parameters
    ----------
    mask : ndarray of shape (Y, X), bool
        Must not be empty. The edge of the frame counts as border.

    Returns
    -------
    tuple of int
        (y, x). Of several equally deep pixels, the one nearest to their mean; then the first in row order.

    Raises
    ------
    ValueError
        If `mask` is empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        raise ValueError("an empty mask has no innermost pixel; choose a frame that has the object")
    y0, x0 = int(rows[0]), int(columns[0])
    crop = mask[y0 : rows[-1] + 1, x0 : columns[-1] + 1]
    depth = ndimage.distance_transform_edt(np.pad(crop, 1))[1:-1, 1:-1]
    deepest = np.argwhere(depth == depth.max())
    middle = ((deepest - deepest.mean(axis=0)) ** 2).sum(axis=1).argmin()
    y, x = deepest[middle]
    return y0 + int(y), x0 + int(x)


def first_click(mask: np.ndarray) -> Click:
    """Return the positive click on an object's innermost pixel."""
    return Click(*innermost_pixel(mask))


def correction_click(prediction: np.ndarray, reference: np.ndarray) -> Click | None:
    """Click in the middle of the largest error region.

    Parameters
    ----------
    prediction, reference : ndarray of shape (Y, X), bool
        Masks of one object on one frame.

    Returns
    -------
    Click or None
        Positive on a piece that is missing, negative on a piece that is too much; None if the masks are equal.

    Notes
    -----
    Regions are 8-connected pieces of one kind of error; of two equally large ones the missing piece comes first.
    """
    missing, size_missing = _largest_region(reference & ~prediction)
    surplus, size_surplus = _largest_region(prediction & ~reference)
    if size_missing == size_surplus == 0:
        return None
    if size_missing >= size_surplus:
        return Click(*innermost_pixel(missing), positive=True)
    return Click(*innermost_pixel(surplus), positive=False)


def _largest_region(mask: np.ndarray) -> tuple[np.ndarray, int]:
    regions, count = ndimage.label(mask, structure=EIGHT_CONNECTED)
    if count == 0:
        return mask, 0
    sizes = np.bincount(regions.ravel())[1:]
    largest = int(sizes.argmax())
    return regions == largest + 1, int(sizes[largest])
