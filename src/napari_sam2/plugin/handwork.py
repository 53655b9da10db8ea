"""Handwork: what a person draws on the canvas becomes prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.core.errors import NapariSam2Error, PromptError
from napari_sam2.core.ids import ObjectId
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.session import Session
from napari_sam2.plugin.mouse import Gesture, MouseIntents, World
from napari_sam2.plugin.outlining import Outline
from napari_sam2.plugin.painting import Stroke
from napari_sam2.plugin.prompt_layers import NEGATIVE, POSITIVE, MovedPoint
from napari_sam2.plugin.shaping import PlacedPoint
from napari_sam2.plugin.state import Message

if TYPE_CHECKING:
    from napari_sam2.plugin.binding import Binding
    from napari_sam2.plugin.controller import Controller


class Handwork:
    """The part of a controller that takes strokes and outlines.

    Parameters
    ----------
    controller : Controller
        Whose session gets them.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._grabbed: PlacedPoint | None = None

    def bind(self, binding: Binding) -> None:
        """Listen to what is drawn on the layers of an image."""
        for signal, handler in self._signals(binding):
            signal.connect(handler)
        binding.bridge.labels.events.mode.connect(self._controller.tools.show)

    def unbind(self, binding: Binding) -> None:
        """Listen no more."""
        for signal, handler in self._signals(binding):
            signal.disconnect(handler, missing_ok=True)
        binding.bridge.labels.events.mode.disconnect(self._controller.tools.show)

    def _signals(self, binding: Binding) -> tuple:
        brush, sketch = binding.bridge.brush, binding.bridge.prompts.sketch
        return (
            (brush.painted, self.paint),
            (brush.refused, self._controller.fail),
            (brush.label_chosen, self.choose_label),
            (sketch.outlined, self.outline),
            (sketch.refused, self._controller.fail),
            (sketch.mode_changed, self._controller.tools.show),
        )

    # Painting

    def paint(self, stroke: Stroke) -> None:
        """Take a finished stroke on the labels layer."""
        with self._controller.reporting():
            self._controller.binding.check_current()
            session = self._controller.session
            locked = {
                item for item in session.objects if session.state.is_locked(item, stroke.frame)
            }
            mask = PackedMask.from_array(stroke.mask)
            changed = session.paint(stroke.label, stroke.frame, mask)
            self._controller.message = _about(stroke, changed, locked, session)

    def choose_label(self, label: int) -> None:
        """Let the label that is painted with be the active object."""
        existing = self._controller.session.state.existing
        is_taken = existing is not None and label in existing.ids
        if label != self._controller.active_object and not is_taken:
            self._controller.activate(label)

    # Outlines

    def outline(self, outline: Outline) -> None:
        """Take a finished shape as a prompt of the active object."""
        controller = self._controller
        with controller.reporting():
            controller.binding.check_current()
            if outline.kind == "box":
                (y0, x0), (y1, x1) = outline.path.min(axis=0), outline.path.max(axis=0)
                self._session.add_box(self._active, outline.frame, (y0, x0, y1, x1))
            elif outline.kind == "polygon":
                self._session.add_polygon(self._active, outline.frame, outline.path)
            else:
                self._scribble(outline.frame, outline.path)

    # With the mouse, while nothing else is in hand

    @property
    def intents(self) -> MouseIntents:
        """What the mouse does."""
        is_clicking, click = self._controller.tools.is_clicking, self._controller.click
        return MouseIntents(is_clicking, click, self.grabs, self.show_draft, self.finish, self.drop)

    def grabs(self, world: World) -> bool:
        """Take hold of the point of the active object under the pointer; say whether there is one."""
        controller = self._controller
        try:
            self._grabbed = controller.shaping.point_under(controller.binding.index_of(world))
        except NapariSam2Error:
            self._grabbed = None  # a click there will say why
        return self._grabbed is not None

    def show_draft(self, gesture: Gesture, way: Sequence[World]) -> None:
        """Show what is being drawn."""
        with self._controller.reporting():
            frame, path = self._path_of(way)
            prompts = self._controller.binding.bridge.prompts
            if gesture == "box":
                prompts.sketch.show_draft(frame, (*path[0], *path[-1]))
            elif gesture == "scribble":
                color = POSITIVE if self._controller.is_positive else NEGATIVE
                prompts.sketch.show_scribble(frame, path, color)
            else:
                prompts.show_moved(self._moved_to(path[-1]))

    def finish(self, gesture: Gesture, way: Sequence[World]) -> None:
        """Take what was drawn as a prompt of the active object."""
        with self._controller.reporting():
            self.drop()
            self._controller.follow_display()
            frame, path = self._path_of(way)
            if gesture == "box":
                self._session.add_box(self._active, frame, (*path[0], *path[-1]))
            elif gesture == "scribble":
                self._scribble(frame, path)
            else:
                self._move_point(frame, tuple(path[-1]))

    def drop(self) -> None:
        """Show no draft any more."""
        prompts = self._controller.binding.bridge.prompts
        prompts.sketch.hide_draft()
        prompts.show_moved(None)

    def _path_of(self, way: Sequence[World]) -> tuple[int, np.ndarray]:
        """Return the frame of a way and its (N, 2) of (y, x), frame pixels."""
        index_of, view = self._controller.binding.index_of, self._session.stack_view
        places = [view.to_frame(index_of(world)) for world in way]
        if len({frame for frame, _, _ in places}) > 1:
            raise PromptError(
                "it was drawn over several frames", remedy="draw it without moving the sliders"
            )
        return places[0][0], np.array([(y, x) for _, y, x in places])

    def _scribble(self, frame: int, path: np.ndarray) -> None:
        is_positive = self._controller.is_positive
        self._session.add_scribble(self._active, frame, path, is_positive)

    def _move_point(self, frame: int, to: tuple[float, float]) -> None:
        """Move the point that was grabbed; out of the image it stays where it was."""
        grabbed, shape = self._grabbed, self._session.frames.shape
        is_inside = all(-0.5 <= at < size - 0.5 for at, size in zip(to, shape, strict=True))
        if is_inside and frame == grabbed.frame:
            self._session.move_point(self._active, frame, grabbed.position, to)

    def _moved_to(self, place: Sequence[float]) -> MovedPoint:
        grabbed = self._grabbed
        to = float(place[0]), float(place[1])
        return MovedPoint(self._active, grabbed.frame, grabbed.position, to)

    # Small steps

    @property
    def _session(self) -> Session:
        return self._controller.session

    @property
    def _active(self) -> int:
        return self._controller.active_object


def _about(
    stroke: Stroke, changed: tuple[ObjectId, ...], locked: set[ObjectId], session: Session
) -> Message:
    """Return what a stroke has done, in words."""
    if not changed:
        return Message("Nothing was painted: labels that were there before are protected.")
    gone = [item for item in changed if item not in session.objects]
    kept = [item for item in changed if item not in gone and item != stroke.label]
    unlocked = [item for item in kept if item not in locked]
    sentences = []
    if stroke.label:
        sentences.append(f"Painted object {stroke.label}: locked on frame {stroke.frame}.")
        if kept:
            sentences.append(f"{_named(kept)} gave up pixels and {_is(kept)} locked here too.")
    elif kept:
        sentences.append(f"Erased from {_named(kept).lower()}: locked on frame {stroke.frame}.")
    if stroke.label and len(unlocked) < len(kept):
        sentences.append("Ctrl+Z gives a locked frame back.")
    if gone:
        sentences.append(f"{_named(gone)} {_is(gone)} gone: nothing else was said about it.")
    return Message(" ".join(sentences), "done")


def _named(objects: list[ObjectId]) -> str:
    return ("Object " if len(objects) == 1 else "Objects ") + ", ".join(map(str, objects))


def _is(objects: list[ObjectId]) -> str:
    return "is" if len(objects) == 1 else "are"
