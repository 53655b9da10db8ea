"""The shapes layer of a session: a drawing of boxes and hints, on which people draw outlines with napari's tools."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_sam2.core.errors import PromptError
from napari_sam2.core.geometry import PromptBox
from napari_sam2.core.session import Session
from napari_sam2.plugin.outlining import outline_of
from napari_sam2.plugin.positions import spatial_attributes

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

BOX = "cyan"
WINDOW = "#FFFFFF80"
"""Thin and half transparent: it tells where the model looked, and is nothing that a person said."""

CANDIDATE = "#FFFFFFB0"
"""White: an answer that was not chosen."""

HINT = "#F0E442"
"""Yellow: a place worth a click."""

DRAWING_MODES = frozenset(
    f"add_{shape}"
    for shape in ("rectangle", "ellipse", "polygon", "polygon_lasso", "line", "path", "polyline")
)
"""Tools of napari that may be used here. The others change shapes, which are not read back."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """One thing that is drawn. `path`: (N, 2) of (y, x), frame pixels; `width`: a share of the usual width."""

    kind: Literal["rectangle", "polygon", "path"]
    frame: int
    path: Sequence[Sequence[float]] = field(repr=False)
    color: str = BOX
    width: float = 1.0


class Sketch:
    """Draws boxes, and what else is thin, once there is any; reads a finished outline once, as something said.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layer when it is first needed.
    image : Image
        On which the layer lies.
    session : Session
        Whose boxes are drawn.
    """

    outlined = Signal(object, description="A person has drawn an Outline.")
    refused = Signal(object, description="An outline cannot be taken: a PromptError.")
    mode_changed = Signal(description="Another tool of napari is in hand.")

    def __init__(self, viewer: ViewerModel, image: Image, session: Session) -> None:
        self._viewer, self._image, self._session = viewer, image, session
        self.layer: Shapes | None = None
        self._draft: _Shape | None = None
        self._window: tuple[int, PromptBox] | None = None
        self._hint: tuple[int, tuple[int, int]] | None = None
        self._contours: tuple[tuple[int, np.ndarray], ...] = ()
        self._num_drawn = 0
        self._is_ours = False
        self._mode_in_hand = ""
        """Napari's tool that a person is drawing with at this moment."""
        self._settling = QTimer()
        self._settling.setSingleShot(True)
        self._settling.timeout.connect(self._settle)

    # Life

    def open(self) -> None:
        """Take up the layer of last time, if it is there."""
        if self.layer is not None and self.layer not in self._viewer.layers:
            self.layer = None
        if self.layer is not None:
            self._follow(self.layer)
        self._viewer.layers.selection.events.active.connect(self._on_selection)

    def close(self) -> None:
        """Let go; the layer stays as a picture."""
        self._settling.stop()
        self._draft, self._mode_in_hand = None, ""
        self._viewer.layers.selection.events.active.disconnect(self._on_selection)
        if self.layer is not None:
            self.layer.events.data.disconnect(self._on_data)
            self.layer.events.mode.disconnect(self._on_mode)
            self.layer.editable = False

    def _follow(self, layer: Shapes) -> None:
        layer.events.data.connect(self._on_data)
        layer.events.mode.connect(self._on_mode)
        layer.editable = self._viewer.dims.ndisplay == 2

    def require(self) -> Shapes:
        """Return the layer; make it if there is none yet."""
        if self.layer is None or self.layer not in self._viewer.layers:
            self.layer = self._new_layer()
            self._follow(self.layer)
        return self.layer

    def _new_layer(self) -> Shapes:
        active = self._viewer.layers.selection.active
        layer = self._viewer.add_shapes(
            None,
            ndim=self._image.ndim,
            name=f"{self._image.name} SAM2 boxes",
            edge_color=BOX,
            edge_width=self._edge_width,
            face_color="transparent",
            metadata={"napari_sam2": {"role": "boxes", "image": self._image.name}},
            **spatial_attributes(self._image),
        )
        # A new layer takes the selection: give it back, or the mouse would stop meaning prompts.
        self._viewer.layers.selection.active = active
        return layer

    # What is shown

    def show_draft(self, frame: int, box: PromptBox) -> None:
        """Show a box while it is being drawn."""
        self._draft = _Shape("rectangle", frame, _corners(box))
        self.draw()

    def show_scribble(self, frame: int, path: Sequence[Sequence[float]], color: str) -> None:
        """Show a scribble (N, 2) of (y, x) while it is being drawn."""
        self._draft = _Shape("path", frame, path, color, 2.0)
        self.draw()

    def hide_draft(self) -> None:
        """Show only what the session holds."""
        if self._draft is not None:
            self._draft = None
            self.draw()

    def show_window(self, window: tuple[int, PromptBox] | None) -> None:
        """Show which window of a frame the model looked at, (frame, box), or none."""
        if window != self._window:
            self._window = window
            self.draw()

    def show_hint(self, place: tuple[int, tuple[int, int]] | None) -> None:
        """Show a pixel (frame, (y, x)) that is worth a click, or none."""
        if place != self._hint:
            self._hint = place
            self.draw()

    def show_contours(self, contours: tuple[tuple[int, np.ndarray], ...]) -> None:
        """Show closed paths (frame, (N, 2) of (y, x)), or none."""
        if contours or self._contours:
            self._contours = contours
            self.draw()

    def draw_anew(self) -> None:
        """Draw the session's boxes after something was said; the hint has been answered."""
        self._hint = None
        self.draw()

    def draw(self) -> None:
        """Draw everything, but not under the hands of a person who is drawing."""
        if self._mode_in_hand:
            return
        shapes = list(self._shapes())
        if not shapes and (self.layer is None or self.layer not in self._viewer.layers):
            return
        layer = self.require()
        with self._drawing():
            layer.selected_data = set()
            layer.data = []
            if shapes:
                layer.add(
                    [
                        [self._session.stack_view.lift(s.frame, y, x) for y, x in s.path]
                        for s in shapes
                    ],
                    shape_type=[s.kind for s in shapes],
                    edge_width=[self._edge_width * s.width for s in shapes],
                    edge_color=[s.color for s in shapes],
                    face_color="transparent",
                )
        self._num_drawn = len(shapes)

    def _shapes(self) -> Iterator[_Shape]:
        for frame, box in self._boxes():
            yield _Shape("rectangle", frame, _corners(box))
        if self._draft is not None:
            yield self._draft
        if self._window is not None:
            frame, box = self._window
            yield _Shape("rectangle", frame, _corners(box), WINDOW, 0.5)
        if self._hint is not None:
            frame, (y, x) = self._hint
            reach = 4 * self._edge_width
            yield _Shape(
                "rectangle", frame, _corners((y - reach, x - reach, y + reach, x + reach)), HINT
            )
        for frame, path in self._contours:
            yield _Shape("polygon", frame, path, CANDIDATE, 0.5)

    def _boxes(self) -> Iterable[tuple[int, PromptBox]]:
        for item in self._session.prompts:
            for said in item.frames:
                yield from ((said.frame, step.box) for step in said.steps if step.box is not None)

    @property
    def _edge_width(self) -> float:
        return max(0.5, max(self._session.frames.shape) / 250)

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        self._is_ours = True
        try:
            yield
        finally:
            self._is_ours = False

    # What a person draws

    def cancel(self) -> bool:
        """Throw away what a person has begun to draw; say whether there was anything."""
        if not self._mode_in_hand:
            return False
        mode = self._mode_in_hand
        self.layer.mode = "pan_zoom"  # makes napari finish the shape, which is not taken then
        self.layer.mode = mode
        return True

    def _on_mode(self, _event: Any = None) -> None:
        if self.layer.mode not in {*DRAWING_MODES, "pan_zoom"}:
            self.layer.mode = "pan_zoom"
        self.mode_changed.emit()

    def _on_selection(self, _event: Any = None) -> None:
        if self._viewer.layers.selection.active is not self.layer:
            self.cancel()

    def _on_data(self, event: Any) -> None:
        if self._is_ours:
            return
        action = str(event.action)
        if action == "adding":
            self._mode_in_hand = str(self.layer.mode)
        elif action == "added":
            self._on_finished()
        elif action in ("changed", "removed"):
            self._settling.start(0)

    def _on_finished(self) -> None:
        # Napari is not at the end yet: until then nothing may be drawn here.
        self._settling.start(0)
        if not self._is_meant:
            return
        try:
            outline = outline_of(
                str(self.layer.shape_type[-1]), self.layer.data[-1], self._session.stack_view
            )
        except PromptError as error:
            self.refused.emit(error)
            return
        self.outlined.emit(outline)

    @property
    def _is_meant(self) -> bool:
        """Whether a person finished the shape; napari finishes what it must, when its tool or its layer is left."""
        is_there = len(self.layer.data) > self._num_drawn
        is_in_hand = self._mode_in_hand == str(self.layer.mode)
        return is_there and is_in_hand and self.layer in self._viewer.layers.selection

    def _settle(self) -> None:
        self._mode_in_hand = ""
        self.draw()


def _corners(box: PromptBox) -> tuple[tuple[float, float], ...]:
    y0, x0, y1, x1 = box
    return (y0, x0), (y0, x1), (y1, x1), (y1, x0)
