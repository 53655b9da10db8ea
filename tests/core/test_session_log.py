"""Every action is recorded as a line of Python, and the lines make the same labels again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.discs import centre_in

from napari_sam2.core import script
from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import InferenceError, PromptError
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PointPrompt, PromptStep
from napari_sam2.core.script import value_text
from napari_sam2.core.session import Session
from napari_sam2.testing import FakeSegmenter, moving_discs

VIDEO, TRUTH = moving_discs(num_frames=8, size=32, num_objects=2)
centre = centre_in(TRUTH)


def make():
    frames = ArrayFrames(VIDEO)
    return Session(frames, InlineEngine(FakeSegmenter(frames)))


def replay(session):
    """Run the log of a session on a new one."""
    fresh = Session(session.frames, InlineEngine(FakeSegmenter(session.frames)))
    names = {name: getattr(script, name) for name in script.__all__} | {"session": fresh}
    for line in session.log:
        exec(line, names)
    return fresh


def everything(session):
    return np.asarray(session.labels).tobytes(), session.prompts, session.locks, session.infos


@pytest.fixture
def session():
    return make()


def test_a_line_is_what_was_called(session):
    lines = []
    session.line_recorded.connect(lines.append)
    session.add_points(1, np.int64(2), np.array([[3.0, 4.5]]), labels=iter([True]))
    session.add(PointPrompt(1, (2, 9.0, 9.0), positive=False))
    session.add_points(1, 2, [(3.0, 4.5)])
    session.rename(1, "it's")
    session.undo()
    session.redo()
    session.redo()
    assert (
        list(session.log)
        == lines
        == [
            "session.add_points(1, 2, [[3.0, 4.5]], labels=[True])",
            "session.add_points(1, 2, [(9.0, 9.0)], [False])",
            'session.rename(1, "it\'s")',
            "session.undo()",
            "session.redo()",
        ]
    )


def test_what_is_refused_or_fails_leaves_no_line(session):
    with pytest.raises(PromptError):
        session.add_points(1, 2, [(99, 99)])
    session.engine.segmenter.fail_next()
    with pytest.raises(InferenceError):
        session.add_points(1, 2, [(9, 9)])
    assert session.log == ()


def test_what_listeners_do_comes_after_what_they_heard_of(session):
    session.frame_committed.connect(
        lambda t, _: None if session.state.is_locked(1, t) else session.lock(1, t)
    )
    session.add_points(1, 2, [centre(1, 2)])
    assert session.log[1:] == ("session.lock(1, 2)",)
    assert everything(replay(session)) == everything(session)


def test_all_kinds_of_actions_are_done_again(session):
    session.add_points(1, 2, [centre(1, 2)])
    session.choose_candidate(1, 2, 1)
    session.add_mask(2, 1, TRUTH[1] == 2, lock=True)
    session.add_polygon(3, 0, np.array([(1, 1), (1, 9.5), (8, 5)]))
    session.add_scribble(3, 4, [(3, 3), (5, 9)])
    list(session.propagate())
    session.classify(2, "cell")
    session.add_points(1, 5, [(0, 0)], [0])
    list(session.propagate_changed(objects=[1]))
    session.trim_after(2, 6)
    session.merge(1, session.split(1, 4))
    session.divide(2, 5)
    session.add_labels_stack(TRUTH, range(6, 8), as_new=True)
    session.set_overlap("highest")
    session.use_existing(np.ascontiguousarray(TRUTH[::-1] * 20))
    session.lock(1, 3)
    for _ in range(4):
        session.undo()
    session.redo()
    assert everything(replay(session)) == everything(session)


def test_what_is_done_during_a_run_is_done_again_at_the_same_moment(session):
    session.add_points(1, 2, [centre(1, 2)])
    for number, _ in enumerate(session.propagate(), start=1):
        if number == 3:
            session.add_points(1, 5, [(0, 0)], [0])
        if number == 5:
            break
    assert session.log[1:] == (
        "run = session.propagate()",
        "run.drive(3)",
        "session.add_points(1, 5, [(0, 0)], [0])",
        "run.drive(5)",
        "run.finish()",
    )
    assert everything(replay(session)) == everything(session)
    list(session.propagate())
    assert everything(replay(session)) == everything(session)


def test_a_run_that_was_undone_while_it_went_on_is_done_again(session):
    session.add_points(1, 2, [centre(1, 2)])
    run = session.propagate()
    results = iter(run)
    next(results)
    next(results)
    session.undo()
    next(results, None)
    results.close()
    session.redo()
    assert everything(replay(session)) == everything(session)


def test_a_restored_session_is_one_line(session):
    other = make()
    other.add_points(1, 2, [centre(1, 2)])
    list(other.propagate())
    other.add_points(1, 5, [(0, 0)], [0])
    other.lock(1, 6)
    other.divide(1, 6)
    session.restore(other.prompts, other.locks, other.infos)
    assert len(session.log) == 1
    assert everything(replay(session)) == everything(session)


class Later(InlineEngine):
    """Notes what is asked; the test says what becomes of it."""

    def __init__(self, segmenter):
        super().__init__(segmenter)
        self.waiting = []

    def ask(self, request, deliver):
        self.waiting.append((request, deliver))

    def answer(self):
        request, deliver = self.waiting.pop(0)
        deliver(self.segmenter.prompt(request))


@pytest.fixture
def late(session):
    session.engine = Later(session.engine.segmenter)
    return session


def refuse(session):
    session.refuse(session.engine.waiting.pop(0)[0].generation)


def test_a_refusal_that_comes_at_once_strikes_the_line(late):
    late.add_points(2, 2, [(3, 3)])
    refuse(late)
    assert late.log == ()
    assert late.next_object_id == 1


def test_a_refusal_that_comes_later_is_a_line(late):
    late.add_points(1, 2, [(3, 3)])
    late.add_mask(2, 2, TRUTH[2] == 2)
    refuse(late)
    starts = ["session.add_points", "session.add_mask(2", "session.take_back("]
    assert [line[:18] for line in late.log] == starts
    assert everything(replay(late)) == everything(late)


def test_a_refusal_after_undo_is_done_again(late):
    late.add_mask(1, 2, TRUTH[2] == 1)
    late.add_points(2, 2, [centre(2, 2)])
    late.undo()
    refuse(late)
    assert not late.redo()
    assert late.objects == (1,)
    assert everything(replay(late)) == everything(late)


def test_a_refusal_of_one_of_several_is_done_again(late):
    other = make()
    other.add_points(1, 2, [centre(1, 2)])
    other.add_points(2, 2, [centre(2, 2)])
    late.restore(other.prompts)
    late.engine.answer()
    late.rename(1, "cell")
    refuse(late)
    assert late.objects == (1,)
    assert everything(replay(late)) == everything(late)


def test_ids_that_a_refused_prompt_had_taken_are_taken_again(late):
    late.add_mask(1, 2, TRUTH[2] == 1)
    late.add_points(2, 2, [centre(2, 2)])
    late.rename(1, "cell")
    refuse(late)
    assert late.divide(1, 5) == (3, 4)
    assert everything(replay(late)) == everything(late)


def test_a_run_that_was_begun_before_the_refusal_is_done_again(late):
    late.add_mask(1, 2, TRUTH[2] == 1)
    late.add_points(2, 4, [centre(2, 4)])
    results = iter(late.propagate())
    refuse(late)
    list(results)
    assert late.objects == (1,)
    assert everything(replay(late)) == everything(late)


class Tensor:
    """An array of a library whose types numpy does not know."""

    shape = TRUTH[2].shape
    dtype = "tensor.bool"

    def __array__(self, dtype=None, copy=None):
        return TRUTH[2] == 1

    def __getitem__(self, key):
        return self


def test_arrays_of_other_libraries_are_written(session):
    told = []
    session.prompts_changed.connect(lambda *place: told.append(place))
    session.add_mask(1, 2, Tensor())
    assert told == [(1, 2)]
    assert everything(replay(session)) == everything(session)


def test_a_value_without_a_text_is_refused_before_anything_changes(session):
    class Name(str):
        def __repr__(self):
            raise ValueError("no text")

    session.add_points(1, 2, [centre(1, 2)])
    before = session.state
    with pytest.raises(ValueError, match="no text"):
        session.rename(1, Name("cell"))
    assert session.state is before
    assert session.undo_action == "add point"
    assert len(session.log) == 1


plain = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5)
values = st.recursive(
    plain | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


def made_from(text):
    return eval(text, {name: getattr(script, name) for name in script.__all__})


@given(values)
def test_the_text_of_a_value_makes_it_again(value):
    assert made_from(value_text(value)) == value


@given(
    st.sampled_from([bool, np.uint8, ">u2", np.int64, np.float32]),
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
)
def test_the_text_of_an_array_makes_it_again(dtype, shape):
    array = (np.arange(np.prod(shape)).reshape(shape) % 3).astype(dtype)
    made = np.asarray(made_from(value_text(array)))
    np.testing.assert_array_equal(made, array)
    assert (made.dtype == bool) == (array.dtype == bool)


def test_the_text_of_prompts_makes_them_again():
    mask = PackedMask.from_array(TRUTH[0] == 1)
    step = PromptStep(((1.5, 2),), (True,), (0, 1, 2, 3), None, 2)
    said = ObjectPrompts(3, (FramePrompts(4, (PromptStep(mask=mask), step), mask),), frozenset({4}))
    assert made_from(value_text(said)) == said


def test_a_small_stack_is_written_as_an_array():
    made = made_from(value_text(np.arange(8).reshape(2, 2, 2)))
    assert made.shape == (2, 2, 2)


def test_any_collection_of_ids_is_written_as_a_list(session):
    session.add_points(1, 2, [centre(1, 2)])
    list(session.propagate("forward", objects=session.state.objects.keys()))
    list(session.propagate("backward", objects={1}))
    assert session.log[1] == "run = session.propagate('forward', objects=[1])"
    assert everything(replay(session)) == everything(session)


def test_an_array_without_end_is_only_named():
    class Huge:
        shape, dtype = (1000, 1000, 1000), np.dtype(np.uint16)

    assert value_text(Huge()) == "labels_of_1000x1000x1000"
