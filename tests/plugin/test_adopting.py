"""Labels layers of others: as prompts on one frame or on many, or protected."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.core.axes import StackView
from napari_sam2.plugin.adopting import as_stack

pytestmark = pytest.mark.gui


@pytest.fixture
def given(desk):
    """A desk, and a labels layer with the right labels in its viewer."""
    given = desk.viewer.add_labels(desk.truth.copy(), name="cellpose")
    desk.viewer.layers.selection.active = desk.bridge.prompts.points
    desk.viewer.dims.set_current_step(0, 3)
    return given


def choose(desk, *texts):
    """Go through the menu of the dock as a person does."""
    desk.dock.show_now()
    menu = desk.dock.prompts.labels.menu()
    for text in texts:
        (action,) = [item for item in menu.actions() if text in item.text()]
        menu = action.menu()
    action.trigger()


def test_without_other_labels_there_is_nothing_to_choose(desk):
    desk.dock.show_now()
    assert not desk.dock.prompts.labels.isEnabled()
    desk.viewer.add_labels(desk.truth, name="cellpose")
    desk.dock.show_now()
    assert desk.dock.prompts.labels.isEnabled()
    assert [choice.label for choice in desk.shown().label_layers] == ["cellpose"]


def test_labels_of_this_frame_become_prompts_that_can_be_propagated(desk, given):
    choose(desk, "cellpose", "this frame")
    np.testing.assert_array_equal(desk.labels[3], desk.truth[3])
    assert not desk.labels[4].any()
    assert desk.shown().message.text == "2 objects have masks on frame 3 from 'cellpose'."
    desk.propagate()
    np.testing.assert_array_equal(desk.labels, desk.truth)


def test_each_object_on_its_best_frame_or_on_all(desk, given):
    given.data[:, :, :] = 0
    given.data[2, :5, :5], given.data[4, :6, :6], given.data[4, 30:33, :3] = 1, 1, 2
    choose(desk, "cellpose", "best frame")
    assert [item.frame_indices for item in desk.session.prompts] == [(4,), (4,)]
    desk.press("Control-Z")
    choose(desk, "cellpose", "all frames")
    assert [item.frame_indices for item in desk.session.prompts] == [(2, 4), (4,)]
    np.testing.assert_array_equal(desk.labels, given.data)


def test_numbers_that_are_taken_are_not_taken_twice(desk, given):
    desk.click(2, frame=0)
    desk.viewer.dims.set_current_step(0, 3)
    choose(desk, "cellpose", "this frame")
    assert desk.session.objects == (1, 2, 3)
    assert "New numbers from 2 on" in desk.shown().message.text
    np.testing.assert_array_equal(desk.session.mask(2, 3), desk.truth[3] == 1)


def test_the_same_labels_on_another_frame_are_the_same_objects(desk, given):
    choose(desk, "cellpose", "this frame")
    desk.viewer.dims.set_current_step(0, 7)
    choose(desk, "cellpose", "this frame")
    assert desk.session.objects == (1, 2)
    assert desk.session.prompts[0].frame_indices == (3, 7)


def test_protected_labels_are_covered_by_no_mask_until_they_are_let_go(desk, given):
    given.data[:] = 0
    given.data[0, :, :32] = 1
    choose(desk, "cellpose", "Protect")
    np.testing.assert_array_equal(desk.labels, given.data)
    assert desk.controller.active_object == 2
    desk.click(1)
    assert desk.session.objects == (2,)
    assert (desk.labels[0, :, :32] == 1).all()
    choose(desk, "no longer")
    assert not (desk.labels == 1).any()
    desk.press("Control-Z")
    assert (desk.labels[0, :, :32] == 1).all()


def test_labels_of_another_shape_are_refused_with_both_shapes(desk, given, contract):
    desk.viewer.add_labels(np.ones((12, 32, 32), np.uint8), name="small")
    found = contract.desk(
        desk,
        lambda: choose(desk, "small", "all frames"),
        lambda: choose(desk, "cellpose", "this frame"),
    )
    assert "(12, 32, 32)" in found.what
    assert "(12, 64, 64)" in found.what
    assert desk.session.objects


def test_an_empty_frame_is_refused(desk, given):
    given.data[3] = 0
    choose(desk, "cellpose", "this frame")
    assert "empty" in desk.controller.message.text


def test_any_order_of_axes_is_seen_as_frames():
    data = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    stack = as_stack(data, StackView(3, 2, 0, ((1, 2),)))
    assert stack.shape == (5, 4, 2)
    assert stack[4, 3, 1] == data[1, 2, 3, 4]
    assert as_stack(data[0], StackView(0, 1, 2)) is not None
    flat = as_stack(data[0, 0], StackView(None, 0, 1))
    assert flat.shape == (1, 4, 5)
