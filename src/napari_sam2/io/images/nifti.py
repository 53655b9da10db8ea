"""NIfTI: the array with its axes reversed, so that slices come first, and the affine reversed with it.

The file counts (x, y, z, t) in a world of right, anterior, superior; here it is (t, z, y, x) in a world (t, S, A, R).
Nothing is resampled or flipped: voxel (t, z, y, x) here is voxel (x, y, z, t) there.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.core.errors import FileFormatError, ImageError
from napari_sam2.core.placement import Placement
from napari_sam2.io.images.opened import OpenedImage, library, opened

NIFTI_SUFFIXES = (".nii", ".nii.gz")
_LABELS = ("x", "y", "z", "t")
_READ_ONCE = 2 << 30
"""Bytes up to which a packed file is kept unpacked."""


def is_nifti(path: Path) -> bool:
    """Tell by the name."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def open_nifti(path: Path) -> OpenedImage:
    """Open a volume, or a series of volumes over time; a plain .nii is read lazily, .nii.gz from its beginning."""
    nibabel = library("nibabel", "nifti", path)
    file = nibabel.load(path)
    proxy = file.dataobj
    shape = tuple(int(length) for length in proxy.shape)
    is_rgb = proxy.dtype.names is not None
    if is_rgb:
        raise ImageError(
            f"{path.name} holds colours, which NIfTI images are not read with",
            remedy="save it as one channel, or as TIFF",
        )
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if not 2 <= len(shape) <= 4:
        raise ImageError(
            f"{path.name} has {len(shape)} axes, {shape}; 2 to 4 can be used",
            remedy="save the part that is to be segmented",
        )
    if min(shape) < 1:
        raise ImageError(
            f"{path.name} has shape {shape}, which no volume has",
            remedy="check the file, or save it again",
        )
    array = ReversedVolume(proxy, shape, is_packed=path.name.lower().endswith(".gz"))
    return opened(array, path, "nifti", placement=_placement(file, len(shape), path))


class ReversedVolume:
    """A NIfTI array with its axes in the opposite order; rescaled values, read when indexed.

    `is_packed`: every access would unpack the file from its beginning, so it is read once, if it is small enough.
    """

    def __init__(self, proxy: Any, shape: tuple[int, ...], *, is_packed: bool = False) -> None:
        self._is_packed = is_packed
        self._whole: np.ndarray | None = None
        self._proxy, self._extra = proxy, len(proxy.shape) - len(shape)
        self.shape = shape[::-1]
        self.dtype = _dtype_of(proxy)

    def __getitem__(self, key: Any) -> np.ndarray:
        parts = key if isinstance(key, tuple) else (key,)
        if Ellipsis in parts:
            at = parts.index(Ellipsis)
            fill = (slice(None),) * (len(self.shape) - len(parts) + 1)
            parts = (*parts[:at], *fill, *parts[at + 1 :])
        parts = (*parts, *(slice(None),) * (len(self.shape) - len(parts)))
        # nibabel takes no numpy integers as indices.
        plain = tuple(part if isinstance(part, slice) else int(part) for part in parts)
        cut = np.asarray(self._source()[(*plain[::-1], *(0,) * self._extra)])
        values: np.ndarray = cut.T.astype(self.dtype, copy=False)
        return values

    def _source(self) -> Any:
        if not self._is_packed or math.prod(self.shape) * self.dtype.itemsize > _READ_ONCE:
            return self._proxy
        if self._whole is None:
            self._whole = np.asarray(self._proxy).astype(self.dtype, copy=False)
        return self._whole


def _dtype_of(proxy: Any) -> np.dtype:
    """Return the type of the rescaled values: that of the file, if nothing is rescaled."""
    is_scaled = (proxy.slope, proxy.inter) not in ((1, 0), (None, None))
    return np.dtype(np.float32) if is_scaled else np.dtype(proxy.dtype).newbyteorder("=")


def _placement(file: Any, ndim: int, path: Path) -> Placement:
    affine = np.asarray(file.affine, np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise FileFormatError(
            f"{path.name} has no usable affine",
            remedy="repair its header, for example with nibabel",
        )
    matrix = np.eye(ndim + 1)
    space = min(ndim, 3)
    matrix[:space, :space], matrix[:space, -1] = affine[:space, :space], affine[:space, 3]
    length, time = _units(file)
    if ndim == 4:
        step = float(file.header.get_zooms()[3])
        matrix[3, 3] = step if step > 0 else 1.0
    units = [*(length,) * space, *((time,) if ndim == 4 else ())]
    order = list(range(ndim))[::-1]
    turned = matrix[np.ix_([*order, ndim], [*order, ndim])]
    return Placement.of(turned, units[::-1], _LABELS[:ndim][::-1])


def _units(file: Any) -> tuple[str, str]:
    """Return the units of space and time; millimetres, where the file is silent, as everybody takes it."""
    length, time = file.header.get_xyzt_units()
    lengths = {"mm": "mm", "meter": "m", "micron": "um"}
    times = {"sec": "s", "msec": "ms", "usec": "us"}
    return lengths.get(length, "mm"), times.get(time, "s")
