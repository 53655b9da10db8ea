"""What a shape that a person drew says: a box, an outline, or a scribble."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import PromptError

ROUND = 72
"""Corners of the polygon that stands for an ellipse: within a tenth of a percent of its radius."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A shape on one frame.

    `kind`: what it says; `path`: (N, 2) of (y, x), frame pixels: corners of a box or a polygon, or a way.
    """

    kind: Literal["box", "polygon", "scribble"]
    frame: int
    path: np.ndarray = field(repr=False, compare=False)


def outline_of(shape_type: str, vertices: np.ndarray, view: StackView) -> Outline:
    """Return what a shape of napari says.

    Parameters
    ----------
    shape_type : str
        "rectangle", "ellipse", "polygon", "line" or "path".
    vertices : array of shape (N, D)
        Data indices of the n-D array; the four corners around an ellipse.
    view : StackView
        Which axes are frames, rows and columns.

    Raises
    ------
    PromptError
        If it lies on several frames, or on another plane.
    """
    places = [view.to_frame(tuple(vertex)) for vertex in np.asarray(vertices, np.float64).tolist()]
    frames = {frame for frame, _, _ in places}
    if len(frames) != 1:
        raise PromptError(
            "the outline lies on several frames", remedy="draw it without moving the sliders"
        )
    path = np.array([(y, x) for _, y, x in places])
    frame = frames.pop()
    if shape_type == "rectangle":
        return Outline("box", frame, path)
    if shape_type == "ellipse":
        return Outline("polygon", frame, _round(path))
    return Outline("polygon" if shape_type == "polygon" else "scribble", frame, path)


def _round(corners: np.ndarray) -> np.ndarray:
    """Return the ellipse in a rectangle as a path (N, 2)."""
    middle = (corners[0] + corners[2]) / 2
    down, right = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angle = np.linspace(0, 2 * np.pi, ROUND, endpoint=False)[:, None]
    return middle + np.cos(angle) * down + np.sin(angle) * right
