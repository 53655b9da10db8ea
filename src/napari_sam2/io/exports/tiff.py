"""TIFF with the axes and pixel sizes of the image; frame by frame where the order of axes allows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.core.results import LabelResult

_IMAGEJ_LIMIT = 4_000_000_000
"""Bytes. ImageJ's variant of TIFF has 32-bit offsets."""


def write_tiff(path: Path, result: LabelResult) -> None:
    """Write a compressed TIFF; ImageJ's variant where it can hold it, else a plain one with the same metadata."""
    import tifffile

    shape, dtype = result.shape, result.dtype
    letters = "".join(label[:1].upper() for label in result.labels_of_axes)
    num_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    is_imagej = _fits_imagej(letters, shape, dtype) and num_bytes < _IMAGEJ_LIMIT
    # A generator is written plane by plane; tifffile takes none for a single plane.
    planes: Iterator[np.ndarray] | np.ndarray = result.planes()
    if len(shape) == 2 or 1 in (shape[0], shape[-1]):
        planes = result.array()
    tifffile.imwrite(
        path,
        planes,
        shape=shape,
        dtype=dtype.newbyteorder("="),
        imagej=is_imagej,
        bigtiff=num_bytes >= _IMAGEJ_LIMIT,
        photometric="minisblack",
        compression="zlib",
        **_metadata(result, letters),
    )


def _fits_imagej(letters: str, shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """ImageJ knows no 32-bit labels, other orders of axes, or an axis of length 1 at either end of a stack."""
    in_order = "".join(letter for letter in "TZYX" if letter in letters) == letters
    is_odd = len(shape) > 2 and 1 in (shape[0], shape[-1])
    return dtype.kind == "u" and dtype.itemsize <= 2 and in_order and not is_odd


def _metadata(result: LabelResult, letters: str) -> dict[str, Any]:
    placement, metadata = result.placement, dict[str, Any](axes=letters)
    steps = dict(zip(letters, _steps(result), strict=True))
    units = dict(zip(letters, placement.units, strict=True))
    if placement.is_plain:
        return {"metadata": metadata}
    metadata["unit"] = units.get("X", "pixel")
    if "Z" in letters:
        metadata["spacing"] = steps["Z"]
    elif len(letters) == 3:
        metadata["spacing"] = steps[letters[0]]
    if "T" in letters and units["T"] == "s":
        metadata["finterval"] = steps["T"]
    # ImageJ counts pixels a unit, columns first.
    return {
        "metadata": metadata,
        "resolution": (1 / _steps(result)[-1], 1 / _steps(result)[-2]),
    }


def _steps(result: LabelResult) -> list[float]:
    """Return the step along every axis; lengths in the unit of columns, for which there is one place in the file."""
    placement = result.placement
    unit = result.source.placement.metres(result.view.column_axis)
    steps = []
    for number, step in enumerate(placement.spacing):
        metres = placement.metres(number)
        # The factor first: 1 for equal units, so that their steps stay as they are to the last bit.
        steps.append(step * (metres / unit) if metres and unit else step)
    return steps
