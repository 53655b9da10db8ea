"""The table of objects and its buttons, and the log of what was done."""

from __future__ import annotations

import napari
import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

import napari_sam2
from napari_sam2.plugin.panels.objects import NAME

pytestmark = pytest.mark.gui


@pytest.fixture
def two(desk):
    """A desk with two tracked objects, the second one active."""
    desk.click(1)
    desk.press("M")
    desk.click(2)
    desk.propagate()
    desk.shown()
    return desk


def menu(desk):
    desk.dock.objects.fill_menu()
    return {action.text(): action for action in desk.dock.objects.more.menu().actions()}


def test_a_name_is_edited_in_place_and_undone(two):
    table = two.dock.objects.table
    table.item(0, NAME).setText("left disc")
    assert two.session.info(1).name == "left disc"
    assert two.shown().objects[0].name == "left disc"
    two.press("Control-Z")
    two.shown()
    assert table.item(0, NAME).text() == ""


def test_delete_removes_the_active_object_and_undo_brings_it_back(two):
    before = two.labels.copy()
    two.dock.objects.delete.click()
    assert two.session.objects == (1,)
    assert two.controller.active_object == 1
    assert not (two.labels == 2).any()
    two.press("Control-Z")
    np.testing.assert_array_equal(two.labels, before)


def test_show_only_hides_the_other_masks_and_changes_none(two):
    before = two.labels.copy()
    two.dock.objects.only.click()
    assert two.bridge.labels.show_selected_label
    assert two.bridge.labels.selected_label == 2
    two.shown()
    two.dock.objects.only.click()
    assert not two.bridge.labels.show_selected_label
    np.testing.assert_array_equal(two.labels, before)


def test_two_objects_become_one(two):
    both = two.labels > 0
    menu(two)["Merge with 1"].trigger()
    assert two.session.objects == (2,)
    np.testing.assert_array_equal(two.labels == 2, both)


def test_one_object_becomes_two_at_this_frame(two):
    one = two.labels == 2
    two.viewer.dims.set_current_step(0, 7)
    menu(two)["Split: another object from this frame on"].trigger()
    assert two.controller.active_object == 3
    np.testing.assert_array_equal(two.labels[:7] == 2, one[:7])
    np.testing.assert_array_equal(two.labels[7:] == 3, one[7:])


def test_what_was_trimmed_can_be_shown_again(two):
    before = two.labels.copy()
    two.viewer.dims.set_current_step(0, 7)
    two.press("Shift-End")
    assert not (two.labels[8:] == 2).any()
    menu(two)["Show on all frames again"].trigger()
    np.testing.assert_array_equal(two.labels, before)


def test_the_log_unfolds_and_copies_what_was_done(two, monkeypatch):
    panel = two.dock.log
    assert panel.text.isHidden()
    panel.fold.click()
    assert not panel.text.isHidden()
    two.dock.objects.table.item(0, NAME).setText("left")
    two.shown()
    assert panel.text.toPlainText().splitlines()[-1].endswith("rename(1, 'left')")
    panel.copy.click()
    assert QApplication.clipboard().text().splitlines()[2:] == list(two.session.log)


def test_the_console_moves_the_dock(two, monkeypatch):
    monkeypatch.setattr(napari, "current_viewer", lambda: two.viewer)
    session = napari_sam2.current_session()
    session.rename(1, "from the console")
    assert two.shown().objects[0].name == "from the console"
    session.remove_object(1)
    assert [row.object_id for row in two.shown().objects] == [2]
    assert not (two.labels == 1).any()
