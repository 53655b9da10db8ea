"""What the doubt about a frame is worth: how often the frames that are doubted most are truly bad.

    python benchmarks/quality.py [--json OUT.json] [--model nano] [--quick] [--generated N] [--stacks FOLDER]
                                 [--frames 24] [--objects 6] [--corrections 0]

A frame is bad if J < 0.5. Of the tenth of all tracked frames that are doubted most, the share of bad ones is divided
by the share among all (lift; the bar is 3, and it cannot be above 1 / share). Generated: the frozen validation
sequences, one click an object; the formula was fitted on them. Stacks: every NAME.npz of FOLDER (default
../shared/data, left out if it is not there), one reference mask an object; the formula never saw them.
With `--corrections` the most doubtful frame of every object is given its reference mask, so many times, before.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from napari_sam2 import Session
from napari_sam2.core.references import ReferenceStack
from napari_sam2.evaluation.region import region_similarity
from napari_sam2.evaluation.stacks import first_prompts, simulated_clicks, validation_stacks
from napari_sam2.io.references import find_references

BAD = 0.5
DOUBTED = 0.1
QUICK = {"frames": 8, "objects": 4}


class Judged(NamedTuple):
    """A tracked frame of an object: how much it is doubted, and how good it is."""

    doubt: float
    similarity: float


class Calibration(NamedTuple):
    """`num_frames` judged; `share` of them bad; `doubted_share`: of those doubted most; `lift`: their ratio."""

    num_frames: int
    share: float
    doubted_share: float
    lift: float | None


def jobs(options: argparse.Namespace) -> Iterator[tuple[str, ReferenceStack]]:
    """Yield each stack with what kind of prompt it gets."""
    for stack in validation_stacks(range(options.generated)):
        yield "click", stack
    if options.stacks.is_dir():
        for file in find_references(options.stacks):
            yield "mask", file.read()


def judge(stack: ReferenceStack, prompt: str, options: argparse.Namespace) -> list[Judged]:
    """Track a stack, correct what is doubted, and compare every tracked mask with the reference."""
    session = Session(stack.image, axis=0, model=options.model, device=options.device)
    first = first_prompts(stack)
    if prompt == "click":
        for object_id, (t, click) in simulated_clicks(stack.labels, first).items():
            session.add_points(object_id, t, [(click.y, click.x)])
    else:
        for object_id, t in first.items():
            session.add_mask(object_id, t, stack.labels[t] == object_id)
    session.propagate().drive()
    for _ in range(options.corrections):
        correct(session, stack)
    return list(judged(session, stack))


def correct(session: Session, stack: ReferenceStack) -> None:
    """Give the most doubtful frame of every object its reference mask, as far as the object is there."""
    for object_id in session.objects:
        truths = ((t, stack.labels[t] == object_id) for _, t, _ in session.doubtful([object_id], 0))
        worst = next(((t, truth) for t, truth in truths if truth.any()), None)
        if worst is not None:
            session.add_mask(object_id, *worst)
    session.propagate_changed().drive()


def judged(session: Session, stack: ReferenceStack) -> Iterator[Judged]:
    """Yield every frame that nobody prompted."""
    for object_id in session.objects:
        for item in session.quality(object_id):
            if item.kind in ("tracked", "absent"):
                truth = stack.labels[item.frame] == object_id
                similarity = region_similarity(session.mask(object_id, item.frame), truth)
                yield Judged(item.doubt, similarity)


def calibrate(frames: Iterable[Judged]) -> Calibration:
    """Compare those doubted most with all."""
    ranked = sorted(frames, key=lambda item: -item.doubt)
    is_bad = np.array([item.similarity < BAD for item in ranked])
    top = is_bad[: max(1, round(DOUBTED * len(is_bad)))]
    share, doubted = float(is_bad.mean()), float(top.mean())
    return Calibration(len(is_bad), share, doubted, doubted / share if share else None)


def line(name: str, found: Calibration) -> str:
    """Return one row of the table."""
    lift = "-" if found.lift is None else f"{found.lift:.2f}"
    most = "-" if not found.share else f"{1 / found.share:.2f}"
    return (
        f"{name:<20} {found.num_frames:>6} {found.share:>8.3f} {found.doubted_share:>8.3f} "
        f"{lift:>6} {most:>8}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano", help="a name, or a file of weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--generated", type=int, default=24, help="how many validation sequences")
    parser.add_argument("--stacks", type=Path, default=Path("../shared/data"))
    parser.add_argument("--frames", type=int, default=24, help="of every stack, at most")
    parser.add_argument("--objects", type=int, default=6, help="of every stack, at most")
    parser.add_argument("--corrections", type=int, default=0, help="frames corrected an object")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--quick", action="store_true", help="8 frames and 4 objects a stack")
    options = parser.parse_args()
    limits = QUICK if options.quick else {"frames": options.frames, "objects": options.objects}
    print(f"{'':<20} {'frames':>6} {'bad':>8} {'doubted':>8} {'lift':>6} {'at most':>8}")
    groups: dict[str, list[Judged]] = {}
    found: dict[str, Calibration] = {}
    for prompt, stack in jobs(options):
        frames = judge(stack.limited(**limits), prompt, options)
        found[stack.name] = calibrate(frames)
        print(line(stack.name, found[stack.name]), flush=True)
        group = "generated" if prompt == "click" else "stacks"
        groups[f"all {group}"] = groups.get(f"all {group}", []) + frames
    found |= {name: calibrate(frames) for name, frames in groups.items()}
    print("\n".join(line(name, found[name]) for name in groups))
    if options.json:
        options.json.write_text(
            json.dumps({name: value._asdict() for name, value in found.items()}, indent=1),
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
