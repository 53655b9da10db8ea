"""The one door into the plugin for the command line and for `napari_sam2` itself."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from napari_sam2.core.errors import ImageError, NoDisplayError, OptionError

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_sam2.core.session import Session
    from napari_sam2.plugin.controller import Controller

PLUGIN, DOCK = "napari-sam2", "SAM 2"

_controllers: weakref.WeakKeyDictionary[napari.Viewer, Controller] = weakref.WeakKeyDictionary()


def main(
    paths: Sequence[str | PathLike[str]] = (),
    sample: str | None = None,
    start: Callable[[napari.Viewer], None] | None = None,
) -> None:
    """Open napari with the dock, and return when its window is closed.

    Parameters
    ----------
    paths : sequence of path
        Files to open.
    sample : str, optional
        Name of a bundled sample to open.
    start : callable, optional
        Called with the viewer once all this is open, before the window takes over.

    Raises
    ------
    NoDisplayError
        If there is no screen; Qt would end the process without a word about it.
    """
    _check_display()
    # Before Qt: on Windows, PyTorch may refuse to load once Qt is there.
    import torch  # noqa: F401, I001

    import napari

    viewer = napari.Viewer()
    open_dock(viewer)
    if sample is not None:
        viewer.open_sample(PLUGIN, sample)
    if paths:
        viewer.open([str(path) for path in paths])
    if start is not None:
        start(viewer)
    napari.run()


def _check_display() -> None:
    is_chosen = any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    )
    if sys.platform.startswith("linux") and not is_chosen:
        raise NoDisplayError(
            "there is no screen to open napari on: neither DISPLAY nor WAYLAND_DISPLAY is set",
            remedy="log in with a desktop (or ssh -X), or use 'napari-sam2 run' and 'batch', which need none",
        )


def open_dock(viewer: napari.Viewer) -> None:
    """Open the dock in a viewer, or bring it to the front."""
    dock, _ = viewer.window.add_plugin_dock_widget(PLUGIN, DOCK)
    dock.show()
    dock.raise_()


def attach(viewer: napari.Viewer, layer: Image) -> Session:
    """Return the session of an image layer, bound to the viewer and its worker; the dock is opened.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer that shows `layer`.
    layer : napari.layers.Image
        What is to be annotated.

    Raises
    ------
    ImageError
        If the layer is no image that can be used, or not in the viewer.
    """
    from napari.layers import Image

    if not isinstance(layer, Image) or layer not in viewer.layers:
        raise ImageError(
            f"{layer!r} is not an image layer of this viewer", remedy="pass one of viewer.layers"
        )
    controller = controller_of(viewer)
    if not controller.is_open:
        open_dock(viewer)
    return controller.attach(layer)


def current_session() -> Session:
    """Return the session of the current viewer, for use in napari's console.

    Raises
    ------
    OptionError
        If there is no viewer, or no image is being annotated in it.
    """
    import napari

    viewer = napari.current_viewer()
    controller = None if viewer is None else _controllers.get(viewer)
    if controller is None or controller.session is None:
        raise OptionError(
            "no image is being annotated", remedy="open an image and Plugins > SAM 2 first"
        )
    return controller.session


def controller_of(viewer: napari.Viewer) -> Controller:
    """Return the controller of a viewer; it is made at the first call and lives as long as the viewer."""
    if viewer not in _controllers:
        from napari_sam2.plugin.controller import Controller

        _controllers[viewer] = Controller(viewer)
    return _controllers[viewer]
