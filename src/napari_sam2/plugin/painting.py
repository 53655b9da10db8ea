"""Painting on our labels layer with napari's own tools: strokes are read once, then the layer shows the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers.labels._labels_key_bindings import reset_polygon
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import PromptError
from napari_sam2.core.session import Session
from napari_sam2.plugin.positions import displayed_axes

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

_UNTOUCHED = -1


@dataclass(frozen=True, slots=True)
class Stroke:
    """One stroke on one frame. `label`: what was painted, 0 erases; `mask`: (Y, X) bool, frame pixels."""

    frame: int
    label: int
    mask: np.ndarray = field(repr=False, compare=False)


class Brush:
    """Lets people paint on the labels layer whenever a stroke can become part of the session.

    napari writes a stroke into the layer and tells of it when it is finished. It goes to the session, and then the
    layer shows the session's labels again, whatever the session made of the stroke. napari's own undo never has
    anything to undo.

    Parameters
    ----------
    viewer : ViewerModel
        Whose display decides whether the layer shows frames.
    session : Session
        What is painted on.
    current_frame : callable
        The frame that is shown, or None.
    redraw : callable
        Shows the session's labels on a frame.
    """

    painted = Signal(object, description="A Stroke was finished.")
    refused = Signal(object, description="A stroke cannot be taken: a PromptError.")
    label_chosen = Signal(
        int, description="Another label than that of the active object was chosen."
    )

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        current_frame: Callable[[], int | None],
        redraw: Callable[[int], None],
    ) -> None:
        self._viewer, self._session = viewer, session
        self._current_frame, self._redraw = current_frame, redraw
        self.layer: Labels | None = None
        self._frame: int | None = None
        self._touched: set[int] = set()
        self._strays: list[Any] = []
        self._settling = QTimer()
        self._settling.setSingleShot(True)
        self._settling.timeout.connect(self._settle)

    # Life

    def open(self, layer: Labels) -> None:
        """Guard a layer from now on."""
        self.layer = layer
        layer.n_edit_dimensions = 2
        for event, handler in self._events(layer):
            event.connect(handler)
        self._session.run_started.connect(self.update, max_args=0)
        self._session.run_finished.connect(self.update, max_args=0)
        self.update()

    def close(self) -> None:
        """Let go; without a session behind it, nobody may paint on the layer."""
        layer = self.layer
        if layer is None:
            return
        self._settle()
        for event, handler in self._events(layer):
            event.disconnect(handler)
        self._session.run_started.disconnect(self.update, missing_ok=True)
        self._session.run_finished.disconnect(self.update, missing_ok=True)
        layer.editable = False
        self.layer = None

    def _events(self, layer: Labels) -> Iterator[tuple[Any, Callable[..., None]]]:
        yield layer.events.paint, self._on_paint
        yield layer.events.editable, self.update
        yield layer.events.mode, self._on_mode
        yield layer.events.n_edit_dimensions, self._stay_on_one_frame
        yield layer.events.selected_label, self._on_label
        yield self._viewer.dims.events.current_step, self.update
        yield self._viewer.dims.events.order, self.update
        yield self._viewer.dims.events.ndisplay, self.update

    # Whether

    def check(self) -> None:
        """Refuse a stroke that could not become part of the session.

        Raises
        ------
        PromptError
            While a run is going on, or if the viewer shows anything but a frame.
        """
        if self._session.run is not None:
            raise PromptError(
                "a propagation is going on", remedy="paint when it is done, or stop it with Esc"
            )
        self._session.stack_view.check_displayed(displayed_axes(self.layer, self._viewer))
        if self._current_frame() is None:
            raise PromptError(
                "the sliders stand at no frame of the image", remedy="move them to one"
            )

    def update(self, _event: Any = None) -> None:
        """Make the layer read-only while nobody may paint, and only then."""
        if self.layer is None:
            return
        is_free, before = self._is_free, self._frame
        self._frame = self._current_frame()
        if self.layer.editable != is_free:
            had_tool = str(self.layer.mode) != "pan_zoom"
            # Turned off, napari also puts its tool down: no click paints by surprise when it is on again.
            self.layer.editable = is_free
            if had_tool:  # what was painted of an unfinished stroke is told to nobody
                self._touched.update({before, self._frame} - {None})
                self._settling.start(0)

    @property
    def _is_free(self) -> bool:
        try:
            self.check()
        except PromptError:
            return False
        return True

    def _on_mode(self, _event: Any = None) -> None:
        if str(self.layer.mode) == "transform":
            self.layer.mode = "pan_zoom"  # the layer lies on its image

    def _stay_on_one_frame(self, _event: Any = None) -> None:
        if self.layer.n_edit_dimensions != 2:
            self.layer.n_edit_dimensions = 2

    def _on_label(self, _event: Any = None) -> None:
        if self.layer.selected_label > 0:
            self.label_chosen.emit(int(self.layer.selected_label))

    def drop(self) -> None:
        """Throw away what is being drawn with a tool of napari that takes several clicks."""
        reset_polygon(self.layer)
        frame = self._current_frame()
        if frame is not None:
            self._redraw(frame)

    # Strokes

    def _on_paint(self, event: Any) -> None:
        changes = list(event.value)
        # Takes the stroke off napari's stack. Some of its tools tell before they write, so the layer is not right
        # before they have come to their end.
        self.layer.undo()
        view, shape = self._session.stack_view, self._session.frames.shape
        self._touched.update(frames_of(changes, view) & set(range(len(self._session.frames))))
        self._settling.start(0)
        try:
            self.check()
            strokes = strokes_of(changes, view, shape)
        except PromptError as error:
            self._strays += map(_key_of, changes)
            self.refused.emit(error)
            return
        for stroke in strokes:
            self.painted.emit(stroke)

    def _settle(self) -> None:
        self._settling.stop()
        strays, self._strays = self._strays, []
        touched, self._touched = self._touched, set()
        for key in strays:
            self.layer.data[key] = 0  # on planes beside the frames there is nothing
        for frame in sorted(touched):
            self._redraw(frame)


def frames_of(changes: Sequence[Any], view: StackView) -> set[int]:
    """Return the frames on which a stroke lies; see `strokes_of`."""
    found: set[int] = set()
    for change in changes:
        index = _key_of(change)
        if isinstance(index[0], slice):
            index = np.ix_(*(np.arange(part.start, part.stop) for part in index))
        found.update(np.unique(view.frame_at(index)).tolist())
    return found


def strokes_of(changes: Sequence[Any], view: StackView, shape: tuple[int, int]) -> list[Stroke]:
    """Return what napari tells of a finished stroke, in frames and pixels of frames.

    Parameters
    ----------
    changes : sequence
        In the order in which they were made: either a slice of every axis with a mask of what changed inside, None for
        all of it, and one new value; or an array of indices for every axis, the old and the new values.
    view : StackView
        Which axes are frames, rows and columns.
    shape : (Y, X)
        Of a frame.

    Raises
    ------
    PromptError
        If it lies on another plane than the frames.
    """
    planes: dict[int, np.ndarray] = {}
    found: dict[tuple[int, int], None] = {}
    for change in changes:
        frame, row, column, value = _pixels_of(change, view)
        for t in np.unique(frame).tolist():
            is_here = frame == t
            if t not in planes:
                planes[t] = np.full(shape, _UNTOUCHED, np.int64)
            planes[t][row[is_here], column[is_here]] = value[is_here]
            found.update(dict.fromkeys((t, label) for label in np.unique(value[is_here]).tolist()))
    strokes = (Stroke(t, label, planes[t] == label) for t, label in found)
    return [stroke for stroke in strokes if stroke.mask.any()]


def _pixels_of(change: Any, view: StackView) -> tuple[np.ndarray, ...]:
    """Return frame, row, column and new value of every pixel that a change is about."""
    index, value = _indices_of(change)
    for axis, at in view.fixed:
        if (index[axis] != at).any():
            raise PromptError(
                f"the stroke is not on the plane in use: axis {axis} is at {at}",
                remedy=f"move axis {axis} to {at}, or choose another plane for the stack",
            )
    row, column = index[view.row_axis], index[view.column_axis]
    return (
        view.frame_at(index),
        row,
        column,
        np.broadcast_to(np.asarray(value, np.int64), row.shape),
    )


def _indices_of(change: Any) -> tuple[tuple[np.ndarray, ...], Any]:
    key = _key_of(change)
    if not hasattr(change, "slice_key"):
        return tuple(np.asarray(axis) for axis in key), change[2]
    inside = np.ones([part.stop - part.start for part in key], bool)
    inside = inside if change.mask is None else inside & change.mask
    places = np.nonzero(inside)
    return tuple(at + part.start for at, part in zip(places, key, strict=True)), change.new_value


def _key_of(change: Any) -> tuple[Any, ...]:
    return tuple(change.slice_key) if hasattr(change, "slice_key") else tuple(change[0])
