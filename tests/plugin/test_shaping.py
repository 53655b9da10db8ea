"""Editing single prompts and whole objects with keys and the mouse."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.gui


def points(desk, object_id=1, frame=0):
    said = desk.session.state.prompts_on(object_id, frame)
    return [] if said is None else [point for step in said.steps for point in step.points]


def point_at(desk, *index):
    desk.viewer.cursor.position = desk.world(*index)


def test_delete_removes_the_point_under_the_pointer_and_the_mask_follows(desk):
    y, x = desk.centre(1)
    desk.click(1)
    one = desk.labels.copy()
    desk.click_at(0, y + 3, x)
    desk.wait_for_answers()
    desk.viewer.scene.camera.zoom = 10
    point_at(desk, 0, y + 3, x)
    desk.press("Delete")
    desk.wait_for_answers()
    np.testing.assert_allclose(points(desk), [(y, x)])
    np.testing.assert_array_equal(desk.labels, one)
    desk.press("Control-Z")
    assert len(points(desk)) == 2


def test_delete_elsewhere_removes_the_last_point(desk):
    y, x = desk.centre(1)
    desk.click(1)
    desk.click_at(0, y + 3, x)
    desk.wait_for_answers()
    desk.viewer.scene.camera.zoom = 10
    point_at(desk, 0, 60, 60)
    desk.press("Delete")
    desk.wait_for_answers()
    np.testing.assert_allclose(points(desk), [(y, x)])
    desk.press("Delete")
    assert not desk.session.objects
    assert not desk.labels.any()


def test_a_right_click_on_a_point_makes_it_negative_and_a_click_positive_again(desk):
    y, x = desk.centre(1)
    desk.click(1)
    desk.viewer.scene.camera.zoom = 10
    desk.click_at(0, y + 4, x)
    desk.wait_for_answers()
    before = desk.session.state
    desk.click_at(0, y + 4.2, x, button=2)
    desk.wait_for_answers()
    assert [step.positives for step in desk.session.state.prompts_on(1, 0).steps] == [
        (True,),
        (False,),
    ]
    desk.click_at(0, y + 4, x)
    desk.wait_for_answers()
    assert desk.session.state.prompts_on(1, 0) == before.prompts_on(1, 0)


def test_shift_c_clears_this_frame_and_shift_r_the_whole_object(desk):
    desk.click(1)
    desk.click(1, frame=5)
    desk.press("Shift-C")
    assert desk.session.state.objects[1].prompts.keys() == {0}
    desk.press("Shift-R")
    assert not desk.session.objects
    desk.click(1)
    assert desk.session.objects == (1,), "the next click begins the same object anew"


def test_trimming_erases_before_and_after_this_frame_and_can_be_undone(desk):
    desk.click(1, frame=5)
    desk.propagate()
    whole = desk.labels.copy()
    desk.viewer.dims.set_current_step(0, 3)
    desk.press("Shift-Home")
    desk.viewer.dims.set_current_step(0, 8)
    desk.press("Shift-End")
    assert [t for t in range(12) if desk.labels[t].any()] == list(range(3, 9))
    for _ in range(2):
        desk.press("Control-Z")
    np.testing.assert_array_equal(desk.labels, whole)


def test_a_division_ends_the_mother_and_the_next_clicks_start_two_daughters(desk):
    desk.click(1)
    desk.propagate()
    desk.viewer.dims.set_current_step(0, 5)
    desk.press("Shift-D")
    assert desk.bridge.current_frame == 6
    assert desk.controller.active_object == 2
    assert "daughter" in desk.shown().message.text
    desk.click(1, frame=6)
    desk.press("M")
    assert desk.controller.active_object == 3
    desk.click(2, frame=6)
    assert desk.session.info(3).parent == 1
    desk.propagate()
    assert not (desk.labels[6:] == 1).any()
    assert (desk.labels[6:] == 2).any(axis=(1, 2)).all()
    assert not (desk.labels[:6] > 1).any()


def test_h_hides_masks_and_prompts_and_shows_them_again(desk):
    desk.click(1)
    desk.press("H")
    assert not any(layer.visible for layer in desk.bridge.layers)
    desk.press("H")
    assert all(layer.visible for layer in desk.bridge.layers)


@pytest.mark.parametrize(
    "key", ["G", "Shift-G", "N", "J", "K", "Delete", "Shift-C", "Shift-R", "Shift-Home", "Shift-D"]
)
def test_a_key_pressed_too_early_changes_nothing_and_is_answered(desk, key, monkeypatch):
    monkeypatch.setattr("napari_sam2.plugin.reports.show_error", lambda text: None)
    monkeypatch.setattr("napari_sam2.plugin.reports.show_warning", lambda text: None)
    before = desk.session.state
    desk.press(key)
    assert desk.session.state is before
    assert desk.controller.message is not None
