"""What a person draws as a line: polygons become masks, scribbles become points."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from napari_sam2.core.validation import Point


def polygon_mask(vertices: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels of a frame (Y, X) whose centres lie in a polygon; where it crosses itself, the even-odd rule.

    Parameters
    ----------
    vertices : array of shape (N, 2)
        (y, x), frame pixels; the last one is joined to the first. They may lie outside the frame.
    shape : (Y, X)
        Of the frame.
    """
    # Every edge toggles the pixels to its right, on the rows whose centres it passes.
    toggles = np.zeros((shape[0], shape[1] + 1), np.int64)
    for (y0, x0), (y1, x1) in pairwise([*vertices.tolist(), vertices[0].tolist()]):
        low, high = sorted((y0, y1))
        rows = np.arange(max(np.ceil(low), 0), min(np.ceil(high), shape[0])).astype(np.int64)
        if rows.size:
            crossings = x0 + (rows - y0) * ((x1 - x0) / (y1 - y0))
            columns = np.clip(np.ceil(crossings), 0, shape[1]).astype(np.int64)
            np.add.at(toggles, (rows, columns), 1)
    inside: np.ndarray = toggles.cumsum(axis=1)[:, :-1] % 2 == 1
    return inside


def points_along(path: np.ndarray, spacing: float) -> list[Point]:
    """Return points on a path (N, 2), its ends among them, at equal distances of about `spacing` pixels."""
    steps = np.hypot(*np.diff(path, axis=0).T)
    walked = np.concatenate([[0.0], np.cumsum(steps)])
    count = max(1, round(walked[-1] / spacing))
    at = np.linspace(0.0, walked[-1], count + 1) if walked[-1] else np.zeros(1)
    rows, columns = (np.interp(at, walked, path[:, axis]) for axis in (0, 1))
    return list(dict.fromkeys(zip(rows.tolist(), columns.tolist(), strict=True)))
