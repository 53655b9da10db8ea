"""What is drawn about the frame that is shown, and follows the sliders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_sam2.core.session import Session
from napari_sam2.plugin.sketch import Sketch

if TYPE_CHECKING:
    from napari.components import ViewerModel


class FrameDrawing(ABC):
    """Drawn again whenever the sliders or the history move; `clear` takes it away.

    Parameters
    ----------
    viewer : ViewerModel
        Whose sliders are followed.
    session : Session
        What is drawn about.
    sketch : Sketch
        Draws it beside the boxes.
    current_frame : callable
        The frame that is shown, or None.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        sketch: Sketch,
        current_frame: Callable[[], int | None],
    ) -> None:
        self._viewer, self._session, self._sketch = viewer, session, sketch
        self._current_frame = current_frame

    def open(self) -> None:
        """Begin to follow."""
        self._viewer.dims.events.current_step.connect(self.draw)
        self._session.history_changed.connect(self.draw)
        self.draw()

    def close(self) -> None:
        """Stop following; what was drawn goes."""
        self._viewer.dims.events.current_step.disconnect(self.draw)
        self._session.history_changed.disconnect(self.draw, missing_ok=True)
        self.clear()

    @abstractmethod
    def follow(self, object_id: int) -> None:
        """Be about this object from now on."""

    @abstractmethod
    def draw(self, _event: Any = None) -> None:
        """Show what belongs to the frame that is shown."""

    @abstractmethod
    def clear(self) -> None:
        """Show nothing."""
