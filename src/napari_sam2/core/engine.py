"""Engine: how a session reaches a model, on its own thread or on another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from napari_sam2.core.cancellation import Cancellation
from napari_sam2.core.failures import as_ours
from napari_sam2.core.messages import (
    FrameResult,
    PromptRequest,
    PromptResult,
    PropagationRequest,
    ResumePoint,
)
from napari_sam2.core.segmenter import Segmenter


class Engine(Protocol):
    """Takes frozen requests to a `Segmenter` and brings frozen results back.

    An engine that hands over to a worker thread returns from `ask` at once, calls `deliver` later *on the session's
    thread*, and reports a failure through `Session.refuse`. It may drop a request that a newer one for the same
    object and frame has overtaken.
    """

    def ask(self, request: PromptRequest, deliver: Callable[[PromptResult], None]) -> None:
        """Have `request` answered and `deliver` called with the result, now or later; an error may be raised."""

    def propagate(
        self,
        request: PropagationRequest,
        resume: ResumePoint | None = None,
        cancellation: Cancellation | None = None,
    ) -> Iterator[FrameResult]:
        """Return an iterator as `Segmenter.propagate` does; whoever drives it decides the thread."""


class InlineEngine:
    """Answers at once, on the caller's thread: scripts, tests and batch runs.

    Whatever error the segmenter raises comes out as one of ours; an interruption by a person stays what it is.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter

    def ask(self, request: PromptRequest, deliver: Callable[[PromptResult], None]) -> None:
        """Answer before returning."""
        with _ours():
            result = self.segmenter.prompt(request)
        deliver(result)

    def propagate(
        self,
        request: PropagationRequest,
        resume: ResumePoint | None = None,
        cancellation: Cancellation | None = None,
    ) -> Iterator[FrameResult]:
        """Yield what the segmenter does."""
        with _ours():
            results = self.segmenter.propagate(request, resume, cancellation)
        while True:
            with _ours():
                result = next(results, None)
            if result is None:
                return
            yield result


@contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        ours = as_ours(error)
        if ours is error:
            raise
        raise ours from error
