"""Is the object there? How often a model's object score says so rightly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from napari_sam2.evaluation.scores import NAN
from napari_sam2.evaluation.sessions import TrackingSession


class Record(Protocol):
    """What is known of an object on a frame."""

    @property
    def object_score(self) -> float:
        """Logit; absent if <= 0."""


class ScoredSession(TrackingSession, Protocol):
    """A session that tells object scores; `napari_sam2.Session` is one."""

    def record(self, object: int, frame: int) -> Record | None:
        """Return what is known of an object on a frame, None if nothing is."""


@dataclass(frozen=True, slots=True)
class PresenceCounts:
    """How many frames of how many objects were judged how.

    `seen`, `missed`: the reference has the object, and the model says so or not; `imagined`, `rejected`: it has not.
    """

    seen: int = 0
    missed: int = 0
    imagined: int = 0
    rejected: int = 0

    def __add__(self, other: PresenceCounts) -> PresenceCounts:
        return PresenceCounts(
            self.seen + other.seen,
            self.missed + other.missed,
            self.imagined + other.imagined,
            self.rejected + other.rejected,
        )

    @property
    def sensitivity(self) -> float:
        """Share of what is there that is said to be there; NaN if nothing is."""
        return _share(self.seen, self.missed)

    @property
    def specificity(self) -> float:
        """Share of what is absent that is said to be absent; NaN if nothing is."""
        return _share(self.rejected, self.imagined)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of sensitivity and specificity; 0.5 for a model that always says the same."""
        return (self.sensitivity + self.specificity) / 2


def _share(right: int, wrong: int) -> float:
    return right / (right + wrong) if right + wrong else NAN


def count_presence(
    session: ScoredSession,
    reference: np.ndarray,
    prompted: Mapping[int, int],
    unclear: np.ndarray | None = None,
) -> PresenceCounts:
    """Compare the object scores of tracked frames with the reference.

    Parameters
    ----------
    session : ScoredSession
        After propagation. A frame of which it knows nothing counts as absent.
    reference : ndarray of shape (T, Y, X), integer
        Label stack, 0 is background.
    prompted : mapping of int to int
        Object id to its prompted frame, which does not count.
    unclear : ndarray of shape (T, O), bool, optional
        Frames that do not count for the object with id 1 + column.

    Returns
    -------
    PresenceCounts
        Over all objects and frames.
    """
    if unclear is None:
        unclear = np.zeros((len(reference), max(prompted, default=0)), bool)
    judged = (
        _judge(session, reference, object_id, t)
        for object_id, start in prompted.items()
        for t in range(len(reference))
        if t != start and not unclear[t, object_id - 1]
    )
    return total_of(judged)


def _judge(session: ScoredSession, reference: np.ndarray, object_id: int, t: int) -> PresenceCounts:
    record = session.record(object_id, t)
    is_said = record is not None and record.object_score > 0
    if (reference[t] == object_id).any():
        return PresenceCounts(seen=int(is_said), missed=int(not is_said))
    return PresenceCounts(imagined=int(is_said), rejected=int(not is_said))


def total_of(counts: Iterable[PresenceCounts]) -> PresenceCounts:
    """Return the sum."""
    return sum(counts, PresenceCounts())
