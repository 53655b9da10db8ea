"""Adopting: labels that somebody else made become prompts, or are protected."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_sam2.core.arrays import ArrayLikeStack
from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import LabelsError
from napari_sam2.plugin.choices import pixels_of, shape_of
from napari_sam2.plugin.state import Choice, Message

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam2.plugin.controller import Controller

Way = Literal["frame", "once", "all", "protect", "release"]
"""What is done with labels: prompts on the frame that is shown, on one frame an object, on all frames; or none."""


class Adopting:
    """The part of a controller that takes labels layers of the viewer.

    Parameters
    ----------
    controller : Controller
        Whose session gets them.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._kept: weakref.WeakSet[Labels] = weakref.WeakSet()
        """Layers whose numbers are those of objects."""

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The labels layers of the viewer beside our own, top-most first."""
        from napari.layers import Labels

        binding = self._controller.binding
        if binding is None:
            return ()
        return tuple(
            Choice(layer, layer.name)
            for layer in reversed(self._controller.viewer.layers)
            if isinstance(layer, Labels) and layer is not binding.bridge.labels
        )

    def use(self, way: Way, layer: Labels | None = None) -> None:
        """Do something with a labels layer; "release" needs none."""
        with self._controller.reporting():
            session = self._controller.require_session()
            if way == "release":
                session.use_existing(None)
                return
            stack = self._stack_of(layer)
            if way == "protect":
                session.use_existing(stack)
                self._stand_clear()
                text = f"No mask covers '{layer.name}', and it is part of the labels."
                self._controller.message = Message(text, "done")
            else:
                self._prompt(way, layer, stack)

    def _prompt(self, way: Way, layer: Labels, stack: ArrayLikeStack) -> None:
        session = self._controller.session
        frames = [self._controller.review.frame] if way == "frame" else range(len(session.frames))
        as_new = layer not in self._kept and self._is_taken(stack, frames)
        if way == "frame":
            (frame,) = frames
            found = session.add_labels(frame, np.asarray(stack[frame]), as_new=as_new)
        else:
            found = session.add_labels_stack(stack, as_new=as_new, once=way == "once")
        if not as_new:
            self._kept.add(layer)
        if self._controller.active_object not in session.objects:
            self._controller.activate(found[0])
        count = "1 object has a mask" if len(found) == 1 else f"{len(found)} objects have masks"
        where = f" on frame {frames[0]}" if way == "frame" else ""
        numbers = f" New numbers from {found[0]} on: theirs were taken." if as_new else ""
        self._controller.message = Message(f"{count}{where} from '{layer.name}'.{numbers}", "done")

    def _stack_of(self, layer: Labels) -> ArrayLikeStack:
        image, view = self._controller.binding.image, self._controller.session.stack_view
        if shape_of(layer) != shape_of(image):
            raise LabelsError(
                f"'{layer.name}' has shape {shape_of(layer)}, '{image.name}' has {shape_of(image)}",
                remedy="choose labels of this image: one value for every pixel of every frame",
            )
        return as_stack(pixels_of(layer), view)

    def _is_taken(self, stack: ArrayLikeStack, frames: Any) -> bool:
        """Say whether one of the labels is the number of something else."""
        session = self._controller.session
        existing = session.state.existing
        taken = [*session.objects, *(() if existing is None else existing.ids)]
        return bool(taken) and any(np.isin(stack[t], taken).any() for t in frames)

    def _stand_clear(self) -> None:
        """Let the next click begin an object if the active one would have the number of a label."""
        session = self._controller.session
        if self._controller.active_object in session.state.existing.ids:
            self._controller.activate(session.next_object_id)


def as_stack(data: Any, view: StackView) -> ArrayLikeStack:
    """Return an n-D array as frames (T, Y, X); one whose axes are in this order is taken as it is, and read lazily."""
    if view == StackView(0, 1, 2):
        return data
    index: list[Any] = [slice(None)] * view.ndim
    for axis, at in view.fixed:
        index[axis] = at
    order = (view.volume_axis, view.frame_axis, view.row_axis, view.column_axis)
    used = [axis for axis in order if axis is not None]
    array = np.asarray(data)[tuple(index)]
    ordered = array.transpose([sorted(used).index(axis) for axis in used])
    return ordered.reshape(-1, *ordered.shape[-2:])
