from __future__ import annotations

import math

import numpy as np
import pytest

from napari_sam2.evaluation.objects import from_labels
from napari_sam2.evaluation.scores import (
    FrameScore,
    mean_of,
    mean_score,
    object_means,
    score_frames,
)


@pytest.fixture
def reference():
    """Object 1 on frames 0 to 2, object 2 on frame 1 alone."""
    labels = np.zeros((4, 20, 20), np.uint16)
    labels[:3, 2:6, 2:6] = 1
    labels[1, 10:14, 10:14] = 2
    return labels


def test_every_frame_of_the_reference_has_a_row_and_the_prompted_one_does_not_count(reference):
    rows = score_frames(from_labels(reference), reference, {1: 1, 2: 1})
    places = [(row.object_id, row.frame, row.is_prompted, row.is_scored) for row in rows]
    assert places == [
        (1, 0, False, True),
        (1, 1, True, False),
        (1, 2, False, True),
        (2, 1, True, False),
    ]
    assert {(row.J, row.F, row.dice, row.JF) for row in rows} == {(1.0, 1.0, 1.0, 1.0)}


def test_on_a_single_frame_the_prompted_one_alone_counts(reference):
    rows = score_frames(from_labels(reference), reference, {1: 0, 2: 1}, on_prompted=True)
    places = [(row.object_id, row.frame, row.is_prompted, row.is_scored) for row in rows]
    assert places == [(1, 0, True, True), (2, 1, True, True)]


def test_scores_of_a_shifted_square_worked_out_by_hand(reference):
    shifted = np.roll(
        reference, 1, axis=1
    )  # 12 of 16 pixels in common; the outlines stay within one pixel
    row = score_frames(from_labels(shifted), reference, {1: 0})[1]
    assert row.J == pytest.approx(12 / 20)
    assert row.dice == pytest.approx(24 / 32)
    assert row.F == 1.0
    assert row.JF == pytest.approx((12 / 20 + 1) / 2)


def _row(object_id, frame, j, f, *, scored=True):
    return FrameScore(object_id, frame, not scored, scored, j, f, 0.5)


def test_a_set_is_the_mean_of_objects_and_iou_that_of_all_frames_alike():
    rows = [
        _row(1, 0, 0.0, 0.0, scored=False),
        _row(1, 1, 0.2, 0.4),
        _row(1, 2, 0.4, 0.6),
        _row(1, 3, 0.6, 0.8),
        _row(2, 1, 1.0, 1.0),
    ]
    mean = mean_score(rows)
    assert mean.J == pytest.approx((0.4 + 1.0) / 2)
    assert mean.F == pytest.approx((0.6 + 1.0) / 2)
    assert mean.JF == pytest.approx((0.7 + 0.8) / 2)
    assert mean.dice == pytest.approx(0.5)
    assert mean.iou == pytest.approx((0.2 + 0.4 + 0.6 + 1.0) / 4)
    assert object_means(rows)[1].J == pytest.approx(0.4)


def test_an_object_without_a_scored_frame_has_no_mean_and_nothing_gives_nan():
    rows = [_row(1, 0, 1.0, 1.0, scored=False)]
    assert object_means(rows) == {}
    assert math.isnan(mean_score(rows).J)
    assert math.isnan(mean_score([]).iou)


def test_a_mean_leaves_out_what_is_not_known():
    assert mean_of([1.0, None, float("nan"), 2.0]) == 1.5
    assert math.isnan(mean_of([None]))
