"""Drive a plan to its end: hand out tasks, try again what failed, set aside what fails twice, join parts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from napari_sam2.batch.plan import Plan, PlannedJob
from napari_sam2.batch.results import remove_parts
from napari_sam2.batch.summary import Summary
from napari_sam2.batch.tasks import MAX_TRIES, Outcome, Task, lost_cause, num_tries, run_task

Work = Callable[[Mapping[str, Any]], dict[str, Any]]


class Crew(Protocol):
    """Whoever does tasks: this process, or the workers of a cluster."""

    def submit(self, task: Task) -> None:
        """Have a task done."""

    def next_done(self) -> tuple[Task, Outcome | None]:
        """Wait for the next task that ended; None instead of an outcome if its workers were lost."""


class ThisProcess:
    """A crew of one: tasks are done one after the other, when they are waited for."""

    def __init__(self, work: Work = run_task) -> None:
        self._work, self._waiting = work, deque[Task]()

    def submit(self, task: Task) -> None:
        """Put a task in the queue."""
        self._waiting.append(task)

    def next_done(self) -> tuple[Task, Outcome | None]:
        """Do the next task."""
        task = self._waiting.popleft()
        return task, Outcome(**self._work(task.to_payload()))


class Drive:
    """One call of a batch.

    Parameters
    ----------
    plan : Plan
        What is to be done.
    crew : Crew
        Who does it.
    on_task : callable, optional
        Called when a task has ended for good.
    """

    def __init__(self, plan: Plan, crew: Crew, on_task: Callable[[], None] = lambda: None) -> None:
        self._plan, self._crew, self._on_task = plan, crew, on_task
        self._jobs = {job.task.spec.name: job for job in plan.jobs}
        self._states = dict.fromkeys(self._jobs, "missing")
        self._failures: dict[str, tuple[Task, Outcome, int]] = {}
        self._open_parts: dict[str, int] = {}
        self._failed_tries: dict[str, int] = {}
        self._start = time.perf_counter()

    @property
    def summary(self) -> Summary:
        """What has become of the jobs so far; those that are not done are "missing"."""
        seconds = time.perf_counter() - self._start
        return Summary(self._plan, dict(self._states), dict(self._failures), seconds)

    def run(self) -> Summary:
        """Have everything done that can be done, and return what became of it."""
        in_work = sum(self._begin(job) for job in self._plan.jobs)
        while in_work:
            task, outcome = self._crew.next_done()
            in_work += self._take(task, outcome) - 1
        return self.summary

    def _begin(self, job: PlannedJob) -> int:
        """Submit the first tasks of a job and return how many they are."""
        name = job.task.spec.name
        if job.is_done:
            self._states[name] = "already"
            return 0
        if job.error is not None:
            self._set_aside(job.task, Outcome("failed", 0.0, job.error.code, str(job.error)), 1)
            return 0
        first = job.parts or (job.task,)
        self._open_parts[name] = len(job.parts)
        for task in first:
            self._crew.submit(task)
        return len(first)

    def _take(self, task: Task, outcome: Outcome | None) -> int:
        """Take the end of a task, and return how many were submitted because of it."""
        if outcome is None or outcome.state == "failed":
            return self._take_failure(task, outcome)
        self._on_task()
        if task.part is None:
            self._finish(task)
            return 0
        self._open_parts[task.spec.name] -= 1
        return self._join_if_whole(task)

    def _take_failure(self, task: Task, outcome: Outcome | None) -> int:
        """Try again, unless the task has failed often enough; one that was only near a crash has not failed."""
        if outcome is None:
            tries = num_tries(task)
            outcome = Outcome("failed", 0.0, "worker-lost", lost_cause())
        else:
            # Both are counted: a task may fail before it is noted as begun, or lose a process in between.
            failed = self._failed_tries[task.name] = self._failed_tries.get(task.name, 0) + 1
            tries = max(failed, num_tries(task))
        if tries < MAX_TRIES:
            self._crew.submit(task)
            return 1
        self._set_aside(task, outcome, tries)
        self._on_task()
        return 0

    def _set_aside(self, task: Task, outcome: Outcome, tries: int) -> None:
        self._states[task.spec.name] = "failed"
        self._failures.setdefault(task.spec.name, (task, outcome, tries))

    def _join_if_whole(self, task: Task) -> int:
        name = task.spec.name
        if self._open_parts[name] or self._states[name] == "failed":
            return 0
        self._crew.submit(self._jobs[name].task)
        return 1

    def _finish(self, task: Task) -> None:
        # Also if the task found its result there: it was missing when the plan was made.
        self._states[task.spec.name] = "done"
        if task.num_parts > 1:
            remove_parts(Path(task.out), task.spec)
