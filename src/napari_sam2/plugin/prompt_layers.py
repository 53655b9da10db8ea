"""The points and boxes of a session as napari layers: drawn from the session, never read back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.core.geometry import PromptBox
from napari_sam2.core.session import Session
from napari_sam2.plugin.positions import spatial_attributes
from napari_sam2.plugin.settings import PluginSettings

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Points, Shapes

# Okabe and Ito's blue-green and vermilion can be told apart with any colour vision, and the symbols differ too.
POSITIVE, NEGATIVE = "#009E73", "#D55E00"
BOX = "cyan"
WINDOW = "#FFFFFF80"
"""Thin and half transparent: it tells where the model looked, and is nothing that a person said."""

CANDIDATE = "#FFFFFFB0"
"""White: an answer that was not chosen."""

HINT = "#F0E442"
"""Yellow: a place worth a click."""


class PromptLayers:
    """Draws points, and boxes once there are any. People edit prompts through the session, so both are read-only."""

    def __init__(
        self, viewer: ViewerModel, image: Image, session: Session, settings: PluginSettings
    ) -> None:
        self._viewer, self._image, self._session = viewer, image, session
        self._point_size = settings.point_size
        self.points: Points | None = None
        self.boxes: Shapes | None = None
        self._drawn: object = None
        self._draft: tuple[int, PromptBox] | None = None
        self._window: tuple[int, PromptBox] | None = None
        self._hint: tuple[int, tuple[int, int]] | None = None
        self._contours: tuple[tuple[int, np.ndarray], ...] = ()

    def open(self) -> None:
        """Make the points layer, or take up that of last time, and draw."""
        if self.points is None or self.points not in self._viewer.layers:
            self.points = self._new_points()
        if self.boxes is not None and self.boxes not in self._viewer.layers:
            self.boxes = None
        self.points.events.editable.connect(self._stay_read_only)
        self._drawn = None
        self.draw()

    def close(self) -> None:
        """Stop guarding the layers; they stay."""
        self._draft = None
        for layer in (self.points, self.boxes):
            if layer is not None:
                layer.events.editable.disconnect(self._stay_read_only)

    def draw(self) -> None:
        """Draw all prompts, if they are not what was drawn last."""
        prompts = self._session.prompts
        if prompts != self._drawn:
            self._drawn, self._hint = prompts, None
            self._draw_points()
            self._draw_boxes()
            self._stay_read_only()

    def show_draft(self, frame: int, box: PromptBox) -> None:
        """Show a box while it is being drawn."""
        self._draft = frame, box
        self._draw_boxes()

    def show_window(self, window: tuple[int, PromptBox] | None) -> None:
        """Show which window of a frame the model looked at, (frame, box), or none."""
        if window != self._window:
            self._window = window
            self._draw_boxes()

    def show_hint(self, place: tuple[int, tuple[int, int]] | None) -> None:
        """Show a pixel (frame, (y, x)) that is worth a click, or none."""
        if place != self._hint:
            self._hint = place
            self._draw_boxes()

    def show_contours(self, contours: tuple[tuple[int, np.ndarray], ...]) -> None:
        """Show closed paths (frame, (N, 2) of (y, x)), or none."""
        if contours or self._contours:
            self._contours = contours
            self._draw_boxes()

    def hide_draft(self) -> None:
        """Show only what the session holds."""
        if self._draft is not None:
            self._draft = None
            self._draw_boxes()

    # Points

    def _new_points(self) -> Points:
        points = self._viewer.add_points(
            np.empty((0, self._image.ndim)),
            ndim=self._image.ndim,
            name=f"{self._image.name} SAM2 points",
            # Screen units: larger than the upper limit at any useful zoom. A lower limit would thicken the border.
            size=max(1.0, max(self._session.frames.shape) / 20),
            canvas_size_limits=(0, self._point_size),
            border_color="white",
            border_width=0.12,
            features={name: [] for name in ("object_id", "frame", "positive", "order")},
            metadata={"napari_sam2": {"role": "points", "image": self._image.name}},
            **spatial_attributes(self._image),
        )
        points.editable = False
        return points

    def _draw_points(self) -> None:
        rows = list(self._point_rows())
        points = self.points
        points.selected_data = set()
        points.data = np.array([row[0] for row in rows]).reshape(-1, self._image.ndim)
        if rows:
            signs = [row[3] for row in rows]
            points.features = {
                "object_id": [row[1] for row in rows],
                "frame": [row[2] for row in rows],
                "positive": signs,
                "order": list(range(len(rows))),
            }
            points.symbol = ["disc" if positive else "x" for positive in signs]
            points.face_color = [POSITIVE if positive else NEGATIVE for positive in signs]

    def _point_rows(self) -> Iterator[tuple[tuple[float, ...], int, int, bool]]:
        for item in self._session.prompts:
            for said in item.frames:
                for step in said.steps:
                    for (y, x), positive in zip(step.points, step.positives, strict=True):
                        index = self._session.stack_view.lift(said.frame, y, x)
                        yield index, item.object_id, said.frame, positive

    # Boxes

    def _draw_boxes(self) -> None:
        rectangles = [self._corners(*place) for place in self._box_places()]
        colors, widths = [BOX] * len(rectangles), [self._edge_width] * len(rectangles)
        if self._window is not None:
            rectangles.append(self._corners(*self._window))
            colors.append(WINDOW)
            widths.append(self._edge_width / 2)
        if self._hint is not None:
            rectangles.append(self._corners(*self._around_hint))
            colors.append(HINT)
            widths.append(self._edge_width)
        if self.boxes is None or self.boxes not in self._viewer.layers:
            if not rectangles and not self._contours:
                return
            self.boxes = self._new_boxes()
        boxes = self.boxes
        boxes.selected_data = set()
        boxes.data = []
        if rectangles:
            boxes.add_rectangles(
                rectangles,
                edge_width=widths,
                edge_color=colors,
                face_color="transparent",
            )
        if self._contours:
            boxes.add_polygons(
                [self._lifted(*item) for item in self._contours],
                edge_width=self._edge_width / 2,
                edge_color=CANDIDATE,
                face_color="transparent",
            )
        self._stay_read_only()

    def _new_boxes(self) -> Shapes:
        active = self._viewer.layers.selection.active
        boxes = self._viewer.add_shapes(
            None,
            ndim=self._image.ndim,
            name=f"{self._image.name} SAM2 boxes",
            metadata={"napari_sam2": {"role": "boxes", "image": self._image.name}},
            **spatial_attributes(self._image),
        )
        boxes.editable = False
        boxes.events.editable.connect(self._stay_read_only)
        # A new layer takes the selection: give it back, or the mouse would stop meaning prompts.
        self._viewer.layers.selection.active = active
        return boxes

    def _box_places(self) -> Iterator[tuple[int, PromptBox]]:
        for item in self._session.prompts:
            for said in item.frames:
                yield from ((said.frame, step.box) for step in said.steps if step.box is not None)
        if self._draft is not None:
            yield self._draft

    def _corners(self, frame: int, box: PromptBox) -> list[tuple[float, ...]]:
        y0, x0, y1, x1 = box
        corners = ((y0, x0), (y0, x1), (y1, x1), (y1, x0))
        return self._lifted(frame, corners)

    def _lifted(self, frame: int, path: Iterable[Sequence[float]]) -> list[tuple[float, ...]]:
        return [self._session.stack_view.lift(frame, y, x) for y, x in path]

    @property
    def _around_hint(self) -> tuple[int, PromptBox]:
        frame, (y, x) = self._hint
        reach = 4 * self._edge_width
        return frame, (y - reach, x - reach, y + reach, x + reach)

    @property
    def _edge_width(self) -> float:
        return max(0.5, max(self._session.frames.shape) / 250)

    def _stay_read_only(self, _event: Any = None) -> None:
        for layer in (self.points, self.boxes):
            if layer is not None and layer.editable:
                layer.editable = False
