"""What a precision or a quality costs in accuracy, beside full quality in float32, on open stacks.

    python benchmarks/accuracy.py [--model nano] [--json OUT.json] [--quick] [--stacks FOLDER]

Stacks: every NAME.npz of FOLDER (default ../shared/data), given the reference mask of each object's first frame in a
time-lapse or largest section in a z-stack, propagated both ways. J: against the reference, mean over objects, then over
stacks. Agreement: IoU with the masks of full quality in float32, mean over objects and tracked frames (1 where both are
empty). Seconds a frame are those of this run, one after the other. Without the stacks, generated sequences are taken.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from napari_sam2 import Session
from napari_sam2.core.options import NATIVE, InferenceOptions
from napari_sam2.core.references import ReferenceStack
from napari_sam2.evaluation.protocols import Protocol
from napari_sam2.evaluation.results import StackResult
from napari_sam2.evaluation.stacks import evaluate_stack, validation_stacks
from napari_sam2.io.references import find_references

FULL = replace(NATIVE, precision="float32", quality="full")
WAYS: dict[str, InferenceOptions] = {
    "full, float32": FULL,
    "full, bfloat16": replace(FULL, precision="bfloat16"),
    "balanced, float32": replace(FULL, quality="balanced"),
    "fast, float32": replace(FULL, quality="fast"),
    "fast, bfloat16": replace(FULL, quality="fast", precision="bfloat16"),
    "full, still frames skipped (0.05)": replace(FULL, skip_below=0.05),
    "full, still frames skipped (0.2)": replace(FULL, skip_below=0.2),
}


@dataclass(frozen=True)
class Row:
    """One way on one stack."""

    way: str
    stack: str
    J: float
    agreement: float
    seconds_per_frame: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--stacks", type=Path, default=Path("../shared/data"))
    parser.add_argument("--frames", type=int, default=16, help="at most so many of a stack")
    parser.add_argument("--objects", type=int, default=8, help="at most so many of a stack")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--quick", action="store_true", help="one stack, 4 frames, 2 objects")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [row for stack in stacks(options) for row in compared(stack, options)]
    for line in table(rows, options.ways):
        print(line)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


def stacks(options: argparse.Namespace) -> list[ReferenceStack]:
    """Return what is run on, cut down."""
    frames, objects = (4, 2) if options.quick else (options.frames, options.objects)
    found = (
        [file.read() for file in find_references(options.stacks)] if options.stacks.is_dir() else []
    )
    chosen = found or list(validation_stacks(range(6)))
    return [stack.limited(frames, objects) for stack in chosen[: 1 if options.quick else None]]


def compared(stack: ReferenceStack, options: argparse.Namespace) -> list[Row]:
    """Run every way on one stack."""
    names = ["full, float32", *(way for way in options.ways if way != "full, float32")]
    rows, best = [], None
    for name in names:
        result, masks = run(stack, options.model, WAYS[name])
        best = masks if best is None else best
        agreement = statistics.fmean(iou(masks[place], best[place]) for place in best)
        seconds = result.seconds_per_frame or 0.0
        rows.append(Row(name, stack.name, result.mean.J, agreement, seconds))
        print(
            f"  {stack.name:22s} {name:36s} J {result.mean.J:.3f}  {agreement:.3f}  {seconds:.3f} s",
            flush=True,
        )
    return [row for row in rows if row.way in options.ways]


def run(
    stack: ReferenceStack, model: str, way: InferenceOptions
) -> tuple[StackResult, dict[tuple[int, int], np.ndarray]]:
    """Track one stack; return its scores and the masks by object and frame."""
    sessions: list[Session] = []

    def opened(*args, **kwargs):
        sessions.append(partial(Session, axis=0, model=model, options=way)(*args, **kwargs))
        return sessions[-1]

    result = evaluate_stack(stack, opened, Protocol("vos", "mask"))
    (session,) = sessions
    places = [(row.object_id, row.frame) for row in result.rows]
    return result, {place: session.mask(*place) for place in places}


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Return the overlap of two masks, 1 if both are empty."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def table(rows: list[Row], ways: list[str]) -> list[str]:
    """Return the means over stacks as Markdown."""
    lines = ["| way | mean J | agreement | time |", "|---|---|---|---|"]
    base = statistics.fmean(row.seconds_per_frame for row in rows if row.way == rows[0].way)
    for way in ways:
        own = [row for row in rows if row.way == way]
        J = statistics.fmean(row.J for row in own)
        agreement = statistics.fmean(row.agreement for row in own)
        seconds = statistics.fmean(row.seconds_per_frame for row in own)
        lines.append(f"| {way} | {J:.3f} | {agreement:.3f} | {seconds / base:.2f} |")
    return lines


if __name__ == "__main__":
    main()
