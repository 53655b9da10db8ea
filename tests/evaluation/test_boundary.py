from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import dilation, disk

from napari_sam2.evaluation.boundary import boundary_accuracy, outline, tolerance_pixels


def _rectangle(y0, x0, y1, x1, shape=(100, 100)):
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_the_outline_of_a_square_is_a_closed_ring_one_pixel_wide():
    ring = outline(_rectangle(3, 4, 5, 6, (8, 8)))
    expected = np.zeros((8, 8), bool)
    expected[2:5, 3:6] = True  # one pixel up and left of the square: both sides of the border
    expected[3, 4] = False
    assert np.array_equal(ring, expected)


def test_the_edge_of_the_frame_is_no_outline():
    assert not outline(np.ones((5, 7), bool)).any()
    assert outline(_rectangle(0, 0, 5, 3, (5, 7))).sum() == 5  # only the side inside the frame


@pytest.mark.parametrize(
    ("shape", "pixels"), [((480, 854), 8), ((100, 100), 2), ((256, 256), 3), ((52, 60), 1)]
)
def test_the_tolerance_is_a_share_of_the_diagonal_rounded_up(shape, pixels):
    assert tolerance_pixels(shape) == pixels


def test_equal_masks_are_perfect():
    mask = _rectangle(20, 30, 50, 70)
    assert boundary_accuracy(mask, mask) == 1.0


def test_a_shift_within_the_tolerance_costs_nothing():
    assert boundary_accuracy(_rectangle(20, 20, 40, 40), _rectangle(20, 22, 40, 42)) == 1.0


def test_a_shifted_square_worked_out_by_hand():
    # Squares of 10 pixels, 5 columns apart, tolerance 2: each outline is a ring of 40 pixels. Of either, 8 + 8 pixels
    # of the horizontal sides are within 2 of the other ring (6 on it, 2 beyond its corner), and of the upright side
    # that lies inside the other square the 2 + 2 pixels next to its horizontal sides. 20 of 40 match both ways.
    assert boundary_accuracy(_rectangle(20, 20, 30, 30), _rectangle(20, 25, 30, 35)) == 0.5


def test_precision_and_recall_are_averaged_harmonically():
    # The prediction adds a far square of the same size: recall 1, precision one half.
    reference = _rectangle(10, 10, 20, 20)
    prediction = reference | _rectangle(60, 60, 70, 70)
    assert boundary_accuracy(prediction, reference) == pytest.approx(2 * 0.5 / 1.5)
    assert boundary_accuracy(reference, prediction) == pytest.approx(2 * 0.5 / 1.5)


def test_the_disc_is_round():
    # Single pixels: rings of 2 x 2. With tolerance 2 a diagonal offset of 2 is out of reach of opposite corners.
    dot, other = _rectangle(50, 50, 51, 51), _rectangle(52, 52, 53, 53)
    # Ring of dot: rows 49-50, columns 49-50; of other: 51-52. Pairs within 2: (50, 50) reaches (51, 51), (51, 52) has
    # distance sqrt(5). (49, 50) reaches (51, 50)? That is not on the ring. So 1 of 4 matches, both ways.
    assert boundary_accuracy(dot, other) == pytest.approx(0.25)


def test_nothing_against_something_is_zero_and_against_nothing_is_one():
    empty, mask = np.zeros((100, 100), bool), _rectangle(10, 10, 20, 20)
    assert boundary_accuracy(empty, mask) == boundary_accuracy(mask, empty) == 0.0
    assert boundary_accuracy(empty, empty) == 1.0


def _by_definition(prediction, reference, radius):
    first, second = outline(prediction), outline(reference)
    precision = (first & dilation(second, disk(radius))).sum() / first.sum()
    recall = (second & dilation(first, disk(radius))).sum() / second.sum()
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("seed", range(6))
def test_random_blobs_score_as_by_dilation_of_the_whole_frame(seed):
    noise = np.random.default_rng(seed).standard_normal((2, 120, 160))
    first, second = ndimage.gaussian_filter(noise, (0, 6, 6)) > 0.01
    radius = tolerance_pixels(first.shape)
    assert boundary_accuracy(first, second) == pytest.approx(_by_definition(first, second, radius))
    inner = [mask & _rectangle(30, 40, 90, 110, mask.shape) for mask in (first, second)]
    assert boundary_accuracy(*inner) == pytest.approx(_by_definition(*inner, radius))
