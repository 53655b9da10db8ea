"""Tasks: what one worker does at a time. They are sent as texts and numbers, and so are their outcomes.

A task may run twice, at once or one after the other, on any machine that sees the files: it does nothing if its
result lies there already, and a result appears whole. How often it was begun is written beside the results, so a task
that takes its process along is known for it wherever it goes.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from napari_sam2.batch import parts, results, runtime
from napari_sam2.batch.job import JobSpec
from napari_sam2.batch.run import run_job, run_part
from napari_sam2.core.errors import NapariSam2Error
from napari_sam2.io.locks import locked

MAX_TRIES = 2
"""So often a task is begun before it is set aside."""

State = Literal["done", "already", "failed"]


@dataclass(frozen=True, slots=True)
class Task:
    """A job, a part of one, or its joining.

    `part`: which one of `num_parts`; None for what makes the labels, by joining if there are several parts.
    `key`: see `results.job_key`; `attempt`: names the call of the batch, so that tries of an earlier one do not
    count; `threads`: of torch, None as it comes.
    """

    spec: JobSpec
    out: str
    key: str
    attempt: str
    part: int | None = None
    num_parts: int = 1
    threads: int | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        if self.part is None:
            return self.spec.name
        return f"{self.spec.name}, part {self.part + 1} of {self.num_parts}"

    def note(self, kind: str) -> Path:
        """Return the path of its lock or of the list of its tries; no two tasks of a batch have the same."""
        number = "" if self.part is None else f"-{self.part}"
        return Path(self.out) / results.WORK_FOLDER / f"{self.spec.name}.{kind}{number}"

    @property
    def files(self) -> tuple[Path, ...]:
        """What it writes."""
        out = Path(self.out)
        if self.part is not None:
            return (results.part_path(out, self.spec, self.part, self.num_parts),)
        return results.result_path(out, self.spec), results.report_path(out, self.spec)

    def is_done(self) -> bool:
        """Say whether its result lies there."""
        if self.part is None:
            return results.is_complete(Path(self.out), self.spec, self.key)
        return parts.is_part(self.files[0], self.key)

    def to_payload(self) -> dict[str, Any]:
        """Return the task as a dictionary of texts and numbers."""
        return asdict(self) | {"spec": self.spec.to_payload()}

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Task:
        """Return the task of `to_payload`."""
        return cls(**{**payload, "spec": JobSpec.from_payload(payload["spec"])})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended. `error`: code of the error, or "worker-lost"; `cause`: it in one line; `where`: the process."""

    state: State
    seconds: float = 0.0
    error: str = ""
    cause: str = ""
    where: str = ""


def run_task(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Do a task, unless its result lies there; nothing is raised, since a cause must get home in one piece.

    Parameters
    ----------
    payload : mapping
        Of a `Task`.

    Returns
    -------
    dict
        Of an `Outcome`.
    """
    start = time.perf_counter()
    where = f"process {os.getpid()} on {platform.node()}"
    try:
        state = _do(Task.from_payload(payload))
    except NapariSam2Error as error:
        return asdict(Outcome("failed", _since(start), error.code, str(error), where))
    except Exception as error:  # noqa: BLE001  whatever a library raises is the cause of this one item
        cause = f"{type(error).__name__}: {error}"
        return asdict(Outcome("failed", _since(start), "unexpected", cause, where))
    return asdict(Outcome(state, _since(start), where=where))


def _do(task: Task) -> State:
    task.note("lock").parent.mkdir(parents=True, exist_ok=True)
    # The lock saves doing work twice; where a file system ignores locks, both write the same bytes.
    with locked(task.note("lock"), _wait):
        if task.is_done():
            return "already"
        _begin(task)
        runtime.prepare(task.spec.seed, task.threads)
        if task.part is None:
            run_job(task.spec, Path(task.out), task.key, task.num_parts)
        else:
            run_part(task.spec, Path(task.out), task.key, task.part, task.num_parts)
        if num_tries(task) > 1:
            for path in task.files:
                results.remove_leftovers(path)
    return "done"


def _wait() -> None:
    """Go on waiting: whoever holds the lock is at work, and the system takes it from the dead."""


def num_tries(task: Task) -> int:
    """Return how often a task was begun in this call of the batch."""
    try:
        lines = task.note("tries").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return sum(line.startswith(task.attempt + " ") for line in lines)


def _begin(task: Task) -> None:
    """Note that the task is begun; refuse it if it was begun too often, since nobody told how that ended."""
    if num_tries(task) >= MAX_TRIES:
        raise WorkerLostError(lost_cause())
    with task.note("tries").open("a", encoding="utf-8") as file:
        file.write(f"{task.attempt} {os.getpid()} {platform.node()}\n")
        file.flush()
        os.fsync(file.fileno())


class WorkerLostError(NapariSam2Error, ChildProcessError):
    """Processes ended while they were at work on a task."""

    code = "worker-lost"


def lost_cause() -> str:
    """Return what is said of a task that took its processes along."""
    return (
        f"the process that worked on it ended {MAX_TRIES} times without a word: "
        "it crashed, was killed, or ran out of memory"
    )


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 4)
