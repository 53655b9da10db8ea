"""Polygons, scribbles and label images as prompts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.core.discs import TRUTH, centre

from napari_sam2.core.drawing import _masks_of
from napari_sam2.core.errors import InferenceError, LabelsError, PromptError
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep


def mask_of(object_id, t):
    return FramePrompts(t, (PromptStep(mask=PackedMask.from_array(TRUTH[t] == object_id)),))


CLICK = FramePrompts(4, (PromptStep(points=(centre(2, 4),), positives=(True,)),))


def test_a_polygon_becomes_a_mask(session):
    session.add_polygon(1, 2, [(4, 4), (4, 20), (12, 20), (12, 4)], lock=True)
    assert session.mask(1, 2).sum() == 8 * 16
    assert session.record(1, 2).provenance == "mask"
    assert session.state.is_locked(1, 2)


def test_a_scribble_is_one_interaction_of_a_few_points(session):
    y, x = centre(1, 2)
    session.add_scribble(1, 2, [(y, x - 1), (y, x), (y + 1, x + 1)])
    (step,) = session.prompts[0].frames[0].steps
    assert 2 <= len(step.points) <= 8
    assert all(step.positives)
    np.testing.assert_array_equal(session.mask(1, 2), TRUTH[2] == 1)
    session.add_scribble(1, 2, [(0, 0), (0, 30)], positive=False)
    step = session.prompts[0].frames[0].steps[1]
    assert len(step.points) == 8
    assert not any(step.positives)
    session.add_scribble(1, 2, [(31, 0), (31, 30)], positive=False, spacing=2)
    assert len(session.prompts[0].frames[0].steps[2].points) == 16
    session.undo()
    assert len(session.prompts[0].frames[0].steps) == 2


def test_labels_become_masks_of_many_objects_at_once(session):
    assert session.add_labels(2, TRUTH[2]) == (1, 2)
    np.testing.assert_array_equal(session.labels[2], TRUTH[2])
    assert session.undo_action == "add labels"
    list(session.propagate())
    np.testing.assert_array_equal(np.asarray(session.labels), TRUTH)
    session.undo()
    session.undo()
    assert session.objects == ()


def test_labels_may_get_new_ids(session):
    session.add_points(2, 0, [centre(1, 0)])
    assert session.add_labels(2, TRUTH[2].astype(np.int64) * 7, as_new=True) == (3, 4)
    np.testing.assert_array_equal(session.mask(4, 2), TRUTH[2] == 2)


def test_a_stack_of_labels_is_taken_frame_by_frame(session):
    session.add_labels_stack(TRUTH, [1, 4], lock=True)
    assert [item.frame_indices for item in session.prompts] == [(1, 4), (1, 4)]
    assert len(session.locks) == 4
    with pytest.raises(PromptError, match="locked"):
        session.add_labels(1, TRUTH[1])
    session.add_labels(1, TRUTH[2], lock=True)
    np.testing.assert_array_equal(session.labels[1], TRUTH[2])


REFUSED = {
    "two vertices": lambda s: s.add_polygon(1, 2, [(4, 4), (4, 20)]),
    "no pixel": lambda s: s.add_polygon(1, 2, [(4.1, 4), (4.1, 20), (4.2, 9)]),
    "NaN vertex": lambda s: s.add_polygon(1, 2, [(4, 4), (4, np.nan), (9, 9)]),
    "no path": lambda s: s.add_scribble(1, 2, []),
    "path outside": lambda s: s.add_scribble(1, 2, [(4, 4), (4, 50)]),
    "only negative": lambda s: s.add_scribble(1, 2, [(4, 4), (4, 5)], positive=False),
    "empty labels": lambda s: s.add_labels(2, np.zeros((32, 32), np.uint8)),
    "real labels": lambda s: s.add_labels(2, np.ones((32, 32))),
    "other shape": lambda s: s.add_labels(2, np.ones((32, 31), int)),
    "negative label": lambda s: s.add_labels(2, np.full((32, 32), -3)),
    "huge label": lambda s: s.add_labels(2, np.full((32, 32), 70_000)),
    "short stack": lambda s: s.add_labels_stack(TRUTH[:4]),
    "frame outside": lambda s: s.add_labels_stack(TRUTH, [9]),
}


@pytest.mark.parametrize("act", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_drawn_is_refused_and_changes_nothing(session, act):
    before = session.state
    with pytest.raises((PromptError, LabelsError)):
        act(session)
    assert session.state is before
    assert len(session.store) == 0


def test_a_stack_of_labels_that_is_refused_at_its_end_leaves_no_masks_behind(session):
    session.add_labels(2, TRUTH[2], lock=True)
    before, masks = session.state, list(session.store)
    with pytest.raises(PromptError, match="locked"):
        session.add_labels_stack(np.where(np.arange(len(TRUTH))[:, None, None] <= 2, TRUTH, 0))
    assert session.state is before
    assert list(session.store) == masks
    session.add_labels_stack(TRUTH, [0, 1])
    assert len(session.store) == len(masks) + 4


def test_an_action_on_which_the_model_fails_leaves_no_masks_behind(session):
    labels = [ObjectPrompts(1, (mask_of(1, 2),)), ObjectPrompts(2, (mask_of(2, 2), CLICK))]
    session.engine.segmenter.fail_next()
    with pytest.raises(InferenceError):
        session.restore(labels)
    assert session.objects == ()
    assert len(session.store) == 0
    session.restore(labels)
    assert len(session.store) == 3


@given(arrays(np.int16, (6, 7), elements=st.integers(0, 4)))
def test_the_masks_of_labels_are_theirs_to_the_pixel(labels):
    found = dict(_masks_of(labels, labels.shape))
    assert list(found) == sorted(set(labels[labels != 0].tolist()))
    for value, mask in found.items():
        assert mask == PackedMask.from_array(labels == value)


@pytest.mark.parametrize("spacing", [float("nan"), float("inf")])
def test_a_distance_of_points_that_is_no_number_is_refused(session, spacing):
    with pytest.raises(PromptError, match="finite"):
        session.add_scribble(1, 2, [(3, 3), (5, 9)], spacing=spacing)


def test_a_label_may_be_taken_on_its_largest_frame_only(session):
    labels = np.zeros_like(TRUTH)
    labels[1, :3, :3] = labels[2, :4, :4] = labels[5, 20:24, 20:24] = 1
    labels[2, 10:12, 10:12] = 2
    assert session.add_labels_stack(labels, once=True) == (1, 2)
    assert [item.frame_indices for item in session.prompts] == [(2,), (2,)]
    assert session.mask(1, 2).sum() == 16
    session.undo()
    session.add_labels_stack(labels, [1, 5], once=True)
    assert [item.frame_indices for item in session.prompts] == [(5,)]
