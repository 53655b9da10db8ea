"""LayerBridge: the only reader and writer of the napari layers of a session. It holds references, never names."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import CyclicLabelColormap, label_colormap
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_sam2.core.errors import LabelsError
from napari_sam2.core.ids import FrameIndex
from napari_sam2.core.masks import EMPTY_BOX, Box
from napari_sam2.core.session import Session
from napari_sam2.core.state import SessionState, changed_frames
from napari_sam2.plugin.candidates import CandidateContours
from napari_sam2.plugin.choices import shape_of
from napari_sam2.plugin.painting import Brush
from napari_sam2.plugin.positions import (
    SPATIAL,
    current_index,
    matrix_of,
    place_like,
    source_of,
    spatial_attributes,
    to_world,
)
from napari_sam2.plugin.prompt_layers import PromptLayers
from napari_sam2.plugin.settings import PluginSettings
from napari_sam2.plugin.window_frame import WindowFrame

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer

logger = logging.getLogger(__name__)

MARK = "napari_sam2"
"""Key in `layer.metadata` of the layers that are ours."""

_FIRST_COLORS = (
    "#56B4E9",
    "#E69F00",
    "#CC79A7",
    "#F0E442",
    "#0072B2",
    "#B5E48C",
    "#9B5DE5",
    "#A0522D",
)
"""Of the first objects: told apart with any colour vision, and none is that of a positive or a negative click."""


class LayerBridge:
    """Draws one session into a viewer: prompts, boxes and labels of one image.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers live.
    image : Image
        The layer that is annotated; never changed.
    session : Session
        What is drawn.
    settings : PluginSettings
        Sizes, opacity and how often to redraw.
    """

    layer_lost = Signal(
        object, description="One of the session's layers was removed by somebody else."
    )

    def __init__(
        self, viewer: ViewerModel, image: Image, session: Session, settings: PluginSettings
    ) -> None:
        self._viewer, self.image, self.session = viewer, image, session
        self.labels: Labels | None = None
        self._pixels: np.ndarray | None = None
        self.prompts = PromptLayers(viewer, image, session, settings)
        following = viewer, session, self.prompts.sketch, lambda: self.current_frame
        self.window, self.candidates = WindowFrame(*following), CandidateContours(*following)
        self.brush = Brush(viewer, session, lambda: self.current_frame, self._redraw)
        self._settings = settings
        self._is_stale = False
        self._drawn = SessionState()
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(round(1000 / settings.refresh_per_second))
        self._timer.timeout.connect(self._refresh_if_stale)

    # Life

    def open(self) -> None:
        """Make the layers, or take up those of last time, draw everything, and follow the session from now on."""
        if self.labels is None or self.labels not in self._viewer.layers:
            self.labels, self._drawn = self._new_labels(), SessionState()
        self._catch_up()
        self.prompts.open()
        self.window.open()
        self.candidates.open()
        self._follow_image()
        for name in SPATIAL:
            getattr(self.image.events, name).connect(self._follow_image)
        self.session.frame_committed.connect(self._write)
        self.session.history_changed.connect(self.prompts.draw)
        self.session.run_finished.connect(self._tidy_up)
        self.brush.open(self.labels)
        self._viewer.layers.events.removed.connect(self._on_removed)
        self._viewer.layers.selection.active = self.prompts.points

    def close(self) -> None:
        """Stop following; the layers stay."""
        self._timer.stop()
        self._drawn = self.session.state
        for name in SPATIAL:
            getattr(self.image.events, name).disconnect(self._follow_image)
        self.session.frame_committed.disconnect(self._write, missing_ok=True)
        self.session.history_changed.disconnect(self.prompts.draw, missing_ok=True)
        self.session.run_finished.disconnect(self._tidy_up, missing_ok=True)
        self.brush.close()
        self.candidates.close()
        self.window.close()
        self.prompts.close()
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def take_over(self, earlier: LayerBridge) -> None:
        """Use the layers of another bridge of the same image, whose session is empty."""
        self.labels, self._pixels = earlier.labels, earlier._pixels
        self.prompts.take_over(earlier.prompts)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that are ours and there."""
        ours = (self.labels, self.prompts.points, self.prompts.boxes)
        return tuple(layer for layer in ours if layer is not None)

    def _follow_image(self, _event: Any = None) -> None:
        """Lie on the image, wherever it is moved: clicks are counted in its pixels."""
        for layer in self.layers:
            if layer in self._viewer.layers:
                place_like(layer, self.image)

    def _on_removed(self, event: Any) -> None:
        if event.value in (self.image, *self.layers):
            self.layer_lost.emit(event.value)

    # Labels

    def _new_labels(self) -> Labels:
        self._pixels = self._blank_labels()
        return self._viewer.add_labels(
            self._pixels,
            name=f"{self.image.name} SAM2 labels",
            opacity=self._settings.labels_opacity,
            colormap=_object_colors(),
            metadata={
                MARK: {
                    "role": "labels",
                    "image": self.image.name,
                    "source": source_of(self.image),
                }
            },
            **spatial_attributes(self.image),
        )

    def _blank_labels(self) -> np.ndarray:
        shape, dtype = shape_of(self.image), self.session.labels_dtype
        try:
            return np.zeros(shape, dtype)
        except (
            MemoryError,
            ValueError,
        ) as error:  # ValueError: more bytes than an address can name
            size = math.prod(shape) * dtype.itemsize / 2**30
            raise LabelsError(
                f"labels of '{self.image.name}' would take {size:.3g} GiB of memory",
                remedy="crop the image, or use the command napari-sam2 run",
            ) from error

    def _catch_up(self) -> None:
        """Draw what has changed since the layers were last followed."""
        drawn, now = self._drawn, self.session.state
        changed = {t for _, t in changed_frames(drawn, now)}
        if drawn.existing is not now.existing:
            changed.update(map(FrameIndex, range(len(self.session.frames))))
        for frame in sorted(changed):
            self._plane(frame)[:] = self.session.project(frame)
        self.labels.refresh()

    def _write(self, frame: int, box: Box) -> None:
        """Project the part of a frame that changed, and show it if that frame is shown."""
        if box == EMPTY_BOX:
            return
        y0, x0, y1, x1 = box
        self._plane(frame)[y0:y1, x0:x1] = self.session.project(frame, box)
        self._refresh_soon(frame)

    def _redraw(self, frame: int) -> None:
        """Show the session on a whole frame, whatever was painted there."""
        self._plane(frame)[:] = self.session.project(frame)
        self._refresh_soon(frame)

    def _refresh_soon(self, frame: int) -> None:
        if self.is_shown(frame):
            self._is_stale = True
            if not self._timer.isActive():
                self._refresh_if_stale()

    def _plane(self, frame: int) -> np.ndarray:
        """Return a frame of the labels as a view that can be written to, rows first."""
        if self.labels.data is not self._pixels:
            self._put_back()
        plane = self._pixels[self.session.stack_view.frame_key(frame)]
        return plane.T if self.session.stack_view.is_transposed else plane

    def _put_back(self) -> None:
        """Show our own pixels again: what somebody put in their place is not ours to write to, or cannot be."""
        logger.warning(
            "the pixels of '%s' were replaced; the labels of the session are shown again, add a layer for others",
            self.labels.name,
        )
        self.labels.data = self._pixels

    def _refresh_if_stale(self) -> None:
        if self._is_stale:
            self._is_stale = False
            self.labels.refresh(thumbnail=False, highlight=False, extent=False)
            self._timer.start()

    def _tidy_up(self) -> None:
        """After a run: everything is drawn, with its thumbnail."""
        self._is_stale = False
        self.labels.refresh()

    # Where the viewer stands

    @property
    def current_frame(self) -> int | None:
        """The frame that the sliders stand at, if it is one of the session's."""
        index = [round(at) for at in current_index(self.image, self._viewer)]
        view = self.session.stack_view
        frame = int(view.frame_at(index)) if view.is_on(index) else -1
        return frame if 0 <= frame < len(self.session.frames) else None

    def show_frame(self, frame: int) -> None:
        """Move the sliders to a frame."""
        index = list(current_index(self.image, self._viewer))
        moved = self.session.stack_view.standing(frame)
        for axis, at in moved.items():
            index[axis] = at
        world = to_world(self.image, self._viewer, index)
        extra = self._viewer.dims.ndim - self.image.ndim
        for axis in moved:
            self._viewer.dims.set_point(axis + extra, world[axis])

    @property
    def shows_only_active(self) -> bool:
        """Whether the masks of all other objects are hidden."""
        return self.labels is not None and self.labels.show_selected_label

    def show_only_active(self, is_only: bool) -> None:
        """Hide the masks of all objects but the active one, or show them again."""
        self.labels.show_selected_label = is_only

    def toggle_visible(self) -> None:
        """Hide all our layers, or show them again."""
        is_visible = not any(layer.visible for layer in self.layers)
        for layer in self.layers:
            layer.visible = is_visible

    def is_shown(self, frame: int) -> bool:
        """Say whether a frame can be seen now."""
        return self._viewer.dims.ndisplay == 3 or self.current_frame == frame

    def pixels_on_screen(self, distance: float) -> float:
        """Return how many frame pixels a distance on the screen covers."""
        row, column = self.session.stack_view.row_axis, self.session.stack_view.column_axis
        matrix = matrix_of(self.image)[:-1]
        size = min(np.linalg.norm(matrix[:, row]), np.linalg.norm(matrix[:, column]))
        return float(distance / max(self._viewer.scene.camera.zoom * size, 1e-9))

    def object_at(self, frame: int, y: float, x: float) -> int:
        """Return the object drawn at a position, 0 if there is none."""
        plane = self._plane(frame)
        row, column = round(y), round(x)
        inside = 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]
        return int(plane[row, column]) if inside else 0

    def color_of(self, object_id: int) -> tuple[float, ...]:
        """Return the colour of an object in the labels, RGBA from 0 to 1."""
        color = None if self.labels is None else self.labels.get_color(object_id)
        return (0.5, 0.5, 0.5, 1.0) if color is None else tuple(float(part) for part in color)

    def mark_active(self, object_id: int) -> None:
        """Let the labels layer point at the active object, and show its window."""
        self.window.follow(object_id)
        self.candidates.follow(object_id)
        if self.labels is not None and self.labels.selected_label != object_id:
            self.labels.selected_label = object_id


def _object_colors() -> CyclicLabelColormap:
    colors = label_colormap(49).colors.copy()
    first = [[int(code[at : at + 2], 16) / 255 for at in (1, 3, 5)] for code in _FIRST_COLORS]
    colors[1 : len(first) + 1, :3] = first
    colors[1 : len(first) + 1, 3] = 1
    return CyclicLabelColormap(colors=colors)
