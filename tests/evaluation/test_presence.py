from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from napari_sam2.evaluation.presence import PresenceCounts, count_presence, total_of


@dataclass(frozen=True)
class Record:
    object_score: float


class Said:
    """A session of which only the object scores are known: (object, frame) to logit."""

    def __init__(self, scores):
        self.scores = scores

    def record(self, object, frame):
        score = self.scores.get((object, frame))
        return None if score is None else Record(score)


@pytest.fixture
def reference():
    """Object 1 is there on frames 0, 1 and 4 of five; object 2 on all."""
    labels = np.zeros((5, 4, 4), np.uint16)
    labels[[0, 1, 4], 0, 0] = 1
    labels[:, 3, 3] = 2
    return labels


def test_balanced_accuracy_worked_out_by_hand():
    counts = PresenceCounts(seen=6, missed=2, imagined=3, rejected=1)
    assert (counts.sensitivity, counts.specificity) == (0.75, 0.25)
    assert counts.balanced_accuracy == 0.5


def test_always_yes_is_worth_a_half_however_rare_absence_is():
    assert PresenceCounts(seen=99, imagined=1).balanced_accuracy == 0.5


def test_without_absences_there_is_no_balanced_accuracy():
    counts = PresenceCounts(seen=3, missed=1)
    assert counts.sensitivity == 0.75
    assert math.isnan(counts.specificity)
    assert math.isnan(counts.balanced_accuracy)


def test_every_object_and_frame_but_the_prompted_one_is_judged(reference):
    scores = {(1, 0): -5.0, (1, 1): 2.0, (1, 2): 0.5, (1, 3): -1.0, (1, 4): -2.0}
    scores |= {(2, t): 1.0 for t in range(5)}
    counts = count_presence(Said(scores), reference, {1: 0, 2: 2})
    # Object 1: seen on 1, imagined on 2, rejected on 3, missed on 4. Object 2: seen on 0, 1, 3, 4.
    assert counts == PresenceCounts(seen=5, missed=1, imagined=1, rejected=1)
    assert counts.balanced_accuracy == pytest.approx((5 / 6 + 1 / 2) / 2)


def test_a_score_of_zero_or_nothing_known_is_absent(reference):
    counts = count_presence(Said({(1, 1): 0.0}), reference, {1: 0})
    assert counts == PresenceCounts(missed=2, rejected=2)


def test_unclear_frames_do_not_count(reference):
    unclear = np.zeros((5, 2), bool)
    unclear[3, 0] = True
    counts = count_presence(Said({(1, t): 1.0 for t in range(5)}), reference, {1: 0}, unclear)
    assert counts == PresenceCounts(seen=2, imagined=1)


def test_counts_add_up():
    assert total_of([PresenceCounts(1, 2, 3, 4), PresenceCounts(1, 1, 1, 1)]) == PresenceCounts(
        2, 3, 4, 5
    )
    assert total_of([]) == PresenceCounts()
