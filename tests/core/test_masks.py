from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam2.core.masks import (
    EMPTY_BOX,
    ObjectMask,
    PackedMask,
    bounding_box,
    quantise_logits,
    union_box,
)

images = hnp.arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20)))
boxes = st.one_of(
    st.just(EMPTY_BOX),
    st.builds(
        lambda y, x, h, w: (y, x, y + h, x + w),
        *[st.integers(0, 20)] * 2,
        *[st.integers(1, 20)] * 2,
    ),
)


@given(images)
def test_packing_gives_back_the_mask(image):
    packed = PackedMask.from_array(image)
    np.testing.assert_array_equal(packed.to_array(), image)
    assert packed.area == image.sum()
    assert packed.box == bounding_box(image)
    assert packed == PackedMask.from_array(image.copy())
    assert len({packed, PackedMask.from_array(image.copy())}) == 1


@given(images, images)
def test_packed_masks_are_equal_exactly_if_the_masks_are(first, second):
    equal = first.shape == second.shape and np.array_equal(first, second)
    assert (PackedMask.from_array(first) == PackedMask.from_array(second)) == equal


@given(images)
def test_the_bounding_box_holds_all_pixels_and_touches_the_outer_ones(image):
    y0, x0, y1, x1 = bounding_box(image)
    inside = np.zeros_like(image)
    inside[y0:y1, x0:x1] = True
    assert not (image & ~inside).any()
    if image.any():
        cut = image[y0:y1, x0:x1]
        assert all(edge.any() for edge in (cut[0], cut[-1], cut[:, 0], cut[:, -1]))
    else:
        assert (y0, x0, y1, x1) == EMPTY_BOX


@given(boxes, boxes)
def test_a_union_is_the_smallest_box_that_holds_both(first, second):
    union = union_box(first, second)
    assert union == union_box(second, first)
    canvas = np.zeros((41, 41), bool)
    for y0, x0, y1, x1 in (first, second):
        canvas[y0:y1, x0:x1] = True
    assert union == bounding_box(canvas)


@given(hnp.arrays(np.float32, (6, 7), elements=st.floats(-40, 40, width=32)))
def test_strength_is_positive_inside_and_grows_with_the_logit(logits):
    strength = quantise_logits(logits)
    assert strength.dtype == np.uint8
    np.testing.assert_array_equal(strength > 0, logits > 0)
    order = np.argsort(logits, axis=None)
    assert (np.diff(strength.ravel()[order].astype(int)) >= 0).all()


@pytest.mark.parametrize(
    ("logit", "steps"), [(-1, 0), (0, 0), (1e-6, 1), (0.0625, 1), (1, 16), (15.9, 255), (99, 255)]
)
def test_strength_counts_sixteenths_of_a_logit(logit, steps):
    assert quantise_logits(np.array([logit], np.float32)) == steps


def test_an_object_mask_is_cut_out_of_the_logits():
    logits = np.full((8, 9), -3.0, np.float32)
    logits[2:4, 3:7] = 2.0
    mask = ObjectMask.from_logits(5, logits, 1.5, 0.8)
    assert mask.box == (2, 3, 4, 7)
    assert mask.mask.all()
    np.testing.assert_array_equal(mask.to_array((8, 9)), logits > 0)
    assert PackedMask.from_object_mask(mask, (8, 9)) == PackedMask.from_array(logits > 0)
