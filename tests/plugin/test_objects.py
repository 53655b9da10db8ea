"""The table of objects and its buttons, and the log of what was done."""

from __future__ import annotations

import napari
import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

import napari_sam2
from napari_sam2.plugin.panels.columns import ALWAYS, CLASS, FRAMES, LOWEST, NAME, PROMPTED, SIZE

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


def shown(desk):
    table = desk.dock.objects.table
    return {column for column in range(table.columnCount()) if not table.isColumnHidden(column)}


def make_wide(desk, width):
    desk.dock.setFixedWidth(width)
    desk.dock.resize(width, 900)
    desk.dock.grab()  # lays everything out, as on a screen


def test_a_class_is_given_in_place_and_undone(two):
    table = two.dock.objects.table
    make_wide(two, 500)
    assert CLASS not in shown(two), "nobody needs it yet"
    menu(two)["Class of this object…"].trigger()
    assert CLASS in shown(two)
    assert table.state() == table.State.EditingState
    table.item(1, CLASS).setText("mitotic")
    assert two.session.info(2).class_name == "mitotic"
    assert two.session.log[-1].endswith("classify(2, 'mitotic')")
    two.press("Control-Z")
    assert two.session.info(2).class_name == ""


def test_a_class_is_shown_where_there_is_room_and_said_beside_the_name(two):
    make_wide(two, 500)
    two.session.classify(1, "mitotic")
    two.session.rename(1, "left")
    two.shown()
    table = two.dock.objects.table
    assert CLASS in shown(two)
    assert table.item(0, CLASS).text() == "mitotic"
    assert table.item(0, NAME).toolTip().startswith("left, mitotic")


def test_what_there_is_room_for_is_shown_and_the_rest_can_be_chosen(two):
    make_wide(two, 500)
    assert shown(two) == {*ALWAYS, SIZE, FRAMES, PROMPTED, LOWEST}
    make_wide(two, 300)
    assert {*ALWAYS, SIZE, LOWEST} <= shown(two)
    assert PROMPTED not in shown(two)
    menu(two)
    columns = {action.text(): action for action in two.dock.objects.columns.actions()}
    columns["Frames with prompts"].trigger()
    columns["Area"].trigger()
    assert PROMPTED in shown(two)
    assert SIZE not in shown(two)
    make_wide(two, 500)
    assert SIZE not in shown(two), "as it was chosen"


def test_in_a_time_lapse_the_area_on_the_shown_frame_follows_the_slider(open_desk):
    desk = open_desk(units=("s", "um", "um"), scale=(60, 0.5, 0.25))
    desk.click(1)
    desk.propagate()
    desk.shown()
    table = desk.dock.objects.table
    assert table.horizontalHeaderItem(SIZE).text() == "Area"
    for frame in (3, 7):
        desk.viewer.dims.set_current_step(0, frame)
        pixels = np.count_nonzero(desk.session.mask(1, frame))
        assert table.item(0, SIZE).text() == f"{pixels * 0.125:.3g} µm²"


def test_in_a_volume_all_frames_count_through_every_change(open_desk):
    desk = open_desk(units=("mm", "mm", "mm"), scale=(5, 2, 2))
    table = desk.dock.objects.table

    def expected():
        pixels = sum(np.count_nonzero(desk.session.mask(1, frame)) for frame in range(12))
        return f"{pixels * 20 / 1000:.3g} mL"

    desk.click(1)
    desk.shown()
    assert table.horizontalHeaderItem(SIZE).text() == "Volume"
    assert table.item(0, SIZE).text() == expected()
    desk.propagate()
    desk.shown()
    assert table.item(0, SIZE).text() == expected()
    desk.click(1, frame=5, button=2)
    desk.controller.shaping.trim_after()
    desk.shown()
    assert table.item(0, SIZE).text() == expected()
    desk.press("Control-Z")
    desk.press("Control-Z")
    desk.shown()
    assert table.item(0, SIZE).text() == expected()


def test_masks_are_counted_once(two, monkeypatch):
    sizes = two.controller.binding.sizes
    for frame in range(12):
        sizes.texts(frame)
    monkeypatch.setattr(two.session, "store", None)
    for frame in range(12):
        assert sizes.texts(frame)[1].endswith(" px")


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
