"""The bars that a model has to clear, and a function for each that reads what it reaches off a `Bench`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_sam2.core.references import ReferenceStack
from napari_sam2.evaluation.bench import FEW_CLICKS, GOOD_IOU, Bench
from napari_sam2.evaluation.large_frames import LARGE_SIDE
from napari_sam2.evaluation.objects import object_ids, prompt_choice, prompt_frames
from napari_sam2.evaluation.presence import total_of
from napari_sam2.evaluation.results import StackResult, average
from napari_sam2.evaluation.scores import mean_of, object_means

SMALL_DIAMETER = 40.0
"""Objects whose area is that of a smaller disc, pixels, are those that focus is for."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What is measured and asked for.

    `needed`, `aim`: values to reach, or, with `is_cost`, not to exceed; `aim` is None where there is none.
    """

    name: str
    title: str
    needed: float
    aim: float | None = None
    is_cost: bool = False

    def is_met_by(self, value: float) -> bool | None:
        """Say whether `value` clears the bar; None if it is NaN, not measured."""
        if math.isnan(value):
            return None
        return value <= self.needed if self.is_cost else value >= self.needed


BARS = {
    bar.name: bar
    for bar in (
        Bar("first-frame", "generated, 1 click: mean IoU on the first frame", 0.80, 0.90),
        Bar("propagated", "generated, 1 click: mean J propagated", 0.75, 0.85),
        Bar("microscopy", "open microscopy, mask: mean J", 0.50, 0.70),
        Bar("one-click", "open microscopy, one frame, 1 click: mIoU", 0.50, 0.70),
        Bar("five-clicks", f"open microscopy, one frame, {FEW_CLICKS} clicks: mIoU", 0.65, 0.85),
        Bar("medical", "open CT and MR, mask on the largest section: mean J", 0.70, 0.82),
        Bar("clicks", f"open sets, one frame: clicks to IoU {GOOD_IOU}, median", 6, 2, True),
        Bar("presence", "generated disappearances: balanced presence accuracy", 0.88, 0.97),
        Bar("focus", f"open microscopy, under {SMALL_DIAMETER:g} px: J gained by focus", 0.10),
        Bar("large-frames", f"open microscopy in {LARGE_SIDE}-px frames: J lost", 0.05, None, True),
    )
}
"""All bars by name, in the order of the table."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured for one bar.

    `value`: NaN if it could not be, infinite if no number of clicks was enough; `parts`: what it is made of, by set or
    by aspect; `note`: what was measured on.
    """

    bar: Bar
    value: float
    parts: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the bar is cleared; None if it was not measured."""
        return self.bar.is_met_by(self.value)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; what is not a finite number is None."""
        return {
            "bar": self.bar.name,
            "title": self.bar.title,
            "needed": self.bar.needed,
            "aim": self.bar.aim,
            "is_cost": self.bar.is_cost,
            "value": _finite(self.value),
            "met": self.is_met,
            "parts": {name: _finite(value) for name, value in self.parts.items()},
            "note": self.note,
        }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


# --- one function a bar ----------------------------------------------------------------------


def first_frame(bench: Bench) -> Measurement:
    """Measure one click on the first frame of the generated sequences."""
    return _mean_over_sets("first-frame", bench.first_frames, lambda result: result.mean.J)


def propagated(bench: Bench) -> Measurement:
    """Measure one click on the generated sequences, propagated."""
    return _mean_over_sets("propagated", bench.propagated, lambda result: result.mean.J)


def microscopy(bench: Bench) -> Measurement:
    """Measure masks on the open microscopy, propagated."""
    return _mean_over_sets("microscopy", bench.focused, lambda result: result.mean.J)


def one_click(bench: Bench) -> Measurement:
    """Measure one click on one frame of every object of the open microscopy."""
    return _clicked("one-click", bench, 1)


def five_clicks(bench: Bench) -> Measurement:
    """Measure five clicks on one frame of every object of the open microscopy."""
    return _clicked("five-clicks", bench, FEW_CLICKS)


def medical(bench: Bench) -> Measurement:
    """Measure masks on the open CT and MR, propagated."""
    return _mean_over_sets("medical", bench.medical, lambda result: result.mean.J)


def clicks(bench: Bench) -> Measurement:
    """Measure how many clicks on one frame it takes until a mask is good, median over all objects of all open sets."""
    results = bench.clicked
    if not results:
        return Measurement(BARS["clicks"], math.nan)
    target = average(results).target
    medians = {result.name: _or_infinite(result.target.median_clicks) for result in results}
    return Measurement(
        BARS["clicks"],
        _or_infinite(target.median_clicks),
        medians | {"share of the objects that get there": target.reached},
        f"{len(target.spent)} objects; never: not within {bench.extent.clicks} clicks",
    )


def presence(bench: Bench) -> Measurement:
    """Measure whether object scores say who is there."""
    total = total_of(bench.presence.values())
    parts = {"sensitivity": total.sensitivity, "specificity": total.specificity}
    parts |= {name: counts.balanced_accuracy for name, counts in bench.presence.items()}
    seen, absent = total.seen + total.missed, total.imagined + total.rejected
    note = f"{seen} times there, {absent} times absent; mask on the first frame"
    return Measurement(BARS["presence"], total.balanced_accuracy, parts, note)


def focus(bench: Bench) -> Measurement:
    """Measure what windows gain over whole frames on small objects of the open microscopy."""
    stacks = bench.stacks("microscopy")
    gains, parts, num_small = [], {}, 0
    for stack, near, far in zip(stacks, bench.focused, bench.unfocused, strict=True):
        small = small_objects(stack) & set(object_means(near.rows))
        num_small += len(small)
        means = [_mean_of_objects(result, small) for result in (near, far)]
        gains.append(means[0] - means[1])
        parts |= {f"{stack.name} with": means[0], f"{stack.name} without": means[1]}
    parts["all objects of all sizes, without"] = mean_of(r.mean.J for r in bench.unfocused)
    return Measurement(BARS["focus"], mean_of(gains), parts, f"{num_small} objects")


def large_frames(bench: Bench) -> Measurement:
    """Measure what is lost where stacks are set into large frames; the worst of them counts."""
    results, parts = bench.embedded, {}
    for result in results:
        parts |= {f"{result.name} as it is": result.J, f"{result.name} set in": result.large_J}
    worst = max((result.loss for result in results), default=math.nan)
    counted = [f"{result.num_objects} x {result.num_frames}" for result in results]
    note = f"{bench.extent.large_side} px; objects x frames: {', '.join(counted)}; the worst set counts"
    return Measurement(BARS["large-frames"], worst, parts, note)


MEASURES: Mapping[str, Callable[[Bench], Measurement]] = {
    "first-frame": first_frame,
    "propagated": propagated,
    "microscopy": microscopy,
    "one-click": one_click,
    "five-clicks": five_clicks,
    "medical": medical,
    "clicks": clicks,
    "presence": presence,
    "focus": focus,
    "large-frames": large_frames,
}
"""What measures each bar."""


def small_objects(stack: ReferenceStack) -> set[int]:
    """Return the ids of the objects that are smaller than `SMALL_DIAMETER` on their prompted frame."""
    prompted = prompt_frames(stack.labels, prompt_choice(stack.kind))
    limit = math.pi * (SMALL_DIAMETER / 2) ** 2
    return {i for i in object_ids(stack.labels) if (stack.labels[prompted[i]] == i).sum() < limit}


def _mean_of_objects(result: StackResult, chosen: set[int]) -> float:
    means = object_means(result.rows)
    return mean_of(means[i].J for i in chosen)


def _clicked(name: str, bench: Bench, number: int) -> Measurement:
    results = [result for result in bench.clicked if result.group == "microscopy"]
    return _mean_over_sets(name, results, lambda result: result.curve[number - 1].mean.iou)


def _mean_over_sets(
    name: str, results: Sequence[StackResult], score: Callable[[StackResult], float]
) -> Measurement:
    parts = {result.name: score(result) for result in results}
    note = f"{len(results)} sets, {sum(result.num_objects for result in results)} objects"
    return Measurement(BARS[name], mean_of(parts.values()), parts, note if results else "")


def _or_infinite(median: float | None) -> float:
    return math.inf if median is None else median


# --- lines for a screen ----------------------------------------------------------------------

HEAD = f"{'bar':<62} {'needed':>9} {'aim':>6} {'measured':>9}  "


def measurement_line(measurement: Measurement) -> str:
    """Return one line under `HEAD`."""
    bar = measurement.bar
    verdict = {True: "met", False: "missed", None: "not measured"}[measurement.is_met]
    needed = f"{'<=' if bar.is_cost else '>='} {_text(bar.needed)}"
    aim = "" if bar.aim is None else _text(bar.aim)
    return f"{bar.title:<62} {needed:>9} {aim:>6} {_text(measurement.value):>9}  {verdict}"


def part_lines(measurement: Measurement) -> list[str]:
    """Return what a value is made of, indented."""
    lines = [f"    {name}: {_text(value)}" for name, value in measurement.parts.items()]
    return [f"    ({measurement.note})", *lines] if measurement.note else lines


def _text(value: float) -> str:
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "never"
    return f"{value:g}" if value == int(value) and value > 1 else f"{value:.3f}"
