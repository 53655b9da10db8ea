"""The thin frame around the window in which the model looked at the active object."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_sam2.core.geometry import PromptBox, outline_of_pixels
from napari_sam2.core.session import Session
from napari_sam2.plugin.prompt_layers import PromptLayers

if TYPE_CHECKING:
    from napari.components import ViewerModel


class WindowFrame:
    """Follows the active object and the sliders; draws nothing where the whole frame was looked at.

    Parameters
    ----------
    viewer : ViewerModel
        Whose sliders are followed.
    session : Session
        Knows the windows.
    prompts : PromptLayers
        Draws the frame beside the boxes.
    current_frame : callable
        The frame that is shown, or None.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        prompts: PromptLayers,
        current_frame: Callable[[], int | None],
    ) -> None:
        self._viewer, self._session, self._prompts = viewer, session, prompts
        self._current_frame = current_frame
        self._object_id = 0

    def open(self) -> None:
        """Begin to follow."""
        self._viewer.dims.events.current_step.connect(self.draw)
        self._session.frame_committed.connect(self._on_frame)
        self._session.history_changed.connect(self.draw)
        self.draw()

    def close(self) -> None:
        """Stop following; what was drawn goes."""
        self._viewer.dims.events.current_step.disconnect(self.draw)
        self._session.frame_committed.disconnect(self._on_frame, missing_ok=True)
        self._session.history_changed.disconnect(self.draw, missing_ok=True)
        self._prompts.show_window(None)

    def follow(self, object_id: int) -> None:
        """Show the windows of this object from now on."""
        self._object_id = object_id
        self.draw()

    def draw(self, _event: Any = None) -> None:
        """Show the window of the object on the frame that is shown, if it was looked at in one."""
        self._prompts.show_window(self._window())

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
