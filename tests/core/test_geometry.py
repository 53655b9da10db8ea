from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.core import geometry
from napari_sam2.core.errors import ImageError
from napari_sam2.core.views import View

positions = st.floats(-1e4, 1e4)
lengths = st.integers(1, 5000)
views = st.builds(View, st.integers(-500, 5000), st.integers(-500, 5000), lengths, lengths)
sides = st.sampled_from([64, 256, 512, 1024])


@given(positions, positions, views, sides)
def test_frame_to_model_and_back_is_the_same_position(y, x, view, side):
    there = geometry.frame_to_model([(y, x)], view, side)
    back = geometry.model_to_frame(there, view, side)
    np.testing.assert_allclose(back, [(y, x)], rtol=0, atol=1e-7)


@given(positions, positions, positions, positions, views, sides)
def test_box_to_model_and_back_is_the_same_box(y0, x0, y1, x1, view, side):
    there = geometry.box_to_model((y0, x0, y1, x1), view, side)
    back = geometry.box_from_model(there, view, side)
    np.testing.assert_allclose(back, (y0, x0, y1, x1), rtol=0, atol=1e-7)


def test_a_frame_of_the_models_side_changes_only_the_order():
    view = View.whole((64, 64))
    np.testing.assert_array_equal(geometry.frame_to_model([(3, 5)], view, 64), [(5, 3)])


def test_half_pixel_rule_keeps_the_outer_edges_on_the_outer_edges():
    view = View(10, 20, 100, 50)
    edges = geometry.frame_to_model([(9.5, 19.5), (109.5, 69.5)], view, 1024)
    np.testing.assert_allclose(edges, [(-0.5, -0.5), (1023.5, 1023.5)])


def test_first_pixel_centre_of_a_frame_half_the_side_lies_between_two_model_pixels():
    view = View.whole((32, 16))
    np.testing.assert_allclose(geometry.frame_to_model([(0, 0)], view, 64), [(1.5, 0.5)])


def test_a_box_is_converted_corner_by_corner_like_points():
    view = View(2, 4, 30, 60)
    corners = geometry.frame_to_model([(5, 6), (20, 40)], view, 256)
    assert geometry.box_to_model((5, 6, 20, 40), view, 256) == tuple(corners.ravel())


def test_pixel_box_outline_runs_half_a_pixel_outside_the_centres():
    assert geometry.outline_of_pixels((3, 4, 8, 9)) == (2.5, 3.5, 7.5, 8.5)


@given(st.tuples(*[st.integers(0, 100)] * 2), st.tuples(*[st.integers(1, 100)] * 2))
def test_pixels_in_outline_undoes_outline_of_pixels(start, size):
    box = (start[0], start[1], start[0] + size[0], start[1] + size[1])
    assert geometry.pixels_in_outline(geometry.outline_of_pixels(box)) == box


@pytest.mark.parametrize(
    ("position", "index"), [(5.999999, 6), (5.4999, 5), (5.5, 6), (-0.5, 0), (-0.6, -1), (0, 0)]
)
def test_nearest_index_rounds_halves_up(position, index):
    assert geometry.nearest_index(position) == index


@given(st.lists(st.tuples(positions, positions), min_size=1, max_size=5))
def test_swapping_twice_changes_nothing(points):
    np.testing.assert_array_equal(geometry.swap_yx(geometry.swap_yx(points)), points)


@given(
    st.tuples(*[st.floats(0.05, 20)] * 3),
    st.tuples(*[st.floats(-1e3, 1e3)] * 3),
    st.floats(-3, 3),
    st.tuples(*[st.floats(-1e3, 1e3)] * 3),
)
def test_world_to_data_undoes_scale_rotation_and_translation(scale, translate, angle, point):
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ np.diag(scale)
    matrix[:3, 3] = translate
    world = geometry.data_to_world([point], matrix)
    np.testing.assert_allclose(geometry.world_to_data(world, matrix), [point], atol=1e-6)


def test_world_to_data_divides_by_the_scale():
    matrix = np.diag([2.0, 0.5, 1.0])
    matrix[:2, 2] = (10, 20)
    np.testing.assert_allclose(geometry.world_to_data([(14, 21)], matrix), [(2, 2)])


def test_a_flat_transform_is_refused():
    with pytest.raises(ImageError, match="cannot be inverted"):
        geometry.world_to_data([(0, 0)], np.diag([0.0, 1.0, 1.0]))
