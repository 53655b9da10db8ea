from __future__ import annotations

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from napari_sam2.evaluation.clicks import Click
from napari_sam2.evaluation.floors import otsu_prediction, otsu_threshold
from napari_sam2.evaluation.region import region_similarity
from napari_sam2.testing import moving_discs


def test_the_threshold_separates_two_classes():
    frame = np.array([[10.0] * 6, [10, 10, 50, 50, 12, 48]])
    assert 12 <= otsu_threshold(frame) < 48


def test_the_threshold_agrees_with_a_well_kept_package():
    rng = np.random.default_rng(3)
    frame = np.where(rng.random((64, 64)) > 0.7, 90.0, 30.0) + 8 * rng.standard_normal((64, 64))
    bin_width = np.ptp(frame) / 256
    assert otsu_threshold(frame) == pytest.approx(threshold_otsu(frame), abs=1.01 * bin_width)


@pytest.mark.parametrize("invert", [False, True])
def test_a_bright_or_dark_object_is_followed_by_overlap(invert):
    video, labels = moving_discs(8, 64, 1)
    video = 255 - video if invert else video
    y, x = (int(np.mean(axis)) for axis in np.nonzero(labels[3] == 1))
    predict = otsu_prediction(video, {1: (3, Click(y, x))}, smoothing=0)
    for t in range(8):
        assert region_similarity(predict(1, t), labels[t] == 1) > 0.95


def test_an_object_that_jumps_is_taken_up_at_the_nearest_component():
    video = np.zeros((2, 20, 40))
    video[0, 8:12, 4:8] = 100
    video[1, 8:12, 12:16] = 100
    video[1, 8:12, 30:34] = 100
    predict = otsu_prediction(video, {1: (0, Click(9, 5))}, smoothing=0)
    expected = np.zeros((20, 40), bool)
    expected[8:12, 12:16] = True
    assert np.array_equal(predict(1, 1), expected)
