"""Find and read stacks that come with reference masks: pairs of files, .npz archives, folders in DAVIS layout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.core.errors import FileFormatError, FrameReadError
from napari_sam2.core.references import ReferenceStack, StackKind
from napari_sam2.io.images import PICTURE_SUFFIXES, TIFF_SUFFIXES, open_frames
from napari_sam2.io.masklets import read_labels

IMAGES, ANNOTATIONS = "JPEGImages", "Annotations"
"""The two folders of DAVIS layout; below them, the same names lead to the frames and the masks of a sequence."""

MANUAL = "manual_frame0"
"""Array of an archive whose `labels` are automatic: masks of the first frame that a person drew."""


@dataclass(frozen=True, slots=True)
class ReferenceFile:
    """A stack that can be read. `labels_array`: which array of an .npz archive holds the labels."""

    name: str
    image: Path
    labels: Path
    labels_array: str = "labels"
    group: str = ""
    kind: StackKind | None = None

    def read(self, axis: int = 0, kind: StackKind | None = None) -> ReferenceStack:
        """Read the whole stack.

        Parameters
        ----------
        axis : int
            The frame axis of image and labels.
        kind : {"time", "z"}, optional
            What the frames follow each other in. By default what the files say, and time if they say nothing.

        Raises
        ------
        FrameReadError, FileFormatError, ImageError, LabelsError
            If a file cannot be used, or image and labels differ in shape.
        """
        frames = open_frames(self.image, axis)
        labels = _frames_first(read_labels(self.labels, array=self.labels_array), axis)
        is_first_only = len(labels) == 1  # masks of one frame alone, for clicks on a single frame
        num_frames = 1 if is_first_only else len(frames)
        if labels.shape != (num_frames, *frames.shape):
            raise FileFormatError(
                f"image ({len(frames)}, {frames.shape[0]}, {frames.shape[1]}) and labels {labels.shape} "
                f"of {self.name} differ in shape",
                remedy="give labels with a mask of every frame, or of the first frame alone",
                kept="no stack was read",
            )
        image = np.stack([frames.read(t) for t in range(num_frames)])
        return ReferenceStack(
            self.name, image, labels, kind or self.kind or kind_of(self.image) or "time", self.group
        )

    def read_manual(self) -> np.ndarray | None:
        """Return the manual masks of the first frame, (Y, X) with ids of their own; None without such an array."""
        if self.labels.suffix.lower() != ".npz":
            return None
        with np.load(self.labels, allow_pickle=False) as archive:
            has_manual = MANUAL in archive.files
        return read_labels(self.labels, array=MANUAL) if has_manual else None


def find_references(image: Path, labels: str | Path | None = None) -> tuple[ReferenceFile, ...]:
    """Return the stacks that a person means.

    Parameters
    ----------
    image : Path
        A stack; or, without `labels`: an .npz archive with the arrays `image` and `labels`, a folder of such archives,
        or a folder in DAVIS layout.
    labels : str or Path, optional
        A label stack, or ``ARCHIVE.npz:ARRAY``. A label image stands for the first frame.

    Raises
    ------
    FrameReadError
        If there is no such file or folder.
    FileFormatError
        If there is nothing to read in it, or labels are needed.
    """
    if not image.exists():
        raise FrameReadError(f"there is no file or folder {image}", remedy="check the path")
    if labels is not None:
        path, array = _split_array(labels)
        return (ReferenceFile(image.stem, image, path, array, **_description(image)),)
    if image.suffix.lower() == ".npz":
        return (ReferenceFile(image.stem, image, image, **_description(image)),)
    found = _archives(image) or _sequences(image) if image.is_dir() else ()
    if not found:
        raise FileFormatError(
            f"{image} comes without labels",
            remedy="give a label stack after it, an .npz with the arrays image and labels, a folder of such "
            f"files, or a folder with {IMAGES} and {ANNOTATIONS}",
            kept="nothing was read",
        )
    return found


def kind_of(path: Path) -> StackKind | None:
    """Return what the frames of a file follow each other in, as its axes or the description beside it say."""
    if path.suffix.lower() in TIFF_SUFFIXES:
        return _kind_of_axes(_tiff_axes(path))
    if path.is_dir():
        return _kind_of_axes(_zarr_axes(path))
    return None


def _split_array(labels: str | Path) -> tuple[Path, str]:
    name, marker, array = str(labels).rpartition(".npz:")
    return (Path(name + ".npz"), array) if marker else (Path(labels), "labels")


def _frames_first(labels: np.ndarray, axis: int) -> np.ndarray:
    """Return (T, Y, X) of labels that lie as their image does: a plane becomes one frame."""
    while labels.ndim > 3 and labels.shape[0] == 1:
        labels = labels[0]
    if labels.ndim == 2:
        return labels[None]
    return np.moveaxis(labels, axis, 0) if labels.ndim == 3 and axis < 3 else labels


def _description(image: Path) -> dict[str, Any]:
    """Return group and kind from NAME.json beside NAME.npz, if it is there and says `kind`."""
    path = image.with_suffix(".json")
    if image.suffix.lower() != ".npz" or not path.is_file():
        return {}
    try:
        kind = json.loads(path.read_text(encoding="utf-8"))["kind"]
        group = "microscopy" if kind.startswith("microscopy") else "medical"
        return {"group": group, "kind": "time" if kind.endswith("-time") else "z"}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise FileFormatError(
            f"{path} does not say the kind of stack",
            remedy='it needs an entry such as "kind": "ct" or "microscopy-time", or must not be there',
            kept="no stack was read",
        ) from error


def _archives(folder: Path) -> tuple[ReferenceFile, ...]:
    return tuple(
        ReferenceFile(path.stem, path, path, **_description(path))
        for path in sorted(folder.glob("*.npz"))
    )


def _sequences(folder: Path) -> tuple[ReferenceFile, ...]:
    images, masks = folder / IMAGES, folder / ANNOTATIONS
    places = sorted({path.parent for path in images.rglob("*") if _is_picture(path)})
    names = [place.relative_to(images) for place in places]
    missing = [name for name in names if not (masks / name).is_dir()]
    if missing:
        raise FileFormatError(
            f"{len(missing)} sequences of {images} have no masks in {masks}: {missing[0]}",
            remedy="the folders below the two must have the same names",
            kept="nothing was read",
        )
    return tuple(
        ReferenceFile(name.as_posix(), images / name, masks / name, group="DAVIS", kind="time")
        for name in names
    )


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES


def _tiff_axes(path: Path) -> str:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            long = (
                axis for axis, length in zip(series.axes, series.shape, strict=True) if length > 1
            )
            return "".join(long).lower()
    except (tifffile.TiffFileError, OSError, IndexError) as error:
        raise FileFormatError(
            f"{path} cannot be read: {error}",
            kept="no stack was read",
            remedy="check the file, or save it again",
        ) from error


def _zarr_axes(path: Path) -> str:
    if not any((path / name).exists() for name in ("zarr.json", ".zgroup")):
        return ""
    import zarr

    from napari_sam2.io.images.zarr_metadata import check_metadata

    check_metadata(path)
    attributes: Any = dict(zarr.open(path, mode="r").attrs)
    levels = attributes.get("ome", attributes).get("multiscales") or [{}]
    return "".join(str(axis["name"]) for axis in levels[0].get("axes", ())).lower()


def _kind_of_axes(axes: str) -> StackKind | None:
    if "t" in axes:
        return "time"
    return "z" if "z" in axes else None
