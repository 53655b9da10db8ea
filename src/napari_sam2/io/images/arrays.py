"""Arrays saved by numpy: .npy is read lazily, an .npz archive as a whole."""

from __future__ import annotations

import logging
import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from napari_sam2.core.arrays import DECODE_BUDGET, ArrayLikeStack
from napari_sam2.core.errors import FileFormatError
from napari_sam2.io.images.opened import OpenedImage, opened
from napari_sam2.io.plain_files import open_plain

logger = logging.getLogger(__name__)

_MAGIC = b"\x93NUMPY"


def open_npy(path: Path) -> OpenedImage:
    """Map a .npy file into memory."""
    with open_plain(path) as file:
        _require_numbers(file, path)
    array = _without_alpha(np.load(path, mmap_mode="r", allow_pickle=False), path)
    return opened(array, path, "npy", is_rgb=looks_like_rgb(array))


def open_npz(path: Path, name: str) -> OpenedImage:
    """Read the array `name` of an archive, or the only one there is."""
    if not zipfile.is_zipfile(path):
        raise FileFormatError(f"{path.name} is no .npz archive", remedy="the file is damaged")
    with np.load(path, allow_pickle=False) as archive:
        key = name if name in archive.files else only(archive.files, path, "arrays", name)
        _check_member(path, key)
        array = _without_alpha(archive[key], path)
    return opened(array, path, "npz", is_rgb=looks_like_rgb(array))


def _check_member(path: Path, key: str) -> None:
    """Refuse an array that is larger than what is read, or says another size than it has, before it is unpacked."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{key}.npy")
        with archive.open(info) as file:
            shape, dtype = _require_numbers(file, path)
            header = file.tell()
    size = math.prod(shape) * dtype.itemsize
    if header + size != info.file_size:
        raise FileFormatError(
            f"array '{key}' of {path.name} says that it has {size} bytes, and has {info.file_size - header}",
            remedy="the file is damaged",
        )
    if size > DECODE_BUDGET:
        raise FileFormatError(
            f"array '{key}' of {path.name} has {size / 2**30:.3g} GiB, which would be read as a whole",
            remedy="save it as .npy or zarr, which are read frame by frame",
        )


def _require_numbers(file: IO[bytes], path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and type of an array, once they are those of numbers: objects are pickles."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise FileFormatError(f"{path.name} holds no array of numpy", remedy="the file is damaged")
    file.seek(0)
    version = np.lib.format.read_magic(file)
    is_first = version == (1, 0)
    reader = (
        np.lib.format.read_array_header_1_0 if is_first else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = reader(file)
    if dtype.hasobject:
        raise FileFormatError(
            f"{path.name} holds objects, and no numbers; they are never read, since that runs code",
            remedy="save it as an array of numbers",
        )
    return shape, dtype


def _without_alpha(array: np.ndarray, path: Path) -> np.ndarray:
    """Leave out the opacity of 8-bit colours, (..., Y, X, 4)."""
    is_rgba = array.ndim >= 3 and array.shape[-1] == 4 and array.dtype == np.uint8
    if is_rgba and min(array.shape[-3:-1]) > 4:
        logger.warning("%s: the opacity of its pixels is left out", path.name)
        return array[..., :3]
    return array


def looks_like_rgb(array: ArrayLikeStack) -> bool:
    """Tell colours from a third axis; a stack of frames three pixels wide is not a thing."""
    shape = tuple(array.shape)
    return len(shape) >= 3 and shape[-1] == 3 and np.dtype(array.dtype) == np.uint8


def only(names: list[str], path: Path, kind: str, preferred: str) -> str:
    """Return the only name; `FileFormatError` if there are several, or none."""
    if len(names) == 1:
        return names[0]
    wish = f" and none called '{preferred}'" if preferred else ""
    raise FileFormatError(
        f"{path} holds {len(names)} {kind}{wish}: {', '.join(names[:10]) or 'nothing'}",
        remedy="give the path of the array, or save it alone",
    )
