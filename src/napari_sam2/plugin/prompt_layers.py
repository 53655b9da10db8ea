"""The prompts of a session as napari layers: drawn from the session, never read back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_sam2.core.session import Session
from napari_sam2.plugin.positions import spatial_attributes
from napari_sam2.plugin.settings import PluginSettings
from napari_sam2.plugin.sketch import Sketch

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Points, Shapes

# Okabe and Ito's blue-green and vermilion can be told apart with any colour vision, and the symbols differ too.
POSITIVE, NEGATIVE = "#009E73", "#D55E00"


class MovedPoint(NamedTuple):
    """A point of an object on its way elsewhere; positions (y, x), frame pixels."""

    object_id: int
    frame: int
    position: tuple[float, float]
    to: tuple[float, float]


class PromptLayers:
    """Draws points, and the sketch beside them. People edit points through the session, so they are read-only."""

    def __init__(
        self, viewer: ViewerModel, image: Image, session: Session, settings: PluginSettings
    ) -> None:
        self._viewer, self._image, self._session = viewer, image, session
        self._point_size = settings.point_size
        self.points: Points | None = None
        self.sketch = Sketch(viewer, image, session)
        self._drawn: object = None
        self._moved: MovedPoint | None = None

    @property
    def boxes(self) -> Shapes | None:
        """The layer of the sketch, once there is anything on it."""
        return self.sketch.layer

    def open(self) -> None:
        """Make the points layer, or take up that of last time, and draw."""
        if self.points is None or self.points not in self._viewer.layers:
            self.points = self._new_points()
        self.points.events.editable.connect(self._stay_read_only)
        self.sketch.open()
        self._drawn = None
        self.draw()

    def close(self) -> None:
        """Stop guarding the layers; they stay."""
        self._moved = None
        self.sketch.close()
        if self.points is not None:
            self.points.events.editable.disconnect(self._stay_read_only)

    def take_over(self, earlier: PromptLayers) -> None:
        """Use the layers of others of the same image."""
        self.points, self.sketch.layer = earlier.points, earlier.sketch.layer

    def draw(self) -> None:
        """Draw all prompts, if they are not what was drawn last."""
        prompts = self._session.prompts
        if prompts != self._drawn:
            self._drawn = prompts
            self._draw_points()
            self.sketch.draw_anew()

    def show_hint(self, place: tuple[int, tuple[int, int]] | None) -> None:
        """Show a pixel (frame, (y, x)) that is worth a click, or none."""
        self.sketch.show_hint(place)

    def show_moved(self, moved: MovedPoint | None) -> None:
        """Show a point where it is dragged to, or where it is."""
        if moved != self._moved:
            self._moved = moved
            self._draw_points()

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
        self._stay_read_only()

    def _point_rows(self) -> Iterator[tuple[tuple[float, ...], int, int, bool]]:
        for item in self._session.prompts:
            for said in item.frames:
                for step in said.steps:
                    for place, positive in zip(step.points, step.positives, strict=True):
                        y, x = self._shown_at(item.object_id, said.frame, place)
                        index = self._session.stack_view.lift(said.frame, y, x)
                        yield index, item.object_id, said.frame, positive

    def _shown_at(
        self, object_id: int, frame: int, place: tuple[float, float]
    ) -> tuple[float, float]:
        moved = self._moved
        is_moved = moved is not None and moved[:3] == (object_id, frame, place)
        return moved.to if is_moved else place

    def _stay_read_only(self, _event: Any = None) -> None:
        if self.points is not None and self.points.editable:
            self.points.editable = False
