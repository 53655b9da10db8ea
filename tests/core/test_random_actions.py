"""Random sequences of everything that a session can be asked for, with answers at once and late.

The full count: ``HYPOTHESIS_PROFILE=full python -m pytest tests/core/test_random_actions.py`` (docs/development.md).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from tests.core.test_session_history import (
    NUM_FRAMES,
    SIZE,
    VIDEO,
    HistoryMachine,
    choices,
    frames,
    objects,
    pixels,
)
from tests.random_histories import try_histories

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.session import Session
from napari_sam2.testing import FakeSegmenter

EXISTING = 40
"""First of the labels that somebody else made."""


class ActionMachine(HistoryMachine):
    """Does to a session all that its public methods offer."""

    def _fresh(self):
        fresh = super()._fresh()
        existing = self.session.state.existing
        fresh.set_overlap(self.session.overlap)
        if self.session.mapping is not None:
            fresh.use_mapping(self.session.mapping)
        if existing is not None:
            fresh.use_existing(existing.labels, protect=existing.is_protected)
        return fresh

    def _object(self, choice):
        return self.session.objects[choice % len(self.session.objects)]

    # Drawing

    @rule(
        object_id=objects,
        t=frames,
        vertices=st.lists(pixels, min_size=2, max_size=5),
        lock=st.booleans(),
    )
    def draw_polygon(self, object_id, t, vertices, lock):
        self._try(self.session.add_polygon, object_id, t, vertices, lock=lock)

    @rule(
        object_id=objects,
        t=frames,
        path=st.lists(pixels, min_size=1, max_size=4),
        positive=st.booleans(),
        spacing=st.sampled_from([None, 2.0, 0.1]),
    )
    def scribble(self, object_id, t, path, positive, spacing):
        self._try(self.session.add_scribble, object_id, t, path, positive, spacing)

    @rule(
        t=frames,
        ids=st.lists(st.integers(0, 3), min_size=4, max_size=4),
        as_new=st.booleans(),
        lock=st.booleans(),
    )
    def add_labels(self, t, ids, as_new, lock):
        labels = np.kron(np.reshape(ids, (2, 2)), np.ones((SIZE // 2, SIZE // 2), int))
        self._try(self.session.add_labels, t, labels, as_new=as_new, lock=lock)

    @rule(
        ids=st.lists(st.integers(0, 2), min_size=NUM_FRAMES, max_size=NUM_FRAMES),
        chosen=st.one_of(st.none(), st.lists(frames, max_size=2)),
        as_new=st.booleans(),
    )
    def add_labels_stack(self, ids, chosen, as_new):
        labels = np.zeros(VIDEO.shape, np.uint8)
        labels[:, 3:9, 4:11] = np.reshape(ids, (-1, 1, 1))
        self._try(self.session.add_labels_stack, labels, chosen, as_new=as_new)

    @precondition(lambda self: self.session.objects)
    @rule(choice=choices, t=frames)
    def remove_box(self, choice, t):
        self._try(self.session.remove_box, self._object(choice), t)

    # Names, overlaps, everything

    @precondition(lambda self: self.session.objects)
    @rule(
        choice=choices, name=st.sampled_from(["", "nucleus", "Z€ll'e\"\n"]), is_class=st.booleans()
    )
    def name(self, choice, name, is_class):
        act = self.session.classify if is_class else self.session.rename
        self._try(act, self._object(choice), name)

    @precondition(lambda self: self.session.infos)
    @rule(choice=choices, object_id=objects)
    def describe(self, choice, object_id):
        """Say of one object what was said of another one."""
        infos = list(self.session.infos.values())
        self._try(self.session.describe, object_id, infos[choice % len(infos)])

    @rule(overlap=st.sampled_from(["keep", "overwrite", "highest"]))
    def set_overlap(self, overlap):
        self.session.set_overlap(overlap)

    @rule(high=st.sampled_from([1.0, 120.0, 255.0]))
    def use_mapping(self, high):
        self._try(self.session.use_mapping, IntensityMapping(0.0, high))

    @rule(
        corner=pixels,
        first=st.sampled_from([1, EXISTING]),
        protect=st.booleans(),
        is_none=st.booleans(),
    )
    def use_existing(self, corner, first, protect, is_none):
        labels = np.zeros(VIDEO.shape, np.uint16)
        for t in range(NUM_FRAMES):
            labels[t, corner[0] : corner[0] + 6, corner[1] : corner[1] + 6] = first + t % 2
        self._try(self.session.use_existing, None if is_none else labels, protect=protect)

    @precondition(lambda self: self.session.objects)
    @rule(is_clear=st.booleans())
    def begin_anew(self, is_clear):
        """Take everything away, or say all that was said again, as from a file."""
        if is_clear:
            self.session.clear()
        else:
            said = self.session.prompts, self.session.locks, self.session.infos
            self._try(self.session.restore, *said)

    # A run that goes on while other things are done

    @precondition(lambda self: self.session.objects and self.session.run is None)
    @rule(changed=st.booleans(), count=st.integers(0, 3))
    def begin_run(self, changed, count):
        start = self.session.propagate_changed if changed else self.session.propagate
        self._step(start(), count)

    @precondition(lambda self: self.session.run is not None)
    @rule(count=st.integers(1, 4), is_cancelled=st.booleans())
    def go_on(self, count, is_cancelled):
        run = self.session.run
        if is_cancelled:
            run.cancel()
        self._step(run, count)

    def _step(self, run, count):
        """Do what a worker does: a few frames, and an end when it is cancelled or complete."""
        if not run.is_cancelled:
            run.drive(run.done + count)
        if run.is_cancelled or run.is_complete:
            run.finish()

    def _settle(self):
        if self.session.run is not None:
            self.session.run.finish()

    # What can be asked at any time

    @invariant()
    def what_is_asked_is_consistent(self):
        session = self.session
        for object_id in session.objects:
            quality = session.quality(object_id)
            assert [item.frame for item in quality] == list(range(NUM_FRAMES))
            assert all(0 <= item.doubt <= 1 for item in quality)
            assert set(session.stale_frames(object_id)) <= set(
                session.state.objects[object_id].tracks
            )
        if session.state.existing is not None and session.state.existing.is_protected:
            there = np.asarray(session.state.existing.labels)
            np.testing.assert_array_equal(np.asarray(session.labels)[there > 0], there[there > 0])


class LateEngine(InlineEngine):
    """Answers when it is told to, in any order, or refuses."""

    def __init__(self, segmenter):
        super().__init__(segmenter)
        self.waiting = []

    def ask(self, request, deliver):
        self.waiting.append((request, deliver))


class LateActionMachine(ActionMachine):
    """The same, on an engine like the plugin's: answers come later, while other things are done."""

    def _new(self):
        stack = ArrayFrames(VIDEO)
        return Session(stack, LateEngine(FakeSegmenter(stack)), overlap=self.overlap)

    def _replayed(self):
        stack = ArrayFrames(VIDEO)
        return Session(stack, InlineEngine(FakeSegmenter(stack)), overlap=self.overlap)

    def _fresh(self):
        fresh = super()._fresh()
        self._answer_all(fresh)
        return fresh

    @property
    def waiting(self):
        return self.session.engine.waiting

    @precondition(lambda self: self.waiting)
    @rule(choice=choices, is_refused=st.booleans())
    def answer(self, choice, is_refused):
        request, deliver = self.waiting.pop(choice % len(self.waiting))
        if is_refused:
            self.session.refuse(request.generation)
        else:
            deliver(self.session.engine.segmenter.prompt(request))

    @rule(object_id=objects, t=frames, after=st.integers(0, 1))
    def fail(self, object_id, t, after):
        """Here a model that fails is one that refuses."""
        self._try(self.session.add_points, object_id, t, [(t, object_id)])

    def _settle(self):
        super()._settle()
        self._answer_all(self.session)

    def _answer_all(self, session):
        while session.engine.waiting:
            request, deliver = session.engine.waiting.pop(0)
            deliver(session.engine.segmenter.prompt(request))

    @invariant()
    def prompts_are_answered_and_locks_have_prompts(self):
        if not self.waiting:
            super().prompts_are_answered_and_locks_have_prompts()


@pytest.mark.parametrize("machine", [ActionMachine, LateActionMachine])
def test_any_sequence_of_actions_then_a_propagation_equals_a_fresh_session(machine):
    try_histories(machine, few=30, full=250)
