"""Arrays saved by numpy: .npy is read lazily, an .npz archive as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_sam2.core.arrays import ArrayLikeStack
from napari_sam2.core.errors import FileFormatError
from napari_sam2.io.images.opened import OpenedImage, opened


def open_npy(path: Path) -> OpenedImage:
    """Map a .npy file into memory."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return opened(array, path, "npy", is_rgb=looks_like_rgb(array))


def open_npz(path: Path, name: str) -> OpenedImage:
    """Read the array `name` of an archive, or the only one there is."""
    with np.load(path, allow_pickle=False) as archive:
        array = archive[
            name if name in archive.files else only(archive.files, path, "arrays", name)
        ]
    return opened(array, path, "npz", is_rgb=looks_like_rgb(array))


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
