from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import distance

from napari_sam2.evaluation.region import copy_floor, dice, region_similarity


def _square(y, x, side=4, shape=(12, 12)):
    mask = np.zeros(shape, bool)
    mask[y : y + side, x : x + side] = True
    return mask


def test_region_similarity_is_intersection_over_union():
    # 4 x 4 squares shifted by one row: 12 pixels in common, 20 in all.
    assert region_similarity(_square(2, 2), _square(3, 2)) == pytest.approx(12 / 20)
    assert dice(_square(2, 2), _square(3, 2)) == pytest.approx(24 / 32)


def test_region_similarity_and_dice_agree_with_a_well_kept_package():
    first, second = np.random.default_rng(5).random((2, 40, 50)) > 0.6
    j = 1 - distance.jaccard(first.ravel(), second.ravel())
    assert region_similarity(first, second) == pytest.approx(j)
    assert dice(first, second) == pytest.approx(1 - distance.dice(first.ravel(), second.ravel()))


def test_disjoint_masks_score_nothing_and_two_empty_ones_everything():
    empty = np.zeros((12, 12), bool)
    assert region_similarity(_square(0, 0), _square(6, 6)) == 0.0
    assert region_similarity(empty, _square(0, 0)) == 0.0
    assert region_similarity(empty, empty) == dice(empty, empty) == 1.0


def test_copy_floor_worked_out_by_hand():
    labels = np.zeros((3, 12, 12), np.uint16)
    labels[0][_square(2, 2)] = 1
    labels[1][_square(3, 2)] = 1  # 12 / 20
    labels[2][_square(4, 2)] = 1  # 8 / 24
    labels[1][_square(8, 8, 2)] = 2  # larger, on frame 1
    labels[2][_square(8, 8, 1)] = 2  # 1 / 4
    first = (12 / 20 + 8 / 24) / 2
    assert copy_floor(labels, "first") == pytest.approx((first + 1 / 4) / 2)


def test_copy_floor_of_a_z_stack_starts_from_the_largest_section():
    labels = np.zeros((2, 12, 12), np.uint16)
    labels[0][_square(2, 2, 3)] = 1
    labels[1][_square(2, 2, 4)] = 1
    assert copy_floor(labels, "largest") == pytest.approx(9 / 16)
