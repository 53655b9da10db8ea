"""Masks of one object on one frame: as an array with its box, and packed to immutable bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from napari_sam2.core.ids import ObjectId

Box = tuple[int, int, int, int]
"""(y0, x0, y1, x1) in frame pixels, half open: rows y0 to y1 - 1."""

EMPTY_BOX: Box = (0, 0, 0, 0)

NO_OPINION = 0.0
"""Object score of what the model could not answer about: neither visible nor absent."""


def bounding_box(mask: np.ndarray) -> Box:
    """Return the smallest box that holds all true pixels of `mask` (Y, X), or `EMPTY_BOX`."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return EMPTY_BOX
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def union_box(first: Box, second: Box) -> Box:
    """Return the smallest box that holds both; an empty box adds nothing."""
    if first == EMPTY_BOX or second == EMPTY_BOX:
        return second if first == EMPTY_BOX else first
    return (
        min(first[0], second[0]),
        min(first[1], second[1]),
        max(first[2], second[2]),
        max(first[3], second[3]),
    )


def overlapping_pairs(boxes: Sequence[Box]) -> list[tuple[int, int]]:
    """Return which boxes have a pixel in common, as pairs of their places, the lower one first."""
    if len(boxes) < 2:
        return []
    y0, x0, y1, x1 = np.array(boxes).T
    rows = np.maximum.outer(y0, y0) < np.minimum.outer(y1, y1)
    columns = np.maximum.outer(x0, x0) < np.minimum.outer(x1, x1)
    return [(int(i), int(j)) for i, j in np.argwhere(np.triu(rows & columns, 1))]


def moved_box(box: Box, by: tuple[int, int]) -> Box:
    """Return `box` moved by (y, x) pixels."""
    return box[0] + by[0], box[1] + by[1], box[2] + by[0], box[3] + by[1]


@dataclass(frozen=True, slots=True)
class PackedMask:
    """One mask of a whole frame as a value: hashable, comparable, 1 bit a pixel of its box.

    `shape`: (Y, X) of the frame; `box`: where the mask is; `bits`: row-major bits of the box.
    """

    shape: tuple[int, int]
    box: Box
    bits: bytes = field(repr=False)

    @classmethod
    def from_array(cls, mask: np.ndarray) -> PackedMask:
        """Pack a frame-sized mask (Y, X), bool."""
        box = bounding_box(mask)
        return cls.from_crop((int(mask.shape[0]), int(mask.shape[1])), box, mask[_slices(box)])

    @classmethod
    def from_object_mask(cls, mask: ObjectMask, shape: tuple[int, int]) -> PackedMask:
        """Pack what `mask` covers in a frame of `shape` (Y, X)."""
        return cls.from_crop(shape, mask.box, mask.mask)

    @classmethod
    def from_crop(cls, shape: tuple[int, int], box: Box, crop: np.ndarray) -> PackedMask:
        """Pack the content of `box`, (y1 - y0, x1 - x0) bool, which no smaller box holds."""
        return cls(shape, box, np.packbits(np.asarray(crop, bool), axis=None).tobytes())

    def crop(self) -> np.ndarray:
        """Return the content of `box`, (y1 - y0, x1 - x0) bool."""
        height, width = self.box[2] - self.box[0], self.box[3] - self.box[1]
        bits = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=height * width)
        return bits.reshape(height, width).astype(bool)

    def to_array(self) -> np.ndarray:
        """Return the frame-sized mask (Y, X), bool."""
        mask = np.zeros(self.shape, bool)
        mask[_slices(self.box)] = self.crop()
        return mask

    @property
    def area(self) -> int:
        """Number of true pixels."""
        return int(self.crop().sum())


@dataclass(frozen=True, slots=True)
class ObjectMask:
    """One object on one frame.

    `box`: (y0, x0, y1, x1), frame pixels, `EMPTY_BOX` if nothing is visible; `mask`: (y1 - y0, x1 - x0) bool;
    `object_score`: logit, absent if <= 0; `iou`: predicted quality, 0 to 1;
    `strength`: (y1 - y0, x1 - x0) uint8, the mask logit quantised by `quantise_logits`, 0 outside the mask:
    by it objects of one run compete for a pixel; `view`: (y0, x0, y1, x1), the window of the frame that was looked at,
    None for the whole frame.
    """

    object_id: ObjectId
    box: Box
    mask: np.ndarray = field(repr=False, compare=False)
    object_score: float
    iou: float
    strength: np.ndarray = field(repr=False, compare=False)
    view: Box | None = None

    @classmethod
    def from_logits(
        cls,
        object_id: ObjectId,
        logits: np.ndarray,
        object_score: float,
        iou: float,
        view: Box | None = None,
        corner: tuple[int, int] = (0, 0),
    ) -> ObjectMask:
        """Cut the box of what is above 0 out of logits.

        Parameters
        ----------
        object_id : ObjectId
            Whose.
        logits : ndarray of shape (h, w), float32
            Of the frame or its window `view`, or of a part of it outside of which nothing is above 0.
        object_score, iou : float
            See the class.
        view : Box, optional
            The window that was looked at; None for the whole frame.
        corner : (y, x)
            Where the logits begin in the frame or in its window.
        """
        mask = logits > 0
        box = bounding_box(mask)
        crop = mask[_slices(box)]
        strength = quantise_logits(logits[_slices(box)])
        if box != EMPTY_BOX:
            y0, x0 = (0, 0) if view is None else view[:2]
            box = moved_box(box, (y0 + corner[0], x0 + corner[1]))
        return cls(object_id, box, crop.copy(), float(object_score), float(iou), strength, view)

    @classmethod
    def unanswered(cls, object_id: ObjectId) -> ObjectMask:
        """Return what stands for an object about which the model gave no usable answer: nothing, and no opinion."""
        nothing = np.zeros((0, 0), bool)
        return cls(object_id, EMPTY_BOX, nothing, NO_OPINION, 0.0, nothing.astype(np.uint8))

    def to_array(self, shape: tuple[int, int]) -> np.ndarray:
        """Return the frame-sized mask (Y, X), bool."""
        array = np.zeros(shape, bool)
        array[_slices(self.box)] = self.mask
        return array


def quantise_logits(logits: np.ndarray) -> np.ndarray:
    """Return uint8 steps of 1/16 logit: 0 where `logits` <= 0, else 1 to 255 (255 from 15.9 on)."""
    steps = np.clip(np.ceil(logits * 16.0), 1, 255)
    return np.where(logits > 0, steps, 0).astype(np.uint8)


def _slices(box: Box) -> tuple[slice, slice]:
    return slice(box[0], box[2]), slice(box[1], box[3])
