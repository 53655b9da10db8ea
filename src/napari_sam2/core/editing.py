"""Editing: taking back or changing single things that a person said."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from napari_sam2.core import edits
from napari_sam2.core.errors import PromptError
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.prompting import Prompting
from napari_sam2.core.prompts import FramePrompts
from napari_sam2.core.recording import recorded
from napari_sam2.core.validation import Point, check_points


class Editing(Prompting):
    """One point or one box of those on a frame; the answer follows."""

    @recorded
    def remove_point(self, object: int, frame: int, point: Sequence[float]) -> None:
        """Remove one point (y, x) of an object on a frame; with the last thing said about it the object goes.

        The point is named by its position, or by any position on its pixel.

        Raises
        ------
        PromptError
            If there is no such point, or only negative ones would be left.
        """
        at = self._position(point)
        self._edit(object, frame, "remove point", lambda said: edits.without_point(said, at))

    @recorded
    def move_point(
        self, object: int, frame: int, point: Sequence[float], to: Sequence[float]
    ) -> None:
        """Move one point (y, x) of an object on a frame; it keeps its sign and its place in the order."""
        at, target = self._position(point), self._position(to)
        self._edit(
            object, frame, "move point", lambda said: edits.with_point_moved(said, at, target)
        )

    @recorded
    def flip_point(self, object: int, frame: int, point: Sequence[float]) -> None:
        """Make one positive point (y, x) of an object on a frame negative, or a negative one positive."""
        at = self._position(point)
        self._edit(object, frame, "flip point", lambda said: edits.with_point_flipped(said, at))

    @recorded
    def remove_box(self, object: int, frame: int) -> None:
        """Remove the box of an object on a frame; `add_box` replaces it."""
        self._edit(object, frame, "remove box", edits.without_box)

    def _edit(
        self,
        object: int,
        frame: int,
        action: str,
        change: Callable[[FramePrompts], FramePrompts | None],
    ) -> None:
        object_id, frame_idx = self._place(object, frame)
        said = self._said(object_id, frame_idx)
        changed = change(said)
        if changed is None:
            self._act(action, self.state.without_prompts(object_id, frame_idx))
        elif changed != said:
            self._say(object_id, changed, action)

    def _said(self, object_id: ObjectId, frame: FrameIndex) -> FramePrompts:
        self._known(object_id)
        said = self.state.prompts_on(object_id, frame)
        if said is None:
            raise PromptError(
                f"nothing was said about object {object_id} on frame {frame}",
                remedy="name a frame on which the object was prompted",
            )
        return said

    def _position(self, point: Sequence[float]) -> Point:
        positions = list(check_points(point, None, self.frames.shape))
        if len(positions) != 1:
            raise PromptError(
                f"one point (y, x) is needed, got {len(positions)}",
                remedy="edit one point at a time",
            )
        return positions[0]
