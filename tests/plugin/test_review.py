"""Reviewing: going through the frames, locking, correcting, and what is tracked again afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.core.doubting import Doubt
from napari_sam2.plugin.review import peaks_of

pytestmark = pytest.mark.gui

PLACED = {
    "plain": {},
    "scaled and moved": {"scale": (2, 0.3, 0.3), "translate": (5, -7, 11)},
    "micrometres": {"scale": (1, 0.5, 0.5), "units": ("um", "um", "um")},
}


@pytest.fixture
def notified(monkeypatch):
    """Texts of all notifications."""
    texts = []
    for name in ("show_error", "show_warning"):
        monkeypatch.setattr(f"napari_sam2.plugin.reports.{name}", texts.append)
    return texts


def go_to(desk, frame):
    desk.controller.review.go_to(frame)
    assert desk.bridge.current_frame == frame


@pytest.mark.parametrize("placed", PLACED.values(), ids=PLACED.keys())
def test_going_to_a_frame_moves_the_sliders_there(open_desk, placed):
    desk = open_desk(**placed)
    for frame in (7, 0, 11):
        go_to(desk, frame)


def test_going_to_a_frame_also_brings_its_plane_back(open_desk):
    desk = open_desk(np.zeros((6, 3, 32, 32), np.uint8) + np.arange(32, dtype=np.uint8))
    desk.viewer.dims.set_current_step(1, 1)
    desk.click_at(2, 1, 8, 8)
    desk.wait_for_answers()
    desk.viewer.dims.set_current_step(1, 2)
    assert desk.bridge.current_frame is None
    go_to(desk, 4)
    assert desk.viewer.dims.current_step[1] == 1


def test_j_goes_round_the_prompted_frames(desk):
    for frame in (2, 5, 9):
        desk.click(1, frame=frame)
    desk.viewer.dims.set_current_step(0, 3)
    visited = []
    for _ in range(3):
        desk.press("J")
        visited.append(desk.bridge.current_frame)
    assert visited == [5, 9, 2]
    desk.press("Shift-J")
    assert desk.bridge.current_frame == 9


def test_g_locks_the_frame_against_clicks_and_shift_g_unlocks_it(desk, notified):
    desk.click(1)
    desk.propagate()
    desk.viewer.dims.set_current_step(0, 6)
    desk.press("G")
    assert desk.session.state.is_locked(1, 6)
    before = desk.labels.copy()
    desk.click(1, frame=6, button=2)
    assert "locked" in notified[0]
    assert "Unlock it first" in notified[0]
    np.testing.assert_array_equal(desk.labels, before)
    desk.press("Shift-G")
    assert not desk.session.locks
    assert desk.session.state.objects[1].prompts.keys() == {0}


def test_locking_nothing_says_what_to_do(desk, notified):
    desk.click(1)
    desk.viewer.dims.set_current_step(0, 6)
    desk.press("G")
    assert "has no mask on frame 6" in notified[0]


def test_after_a_correction_only_the_span_between_the_locks_is_tracked(desk):
    desk.click(1)
    desk.press("M")
    desk.click(2)
    desk.press("Shift-M")
    desk.propagate()
    for frame in (3, 9):
        desk.viewer.dims.set_current_step(0, frame)
        desk.press("G")
    desk.propagate()
    before = desk.labels.copy()
    written = []
    y, x = desk.centre(1, 6)
    desk.click_at(6, y, x)
    desk.viewer.dims.set_current_step(0, 6)
    desk.click_at(6, y + 2, x)
    desk.wait_for_answers()
    desk.session.frame_committed.connect(lambda frame, box: written.append(frame))
    assert desk.session.changed == (1,)
    desk.propagate()
    assert set(written) <= set(range(4, 9))
    assert desk.session.changed == ()
    outside = [t for t in range(12) if not 3 < t < 9]
    np.testing.assert_array_equal(desk.labels[outside], before[outside])
    np.testing.assert_array_equal(desk.labels == 2, before == 2)
    assert "All frames are done" in desk.shown().message.text


def test_propagating_again_without_a_change_tracks_nothing(desk):
    desk.click(1)
    desk.propagate()
    calls = desk.fake.num_calls
    desk.propagate()
    assert desk.fake.num_calls == calls
    assert "up to date" in desk.shown().message.text


@pytest.mark.parametrize(("key", "found"), [("Shift-F", range(6, 12)), ("Shift-B", range(5))])
def test_forward_and_backward_only(desk, key, found):
    desk.click(1, frame=5)
    desk.press(key)
    desk.wait_for_run()
    tracked = [t for t in range(12) if t != 5 and desk.labels[t].any()]
    assert tracked == list(found)
    button = desk.dock.run.backward if key == "Shift-F" else desk.dock.run.forward
    desk.shown()
    button.click()
    desk.wait_for_run()
    assert desk.labels.any(axis=(1, 2)).all()


def test_after_a_stop_the_button_says_resume_and_the_rest_is_the_same(open_desk):
    calm = open_desk()
    calm.click(1)
    calm.propagate()
    desk = open_desk(fake={"delay": 0.05})
    desk.click(1)
    desk.press("Shift-S")
    desk.qtbot.waitUntil(lambda: desk.session.run.done >= 3)
    desk.press("Escape")
    desk.wait_for_run()
    desk.shown()
    assert desk.dock.run.propagate.text().startswith("Resume")
    done = desk.fake.num_calls
    desk.dock.run.propagate.click()
    desk.wait_for_run()
    # Twelve frames, and once more the one in work when Esc was pressed, which was not kept.
    assert desk.fake.num_calls <= 13
    assert desk.fake.num_calls > done
    np.testing.assert_array_equal(desk.labels, calm.labels)
    desk.shown()
    assert desk.dock.run.propagate.text().startswith("Propagate")


def test_n_goes_to_the_worst_frame_of_every_stretch_and_round(desk, monkeypatch):
    desk.click(1)
    desk.press("M")
    desk.click(2)
    desk.propagate()
    doubts = [(1, 8, 0.9), (1, 7, 0.8), (2, 4, 0.7), (1, 9, 0.6), (1, 2, 0.55)]
    monkeypatch.setattr(desk.session, "doubtful", lambda: [Doubt(*item) for item in doubts])
    visited = []
    for key in ("N", "N", "N", "N", "Shift-N"):
        desk.press(key)
        visited.append((desk.controller.active_object, desk.bridge.current_frame))
    assert visited == [(1, 8), (2, 4), (1, 2), (1, 8), (1, 2)]
    assert "Doubtful frame 3 of 3" in desk.shown().message.text
    assert len(desk.bridge.prompts.boxes.data) == 1, "a place to click is shown"


def test_without_doubt_n_goes_to_the_least_sure_frame_and_says_so(desk, monkeypatch):
    desk.click(1)
    desk.press("N")
    assert "propagate first" in desk.shown().message.text
    found = {0.5: (), 0.0: (Doubt(1, 4, 0.2), Doubt(1, 5, 0.1))}
    monkeypatch.setattr(desk.session, "doubtful", lambda least=0.5: found[least])
    desk.press("N")
    assert "No frame is doubtful" in desk.shown().message.text
    assert desk.bridge.current_frame == 4


def test_stretches_of_different_objects_are_apart():
    doubts = tuple(Doubt(*item) for item in [(1, 3, 0.9), (2, 4, 0.8), (1, 4, 0.7), (1, 6, 0.6)])
    assert [(item.object_id, item.frame) for item in peaks_of(doubts)] == [(1, 3), (2, 4), (1, 6)]


def test_the_review_buttons_do_what_the_keys_do(desk):
    desk.click(1)
    desk.propagate()
    go_to(desk, 4)
    desk.shown()
    buttons = desk.dock.review.buttons
    buttons["lock"].click()
    assert desk.session.state.is_locked(1, 4)
    buttons["unlock"].click()
    assert not desk.session.locks
    buttons["next_prompted"].click()
    assert desk.bridge.current_frame == 0
