"""Scores of every object on every frame, and their means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from napari_sam2.evaluation.boundary import boundary_accuracy
from napari_sam2.evaluation.objects import Predict
from napari_sam2.evaluation.region import dice, region_similarity

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class FrameScore:
    """One object on one frame that has it in the reference.

    `is_prompted`: the frame was prompted first; `is_scored`: it counts in means; `J`, `F`, `dice`: 0 to 1.
    """

    object_id: int
    frame: int
    is_prompted: bool
    is_scored: bool
    J: float
    F: float
    dice: float

    @property
    def JF(self) -> float:
        """Mean of J and F."""
        return (self.J + self.F) / 2


@dataclass(frozen=True, slots=True)
class MeanScore:
    """Means over the scored frames of an object, or over objects. `iou`: over all scored frames alike."""

    J: float = NAN
    F: float = NAN
    dice: float = NAN
    iou: float = NAN

    @property
    def JF(self) -> float:
        """Mean of J and F."""
        return (self.J + self.F) / 2


def score_frames(
    predict: Predict,
    reference: np.ndarray,
    prompted: Mapping[int, int],
    *,
    on_prompted: bool = False,
) -> tuple[FrameScore, ...]:
    """Score every object on every frame that has it.

    Parameters
    ----------
    predict : callable (object_id, frame) -> ndarray of shape (Y, X), bool
        The predicted mask.
    reference : ndarray of shape (T, Y, X), integer
        Label stack, 0 is background.
    prompted : mapping of int to int
        Object id to the frame that was prompted first; it does not count.
    on_prompted : bool
        The prompted frame alone is looked at and counts: for clicks on a single frame.

    Returns
    -------
    tuple of FrameScore
        By object, then frame. An object that the reference shows on the prompted frame alone has no scored one.
    """
    return tuple(
        _score(predict, reference, object_id, t, t == start, (t == start) == on_prompted)
        for object_id, start in prompted.items()
        for t in np.flatnonzero((reference == object_id).any(axis=(1, 2))).tolist()
        if t == start or not on_prompted
    )


def _score(
    predict: Predict, reference: np.ndarray, object_id: int, t: int, prompted: bool, scored: bool
) -> FrameScore:
    found, truth = predict(object_id, t), reference[t] == object_id
    return FrameScore(
        object_id,
        t,
        prompted,
        scored,
        region_similarity(found, truth),
        boundary_accuracy(found, truth),
        dice(found, truth),
    )


def object_means(rows: Iterable[FrameScore]) -> dict[int, MeanScore]:
    """Return the means of each object that has a scored frame, by its id."""
    by_object: dict[int, list[FrameScore]] = {}
    for row in rows:
        if row.is_scored:
            by_object.setdefault(row.object_id, []).append(row)
    return {object_id: _mean(scored) for object_id, scored in by_object.items()}


def mean_score(rows: Iterable[FrameScore]) -> MeanScore:
    """Return the score of a set: means of its objects' means, and the plain mean IoU; NaN if nothing counts."""
    scored = [row for row in rows if row.is_scored]
    means = object_means(scored).values()
    return MeanScore(
        *(mean_of(getattr(mean, name) for mean in means) for name in ("J", "F", "dice")),
        iou=mean_of(row.J for row in scored),
    )


def mean_of(values: Iterable[float | None]) -> float:
    """Return the mean of what there is: None and NaN are left out; NaN if nothing is left."""
    known = [value for value in values if value is not None and not np.isnan(value)]
    return float(np.mean(known)) if known else NAN


def _mean(rows: list[FrameScore]) -> MeanScore:
    values = np.array([(row.J, row.F, row.dice) for row in rows]).mean(axis=0).tolist()
    return MeanScore(*values, iou=values[0])
