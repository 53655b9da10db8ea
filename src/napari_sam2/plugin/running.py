"""Running: propagations, from the wish to what is said when they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam2.core.errors import NapariSam2Error
from napari_sam2.core.messages import Direction
from napari_sam2.core.run import Run
from napari_sam2.core.session import Session
from napari_sam2.plugin.activity import ActivityBar
from napari_sam2.plugin.scope import EVERYTHING, Scope
from napari_sam2.plugin.state import Message

if TYPE_CHECKING:
    from napari_sam2.plugin.controller import Controller


class Running:
    """The part of a controller that propagates.

    Parameters
    ----------
    controller : Controller
        Whose session is propagated.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._activity = ActivityBar()
        self.scope = EVERYTHING

    # What a person wants

    def choose_scope(self, scope: Scope) -> None:
        """Propagate these objects over these frames from now on."""
        self.scope = scope
        self._controller.tell()

    def propagate(self, direction: Direction = "both") -> None:
        """Carry what is missing or has changed along the frames, in the worker; after a stop, the rest of it."""
        with self._controller.reporting():
            run = self._begin(direction)
            if run.total:
                self._controller.binding.engine.drive(run, self._on_ended)
            else:
                run.finish()
                text = "Nothing to propagate: every frame is up to date."
                self._controller.message = Message(text, "done")

    def propagate_forward(self) -> None:
        """Carry what has changed to later frames."""
        self.propagate("forward")

    def propagate_backward(self) -> None:
        """Carry what has changed to earlier frames."""
        self.propagate("backward")

    def stop(self) -> None:
        """Stop the run, or the download, and keep what is done; else put down what is in hand."""
        controller = self._controller
        run = None if controller.session is None else controller.session.run
        if run is not None:
            run.cancel()
        if controller.download is not None:
            controller.download.cancel()
        if run is None and controller.download is None:
            controller.put_down()
        controller.tell()

    def _begin(self, direction: Direction) -> Run:
        controller, scope = self._controller, self.scope
        session = controller.require_session()
        # Said only where it is not the default: the log shows these very words.
        less: dict[str, Any] = {}
        if scope.frames != "all":
            here = controller.review.frame if scope.frames == "near" else 0
            less["frames"] = scope.frames_asked(direction, here, len(session.frames))
        if scope.objects == "active":
            less["objects"] = [controller.active_object]
        return session.propagate_changed(direction, **less)

    # What comes back

    def follow(self, session: Session) -> None:
        """Show the runs of a session from now on; they are about everything again."""
        self.scope = EVERYTHING
        session.run_started.connect(self._activity.begin)
        session.run_finished.connect(self._on_finished)
        session.frame_committed.connect(self._on_frame)

    def leave(self, session: Session) -> None:
        """Follow a session no more."""
        session.run_started.disconnect(self._activity.begin, missing_ok=True)
        session.run_finished.disconnect(self._on_finished, missing_ok=True)
        session.frame_committed.disconnect(self._on_frame, missing_ok=True)
        self.close()

    def close(self) -> None:
        """Take the progress bar away."""
        self._activity.end()

    def _on_ended(self, error: NapariSam2Error | None) -> None:
        if error is not None:
            self._controller.fail(error)

    def _on_finished(self, run: Run) -> None:
        self._activity.end()
        if run.is_cancelled and not run.is_complete:
            text = "Stopped. What is done is kept; Shift+S continues there."
            self._controller.message = Message(text, "done")
        self._controller.tell()

    def _on_frame(self) -> None:
        session = self._controller.session
        if session is not None and session.run is not None:
            self._activity.update(session.run)
