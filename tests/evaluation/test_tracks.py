from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import contingency_table

from napari_sam2.evaluation.tracks import ctc_seg, identity_switches


def _line(*frames):
    """A stack of frames one pixel high."""
    return np.array(frames, np.uint16)[:, None, :]


def test_seg_worked_out_by_hand():
    reference = _line([1, 1, 1, 1, 0, 2, 2, 2])
    # Object 1: label 7 covers 3 of 4 and one pixel more: 3 / 5. Object 2: label 5 covers 2 of 3: 2 / 3.
    prediction = _line([0, 7, 7, 7, 7, 0, 5, 5])
    assert ctc_seg(prediction, reference) == pytest.approx((3 / 5 + 2 / 3) / 2)


def test_a_label_that_covers_half_or_less_does_not_count():
    reference = _line([1, 1, 1, 1])
    assert ctc_seg(_line([3, 3, 0, 0]), reference) == 0.0
    assert ctc_seg(_line([3, 3, 4, 4]), reference) == 0.0
    assert ctc_seg(_line([3, 3, 3, 4]), reference) == pytest.approx(3 / 4)


def test_each_object_of_each_frame_counts_alike_and_extra_labels_cost_nothing():
    reference = _line([1, 1, 0, 0, 2, 2], [1, 1, 0, 0, 0, 0])
    prediction = _line([4, 4, 9, 9, 0, 0], [4, 4, 0, 9, 9, 9])
    assert ctc_seg(prediction, reference) == pytest.approx(2 / 3)


def test_prompted_masks_can_be_left_out_and_nothing_gives_nan():
    reference = _line([1, 1, 2, 2], [1, 1, 0, 0])
    prediction = _line([1, 1, 2, 2], [0, 0, 0, 0])
    assert ctc_seg(prediction, reference, {(1, 0), (2, 0)}) == 0.0
    assert math.isnan(ctc_seg(prediction[:1], reference[:1], {(1, 0), (2, 0)}))


def test_seg_agrees_with_the_contingency_table_of_a_well_kept_package():
    rng = np.random.default_rng(0)
    truth = np.kron(rng.integers(0, 12, (2, 5, 5)), np.ones((1, 8, 8), int)).astype(np.uint16)
    found = np.where(rng.random(truth.shape) < 0.25, rng.integers(0, 12, truth.shape), truth)
    scores = []
    for frame, expected in zip(found, truth, strict=True):
        table = contingency_table(expected, frame).toarray()
        for object_id in range(1, table.shape[0]):
            if table[object_id].any():
                label = table[object_id, 1:].argmax() + 1
                common, size = table[object_id, label], table[object_id].sum()
                union = size + table[:, label].sum() - common
                scores.append(common / union if common > size / 2 else 0.0)
    assert 0.2 < np.mean(scores) < 0.9
    assert ctc_seg(found, truth) == pytest.approx(np.mean(scores))


def test_switches_worked_out_by_hand():
    # Labels of object 1: 5, 5, 6, 6; of object 2: 8, 8, 8, 5. Two switches in six steps.
    reference = _line(*[[1, 1, 1, 2, 2]] * 4)
    prediction = _line([5, 5, 8, 8, 8], [5, 5, 0, 8, 8], [6, 6, 5, 8, 8], [6, 0, 0, 5, 5])
    assert identity_switches(prediction, reference) == pytest.approx(100 * 2 / 6)


def test_the_label_of_greatest_overlap_counts_and_of_a_tie_the_lowest():
    reference = _line([1, 1, 1], [1, 1, 1])
    assert identity_switches(_line([3, 3, 4], [4, 3, 3]), reference) == 0.0
    assert identity_switches(_line([3, 4, 0], [4, 3, 0]), reference) == 0.0
    assert identity_switches(_line([3, 3, 4], [4, 3, 4]), reference) == 100.0


def test_a_lost_object_is_no_switch_and_a_gap_in_the_reference_no_step():
    reference = _line(*[[1, 1]] * 3)
    assert identity_switches(_line([3, 3], [0, 0], [4, 4]), reference) == 0.0
    reference[1] = 0
    assert identity_switches(_line([3, 3], [0, 0], [4, 4]), reference) == 0.0
