"""What the doubt about a frame is worth: how often the frames that are doubted most are truly bad.

    python benchmarks/quality.py [--json OUT.json] [--model nano] [--quick] [--generated N] [--gone N]
                                 [--stacks FOLDER] [--frames 24] [--objects 6] [--corrections 0] [--fit]

A frame is bad if J < 0.5. Of the tenth of all tracked frames that are doubted most, the share of bad ones is divided
by the share among all (lift; the bar is 3, and it cannot be above 1 / share). Generated: the frozen validation
sequences, gone: those in which objects disappear; one click an object; the formula was fitted on both. Stacks: every
NAME.npz of FOLDER (default ../shared/data, left out if it is not there), one reference mask an object; the formula
never saw them. With `--corrections` the most doubtful frame of every object is given its reference mask, so many
times, before.

The last columns are about frames on which the object is said to be absent: how many, how many of them wrongly, and the
mean doubt, which should be about that share.

`--fit` also prints what the weights of such frames should be, all others being what they are: those that a logistic
regression on the generated sequences gives. It leaves the sequences out in which a bar hides all objects at once: an
image in which a whole object vanishes between two frames, and rightly so, is not what people have.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from napari_sam2 import Session
from napari_sam2.core.quality import BIAS, WEIGHTS, FrameQuality, terms_of
from napari_sam2.core.references import ReferenceStack
from napari_sam2.evaluation.disappearances import DISAPPEARANCE_SPECS, disappearance_sequence
from napari_sam2.evaluation.region import region_similarity
from napari_sam2.evaluation.stacks import first_prompts, simulated_clicks, validation_stacks
from napari_sam2.io.references import find_references

BAD = 0.5
DOUBTED = 0.1
QUICK = {"frames": 8, "objects": 4}
FITTED = ("absent", "vanished")
RIDGE = 0.1


class Judged(NamedTuple):
    """A tracked frame of an object: how it looks, how much it is doubted, and whether it is bad."""

    quality: FrameQuality
    is_bad: bool


class Calibration(NamedTuple):
    """`num_frames` judged; `share` of them bad; `doubted_share`: of those doubted most; `lift`: their ratio.

    `num_absent` of them show nothing, `absent_share` of those wrongly; `absent_doubt`: the mean doubt about them.
    """

    num_frames: int
    share: float
    doubted_share: float
    lift: float | None
    num_absent: int
    absent_share: float | None
    absent_doubt: float | None


class Job(NamedTuple):
    """A stack with what kind of prompt it gets, and whether the weights are fitted on it."""

    group: str
    prompt: str
    stack: ReferenceStack
    is_fitted: bool


def jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Yield all stacks."""
    for stack in validation_stacks(range(options.generated)):
        yield Job("generated", "click", stack, True)
    for index in range(options.gone):
        made = disappearance_sequence(index)
        stack = ReferenceStack(f"gone_{index:02d}", made.image, made.labels, "time", "gone")
        yield Job("gone", "click", stack, DISAPPEARANCE_SPECS[index].curtain == 0)
    if options.stacks.is_dir():
        for file in find_references(options.stacks):
            yield Job("stacks", "mask", file.read(), False)


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
                yield Judged(item, similarity < BAD)


def calibrate(frames: Iterable[Judged]) -> Calibration:
    """Compare those doubted most with all, and the doubt about absences with what becomes of them."""
    ranked = sorted(frames, key=lambda item: -item.quality.doubt)
    is_bad = np.array([item.is_bad for item in ranked])
    top = is_bad[: max(1, round(DOUBTED * len(is_bad)))]
    share, doubted = float(is_bad.mean()), float(top.mean())
    absent = [item for item in ranked if item.quality.kind == "absent"]
    return Calibration(
        len(is_bad),
        share,
        doubted,
        doubted / share if share else None,
        len(absent),
        float(np.mean([item.is_bad for item in absent])) if absent else None,
        float(np.mean([item.quality.doubt for item in absent])) if absent else None,
    )


def fitted(frames: Iterable[Judged]) -> dict[str, float]:
    """Return the weights of `FITTED` by a logistic regression on frames that show nothing, all others as they are."""
    absent = [item for item in frames if item.quality.kind == "absent"]
    terms = [terms_of(item.quality) for item in absent]
    known = [
        BIAS + sum(WEIGHTS[name] * value for name, value in item.items() if name not in FITTED)
        for item in terms
    ]
    values = np.array([[item[name] for name in FITTED] for item in terms]).reshape(-1, len(FITTED))
    is_bad, weights = np.array([item.is_bad for item in absent], float), np.zeros(len(FITTED))
    for _ in range(100):
        chance = 1 / (1 + np.exp(-(values @ weights + known)))
        slope = values.T @ (chance - is_bad) + RIDGE * weights
        curvature = (values.T * (chance * (1 - chance))) @ values + RIDGE * np.eye(len(FITTED))
        step = np.linalg.solve(curvature, slope)
        weights = weights - step / max(
            1.0, float(abs(step).max())
        )  # far from the end a full step overshoots
    return dict(zip(FITTED, weights.tolist(), strict=True))


def line(name: str, found: Calibration) -> str:
    """Return one row of the table."""
    most = None if not found.share else 1 / found.share
    return (
        f"{name:<20} {found.num_frames:>6} {found.share:>8.3f} {found.doubted_share:>8.3f} "
        f"{_number(found.lift):>6} {_number(most):>8} {found.num_absent:>7} "
        f"{_number(found.absent_share):>8} {_number(found.absent_doubt):>6}"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="nano", help="a name, or a file of weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--generated", type=int, default=24, help="how many validation sequences")
    parser.add_argument("--gone", type=int, default=8, help="how many with disappearances")
    parser.add_argument("--stacks", type=Path, default=Path("../shared/data"))
    parser.add_argument("--frames", type=int, default=24, help="of every stack, at most")
    parser.add_argument("--objects", type=int, default=6, help="of every stack, at most")
    parser.add_argument("--corrections", type=int, default=0, help="frames corrected an object")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--quick", action="store_true", help="8 frames and 4 objects a stack")
    parser.add_argument("--fit", action="store_true", help="print weights for absent frames")
    options = parser.parse_args()
    limits = QUICK if options.quick else {"frames": options.frames, "objects": options.objects}
    print(f"{'':<20} {'frames':>6} {'bad':>8} {'doubted':>8} {'lift':>6} {'at most':>8} ", end="")
    print(f"{'absent':>7} {'wrongly':>8} {'doubt':>6}")
    groups: dict[str, list[Judged]] = {}
    found: dict[str, Calibration] = {}
    seen: list[Judged] = []
    for job in jobs(options):
        frames = judge(job.stack.limited(**limits), job.prompt, options)
        found[job.stack.name] = calibrate(frames)
        print(line(job.stack.name, found[job.stack.name]), flush=True)
        groups.setdefault(f"all {job.group}", []).extend(frames)
        seen += frames if job.is_fitted else []
    found |= {name: calibrate(frames) for name, frames in groups.items()}
    print("\n".join(line(name, found[name]) for name in groups))
    if options.fit:
        print(", ".join(f"{name} {value:.2f}" for name, value in fitted(seen).items()))
    if options.json:
        options.json.write_text(
            json.dumps({name: value._asdict() for name, value in found.items()}, indent=1),
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
