from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.core.errors import LabelsError, OptionError
from napari_sam2.core.masks import ObjectMask, PackedMask
from napari_sam2.core.projection import Shown, count_contested, largest_label, project
from napari_sam2.core.store import MaskRecord

SHAPE = (12, 14)
WHOLE = (0, 0, *SHAPE)


def _shown(object_id, run, box, logit=2.0):
    logits = np.full(SHAPE, -5.0, np.float32)
    logits[box[0] : box[2], box[1] : box[3]] = logit
    mask = ObjectMask.from_logits(object_id, logits, 5.0, 0.9)
    return Shown(MaskRecord.from_mask(mask, 0, run, "tracked"), run)


def _painted(object_id, run, box):
    mask = np.zeros(SHAPE, bool)
    mask[box[0] : box[2], box[1] : box[3]] = True
    return Shown(MaskRecord.from_person(PackedMask.from_array(mask), object_id, 0), run)


boxes = st.tuples(st.integers(0, 6), st.integers(0, 7), st.integers(7, 12), st.integers(8, 14))
many = st.lists(
    st.tuples(st.integers(1, 3), boxes, st.floats(0.1, 20), st.booleans()), max_size=6
).map(
    lambda entries: [
        _painted(number + 1, run, box) if painted else _shown(number + 1, run, box, logit)
        for number, (run, box, logit, painted) in enumerate(entries)
    ]
)


def test_objects_that_do_not_touch_keep_their_pixels():
    labels = project([_shown(3, 1, (0, 0, 2, 2)), _shown(7, 1, (5, 5, 6, 8))], WHOLE)
    assert labels.dtype == np.uint16
    assert labels.shape == SHAPE
    assert (labels[:2, :2] == 3).all()
    assert (labels[5, 5:8] == 7).all()
    assert np.count_nonzero(labels) == 7


def test_within_a_run_the_stronger_mask_wins():
    weak, strong = _shown(1, 1, (0, 0, 5, 5), 2.0), _shown(2, 1, (0, 0, 5, 5), 3.0)
    assert (project([weak, strong], (0, 0, 5, 5)) == 2).all()


def test_at_equal_strength_the_lower_id_wins():
    assert (
        project([_shown(9, 1, (0, 0, 5, 5)), _shown(4, 1, (0, 0, 5, 5))], (0, 0, 5, 5)) == 4
    ).all()


@pytest.mark.parametrize(("overlap", "winner"), [("keep", 2), ("overwrite", 1)])
def test_between_runs_the_policy_decides_and_not_the_strength(overlap, winner):
    early, late = _shown(2, 1, (0, 0, 5, 5), 1.0), _shown(1, 2, (0, 0, 5, 5), 9.0)
    assert (project([early, late], (0, 0, 5, 5), overlap=overlap) == winner).all()
    early, late = _shown(2, 1, (0, 0, 5, 5), 9.0), _shown(1, 2, (0, 0, 5, 5), 1.0)
    assert (project([early, late], (0, 0, 5, 5), overlap=overlap) == winner).all()


@pytest.mark.parametrize("overlap", ["keep", "overwrite"])
@pytest.mark.parametrize("run", [1, 2, 3])
def test_a_persons_mask_always_wins(overlap, run):
    shown = [_shown(1, 2, (0, 0, 5, 5), 20.0), _painted(9, run, (0, 0, 5, 5))]
    assert (project(shown, (0, 0, 5, 5), overlap=overlap) == 9).all()


@given(many, boxes, st.sampled_from(["keep", "overwrite"]))
def test_a_box_is_the_same_part_of_the_whole(shown, box, overlap):
    part = project(shown, box, overlap=overlap)
    whole = project(shown, WHOLE, overlap=overlap)
    np.testing.assert_array_equal(part, whole[box[0] : box[2], box[1] : box[3]])


@given(many, st.randoms(use_true_random=False), st.sampled_from(["keep", "overwrite"]))
def test_the_order_of_the_objects_does_not_matter(shown, rng, overlap):
    shuffled = list(shown)
    random.Random(rng.random()).shuffle(shuffled)
    np.testing.assert_array_equal(
        project(shown, WHOLE, overlap=overlap), project(shuffled, WHOLE, overlap=overlap)
    )


@given(many)
def test_labels_cover_exactly_the_union_of_the_masks(shown):
    union = np.zeros(SHAPE, bool)
    for entry in shown:
        union |= entry.record.to_mask().to_array(SHAPE)
    np.testing.assert_array_equal(project(shown, WHOLE) > 0, union)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2"])
def test_the_largest_id_of_a_type_fits_and_the_next_is_refused(dtype):
    largest = largest_label(dtype)
    labels = project([_shown(largest, 1, (0, 0, 2, 2))], WHOLE, dtype)
    assert labels[0, 0] == largest
    with pytest.raises(LabelsError, match=f"object {largest + 1} does not fit"):
        project([_shown(largest + 1, 1, (0, 0, 2, 2))], WHOLE, dtype)


@pytest.mark.parametrize("dtype", [bool, float, complex, object])
def test_types_without_whole_numbers_are_refused(dtype):
    with pytest.raises(LabelsError, match="cannot hold object ids"):
        project([], WHOLE, dtype)


def test_an_unknown_policy_is_refused():
    with pytest.raises(OptionError, match="'keep', 'overwrite', 'highest'"):
        project([], WHOLE, overlap="newest")


@given(many, boxes, st.randoms())
def test_contested_pixels_are_those_in_two_masks_or_more(entries, box, shuffling):
    claims = sum(entry.record.to_mask().to_array(SHAPE).astype(int) for entry in entries)
    expected = 0
    if entries:
        expected = int((claims[box[0] : box[2], box[1] : box[3]] > 1).sum())
    shuffling.shuffle(entries)
    assert count_contested(entries, box) == expected
