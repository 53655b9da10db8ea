"""WorkerEngine: a session's way to the model on the worker's thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from napari_sam2.core.cancellation import Cancellation
from napari_sam2.core.errors import InferenceError, NapariSam2Error
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.masks import Box
from napari_sam2.core.messages import (
    FrameResult,
    PromptRequest,
    PromptResult,
    PropagationRequest,
    ResumePoint,
)
from napari_sam2.core.run import Run
from napari_sam2.plugin.ahead import Outlook
from napari_sam2.plugin.recipe import Recipe
from napari_sam2.plugin.worker import AskJob, LoadJob, Reply, RunJob, SafeWorker


class WorkerEngine:
    """Implements `core.Engine`: requests go to the worker, answers come back on the session's thread.

    Parameters
    ----------
    worker : SafeWorker
        The thread that owns the model.
    recipe : Recipe
        What the segmenter is made from.
    refused : callable
        Gets the generation of a prompt that failed, and the error.
    changed : callable
        Called when the engine begins or ends to be busy.
    """

    def __init__(
        self,
        worker: SafeWorker,
        recipe: Recipe,
        refused: Callable[[int, NapariSam2Error], None],
        changed: Callable[[], None],
    ) -> None:
        self.recipe = recipe
        self._worker, self._refused, self._changed = worker, refused, changed
        self.num_waiting = 0
        self.is_loaded = False
        self.mapping: IntensityMapping | None = (
            None  # what the model sees by itself, once it is loaded
        )

    def move_to(self, worker: SafeWorker) -> None:
        """Send requests to another worker from now on; the earlier one answers no more."""
        if worker is not self._worker:
            self._worker, self.num_waiting, self.is_loaded = worker, 0, False

    def load(self, failed: Callable[[NapariSam2Error], None]) -> None:
        """Have the model made ready before the first click."""

        def arrived(reply: Reply) -> None:
            self.is_loaded = reply.kind == "loaded"
            self.mapping = reply.value if self.is_loaded else self.mapping
            self._changed()
            if reply.kind == "error":
                failed(reply.value)

        self._worker.submit(LoadJob(self.recipe), arrived)

    def look_ahead(self, frame: int, direction: int, box: Box | None) -> None:
        """Let the worker get ready for questions about a frame, and those around it, while nobody asks any."""
        self._worker.look_ahead(Outlook(self.recipe, frame, direction, box))

    def look_away(self) -> None:
        """Get ready for nothing any more."""
        self._worker.look_ahead(None)

    def ask(self, request: PromptRequest, deliver: Callable[[PromptResult], None]) -> None:
        """Queue the question; see `core.Engine`."""

        def arrived(reply: Reply) -> None:
            self.num_waiting -= 1
            self._changed()
            if reply.kind == "answer":
                self.is_loaded = True
                deliver(reply.value)
            elif reply.kind == "error":
                self._refused(request.generation, reply.value)

        self.num_waiting += 1
        self._worker.submit(AskJob(self.recipe, request), arrived)
        self._changed()

    def propagate(
        self,
        request: PropagationRequest,
        resume: ResumePoint | None = None,
        cancellation: Cancellation | None = None,
    ) -> Iterator[FrameResult]:
        """Return an iterator that waits for the worker: whoever iterates it drives the run."""
        return self._worker.iterate(self.recipe, request, resume, cancellation)

    def drive(self, run: Run, ended: Callable[[NapariSam2Error | None], None]) -> None:
        """Let the worker drive a run; its frames are committed as they come, then the run is finished."""

        def arrived(reply: Reply) -> None:
            if reply.kind == "frame":
                self.is_loaded = True
                run.commit(reply.value)
                return
            error = reply.value if reply.kind == "error" else _missing_frames(run)
            run.finish()
            ended(error)

        self._worker.submit(RunJob(self.recipe, run), arrived)


def _missing_frames(run: Run) -> NapariSam2Error | None:
    """Return an error if a run ended by itself before its last frame."""
    if run.is_complete or run.is_cancelled:
        return None
    return InferenceError(
        f"the model stopped after {run.done} of {run.total} frames without saying why",
        kept="the finished frames are kept",
        remedy="propagate again: it continues there",
    )
