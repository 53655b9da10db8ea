"""Open stacks from files, lazily: nothing but the frame that is asked for is read, where the format allows it."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.core.arrays import ArrayFrames, ArrayLikeStack
from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import FileFormatError, FrameReadError, ImageError, NapariSam2Error
from napari_sam2.core.placement import Placement
from napari_sam2.core.sources import ImageSource, SourceKind

TIFF_SUFFIXES = (".tif", ".tiff")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
_SUPPORTED = "TIFF, .npy, .npz, zarr, PNG, JPEG, BMP, or a folder of such pictures"


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An array that reads itself from a file.

    `is_rgb`: its last axis holds the three colours; `source`: what the file says about the other axes.
    """

    array: ArrayLikeStack
    is_rgb: bool
    source: ImageSource

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.source.name


def _opened(array: Any, is_rgb: bool, path: Path, kind: SourceKind) -> OpenedImage:
    placement = Placement.plain(len(array.shape) - is_rgb)
    source = ImageSource(path.name, placement, kind, str(path.resolve()))
    return OpenedImage(array, is_rgb, source)


def open_frames(path: str | Path, axis: int = 0) -> ArrayFrames:
    """Return the frames of a file or folder along `axis`.

    Axes of length 1 in front are left out of an array with more than three axes, and `axis` counts those that remain;
    colours are no axis.

    Raises
    ------
    FrameReadError
        There is no such file, or it cannot be read.
    FileFormatError
        It is of a kind that is not supported, or damaged.
    ImageError
        Its shape or data type cannot be used.
    """
    opened = open_image(path)
    shape = tuple(int(length) for length in opened.array.shape)
    view = _stack_view(shape[: len(shape) - opened.is_rgb], axis, opened.name)
    if isinstance(opened.array, _FolderStack) and view.frame_axis != 0:
        raise ImageError(
            f"the frames of folder '{opened.name}' are its files, so the axis must be 0, not {axis}",
            remedy="save the stack as one TIFF file to propagate along another axis",
        )
    return ArrayFrames(opened.array, view, rgb=opened.is_rgb, name=opened.name)


def open_image(path: str | Path, array: str = "image") -> OpenedImage:
    """Open a file or folder as one array without reading its pixels, where the format allows it.

    `array`: which one of an .npz archive; not needed if it holds only one.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FrameReadError(f"there is no file or folder {path}", remedy="check the path")
    opener = _opener(path, array)
    with _failing_as_format_error(path):
        return opener(path)


def _opener(path: Path, array: str) -> Callable[[Path], OpenedImage]:
    if path.is_dir():
        return _open_folder if is_folder_of_pictures(path) else _open_zarr
    suffix = path.suffix.lower()
    if suffix in TIFF_SUFFIXES:
        return _open_tiff
    if suffix in PICTURE_SUFFIXES:
        return _open_picture
    if suffix == ".npy":
        return _open_npy
    if suffix == ".npz":
        return partial(_open_npz, name=array)
    raise FileFormatError(
        f"files of kind '{path.suffix or path.name}' cannot be opened: {path}",
        remedy=f"supported are {_SUPPORTED}",
    )


@contextmanager
def _failing_as_format_error(path: Path) -> Iterator[None]:
    """Turn whatever a reader raises on a damaged file into one error of ours that names the file."""
    try:
        yield
    except NapariSam2Error:
        raise
    except OSError as error:
        raise FrameReadError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:
        raise FileFormatError(
            f"{path} cannot be read: {type(error).__name__}: {error}",
            remedy="the file may be damaged; open it in another program to see",
        ) from error


def _open_tiff(path: Path) -> OpenedImage:
    import tifffile
    import zarr

    file = tifffile.TiffFile(path)
    try:
        series = file.series[0]
        array = zarr.open(series.aszarr(level=0), mode="r")
    except BaseException:
        file.close()
        raise
    weakref.finalize(array, file.close)  # the file is open as long as somebody may ask for a frame
    return _opened(array, series.axes.endswith("S"), path, "tiff")


def _open_picture(path: Path) -> OpenedImage:
    array = _read_picture(path)
    return _opened(array, array.ndim == 3, path, "picture")


def _open_npy(path: Path) -> OpenedImage:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return _opened(array, _looks_like_rgb(array), path, "npy")


def _open_npz(path: Path, name: str) -> OpenedImage:
    with np.load(path, allow_pickle=False) as archive:
        key = name if name in archive.files else _only(archive.files, path, "arrays", name)
        array = archive[key]
    return _opened(array, _looks_like_rgb(array), path, "npz")


def _open_zarr(path: Path) -> OpenedImage:
    import zarr

    kind: SourceKind = "zarr"
    found: Any = zarr.open(path, mode="r")
    if isinstance(found, zarr.Group):
        attributes: dict[str, Any] = dict(found.attrs)
        levels = attributes.get("ome", attributes).get("multiscales")
        if levels:  # the first level of a pyramid is the full size
            kind = "ome-zarr"
            found = found[levels[0]["datasets"][0]["path"]]
        else:
            found = found[_only(sorted(found.array_keys()), path, "arrays", "")]
    return _opened(found, _looks_like_rgb(found), path, kind)


def _open_folder(path: Path) -> OpenedImage:
    stack = _FolderStack(list_pictures(path))
    return _opened(stack, len(stack.shape) == 4, path, "folder")


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
        raise FileFormatError(
            f"folder {folder} holds no pictures", remedy=f"supported are {_SUPPORTED}"
        )
    return sorted(files, key=_natural)


class _FolderStack:
    """Pictures of equal size as one array, read when indexed; the first one tells shape and type."""

    def __init__(self, files: list[Path]) -> None:
        first = _read_picture(files[0])
        self._files = files
        self.shape: tuple[int, ...] = (len(files), *first.shape)
        self.dtype = first.dtype

    def __getitem__(self, key: Any) -> np.ndarray:
        file = self._files[key[0]]
        frame = _read_picture(file)
        if frame.shape != self.shape[1:] or frame.dtype != self.dtype:
            raise ValueError(
                f"{file.name} is {frame.dtype} {frame.shape}, but {self._files[0].name} is "
                f"{self.dtype} {self.shape[1:]}"
            )
        cut: np.ndarray = frame[key[1:]]
        return cut


def _read_picture(path: Path) -> np.ndarray:
    """Return (Y, X) or (Y, X, 3); an alpha channel is left out."""
    from skimage.io import imread

    array = np.asarray(imread(path))
    if array.ndim == 3 and array.shape[2] == 4:
        array = array[..., :3]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise ValueError(f"a picture has shape (Y, X) or (Y, X, 3), not {array.shape}")
    return array


def _looks_like_rgb(array: ArrayLikeStack) -> bool:
    """Tell colours from a third axis; a stack of frames three pixels wide is not a thing."""
    shape = tuple(array.shape)
    return len(shape) >= 3 and shape[-1] == 3 and np.dtype(array.dtype) == np.uint8


def _stack_view(shape: tuple[int, ...], axis: int, name: str) -> StackView:
    """Return the view along `axis` once leading axes of length 1 are fixed."""
    num_extra = max(len(shape) - 3, 0)
    if any(length != 1 for length in shape[:num_extra]):
        raise ImageError(
            f"'{name}' has shape {shape}; only stacks with one frame axis can be used",
            remedy="save one channel or one time point as a 3-D stack",
        )
    base = StackView.default(len(shape) - num_extra, axis)
    return StackView(
        None if base.frame_axis is None else base.frame_axis + num_extra,
        base.row_axis + num_extra,
        base.column_axis + num_extra,
        tuple((extra, 0) for extra in range(num_extra)),
    )


def _only(names: list[str], path: Path, kind: str, preferred: str) -> str:
    if len(names) == 1:
        return names[0]
    wish = f" and none called '{preferred}'" if preferred else ""
    raise FileFormatError(
        f"{path} holds {len(names)} {kind}{wish}: {', '.join(names[:10]) or 'nothing'}",
        remedy="give the path of the array, or save it alone",
    )


def _natural(path: Path) -> list[tuple[int, int | str]]:
    """Sort key that puts frame_10 after frame_9."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]
