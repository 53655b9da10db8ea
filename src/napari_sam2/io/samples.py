"""The bundled sample stacks, for the command line, the plugin and the documentation."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np

from napari_sam2.core.errors import FileFormatError, OptionError


@dataclass(frozen=True, slots=True)
class Sample:
    """One bundled stack with its truth.

    `image`: (T, Y, X) or (Z, Y, X); `labels`: same shape, uint16, one id an object through all frames; `scale`,
    `units`, `axis_labels`: of the three axes; `object_names`: what the ids are, where they have names;
    `contrast_limits`: a display range that suits the image.
    """

    name: str
    title: str
    image: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    scale: tuple[float, float, float]
    units: tuple[str, str, str]
    axis_labels: tuple[str, str, str]
    contrast_limits: tuple[float, float]
    object_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    title: str
    scale: tuple[float, float, float]
    units: tuple[str, str, str]
    axis_labels: tuple[str, str, str]
    contrast_limits: tuple[float, float]
    object_names: tuple[str, ...] = ()


_ENTRIES = {
    "cells_timelapse": _Entry(
        "Cells (2-D time-lapse)",
        scale=(5.0, 0.65, 0.65),
        units=("minute", "micrometer", "micrometer"),
        axis_labels=("t", "y", "x"),
        contrast_limits=(90.0, 230.0),
    ),
    "ct_volume": _Entry(
        "Abdomen (CT-like volume)",
        scale=(5.0, 0.8, 0.8),
        units=("millimeter", "millimeter", "millimeter"),
        axis_labels=("z", "y", "x"),
        contrast_limits=(-150.0, 250.0),
        object_names=(
            "liver",
            "spleen",
            "right kidney",
            "left kidney",
            "aorta",
            "vena cava",
            "portal vein",
        ),
    ),
}

SAMPLE_NAMES = tuple(_ENTRIES)
"""Names that `load_sample` knows."""


def load_sample(name: str) -> Sample:
    """Read a bundled stack and its truth.

    Parameters
    ----------
    name : str
        One of `SAMPLE_NAMES`.

    Returns
    -------
    Sample
        Fresh arrays that the caller may change.

    Raises
    ------
    OptionError
        If there is no sample of this name.
    FileFormatError
        If the bundled files are missing or damaged: the installation is not complete.
    """
    if name not in _ENTRIES:
        raise OptionError(
            f"there is no sample called {name!r}", remedy=f"choose one of {', '.join(SAMPLE_NAMES)}"
        )
    entry = _ENTRIES[name]
    image, labels = _read(f"{name}.tif"), _read(f"{name}_labels.tif")
    return Sample(
        name,
        entry.title,
        image,
        labels,
        entry.scale,
        entry.units,
        entry.axis_labels,
        entry.contrast_limits,
        entry.object_names,
    )


def sample_path(file_name: str) -> Path:
    """Return where a file of the samples lies: in the installed package, or in the source folder beside it."""
    packaged = Path(str(resources.files("napari_sam2"))) / "sample_data" / file_name
    source = Path(__file__).parents[3] / "sample_data" / file_name
    return packaged if packaged.is_file() or not source.is_file() else source


def _read(file_name: str) -> np.ndarray:
    import tifffile

    path = sample_path(file_name)
    try:
        return np.asarray(tifffile.imread(path))
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise FileFormatError(
            f"the bundled sample {file_name} cannot be read from {path.parent}",
            remedy="install the package again",
            kept="nothing was loaded",
        ) from error
