"""Rows of volumes: (T, Z, Y, X) is tracked through z where it was prompted, then every place along t."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.axes import StackView
from napari_sam2.core.cancellation import Cancellation
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import ImageError, PromptError, PropagationError
from napari_sam2.core.messages import PropagationRequest
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.core.session import Session
from napari_sam2.core.volume_segmenter import VolumeSegmenter
from napari_sam2.core.volumes import VolumePlan
from napari_sam2.testing import FakeSegmenter

NUM, DEPTH, SIDE = 4, 5, 32
VIEW = StackView(1, 2, 3, volume_axis=0, depth=DEPTH)


def growing_balls():
    """Two bright balls, (T, Z, Y, X): they fill three of five places, and wander from volume to volume."""
    image = np.full((NUM, DEPTH, SIDE, SIDE), 10, np.uint8)
    truth = np.zeros(image.shape, np.uint16)
    z, y, x = np.ogrid[:DEPTH, :SIDE, :SIDE]
    for t in range(NUM):
        for number, (cy, brightness) in enumerate(((8, 120), (24, 220)), start=1):
            ball = (4 * (z - 2)) ** 2 + (y - cy) ** 2 + (x - 10 - 2 * t) ** 2 <= 36
            image[t][ball], truth[t][ball] = brightness, number
    return image, truth


IMAGE, TRUTH = growing_balls()
FRAMES = ArrayFrames(IMAGE, VIEW)


def segmenter():
    return VolumeSegmenter(FRAMES, DEPTH, FakeSegmenter)


def open_session(**core):
    return Session(FRAMES, InlineEngine(segmenter()), stack_view=VIEW, **core)


def at(volume, place):
    return volume * DEPTH + place


def inside(number, volume, place=2):
    y, x = np.argwhere(TRUTH[volume, place] == number).mean(0)
    return float(y), float(x)


def as_volumes(session):
    return np.asarray(session.labels[...]).reshape(TRUTH.shape)


@pytest.fixture
def session():
    session = open_session()
    session.add_points(1, at(1, 2), [inside(1, 1)])
    return session


# The view


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (1, 0, 3, 2), (3, 2, 0, 1), (0, 3, 1, 2)])
def test_frames_of_all_volumes_stand_in_a_row(axes):
    volume, frame, row, column = axes
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    view = StackView(frame, row, column, (), volume, array.shape[frame])
    frames = ArrayFrames(array, view)
    ordered = array.transpose(volume, frame, row, column)
    assert len(frames) == ordered.shape[0] * ordered.shape[1]
    for t in range(len(frames)):
        np.testing.assert_array_equal(frames.read(t), ordered.reshape(-1, *ordered.shape[2:])[t])
        index = view.lift(t, 1, 1)
        assert view.to_frame(index) == (t, 1, 1)
        assert array[tuple(map(int, index))] == frames.read(t)[1, 1]


def test_a_position_beyond_a_volume_is_no_frame_of_the_next_one():
    with pytest.raises(PromptError, match="axis 1 ends at 4"):
        VIEW.to_frame((0, 5, 1, 1))


@pytest.mark.parametrize(("axis", "depth"), [(0, 0), (None, 5)])
def test_a_volume_axis_comes_with_a_depth(axis, depth):
    with pytest.raises(ImageError, match="volume axis"):
        StackView(1, 2, 3, () if axis == 0 else ((0, 0),), axis, depth)


def test_volumes_of_another_depth_are_refused():
    with pytest.raises(ImageError, match="have 5 frames, and the view says 4"):
        ArrayFrames(IMAGE, StackView(1, 2, 3, (), 0, 4))


# Runs


def test_an_object_is_carried_through_its_volume_and_then_to_all_others(session):
    run = session.propagate()
    results = list(run)
    assert len(results) == run.total == (DEPTH - 1) + DEPTH * (NUM - 1)
    assert [item.frame // DEPTH for item in results[: DEPTH - 1]] == [1] * (DEPTH - 1)
    np.testing.assert_array_equal(as_volumes(session) == 1, TRUTH == 1)
    assert session.changed == ()


def test_objects_prompted_in_different_volumes_meet_everywhere(session):
    session.add_points(2, at(3, 2), [inside(2, 3)])
    session.add_points(2, at(0, 1), [inside(2, 0, 1)])
    list(session.propagate())
    np.testing.assert_array_equal(as_volumes(session), TRUTH)


def test_what_is_given_is_what_is_said_and_no_run_writes_there(session):
    painted = np.zeros((SIDE, SIDE), bool)
    painted[5:9, 5:9] = True
    session.add_mask(1, at(2, 2), painted)
    list(session.propagate())
    np.testing.assert_array_equal(session.mask(1, at(2, 2)), painted)


def test_forward_goes_to_later_volumes_only(session):
    list(session.propagate(direction="forward"))
    found = (as_volumes(session) == 1).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(found, [False, True, True, True])
    np.testing.assert_array_equal(as_volumes(session)[1:] == 1, TRUTH[1:] == 1)


def test_frames_of_one_volume_can_be_tracked_alone_and_stay_fresh(session):
    run = session.propagate(frames=range(at(1, 0), at(2, 0)))
    assert run.total == len(list(run)) == DEPTH - 1
    found = as_volumes(session)
    np.testing.assert_array_equal(found[1] == 1, TRUTH[1] == 1)
    assert not found[[0, 2, 3]].any()
    session.add_points(1, at(3, 2), [inside(1, 3)])
    assert not {at(1, place) for place in range(DEPTH)} & set(session.stale_frames(1))


def test_a_range_over_some_volumes_is_refused(session):
    with pytest.raises(PropagationError, match="reach over several volumes of 5 frames"):
        session.propagate(frames=range(at(0, 3), at(1, 2)))
    assert session.run is None


def test_where_nothing_is_found_an_object_is_absent_without_asking_the_model():
    made = []

    def bind(frames):
        made.append(FakeSegmenter(frames))
        return made[-1]

    session = Session(FRAMES, InlineEngine(VolumeSegmenter(FRAMES, DEPTH, bind)), stack_view=VIEW)
    session.add_points(1, at(0, 2), [inside(1, 0)])
    list(session.propagate())
    lines = [item for item in made if len(item.frames) == NUM]
    assert len(lines) == 3  # the balls fill three of five places
    record = session.record(1, at(2, 0))
    assert record.object_score < 0
    assert record.provenance == "tracked"


def test_a_correction_makes_what_rests_on_it_out_of_date_and_only_that(session):
    session.add_points(1, at(3, 2), [inside(1, 3)])
    list(session.propagate())
    assert session.changed == ()
    session.add_points(1, at(3, 2), [(1.0, 1.0)], labels=[0])
    assert session.changed == (1,)
    stale = set(session.stale_frames(1))
    assert {frame // DEPTH for frame in stale} == {0, 2, 3}
    list(session.propagate_changed())
    assert session.changed == ()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 2), st.integers(0, NUM - 1), st.integers(1, 3), st.booleans()),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["both", "forward", "backward"]),
    st.data(),
)
def test_a_run_that_is_stopped_and_resumed_anywhere_gives_the_same(places, direction, data):
    whole, cut = open_session(), open_session()
    for session in (whole, cut):
        for number, volume, place, locks in places:
            if session.state.is_locked(number, at(volume, place)):
                continue
            session.add_points(number, at(volume, place), [inside(number, volume, place)])
            if locks:
                session.lock(number, at(volume, place))
    run = whole.propagate(direction=direction)
    assert len(list(run)) == run.total
    stop = data.draw(st.integers(0, run.total))
    first = cut.propagate(direction=direction)
    first.drive(stop)
    first.finish()
    again = cut.propagate(direction=direction)
    assert again.done == (stop if 0 < stop < run.total else 0)
    list(again)
    np.testing.assert_array_equal(whole.labels[...], cut.labels[...])
    for number in whole.objects:
        for frame in range(len(FRAMES)):
            one, other = whole.record(number, frame), cut.record(number, frame)
            assert (one is None) == (other is None)
            assert one is None or (one.bits, one.strength) == (other.bits, other.strength)


@pytest.mark.parametrize("stop", [2, 7, 12])
def test_asked_to_stop_it_ends_soon_and_says_nothing_of_what_was_not_looked_at(stop):
    prompts = FramePrompts(at(1, 2), (PromptStep((inside(1, 1),), (True,)),))
    request = PropagationRequest(1, (ObjectPrompts(1, (prompts,)),), 0, NUM * DEPTH, depth=DEPTH)
    cancellation = Cancellation()
    results = []
    for result in segmenter().propagate(request, None, cancellation):
        results.append(result)
        if len(results) == stop:
            cancellation.ask()
    whole = list(segmenter().propagate(request))
    assert stop <= len(results) <= stop + 1
    rest = segmenter().propagate(request, results[-1].resume)
    assert [item.frame for item in (*results, *rest)] == [item.frame for item in whole]


def test_the_plan_knows_every_result_before_it_comes():
    objects = tuple(
        ObjectPrompts(number, tuple(FramePrompts(frame, ()) for frame in frames))
        for number, frames in ((1, (at(1, 2),)), (2, (at(0, 0), at(3, 4))))
    )
    plan = VolumePlan(PropagationRequest(1, objects, 0, NUM * DEPTH, depth=DEPTH))
    assert plan.prompted == {1: (1,), 2: (0, 3)}
    assert plan.along == {0: (1,), 1: (2,), 2: (1, 2), 3: (1,)}
    assert plan.total == 4 + 4 + 4 + DEPTH * NUM


def test_preparing_and_asking_again_change_no_answer(session):
    before = session.mask(1, at(1, 2))
    ready = segmenter()
    assert ready.prepare(at(1, 2))
    again = Session(FRAMES, InlineEngine(ready), stack_view=VIEW)
    again.add_points(1, at(1, 2), [inside(1, 1)])
    np.testing.assert_array_equal(again.mask(1, at(1, 2)), before)
