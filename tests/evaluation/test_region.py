from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_sam2.evaluation.region import copy_floor, dice, region_similarity
from napari_sam2.evaluation.stacks import read_stacks

OPEN_STACKS = Path(__file__).parents[3] / "shared" / "data"
# Mean J of copying the mask, from the README of that folder.
PUBLISHED_FLOORS = {
    "t98g_phase": 0.19,
    "c2c12_phase": 0.29,
    "ovule_confocal_z": 0.49,
    "ct_msd_spleen": 0.43,
    "mr_sts002_t1": 0.56,
    "mr_sct_t2_cord": 0.83,
}


def _square(y, x, side=4, shape=(12, 12)):
    mask = np.zeros(shape, bool)
    mask[y : y + side, x : x + side] = True
    return mask


def test_region_similarity_is_intersection_over_union():
    # 4 x 4 squares shifted by one row: 12 pixels in common, 20 in all.
    assert region_similarity(_square(2, 2), _square(3, 2)) == pytest.approx(12 / 20)
    assert dice(_square(2, 2), _square(3, 2)) == pytest.approx(24 / 32)


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


@pytest.mark.skipif(not OPEN_STACKS.is_dir(), reason="../shared/data is not here")
def test_copy_floors_of_the_open_stacks_are_the_published_ones():
    floors = {
        stack.name: copy_floor(stack.labels, stack.prompt_frame)
        for stack in read_stacks(OPEN_STACKS)
    }
    # The table gives two digits, so a correct value lies within half a digit of it.
    assert floors == pytest.approx(PUBLISHED_FLOORS, abs=0.005)
