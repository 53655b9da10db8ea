"""Lookout: tells the worker what a person looks at, so that it gets ready for the next click."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam2.core.masks import EMPTY_BOX, Box

if TYPE_CHECKING:
    from napari_sam2.plugin.binding import Binding
    from napari_sam2.plugin.controller import Controller


class Lookout:
    """The part of a controller that follows the sliders for the worker.

    Parameters
    ----------
    controller : Controller
        Whose image is looked at.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._frame, self._direction = 0, 1

    def look(self) -> None:
        """Tell what is shown now: another image, object or model."""
        binding = self._controller.binding
        self.follow(None if binding is None else binding.bridge.current_frame)

    def follow(self, frame: int | None) -> None:
        """Tell that the sliders went to a frame, or to none."""
        binding = self._controller.binding
        if binding is None or not self._controller.settings.ahead:
            return
        if frame is None:
            binding.engine.look_away()
            return
        if frame != self._frame:
            self._direction = 1 if frame > self._frame else -1
        self._frame = frame
        box = _box_on(binding, self._controller.active_object, frame)
        binding.engine.look_ahead(frame, self._direction, box)

    def leave(self, binding: Binding) -> None:
        """Tell that an image is no longer looked at."""
        binding.engine.look_away()


def _box_on(binding: Binding, object_id: int, frame: int) -> Box | None:
    session = binding.session
    record = session.record(object_id, frame) if object_id in session.objects else None
    return None if record is None or record.box == EMPTY_BOX else record.box
