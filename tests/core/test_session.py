"""What a session does for a script: prompts, answers, removal, locks, undo."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from tests.core.discs import centre_in

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.axes import StackView
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import (
    InferenceError,
    LabelsError,
    NapariSam2Error,
    OptionError,
    PromptError,
    UnknownObjectError,
)
from napari_sam2.core.masks import PackedMask, bounding_box
from napari_sam2.core.prompts import (
    BoxPrompt,
    FramePrompts,
    MaskPrompt,
    ObjectPrompts,
    PointPrompt,
    PromptStep,
)
from napari_sam2.core.session import Session
from napari_sam2.core.state import Lock
from napari_sam2.testing import FakeSegmenter, moving_discs

VIDEO, TRUTH = moving_discs(num_frames=10, size=48, num_objects=2)
centre = centre_in(TRUTH)
BLANK = (0, 0)  # a corner that no disc reaches


@pytest.fixture
def segmenter():
    return FakeSegmenter(ArrayFrames(VIDEO))


@pytest.fixture
def session(segmenter):
    return Session(ArrayFrames(VIDEO), InlineEngine(segmenter))


@pytest.fixture
def events(session):
    seen = []
    for name in (
        "objects_changed",
        "prompts_changed",
        "locks_changed",
        "frame_committed",
        "history_changed",
        "run_started",
        "run_finished",
        "notice_given",
    ):
        getattr(session, name).connect(lambda *args, name=name: seen.append((name, *args)))
    return seen


def propagate(session, *args, **kwargs):
    return list(session.propagate(*args, **kwargs))


def snapshot(session):
    """All that must be the same when a session is said to be as it was."""
    return (
        session.state,
        np.asarray(session.labels).tobytes(),
        session.undo_action,
        session.redo_action,
    )


# Prompts and their answers


def test_a_new_session_shows_nothing(session):
    assert session.objects == session.prompts == session.locks == ()
    assert session.labels.shape == VIDEO.shape
    assert session.labels.dtype == np.uint16
    assert not np.asarray(session.labels).any()
    assert not session.undo()
    assert not session.redo()


def test_a_click_shows_the_object_on_its_frame_only(session):
    session.add_points(1, 3, [centre(1, 3)])
    np.testing.assert_array_equal(session.mask(1, 3), TRUTH[3] == 1)
    np.testing.assert_array_equal(session.labels[3], np.where(TRUTH[3] == 1, 1, 0))
    assert not session.labels[:3].any()
    assert not session.labels[4:].any()
    assert session.record(1, 3).provenance == "prompt"
    assert session.record(1, 4) is None


def test_every_interaction_is_one_step_in_order(session):
    session.add_points(1, 3, [centre(1, 3)])
    session.add_points(1, 3, [BLANK], labels=[0])
    session.add_points(1, 3, [(20, 20), (21, 21)], labels=[1, 0])
    (item,) = session.prompts
    (said,) = item.frames
    assert [step.positives for step in said.steps] == [(True,), (False,), (True, False)]
    assert said.refines is None


def test_a_box_selects_what_is_in_it(session):
    y0, x0, y1, x1 = bounding_box(TRUTH[2] == 2)
    session.add_box(2, 2, (y0 - 0.5, x0 - 0.5, y1 - 0.5, x1 - 0.5))
    np.testing.assert_array_equal(session.mask(2, 2), TRUTH[2] == 2)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 1, 0, 3), (0, 3, 2, 1), (2, 3, 0, 1)])
def test_an_inverted_box_gives_the_same_mask(session, order):
    box = (5.0, 6.0, 30.0, 40.0)
    session.add_box(1, 2, [box[n] for n in order])
    session.add_box(2, 2, box)
    np.testing.assert_array_equal(session.mask(1, 2), session.mask(2, 2))
    assert session.prompts[0].frames == session.prompts[1].frames


def test_the_same_box_again_changes_nothing_and_makes_no_entry(session):
    session.add_box(1, 3, (2, 3, 20, 21))
    state, calls = session.state, session.engine.segmenter.num_calls
    session.add_box(1, 3, (20, 21, 2, 3))
    assert session.state is state
    assert session.engine.segmenter.num_calls == calls


def test_a_box_drawn_after_points_counts_as_drawn_before_them(session):
    session.add_points(1, 2, [centre(1, 2)])
    session.add_box(1, 2, (5, 6, 30, 40))
    session.add_box(1, 2, (4, 4, 32, 44))
    (said,) = session.prompts[0].frames
    assert [step.box for step in said.steps] == [(4, 4, 32, 44), None]
    assert said.steps[1].points == (centre(1, 2),)


def test_a_painted_mask_is_kept_to_the_pixel_and_replaces_what_was_said(session, segmenter):
    painted = np.random.default_rng(1).random((48, 48)) > 0.7
    session.add_points(1, 4, [centre(1, 4)])
    calls = segmenter.num_calls
    session.add_mask(1, 4, painted)
    np.testing.assert_array_equal(session.mask(1, 4), painted)
    np.testing.assert_array_equal(session.labels[4], painted)
    assert session.prompts[0].frames == (
        FramePrompts(4, (PromptStep(mask=PackedMask.from_array(painted)),)),
    )
    assert segmenter.num_calls == calls


def test_points_after_a_mask_correct_it(session):
    session.add_mask(1, 4, TRUTH[4] == 1)
    y, x = centre(1, 4)
    session.add_points(1, 4, [(y, x)], labels=[0])
    assert not session.mask(1, 4)[round(y), round(x)]
    assert session.record(1, 4).provenance == "prompt"


def test_a_repeated_point_changes_nothing_and_makes_no_entry(session):
    session.add_points(1, 3, [centre(1, 3)])
    before = snapshot(session)
    session.add_points(1, 3, [centre(1, 3), centre(1, 3)])
    assert snapshot(session) == before


def test_a_point_of_the_other_sign_on_an_earlier_one_is_refused(session):
    session.add_points(1, 3, [(20, 20)])
    with pytest.raises(PromptError, match=r"positive at \(20, 20\) and negative at \(20.2, 19.9\)"):
        session.add_points(1, 3, [(20.2, 19.9)], labels=[0])


def test_prompts_may_be_given_as_positions_in_the_whole_array(segmenter):
    view = StackView(1, 2, 3, ((0, 4),))
    session = Session(ArrayFrames(VIDEO), InlineEngine(segmenter), stack_view=view)
    y, x = centre(1, 3)
    session.add(PointPrompt(1, (4, 2.9999, y, x)))
    session.add(PointPrompt(1, (4, 3, 0, 0), positive=False))
    session.add(BoxPrompt(2, (4, 5, 3, 4), (4, 5, 20, 30)))
    session.add(MaskPrompt(3, (4, 6, 0, 0), PackedMask.from_array(TRUTH[6] == 2)))
    assert [item.frame_indices for item in session.prompts] == [(3,), (5,), (6,)]
    assert session.prompts[0].frames[0].steps[0].points == ((y, x),)
    np.testing.assert_array_equal(session.mask(3, 6), TRUTH[6] == 2)
    with pytest.raises(PromptError, match="axis 0 is at 4"):
        session.add(PointPrompt(1, (5, 3, y, x)))
    with pytest.raises(PromptError, match="corners on 5 and 6"):
        session.add(BoxPrompt(2, (4, 5, 3, 4), (4, 6, 20, 30)))


def test_the_candidates_not_chosen_are_told_and_not_stored(session):
    answers = []
    session.prompt_answered.connect(answers.append)
    session.add_points(1, 3, [centre(1, 3)])
    (answer,) = answers
    assert len(answer.candidates) == 1
    assert len(session.store) == 1


# Refusals: rows 14 to 25 of the fault matrix


def _bad_actions():
    inside, blank = [(24.0, 24.0)], np.zeros((48, 48), bool)
    disc = TRUTH[0] == 1
    yield "point outside", lambda s: s.add_points(1, 0, [(-3, 70)])
    yield "point at the size", lambda s: s.add_points(1, 0, [(48, 3)])
    yield "huge point", lambda s: s.add_points(1, 0, [(2.0**63, 3)])
    yield "NaN point", lambda s: s.add_points(1, 0, [(np.nan, 3)])
    yield "no points", lambda s: s.add_points(1, 0, [])
    yield "one bad among good", lambda s: s.add_points(1, 0, [(3, 3), (4, 4), (99, 0)])
    yield "contradiction", lambda s: s.add_points(1, 0, [(3, 3), (3, 3)], [1, 0])
    yield "label 2", lambda s: s.add_points(1, 0, inside, [2])
    yield "label -1", lambda s: s.add_points(1, 0, inside, [-1])
    yield "only negative", lambda s: s.add_points(9, 0, inside, [0])
    yield "only negative, elsewhere known", lambda s: s.add_points(1, 7, inside, [0])
    yield "zero-area box", lambda s: s.add_box(1, 0, (3, 3, 3, 9))
    yield "box outside", lambda s: s.add_box(1, 0, (60, 60, 70, 70))
    yield "NaN box", lambda s: s.add_box(1, 0, (1, 1, np.nan, 9))
    yield "empty mask", lambda s: s.add_mask(1, 0, blank)
    yield "mask shape", lambda s: s.add_mask(1, 0, disc[:-1])
    yield "float mask", lambda s: s.add_mask(1, 0, disc.astype(float))
    yield "many-valued mask", lambda s: s.add_mask(1, 0, TRUTH[0])
    yield "NaN mask", lambda s: s.add_mask(1, 0, np.full((48, 48), np.nan))
    for object_id in (0, -1, True, 1.5, 70_000, "1", None):
        yield f"object {object_id!r}", lambda s, o=object_id: s.add_points(o, 0, inside)
    for frame in (-1, 10, 2.5, True, None):
        yield f"frame {frame!r}", lambda s, t=frame: s.add_points(1, t, inside)
        yield f"mask frame {frame!r}", lambda s, t=frame: s.add_mask(1, t, disc)
    yield "lock of nothing", lambda s: s.lock(1, 7)
    yield "unknown object", lambda s: s.remove_object(9)
    yield "unknown object's prompts", lambda s: s.remove_prompts(9, 0)
    yield "unlock unknown", lambda s: s.unlock(9, 0)
    yield "labels without a sequence", lambda s: s.add_points(1, 0, inside, 1)
    yield "points as text", lambda s: s.add_points(1, 0, [("3", "4")])
    yield "ragged mask", lambda s: s.add_mask(1, 0, [[1, 0], [1]])
    yield "propagate no sequence", lambda s: s.propagate(objects=1)
    yield "propagate one number", lambda s: s.propagate(frames=5)
    yield "propagate half frames", lambda s: s.propagate(frames=(1.5, 3))
    yield "propagate unknown", lambda s: s.propagate(objects=[9])
    yield "propagate sideways", lambda s: s.propagate("sideways")
    yield "propagate outside", lambda s: s.propagate(frames=(5, 11))
    yield "propagate nothing", lambda s: s.propagate(frames=range(3, 3))
    yield "propagate in steps", lambda s: s.propagate(frames=range(0, 6, 2))
    yield "restore twice", lambda s: s.restore([*s.prompts, *s.prompts])
    yield "restore a lock of nothing", lambda s: s.restore(s.prompts, [Lock(1, 8)])
    yield (
        "restore a bad point",
        lambda s: s.restore(
            [ObjectPrompts(1, (FramePrompts(0, (PromptStep(((90, 3),), (True,)),)),))]
        ),
    )
    yield "restore nothing said", lambda s: s.restore([ObjectPrompts(1, (FramePrompts(0, ()),))])


@pytest.mark.parametrize(
    ("name", "act"), list(_bad_actions()), ids=lambda item: item if isinstance(item, str) else ""
)
def test_after_a_refusal_the_session_works_as_if_nothing_had_been_asked(name, act, segmenter):
    plain, refused = (Session(ArrayFrames(VIDEO), InlineEngine(segmenter)) for _ in range(2))
    for session in (plain, refused):
        session.add_points(1, 3, [centre(1, 3)])
        session.add_points(2, 5, [centre(2, 5)])
        session.add_points(2, 5, [BLANK], [0])
        session.undo()
    before = snapshot(refused)
    with pytest.raises(NapariSam2Error) as caught:
        act(refused)
    assert caught.value.what
    assert caught.value.kept
    assert not isinstance(caught.value, (RuntimeError, StopIteration))
    assert snapshot(refused) == before
    propagate(plain)
    propagate(refused)
    assert np.asarray(plain.labels).tobytes() == np.asarray(refused.labels).tobytes()


def test_an_id_beyond_the_labels_is_refused_before_the_run(segmenter):
    session = Session(ArrayFrames(VIDEO), InlineEngine(segmenter), labels_dtype=np.uint8)
    session.add_points(255, 3, [centre(1, 3)])
    with pytest.raises(LabelsError, match="object 256 does not fit into labels of type uint8"):
        session.add_points(256, 3, [centre(2, 3)])
    assert session.objects == (255,)


def test_the_message_of_a_bad_id_suggests_the_next_free_one(session):
    session.add_points(4, 3, [centre(1, 3)])
    with pytest.raises(PromptError, match="the next free id is 5"):
        session.add_points(0, 3, [centre(1, 3)])


def test_options_are_checked_at_the_start(segmenter):
    with pytest.raises(OptionError, match="overlap"):
        Session(ArrayFrames(VIDEO), InlineEngine(segmenter), overlap="newest")
    with pytest.raises(LabelsError):
        Session(ArrayFrames(VIDEO), InlineEngine(segmenter), labels_dtype=float)
    with pytest.raises(LabelsError, match="there is no type 'unit16'"):
        Session(ArrayFrames(VIDEO), InlineEngine(segmenter), labels_dtype="unit16")


def test_a_cut_box_and_a_full_mask_are_told(session, events, caplog):
    with caplog.at_level(logging.WARNING):
        session.add_box(1, 0, (-20, -20, 10, 10))
        session.add_mask(1, 1, np.ones((48, 48), bool))
    notices = [event[1] for event in events if event[0] == "notice_given"]
    assert len(notices) == len(caplog.records) == 2
    assert "cut to the frame" in notices[0]
    assert "whole frame" in notices[1]


@pytest.mark.parametrize(
    "error", [InferenceError("no"), RuntimeError("CUDA"), KeyboardInterrupt(), MemoryError()]
)
def test_when_the_model_fails_the_prompt_was_never_given(session, segmenter, events, error):
    session.add_points(1, 3, [centre(1, 3)])
    session.add_points(2, 3, [centre(2, 3)])
    session.undo()
    before = snapshot(session)
    del events[:]
    segmenter.fail_next(error)
    raised = (NapariSam2Error, KeyboardInterrupt)
    with pytest.raises(raised):
        session.add_points(2, 3, [centre(2, 3)])
    assert snapshot(session) == before
    assert events == []
    session.add_points(2, 3, [centre(2, 3)])
    np.testing.assert_array_equal(session.mask(2, 3), TRUTH[3] == 2)


def test_when_the_model_fails_in_a_restore_nothing_is_restored(session, segmenter):
    session.add_points(1, 3, [centre(1, 3)])
    session.add_points(2, 4, [centre(2, 4)])
    said, before = session.prompts, snapshot(session)
    segmenter.fail_next(after=1)
    with pytest.raises(InferenceError):
        session.restore(said)
    assert snapshot(session) == before


def test_pixels_that_several_objects_claim_are_counted_in_any_order(segmenter):
    first, second = np.zeros((2, 48, 48), bool)
    first[:10, :10], second[5:20, 5:20] = True, True
    labels = []
    for ids in ((1, 2), (2, 1)):
        session = Session(ArrayFrames(VIDEO), InlineEngine(segmenter))
        for object_id in ids:
            session.add_mask(object_id, 3, first if object_id == 1 else second)
        assert session.num_contested(3) == 25
        assert session.num_contested(4) == 0
        labels.append(session.labels[3])
    np.testing.assert_array_equal(*labels)
    assert (labels[0][5:10, 5:10] == 1).all()


# Removal


def test_removing_prompts_takes_the_mask_away(session):
    session.add_points(1, 3, [centre(1, 3)])
    session.add_points(1, 5, [centre(1, 5)])
    session.remove_prompts(1, 3)
    assert not session.labels[3].any()
    assert session.prompts[0].frame_indices == (5,)
    session.remove_prompts(1, 4)  # nothing was said there
    assert session.undo_action == "remove prompts"
    session.undo()
    assert session.labels[3].any()


def test_with_its_last_prompt_an_object_and_its_results_go(session):
    session.add_points(1, 3, [centre(1, 3)])
    propagate(session)
    session.remove_prompts(1, 3)
    assert session.objects == ()
    assert not np.asarray(session.labels).any()


def test_removing_an_object_leaves_the_others(session):
    session.add_points(1, 3, [centre(1, 3)])
    session.add_points(2, 3, [centre(2, 3)])
    propagate(session)
    session.lock(1, 5)
    session.remove_object(1)
    assert session.objects == (2,)
    assert session.locks == ()
    np.testing.assert_array_equal(np.asarray(session.labels), np.where(TRUTH == 2, 2, 0))
    with pytest.raises(UnknownObjectError, match="no object 1; there are: 2"):
        session.mask(1, 3)


def test_ids_of_removed_objects_are_not_handed_out_again(session):
    session.add_points(7, 3, [centre(1, 3)])
    assert session.next_object_id == 8
    session.remove_object(7)
    assert session.next_object_id == 8
    session.undo()
    session.undo()
    assert session.next_object_id == 8


def test_clearing_is_one_entry(session):
    session.add_points(1, 3, [centre(1, 3)])
    session.add_points(2, 3, [centre(2, 3)])
    before = np.asarray(session.labels).tobytes()
    session.clear()
    assert session.objects == ()
    session.undo()
    assert np.asarray(session.labels).tobytes() == before


# Clicks on tracked frames


def test_the_first_click_on_a_tracked_frame_refines_what_is_shown(session):
    session.add_points(1, 3, [centre(1, 3)])
    propagate(session)
    shown = session.mask(1, 6)
    session.add_points(1, 6, [BLANK], labels=[0])
    session.add_points(1, 6, [(24, 24)], labels=[1])
    said = session.prompts[0].frames[1]
    assert said.frame == 6
    np.testing.assert_array_equal(said.refines.to_array(), shown)
    assert len(said.steps) == 2


def test_a_negative_click_needs_something_visible_to_correct(session):
    session.add_points(1, 3, [centre(1, 3)])
    propagate(session)
    session.add_points(1, 6, [centre(1, 6)], labels=[0])
    assert not session.mask(1, 6)[tuple(np.round(centre(1, 6)).astype(int))]


def test_removing_a_correction_brings_the_tracked_mask_back(session):
    session.add_points(1, 3, [centre(1, 3)])
    propagate(session)
    tracked = session.record(1, 6)
    session.add_points(1, 6, [centre(1, 6)], labels=[0])
    session.remove_prompts(1, 6)
    assert session.record(1, 6) is tracked


def test_a_box_or_mask_on_a_tracked_frame_starts_over(session):
    session.add_points(1, 3, [centre(1, 3)])
    propagate(session)
    session.add_box(1, 5, (3, 3, 20, 20))
    session.add_mask(1, 6, TRUTH[6] == 2)
    assert [said.refines for said in session.prompts[0].frames] == [None, None, None]


# Locks


def test_a_locked_frame_refuses_prompts_until_it_is_unlocked(session):
    session.add_points(1, 3, [centre(1, 3)])
    session.lock(1, 3)
    session.lock(1, 3)
    assert session.locks == (Lock(1, 3),)
    for act in (
        lambda: session.add_points(1, 3, [BLANK], [0]),
        lambda: session.add_box(1, 3, (1, 1, 5, 5)),
        lambda: session.add_mask(1, 3, TRUTH[3] == 2),
        lambda: session.remove_prompts(1, 3),
    ):
        with pytest.raises(PromptError, match="object 1 is locked on frame 3; unlock it first"):
            act()
    session.unlock(1, 3)
    session.unlock(1, 3)
    session.add_points(1, 3, [BLANK], [0])
    assert session.locks == ()


def test_a_brush_stroke_brings_its_own_lock(session):
    session.add_mask(1, 3, TRUTH[3] == 1, lock=True)
    session.add_mask(1, 3, TRUTH[3] == 2, lock=True)
    assert session.locks == (Lock(1, 3),)
    np.testing.assert_array_equal(session.mask(1, 3), TRUTH[3] == 2)
    session.undo()
    np.testing.assert_array_equal(session.mask(1, 3), TRUTH[3] == 1)


def test_locking_a_tracked_frame_makes_its_mask_a_conditioning_frame(session):
    session.add_points(1, 3, [centre(1, 3)])
    propagate(session)
    shown = session.mask(1, 6)
    session.lock(1, 6)
    assert session.locks == (Lock(1, 6, from_tracking=True),)
    assert session.prompts[0].frames[1] == FramePrompts(
        6, (PromptStep(mask=PackedMask.from_array(shown)),)
    )
    np.testing.assert_array_equal(session.mask(1, 6), shown)


def test_unlocking_a_tracked_frame_makes_it_a_tracked_frame_again(session):
    session.add_points(1, 3, [centre(1, 3)])
    propagate(session)
    tracked = session.state
    session.lock(1, 6)
    session.unlock(1, 6)
    assert session.state == tracked


def test_unlocking_keeps_the_last_thing_an_object_rests_on(session):
    session.add_points(1, 3, [centre(1, 3)])
    propagate(session)
    session.lock(1, 6)
    session.remove_prompts(1, 3)
    session.unlock(1, 6)
    assert session.prompts[0].frame_indices == (6,)


# Undo and redo


def test_undo_and_redo_bring_back_every_byte_over_a_hundred_levels(session):
    rng = np.random.default_rng(0)
    seen = [snapshot(session)[:2]]
    for number in range(120):
        t = int(rng.integers(10))
        session.add_mask(1 + number % 3, t, rng.random((48, 48)) > 0.8)
        seen.append(snapshot(session)[:2])
    for expected in reversed(seen[:-1]):
        assert session.undo()
        assert snapshot(session)[:2] == expected
    assert not session.undo()
    for expected in seen[1:]:
        assert session.redo()
        assert snapshot(session)[:2] == expected
    assert not session.redo()


def test_a_new_action_gives_up_what_was_undone(session):
    session.add_points(1, 3, [centre(1, 3)])
    session.undo()
    session.add_points(2, 3, [centre(2, 3)])
    assert not session.redo()
    assert session.objects == (2,)


def test_actions_have_names_for_a_menu(session):
    session.add_points(1, 3, [centre(1, 3)])
    propagate(session)
    assert (session.undo_action, session.redo_action) == ("propagate", "")
    session.undo()
    assert (session.undo_action, session.redo_action) == ("add point", "propagate")


# Events


def test_a_click_is_told_once_everything_is_in_place(session, events):
    seen = []
    session.prompts_changed.connect(lambda o, t: seen.append(session.mask(o, t).any()))
    session.add_points(1, 3, [centre(1, 3)])
    assert seen == [True]
    assert events == [
        ("objects_changed",),
        ("prompts_changed", 1, 3),
        ("frame_committed", 3, bounding_box(TRUTH[3] == 1)),
        ("history_changed",),
    ]


def test_the_box_told_covers_the_old_and_the_new_mask(session, events):
    first, second = np.zeros((48, 48), bool), np.zeros((48, 48), bool)
    first[2:5, 3:7] = second[10:12, 20:30] = True
    session.add_mask(1, 3, first)
    session.add_mask(1, 3, second)
    assert [event for event in events if event[0] == "frame_committed"] == [
        ("frame_committed", 3, (2, 3, 5, 7)),
        ("frame_committed", 3, (2, 3, 12, 30)),
    ]


def test_outside_the_boxes_told_nothing_ever_changes(session):
    shown = np.asarray(session.labels)

    def follow(frame, box):
        shown[frame, box[0] : box[2], box[1] : box[3]] = session.project(frame, box)

    session.frame_committed.connect(follow)
    rng = np.random.default_rng(3)
    for _ in range(60):
        object_id, t = int(rng.integers(1, 4)), int(rng.integers(10))
        choice = rng.integers(8)
        if choice < 3:
            y, x = rng.integers(0, 30, 2)
            mask = np.zeros((48, 48), bool)
            mask[y : y + 15, x : x + 15] = True
            session.add_mask(object_id, t, mask)
        elif choice < 5:
            session.add_points(object_id, t, [centre(1 + object_id % 2, t)])
        elif choice == 5:
            session.undo()
        elif choice == 6:
            session.redo()
        elif session.objects:
            propagate(session, objects=session.objects[:2])
        np.testing.assert_array_equal(shown, np.asarray(session.labels))


def test_locking_and_removing_are_told(session, events):
    session.add_points(1, 3, [centre(1, 3)])
    del events[:]
    session.lock(1, 3)
    assert events == [("locks_changed", 1, 3), ("history_changed",)]
    del events[:]
    session.remove_object(1)
    assert [event[0] for event in events] == [
        "objects_changed",
        "prompts_changed",
        "locks_changed",
        "frame_committed",
        "history_changed",
    ]


# Overlaps


@pytest.mark.parametrize(("overlap", "winner"), [("keep", 1), ("overwrite", 2)])
def test_a_click_after_a_run_respects_the_policy(segmenter, overlap, winner):
    session = Session(ArrayFrames(VIDEO), InlineEngine(segmenter), overlap=overlap)
    session.add_points(1, 3, [centre(1, 3)])
    propagate(session)
    session.add_points(2, 5, [centre(1, 5)])
    assert set(np.unique(session.labels[5])) == {0, winner}


# Restoring


def test_restoring_what_was_said_shows_the_same(session, segmenter):
    session.add_points(2, 3, [centre(2, 3)])
    session.add_points(1, 3, [centre(1, 3)])
    propagate(session)
    session.add_points(1, 6, [centre(1, 6)], [0])
    session.add_box(2, 5, (3, 3, 30, 30))
    session.add_points(2, 5, [(20, 20)])
    session.lock(1, 8)
    fresh = Session(ArrayFrames(VIDEO), InlineEngine(segmenter))
    fresh.restore(session.prompts, session.locks)
    assert fresh.prompts == session.prompts
    assert fresh.locks == session.locks
    assert fresh.undo_action == "restore"
    for t in (3, 5, 6, 8):
        for item in session.prompts:
            if t in item.frame_indices:
                np.testing.assert_array_equal(
                    fresh.mask(item.object_id, t), session.mask(item.object_id, t)
                )
    assert fresh.undo()
    assert fresh.objects == ()
