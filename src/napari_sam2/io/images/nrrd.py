"""NRRD: read as a whole, axes reversed as in NIfTI, with its space directions, in a world (S, A, R)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_sam2.core.arrays import DECODE_BUDGET
from napari_sam2.core.errors import FileFormatError, ImageError
from napari_sam2.core.placement import Placement
from napari_sam2.io.images.opened import OpenedImage, library, opened
from napari_sam2.io.plain_files import read_plain
from napari_sam2.io.unpacking import unpacked_size

NRRD_SUFFIXES = (".nrrd", ".nhdr")
_LABELS = ("x", "y", "z", "t")
_LARGEST_VALUE = 8
"""Bytes."""


def open_nrrd(path: Path) -> OpenedImage:
    """Read a volume; the file counts (x, y, z), here it is (z, y, x), and the world is reversed with it."""
    nrrd = library("nrrd", "nrrd", path)
    header = nrrd.read_header(str(path))
    _check_header(header, path)
    _check_packed(header, path)
    data, header = nrrd.read(str(path), index_order="F")
    if not 2 <= data.ndim <= 4:
        raise ImageError(
            f"{path.name} has {data.ndim} axes, {data.shape}; 2 to 4 can be used",
            remedy="save the part that is to be segmented",
        )
    return opened(data.T, path, "nrrd", placement=_placement(header, data.ndim))


def _check_header(header: dict[str, object], path: Path) -> None:
    """Refuse what is larger than is read as a whole, and pixels that lie anywhere but beside the header."""
    sizes = np.asarray(header.get("sizes", ()), np.float64)
    if np.prod(sizes) > DECODE_BUDGET:
        raise ImageError(
            f"{path.name} has {np.prod(sizes):.3g} values, and would be read as a whole",
            remedy="save it as NIfTI or zarr, which are read frame by frame",
        )
    if (sizes < 1).any():
        raise ImageError(f"{path.name} has sizes {sizes.astype(int).tolist()}, which no volume has")
    for name in ("data file", "datafile"):
        file = header.get(name)
        if file is not None and Path(str(file)).name != str(file):
            raise FileFormatError(
                f"the pixels of {path.name} lie elsewhere: {file}",
                remedy="put them beside the header",
            )


def _check_packed(header: dict[str, object], path: Path) -> None:
    """Refuse pixels that unpack to far more than the header says; the library would make room for all of them."""
    kinds = {"gzip": "gzip", "gz": "gzip", "bzip2": "bz2", "bz2": "bz2"}
    kind = kinds.get(str(header.get("encoding")))
    if kind is None:
        return
    elsewhere = header.get("data file") or header.get("datafile")
    file = path if elsewhere is None else path.parent / str(elsewhere)
    content = read_plain(file, DECODE_BUDGET) or b""
    packed = content.partition(b"\n\n")[2] if elsewhere is None else content
    lines = packed.split(b"\n", max(0, int(str(header.get("line skip", 0)))))
    num_values = int(np.prod(np.asarray(header["sizes"], np.int64)))
    allowed = num_values * _LARGEST_VALUE + abs(int(str(header.get("byte skip", 0))))
    if unpacked_size(lines[-1], kind, allowed) > allowed:
        raise FileFormatError(
            f"the pixels of {path.name} unpack to more than the {num_values} values that it says",
            remedy="the file is damaged or crafted; get it again from its source",
        )


def _signs(header: dict[str, object]) -> np.ndarray:
    """Return which directions of the file's world run against right, anterior, superior."""
    space = str(header.get("space") or "").lower()
    letters = space.split("-") if "-" in space else list(space)
    against = {"left", "posterior", "inferior", "l", "p", "i"}
    return np.array([-1.0 if part in against else 1.0 for part in letters[:3]] or [1.0] * 3)


def _placement(header: dict[str, object], ndim: int) -> Placement:
    matrix = np.eye(ndim + 1)
    directions, spacings = header.get("space directions"), header.get("spacings")
    has_space = directions is not None
    if has_space:
        rows = np.asarray(
            directions, np.float64
        )  # one row an axis of the array; NaN where it is none of space
        spatial = [axis for axis in range(ndim) if np.isfinite(rows[axis]).all()]
        for axis in spatial:
            matrix[spatial, axis] = rows[axis][: len(spatial)]
        origin = header.get("space origin")
        if origin is not None:
            matrix[spatial, -1] = np.asarray(origin, np.float64)[: len(spatial)]
        signs = _signs(header)[: len(spatial)]
        matrix[spatial[: len(signs)]] *= signs[:, None]
    elif spacings is not None:
        steps = np.asarray(spacings, np.float64)
        matrix[range(ndim), range(ndim)] = np.where(np.isfinite(steps), steps, 1.0)
    units = ["mm" if has_space else "pixel"] * ndim
    given = header.get("space units")
    if isinstance(given, (list, tuple)) and len(given) == ndim:
        units = [str(unit).strip('"') for unit in given]
    order = list(range(ndim))[::-1]
    turned = matrix[np.ix_([*order, ndim], [*order, ndim])]
    return Placement.of(turned, units[::-1], _LABELS[:ndim][::-1])
