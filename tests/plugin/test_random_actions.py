"""Random sequences of what a person does with mouse, keys and the dock, while the worker answers when it can.

The full count: ``HYPOTHESIS_PROFILE=full python -m pytest tests/plugin/test_random_actions.py`` (docs/development.md).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from tests.core.test_session_history import NUM_FRAMES, TRUTH, VIDEO, choices, pixels, shown
from tests.random_histories import try_histories

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import (
    OptionError,
    PromptError,
    PropagationError,
    UnknownObjectError,
)
from napari_sam2.core.session import Session
from napari_sam2.plugin.actions import ACTIONS
from napari_sam2.testing import FakeSegmenter

pytestmark = [pytest.mark.gui, pytest.mark.slow]

REFUSED = PromptError, UnknownObjectError, PropagationError, OptionError
"""What may be reported to a person who asks for what cannot be done."""

frames = st.integers(0, NUM_FRAMES - 1)


class WidgetMachine(RuleBasedStateMachine):
    """Hands on one window; each history begins with a new image in it.

    What the worker has done when a step begins is left to chance, so no rule depends on it.
    """

    desk = None

    @property
    def session(self):
        return self.desk.session

    @initialize()
    def open_an_image(self):
        desk = self.desk
        desk.viewer.layers.clear()
        image = desk.viewer.add_image(VIDEO, name="discs")
        controller = desk.controller
        desk.qtbot.waitUntil(lambda: getattr(controller.binding, "image", None) is image)
        controller.set_sign(True)
        self.failures = []
        controller.failed.connect(self.failures.append)

    # Mouse and slider

    @rule(t=frames)
    def move_the_slider(self, t):
        self.desk.viewer.dims.set_current_step(0, t)

    @rule(
        t=frames,
        disc=st.integers(0, 2),
        pixel=pixels,
        button=st.sampled_from([1, 1, 2]),
        modifiers=st.sampled_from([(), (), ("Alt",), ("Control",)]),
    )
    def click(self, t, disc, pixel, button, modifiers):
        if disc:
            pixel = np.argwhere(TRUTH[t] == disc).mean(0).round()
        self.desk.viewer.dims.set_current_step(0, t)
        self.desk.viewer.cursor.position = self.desk.world(t, *pixel)
        self.desk.click_at(t, *pixel, button=button, modifiers=modifiers)

    @rule(t=frames, first=pixels, second=pixels)
    def draw_a_box(self, t, first, second):
        self.desk.viewer.dims.set_current_step(0, t)
        self.desk.drag([(t, *first), (t, *second)], modifiers=("Shift",))

    # Keys

    @rule(action=st.sampled_from(ACTIONS))
    def press(self, action):
        self.desk.press(action.key)

    @rule(key=st.sampled_from(["Shift-S", "Control-Z", "Control-Shift-Z", "M", "G"]))
    def press_what_is_pressed_most(self, key):
        self.desk.press(key)

    # Dock

    @rule(choice=choices)
    def choose_an_object(self, choice):
        self._with_object(choice, self.desk.dock.objects.table.object_chosen.emit)

    @rule(choice=choices)
    def merge(self, choice):
        self._with_object(choice, self.desk.dock.objects.merge_asked.emit)

    @rule(choice=choices, name=st.sampled_from(["", "nucleus"]))
    def rename(self, choice, name):
        self._with_object(
            choice, lambda item: self.desk.dock.objects.table.renamed.emit(item, name)
        )

    @rule(name=st.sampled_from(["split_asked", "untrim_asked", "delete_asked"]))
    def ask_of_the_active_object(self, name):
        getattr(self.desk.dock.objects, name).emit()

    @rule(is_only=st.booleans())
    def show_only_the_active_one(self, is_only):
        self.desk.dock.objects.only_asked.emit(is_only)

    @rule()
    def look_at_the_dock(self):
        state = self.desk.shown()
        assert {row.object_id for row in state.objects} >= set(self.session.objects)

    def _with_object(self, choice, act):
        known = self.session.objects
        if known:
            act(known[choice % len(known)])

    # Time

    @rule(milliseconds=st.integers(0, 60))
    def wait(self, milliseconds):
        self.desk.qtbot.wait(milliseconds)

    @rule()
    def settle(self):
        """Wait for the worker; what the viewer shows is what the session has."""
        self.desk.wait_for_answers()
        self.desk.wait_for_run()
        np.testing.assert_array_equal(self.desk.labels, np.asarray(self.session.labels))
        assert not any(known.pending for known in self.session.state.objects.values())
        unexpected = [error for error in self.failures if not isinstance(error, REFUSED)]
        assert not unexpected

    @rule()
    def propagate_and_compare(self):
        """Track what has changed: every mask is then that of a session without a past."""
        self.settle()
        if not self.session.objects:
            return
        self.desk.propagate()
        self.settle()
        assert self.session.changed == ()
        stack = ArrayFrames(VIDEO)
        fresh = Session(stack, InlineEngine(FakeSegmenter(stack)))
        fresh.restore(self.session.prompts, self.session.locks, self.session.infos)
        list(fresh.propagate())
        assert shown(self.session)[1] == shown(fresh)[1]

    def teardown(self):
        if self.session is None:
            return
        self.propagate_and_compare()
        before = np.asarray(self.session.labels).copy()
        count = 0
        while self.session.undo_action:
            self.desk.press("Control-Z")
            count += 1
        self.settle()
        assert self.session.objects == ()
        assert not self.desk.labels.any()
        for _ in range(count):
            self.desk.press("Control-Shift-Z")
        self.settle()
        np.testing.assert_array_equal(self.desk.labels, before)
        self.desk.controller.failed.disconnect(self.failures.append)


def test_whatever_is_done_in_the_window_the_labels_are_those_of_a_fresh_session(open_desk):
    desk = open_desk(VIDEO, truth=TRUTH)
    machine = type("Machine", (WidgetMachine,), {"desk": desk})
    try:
        try_histories(machine, few=3, full=20)
    finally:
        machine.desk = None
