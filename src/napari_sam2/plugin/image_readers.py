"""Readers for napari: medical images that it does not open itself, where they lie in the patient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.core.errors import NapariSam2Error
from napari_sam2.core.intensity import WINDOWS
from napari_sam2.io.images import OpenedImage, open_image
from napari_sam2.io.images.dicom import DICOM_SUFFIXES
from napari_sam2.io.images.nifti import is_nifti
from napari_sam2.io.images.nrrd import NRRD_SUFFIXES
from napari_sam2.plugin.reports import sentence

if TYPE_CHECKING:
    import napari

LayerData = tuple[Any, dict[str, Any], str]

IN_MEMORY = 1 << 30
"""Bytes up to which a volume is read as a whole: all its planes are then equally quick."""


_AIR = -500
"""A plane that goes below is in Hounsfield units."""


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return the reader of a file or folder; None for what is none of ours, so that napari asks others."""
    if isinstance(path, list):
        return None  # several files are several images
    return read_image if _is_ours(Path(path)) else None


def open_folder(viewer: napari.Viewer) -> None:
    """Ask for a folder of DICOM images and show them.

    A command and no reader: napari would ask at every folder, whatever is in it, which of its readers to take.
    """
    from napari.utils.notifications import show_error
    from qtpy.QtWidgets import QFileDialog

    folder = QFileDialog.getExistingDirectory(None, "Open a folder of DICOM images")
    if not folder:
        return
    try:
        for data, looks, _ in read_image(folder):
            viewer.add_image(data, **looks)
    except NapariSam2Error as error:
        show_error(sentence(error))


def _is_ours(path: Path) -> bool:
    suffix = path.suffix.lower()
    return is_nifti(path) or suffix in NRRD_SUFFIXES or suffix in DICOM_SUFFIXES


def read_image(path: str) -> list[LayerData]:
    """Return an image layer with the placement of its file; what is written later finds the file by its metadata."""
    opened = open_image(path)
    placement = opened.source.placement
    looks: dict[str, Any] = {
        "name": opened.name.split(".")[0],
        "affine": placement.as_array(),
        "units": placement.units,
        "axis_labels": placement.labels,
        "metadata": {"napari_sam2": {"source": opened.source}},
        "rgb": opened.is_rgb,
    }
    pixels = layer_array(opened)
    limits = opened.limits or (None if opened.is_rgb else _usual_limits(pixels))
    if limits is not None:
        looks["contrast_limits"] = limits
    return [(pixels, looks, "image")]


def _usual_limits(pixels: Any) -> tuple[float, float] | None:
    """Return the window of soft tissue for Hounsfield units, percentiles 1 and 99 of the middle plane for others."""
    middle = pixels[tuple(length // 2 for length in pixels.shape[:-2])]
    values = np.asarray(middle, np.float64)
    values = values[np.isfinite(values)]
    if not len(values) or values.min() == values.max():
        return None
    if values.min() <= _AIR and values.max() > 0:
        window = WINDOWS["soft tissue"]
        return window.low, window.high
    low, high = np.percentile(values, [1, 99])
    return (float(low), float(high)) if low < high else None


def layer_array(opened: OpenedImage) -> Any:
    """Return the pixels of an image as napari takes them: a small one in memory, others plane by plane."""
    import dask.array

    shape, dtype = tuple(opened.array.shape), np.dtype(opened.array.dtype)
    if np.prod(shape, dtype=np.int64) * dtype.itemsize <= IN_MEMORY:
        return np.asarray(opened.array[...])
    in_frame = 3 if opened.is_rgb else 2
    chunks = (*(1,) * (len(shape) - in_frame), *shape[-in_frame:])
    return dask.array.from_array(opened.array, chunks=chunks)
