"""A copied label stack is the original, frame by frame, whatever becomes of that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_sam2.core.label_stack import PackedLabels

stacks = st.sampled_from(["<u2", ">i4", "|u1"]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=3, max_dims=3, max_side=7))
)


def packed(stack):
    return PackedLabels(stack.shape, stack.dtype, [PackedLabels.pack(frame) for frame in stack])


@given(stacks)
def test_a_packed_stack_gives_back_every_pixel(stack):
    copy = packed(stack)
    np.testing.assert_array_equal(np.asarray(copy), stack)
    np.testing.assert_array_equal(copy[...], stack)
    for t in (*range(len(stack)), 0, -1):
        np.testing.assert_array_equal(copy[t], stack[t])
    assert copy == packed(stack)
    changed = stack.copy()
    changed[0, 0, 0] ^= 1
    assert copy != packed(changed)
    assert len(copy._unpacked) <= 4


def test_a_packed_stack_cannot_be_changed_and_is_small():
    copy = packed(np.zeros((3, 500, 500), np.uint16))
    assert sum(map(len, copy.packed)) < 10_000
    with pytest.raises(ValueError, match="read-only"):
        copy[0][0, 0] = 1
    with pytest.raises(IndexError):
        copy[3]
