"""What an evaluation found: on one stack, and its mean over stacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from napari_sam2.evaluation.protocols import Effort
from napari_sam2.evaluation.scores import (
    FrameScore,
    MeanScore,
    mean_of,
    mean_score,
    object_means,
)

Step = tuple[dict[int, Effort], tuple[FrameScore, ...]]
"""After a round: what each object has cost, and the scores of every object and frame."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Scores after `number` prompted frames, or clicks on a single frame.

    `frames`, `clicks`, `seconds`: of a person, mean over objects; an object that needed no more stays as it was.
    `seconds` is None where masks were drawn, for which there is no model.
    """

    number: int
    frames: float
    clicks: float
    seconds: float | None
    mean: MeanScore


@dataclass(frozen=True, slots=True)
class Target:
    """How much it took until objects were good enough.

    `value`: J&F, or IoU on a single frame; `spent`: what each object had cost when it got there, None if it never did.
    """

    value: float
    spent: tuple[Effort | None, ...] = field(repr=False)

    @property
    def reached(self) -> float:
        """Share of the objects that got there, NaN without any."""
        return mean_of(effort is not None for effort in self.spent)

    @property
    def median_clicks(self) -> float | None:
        """Clicks, median over all objects; None if half of them or more never got there."""
        return _median([np.inf if effort is None else effort.clicks for effort in self.spent])

    @property
    def median_frames(self) -> float | None:
        """Prompted frames, median over all objects; None as above."""
        return _median([np.inf if effort is None else effort.frames for effort in self.spent])


@dataclass(frozen=True, slots=True)
class StackResult:
    """How a method did on one stack, or its mean over the stacks of a group.

    Attributes
    ----------
    kind : str
        ``time`` or ``z``; empty in a mean.
    num_objects, num_frames : int
        How many objects were prompted, and how long the stack is.
    rows : tuple of FrameScore
        One for every object and frame; none in a mean.
    mean : MeanScore
        Means over objects.
    copy_J, otsu_J : float or None
        Floors. Otsu's needs one click on a grey image.
    ctc_seg, switches : float or None
        SEG without the prompted masks, and identity switches per 100 frames; None without label stacks.
    seconds_per_frame : float or None
        Wall time; None without a model.
    target : Target or None
        How much it took to be good enough.
    curve : tuple of CurvePoint
        Scores round by round.
    """

    name: str
    group: str
    kind: str
    num_objects: int
    num_frames: int
    prompt: str
    mean: MeanScore
    rows: tuple[FrameScore, ...] = field(default=(), repr=False)
    copy_J: float | None = None
    otsu_J: float | None = None
    ctc_seg: float | None = None
    switches: float | None = None
    seconds_per_frame: float | None = None
    target: Target | None = None
    curve: tuple[CurvePoint, ...] = ()


def curve_of(steps: Iterable[Step]) -> tuple[CurvePoint, ...]:
    """Return one point for each round."""
    return tuple(_point(number, *step) for number, step in enumerate(steps, start=1))


def _point(number: int, efforts: dict[int, Effort], rows: tuple[FrameScore, ...]) -> CurvePoint:
    seconds = [effort.seconds for effort in efforts.values()]
    return CurvePoint(
        number,
        mean_of(effort.frames for effort in efforts.values()),
        mean_of(effort.clicks for effort in efforts.values()),
        None if None in seconds else mean_of(seconds),
        mean_score(rows),
    )


def target_of(steps: Sequence[Step], value: float, *, is_image: bool = False) -> Target:
    """Return when objects that have a score reached `value`: of J&F or, on a single frame, of IoU."""
    scores = [
        {i: mean.J if is_image else mean.JF for i, mean in object_means(rows).items()}
        for _, rows in steps
    ]
    return Target(value, tuple(_effort_to_reach(value, steps, scores, i) for i in scores[0]))


def _effort_to_reach(
    value: float, steps: Sequence[Step], scores: Sequence[dict[int, float]], object_id: int
) -> Effort | None:
    for (efforts, _), score in zip(steps, scores, strict=True):
        if score[object_id] >= value:
            return efforts[object_id]
    return None


def _median(values: list[float]) -> float | None:
    # The upper one of the two in the middle: infinity and a number have no mean.
    middle = float(np.percentile(values, 50, method="higher")) if values else np.inf
    return middle if np.isfinite(middle) else None


def group_means(results: Iterable[StackResult]) -> list[StackResult]:
    """Return the mean over stacks of each group and kind of prompt, in the order in which they come."""
    groups: dict[tuple[str, str], list[StackResult]] = {}
    for result in results:
        groups.setdefault((result.group, result.prompt), []).append(result)
    return [average(group, group[0].group) for group in groups.values()]


def average(results: Sequence[StackResult], group: str = "") -> StackResult:
    """Return the mean over stacks.

    Counts are added up, the objects of all stacks are asked together for the target, and a curve that ended early
    stays at its end.
    """
    return StackResult(
        name=f"mean{': ' + group if group else ''} ({len(results)})",
        group=group,
        kind="",
        num_objects=sum(result.num_objects for result in results),
        num_frames=sum(result.num_frames for result in results),
        prompt=results[0].prompt,
        mean=_mean_of_means([result.mean for result in results]),
        target=_joint_target([result.target for result in results if result.target is not None]),
        curve=_mean_curve([result.curve for result in results]),
        **{name: _mean_if_any([getattr(result, name) for result in results]) for name in _OPTIONAL},
    )


_OPTIONAL = ("copy_J", "otsu_J", "ctc_seg", "switches", "seconds_per_frame")


def _mean_if_any(values: Sequence[float | None]) -> float | None:
    mean = mean_of(values)
    return None if np.isnan(mean) else mean


def _mean_of_means(means: Sequence[MeanScore]) -> MeanScore:
    return MeanScore(
        *(mean_of(getattr(mean, name) for mean in means) for name in ("J", "F", "dice", "iou"))
    )


def _joint_target(targets: Sequence[Target]) -> Target | None:
    """Return the target of all objects of all stacks together."""
    if not targets:
        return None
    return Target(targets[0].value, tuple(spent for target in targets for spent in target.spent))


def _mean_curve(curves: Sequence[tuple[CurvePoint, ...]]) -> tuple[CurvePoint, ...]:
    length = max((len(curve) for curve in curves), default=0)
    rounds = [[curve[min(k, len(curve) - 1)] for curve in curves if curve] for k in range(length)]
    return tuple(_mean_point(k, points) for k, points in enumerate(rounds, start=1))


def _mean_point(number: int, points: Sequence[CurvePoint]) -> CurvePoint:
    seconds = [point.seconds for point in points]
    return CurvePoint(
        number,
        mean_of(point.frames for point in points),
        mean_of(point.clicks for point in points),
        None if None in seconds else mean_of(seconds),
        _mean_of_means([point.mean for point in points]),
    )
