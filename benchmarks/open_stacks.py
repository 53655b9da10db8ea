"""J and F of a model on whole stacks, beside what needs no model.

    python benchmarks/open_stacks.py --model nano [--json OUT.json] [--quick] [--generated N] [--stacks FOLDER]

Generated: the frozen validation sequences, one click an object on the first frame. Stacks: every NAME.npz of FOLDER
(default ../shared/data, left out if it is not there), given the reference mask of each object's first frame in a
time-lapse or largest section in a z-stack, propagated both ways. A set's J is the mean over its objects, the means
below are over sets.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from napari_sam2 import Session, __version__
from napari_sam2.evaluation.stacks import (
    SUMMARY_HEAD,
    Prompt,
    Stack,
    StackResult,
    evaluate_stack,
    group_means,
    read_stacks,
    results_json,
    summary_line,
    validation_stacks,
)

QUICK = {"frames": 8, "objects": 4}


def jobs(options: argparse.Namespace) -> Iterator[tuple[Stack, Prompt]]:
    """Yield each stack to run on, with how it is prompted."""
    for stack in validation_stacks(range(options.generated)):
        yield stack, "click"
    if options.stacks.is_dir():
        for stack in read_stacks(options.stacks):
            yield stack, "mask"


def run(options: argparse.Namespace) -> list[StackResult]:
    """Run all jobs and print each result as it is there."""
    open_session = partial(Session, axis=0, model=options.model, device=options.device)
    results = []
    print(SUMMARY_HEAD)
    for stack, prompt in jobs(options):
        if options.quick:
            stack = middle_of(stack).limited(objects=QUICK["objects"])
        result = evaluate_stack(stack, open_session, prompt, partial(show, stack.name))
        results.append(result)
        print("\r" + summary_line(result), flush=True)
    return results


def middle_of(stack: Stack) -> Stack:
    """Cut out a few frames: the first ones of a time-lapse, the middle ones of a z-stack."""
    count = QUICK["frames"]
    start = 0 if stack.prompt_frame == "first" else max(len(stack.image) - count, 0) // 2
    return stack.limited(frames=slice(start, start + count))


def show(name: str, done: int, total: int) -> None:
    """Write progress where a person sees it."""
    if sys.stderr.isatty():
        print(f"\r{name}: {done} of {total}", end="", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano", help="a name, or a file of weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--generated", type=int, default=24, help="how many validation sequences")
    parser.add_argument("--stacks", type=Path, default=Path("../shared/data"))
    parser.add_argument("--json", type=Path, help="where to write all scores, one row an object")
    parser.add_argument("--quick", action="store_true", help="8 frames and 4 objects a stack")
    options = parser.parse_args()
    results = run(options)
    print("\n".join(["", *map(summary_line, group_means(results))]))
    if options.json:
        options.json.write_text(results_json(options.model, __version__, results), encoding="utf-8")


if __name__ == "__main__":
    main()
