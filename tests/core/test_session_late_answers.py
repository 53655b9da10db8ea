"""A session whose engine answers later, in any order, or not at all: what the plugin's worker does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.discs import TRUTH, VIDEO, centre
from tests.core.late import LateEngine

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.session import Session
from napari_sam2.testing import FakeSegmenter

FRAMES = ArrayFrames(VIDEO)


@pytest.fixture
def engine():
    return LateEngine()


@pytest.fixture
def session(engine):
    return Session(FRAMES, engine)


def test_a_prompt_is_known_at_once_and_its_mask_when_it_comes(session, engine):
    committed = []
    session.frame_committed.connect(lambda t, box: committed.append(t))
    session.add_points(1, 2, [centre(1, 2)])
    assert session.prompts[0].frame_indices == (2,)
    assert session.record(1, 2) is None
    assert committed == []
    engine.answer()
    assert committed == [2]
    np.testing.assert_array_equal(session.mask(1, 2), TRUTH[2] == 1)
    session.undo()
    assert session.objects == ()
    session.redo()
    np.testing.assert_array_equal(session.mask(1, 2), TRUTH[2] == 1)
    assert engine.waiting == []


def test_the_old_mask_stays_until_the_new_one_comes(session, engine):
    session.add_points(1, 2, [centre(1, 2)])
    engine.answer()
    old = session.record(1, 2)
    session.add_points(1, 2, [(*centre(1, 2)[:1], 0)], [0])
    assert session.record(1, 2) is old
    engine.answer()
    assert session.record(1, 2) is not old


@pytest.mark.parametrize("order", [(0, 0, 0), (2, 1, 0), (1, 1, 0)])
def test_answers_find_their_entries_in_any_order(session, engine, order):
    clicks = [(1, 2), (2, 2), (1, 4)]
    for object_id, t in clicks:
        session.add_points(object_id, t, [centre(object_id, t)])
    for which in order:
        engine.answer(which)
    for number in range(3, 0, -1):
        assert {(o, t) for o in session.objects for t in range(6) if session.record(o, t)} == set(
            clicks[:number]
        )
        session.undo()
    assert session.objects == ()


def test_an_answer_to_an_undone_prompt_waits_for_redo(session, engine):
    session.add_points(1, 2, [centre(1, 2)])
    session.undo()
    engine.answer()
    assert not np.asarray(session.labels).any()
    session.redo()
    np.testing.assert_array_equal(session.mask(1, 2), TRUTH[2] == 1)


def test_a_stale_answer_is_dropped(session, engine):
    told = []
    session.add_points(1, 2, [centre(1, 2)])
    session.undo()
    session.add_points(2, 2, [centre(2, 2)])  # gives up the first for good
    session.prompt_answered.connect(told.append)
    engine.answer()
    assert told == []
    assert len(session.store) == 0
    engine.answer()
    assert session.objects == (2,)
    assert session.record(2, 2) is not None


def test_an_answer_that_comes_twice_or_from_nowhere_is_dropped(session, engine):
    session.add_points(1, 2, [centre(1, 2)])
    request, _ = engine.waiting[0]
    result = engine.segmenter.prompt(request)
    session.accept(result)
    session.accept(result)
    assert len(session.store) == 1
    session.refuse(request.generation)
    session.refuse(99)
    assert session.objects == (1,)


def test_a_question_that_the_engine_dropped_is_asked_again_when_it_matters(session, engine):
    session.add_points(1, 2, [centre(1, 2)])
    session.add_points(1, 2, [(0, 0)], [0])
    engine.waiting.pop(0)  # overtaken by the second click
    engine.answer()
    session.undo()
    assert len(engine.waiting) == 1
    engine.answer()
    np.testing.assert_array_equal(session.mask(1, 2), TRUTH[2] == 1)


def test_when_asking_again_after_undo_fails_only_that_prompt_goes(session, engine):
    session.add_points(1, 2, [centre(1, 2)])
    session.add_points(1, 2, [(0, 0)], [0])
    engine.waiting.pop(0)
    engine.answer()
    session.undo()
    session.refuse(engine.waiting.pop()[0].generation)
    assert session.objects == ()
    assert session.redo()
    assert len(session.prompts[0].frames[0].steps) == 2


def test_candidates_are_offered_while_another_one_is_on_its_way(session, engine):
    session.add_points(1, 2, [centre(1, 2)])
    engine.answer()
    offered = session.candidates(1, 2)
    assert len(offered) > 1
    session.choose_candidate(1, 2, 1)
    assert session.candidates(1, 2) == offered
    session.choose_candidate(1, 2, 0)
    assert session.chosen_candidate(1, 2) == 0


def test_another_model_does_not_offer_what_the_one_before_it_did(session, engine):
    session.add_points(1, 2, [centre(1, 2)])
    engine.answer()
    assert session.candidates(1, 2)
    session.engine = LateEngine()
    assert session.candidates(1, 2) == ()


def test_a_question_that_was_overtaken_and_dropped_is_no_longer_on_its_way(session, engine):
    session.add_points(1, 2, [centre(1, 2)])
    session.add_points(1, 2, [(0, 0)], [0])
    engine.waiting.pop(0)
    engine.answer()
    session.memory_limit = 1
    session.add_mask(2, 2, TRUTH[2] == 2)
    assert not session.undo(), "nothing is on its way, so memory is saved"


def test_a_dropped_question_is_asked_again_when_the_one_after_it_fails(session, engine):
    session.add_points(1, 2, [centre(1, 2)])
    session.add_points(1, 2, [(0, 0)], [0])
    engine.waiting.pop(0)
    session.refuse(engine.waiting.pop()[0].generation)
    assert len(session.prompts[0].frames[0].steps) == 1
    engine.answer()
    np.testing.assert_array_equal(session.mask(1, 2), TRUTH[2] == 1)


def test_a_prompt_that_the_model_failed_on_was_never_given(session, engine):
    session.add_points(1, 2, [centre(1, 2)])
    engine.answer()
    session.add_points(2, 3, [centre(2, 3)])
    engine.answer()
    session.undo()
    before = session.state, session.undo_action, session.redo_action
    session.add_points(2, 4, [centre(2, 4)])
    session.refuse(engine.waiting.pop()[0].generation)
    assert (session.state, session.undo_action, session.redo_action) == before
    assert session.redo()


def test_a_failed_prompt_goes_and_what_came_after_it_stays(session, engine):
    session.add_points(1, 2, [centre(1, 2)])
    engine.answer()
    first = session.state
    session.add_points(1, 2, [(0, 0)], [0])
    session.add_points(2, 2, [centre(2, 2)])
    failed, _ = engine.waiting.pop(0)
    engine.answer()
    session.refuse(failed.generation)
    assert len(session.prompts[0].frames[0].steps) == 1
    np.testing.assert_array_equal(session.mask(1, 2), TRUTH[2] == 1)
    np.testing.assert_array_equal(session.mask(2, 2), TRUTH[2] == 2)
    session.undo()
    assert session.state == first
    session.undo()
    assert session.objects == ()


def test_a_failed_prompt_leaves_the_order_of_the_frames(session, engine):
    for t in (3, 1, 4):
        session.add_points(1, t, [centre(1, t)])
        engine.answer()
    session.add_points(1, 3, [(0, 0)], [0])
    session.add_points(1, 4, [(0, 0)], [0])
    failed, _ = engine.waiting.pop(0)
    engine.answer()
    session.refuse(failed.generation)
    assert session.prompts[0].frame_indices == (3, 1, 4)
    assert [len(item.steps) for item in session.prompts[0].frames] == [1, 1, 2]


def test_a_failed_first_prompt_takes_its_object_away_again(session, engine):
    session.add_points(1, 2, [centre(1, 2)])
    session.add_points(2, 2, [centre(2, 2)])
    failed, _ = engine.waiting.pop(0)
    session.refuse(failed.generation)
    engine.answer()
    assert session.objects == (2,)
    session.undo()
    assert session.objects == ()
    assert not session.undo()


def test_a_lock_on_a_frame_goes_with_the_prompt_that_the_model_failed_on(session, engine):
    session.add_points(1, 0, [centre(1, 0)])
    engine.answer()
    session.add_points(1, 5, [centre(1, 5)])
    session.lock(1, 5)
    session.refuse(engine.waiting.pop()[0].generation)
    assert session.locks == ()
    assert len(list(session.propagate())) == 5
    assert session.record(1, 5).provenance == "tracked"
    session.undo()
    session.undo()
    assert session.objects == ()


actions = st.lists(
    st.one_of(
        st.tuples(st.just("click"), st.integers(1, 2), st.integers(0, 5)),
        st.tuples(st.just("undo")),
        st.tuples(st.just("redo")),
        st.tuples(st.just("remove"), st.integers(1, 2), st.integers(0, 5)),
        st.tuples(st.just("answer"), st.integers(0, 50)),
        st.tuples(st.just("drop overtaken")),
    ),
    max_size=25,
)
refusals = st.lists(
    st.one_of(
        st.tuples(st.just("click"), st.integers(1, 2), st.integers(0, 5)),
        st.tuples(st.just("lock"), st.integers(1, 2), st.integers(0, 5)),
        st.tuples(st.sampled_from(["undo", "redo", "drop overtaken"])),
        st.tuples(st.sampled_from(["answer", "refuse"]), st.integers(0, 50)),
    ),
    max_size=25,
)


@given(actions)
def test_when_all_answers_are_in_it_shows_what_an_inline_session_shows(script):
    engine = LateEngine()
    late = Session(FRAMES, engine)
    inline = Session(FRAMES, InlineEngine(FakeSegmenter(FRAMES)))
    for name, *arguments in script:
        if name == "answer":
            if engine.waiting:
                engine.answer(arguments[0] % len(engine.waiting))
        elif name == "drop overtaken":
            _drop_overtaken(engine)
        else:
            for session in (late, inline):
                _act(session, name, *arguments)
    while engine.waiting:
        engine.answer()
    assert late.prompts == inline.prompts
    np.testing.assert_array_equal(np.asarray(late.labels), np.asarray(inline.labels))


@given(refusals)
def test_whatever_is_refused_what_remains_is_a_session_as_any_other(script):
    engine = LateEngine()
    late = Session(FRAMES, engine)
    for name, *arguments in script:
        if name in ("answer", "refuse"):
            if engine.waiting:
                _reply(late, engine, name, arguments[0] % len(engine.waiting))
        elif name == "drop overtaken":
            _drop_overtaken(engine)
        elif name == "lock":
            if late.state.prompts_on(*arguments) is not None:
                late.lock(*arguments)
        else:
            _click_or_move(late, name, *arguments)
    while engine.waiting:
        engine.answer()
    fresh = Session(FRAMES, InlineEngine(FakeSegmenter(FRAMES)))
    if late.objects:
        fresh.restore(late.prompts, late.locks)
        list(late.propagate())
        list(fresh.propagate())
    np.testing.assert_array_equal(np.asarray(late.labels), np.asarray(fresh.labels))


def _reply(session, engine, name, which):
    if name == "answer":
        engine.answer(which)
    else:
        session.refuse(engine.waiting.pop(which)[0].generation)


def _click_or_move(session, name, *arguments):
    """Do what `_act` does, unless the frame is locked."""
    if name != "click" or not session.state.is_locked(*arguments):
        _act(session, name, *arguments)


def _drop_overtaken(engine):
    newest = {(r.object_id, r.prompts.frame): r for r, _ in engine.waiting}
    engine.waiting = [item for item in engine.waiting if item[0] in newest.values()]


def _act(session, name, *arguments):
    if name == "click":
        object_id, t = arguments
        said = session.state.prompts_on(object_id, t)
        number = 0 if said is None else len(said.steps)
        session.add_points(object_id, t, [centre(object_id, t)] if not number else [(number, 0)])
    elif name == "remove":
        if arguments[0] in session.objects:
            session.remove_prompts(*arguments)
    else:
        getattr(session, name)()
