"""J and F of a model on whole stacks, beside what needs no model.

    python benchmarks/open_stacks.py --model nano [--json OUT.json] [--quick] [--no-focus]
                                     [--generated N] [--stacks FOLDER]

Generated: the frozen validation sequences, one click an object on the first frame. Stacks: every NAME.npz of FOLDER
(default ../shared/data, left out if it is not there), given the reference mask of each object's first frame in a
time-lapse or largest section in a z-stack, propagated both ways. A set's J is the mean over its objects, the means
below are over sets. The stacks alone: napari-sam2 evaluate FOLDER. Every bar: nano_bars.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from napari_sam2 import Session, __version__
from napari_sam2.core.options import NATIVE
from napari_sam2.core.references import ReferenceStack
from napari_sam2.evaluation.protocols import Protocol
from napari_sam2.evaluation.results import StackResult, group_means
from napari_sam2.evaluation.stacks import evaluate_stacks, validation_stacks
from napari_sam2.evaluation.tables import SUMMARY_HEAD, Evaluation, summary_line, to_json
from napari_sam2.io.references import find_references
from napari_sam2.io.weights import weights_sha256

QUICK = {"frames": 8, "objects": 4}


def jobs(options: argparse.Namespace) -> Iterator[tuple[ReferenceStack, Protocol]]:
    """Yield each stack to run on, with how it is prompted."""
    for stack in validation_stacks(range(options.generated)):
        yield limited(stack, options), Protocol("vos", "click")
    if options.stacks.is_dir():
        for file in find_references(options.stacks):
            yield limited(file.read(), options), Protocol("vos", "mask")


def limited(stack: ReferenceStack, options: argparse.Namespace) -> ReferenceStack:
    """Return what a quick run takes of a stack, or all."""
    return stack.limited(**QUICK) if options.quick else stack


def run(options: argparse.Namespace) -> tuple[StackResult, ...]:
    """Run all jobs and print each result as it is there."""
    inference = replace(NATIVE, focus=options.focus)
    open_session = partial(
        Session, axis=0, model=options.model, device=options.device, options=inference
    )
    results = []
    print(SUMMARY_HEAD)
    for result in evaluate_stacks(jobs(options), open_session, progress=show):
        results.append(result)
        print("\r" + summary_line(result), flush=True)
    return tuple(results)


def show(name: str, done: float) -> None:
    """Write progress where a person sees it."""
    if sys.stderr.isatty():
        print(f"\r{name}: {done:.0%}", end="", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano", help="a name, or a file of weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--focus",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="look at small objects in a window",
    )
    parser.add_argument("--generated", type=int, default=24, help="how many validation sequences")
    parser.add_argument("--stacks", type=Path, default=Path("../shared/data"))
    parser.add_argument(
        "--json", type=Path, help="where to write all scores, one row an object and frame"
    )
    parser.add_argument("--quick", action="store_true", help="8 frames and 4 objects a stack")
    options = parser.parse_args()
    results = run(options)
    print("\n".join(["", *map(summary_line, group_means(results))]))
    if options.json:
        sha256 = weights_sha256(options.model)
        evaluation = Evaluation(
            options.model, sha256, __version__, "model", results, focus=options.focus
        )
        options.json.write_text(to_json([evaluation]), encoding="utf-8")


if __name__ == "__main__":
    main()
