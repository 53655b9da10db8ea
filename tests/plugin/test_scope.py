"""What the propagate button is about, chosen in the dock: objects, frames, and who wins overlaps."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.plugin.scope import EVERYTHING, Scope

pytestmark = pytest.mark.gui


@pytest.mark.parametrize(
    ("scope", "direction", "frames"),
    [
        (Scope(frames="near", count=3), "both", (2, 9)),
        (Scope(frames="near", count=3), "forward", (5, 9)),
        (Scope(frames="near", count=3), "backward", (2, 6)),
        (Scope(frames="near", count=50), "both", (0, 12)),
        (Scope(frames="range", first=4, last=7), "forward", (4, 8)),
        (Scope(frames="range", first=7, last=4), "both", (4, 8)),
        (Scope(frames="range", first=40, last=70), "both", (11, 12)),
        (Scope(), "both", None),
    ],
)
def test_frames_are_counted_from_the_shown_one_and_stay_in_the_stack(scope, direction, frames):
    assert scope.frames_asked(direction, 5, 12) == frames


@pytest.fixture
def two(desk):
    """A desk with two prompted objects on frame 5, the second one active, and the choices unfolded."""
    desk.click(1, frame=5)
    desk.press("M")
    desk.click(2, frame=5)
    desk.dock.run.more.fold.click()
    desk.shown()
    return desk


def choose(desk, drop_down, value):
    drop_down.setCurrentIndex([item.value for item in drop_down._choices].index(value))
    drop_down.activated.emit(drop_down.currentIndex())
    desk.shown()


def done(desk, object_id):
    return np.flatnonzero((desk.labels == object_id).any(axis=(1, 2))).tolist()


def test_the_active_object_alone_is_propagated(two):
    choose(two, two.dock.run.more.objects, "active")
    two.propagate()
    assert done(two, 1) == [5]
    assert done(two, 2) == list(range(12))
    assert "run = session.propagate_changed('both', objects=[2])" in two.session.log
    choose(two, two.dock.run.more.objects, "changed")
    two.propagate()
    assert done(two, 1) == list(range(12))


def test_so_many_frames_from_the_shown_one_on(two):
    more = two.dock.run.more
    choose(two, more.frames, "near")
    assert more.count.isVisibleTo(two.dock)
    assert not more.first.isVisibleTo(two.dock)
    more.count.setValue(2)
    two.press("Shift-F")
    two.wait_for_run()
    assert done(two, 1) == done(two, 2) == [5, 6, 7]
    two.press("Shift-S")
    two.wait_for_run()
    assert done(two, 1) == done(two, 2) == [3, 4, 5, 6, 7]
    two.viewer.dims.set_current_step(0, 7)
    two.press("Shift-F")
    two.wait_for_run()
    assert done(two, 1) == [3, 4, 5, 6, 7, 8, 9]


def test_from_one_frame_to_another(two):
    more = two.dock.run.more
    choose(two, more.frames, "range")
    assert (more.first.value(), more.last.value()) == (0, 11), "everything, to be narrowed"
    more.first.setValue(2)
    more.last.setValue(8)  # at once: the dock was not shown in between
    two.shown()
    assert more.fold.text().endswith("Frames 2 to 8")
    two.dock.run.propagate.click()
    two.wait_for_run()
    assert done(two, 1) == done(two, 2) == list(range(2, 9))
    assert "run = session.propagate_changed('both', frames=(2, 9))" in two.session.log


def test_what_is_left_out_is_told_when_the_choices_are_folded_away(two):
    more = two.dock.run.more
    two.controller.running.choose_scope(Scope("active", "near", 4))
    two.shown()
    more.fold.click()
    assert not more.content.isVisibleTo(two.dock)
    assert more.fold.text() == "▸  Active object, 4 frames"
    two.controller.running.choose_scope(EVERYTHING)
    two.shown()
    assert more.fold.text() == "▸  More"


def test_a_stopped_run_of_some_frames_is_resumed(open_desk):
    calm = open_desk()
    calm.click(1)
    calm.controller.running.choose_scope(Scope(frames="range", first=0, last=6))
    calm.propagate()
    desk = open_desk(fake={"delay": 0.1})
    desk.click(1)
    desk.controller.running.choose_scope(Scope(frames="range", first=0, last=6))
    desk.press("Shift-S")
    desk.qtbot.waitUntil(lambda: desk.session.run.done >= 2)
    desk.press("Escape")
    desk.wait_for_run()
    desk.propagate()
    np.testing.assert_array_equal(desk.labels, calm.labels)


def test_another_image_begins_with_everything(two):
    two.controller.running.choose_scope(Scope("active", "range", first=3, last=9))
    other = two.viewer.add_image(np.zeros((4, 16, 16), np.uint8), name="other")
    two.controller.choose_image(other)
    assert two.shown().scope == EVERYTHING
    assert two.dock.run.more.last.maximum() == 3


def test_who_wins_overlaps_is_chosen_and_the_layer_follows_at_once(desk):
    desk.click(1)
    desk.propagate()
    desk.press("M")
    desk.click(1)  # the same disc again: the masks are the same
    desk.propagate()
    assert done(desk, 1) == list(range(12)), "the first one keeps its pixels"
    drop_down = desk.dock.run.more.overlaps
    choose(desk, drop_down, "overwrite")
    assert desk.session.overlap == "overwrite"
    assert desk.session.log[-1].endswith("set_overlap('overwrite')")
    assert done(desk, 1) == []
    np.testing.assert_array_equal(desk.labels, np.asarray(desk.session.labels))
    choose(desk, drop_down, "highest")
    np.testing.assert_array_equal(desk.labels, np.asarray(desk.session.labels))
    desk.press("Control-Z")
    desk.press("Control-Z")
    desk.shown()
    assert drop_down.chosen == "keep"
    assert done(desk, 1) == list(range(12))
    assert all(item.tip for item in drop_down._choices)
