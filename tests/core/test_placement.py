import math

import numpy as np
import pytest

from napari_sam2.core.errors import ImageError
from napari_sam2.core.placement import Placement

OBLIQUE = np.array([[0, -0.5, 0, 10], [2, 0, 0, -3], [0, 0, 0.25, 1], [0, 0, 0, 1.0]])


def test_spacing_is_the_distance_between_pixels_whatever_the_direction():
    assert Placement.of(OBLIQUE).spacing == (2.0, 0.5, 0.25)
    assert Placement.from_scale((1, -0.3, 0.3)).spacing == pytest.approx((1, 0.3, 0.3))


def test_straight_is_what_has_no_rotation():
    assert Placement.from_scale((1, -0.3, 0.3), (5, 6, 7)).is_straight
    assert not Placement.of(OBLIQUE).is_straight


def test_plain_is_what_nothing_is_known_about():
    assert Placement.plain(3).is_plain
    assert not Placement.from_scale((1, 1), units=("um", "um")).is_plain
    assert not Placement.from_scale((1, 2)).is_plain


def test_taking_keeps_what_belongs_to_the_axes_that_are_left():
    whole = Placement.from_scale((9, 2, 0.5), (1, 2, 3), ("s", "um", "mm"), ("t", "y", "x"))
    assert whole.taking([1, 2]) == Placement.from_scale((2, 0.5), (2, 3), ("um", "mm"), ("y", "x"))
    assert whole.taking([2, 1]).labels == ("x", "y")


def test_where_a_left_out_axis_stands_moves_what_is_left_of_an_oblique_image():
    tilted = OBLIQUE + np.array([[0.3, 0, 0.1, 0], [0, 0.4, 0, 0], [0, 0.2, 0, 0], [0] * 4])
    whole = Placement.of(tilted)
    cut = whole.taking([0, 2], {1: 3})
    there = whole.as_array() @ (1, 3, 2, 1)
    np.testing.assert_allclose(cut.as_array() @ (1, 2, 1), there[[0, 2, 3]])


def test_a_plane_that_stands_on_edge_keeps_the_size_of_its_pixels():
    cut = Placement.of(OBLIQUE).taking([0, 2])
    assert cut.spacing == (2, 0.25)
    assert cut.is_straight


def test_a_pixel_measures_what_its_edges_span_in_their_units():
    placement = Placement.from_scale((5, 2, 500), units=("s", "µm", "nm"))
    assert placement.pixel_measure([1, 2]) == pytest.approx(2e-6 * 500e-9)
    assert placement.pixel_measure([0, 1, 2]) is None  # seconds are no length
    turned = Placement.of(OBLIQUE, ("mm", "mm", "mm"))
    assert turned.pixel_measure([0, 1, 2]) == pytest.approx(0.25e-9)


@pytest.mark.parametrize("wrong", [np.diag([1, 0, 1.0]), np.diag([1, math.nan, 1.0])])
def test_a_placement_that_squeezes_the_image_flat_is_refused(wrong):
    with pytest.raises(ImageError, match="inverted"):
        Placement.of(wrong)


def test_a_matrix_of_the_wrong_size_is_refused():
    with pytest.raises(ImageError, match="3 x 3"):
        Placement(((1.0,),), ("um", "um"), ("y", "x"))
