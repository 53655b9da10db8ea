"""Label stacks as files: 0 is background, any other value is an object id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.core.arrays import ArrayLikeStack
from napari_sam2.core.errors import FileFormatError, LabelsError, StorageError
from napari_sam2.io.atomic import replacing
from napari_sam2.io.failures import storing
from napari_sam2.io.images import (
    TIFF_SUFFIXES,
    is_folder_of_pictures,
    list_pictures,
    open_image,
)

_UNITS = dict.fromkeys(("micron", "microns", "\u00b5m", "\u03bcm", "\\u00B5m"), "um")
"""Spellings of the micrometre; ImageJ escapes the Greek letter."""

_IMAGEJ_LIMIT = 4_000_000_000
"""Bytes. ImageJ's variant of TIFF has 32-bit offsets."""


NOT_ANNOTATED = 255
"""In masks of DAVIS: a pixel about which the reference says nothing."""


@dataclass(frozen=True, slots=True)
class Spacing:
    """Distance between neighbouring pixels along each axis of a stack, and its unit."""

    steps: tuple[float, ...]
    unit: str = "pixel"

    def of_frames(self, axis: int | None) -> Spacing:
        """Return the spacing (Y, X) of the frames along `axis` of a stack; of the last two axes for None."""
        steps = self.steps[-2:] if axis is None else self.steps[:axis] + self.steps[axis + 1 :]
        return Spacing(steps, self.unit)

    def differs_from(self, other: Spacing) -> bool:
        """Say whether both have one unit of length, and pixels that differ by more than 1 %."""
        if _UNITS.get(self.unit, self.unit) != _UNITS.get(other.unit, other.unit):
            return False
        pairs = zip(self.steps, other.steps, strict=True)
        return any(abs(one - two) > 0.01 * max(one, two) for one, two in pairs)

    def __str__(self) -> str:
        return f"{'x'.join(f'{step:g}' for step in self.steps)} {self.unit}"


def write_labels(
    path: str | Path,
    labels: ArrayLikeStack,
    *,
    spacing: Spacing | None = None,
    axes: str | None = None,
) -> Path:
    """Write a label image (Y, X) or stack (T or Z, Y, X) as a compressed TIFF; the file appears whole or not at all.

    Parameters
    ----------
    path : str or Path
        Ends in ``.tif`` or ``.tiff``; a file there is replaced.
    labels : array-like of an unsigned integer type
        Read frame by frame.
    spacing : Spacing, optional
        Written where ImageJ and napari look for it.
    axes : str, optional
        One letter an axis, ``TYX`` by default for a stack.

    Raises
    ------
    LabelsError
        Labels of this shape or type cannot be written.
    FileFormatError
        The name does not end in ``.tif`` or ``.tiff``.
    StorageError
        The file cannot be written.
    """
    path = Path(path).expanduser()
    check_labels_path(path)
    shape, dtype = tuple(labels.shape), np.dtype(labels.dtype)
    if len(shape) not in (2, 3) or dtype.kind != "u":
        raise LabelsError(
            f"labels must be 2-D or 3-D and of an unsigned integer type, got {dtype} {shape}",
            kept="no file was written",
            remedy="convert them to unsigned integers of two or three axes",
        )
    with storing(path, "what was there before is as it was"), replacing(path) as temporary:
        _write(temporary, labels, shape, dtype, axes or "TYX"[-len(shape) :], spacing)
    return path


def read_labels(path: str | Path, array: str = "labels") -> np.ndarray:
    """Return a label image or stack, axes as in the file; a folder of pictures becomes (T, Y, X).

    Parameters
    ----------
    path : str or Path
        Any stack that `open_image` opens. In a folder, a picture with a palette holds ids, as those of DAVIS do; their
        id 255 means "not annotated" and becomes background, unless it is the only one.
    array : str
        Which array of an .npz archive; not needed if it holds only one.

    Raises
    ------
    LabelsError
        The file does not hold whole numbers.
    """
    path = Path(path).expanduser()
    if path.is_dir() and is_folder_of_pictures(path):
        return _read_annotations(path)
    opened = open_image(path, array)
    labels = np.asarray(opened.array[...])
    if opened.is_rgb or labels.dtype.kind not in "bui":
        raise LabelsError(
            f"'{opened.name}' holds {labels.dtype} {labels.shape}, not labels",
            remedy="labels are whole numbers, one a pixel",
        )
    return labels


def _read_annotations(folder: Path) -> np.ndarray:
    frames = [_read_annotation(path) for path in list_pictures(folder)]
    shapes = {frame.shape for frame in frames}
    if len(shapes) > 1:
        raise LabelsError(
            f"the masks in {folder} differ in shape: {', '.join(map(str, sorted(shapes)))}",
            remedy="all masks of a sequence have the size of its frames",
        )
    labels = np.stack(frames)
    has_others = bool(((labels > 0) & (labels != NOT_ANNOTATED)).any())
    return np.where(labels == NOT_ANNOTATED, 0, labels) if has_others else labels


def _read_annotation(path: Path) -> np.ndarray:
    if path.suffix.lower() in TIFF_SUFFIXES:
        return read_labels(path)
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            if picture.mode in ("RGB", "RGBA"):
                raise LabelsError(
                    f"{path} holds colours, not labels",
                    remedy="masks are pictures with a palette, or grey ones whose values are ids",
                )
            return np.asarray(picture)
    except (OSError, UnidentifiedImageError) as error:
        raise FileFormatError(
            f"{path} cannot be read: {error}",
            kept="no labels were read",
            remedy="check the file, or save it again",
        ) from error


def read_spacing(path: str | Path) -> Spacing | None:
    """Return the pixel spacing that a TIFF of ImageJ, or of ours, carries for its last three axes; None without."""
    import tifffile

    path = Path(path).expanduser()
    if path.suffix.lower() not in TIFF_SUFFIXES or not path.is_file():
        return None
    try:
        with tifffile.TiffFile(path) as file:
            ours = next((entry for entry in file.shaped_metadata or () if "unit" in entry), None)
            metadata, tags = file.imagej_metadata or ours, file.pages[0].tags  # type: ignore[union-attr]
            if not metadata:
                return None
            plane = [_step(tags, name) for name in ("YResolution", "XResolution")]
            steps = (float(metadata.get("spacing", 1.0)), *plane)
            return Spacing(steps, str(metadata.get("unit") or "pixel"))
    except (tifffile.TiffFileError, OSError, ValueError, KeyError, ZeroDivisionError) as error:
        raise FileFormatError(
            f"the pixel spacing of {path} cannot be read: {error}",
            remedy="save it again, or without a spacing",
        ) from error


def check_labels_path(path: Path) -> None:
    """Refuse a name that labels cannot be written to, before hours are spent on them."""
    if path.suffix.lower() not in TIFF_SUFFIXES:
        raise FileFormatError(
            f"labels are written as TIFF, but the name given is {path.name}",
            remedy="end it in .tif",
            kept="no file was written",
        )
    if not path.parent.is_dir():
        raise StorageError(
            f"there is no folder {path.parent}", remedy="make it first", kept="no file was written"
        )


def _write(
    path: Path,
    labels: ArrayLikeStack,
    shape: tuple[int, ...],
    dtype: np.dtype,
    axes: str,
    spacing: Spacing | None,
) -> None:
    import tifffile

    num_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    # ImageJ knows no 32-bit labels, no large files, and no axis of length 1 at either end of a stack; those become a
    # plain TIFF, which keeps shape and axes as well.
    is_odd = len(shape) == 3 and 1 in (shape[0], shape[-1])
    is_imagej = dtype.itemsize <= 2 and num_bytes < _IMAGEJ_LIMIT and not is_odd
    frames = None
    if len(shape) == 3 and not is_odd:
        frames = (np.asarray(labels[t]) for t in range(shape[0]))
    tifffile.imwrite(
        path,
        np.asarray(labels[...]) if frames is None else frames,
        shape=shape,
        dtype=dtype.newbyteorder("="),
        imagej=is_imagej,
        bigtiff=num_bytes >= _IMAGEJ_LIMIT,
        photometric="minisblack",
        compression="zlib",
        **_scale_metadata(axes, spacing),
    )


def _scale_metadata(axes: str, spacing: Spacing | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": axes}
    if spacing is None:
        return {"metadata": metadata}
    steps: Sequence[float] = spacing.steps[-len(axes) :]
    metadata["unit"] = spacing.unit
    if len(axes) == 3:
        metadata["spacing"] = steps[0]
    return {"metadata": metadata, "resolution": (1 / steps[-1], 1 / steps[-2])}


def _step(tags: Any, name: str) -> float:
    numerator, denominator = tags[name].value
    return float(denominator) / float(numerator)
