"""Any history of prompts, removals, undos and cut runs, then a propagation, equals a fresh session, bit for bit."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from napari_sam2.core import script
from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import (
    InferenceError,
    LabelsError,
    OptionError,
    PromptError,
    UnknownObjectError,
)
from napari_sam2.core.session import Session
from napari_sam2.testing import FakeSegmenter, moving_discs

SIZE, NUM_FRAMES = 16, 5  # small, so that histories meet themselves again
VIDEO, TRUTH = moving_discs(NUM_FRAMES, SIZE, num_objects=2, seed=4)

REFUSED = PromptError, UnknownObjectError, LabelsError, OptionError
"""What an action may raise that cannot be done; the session is as before then."""

objects = st.integers(1, 2)
frames = st.integers(0, NUM_FRAMES - 1)
pixels = st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1))
choices = st.integers(0, 99)


def shown(session):
    """All that is shown, without the numbers of runs, which count the past."""
    records = []
    for object_id in session.objects:
        for t in range(NUM_FRAMES):
            record = session.record(object_id, t)
            if record is not None:
                parts = record.box, record.bits, record.strength, record.object_score, record.iou
                records.append((object_id, t, record.provenance, *parts))
    return np.asarray(session.labels).tobytes(), records


class HistoryMachine(RuleBasedStateMachine):
    """Does to a session what a person may do."""

    overlap = "keep"

    def _new(self):
        stack = ArrayFrames(VIDEO)
        return Session(stack, InlineEngine(FakeSegmenter(stack)), overlap=self.overlap)

    @initialize()
    def start(self):
        self.session = self._new()
        self.labels = np.zeros(VIDEO.shape, np.uint16)
        self.session.frame_committed.connect(self._follow)

    def _follow(self, t, box):
        part = self.session.project(t, box)
        self.labels[t, box[0] : box[2], box[1] : box[3]] = part

    def _settle(self):
        """Wait for all that is on its way; here nothing ever is."""

    def _fresh(self):
        """Return a session without a past, given what survived."""
        fresh = self._new()
        fresh.restore(self.session.prompts, self.session.locks, self.session.infos)
        return fresh

    def _try(self, act, *arguments, **options):
        before = self.session.state
        try:
            act(*arguments, **options)
        except REFUSED:
            assert self.session.state is before

    @rule(object_id=objects, t=frames, on_disc=st.booleans(), pixel=pixels, positive=st.booleans())
    def click(self, object_id, t, on_disc, pixel, positive):
        if on_disc:
            pixel = tuple(np.argwhere(TRUTH[t] == 1 + object_id % 2).mean(0))
        self._try(self.session.add_points, object_id, t, [pixel], [int(positive)])

    @rule(object_id=objects, t=frames, first=pixels, second=pixels)
    def draw_box(self, object_id, t, first, second):
        self._try(self.session.add_box, object_id, t, (*first, *second))

    @rule(object_id=objects, t=frames, corner=pixels, lock=st.booleans())
    def paint(self, object_id, t, corner, lock):
        mask = np.zeros((SIZE, SIZE), bool)
        mask[corner[0] : corner[0] + 5, corner[1] : corner[1] + 7] = True
        self._try(self.session.add_mask, object_id, t, mask, lock=lock)

    @precondition(lambda self: self.session.objects)
    @rule(
        choice=choices,
        which=choices,
        pixel=pixels,
        name=st.sampled_from(["flip_point", "remove_point", "move_point", "choose_candidate"]),
    )
    def edit(self, choice, which, pixel, name):
        """Change one of the points of a frame, or what they mean."""
        said = [(item.object_id, frame) for item in self.session.prompts for frame in item.frames]
        object_id, frame = said[choice % len(said)]
        points = [point for step in frame.steps for point in step.points]
        if name == "choose_candidate":
            self._try(self.session.choose_candidate, object_id, frame.frame, which % 2)
        elif points:
            more = (pixel,) if name == "move_point" else ()
            point = points[which % len(points)]
            self._try(getattr(self.session, name), object_id, frame.frame, point, *more)

    @precondition(lambda self: self.session.objects)
    @rule(choice=choices)
    def remove_prompts(self, choice):
        said = [(item.object_id, t) for item in self.session.prompts for t in item.frame_indices]
        self._try(self.session.remove_prompts, *said[choice % len(said)])

    @precondition(lambda self: self.session.objects)
    @rule(choice=choices)
    def remove_object(self, choice):
        self.session.remove_object(self.session.objects[choice % len(self.session.objects)])

    @precondition(lambda self: self.session.objects)
    @rule(
        choice=choices,
        other=choices,
        t=frames,
        name=st.sampled_from(["trim_before", "trim_after", "untrim", "split", "divide", "merge"]),
    )
    def organise(self, choice, other, t, name):
        """Change the extent of an object, cut it in two, or join it with another one."""
        known = self.session.objects
        place = {"untrim": (), "merge": (known[other % len(known)],)}.get(name, (t,))
        self._try(getattr(self.session, name), known[choice % len(known)], *place)

    @precondition(lambda self: self.session.objects)
    @rule(choice=choices, t=frames)
    def lock(self, choice, t):
        self._try(self.session.lock, self.session.objects[choice % len(self.session.objects)], t)

    @precondition(lambda self: self.session.locks)
    @rule(choice=choices)
    def unlock(self, choice):
        lock = self.session.locks[choice % len(self.session.locks)]
        self.session.unlock(lock.object_id, lock.frame)

    @rule(times=st.integers(1, 4))
    def undo(self, times):
        for _ in range(times):
            self.session.undo()

    @rule(times=st.integers(1, 4))
    def redo(self, times):
        for _ in range(times):
            self.session.redo()

    @rule(object_id=objects, t=frames, after=st.integers(0, 1))
    def fail(self, object_id, t, after):
        """Let the model fail in a click, or soon after."""
        segmenter = self.session.engine.segmenter
        segmenter.fail_next(after=after)
        before = self.session.state
        try:
            self.session.add_points(object_id, t, [(t, object_id)])
        except (InferenceError, PromptError):
            assert self.session.state is before
        segmenter.raise_at.clear()

    @precondition(lambda self: self.session.objects)
    @rule(
        direction=st.sampled_from(["both", "forward", "backward"]),
        span=st.one_of(
            st.none(),
            st.tuples(st.integers(0, 2), st.integers(3, NUM_FRAMES)),
        ),
        some=st.booleans(),
        stop=st.one_of(st.none(), st.integers(0, 8)),
    )
    def propagate(self, direction, span, some, stop):
        self._settle()
        chosen = self.session.objects[:1] if some else None
        run = self.session.propagate(direction, span, chosen)
        if stop == 0:
            run.cancel()
        for number, _ in enumerate(run, start=1):
            if number == stop:
                run.cancel()
        assert run.is_finished

    @precondition(lambda self: self.session.objects)
    @rule(stop=st.integers(1, 5))
    def cut(self, stop):
        """Begin what `finish` may continue, or must not."""
        self._settle()
        for number, _ in enumerate(self.session.propagate(), start=1):
            if number == stop:
                break

    @precondition(lambda self: self.session.objects)
    @rule(stops=st.lists(st.integers(1, 5), max_size=3))
    def finish(self, stops):
        """Propagate everything, cut at will; from then on nothing of the past may be seen."""
        self._settle()
        for stop in stops:
            for number, _ in enumerate(self.session.propagate(), start=1):
                if number == stop:
                    break
        list(self.session.propagate())
        fresh = self._fresh()
        list(fresh.propagate())
        assert shown(self.session) == shown(fresh)

    @precondition(lambda self: self.session.objects)
    @rule(stops=st.lists(st.integers(1, 5), max_size=3))
    def repair(self, stops):
        """Track what has changed, cut at will; every mask is then that of a session without a past."""
        self._settle()
        for stop in stops:
            for number, _ in enumerate(self.session.propagate_changed(), start=1):
                if number == stop:
                    break
        list(self.session.propagate_changed())
        assert self.session.changed == ()
        assert self.session.propagate_changed().total == 0
        self.session.run.finish()
        fresh = self._fresh()
        list(fresh.propagate())
        assert shown(self.session)[1] == shown(fresh)[1]

    @invariant()
    def events_tell_all(self):
        np.testing.assert_array_equal(self.labels, np.asarray(self.session.labels))

    @invariant()
    def prompts_are_answered_and_locks_have_prompts(self):
        for item in self.session.prompts:
            assert not self.session.state.objects[item.object_id].pending
            for t in item.frame_indices:
                if t in self.session.info(item.object_id).extent:
                    assert self.session.record(item.object_id, t).provenance != "tracked"
        for lock in self.session.locks:
            assert self.session.state.prompts_on(lock.object_id, lock.frame) is not None

    def teardown(self):
        self._settle()
        if self.session.objects:
            self.finish([2])
        self._replay()
        line = [self._bytes()]
        while self.session.undo():
            line.append(self._bytes())
        assert self.session.objects == ()
        for expected in reversed(line[:-1]):
            assert self.session.redo()
            assert self._bytes() == expected

    def _replayed(self):
        """Return the new session that the log is run on."""
        return self._new()

    def _replay(self):
        """Run the log on a new session: it is the same then."""
        fresh = self._replayed()
        names = {name: getattr(script, name) for name in script.__all__} | {"session": fresh}
        for text in self.session.log:
            exec(text, names)
        assert shown(fresh) == shown(self.session)
        assert (fresh.prompts, fresh.locks) == (self.session.prompts, self.session.locks)
        assert fresh.infos == self.session.infos

    def _bytes(self):
        return self.session.state, np.asarray(self.session.labels).tobytes()


def click(session, object_id, t):
    """Click an object again on a frame, each time on another pixel."""
    said = session.state.prompts_on(object_id, t)
    number = 0 if said is None else len(said.steps)
    with suppress(PromptError):
        session.add_points(object_id, t, [(number, 3 * object_id)])


def act(session, name, object_id, t):
    """Do one small thing, if it can be done."""
    if name == "click":
        click(session, object_id, t)
    elif name in ("undo", "redo"):
        getattr(session, name)()
    else:
        with suppress(PromptError, UnknownObjectError):
            getattr(session, name)(object_id, t)


small_things = st.tuples(
    st.sampled_from(["click", "undo", "redo", "remove_prompts", "lock", "unlock"]), objects, frames
)


@settings(max_examples=150, deadline=None)
@given(
    clicks=st.lists(st.tuples(objects, frames), min_size=1, max_size=4),
    stop=st.integers(1, 4),
    detour=st.lists(small_things, max_size=3),
)
def test_a_cut_run_continues_only_if_nothing_was_changed_in_between(clicks, stop, detour):
    stack = ArrayFrames(VIDEO)
    session, fresh = (Session(stack, InlineEngine(FakeSegmenter(stack))) for _ in range(2))
    for place in clicks:
        click(session, *place)
    for number, _ in enumerate(session.propagate(), start=1):
        if number == stop:
            break
    for thing in detour:
        act(session, *thing)
    if session.objects:
        fresh.restore(session.prompts, session.locks)
        list(session.propagate())
        list(fresh.propagate())
    assert shown(session) == shown(fresh)


@pytest.mark.parametrize("overlap", ["keep", "overwrite", "highest"])
def test_any_history_then_a_propagation_equals_a_fresh_session(overlap):
    machine = type("Machine", (HistoryMachine,), {"overlap": overlap})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=50, stateful_step_count=30, deadline=None)
    )
