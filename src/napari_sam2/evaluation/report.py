"""What a run was and how good it was, as a small JSON file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunReport:
    """Outcome of one run on one stack.

    Attributes
    ----------
    model : str
        Name of the model, or path of its weights.
    version : str
        Version of this package.
    mean_J, mean_F : float or None
        Region similarity and boundary accuracy, means over objects; None if there was no truth.
    seconds_per_frame : float
        Wall time of the propagation by the number of frames tracked, loading of the model left out.
    objects, frames : int
        How many objects were prompted and how many frames the stack has.
    floors : dict of str to float
        J of what needs no model, by name: ``copy``, ``otsu``.
    files : dict of str to str
        What was written, by kind.
    """

    model: str
    version: str
    mean_J: float | None
    mean_F: float | None
    seconds_per_frame: float
    objects: int
    frames: int
    floors: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the report as indented JSON with one key an attribute."""
        return json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """Write the report to `path`, whole or not at all."""
        partial = path.with_name(path.name + ".part")
        partial.write_text(self.to_json(), encoding="utf-8")
        os.replace(partial, path)


def read_report(path: Path) -> RunReport:
    """Read a report that `RunReport.write` wrote."""
    return RunReport(**json.loads(path.read_text(encoding="utf-8")))
