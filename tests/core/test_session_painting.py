"""Brush strokes: pixels of a frame for an object or for nobody, one action each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import LabelsError, PromptError
from napari_sam2.core.script import *  # noqa: F403
from napari_sam2.core.session import Session
from napari_sam2.testing import FakeSegmenter, moving_discs

VIDEO, TRUTH = moving_discs(num_frames=6, size=32, num_objects=2)


def new_session(**kwargs):
    frames = ArrayFrames(VIDEO)
    return Session(frames, InlineEngine(FakeSegmenter(frames)), **kwargs)


@pytest.fixture
def session():
    return new_session()


@pytest.fixture
def tracked(session):
    """Two discs, prompted on frame 0 and tracked."""
    session.add_labels(0, TRUTH[0])
    list(session.propagate())
    return session


def pixels(rows, columns):
    mask = np.zeros((32, 32), bool)
    mask[rows, columns] = True
    return mask


def test_a_stroke_with_a_new_number_starts_an_object_and_locks_its_frame(session):
    stroke = pixels(slice(3, 9), slice(4, 20))
    assert session.paint(5, 2, stroke) == (5,)
    np.testing.assert_array_equal(session.mask(5, 2), stroke)
    assert session.state.is_locked(5, 2)
    assert session.undo_action == "paint"
    assert session.next_object_id == 6
    session.undo()
    assert session.objects == ()


def test_a_stroke_is_added_to_what_is_shown_and_runs_leave_it_alone(tracked):
    before = np.asarray(tracked.labels)
    stroke = pixels(slice(0, 4), slice(0, 4))
    tracked.paint(1, 3, stroke)
    expected = before[3].copy()
    expected[stroke] = 1
    np.testing.assert_array_equal(tracked.labels[3], expected)
    list(tracked.propagate())
    np.testing.assert_array_equal(tracked.labels[3], expected)
    for _ in range(2):
        tracked.undo()
    np.testing.assert_array_equal(np.asarray(tracked.labels), before)


def test_painting_over_another_object_takes_the_pixels_from_it_in_the_same_action(tracked):
    tracked.lock(2, 3)
    before = np.asarray(tracked.labels)
    stroke = pixels(slice(8, 24), slice(None))
    assert tracked.paint(1, 3, stroke) == (1, 2)
    expected = np.where(stroke, 1, before[3])
    np.testing.assert_array_equal(tracked.labels[3], expected)
    np.testing.assert_array_equal(tracked.mask(2, 3), expected == 2)
    assert tracked.state.is_locked(2, 3)
    tracked.undo()
    np.testing.assert_array_equal(np.asarray(tracked.labels), before)


def test_erasing_an_object_from_a_frame_says_that_it_is_not_there(tracked):
    before = np.asarray(tracked.labels)
    assert tracked.paint(0, 3, before[3] == 1) == (1,)
    assert not (tracked.labels[3] == 1).any()
    assert tracked.state.is_locked(1, 3)
    assert tracked.undo_action == "erase"
    list(tracked.propagate())
    assert not (tracked.labels[3] == 1).any()
    again = new_session()
    again.restore(tracked.prompts, tracked.locks)
    np.testing.assert_array_equal(again.labels[3], np.where(before[3] == 1, 0, 0))
    assert again.prompts == tracked.prompts


def test_erasing_the_last_thing_that_an_object_rests_on_takes_it_along(tracked):
    before = np.asarray(tracked.labels)
    tracked.paint(0, 3, before[3] == 1)
    assert tracked.paint(0, 0, before[0] == 1) == (1,)
    assert tracked.objects == (2,)
    tracked.undo()
    assert tracked.objects == (1, 2)


def test_erasing_reveals_nothing_that_was_underneath(session):
    session.add_mask(1, 0, pixels(slice(0, 20), slice(0, 20)))
    session.add_mask(2, 0, pixels(slice(10, 30), slice(10, 30)))
    session.paint(0, 0, pixels(slice(12, 15), slice(12, 15)))
    assert not session.labels[0][12:15, 12:15].any()


def test_strokes_that_change_nothing_are_no_action(session):
    session.paint(1, 0, pixels(slice(0, 5), slice(0, 5)))
    before = session.state
    assert session.paint(1, 0, pixels(slice(1, 3), slice(1, 3))) == ()
    assert session.paint(0, 0, pixels(slice(20, 25), slice(0, 5))) == ()
    assert session.state is before


def test_protected_labels_keep_their_pixels(session):
    existing = np.zeros_like(TRUTH)
    existing[0, :10] = 7
    session.use_existing(existing)
    session.paint(8, 0, pixels(slice(5, 15), slice(None)))
    np.testing.assert_array_equal(session.mask(8, 0), pixels(slice(10, 15), slice(None)))
    assert (session.labels[0][:10] == 7).all()
    assert session.paint(0, 0, pixels(slice(0, 5), slice(None))) == ()
    with pytest.raises(PromptError, match="there before"):
        session.paint(7, 0, pixels(slice(20, 25), slice(None)))


REFUSED = {
    "negative object": lambda s: s.paint(-1, 0, pixels(3, 3)),
    "truth value": lambda s: s.paint(False, 0, pixels(3, 3)),
    "huge object": lambda s: s.paint(70_000, 0, pixels(3, 3)),
    "frame outside": lambda s: s.paint(1, 6, pixels(3, 3)),
    "no pixel": lambda s: s.paint(1, 0, np.zeros((32, 32), bool)),
    "other shape": lambda s: s.paint(1, 0, np.ones((32, 31), bool)),
}


@pytest.mark.parametrize("act", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_painted_is_refused_and_changes_nothing(session, act):
    before = session.state
    with pytest.raises((PromptError, LabelsError)):
        act(session)
    assert session.state is before


strokes = st.tuples(st.integers(0, 4), arrays(bool, (32, 32), fill=st.just(False)))


@settings(max_examples=60, deadline=None)
@given(st.lists(strokes, max_size=6), st.sampled_from(["keep", "overwrite", "highest"]))
def test_after_a_stroke_the_labels_are_what_was_painted(given_strokes, overlap):
    session = new_session(overlap=overlap)
    session.add_labels(0, TRUTH[0])
    list(session.propagate())
    # Over each other, and one of them hidden in part.
    session.add_box(3, 2, (4, 4, 28, 28))
    shown = [np.asarray(session.labels)]
    for number, mask in given_strokes:
        if mask.any():
            before, length = session.labels[2], len(session.log)
            session.paint(number, 2, mask)
            np.testing.assert_array_equal(session.labels[2], np.where(mask, number, before))
            if len(session.log) > length:
                shown.append(np.asarray(session.labels))
    again = new_session(overlap=overlap)
    exec("\n".join(session.log), globals() | {"session": again})
    np.testing.assert_array_equal(np.asarray(again.labels), shown[-1])
    for expected in reversed(shown[:-1]):
        session.undo()
        np.testing.assert_array_equal(np.asarray(session.labels), expected)
