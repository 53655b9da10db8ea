"""Which frames of which objects are scored, and how scores are averaged.

The score of an object is the mean over the frames where the reference has it, the prompted frame left out; objects
with no other frame are skipped; the score of a set is the mean over its objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_sam2.core.references import StackKind

PromptFrame = Literal["first", "largest"]
"""Prompt an object where it appears first (time-lapse), or on its largest section (z-stack)."""

Predict = Callable[[int, int], np.ndarray]
"""(object_id, frame) -> predicted mask of that object, (Y, X) bool."""

Measure = Callable[[np.ndarray, np.ndarray], float]
"""(prediction, reference) -> score of one object on one frame, 0 to 1; both (Y, X) bool."""


@dataclass(frozen=True, slots=True)
class ObjectScore:
    """Scores of one object. `frames` are the scored frames, `values` their scores, in the same order."""

    object_id: int
    prompted_frame: int
    frames: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the scored frames."""
        return float(np.mean(self.values))


def object_ids(labels: np.ndarray) -> tuple[int, ...]:
    """Return the ids in `labels`, background 0 left out, in increasing order."""
    ids = np.unique(labels)
    return tuple(int(i) for i in ids[ids > 0])


def prompt_choice(kind: StackKind) -> PromptFrame:
    """Return where objects of a time-lapse or a z-stack are prompted."""
    return "first" if kind == "time" else "largest"


def prompt_frames(reference: np.ndarray, choice: PromptFrame) -> dict[int, int]:
    """Return the frame on which each object is prompted.

    Parameters
    ----------
    reference : ndarray of shape (T, Y, X), integer
        Label stack, 0 is background.
    choice : {"first", "largest"}
        First frame that has the object, or the frame where it has most pixels (the earlier one of a tie).

    Returns
    -------
    dict of int to int
        Object id to frame index.
    """
    ids = object_ids(reference)
    areas = np.stack([_areas(frame, ids) for frame in reference])  # (T, O)
    rows = (areas > 0).argmax(axis=0) if choice == "first" else areas.argmax(axis=0)
    return dict(zip(ids, (int(row) for row in rows), strict=True))


def _areas(frame: np.ndarray, ids: tuple[int, ...]) -> np.ndarray:
    present, counts = np.unique(frame, return_counts=True)
    area = dict(zip(present.tolist(), counts.tolist(), strict=True))
    return np.array([area.get(i, 0) for i in ids], dtype=np.int64)


def from_labels(labels: np.ndarray) -> Predict:
    """Read predicted masks out of a label stack (T, Y, X)."""
    return lambda object_id, frame: labels[frame] == object_id


def measure_objects(
    predict: Predict, reference: np.ndarray, prompted: Mapping[int, int], measure: Measure
) -> tuple[ObjectScore, ...]:
    """Score every object of `prompted` on the frames that count.

    Parameters
    ----------
    predict : callable (object_id, frame) -> ndarray of shape (Y, X), bool
        See `from_labels`.
    reference : ndarray of shape (T, Y, X), integer
        Label stack, 0 is background.
    prompted : mapping of int to int
        Object id to the frame on which it was prompted; that frame is not scored.
    measure : callable
        `region_similarity` or `boundary_accuracy`.

    Returns
    -------
    tuple of ObjectScore
        Objects that the reference shows on the prompted frame alone are left out.
    """
    scores = []
    for object_id, prompted_frame in prompted.items():
        present = np.flatnonzero((reference == object_id).any(axis=(1, 2)))
        frames = tuple(int(t) for t in present if t != prompted_frame)
        if frames:
            values = tuple(
                float(measure(predict(object_id, t), reference[t] == object_id)) for t in frames
            )
            scores.append(ObjectScore(object_id, prompted_frame, frames, values))
    return tuple(scores)


def mean_over_objects(scores: Iterable[ObjectScore]) -> float:
    """Return the score of a set: the mean of its objects' means, NaN if no object counts."""
    means = [score.mean for score in scores]
    return float(np.mean(means)) if means else float("nan")
