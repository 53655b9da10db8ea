"""After a correction only the span between the neighbouring locks is tracked again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.discs import centre_in

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.session import Session
from napari_sam2.testing import FakeSegmenter, moving_discs

NUM_FRAMES = 16
VIDEO, TRUTH = moving_discs(NUM_FRAMES, 48, num_objects=2)
centre = centre_in(TRUTH)


def make(segmenter=None, **kwargs):
    frames = ArrayFrames(VIDEO)
    return Session(frames, InlineEngine(segmenter or FakeSegmenter(frames)), **kwargs)


@pytest.fixture
def session():
    """Two objects tracked through; the first is locked on frames 4 and 10."""
    session = make()
    session.add_points(1, 0, [centre(1, 0)])
    session.add_points(2, 3, [centre(2, 3)])
    list(session.propagate())
    session.lock(1, 4)
    session.lock(1, 10)
    list(session.propagate_changed())
    return session


def records(session, object_id):
    return [session.record(object_id, t) for t in range(NUM_FRAMES)]


def test_after_a_correction_only_the_span_between_the_neighbouring_locks_is_tracked_again(session):
    before = {object_id: records(session, object_id) for object_id in (1, 2)}
    session.add_points(1, 7, [(0, 0)], [0])
    assert session.changed == (1,)
    assert session.stale_frames(1) == (5, 6, 8, 9)
    run = session.propagate_changed()
    assert sorted(result.frame for result in run) == [5, 6, 8, 9]
    assert session.changed == session.stale_frames(1) == ()
    for t in range(NUM_FRAMES):
        assert session.record(2, t) is before[2][t]
        assert (session.record(1, t) is before[1][t]) == (t not in range(5, 10))


def test_a_correction_beyond_the_last_lock_reaches_to_the_end(session):
    session.add_points(1, 12, [(0, 0)], [0])
    assert session.stale_frames(1) == (11, 13, 14, 15)


def test_a_whole_run_after_a_correction_leaves_what_lies_beyond_the_locks_as_it_was(session):
    def masks():
        return [(r.box, r.bits, r.strength) for r in records(session, 1)]

    before = masks()
    session.add_points(1, 7, [(0, 0)], [0])
    list(session.propagate())
    after = masks()
    assert [t for t in range(NUM_FRAMES) if after[t] != before[t]] == [5, 6, 7, 8, 9]


def test_undoing_a_correction_leaves_nothing_to_do(session):
    session.add_points(1, 7, [(0, 0)], [0])
    session.undo()
    assert session.changed == ()
    run = session.propagate_changed()
    assert (run.total, list(run)) == (0, [])


def test_a_new_object_is_changed_until_it_was_tracked(session):
    session.add_points(3, 5, [centre(2, 5)])
    assert session.changed == (3,)
    assert session.stale_frames(3) == ()
    run = session.propagate_changed()
    assert [item.object_id for item in run.request.objects] == [3]
    list(run)
    assert not session.is_changed(3)


def test_one_object_of_one_frame_is_never_changed():
    frames = ArrayFrames(VIDEO[:1])
    session = Session(frames, InlineEngine(FakeSegmenter(frames)))
    session.add_points(1, 0, [centre(1, 0)])
    assert session.changed == ()


def test_what_was_left_out_is_missing_and_not_changed():
    session = make()
    session.add_points(1, 6, [centre(1, 6)])
    list(session.propagate("forward"))
    assert session.changed == ()
    assert sorted(result.frame for result in session.propagate_changed()) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("direction", "span"), [("forward", None), ("backward", None), ("both", (6, 9))]
)
def test_good_masks_are_not_tracked_again_from_further_away(session, direction, span):
    assert session.propagate_changed(direction, span).total == 0
    session.run.finish()
    session.add_points(1, 7, [(0, 0)], [0])
    tracked = {result.frame for result in session.propagate_changed(direction, span)}
    assert tracked <= {5, 6, 8, 9}
    assert tracked


def test_another_model_makes_all_masks_out_of_date(session):
    session.engine = InlineEngine(FakeSegmenter(session.frames))
    assert session.changed == (1, 2)


def test_a_repair_keeps_the_place_among_overlapping_objects():
    session = make()
    for object_id in (1, 2):
        session.add_points(object_id, 0, [centre(1, 0)])
    list(session.propagate())
    session.lock(1, 10)
    fresh = make()
    session.add_points(1, 12, [(0, 0)], [0])
    list(session.propagate_changed())
    fresh.restore(session.prompts, session.locks)
    list(fresh.propagate())
    assert np.asarray(session.labels).tobytes() == np.asarray(fresh.labels).tobytes()


def test_a_repair_that_was_cut_continues_where_it_stood(session):
    segmenter = session.engine.segmenter
    session.add_points(1, 7, [(0, 0)], [0])
    for _ in session.propagate_changed():
        break
    calls = segmenter.num_calls
    assert len(list(session.propagate_changed())) == 3
    assert segmenter.num_calls == calls + 3


frames = st.integers(0, NUM_FRAMES - 1)


@settings(max_examples=60, deadline=None)
@given(
    prompted=st.lists(frames, min_size=1, max_size=3),
    locked=st.lists(frames, max_size=4),
    corrected=st.lists(frames, min_size=1, max_size=3),
)
def test_a_repaired_session_equals_a_fresh_one_given_what_survived(prompted, locked, corrected):
    session, fresh = make(), make()
    for t in prompted:
        session.add_points(1, t, [centre(1, t)])
    session.add_points(2, 3, [centre(2, 3)])
    list(session.propagate())
    for t in locked:
        session.lock(1, t)
    list(session.propagate_changed())
    other = records(session, 2)
    for number, t in enumerate(corrected):
        if not session.state.is_locked(1, t):
            session.add_points(1, t, [(number, 0)], [0])
    list(session.propagate_changed())
    assert records(session, 2) == other
    fresh.restore(session.prompts, session.locks)
    list(fresh.propagate())
    assert np.asarray(session.labels).tobytes() == np.asarray(fresh.labels).tobytes()


def test_a_cut_repair_is_continued_only_for_the_objects_that_are_asked_for(session):
    session.add_points(1, 12, [(0, 0)], [0])
    session.add_points(2, 9, [(0, 0)], [0])
    for number, _ in enumerate(session.propagate_changed(), start=1):
        if number == 2:
            break
    before = records(session, 2)
    list(session.propagate_changed(objects=[1]))
    assert records(session, 2) == before
    assert session.changed == (2,)
    list(session.propagate_changed())
    assert session.changed == ()
    fresh = make()
    fresh.restore(session.prompts, session.locks)
    list(fresh.propagate())
    for t in range(NUM_FRAMES):
        np.testing.assert_array_equal(fresh.mask(1, t), session.mask(1, t))
        np.testing.assert_array_equal(fresh.mask(2, t), session.mask(2, t))
