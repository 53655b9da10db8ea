"""A simulated annotator: clicks in the middle of an object, or of the largest error."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_sam2.core.masks import bounding_box

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


def correction_click(
    prediction: np.ndarray, reference: np.ndarray, earlier: Collection[Click] = ()
) -> Click | None:
    """Click in the middle of the largest error region.

    Parameters
    ----------
    prediction, reference : ndarray of shape (Y, X), bool
        Masks of one object on one frame.
    earlier : collection of Click
        Clicks made there before; their pixels count as border, so that no pixel is clicked twice.

    Returns
    -------
    Click or None
        Positive on a piece that is missing, negative on a piece that is too much; None if the masks are equal, or if
        every pixel of the error was clicked.
    """
    region, is_positive = error_region(prediction, reference)
    for click in earlier:
        region[click.y, click.x] = False
    return Click(*innermost_pixel(region), is_positive) if region.any() else None


def error_region(prediction: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the largest piece where two masks differ, and whether it is missing in `prediction`.

    Regions are 8-connected pieces of one kind of error; of two equally large ones the missing piece comes first.
    """
    missing, size_missing = _largest_region(reference & ~prediction)
    surplus, size_surplus = _largest_region(prediction & ~reference)
    is_missing = size_missing >= size_surplus
    return (missing if is_missing else surplus), is_missing


def _largest_region(mask: np.ndarray) -> tuple[np.ndarray, int]:
    regions, count = ndimage.label(mask, structure=EIGHT_CONNECTED)
    if count == 0:
        return mask, 0
    sizes = np.bincount(regions.ravel())[1:]
    largest = int(sizes.argmax())
    return regions == largest + 1, int(sizes[largest])


@dataclass(frozen=True, slots=True)
class Annotator:
    """A simulated person: exact, or as inexact as people are.

    `is_noisy`: clicks land off the middle, but inside the region that is meant, because a person who misses it sees
    that; boxes are loose. `seed`: the same one gives the same clicks for an object, whichever others there are.
    """

    is_noisy: bool = False
    seed: int = 0

    def click(
        self,
        prediction: np.ndarray,
        reference: np.ndarray,
        earlier: Collection[Click] = (),
        place: tuple[int, int] = (0, 0),
    ) -> Click | None:
        """Return the next click on a frame, or None if there is nothing to correct.

        Parameters
        ----------
        prediction, reference : ndarray of shape (Y, X), bool
            Masks of one object; an empty prediction before the first click.
        earlier : collection of Click
            Clicks made on this object on this frame before.
        place : (object_id, frame)
            Where it is: draws of different places are independent.
        """
        click = correction_click(prediction, reference, earlier)
        if click is None or not self.is_noisy:
            return click
        region, _ = error_region(prediction, reference)
        for done in earlier:
            region[done.y, done.x] = False
        y, x = _jittered(region, click, self._draws(place, len(earlier)))
        return Click(y, x, click.positive)

    def box(
        self, mask: np.ndarray, place: tuple[int, int] = (0, 0)
    ) -> tuple[float, float, float, float]:
        """Return a box (y0, x0, y1, x1) around a mask (Y, X), pixel centres at integers; tight, or loose if noisy.

        A loose box has each side moved outwards by up to a fifth of the box's length there.
        """
        y0, x0, y1, x1 = bounding_box(mask)
        sides = np.array([y0, x0, y1, x1], np.float64) - 0.5  # the outer edges of the pixels
        if self.is_noisy:
            lengths = np.array([y0 - y1, x0 - x1, y1 - y0, x1 - x0])
            sides += lengths * self._draws(place, 0).uniform(0.0, LOOSENESS, 4)
            bottom, right = mask.shape
            sides = np.clip(sides, -0.5, [bottom - 0.5, right - 0.5] * 2)
        top, left, low, far = sides.tolist()
        return top, left, low, far

    def _draws(self, place: tuple[int, int], number: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *place, number))


LOOSENESS = 0.2
"""Share of a box's length by which a noisy annotator moves a side outwards at most."""


def _jittered(region: np.ndarray, middle: Click, draws: np.random.Generator) -> tuple[int, int]:
    """Draw a pixel of a region around its middle; the spread is half the radius of a disc of its size."""
    pixels = np.argwhere(region)
    squared = ((pixels - (middle.y, middle.x)) ** 2).sum(axis=1)
    weights = np.exp(-squared / (2 * max(len(pixels) / (4 * np.pi), 0.25)))
    y, x = pixels[draws.choice(len(pixels), p=weights / weights.sum())]
    return int(y), int(x)
