"""Pictures, and folders of them as stacks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.placement import Placement
from napari_sam2.io.images.opened import OpenedImage, opened

TIFF_SUFFIXES = (".tif", ".tiff")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")


def open_picture(path: Path) -> OpenedImage:
    """Read a picture as one frame."""
    array = read_picture(path)
    return opened(array, path, "picture", is_rgb=array.ndim == 3)


def open_folder(path: Path) -> OpenedImage:
    """Open a folder of pictures; each is read when it is asked for."""
    stack = FolderStack(list_pictures(path))
    is_rgb = len(stack.shape) == 4
    return opened(stack, path, "folder", is_rgb=is_rgb, placement=Placement.plain(3))


def is_folder_of_pictures(folder: Path) -> bool:
    """Tell a folder of pictures from one that is a zarr array or group."""
    return not any((folder / name).exists() for name in ("zarr.json", ".zarray", ".zgroup"))


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder in natural order: frame_10 comes after frame_9.

    Raises
    ------
    FileFormatError
        If there are none.
    """
    suffixes = (*PICTURE_SUFFIXES, *TIFF_SUFFIXES)
    files = [file for file in folder.iterdir() if file.suffix.lower() in suffixes]
    files = [file for file in files if not file.name.startswith(".")]
    if not files:
        inner = sorted(item.name for item in folder.iterdir() if item.is_dir())
        within = f"; it has folders: {', '.join(inner[:5])}" if inner else ""
        raise FileFormatError(
            f"folder {folder} holds no pictures{within}",
            remedy="supported are TIFF, PNG, JPEG and BMP pictures, a DICOM series, or zarr",
        )
    return sorted(files, key=natural)


class FolderStack:
    """Pictures of equal size as one array, read when indexed; the first one tells shape and type."""

    def __init__(self, files: list[Path]) -> None:
        first = read_picture(files[0])
        self._files = files
        self.shape: tuple[int, ...] = (len(files), *first.shape)
        self.dtype = first.dtype

    def __getitem__(self, key: Any) -> np.ndarray:
        file = self._files[key[0]]
        frame = read_picture(file)
        if frame.shape != self.shape[1:] or frame.dtype != self.dtype:
            raise ValueError(
                f"{file.name} is {frame.dtype} {frame.shape}, but {self._files[0].name} is "
                f"{self.dtype} {self.shape[1:]}"
            )
        cut: np.ndarray = frame[key[1:]]
        return cut


def read_picture(path: Path) -> np.ndarray:
    """Return (Y, X) or (Y, X, 3); an alpha channel is left out."""
    from skimage.io import imread

    array = np.asarray(imread(path))
    if array.ndim == 3 and array.shape[2] == 4:
        array = array[..., :3]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise ValueError(f"a picture has shape (Y, X) or (Y, X, 3), not {array.shape}")
    return array


def natural(path: Path) -> list[tuple[int, int | str]]:
    """Sort key that puts frame_10 after frame_9."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]
