from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.core.errors import (
    LabelsError,
    NapariSam2Error,
    OptionError,
    PromptError,
    PropagationError,
)
from napari_sam2.core.extent import Extent
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.core.validation import (
    MAX_NAME,
    check_box,
    check_frame,
    check_frame_range,
    check_info,
    check_mask,
    check_name,
    check_object_id,
    check_path,
    check_points,
)

SHAPE = (512, 512)
anywhere = st.one_of(st.floats(), st.integers(-(2**64), 2**64).map(float), st.floats(-600, 1200))


# Points


def test_a_point_outside_is_named_with_the_size_of_the_frame():
    with pytest.raises(PromptError, match=r"point \(y=-3, x=700\) is outside 512x512"):
        check_points([(-3, 700)], [1], SHAPE)


@given(anywhere, anywhere)
def test_a_point_is_taken_exactly_if_it_lies_on_a_pixel(y, x):
    inside = -0.5 <= y < 511.5 and -0.5 <= x < 511.5
    if inside:
        assert check_points([(y, x)], [1], SHAPE) == {(y, x): True}
    else:
        with pytest.raises(PromptError):
            check_points([(y, x)], [1], SHAPE)


@pytest.mark.parametrize(
    "place", [(-0.51, 3), (3, -0.51), (511.51, 3), (3, 511.51), (-1, 3), (3, -1)]
)
def test_half_a_pixel_beyond_the_edge_is_outside(place):
    with pytest.raises(PromptError, match="outside 512x512"):
        check_points([place], [1], SHAPE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_a_point_that_is_no_number_is_refused(value, place):
    point = [3.0, 4.0]
    point[place] = value
    with pytest.raises(PromptError, match="finite"):
        check_points([point], [1], SHAPE)


def test_a_repeated_point_counts_once():
    once = check_points([(3, 4), (5, 6)], [1, 0], SHAPE)
    twice = check_points([(3, 4), (5, 6), (3, 4), (5, 6)], [1, 0, 1, 0], SHAPE)
    assert twice == once == {(3, 4): True, (5, 6): False}
    assert list(twice) == list(once)


@pytest.mark.parametrize("labels", [[1, 0], [0, 1]])
def test_a_pixel_with_both_signs_is_refused_naming_both_points(labels):
    with pytest.raises(PromptError) as caught:
        check_points([(3.2, 4), (2.9, 4.3)], labels, SHAPE)
    assert "(3.2, 4)" in str(caught.value)
    assert "(2.9, 4.3)" in str(caught.value)


@given(st.integers(-128, 127))
def test_labels_are_zero_or_one(label):
    if label in (0, 1):
        assert check_points([(3, 4)], [label], SHAPE) == {(3, 4): bool(label)}
    else:
        with pytest.raises(PromptError, match="1 \\(positive\\) or 0 \\(negative\\)"):
            check_points([(3, 4)], [label], SHAPE)


@pytest.mark.parametrize("label", [True, np.True_, np.int64(1), np.uint8(1), 1])
def test_labels_may_be_of_any_whole_or_boolean_type(label):
    assert check_points([(3, 4)], [label], SHAPE) == {(3, 4): True}


@pytest.mark.parametrize("label", [1.0, 0.5, "1", None, np.nan, 2**70])
def test_labels_of_other_types_are_refused(label):
    with pytest.raises(PromptError, match="label"):
        check_points([(3, 4)], [label], SHAPE)


@pytest.mark.parametrize("labels", [1, np.array(1), object(), 0.5])
def test_labels_that_are_no_sequence_are_refused(labels):
    with pytest.raises(PromptError, match="labels must be a sequence"):
        check_points([(3, 4)], labels, SHAPE)


def test_every_point_needs_a_label():
    with pytest.raises(PromptError, match="2 points came with 1 labels"):
        check_points([(3, 4), (5, 6)], [1], SHAPE)
    with pytest.raises(PromptError, match="1 points came with 2 labels"):
        check_points([(3, 4)], [1, 0], SHAPE)


def test_without_labels_all_points_are_positive():
    assert check_points(np.array([[3, 4], [5, 6]]), None, SHAPE) == {(3, 4): True, (5, 6): True}


def test_one_point_may_be_given_by_itself():
    assert check_points((3, 4), None, SHAPE) == {(3, 4): True}


@pytest.mark.parametrize(
    "points",
    [
        [],
        np.zeros((0, 2)),
        [(1, 2, 3)],
        (1, 2, 3),
        (1,),
        [[[1, 2]]],
        np.ones((2, 2, 2)),
        "ab",
        [("a", 1)],
        [None],
        [("3", "4")],
        [(True, False)],
        [(3 + 0j, 4)],
        np.array([["1970-01-02", "1970-01-03"]], "M8[D]"),
        [(3, 4), (5,)],
        [(10**400, 3)],
    ],
)
def test_points_of_the_wrong_form_are_refused(points):
    with pytest.raises(PromptError) as caught:
        check_points(points, None, SHAPE)
    assert caught.value.remedy
    assert len(str(caught.value)) < 300


# Boxes


@pytest.mark.parametrize("box", [(5, 6, 5, 9), (5, 6, 9, 6), (5, 6, 5, 6)])
def test_a_box_without_area_is_refused_with_its_corners(box):
    with pytest.raises(PromptError, match=r"box \(5, 6, .* has no area"):
        check_box(box, SHAPE)


def test_a_box_of_one_pixel_is_taken():
    assert check_box((5, 6, 6, 7), SHAPE) == ((5, 6, 6, 7), "")


@pytest.mark.parametrize("box", [(2, 3, 20, 30), (20, 3, 2, 30), (2, 30, 20, 3), (20, 30, 2, 3)])
def test_the_corners_may_come_in_any_order(box):
    assert check_box(box, SHAPE) == ((2, 3, 20, 30), "")


def test_a_box_over_the_edge_is_cut_with_a_notice():
    box, notice = check_box((-10, 500, 20, 600), SHAPE)
    assert box == (-0.5, 500, 20, 511.5)
    assert "(-10, 500, 20, 600)" in notice
    assert "cut to the frame" in notice


def test_a_box_of_the_whole_frame_counted_in_pixels_needs_no_notice():
    assert check_box((0, 0, 512, 512), SHAPE) == ((0, 0, 511.5, 511.5), "")


@pytest.mark.parametrize(
    "box", [(-20, 0, -5, 20), (0, 520, 20, 530), (511.5, 0, 600, 5), (-9, -9, -0.5, -0.5)]
)
def test_a_box_outside_is_refused(box):
    with pytest.raises(PromptError, match="is outside 512x512"):
        check_box(box, SHAPE)


@given(st.tuples(*[anywhere] * 4), st.tuples(st.integers(1, 600), st.integers(1, 600)))
def test_a_box_that_is_taken_lies_in_the_frame_and_has_area(box, shape):
    try:
        (y0, x0, y1, x1), _ = check_box(box, shape)
    except PromptError:
        return
    assert -0.5 <= y0 < y1 <= shape[0] - 0.5
    assert -0.5 <= x0 < x1 <= shape[1] - 0.5


@pytest.mark.parametrize(
    "box",
    [(1, 2, 3), (1, 2, 3, 4, 5), (1, np.nan, 3, 4), (1, 2, np.inf, 4), None, "abcd", "1234", 5],
)
def test_a_box_of_the_wrong_form_is_refused(box):
    with pytest.raises(PromptError):
        check_box(box, SHAPE)


# Masks


def _mask(dtype=bool):
    mask = np.zeros((6, 7), dtype)
    mask[2:4, 3:5] = 1
    return mask


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.uint16])
def test_a_mask_of_any_whole_type_is_taken(dtype):
    packed, notice = check_mask(_mask(dtype), (6, 7))
    np.testing.assert_array_equal(packed.to_array(), _mask())
    assert notice == ""


def test_a_mask_may_use_any_one_value_for_inside():
    assert check_mask(_mask(np.uint8) * 255, (6, 7)) == check_mask(_mask(), (6, 7))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((6, 7), bool), "mask is empty"),
        (_mask()[:5], r"mask has shape \(5, 7\), the frame has \(6, 7\)"),
        (_mask()[None], "mask has shape"),
        (_mask(np.float32), "mask has type float32"),
        (np.full((6, 7), np.nan), "mask has type float64"),
        (_mask().astype(object), "mask has type object"),
        (np.arange(42).reshape(6, 7) % 3, "mask holds 2 different values"),
        ([[1, 0], [1]], "mask is no array"),
        (None, "mask has shape"),
    ],
)
def test_a_mask_that_says_nothing_clear_is_refused(mask, message):
    with pytest.raises(PromptError, match=message):
        check_mask(mask, (6, 7))


def test_a_mask_of_the_whole_frame_is_taken_with_a_notice():
    packed, notice = check_mask(np.ones((6, 7), bool), (6, 7))
    assert packed.area == 42
    assert "covers the whole frame" in notice


# Objects and frames


@pytest.mark.parametrize("value", [0, -1, True, 1.5, 1.0, "1", None, np.True_, np.nan])
def test_an_id_that_is_no_whole_number_from_1_is_refused_with_the_next_free_one(value):
    with pytest.raises(PromptError, match="the next free id is 4"):
        check_object_id(value, np.uint16, 4)


@given(st.integers(), st.sampled_from(["u1", "u2", "u4", "i2"]))
def test_an_id_is_taken_exactly_if_labels_can_hold_it(value, dtype):
    if 1 <= value <= np.iinfo(dtype).max:
        assert check_object_id(value, dtype, 1) == value
    else:
        with pytest.raises(NapariSam2Error):
            check_object_id(value, dtype, 1)


def test_an_id_beyond_the_labels_type_is_refused_before_it_wraps():
    with pytest.raises(LabelsError, match="object 300 does not fit into labels of type uint8"):
        check_object_id(300, np.uint8, 4)


@pytest.mark.parametrize(
    ("value", "dtype", "remedy"),
    [
        (256, "u1", "choose an id up to 255, or labels of type uint16"),
        (40_000, "i2", "choose an id up to 32767, or labels of type uint16"),
        (65_536, "u2", "choose an id up to 65535, or labels of type uint32"),
        (2**32, "u4", "choose an id up to 4294967295"),
    ],
)
def test_an_id_that_does_not_fit_comes_with_the_type_that_would(value, dtype, remedy):
    with pytest.raises(LabelsError) as caught:
        check_object_id(value, dtype, 1)
    assert caught.value.remedy == remedy


@pytest.mark.parametrize("value", [-1, 10, 2**63, 1.0, True, None, "0"])
def test_a_frame_out_of_range_is_refused(value):
    with pytest.raises(PromptError, match="frame must be a whole number from 0 to 9"):
        check_frame(value, 10)


@pytest.mark.parametrize("value", [0, 9, np.int64(5), np.uint8(3)])
def test_a_frame_in_range_is_taken(value):
    frame = check_frame(value, 10)
    assert frame == value
    assert type(frame) is int


@pytest.mark.parametrize("frames", [(2, 5), [2, 5], range(2, 5), (np.int64(2), np.uint8(5))])
def test_a_range_of_frames_may_be_spelt_in_several_ways(frames):
    start, stop = check_frame_range(frames, 10)
    assert (start, stop) == (2, 5)
    assert type(start) is type(stop) is int


def test_no_range_means_all_frames():
    assert check_frame_range(None, 10) == (0, 10)


@pytest.mark.parametrize(
    "frames",
    [5, (1.5, 3), ("a", "b"), (1, 2, 3), (True, 3), (3, 3), (5, 2), (-1, 3), (8, 11), "25"],
)
def test_anything_else_is_no_range_of_frames(frames):
    with pytest.raises(PropagationError, match="are not a range within 0 to 10"):
        check_frame_range(frames, 10)


@pytest.mark.parametrize("frames", [range(1, 5, 2), range(5, 1, -1)])
def test_frames_are_taken_one_after_another(frames):
    with pytest.raises(PropagationError, match="leave the step out"):
        check_frame_range(frames, 10)


# Lines, names, and where an object may be


def test_a_line_has_as_many_vertices_as_it_needs_at_least():
    corners = [(1, 2), (3, 4), (5, 6), (7, 8)]
    for count in (3, 4):
        np.testing.assert_array_equal(check_path(corners[:count], 3), corners[:count])
    with pytest.raises(PromptError, match=r"at least 3 vertices \(y, x\) are needed, got 2"):
        check_path(corners[:2], 3)


def test_a_name_is_one_line_of_some_length():
    assert check_name(" mother cell ") == "mother cell"
    assert check_name("x" * MAX_NAME) == "x" * MAX_NAME
    for name in ("x" * (MAX_NAME + 1), "two\nlines", 5):
        with pytest.raises(OptionError, match="a name is one line"):
            check_name(name)


@pytest.mark.parametrize(("first", "stop"), [(0, None), (0, 10), (3, 4), (9, 10), (9, None)])
def test_an_object_may_be_on_any_frames_of_the_stack(first, stop):
    assert check_info(ObjectInfo(extent=Extent(first, stop)), 10).extent == Extent(first, stop)


@pytest.mark.parametrize(
    ("first", "stop"), [(-1, 5), (0, 11), (3, 3), (5, 4), (10, None), (1.5, 3), (1, "x")]
)
def test_an_object_elsewhere_is_refused(first, stop):
    with pytest.raises(PromptError, match="is nowhere in the stack of 10"):
        check_info(ObjectInfo(extent=Extent(first, stop)), 10)
