"""Taking back, moving and flipping single points and boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import PromptError
from napari_sam2.core.session import Session
from napari_sam2.testing import FakeSegmenter, moving_discs

VIDEO, TRUTH = moving_discs(num_frames=6, size=32, num_objects=2)
INSIDE = tuple(np.argwhere(TRUTH[2] == 1).mean(0))
OTHER = tuple(np.argwhere(TRUTH[2] == 2).mean(0))


def make():
    frames = ArrayFrames(VIDEO)
    return Session(frames, InlineEngine(FakeSegmenter(frames)))


@pytest.fixture
def session():
    return make()


def said(session):
    return session.prompts[0].frames[0]


def test_without_a_point_the_answer_is_as_if_it_had_never_been_set(session):
    session.add_points(1, 2, [INSIDE])
    alone = session.mask(1, 2)
    session.add_points(1, 2, [OTHER])
    both = session.mask(1, 2)
    assert both.sum() > alone.sum()
    session.remove_point(1, 2, OTHER)
    np.testing.assert_array_equal(session.mask(1, 2), alone)
    assert session.undo_action == "remove point"
    session.undo()
    np.testing.assert_array_equal(session.mask(1, 2), both)


def test_a_point_is_named_by_any_position_on_its_pixel(session):
    session.add_points(1, 2, [INSIDE, (3.2, 4.4)])
    session.remove_point(1, 2, (3, 4))
    assert said(session).steps[0].points == (INSIDE,)


def test_of_two_points_on_one_pixel_the_exact_one_is_meant(session):
    session.add_points(1, 2, [INSIDE, (3.2, 4.4), (3.1, 4.1)])
    with pytest.raises(PromptError, match="several points"):
        session.remove_point(1, 2, (3, 4))
    session.remove_point(1, 2, (3.1, 4.1))
    assert said(session).steps[0].points == (INSIDE, (3.2, 4.4))


def test_with_its_last_point_an_object_goes(session):
    session.add_points(1, 2, [INSIDE])
    session.remove_point(1, 2, INSIDE)
    assert session.objects == ()


def test_a_moved_point_keeps_its_place_in_the_order(session):
    session.add_points(1, 2, [INSIDE])
    session.add_points(1, 2, [(0, 0)], [0])
    session.move_point(1, 2, INSIDE, OTHER)
    assert [step.points for step in said(session).steps] == [(OTHER,), ((0.0, 0.0),)]
    np.testing.assert_array_equal(session.mask(1, 2), TRUTH[2] == 2)


def test_a_flipped_point_takes_away_what_it_gave(session):
    session.add_points(1, 2, [INSIDE])
    session.add_points(1, 2, [OTHER])
    session.flip_point(1, 2, OTHER)
    assert not session.mask(1, 2)[tuple(np.round(OTHER).astype(int))]
    session.flip_point(1, 2, OTHER)
    assert session.mask(1, 2)[tuple(np.round(OTHER).astype(int))]


def test_a_correction_of_a_tracked_mask_may_be_all_negative(session):
    session.add_points(1, 0, [tuple(np.argwhere(TRUTH[0] == 1).mean(0))])
    list(session.propagate())
    session.add_points(1, 2, [INSIDE])
    session.flip_point(1, 2, INSIDE)
    assert session.prompts[0].frames[1].steps[0].positives == (False,)


def test_a_box_can_be_removed_and_the_points_stay(session):
    session.add_points(1, 2, [INSIDE])
    alone = session.mask(1, 2)
    session.add_box(1, 2, (0, 0, 31, 31))
    session.remove_box(1, 2)
    np.testing.assert_array_equal(session.mask(1, 2), alone)
    with pytest.raises(PromptError, match="no box on frame 2"):
        session.remove_box(1, 2)


REFUSED = {
    "only negative left": (lambda s: s.remove_point(1, 2, INSIDE), "only negative"),
    "flip to only negative": (lambda s: s.flip_point(1, 2, INSIDE), "only negative"),
    "move onto the other sign": (lambda s: s.move_point(1, 2, INSIDE, (0, 0)), "remove one of"),
    "move outside": (lambda s: s.move_point(1, 2, INSIDE, (99, 0)), "outside"),
    "no such point": (lambda s: s.remove_point(1, 2, (9, 9)), "is no point at"),
    "two points": (lambda s: s.remove_point(1, 2, [(9, 9), (8, 8)]), "one point"),
    "other frame": (lambda s: s.remove_point(1, 3, INSIDE), "nothing was said"),
    "no box": (lambda s: s.remove_box(1, 2), "no box"),
}


@pytest.mark.parametrize(("act", "message"), REFUSED.values(), ids=REFUSED)
def test_what_could_not_have_been_said_is_refused_and_changes_nothing(session, act, message):
    session.add_points(1, 2, [INSIDE, (0, 0)], [1, 0])
    before = session.state
    with pytest.raises(PromptError, match=message):
        act(session)
    assert session.state is before


def test_a_locked_frame_is_not_edited(session):
    session.add_points(1, 2, [INSIDE])
    session.lock(1, 2)
    with pytest.raises(PromptError, match="locked"):
        session.remove_point(1, 2, INSIDE)


points = st.tuples(st.integers(0, 31), st.integers(0, 31))


@settings(max_examples=100, deadline=None)
@given(
    clicks=st.lists(st.tuples(points, st.booleans()), min_size=1, max_size=5),
    edits=st.lists(
        st.tuples(st.sampled_from(["remove", "move", "flip"]), st.integers(0, 9), points),
        max_size=5,
    ),
)
def test_after_any_edits_the_answer_is_that_of_the_points_that_are_left(clicks, edits):
    session, fresh = make(), make()
    session.add_points(1, 2, [INSIDE])
    for (y, x), sign in clicks:
        try:
            session.add_points(1, 2, [(y, x)], [int(sign)])
        except PromptError:
            continue
    for name, choice, target in edits:
        if not session.objects:
            break
        known = [point for step in said(session).steps for point in step.points]
        more = (target,) if name == "move" else ()
        try:
            getattr(session, f"{name}_point")(1, 2, known[choice % len(known)], *more)
        except PromptError:
            continue
    if session.objects:
        for step in said(session).steps:
            fresh.add_points(1, 2, step.points, step.positives)
        assert fresh.prompts == session.prompts
        np.testing.assert_array_equal(fresh.mask(1, 2), session.mask(1, 2))
    labels = np.asarray(session.labels).tobytes()
    undone = 0
    while session.undo():
        undone += 1
    for _ in range(undone):
        session.redo()
    assert np.asarray(session.labels).tobytes() == labels
