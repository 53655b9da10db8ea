"""OpenedImage: an array that reads itself from a file, and what the file says about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from napari_sam2.core.arrays import ArrayLikeStack
from napari_sam2.core.errors import FileFormatError, FrameReadError, NapariSam2Error
from napari_sam2.core.placement import Placement
from napari_sam2.core.sources import ImageSource, SourceKind

LARGEST_HEADER = 64 << 20
"""Bytes of a header that is read as a whole before anything of it can be checked."""


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An array that reads itself from a file.

    `is_rgb`: its last axis holds the three colours; `source`: what the file says about the other axes; `limits`: the
    window that the file proposes, if it does.
    """

    array: ArrayLikeStack
    is_rgb: bool
    source: ImageSource
    limits: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.source.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis, colours not counted."""
        shape = tuple(int(length) for length in self.array.shape)
        return shape[: len(shape) - self.is_rgb]


def opened(
    array: Any,
    path: Path,
    kind: SourceKind,
    *,
    is_rgb: bool = False,
    placement: Placement | None = None,
    limits: tuple[float, float] | None = None,
    part: str | None = None,
) -> OpenedImage:
    """Return an opened image; `placement` of all axes but colours, by default that of bare indices."""
    ndim = len(array.shape) - is_rgb
    placed = placement or Placement.plain(ndim)
    source = ImageSource(path.name, placed, kind, str(path.resolve()), part)
    return OpenedImage(array, is_rgb, source, limits)


@contextmanager
def failing_as_format_error(path: Path) -> Iterator[None]:
    """Turn whatever a reader raises on a damaged file into one error of ours that names the file."""
    try:
        yield
    except NapariSam2Error:
        raise
    except OSError as error:
        raise FrameReadError(
            f"{path} cannot be read: {error.strerror or error}",
            remedy="check the file and its permissions",
        ) from error
    except Exception as error:
        raise FileFormatError(
            f"{path} cannot be read: {type(error).__name__}: {error}",
            remedy="the file may be damaged; open it in another program to see",
        ) from error


def library(name: str, extra: str, path: Path) -> Any:
    """Import the library that reads a format; if it is missing, say which extra brings it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise FileFormatError(
            f"{path.name} needs the library '{name.split('.')[0]}', which is not installed",
            remedy=f'install it with: pip install "napari-sam2[{extra}]"',
        ) from error
