"""Measures of whole label stacks: CTC SEG, and how often an object changes its label."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import pairwise

import numpy as np

Place = tuple[int, int]
"""(object_id, frame)."""


def ctc_seg(
    prediction: np.ndarray, reference: np.ndarray, left_out: Collection[Place] = ()
) -> float:
    """Return SEG of the Cell Tracking Challenge: how well each object of each frame is covered by one label.

    Parameters
    ----------
    prediction, reference : ndarray of shape (T, Y, X), integer
        Label stacks, 0 is background; ids need not agree.
    left_out : collection of (object_id, frame)
        Objects of the reference that do not count there, for example because they were given as a prompt.

    Returns
    -------
    float
        Mean over the objects of all frames of the reference; NaN if there are none. A predicted label counts for an
        object if it covers more than half of its pixels; the score is then intersection over union, else 0.

    References
    ----------
    Maška et al., Bioinformatics 30 (2014), 1609.
    """
    scores = [
        score
        for t, (found, truth) in enumerate(zip(prediction, reference, strict=True))
        for object_id, score in _seg_of_frame(found, truth)
        if (object_id, t) not in left_out
    ]
    return float(np.mean(scores)) if scores else float("nan")


def _seg_of_frame(found: np.ndarray, truth: np.ndarray) -> Iterator[tuple[int, float]]:
    sizes = dict(zip(*np.unique(found, return_counts=True), strict=True))
    for object_id in np.unique(truth[truth > 0]):
        under = found[truth == object_id]
        label, common = _greatest_overlap(under)
        is_match = label > 0 and 2 * common > under.size
        union = under.size + int(sizes[label]) - common if is_match else 1
        yield int(object_id), common / union if is_match else 0.0


def identity_switches(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Return how often an object's label changes, per 100 steps from one frame to the next.

    Parameters
    ----------
    prediction, reference : ndarray of shape (T, Y, X), integer
        Label stacks, 0 is background.

    Returns
    -------
    float
        The label of an object on a frame is the one that covers most of its reference pixels (of a tie the lowest).
        Steps are pairs of consecutive frames which both have the object in the reference, summed over objects; where
        it has no label on one of the two, that step is no switch. 0 if there is no step.
    """
    labels = [_labels_by_object(*frames) for frames in zip(prediction, reference, strict=True)]
    steps = [
        (before[object_id], after[object_id])
        for before, after in pairwise(labels)
        for object_id in before.keys() & after.keys()
    ]
    switches = sum(old != new and old > 0 and new > 0 for old, new in steps)
    return 100.0 * switches / len(steps) if steps else 0.0


def _labels_by_object(found: np.ndarray, truth: np.ndarray) -> dict[int, int]:
    ids = np.unique(truth[truth > 0])
    return {int(i): _greatest_overlap(found[truth == i])[0] for i in ids}


def _greatest_overlap(under: np.ndarray) -> tuple[int, int]:
    """Return the label that is most frequent among the pixels `under` an object, and its count; (0, 0) if none is."""
    labels, counts = np.unique(under[under > 0], return_counts=True)
    if labels.size == 0:
        return 0, 0
    first = int(counts.argmax())
    return int(labels[first]), int(counts[first])
