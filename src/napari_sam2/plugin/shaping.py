"""Shaping: what is done to single prompts and to whole objects."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from napari_sam2.core.edits import clicks_of
from napari_sam2.core.session import Session
from napari_sam2.plugin.state import Message

if TYPE_CHECKING:
    from napari_sam2.plugin.controller import Controller

NEAR_ON_SCREEN = 8.0
"""A pointer so near to a point, in screen pixels, is on it."""

SAME_CLICK = 1.5
"""Clicks that lie closer together than this, in frame pixels, are about the same point."""


class PlacedPoint(NamedTuple):
    """A point that a person set. `position`: (y, x), frame pixels."""

    frame: int
    position: tuple[float, float]
    is_positive: bool


class Shaping:
    """The part of a controller that edits prompts and objects.

    Parameters
    ----------
    controller : Controller
        Whose session is edited.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    # Prompts

    def point_clicked(self, index: tuple[float, ...]) -> PlacedPoint | None:
        """Return the point of the active object that a click at a data index is about, if one is there."""
        return self._point_at(index, at_most=SAME_CLICK)

    def point_under(self, index: tuple[float, ...]) -> PlacedPoint | None:
        """Return the point of the active object under a pointer at a data index, if one is there."""
        return self._point_at(index)

    def delete_prompt(self) -> None:
        """Delete the point of the active object under the pointer, or else the last prompt on this frame."""
        with self._controller.reporting():
            session, active = self._controller.require_session(), self._controller.active_object
            frame = self._controller.review.frame
            there = self._point_at(self._pointer())
            if there is not None and there.frame == frame:
                session.remove_point(active, frame, there.position)
                return
            said = session.state.prompts_on(active, frame)
            points = list(clicks_of(said))
            if points:
                session.remove_point(active, frame, points[-1])
            else:
                session.remove_prompts(active, frame)

    def clear_frame(self) -> None:
        """Remove all prompts of the active object on this frame."""
        with self._controller.reporting():
            session = self._controller.require_session()
            session.remove_prompts(self._controller.active_object, self._controller.review.frame)

    # Objects

    def reset_object(self) -> None:
        """Remove all prompts and masks of the active object; the next click begins it anew."""
        with self._controller.reporting():
            session = self._controller.require_session()
            session.remove_object(self._controller.active_object)

    def remove_object(self) -> None:
        """Remove the active object; the one before it, or else after it, becomes active."""
        with self._controller.reporting():
            controller, session = self._controller, self._controller.require_session()
            gone = controller.active_object
            session.remove_object(gone)
            earlier = [item for item in session.objects if item < gone]
            controller.activate(max(earlier, default=min(session.objects, default=gone)))

    def rename(self, object_id: int, name: str) -> None:
        """Call an object by a name."""
        with self._controller.reporting():
            self._controller.require_session().rename(object_id, name)

    def classify(self, object_id: int, class_name: str) -> None:
        """Say which class an object belongs to."""
        with self._controller.reporting():
            self._controller.require_session().classify(object_id, class_name)

    def merge(self, other: int) -> None:
        """Let another object be part of the active one."""
        with self._controller.reporting():
            self._controller.require_session().merge(self._controller.active_object, other)

    def split(self) -> None:
        """Let the active object be another one from this frame on."""
        with self._controller.reporting():
            controller, session = self._controller, self._controller.require_session()
            old, frame = controller.active_object, controller.review.frame
            new = session.split(old, frame)
            controller.activate(new)
            text = f"From frame {frame} on, object {old} is object {new}."
            controller.message = Message(text, "done")

    def show_only_active(self, is_only: bool) -> None:
        """Hide the masks of all other objects, or show them again."""
        with self._controller.reporting():
            self._controller.require_session()
            self._controller.binding.bridge.show_only_active(is_only)

    def trim_before(self) -> None:
        """Let the active object begin on this frame."""
        with self._controller.reporting():
            session = self._controller.require_session()
            session.trim_before(self._controller.active_object, self._controller.review.frame)

    def trim_after(self) -> None:
        """Let the active object end on this frame."""
        with self._controller.reporting():
            session = self._controller.require_session()
            session.trim_after(self._controller.active_object, self._controller.review.frame)

    def untrim(self) -> None:
        """Let the active object be on all frames again."""
        with self._controller.reporting():
            self._controller.require_session().untrim(self._controller.active_object)

    def divide(self) -> None:
        """Let this frame be the last one of the active object; the next clicks start its daughters."""
        with self._controller.reporting():
            controller, session = self._controller, self._controller.require_session()
            mother, frame = controller.active_object, controller.review.frame
            daughters = session.divide(mother, frame)
            controller.activate(daughters[0])
            controller.binding.bridge.show_frame(frame + 1)
            names = " and ".join(map(str, daughters))
            controller.message = Message(
                f"Object {mother} ends on frame {frame}. Click its daughter {daughters[0]}, press M, "
                f"click the other one ({names}).",
            )

    # Small steps

    def _point_at(self, index: tuple[float, ...], at_most: float = math.inf) -> PlacedPoint | None:
        session = self._controller.require_session()
        frame, y, x = session.stack_view.to_frame(index)
        said = session.state.prompts_on(self._controller.active_object, frame)
        near = min(at_most, self._controller.binding.bridge.pixels_on_screen(NEAR_ON_SCREEN))
        points = clicks_of(said)
        distances = {point: math.dist(point, (y, x)) for point in points}
        best = min(distances, key=distances.__getitem__, default=None)
        if best is None or distances[best] > near:
            return None
        return PlacedPoint(frame, best, points[best])

    def _pointer(self) -> tuple[float, ...]:
        position = tuple(self._controller.viewer.cursor.position)
        return self._controller.binding.index_of(position)


def expected_daughters(session: Session) -> tuple[int, ...]:
    """Return the ids of daughters that are still to be clicked."""
    infos = session.infos
    return tuple(
        sorted(
            number
            for number, info in infos.items()
            if info.parent is not None and number not in session.objects
        )
    )
