"""What became of every job of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_sam2.batch.plan import Plan
from napari_sam2.batch.results import report_path, result_path, write_json
from napari_sam2.batch.tasks import Outcome, Task

FILE_NAME = "summary.json"


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a batch.

    `states`: by name of the job: "done", "already", "failed" or "missing"; `failures`: the outcome of failed ones, and
    which task it was; `tries`: how often their tasks were begun; `seconds`: from beginning to end.
    """

    plan: Plan
    states: dict[str, str]
    failures: dict[str, tuple[Task, Outcome, int]] = field(default_factory=dict)
    seconds: float = 0.0

    def count(self, state: str) -> int:
        """Return how many jobs are in a state."""
        return sum(known == state for known in self.states.values())

    @property
    def is_complete(self) -> bool:
        """Whether the labels of all jobs are there."""
        return self.count("done") + self.count("already") == len(self.states)

    def to_json(self) -> dict[str, Any]:
        """Return it as it is written."""
        from napari_sam2 import __version__

        return {
            "version": __version__,
            "out": str(self.plan.out),
            "jobs": len(self.states),
            **{state: self.count(state) for state in ("done", "already", "failed", "missing")},
            "seconds": round(self.seconds, 3),
            "items": [self._item(job.task) for job in self.plan.jobs],
        }

    def write(self) -> Path:
        """Write it into the output folder."""
        path = self.plan.out / FILE_NAME
        write_json(path, self.to_json())
        return path

    def _item(self, task: Task) -> dict[str, Any]:
        spec, state = task.spec, self.states[task.spec.name]
        item: dict[str, Any] = {"name": spec.name, "state": state, "image": spec.image}
        if state in ("done", "already"):
            labels, report = result_path(self.plan.out, spec), report_path(self.plan.out, spec)
            return item | {"labels": labels.name, "report": report.name}
        if spec.name in self.failures:
            failed, outcome, tries = self.failures[spec.name]
            item |= {"task": failed.name, "tries": tries, "where": outcome.where}
            item |= {"error": outcome.error, "cause": outcome.cause}
        return item
