"""A napari window with the dock for `gui.py`: hands that count what they do, and patience that does not poll."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import napari
import numpy as np
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import mouse_press_callbacks, mouse_release_callbacks
from napari.utils.key_bindings import KeymapHandler
from qtpy.QtCore import QEvent, QEventLoop, Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_sam2.plugin import launch
from napari_sam2.plugin.controller import Controller
from napari_sam2.plugin.worker import MakeSegmenter

BEAT = 0.010
"""Seconds between two beats of the heart."""


def use_the_display_there_is() -> str:
    """Choose Qt's platform before the first window: a display if there is one, else one that shows nothing."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    if os.environ.get("QT_QPA_PLATFORM") == "offscreen":
        _answer_for_opengl()
    return os.environ.get("QT_QPA_PLATFORM", "the display")


def _answer_for_opengl() -> None:
    """Answer the two questions that napari asks of OpenGL, where there is none."""
    import sys

    import napari._qt.qt_main_window
    import napari._vispy.utils.gl  # noqa: F401

    answers = {
        "get_gl_extensions": lambda: "texture_float",
        "get_max_texture_sizes": lambda: (16384, 2048),
    }
    for name, module in list(sys.modules.items()):
        for question in answers.keys() & vars(module).keys() if name.startswith("napari.") else ():
            setattr(module, question, answers[question])


def wait_until(is_so: Callable[[], bool], seconds: float = 900) -> None:
    """Let the event loop run until something is so; looked at a hundred times a second."""
    if is_so():
        return
    loop, timer, end = QEventLoop(), QTimer(), time.perf_counter() + seconds
    timer.timeout.connect(lambda: loop.quit() if is_so() or time.perf_counter() > end else None)
    timer.start(round(BEAT * 1000))
    loop.exec()
    timer.stop()
    if not is_so():
        raise TimeoutError(f"nothing happened for {seconds} s")


def rest(seconds: float) -> None:
    """Let the event loop run for a while."""
    end = time.perf_counter() + seconds
    wait_until(lambda: time.perf_counter() >= end)


class Heart:
    """Beats on the main thread as often as it can, every 10 ms at best."""

    def __init__(self) -> None:
        self._beats: list[tuple[float, float]] = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(round(BEAT * 1000))
        self._timer.timeout.connect(self._beat)

    def _beat(self) -> None:
        self._beats.append((time.perf_counter(), time.thread_time()))

    def __enter__(self) -> Heart:
        self._timer.start()
        self._beat()
        return self

    def __exit__(self, *_error: object) -> None:
        self._timer.stop()
        self._beat()

    @property
    def stalls(self) -> np.ndarray:
        """Seconds by which each beat came too late."""
        return np.maximum(np.diff([at for at, _ in self._beats]) - BEAT, 0.0)

    @property
    def work(self) -> np.ndarray:
        """Seconds of CPU that the main thread took between beats: the part of a stall that is its own."""
        return np.diff([spent for _, spent in self._beats])


class Desk:
    """A window with one stack, and a person's hands.

    Parameters
    ----------
    video, truth : array of shape (T, Y, X)
        What is opened, and its objects.
    make : callable, optional
        Makes the segmenter; the real one, with `nano`, by default.
    viewer : napari.Viewer, optional
        An empty one; made by default.

    Attributes
    ----------
    num_actions : int
        What the person did so far: a click, a key, a menu entry each count one.
    """

    def __init__(
        self,
        video: np.ndarray,
        truth: np.ndarray,
        make: MakeSegmenter | None = None,
        viewer: napari.Viewer | None = None,
    ) -> None:
        self.viewer = napari.Viewer(show=False) if viewer is None else viewer
        self.truth, self.num_actions = truth, 0
        if make is not None:
            launch._controllers[self.viewer] = Controller(self.viewer, make)
        self.image = self.viewer.add_image(video, name="discs")

    @property
    def controller(self) -> Controller:
        return launch.controller_of(self.viewer)

    @property
    def session(self) -> Any:
        return self.controller.session

    @property
    def bridge(self) -> Any:
        return self.controller.binding.bridge

    # Actions

    def open_dock(self) -> None:
        """Choose Plugins > SAM 2."""
        self.num_actions += 1
        launch.open_dock(self.viewer)

    def move_slider(self, frame: int) -> None:
        """Go to a frame."""
        self.num_actions += 1
        self.viewer.dims.set_current_step(0, frame)

    def click(self, object_id: int, off: tuple[float, float] = (0, 0)) -> None:
        """Click an object near its middle on the frame that is shown."""
        self.num_actions += 1
        frame = self.viewer.dims.current_step[0]
        y, x = np.argwhere(self.truth[frame] == object_id).mean(axis=0).round() + off
        world = tuple(self.image.data_to_world((frame, y, x)))
        mouse_press_callbacks(self.viewer, self._event("mouse_press", world, (y, x)))
        mouse_release_callbacks(self.viewer, self._event("mouse_release", world, (y, x)))

    def _event(self, kind: str, world: tuple[float, ...], place: tuple[float, float]) -> Any:
        event = SimpleNamespace(
            type=kind,
            button=1,
            modifiers=(),
            position=world,
            pos=np.array(place),
            is_dragging=False,
            handled=False,
            dims_displayed=list(self.viewer.dims.displayed),
            view_direction=None,
        )
        return ReadOnlyWrapper(event, exceptions=("handled",))

    def press(self, key: str) -> None:
        """Press a key on the canvas: the active layer's, or else the viewer's."""
        self.num_actions += 1
        handler = KeymapHandler()
        active = self.viewer.layers.selection.active
        handler.keymap_providers = [item for item in (active, self.viewer) if item is not None]
        handler.press_key(key)

    def select_labels(self) -> None:
        """Click the labels layer in the list of layers."""
        self.num_actions += 1
        self.viewer.layers.selection = {self.bridge.labels}

    def save(self, path: Path) -> None:
        """Choose File > Save Selected Layers, and a name."""
        self.num_actions += 1
        self.viewer.layers.save(str(path), selected=True)

    # Patience

    def wait_for_answers(self) -> None:
        """Wait until every click has its mask."""
        wait_until(lambda: self.controller.binding.engine.num_waiting == 0)

    def wait_for_run(self) -> None:
        """Wait until the run has ended."""
        wait_until(lambda: self.session.run is None)

    # Letting go

    def remove_dock(self) -> None:
        """Close the dock as its cross does."""
        self.viewer.window.remove_dock_widget("all")
        _let_qt_delete()

    def close(self) -> None:
        """Close the window."""
        self.viewer.close()
        _let_qt_delete()


def _let_qt_delete() -> None:
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()
