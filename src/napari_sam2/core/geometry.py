"""The only conversions between world, data, view and model pixels, and between (y, x) and (x, y).

Conventions, all of them:

- *Frame pixels* are continuous (y, x) positions with pixel centres at integers: pixel (3, 5) covers 2.5 to 3.5 and
  4.5 to 5.5. A frame of (Y, X) covers -0.5 to Y - 0.5.
- *View pixels* are frame pixels counted from the view's first pixel.
- *Model pixels* are (x, y) on the square of side S to which the view is stretched, again with pixel centres at
  integers: ``m = (v + 0.5) * S / length - 0.5``. The network adds the half pixel itself (``(m + 0.5) / S``), so
  model pixels are handed to it exactly as they come from here.
- A *prompt box* (y0, x0, y1, x1) holds the positions of two opposite corners; each corner is converted as a point is.
- A *pixel box* (`napari_sam2.core.masks.Box`) is half open and counts pixels; its outline as a prompt box is half a
  pixel further up and left: rows 3 to 7 are the pixel box 3, 8 and the prompt box 2.5, 7.5.
- *World* is what a viewer shows; an affine matrix (D + 1, D + 1) maps homogeneous data positions to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from napari_sam2.core.errors import ImageError
from napari_sam2.core.masks import Box
from napari_sam2.core.views import View

PromptBox = tuple[float, float, float, float]
"""(y0, x0, y1, x1): positions of two corners, frame pixels, pixel centres at integers."""


def nearest_index(position: float) -> int:
    """Return the pixel or frame that holds `position`: 5.999999 is 6, and 5.5 is 6."""
    return math.floor(position + 0.5)


def swap_yx(points: ArrayLike) -> np.ndarray:
    """Turn (N, 2) points from (y, x) to (x, y), or back."""
    swapped: np.ndarray = _points(points)[:, ::-1].copy()
    return swapped


def frame_to_model(points: ArrayLike, view: View, side: int) -> np.ndarray:
    """Convert (N, 2) frame pixels (y, x) to (N, 2) model pixels (x, y), float64."""
    in_view = _points(points) - _origin(view)
    return swap_yx((in_view + 0.5) * (side / _size(view)) - 0.5)


def model_to_frame(points: ArrayLike, view: View, side: int) -> np.ndarray:
    """Convert (N, 2) model pixels (x, y) to (N, 2) frame pixels (y, x), float64."""
    in_view = (swap_yx(points) + 0.5) * (_size(view) / side) - 0.5
    in_frame: np.ndarray = in_view + _origin(view)
    return in_frame


def box_to_model(box: PromptBox, view: View, side: int) -> tuple[float, float, float, float]:
    """Convert a prompt box (y0, x0, y1, x1), frame pixels, to (x0, y0, x1, y1), model pixels."""
    (x0, y0), (x1, y1) = frame_to_model([box[:2], box[2:]], view, side).tolist()
    return x0, y0, x1, y1


def box_from_model(box: PromptBox, view: View, side: int) -> PromptBox:
    """Convert (x0, y0, x1, y1), model pixels, to a prompt box (y0, x0, y1, x1), frame pixels."""
    (y0, x0), (y1, x1) = model_to_frame([box[:2], box[2:]], view, side).tolist()
    return y0, x0, y1, x1


def outline_of_pixels(box: Box) -> PromptBox:
    """Return the prompt box that runs along the outer edges of the pixels of a half-open pixel box."""
    return box[0] - 0.5, box[1] - 0.5, box[2] - 0.5, box[3] - 0.5


def pixels_in_outline(box: PromptBox) -> Box:
    """Return the half-open pixel box of all pixels whose centres lie in a prompt box."""
    y0, x0 = math.ceil(box[0]), math.ceil(box[1])
    return y0, x0, max(y0, math.ceil(box[2])), max(x0, math.ceil(box[3]))


def world_to_data(points: ArrayLike, matrix: ArrayLike) -> np.ndarray:
    """Convert (N, D) world positions to (N, D) data positions.

    Parameters
    ----------
    points : array of shape (N, D)
        World positions.
    matrix : array of shape (D + 1, D + 1)
        Maps homogeneous data positions to world positions, as a viewer states it.
    """
    return data_to_world(points, _inverse(matrix))


def data_to_world(points: ArrayLike, matrix: ArrayLike) -> np.ndarray:
    """Convert (N, D) data positions to (N, D) world positions; `matrix` as in `world_to_data`."""
    affine = np.asarray(matrix, np.float64)
    positions = np.atleast_2d(np.asarray(points, np.float64))
    return positions @ affine[:-1, :-1].T + affine[:-1, -1]


def _inverse(matrix: ArrayLike) -> np.ndarray:
    affine = np.asarray(matrix, np.float64)
    try:
        return np.linalg.inv(affine)
    except np.linalg.LinAlgError as error:
        raise ImageError(
            "the layer's transform cannot be inverted",
            remedy="give every axis a scale other than 0",
        ) from error


def _points(points: ArrayLike) -> np.ndarray:
    return np.asarray(points, np.float64).reshape(-1, 2)


def _origin(view: View) -> np.ndarray:
    return np.array([view.y0, view.x0], np.float64)


def _size(view: View) -> np.ndarray:
    return np.array([view.height, view.width], np.float64)


def as_tuple(point: Sequence[float]) -> tuple[float, ...]:
    """Return `point` as a tuple of Python floats, as the frozen prompts hold it."""
    return tuple(float(value) for value in point)
