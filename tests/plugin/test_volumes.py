"""A time-lapse of volumes in the dock: one session over all of them, counted by two sliders."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.gui

NUM, DEPTH, SIDE = 3, 4, 32


def volumes():
    """A bright ball that wanders, (T, Z, Y, X); on the first place of a volume it is not there."""
    image = np.full((NUM, DEPTH, SIDE, SIDE), 10, np.uint16)
    z, y, x = np.ogrid[:DEPTH, :SIDE, :SIDE]
    for t in range(NUM):
        ball = (4 * (z - 2)) ** 2 + (y - 14) ** 2 + (x - 10 - 3 * t) ** 2 <= 36
        image[t][ball] = 900
    return image, image > 500


IMAGE, TRUTH = volumes()


def inside(t, z=2):
    return tuple(np.argwhere(TRUTH[t, z]).mean(axis=0).round())


@pytest.fixture
def desk(open_desk):
    desk = open_desk(
        IMAGE,
        truth=TRUTH,
        scale=(30, 2, 0.5, 0.5),
        units=("s", "um", "um", "um"),
        axis_labels=("t", "z", "y", "x"),
    )
    labels = [choice.label for choice in desk.shown().axes]
    assert labels[-1] == "depth, then time · 4 × 3"
    desk.controller.choose_axis((1, 0))
    return desk


def stand_at(desk, t, z):
    desk.viewer.dims.set_current_step(0, t)
    desk.viewer.dims.set_current_step(1, z)


def click(desk, t, z, number=1):
    stand_at(desk, t, z)
    desk.click_at(t, z, *inside(t, z))
    desk.wait_for_answers()


def test_one_click_is_carried_through_its_volume_and_all_others(desk):
    click(desk, 1, 2)
    assert desk.session.stack_view.depth == DEPTH
    assert desk.session.state.prompts_on(1, DEPTH + 2) is not None
    desk.propagate()
    np.testing.assert_array_equal(desk.labels, TRUTH)
    assert desk.shown().message.tone == "done"
    assert desk.shown().axis == (1, 0)
    assert desk.shown().num_frames == NUM * DEPTH


def test_both_sliders_say_which_frame_is_shown_and_are_moved_to_one(desk):
    click(desk, 1, 2)
    for t, z in ((0, 0), (2, 3), (1, 1)):
        stand_at(desk, t, z)
        assert desk.bridge.current_frame == t * DEPTH + z
    desk.bridge.show_frame(2 * DEPTH + 1)
    assert desk.viewer.dims.current_step[:2] == (2, 1)


def test_a_mask_painted_in_another_volume_is_kept_and_carried(desk):
    click(desk, 1, 2)
    desk.controller.tools.choose("brush")
    stand_at(desk, 0, 1)
    labels = desk.bridge.labels
    labels.brush_size = 3
    labels.paint((0, 1, 20, 20), 1)
    desk.qtbot.wait(10)
    assert desk.session.state.prompts_on(1, 1) is not None
    painted = desk.session.mask(1, 1)
    assert painted[20, 20]
    desk.propagate()
    np.testing.assert_array_equal(desk.labels[0, 1] == 1, painted)


def test_undo_takes_a_whole_run_back(desk):
    click(desk, 1, 2)
    before = desk.labels.copy()
    desk.propagate()
    desk.press("Control-Z")
    np.testing.assert_array_equal(desk.labels, before)


def test_a_stopped_run_goes_on_where_it_was(desk):
    click(desk, 1, 2)
    for fake in desk.makers:
        fake.delay = 0.02
    desk.press("Shift-S")
    desk.qtbot.waitUntil(lambda: desk.session.run is None or desk.session.run.done >= 3)
    desk.press("Escape")
    desk.wait_for_run()
    desk.propagate()
    np.testing.assert_array_equal(desk.labels, TRUTH)


def test_with_one_axis_only_the_other_slider_is_fixed(desk):
    desk.controller.choose_axis(1)
    click(desk, 1, 2)
    desk.propagate()
    assert desk.labels[1].any()
    assert not desk.labels[[0, 2]].any()
