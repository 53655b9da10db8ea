"""Results as lines for a screen and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from napari_sam2.evaluation.clicks import Annotator
from napari_sam2.evaluation.protocols import Protocol
from napari_sam2.evaluation.results import CurvePoint, StackResult, Target, average
from napari_sam2.evaluation.scores import FrameScore, MeanScore

SUMMARY_HEAD = (
    f"{'stack':<24} {'prompt':<8} {'objects':>7} {'J':>6} {'F':>6} {'J&F':>6} {'Dice':>6} {'IoU':>6} "
    f"{'SEG':>6} {'ids/100':>7} {'copy':>6} {'otsu':>6} {'s/frame':>8}"
)


def summary_line(result: StackResult) -> str:
    """Return one line under `SUMMARY_HEAD`; what was not measured is a dash."""
    mean = result.mean
    scores = (mean.J, mean.F, mean.JF, mean.dice, mean.iou, result.ctc_seg)
    return (
        f"{result.name:<24} {result.prompt:<8} {result.num_objects:>7} "
        f"{' '.join(f'{number_text(score):>6}' for score in scores)} "
        f"{number_text(result.switches, 1):>7} {number_text(result.copy_J):>6} "
        f"{number_text(result.otsu_J):>6} {number_text(result.seconds_per_frame, 2):>8}"
    )


def number_text(value: float | None, digits: int = 3) -> str:
    """Return a number, or a dash for None and NaN."""
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def curve_table(curve: Sequence[CurvePoint], unit: str) -> str:
    """Return a head and one line for each round; `unit`: what rounds count."""
    head = f"{unit:>15} {'clicks':>7} {'seconds':>8} {'J':>6} {'F':>6} {'J&F':>6}"
    return "\n".join([head, *map(_curve_line, curve)])


def _curve_line(point: CurvePoint) -> str:
    scores = (point.mean.J, point.mean.F, point.mean.JF)
    return (
        f"{point.number:>15} {point.clicks:>7.1f} {number_text(point.seconds, 1):>8} "
        f"{' '.join(f'{number_text(score):>6}' for score in scores)}"
    )


def target_line(target: Target, unit: str) -> str:
    """Return how much it took to reach the target, in words; `unit`: what the target is a value of."""
    return (
        f"{unit} of {target.value:.2f}: reached by {target.reached:.0%} of the objects; median over objects: "
        f"{number_text(target.median_clicks, 1)} clicks, {number_text(target.median_frames, 1)} frames"
    )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that one model, or what needs none, was found to be on some stacks.

    `model`: its name; `sha256`: of its weights, None without a model; `version`: of this package; `method`: ``model``,
    ``copy`` or ``otsu``; `protocol`, `annotator`: how it was prompted, None without a model; `focus`, `quality`,
    `precision`: how the network was used, None without a model.
    """

    model: str
    sha256: str | None
    version: str
    method: str
    results: tuple[StackResult, ...]
    protocol: Protocol | None = None
    annotator: Annotator | None = None
    focus: bool | None = None
    quality: str | None = None
    precision: str | None = None

    @property
    def mean(self) -> StackResult:
        """Mean over the stacks."""
        return average(self.results)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, one row for each object and frame; what could not be scored is None."""
        rows = [_row(result.name, row) for result in self.results for row in result.rows]
        return without_nan(
            {
                "model": self.model,
                "sha256": self.sha256,
                "version": self.version,
                "method": self.method,
                "protocol": self.protocol and asdict(self.protocol),
                "annotator": self.annotator and asdict(self.annotator),
                "focus": self.focus,
                "quality": self.quality,
                "precision": self.precision,
                **_summary(self.mean),
                "stacks": [
                    {"name": result.name, "group": result.group, "kind": result.kind}
                    | _summary(result)
                    for result in self.results
                ],
                "rows": rows,
            }
        )


def to_json(evaluations: Sequence[Evaluation]) -> str:
    """Return indented JSON: an object for one evaluation, a list for several."""
    contents = [evaluation.to_dict() for evaluation in evaluations]
    content = contents[0] if len(contents) == 1 else contents
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _summary(result: StackResult) -> dict[str, Any]:
    return {
        **_means(result.mean),
        "ctc_seg": result.ctc_seg,
        "identity_switches_per_100_frames": result.switches,
        "copy_J": result.copy_J,
        "otsu_J": result.otsu_J,
        "objects": result.num_objects,
        "frames": result.num_frames,
        "seconds_per_frame": result.seconds_per_frame,
        "prompt": result.prompt,
        "target": result.target and _target(result.target),
        "curve": [
            {
                "round": point.number,
                "prompted_frames": point.frames,
                "clicks": point.clicks,
                "annotator_seconds": point.seconds,
                **_means(point.mean),
            }
            for point in result.curve
        ],
    }


def _target(target: Target) -> dict[str, float | None]:
    return {
        "value": target.value,
        "reached": target.reached,
        "median_clicks": target.median_clicks,
        "median_frames": target.median_frames,
    }


def _means(mean: MeanScore) -> dict[str, float]:
    return {
        "mean_J": mean.J,
        "mean_F": mean.F,
        "mean_JF": mean.JF,
        "mean_dice": mean.dice,
        "mean_iou": mean.iou,
    }


def _row(stack: str, row: FrameScore) -> dict[str, Any]:
    return {
        "stack": stack,
        "object": row.object_id,
        "frame": row.frame,
        "prompted": row.is_prompted,
        "scored": row.is_scored,
        "J": row.J,
        "F": row.F,
        "dice": row.dice,
    }


def without_nan(value: Any) -> Any:
    """JSON has no NaN: what could not be scored is None."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
