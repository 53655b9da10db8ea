"""Open an image whatever its format, and choose its frames; nothing but the frame that is asked for is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.axes import StackView
from napari_sam2.core.channels import ChannelFrames
from napari_sam2.core.errors import FileFormatError, FrameReadError, ImageError
from napari_sam2.core.planes import Axis, channel_axis_of, choose_view
from napari_sam2.io.images.arrays import open_npy, open_npz
from napari_sam2.io.images.dicom import is_dicom, open_dicom
from napari_sam2.io.images.nifti import is_nifti, open_nifti
from napari_sam2.io.images.nrrd import NRRD_SUFFIXES, open_nrrd
from napari_sam2.io.images.opened import OpenedImage, failing_as_format_error
from napari_sam2.io.images.pictures import (
    PICTURE_SUFFIXES,
    TIFF_SUFFIXES,
    FolderStack,
    is_folder_of_pictures,
    open_folder,
    open_picture,
)
from napari_sam2.io.images.tiff import open_tiff
from napari_sam2.io.images.video import VIDEO_SUFFIXES, open_video
from napari_sam2.io.images.zarrs import open_zarr

Frames = ArrayFrames | ChannelFrames

_SUPPORTED = (
    "TIFF, zarr, NIfTI, DICOM, NRRD, .npy, .npz, PNG, JPEG, BMP, videos, "
    "or a folder of pictures or of a DICOM series"
)


def open_frames(
    path: str | Path,
    axis: Axis = 0,
    *,
    at: Mapping[Axis, int] | None = None,
    channel: int | Sequence[int] | None = None,
    volumes: Axis | None = None,
    level: int = 0,
    series: str | None = None,
) -> Frames:
    """Return the frames of a file or folder along `axis`; see `open_image` and `frames_of`."""
    image = open_image(path, level=level, series=series)
    return frames_of(image, axis, at=at, channel=channel, volumes=volumes)


def frames_of(
    image: OpenedImage,
    axis: Axis = 0,
    *,
    at: Mapping[Axis, int] | None = None,
    channel: int | Sequence[int] | None = None,
    volumes: Axis | None = None,
    view: StackView | None = None,
) -> Frames:
    """Return the frames of an opened image.

    Parameters
    ----------
    image : OpenedImage
        Where they are read from.
    axis : int or str
        The axis that they are counted along, by its name or by its number among those that are not fixed.
    at : mapping of axis to int, optional
        Where other axes stand, by name or by number among all. Axes of length 1 in front of others are left out.
    channel : int or sequence of int, optional
        Of the axis called "c": one, or two or three to be seen as colours.
    volumes : int or str, optional
        The axis that counts volumes, for a row of volumes; see `StackView`.
    view : StackView, optional
        Exactly these axes, whatever the other options say.

    Raises
    ------
    ImageError
        If its shape or data type cannot be used, or it is not clear what is meant.
    """
    labels = image.source.placement.labels
    places: dict[Axis, int] = dict(at or {})
    if channel is not None and image.is_rgb:
        raise ImageError(
            f"'{image.name}' has colours, and no channels to choose from",
            remedy="leave the channel out",
        )
    channels = channel if isinstance(channel, Sequence) else (channel,)

    def frames(number: int | None) -> ArrayFrames:
        if number is not None and view is None:
            places[channel_axis_of(labels, image.name)] = number
        if view is None:
            chosen = choose_view(
                image.shape, labels, axis, at=places, volumes=volumes, name=image.name
            )
        else:
            chosen = view if number is None else _on_channel(view, labels, number, image.name)
        if isinstance(image.array, FolderStack) and chosen.frame_axis not in (0, None):
            raise ImageError(
                f"the frames of folder '{image.name}' are its files, so the axis must be 0, not {axis}",
                remedy="save the stack as one TIFF file to propagate along another axis",
            )
        return ArrayFrames(image.array, chosen, rgb=image.is_rgb, name=image.name)

    if len(channels) == 1:
        return frames(channels[0])
    return ChannelFrames([frames(number) for number in channels])


def _on_channel(view: StackView, labels: Sequence[str], channel: int, name: str) -> StackView:
    """Return a view that stands at another channel."""
    axis = channel_axis_of(labels, name)
    fixed = [(other, channel if other == axis else at) for other, at in view.fixed]
    return replace(view, fixed=tuple(fixed))


def open_image(
    path: str | Path, array: str = "image", *, level: int = 0, series: str | None = None
) -> OpenedImage:
    """Open a file or folder as one array without reading its pixels, where the format allows it.

    Parameters
    ----------
    path : str or Path
        The file or folder.
    array : str
        Which one of an .npz archive; not needed if it holds only one.
    level : int
        Of a pyramid (OME-Zarr, TIFF), 0 the full resolution.
    series : str, optional
        Of a DICOM folder with several: a SeriesInstanceUID, or its beginning.

    Raises
    ------
    FrameReadError
        There is no such file, or it cannot be read.
    FileFormatError
        It is of a kind that is not supported, damaged, or needs a library that is not installed.
    """
    path = Path(path).expanduser()
    if not os.path.exists(
        path
    ):  # unlike Path.exists, no error for a name that no file system takes
        raise FrameReadError(f"there is no file or folder {_told(path)}", remedy="check the path")
    with failing_as_format_error(path):
        return _opener(path, array, level, series)(path)


def _told(path: Path) -> str:
    """Return a path for a message: of a very long one, its end."""
    text = str(path)
    return text if len(text) <= 500 else f"...{text[-60:]}"


def _opener(
    path: Path, array: str, level: int, series: str | None
) -> Callable[[Path], OpenedImage]:
    opener, has_levels = _opener_of_kind(path, array, level, series)
    if level and not has_levels:
        raise FileFormatError(
            f"{path.name} is no pyramid, there is no level {level}", remedy="take level 0"
        )
    if series is not None and not (path.is_dir() and is_dicom(path)):
        raise FileFormatError(
            f"{path.name} is no folder of DICOM series to choose from",
            remedy="leave the series out",
        )
    return opener


def _opener_of_kind(
    path: Path, array: str, level: int, series: str | None
) -> tuple[Callable[[Path], OpenedImage], bool]:
    """Return what opens a path, and whether it knows levels."""
    suffix = path.suffix.lower()
    if path.is_dir():
        if not is_folder_of_pictures(path):
            return partial(open_zarr, level=level), True
        return (partial(open_dicom, series=series) if is_dicom(path) else open_folder), False
    if suffix in TIFF_SUFFIXES:
        return partial(open_tiff, level=level), True
    if is_nifti(path):
        return open_nifti, False
    simple: dict[str, Callable[[Path], OpenedImage]] = {
        **dict.fromkeys(PICTURE_SUFFIXES, open_picture),
        **dict.fromkeys(VIDEO_SUFFIXES, open_video),
        **dict.fromkeys(NRRD_SUFFIXES, open_nrrd),
        ".npy": open_npy,
        ".npz": partial(open_npz, name=array),
    }
    if suffix in simple:
        return simple[suffix], False
    if is_dicom(path):
        return open_dicom, False
    raise FileFormatError(
        f"files of kind '{path.suffix or path.name}' cannot be opened: {path}",
        remedy=f"supported are {_SUPPORTED}",
    )
