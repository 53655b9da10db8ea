"""TIFF, also of ImageJ and OME: lazy, with axes and pixel sizes."""

from __future__ import annotations

import logging
import math
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.placement import Placement
from napari_sam2.io.images.opened import LARGEST_HEADER, OpenedImage, opened

logger = logging.getLogger(__name__)

_FEW_PARTS = 4096
"""Strips or tiles of a page that may be missing: looking for so few takes no time."""

_SAMPLES = "S"
_FRAMES = "IQ"
"""Letters for axes about which nothing is said."""

_SPELLINGS = {"\\u00B5m": "um", "\u00b5m": "um", "\u03bcm": "um", "micron": "um", "microns": "um"}
"""ImageJ escapes the Greek letter."""


def open_tiff(path: Path, level: int = 0) -> OpenedImage:
    """Open the first series of a file; `level`: of a pyramid, 0 the finest."""
    import tifffile
    import zarr

    file = tifffile.TiffFile(path)
    try:
        series = file.series[0]
        if not 0 <= level < len(series.levels):
            raise FileFormatError(
                f"{path.name} has {len(series.levels)} levels, there is no level {level}",
                remedy="level 0 is the full resolution",
            )
        _check_parts(series.levels[level].keyframe, path)
        array: Any = zarr.open(series.aszarr(level=level), mode="r")
        letters = series.axes
        finest = dict(zip(letters, series.shape, strict=True))
        if len(file.series) > 1:
            logger.warning("%s holds %d images; the first is opened", path.name, len(file.series))
        steps = dict(_steps(file))
    except BaseException:
        file.close()
        raise
    weakref.finalize(array, file.close)  # the file is open as long as somebody may ask for a frame
    is_rgb = letters.endswith(_SAMPLES)
    if _SAMPLES in letters and not is_rgb:
        # Writers declare so what are frames, too, if there are three or four of them; napari shows frames.
        logger.warning(
            "%s holds colours plane after plane: they count as frames or channels; "
            "channels 0, 1 and 2 together are seen as colours",
            path,
        )
    kept = letters[:-1] if is_rgb else letters
    labels = [_label(letter) for letter in kept]
    lengths = array.shape[: len(kept)]
    scale = [
        steps.get(letter, (1.0, ""))[0] * finest[letter] / length
        for letter, length in zip(kept, lengths, strict=True)
    ]
    units = [steps.get(letter, (1.0, ""))[1] or "pixel" for letter in kept]
    placement = Placement.from_scale(scale, units=units, labels=labels)
    if is_rgb and array.shape[-1] == 4:
        array = WithoutAlpha(array, path.name)
    return opened(array, path, "tiff", is_rgb=is_rgb, placement=placement)


def _check_parts(page: Any, path: Path) -> None:
    """Refuse a page that would have far more strips or tiles than it lists: each of them would be looked for."""
    needed, listed = math.prod(page.chunked), len(page.dataoffsets)
    if needed > max(listed, _FEW_PARTS):
        raise FileFormatError(
            f"{path.name} says that a page has {needed} strips or tiles, and lists {listed}",
            remedy="the file is damaged",
        )


def _label(letter: str) -> str:
    if letter in _FRAMES:
        return ""
    return "c" if letter == _SAMPLES else letter.lower()


class WithoutAlpha:
    """An array of colours and opacity, (..., 4), as one of colours, (..., 3); `name`: of the image, for the notice."""

    def __init__(self, array: Any, name: str) -> None:
        logger.warning("%s: the opacity of its pixels is left out", name)
        self._array = array
        self.shape = (*array.shape[:-1], 3)
        self.dtype = array.dtype
        chunks = getattr(array, "chunks", None)
        self.chunks = None if chunks is None else (*chunks[:-1], 3)

    def __getitem__(self, key: Any) -> Any:
        return self._array[key][..., :3]


def _steps(file: Any) -> Iterator[tuple[str, tuple[float, str]]]:
    """Yield what a file says about its axes: letter, distance between pixels, and its unit."""
    if file.is_ome:
        yield from _ome_steps(file.ome_metadata or "")
        return
    ours = next((entry for entry in file.shaped_metadata or () if "unit" in entry), None)
    metadata = file.imagej_metadata or ours
    if not metadata:
        return
    unit = str(metadata.get("unit") or "")
    unit = _SPELLINGS.get(unit, unit)
    tags = file.pages[0].tags
    for letter, name in (("Y", "YResolution"), ("X", "XResolution")):
        if name in tags and 0 not in tags[name].value:
            numerator, denominator = tags[name].value
            yield letter, (float(denominator) / float(numerator), unit)
    if _is_step(metadata.get("spacing")):
        yield "Z", (float(metadata["spacing"]), unit)
        # A stack whose only other axis is called time may be one in space all the same.
        yield "T", (float(metadata["spacing"]), "")
    if _is_step(metadata.get("finterval")):
        yield "T", (float(metadata["finterval"]), "s")


def _ome_steps(text: str) -> Iterator[tuple[str, tuple[float, str]]]:
    if len(text) > LARGEST_HEADER or "<!DOCTYPE" in text or "<!ENTITY" in text:
        return  # entities can blow up to gigabytes
    pixels = ElementTree.fromstring(text).find(".//{*}Pixels")
    if pixels is None:
        return
    for letter, name in (
        ("X", "PhysicalSizeX"),
        ("Y", "PhysicalSizeY"),
        ("Z", "PhysicalSizeZ"),
        ("T", "TimeIncrement"),
    ):
        step = pixels.get(name)
        unit = pixels.get(f"{name}Unit", "s" if letter == "T" else "um")
        if step is not None and _is_step(step):
            yield letter, (float(step), _SPELLINGS.get(unit, unit))


def _is_step(value: Any) -> bool:
    try:
        return 0 < float(value) < float("inf")
    except (TypeError, ValueError):
        return False
