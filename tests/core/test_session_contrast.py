"""How frames are seen is part of what masks rest on: recorded, undoable, and never by the way."""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.discs import TRUTH, VIDEO, centre
from tests.core.late import LateEngine

from napari_sam2.core import script
from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import OptionError
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.session import Session
from napari_sam2.testing import FakeSegmenter

FRAMES = ArrayFrames(VIDEO)
WHITE = IntensityMapping(0.0, 1.0, "everything is white")


@pytest.fixture
def tracked(session):
    session.add_points(1, 2, [centre(1, 2)])
    session.add_mask(2, 2, TRUTH[2] == 2)
    list(session.propagate())
    return session


def fresh(mapping, **core):
    session = Session(FRAMES, InlineEngine(FakeSegmenter(FRAMES)), mapping=mapping, **core)
    session.add_points(1, 2, [centre(1, 2)])
    session.add_mask(2, 2, TRUTH[2] == 2)
    return session


def test_prompts_are_answered_again_and_tracked_masks_are_out_of_date(tracked):
    before = np.asarray(tracked.labels[...]).copy()
    tracked.use_mapping(WHITE)
    assert tracked.mapping == WHITE
    assert tracked.changed == (1, 2)
    np.testing.assert_array_equal(tracked.mask(1, 2), fresh(WHITE).mask(1, 2))
    np.testing.assert_array_equal(tracked.mask(2, 2), TRUTH[2] == 2)
    np.testing.assert_array_equal(tracked.labels[4], before[4])  # until they are tracked again
    list(tracked.propagate_changed())
    assert tracked.changed == ()


def test_after_tracking_again_it_is_as_if_it_had_always_been_seen_so(tracked):
    tracked.use_mapping(WHITE)
    list(tracked.propagate())
    other = fresh(WHITE)
    list(other.propagate())
    np.testing.assert_array_equal(tracked.labels[...], other.labels[...])


def test_undo_brings_masks_back_as_they_were_seen(tracked):
    before = np.asarray(tracked.labels[...]).copy()
    tracked.use_mapping(WHITE)
    list(tracked.propagate())
    assert not np.array_equal(tracked.labels[...], before)
    assert tracked.undo()
    assert tracked.undo_action == "contrast"
    assert tracked.undo()
    assert tracked.mapping is None
    assert tracked.changed == ()
    np.testing.assert_array_equal(tracked.labels[...], before)


def test_the_same_mapping_again_is_no_action(tracked):
    tracked.use_mapping(WHITE)
    num_lines = len(tracked.log)
    tracked.use_mapping(IntensityMapping(0.0, 1.0, "everything is white"))
    assert len(tracked.log) == num_lines


def test_the_log_does_it_again(tracked):
    tracked.use_mapping(WHITE)
    again = Session(FRAMES, InlineEngine(FakeSegmenter(FRAMES)))
    names = {name: getattr(script, name) for name in script.__all__} | {"session": again}
    for line in tracked.log:
        exec(line, names)
    assert again.mapping == WHITE
    np.testing.assert_array_equal(again.mask(1, 2), tracked.mask(1, 2))


def test_an_answer_through_an_earlier_contrast_is_dropped():
    engine = LateEngine()
    session = Session(FRAMES, engine)
    session.add_points(1, 2, [centre(1, 2)])
    session.use_mapping(WHITE)
    assert [request.mapping for request, _ in engine.waiting] == [None, WHITE]
    engine.answer(1)
    seen = session.mask(1, 2)
    np.testing.assert_array_equal(seen, fresh(WHITE).mask(1, 2))
    engine.answer(0)
    np.testing.assert_array_equal(session.mask(1, 2), seen)


def test_undone_before_the_answer_comes_the_first_question_still_counts():
    engine = LateEngine()
    session = Session(FRAMES, engine)
    session.add_points(1, 2, [centre(1, 2)])
    session.use_mapping(WHITE)
    session.undo()
    while engine.waiting:
        engine.answer()
    np.testing.assert_array_equal(session.mask(1, 2), fresh(None).mask(1, 2))
    assert session.redo()
    while engine.waiting:
        engine.answer()
    np.testing.assert_array_equal(session.mask(1, 2), fresh(WHITE).mask(1, 2))


def test_clearing_and_opening_keep_the_contrast(tracked):
    tracked.use_mapping(WHITE)
    saved = tracked.saved
    tracked.clear()
    assert tracked.mapping == WHITE
    tracked.reopen(saved)
    assert tracked.mapping == WHITE
    np.testing.assert_array_equal(tracked.mask(1, 2), fresh(WHITE).mask(1, 2))


def test_a_run_that_is_going_on_finishes_and_is_out_of_date(session):
    session.add_points(1, 0, [centre(1, 0)])
    run = session.propagate().drive(1)
    session.use_mapping(WHITE)
    run.drive()
    assert run.is_complete
    assert session.changed == (1,)
    list(session.propagate())
    other = Session(FRAMES, InlineEngine(FakeSegmenter(FRAMES)), mapping=WHITE)
    other.add_points(1, 0, [centre(1, 0)])
    list(other.propagate())
    np.testing.assert_array_equal(session.labels[...], other.labels[...])


def test_what_is_no_mapping_is_refused(session):
    with pytest.raises(OptionError, match="IntensityMapping"):
        session.use_mapping((0, 1))
    assert session.mapping is None
