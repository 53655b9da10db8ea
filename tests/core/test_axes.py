from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import ImageError, PromptError

four_d = [
    StackView(frame, row, column, ((fixed, 3),))
    for frame, row, column, fixed in itertools.permutations(range(4))
]


@given(st.sampled_from(four_d), st.integers(0, 99), st.floats(0, 500), st.floats(0, 500))
def test_lifting_and_coming_back_is_the_same_position(view, frame, y, x):
    assert view.to_frame(view.lift(frame, y, x)) == (frame, y, x)


@pytest.mark.parametrize("view", four_d)
def test_every_axis_can_be_the_frame_axis(view):
    array = np.arange(4 * 5 * 6 * 7).reshape(4, 5, 6, 7)
    index = view.lift(2, 1, 0)
    frame = array[view.frame_key(2)]
    frame = frame.T if view.is_transposed else frame
    assert frame.shape == view.frame_shape(array.shape)
    assert frame[1, 0] == array[tuple(int(value) for value in index)]


@pytest.mark.parametrize(("position", "frame"), [(5.999999, 6), (6.4, 6), (6.5, 7), (-0.4, 0)])
def test_a_frame_position_belongs_to_the_nearest_frame(position, frame):
    assert StackView.default(3).to_frame((position, 1, 2)) == (frame, 1, 2)


def test_a_position_on_another_plane_is_refused_with_the_axis():
    view = StackView(0, 2, 3, ((1, 3),))
    with pytest.raises(PromptError, match=r"axis 1 is at 3"):
        view.to_frame((0, 4, 5, 5))
    assert view.to_frame((0, 3.2, 5, 5)) == (0, 5, 5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_a_frame_position_that_is_no_number_is_refused(value):
    with pytest.raises(PromptError, match="has no frame"):
        StackView.default(3).to_frame((value, 1, 2))
    with pytest.raises(PromptError, match="not on the plane"):
        StackView(0, 2, 3, ((1, 3),)).to_frame((0, value, 1, 2))


def test_a_position_with_too_few_numbers_is_refused():
    with pytest.raises(PromptError, match="needs 3 numbers, got 2"):
        StackView.default(3).to_frame((1, 2))


def test_a_flat_image_is_one_frame():
    view = StackView.default(2)
    assert view.num_frames((30, 40)) == 1
    assert view.to_frame((4.5, 6)) == (0, 4.5, 6)
    assert view.lift(0, 4.5, 6) == (4.5, 6)


def test_the_rows_and_columns_are_the_axes_that_are_left():
    assert StackView.default(3, frame_axis=1) == StackView(1, 0, 2)


@pytest.mark.parametrize("ndim", [1, 4, 6])
def test_frames_are_never_guessed_in_other_dimensions(ndim):
    with pytest.raises(ImageError, match="no obvious frames"):
        StackView.default(ndim)


def test_naming_an_axis_twice_is_refused():
    with pytest.raises(ImageError, match="every axis once"):
        StackView(0, 1, 1)


@pytest.mark.parametrize("displayed", [(1, 2), (2, 1)])
def test_prompts_are_taken_when_the_frame_is_displayed(displayed):
    StackView.default(3).check_displayed(displayed)


@pytest.mark.parametrize("displayed", [(0, 2), (0, 1), (0, 1, 2), (2,)])
def test_prompts_on_another_plane_or_in_3d_are_refused(displayed):
    with pytest.raises(PromptError, match="show Y/X"):
        StackView.default(3).check_displayed(displayed)


@pytest.mark.parametrize(
    "axis",
    [1.0, True, None, "0", 3, -1],
    ids=["float", "bool", "none", "text", "beyond", "negative"],
)
def test_a_frame_axis_is_a_whole_number_of_an_axis(axis):
    with pytest.raises(ImageError, match=r"is outside 0\.\.2"):
        StackView.default(3, axis)
