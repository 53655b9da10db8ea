"""The reader of session files: the image as a layer that knows its session, which the dock then takes up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_sam2.io.sessions import SessionFile

ENDING = ".sam2.json"

LayerData = tuple[Any, ...]


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return what reads a session file; None for anything else."""
    is_session = isinstance(path, str) and path.lower().endswith(ENDING)
    return read_layers if is_session else None


def read_layers(path: str) -> list[LayerData]:
    """Return the image layer of a session; nothing if the viewer shows the image already.

    Raises
    ------
    FileFormatError
        If the file is no session.
    ImageError, FrameReadError
        If its image is neither open nor where it was.
    """
    import napari

    from napari_sam2.io.sessions import read_session

    viewer, file = napari.current_viewer(), read_session(path)
    shown = None if viewer is None else _shown(viewer, file)
    if viewer is not None:
        _soon(partial(_open_dock, viewer, None if shown is None else (path, shown)))
    return [_image_layer(path, file)] if shown is None else [(None,)]


def _shown(viewer: napari.Viewer, file: SessionFile) -> Image | None:
    """Return the layer that shows the image of a session: by its path, or else by its pixels."""
    from napari_sam2.core.errors import NapariSam2Error
    from napari_sam2.plugin.choices import images_of
    from napari_sam2.plugin.saving import path_of
    from napari_sam2.plugin.session_files import fitting_frames

    known = None if file.place is None else file.place.path
    for image in images_of(viewer):
        try:
            frames = fitting_frames(file, image)
        except NapariSam2Error:
            continue
        is_same_file = known is not None and path_of(image) == known
        if is_same_file or (file.fingerprint and not file.fingerprint.differing(frames)):
            return image
    return None


def _image_layer(path: str, file: SessionFile) -> LayerData:
    from napari_sam2.core.errors import FrameReadError
    from napari_sam2.io.images import open_image
    from napari_sam2.plugin.image_readers import layer_array
    from napari_sam2.plugin.layers import MARK
    from napari_sam2.plugin.saving import layer_arguments
    from napari_sam2.plugin.session_files import TO_OPEN

    name = Path(path).name
    if file.place is None or file.place.path is None:
        raise FrameReadError(
            f"{name} does not say where its image is",
            remedy="open the image in napari first, then the session",
        )
    place = Path(file.place.path)
    if not place.exists():
        raise FrameReadError(
            f"the image of {name} is not at {place}",
            remedy="open the image in napari first, then the session",
        )
    _show(name, place, Path(path))
    source = file.place.source
    series = source.part if source.kind == "dicom" and place.is_dir() else None
    opened = open_image(place, level=file.place.level, series=series)
    is_plain = hasattr(opened.array, "ndim") and hasattr(opened.array, "dtype")
    array = opened.array if is_plain else layer_array(opened)
    arguments: dict[str, Any] = {
        "name": source.name or opened.name,
        "metadata": {MARK: {TO_OPEN: str(path), "source": replace(source, path=str(place))}},
        "rgb": opened.is_rgb,
        **layer_arguments(source.placement),
    }
    if file.mapping is not None and not opened.is_rgb and file.mapping.low < file.mapping.high:
        arguments["contrast_limits"] = file.mapping.low, file.mapping.high
    return array, arguments, "image"


def _show(name: str, image: Path, session: Path) -> None:
    """Show which file a session has opened, if it is not one that lies with it: nothing is opened behind one's back."""
    from napari.utils.notifications import show_info

    if not image.resolve().is_relative_to(session.resolve().parent):
        show_info(f"{name} opens its image: {image}")


def _soon(call: Callable[[], None]) -> None:
    """Call something when the layers are there."""
    from qtpy.QtCore import QTimer

    QTimer.singleShot(0, call)


def _open_dock(viewer: napari.Viewer, known: tuple[str, Image] | None) -> None:
    """Open the dock, which takes up the session of a new layer by itself; or show a session on a layer."""
    from napari_sam2.plugin.launch import controller_of, open_dock

    controller = controller_of(viewer)
    if not controller.is_open:
        open_dock(viewer)
    if known is not None:
        controller.session_files.open(Path(known[0]), known[1])
