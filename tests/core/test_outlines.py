"""Polygons against the rule, pixel by pixel; scribbles against their length."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.core.outlines import points_along, polygon_mask

SHAPE = (12, 10)
vertices = st.lists(
    st.tuples(st.floats(-5, 17, width=32), st.floats(-5, 15, width=32)), min_size=3, max_size=9
)


def is_inside(y, x, corners):
    """Count the edges to the left of a point."""
    odd = False
    for (y0, x0), (y1, x1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * ((x1 - x0) / (y1 - y0)) <= x:
            odd = not odd
    return odd


@given(vertices)
def test_a_pixel_belongs_to_the_polygon_that_its_centre_lies_in(corners):
    expected = [[is_inside(y, x, corners) for x in range(SHAPE[1])] for y in range(SHAPE[0])]
    np.testing.assert_array_equal(polygon_mask(np.array(corners), SHAPE), expected)


def test_a_box_drawn_as_a_polygon_is_that_box():
    mask = polygon_mask(np.array([(1.5, 2.5), (1.5, 6.5), (7.5, 6.5), (7.5, 2.5)]), SHAPE)
    assert mask.sum() == 6 * 4
    assert mask[2:8, 3:7].all()


def test_it_does_not_matter_where_a_polygon_begins_or_which_way_it_goes():
    corners = np.array([(1.0, 1.0), (10.0, 3.0), (6.0, 8.0), (2.0, 7.5)])
    masks = [
        polygon_mask(np.roll(way, k, 0), SHAPE)
        for way in (corners, corners[::-1])
        for k in range(4)
    ]
    assert all((mask == masks[0]).all() for mask in masks)


@given(
    st.lists(st.tuples(st.integers(1, 5), st.floats(0, 9)), min_size=1, max_size=6),
    st.floats(0.5, 10),
)
def test_points_along_a_path_are_as_far_apart_as_asked_and_hold_its_ends(steps, spacing):
    rows = np.cumsum([down for down, _ in steps])  # always downwards, so no place comes twice
    path = np.column_stack([rows, [x for _, x in steps]]).astype(float)
    points = points_along(path, spacing)
    np.testing.assert_allclose([points[0], points[-1]], path[[0, -1]], atol=1e-9)
    length = np.hypot(*np.diff(path, axis=0).T).sum()
    count = max(1, round(length / spacing))
    assert len(points) == (count + 1 if length else 1)
    for one, other in pairwise(points):
        assert np.hypot(*np.subtract(one, other)) <= length / count + 1e-6
