"""The thin frame around the window in which the model looked at the active object."""

from __future__ import annotations

from typing import Any

from napari_sam2.core.geometry import PromptBox, outline_of_pixels
from napari_sam2.plugin.following import FrameDrawing


class WindowFrame(FrameDrawing):
    """Follows the active object; draws nothing where the whole frame was looked at."""

    _object_id = 0

    def open(self) -> None:
        """Begin to follow."""
        super().open()
        self._session.frame_committed.connect(self._on_frame)

    def close(self) -> None:
        """Stop following; what was drawn goes."""
        super().close()
        self._session.frame_committed.disconnect(self._on_frame, missing_ok=True)

    def follow(self, object_id: int) -> None:
        """Show the windows of this object from now on."""
        self._object_id = object_id
        self.draw()

    def draw(self, _event: Any = None) -> None:
        """Show the window of the object on the frame that is shown, if it was looked at in one."""
        self._sketch.show_window(self._window())

    def clear(self) -> None:
        """Show none."""
        self._sketch.show_window(None)

    def _on_frame(self, frame: int) -> None:
        if frame == self._current_frame():
            self.draw()

    def _window(self) -> tuple[int, PromptBox] | None:
        frame = self._current_frame()
        if frame is None or self._object_id not in self._session.objects:
            return None
        record = self._session.record(self._object_id, frame)
        if record is None or record.view is None:
            return None
        return frame, outline_of_pixels(record.view)
