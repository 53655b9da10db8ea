"""Locks: part of an object, shared between states, and no dearer the more of them there are."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.masks import ObjectMask
from napari_sam2.core.messages import FrameResult, ResumePoint
from napari_sam2.core.prompts import FramePrompts, PromptStep
from napari_sam2.core.session import Session
from napari_sam2.core.state import Lock, ObjectState, SessionState
from napari_sam2.testing import FakeSegmenter

NUM_FRAMES = 2100

frames = st.integers(0, 150)
places = st.tuples(st.integers(1, 3), frames)
steps = st.lists(st.tuples(st.sampled_from(["lock", "tracked", "unlock", "remove"]), places))


def said(frame):
    return FramePrompts(frame, (PromptStep(points=((1.0, 1.0),), positives=(True,)),))


@given(steps)
def test_locks_are_what_a_dictionary_of_them_would_be(steps):
    state, model = SessionState(), {}
    for step, (object_id, frame) in steps:
        if step in ("lock", "tracked"):
            lock = Lock(object_id, frame, from_tracking=step == "tracked")
            state = state.with_prompts(object_id, said(frame), 0, 1).with_lock(lock)
            model[object_id, frame] = lock
        elif step == "unlock" and object_id in state.objects:
            state = state.without_lock(object_id, frame)
            model.pop((object_id, frame), None)
        elif step == "remove" and state.prompts_on(object_id, frame) is not None:
            state = state.without_prompts(object_id, frame)
            model.pop((object_id, frame), None)
        locks = [lock for known in state.objects.values() for lock in known.locks]
        assert {(lock.object_id, lock.frame): lock for lock in locks} == model
        assert all(state.is_locked(*place) for place in model)
        for known in state.objects.values():
            assert list(known.locked) == sorted(known.locked)
            assert known.locked.keys() <= known.prompts.keys()


@given(st.lists(st.tuples(frames, st.booleans()), max_size=40))
def test_prompts_keep_the_order_in_which_their_frames_were_prompted_first(changes):
    known, model = ObjectState(1, 1, 1), {}
    for frame, comes in changes:
        if comes:
            known, model = known.prompted(said(frame), 0), {**model, frame: said(frame)}
        else:
            known = known.unprompted(frame)
            model.pop(frame, None)
    assert known.all_prompts.frames == tuple(model.values())
    assert list(known.prompts) == list(model)


@pytest.fixture(scope="module")
def tracked():
    """A session of many frames on which tracking found one object everywhere."""
    source = ArrayFrames(np.zeros((NUM_FRAMES, 8, 8), np.uint8))
    session = Session(source, InlineEngine(FakeSegmenter(source)))
    logits = np.full((8, 8), -1, np.float32)
    logits[2:5, 2:5] = 4
    mask = ObjectMask.from_logits(1, logits, 5.0, 0.9)
    session.add_mask(1, 0, logits > 0)
    run = session.propagate()
    for t in range(1, NUM_FRAMES):
        run.commit(run.store(FrameResult(t, (mask,), run.total, ResumePoint(t))))
    run.finish()
    return session


def calls_of(action):
    """Return how many Python functions `action` calls, and how many of C."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(before)
    return count


def own_references(states):
    """Return how many references the containers of some states hold, those that they share counted once."""
    seen, waiting, count = {id(SessionState), id(ObjectState)}, list(states), 0
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, type):
            continue
        seen.add(id(item))
        inner = gc.get_referents(item)
        count += len(inner)
        waiting += inner
    return count


def test_two_thousand_locks_cost_as_much_as_the_first_ones_did(tracked):
    calls, references = [], []
    for start in range(1, 2001, 500):
        states = [tracked.state]

        def lock(start=start, states=states):
            for t in range(start, start + 100):
                tracked.lock(1, t)
                states.append(tracked.state)

        calls.append(calls_of(lock))
        references.append(own_references(states) - own_references(states[:1]))
        for t in range(start + 100, start + 500):
            tracked.lock(1, t)
    assert len(tracked.locks) == 2000
    assert all(lock.from_tracking for lock in tracked.locks)
    # A state that copied all of its locks, or an action that looked at them all, would take eight times as much.
    assert calls[-1] < 1.5 * calls[0]
    assert references[-1] < 3.0 * references[0]
