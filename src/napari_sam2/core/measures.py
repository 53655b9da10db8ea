"""Measurements: size, place, brightness and score of every object on every frame, in the units of the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.results import LabelResult, measured_axes


@dataclass(frozen=True, slots=True)
class Measurement:
    """One object on one frame.

    Attributes
    ----------
    object_id, frame : int
        Which one, and where.
    name, class_name : str
        What it is called.
    pixels : int
        Pixels of its label.
    size : float or None
        Their area or, for a stack in space, volume; in `size_unit`; None where a unit is not known.
    size_unit : str
        "µm²", "mm³" and the like.
    centroid : tuple of float
        Mean data index over the axes of the image.
    world : tuple of float
        The same in the world of the image, in its units.
    intensity : float or None
        Mean of the pixels, not counting NaN; None for colours or without pixels.
    object_score, iou : float or None
        Logit that it is there, and predicted overlap.
    provenance : str
        "prompt", "mask" or "tracked"; "" where nothing is known.
    """

    object_id: ObjectId
    frame: FrameIndex
    name: str
    class_name: str
    pixels: int
    size: float | None
    size_unit: str
    centroid: tuple[float, ...]
    world: tuple[float, ...]
    intensity: float | None
    object_score: float | None
    iou: float | None
    provenance: str


LENGTHS = {"nm": 1e-9, "µm": 1e-6, "mm": 1e-3, "m": 1.0}
"""What sizes are told in, the smallest first: metres."""


def measure(result: LabelResult) -> Iterator[Measurement]:
    """Yield a measurement of every object on every frame on which it is visible, frame by frame."""
    unit_size, unit = _pixel_size(result)
    for t in range(result.num_frames):
        frame = np.asarray(result.labels[t])
        parts = _parts(frame)
        if not parts:
            continue
        pixels = None if result.frames is None else result.frames.read(t)
        for object_id, rows, columns in parts:
            y, x = float(rows.mean()), float(columns.mean())
            centroid = result.view.lift(t, y, x)
            world = result.source.placement.as_array() @ (*centroid, 1.0)
            info, score = (
                result.info(object_id),
                result.scores.get((ObjectId(object_id), FrameIndex(t))),
            )
            yield Measurement(
                ObjectId(object_id),
                FrameIndex(t),
                info.name,
                info.class_name,
                len(rows),
                None if unit_size is None else len(rows) * unit_size,
                unit,
                centroid,
                tuple(float(value) for value in world[:-1]),
                _mean(pixels, rows, columns),
                None if score is None else score.object_score,
                None if score is None else score.iou,
                "" if score is None else score.provenance,
            )


def _parts(frame: np.ndarray) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Return the id, rows and columns of every label of a frame, by ascending id; the frame is looked at once."""
    rows, columns = np.nonzero(frame)
    values = frame[rows, columns]
    order = np.argsort(values, kind="stable")
    found, starts = np.unique(values[order], return_index=True)
    pieces = np.split(order, starts[1:])
    return [
        (object_id, rows[piece], columns[piece])
        for object_id, piece in zip(found.tolist(), pieces, strict=False)
    ]


def _pixel_size(result: LabelResult) -> tuple[float | None, str]:
    """Return how large a pixel is, in the unit of its columns to the power of the axes that are measured."""
    axes = measured_axes(result)
    measure_in_metres = result.source.placement.pixel_measure(axes)
    if measure_in_metres is None:
        return None, ""
    metres = result.source.placement.metres(result.view.column_axis) or 1.0
    fitting = [name for name, length in LENGTHS.items() if length <= metres * 1.0001]
    name = fitting[-1] if fitting else next(iter(LENGTHS))
    return measure_in_metres / LENGTHS[name] ** len(axes), f"{name}{'²³'[len(axes) - 2]}"


def _mean(pixels: np.ndarray | None, rows: np.ndarray, columns: np.ndarray) -> float | None:
    if pixels is None or pixels.ndim != 2:
        return None
    inside = pixels[rows, columns].astype(np.float64)
    inside = inside[np.isfinite(inside)]
    return float(inside.mean()) if len(inside) else None
