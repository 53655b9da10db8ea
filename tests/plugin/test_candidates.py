"""What an unclear click may have meant besides: thin contours, and a key that goes through them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.plugin.candidates import contours_of

pytestmark = pytest.mark.gui


def num_contours(desk):
    boxes = desk.bridge.prompts.boxes
    return 0 if boxes is None else len(boxes.data)


def test_a_click_shows_what_else_it_may_mean_and_stores_none_of_it(desk):
    desk.click(1)
    offered = desk.session.candidates(1, 0)
    assert len(offered) > 1
    assert num_contours(desk) == 1
    (path,) = desk.bridge.prompts.boxes.data
    np.testing.assert_allclose(path[:, 0], 0)
    np.testing.assert_allclose(path[:, 1:], contours_of(offered[1])[0], atol=1e-5)
    np.testing.assert_array_equal(desk.labels[0] == 1, offered[0].to_array((64, 64)))
    assert desk.viewer.layers.selection.active is desk.bridge.prompts.points


def test_k_goes_through_the_answers_and_undo_comes_back(desk):
    desk.click(1)
    offered = desk.session.candidates(1, 0)
    desk.press("K")
    desk.wait_for_answers()
    assert desk.session.chosen_candidate(1, 0) == 1
    np.testing.assert_array_equal(desk.labels[0] == 1, offered[1].to_array((64, 64)))
    assert "Mask 2 of 2" in desk.shown().message.text
    desk.press("K")
    desk.wait_for_answers()
    assert desk.session.chosen_candidate(1, 0) == 0
    for _ in range(2):
        desk.press("Control-Z")
    np.testing.assert_array_equal(desk.labels[0] == 1, offered[0].to_array((64, 64)))


def test_contours_are_of_their_frame_and_go_when_something_else_is_done(desk):
    desk.click(1)
    desk.viewer.dims.set_current_step(0, 3)
    assert num_contours(desk) == 0
    desk.viewer.dims.set_current_step(0, 0)
    assert num_contours(desk) == 1
    desk.press("M")
    assert num_contours(desk) == 0
    desk.click(2)
    assert num_contours(desk) == 1
    desk.propagate()
    assert num_contours(desk) == 0
