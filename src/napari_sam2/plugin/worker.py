"""SafeWorker: one background thread that owns the model. Frozen jobs in, frozen replies out, no error escapes."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal

from napari_sam2.core.cancellation import Cancellation
from napari_sam2.core.errors import DeviceLostError, NapariSam2Error
from napari_sam2.core.failures import as_ours
from napari_sam2.core.messages import FrameResult, PromptRequest, PropagationRequest, ResumePoint
from napari_sam2.core.run import Run, StoredFrame
from napari_sam2.core.segmenter import Segmenter
from napari_sam2.plugin.ahead import AheadJob, IdleWork, Outlook
from napari_sam2.plugin.recipe import Recipe

logger = logging.getLogger(__name__)

MakeSegmenter = Callable[[Recipe], Segmenter]
Handler = Callable[["Reply"], None]

_STOP = object()


@dataclass(frozen=True, slots=True)
class Reply:
    """What comes back from the thread.

    `kind`: "loaded", "answer", "frame", "end" or "error"; more comes after "frame".
    """

    job: int
    kind: str
    value: Any = None

    @property
    def is_last(self) -> bool:
        """Whether nothing more comes for this job."""
        return self.kind != "frame"


@dataclass(frozen=True, slots=True)
class LoadJob:
    """Make the segmenter, so that the first click need not wait for it."""

    recipe: Recipe


@dataclass(frozen=True, slots=True)
class AskJob:
    """Answer a prompt."""

    recipe: Recipe
    request: PromptRequest

    @property
    def place(self) -> tuple[Recipe, int, int]:
        """What the question is about; a newer one about the same overtakes it."""
        return self.recipe, self.request.object_id, self.request.prompts.frame


@dataclass(frozen=True, slots=True)
class RunJob:
    """Drive a run and store what it finds."""

    recipe: Recipe
    run: Run


@dataclass(frozen=True, slots=True)
class CallJob:
    """Call a function that touches neither napari nor Qt; what it reports comes as replies of kind "frame"."""

    function: Callable[[Callable[[Any], None]], Any]


Job = LoadJob | AskJob | RunJob | CallJob | AheadJob

MAX_UNHEARD = 16
"""Frames of a run that the window has not heard of yet; the worker then waits for it."""

_NOBODY = 0
"""Number of jobs to which nobody waits for a reply."""


class _Mailbox(QObject):
    """Brings replies to the thread that made it."""

    arrived = Signal(object)
    left = Signal()


class SafeWorker:
    """The thread that owns the model.

    Replies are delivered on the thread that made the worker, by a queued Qt signal. Whatever is raised on the thread,
    `KeyboardInterrupt` and `StopIteration` included, comes back as one of our errors. Clicks go before the next
    frame of a run. While there is no job, frames are prepared that a person may come to; see `look_ahead`.

    Parameters
    ----------
    make : callable
        Makes a `Segmenter` from a `Recipe`; called on the thread only. One is kept, the last.
    """

    def __init__(self, make: MakeSegmenter) -> None:
        self._make = make
        self._mailbox = _Mailbox()
        self._mailbox.arrived.connect(self._deliver, Qt.ConnectionType.QueuedConnection)
        self._mailbox.left.connect(self._hand_over_all, Qt.ConnectionType.QueuedConnection)
        self._handlers: dict[int, Handler] = {}
        self._arrived: deque[Reply] = deque()
        self._is_delivering = False
        self._jobs: deque[tuple[int, Job]] = deque()
        self._has_news = threading.Condition()
        self._is_stopping = threading.Event()
        self._num_unheard = 0
        self._last_job = _NOBODY
        self._idle = IdleWork()
        self._segmenter: tuple[Recipe, Segmenter] | None = None
        self._lost: DeviceLostError | None = None
        self._thread = threading.Thread(target=self._work, name="napari-sam2 worker")
        self._thread.start()

    # On the owner's thread

    def submit(self, job: Job, handler: Handler) -> int:
        """Queue a job; `handler` gets its replies on this thread. Returns the job's number."""
        self._last_job += 1
        number = self._last_job
        self._handlers[number] = handler
        with self._has_news:
            self._jobs.append((number, job))
            self._has_news.notify()
        return number

    def forget(self, number: int) -> None:
        """Drop all replies of a job that are still to come."""
        self._handlers.pop(number, None)

    def look_ahead(self, outlook: Outlook | None) -> None:
        """Prepare the frames of an outlook while there is no job, instead of those of an earlier one; None ends that.

        A model is never made for it: that of the last job is used, if the outlook is about the same.
        """
        with self._has_news:
            self._idle.turn_to(outlook)
            self._has_news.notify()

    def iterate(
        self,
        recipe: Recipe,
        request: PropagationRequest,
        resume: ResumePoint | None,
        cancellation: Cancellation | None = None,
    ) -> Iterator[FrameResult]:
        """Propagate on the worker's thread while the caller waits for each result: for scripts in the console."""
        results: queue.Queue[Any] = queue.Queue(maxsize=1)
        is_left = threading.Event()

        def pump(_report: object) -> None:
            try:
                segmenter = self._segmenter_of(recipe)
                for result in segmenter.propagate(request, resume, cancellation):
                    if not self._put(results, result, is_left):
                        return
                self._put(results, _STOP, is_left)
            except BaseException as error:  # noqa: BLE001 - handed over to the caller, whatever it is
                self._put(results, self._noted(error), is_left)

        self.submit(CallJob(pump), lambda reply: None)
        try:
            while (item := self._get(results)) is not _STOP:
                if isinstance(item, NapariSam2Error):
                    raise item
                yield item
        finally:
            is_left.set()

    def _get(self, results: queue.Queue[Any]) -> Any:
        while self.is_alive:
            try:
                return results.get(timeout=0.5)
            except queue.Empty:
                continue
        return _STOP

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self, timeout: float = 2.0) -> bool:
        """End the thread after the step in work; nothing is delivered any more. Say whether it ended in time."""
        self._is_stopping.set()
        self._handlers.clear()
        with self._has_news:
            self._jobs.clear()
            self._has_news.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _deliver(self, reply: Reply) -> None:
        self._arrived.append(reply)
        self._hand_over_all()

    def _hand_over_all(self) -> None:
        """Hand over what arrived, each reply once those before it are done with.

        A handler may process events, as progress bars do, and the next reply comes in the middle of it.
        """
        if self._is_delivering:
            return
        self._is_delivering = True
        try:
            while self._arrived:
                self._hand_over(self._arrived.popleft())
        finally:
            self._is_delivering = False
            if self._arrived:  # a handler failed: the others still get theirs, in their order
                self._mailbox.left.emit()

    def _hand_over(self, reply: Reply) -> None:
        if isinstance(reply.value, StoredFrame):
            self._note_heard()
        handler = (
            self._handlers.pop(reply.job, None) if reply.is_last else self._handlers.get(reply.job)
        )
        if handler is not None:
            handler(reply)

    # On the worker's thread: no napari, no Qt but the signal

    def _work(self) -> None:
        while (item := self._next()) is not None:
            self._do(*item)
        self._segmenter = None

    def _next(self) -> tuple[int, Job] | None:
        with self._has_news:
            while not self._should_stop():
                if self._jobs:
                    return self._jobs.popleft()
                recipe = None if self._segmenter is None else self._segmenter[0]
                pause = self._idle.pause(recipe)
                if pause == 0 and (job := self._idle.next_job()) is not None:
                    return _NOBODY, job
                # Looked at twice a second: a program that ends without closing its windows must not wait for us.
                self._has_news.wait(min(0.5, pause or 0.5))
            return None

    def _should_stop(self) -> bool:
        return self._is_stopping.is_set() or not threading.main_thread().is_alive()

    def _do(self, number: int, job: Job) -> None:
        try:
            if isinstance(job, AskJob):
                self._answer(number, job)
            elif isinstance(job, RunJob):
                self._drive(number, job)
            elif isinstance(job, AheadJob):
                self._prepare(job)
            elif isinstance(job, LoadJob):
                made = self._segmenter_of(job.recipe)
                self._post(Reply(number, "loaded", made.mapping))
            else:
                done = job.function(lambda value: self._post(Reply(number, "frame", value)))
                self._post(Reply(number, "end", done))
        except BaseException as error:  # noqa: BLE001 - nothing may escape: napari would show an endless run
            self._post(Reply(number, "error", self._noted(error)))
        if not isinstance(job, AheadJob):
            with self._has_news:
                self._idle.rest()

    def _prepare(self, job: AheadJob) -> None:
        is_ready = False
        try:
            segmenter = self._segmenter_of(job.outlook.recipe)
            is_ready = segmenter.prepare(job.frame, job.box, may_forget=job.may_forget)
        except BaseException:
            logger.info("frame %s could not be prepared", job.frame, exc_info=True)
        if not is_ready:
            with self._has_news:
                self._idle.end(job.outlook)

    def _answer(self, number: int, job: AskJob) -> None:
        if self._is_overtaken(job):
            self._post(Reply(number, "end"))
            return
        self._post(Reply(number, "answer", self._segmenter_of(job.recipe).prompt(job.request)))

    def _drive(self, number: int, job: RunJob) -> None:
        run = job.run
        segmenter = self._segmenter_of(job.recipe)
        results = segmenter.propagate(run.request, run.resume, run.cancellation)
        try:
            for result in results:
                stored = run.store(result)
                self._wait_for_room(run)
                self._post(Reply(number, "frame", stored))
                if run.is_cancelled or self._should_stop():
                    break
                self._answer_what_waits()
        finally:
            _close(results)
        self._post(Reply(number, "end"))

    def _wait_for_room(self, run: Run) -> None:
        """Wait while the window is so far behind that more frames would only pile up; clicks are answered meanwhile."""
        while self._num_unheard >= MAX_UNHEARD and not (run.is_cancelled or self._should_stop()):
            self._answer_what_waits()
            with self._has_news:
                if self._num_unheard >= MAX_UNHEARD:
                    self._has_news.wait(0.1)
        with self._has_news:
            self._num_unheard += 1

    def _note_heard(self) -> None:
        with self._has_news:
            self._num_unheard -= 1
            self._has_news.notify()

    def _answer_what_waits(self) -> None:
        while (item := self._next_question()) is not None:
            self._do(*item)

    def _next_question(self) -> tuple[int, Job] | None:
        with self._has_news:
            item = next((item for item in self._jobs if isinstance(item[1], AskJob)), None)
            if item is not None:
                self._jobs.remove(item)
            return item

    def _is_overtaken(self, job: AskJob) -> bool:
        with self._has_news:
            later = [item for _, item in self._jobs if isinstance(item, AskJob)]
        return any(item.place == job.place for item in later)

    def _noted(self, error: BaseException) -> NapariSam2Error:
        """Return an error as one of ours; a graphics card that was lost is not asked again."""
        ours = as_ours(error)
        if isinstance(ours, DeviceLostError):
            self._lost = ours
        return ours

    def _segmenter_of(self, recipe: Recipe) -> Segmenter:
        if self._lost is not None and recipe.device != "cpu":
            raise self._lost
        if self._segmenter is None or self._segmenter[0] != recipe:
            self._segmenter = None  # the old network goes before the new one comes
            self._segmenter = recipe, self._make(recipe)
        return self._segmenter[1]

    def _put(self, results: queue.Queue[Any], item: Any, is_left: threading.Event) -> bool:
        while not is_left.is_set() and not self._should_stop():
            try:
                results.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def _post(self, reply: Reply) -> None:
        if not self._is_stopping.is_set():
            self._mailbox.arrived.emit(reply)


def _close(results: Any) -> None:
    close = getattr(results, "close", None)
    if close is not None:
        close()
