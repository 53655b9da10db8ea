"""Masks as run lengths: a form that text files hold, and people can read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_sam2.core.masks import Box, PackedMask


def runs_of(mask: PackedMask) -> list[int]:
    """Return how many pixels of the mask's box are outside, inside, outside, … in turn, row after row."""
    pixels = mask.crop().ravel()
    if not len(pixels):
        return []
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    starts = np.concatenate([[0], changes, [len(pixels)]])
    runs: list[int] = np.diff(starts).tolist()
    return [0, *runs] if pixels[0] else runs


def mask_of(runs: Sequence[int], box: Box, shape: tuple[int, int]) -> PackedMask:
    """Return the mask of run lengths in a box (y0, x0, y1, x1) of a frame of `shape` (Y, X).

    Raises
    ------
    ValueError
        If the box does not lie in the frame, or the runs do not fill it. Nothing large is made to find out.
    """
    y0, x0, y1, x1 = box
    if not (0 <= y0 <= y1 <= shape[0] and 0 <= x0 <= x1 <= shape[1]):
        raise ValueError(f"box {box} does not lie in a frame of {shape[0]} x {shape[1]} pixels")
    area = (y1 - y0) * (x1 - x0)
    if sum(runs) != area or min(runs, default=0) < 0:
        raise ValueError(f"the runs fill {sum(runs)} of the {area} pixels of box {box}")
    inside = np.arange(len(runs)) % 2 == 1
    return PackedMask.from_crop(shape, box, np.repeat(inside, runs).reshape(y1 - y0, x1 - x0))
