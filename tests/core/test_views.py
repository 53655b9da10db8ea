from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.core.errors import ImageError
from napari_sam2.core.views import View


def test_the_default_view_is_the_whole_frame():
    assert View.whole((30, 40)) == View(0, 0, 30, 40)
    assert View.whole((30, 40)).slices == (slice(0, 30), slice(0, 40))


def test_a_view_contains_what_lies_on_its_pixels():
    view = View(2, 3, 4, 5)
    assert view.contains(1.5, 2.5)
    assert view.contains(5.49, 7.49)
    assert not view.contains(5.5, 5)
    assert not view.contains(4, 2.4)


def test_a_view_contains_boxes_that_end_where_it_ends():
    view = View(2, 3, 4, 5)
    assert view.contains_box((2, 3, 6, 8))
    assert not view.contains_box((2, 3, 7, 8))


@given(st.integers(-50, 150), st.integers(-50, 150), st.integers(1, 200), st.integers(1, 200))
def test_a_view_around_an_object_lies_in_the_frame(y, x, side, extent):
    shape = (90, 120)
    view = View.around((y, x, y + extent, x + extent), side, shape)
    assert view == view.clipped(shape)
    assert (view.height, view.width) == (min(side, 90), min(side, 120))


def test_a_view_around_an_object_has_it_in_its_middle():
    assert View.around((40, 50, 44, 54), 16, (90, 120)) == View(34, 44, 16, 16)


def test_clipping_keeps_the_part_inside():
    assert View(-5, 80, 20, 60).clipped((90, 100)) == View(0, 80, 15, 20)


def test_a_view_outside_the_frame_is_refused():
    with pytest.raises(ImageError, match="outside a frame of 10x10"):
        View(10, 0, 5, 5).clipped((10, 10))


def test_a_view_without_pixels_is_refused():
    with pytest.raises(ImageError, match="at least 1x1"):
        View(0, 0, 0, 5)
