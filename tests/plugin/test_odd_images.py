"""Images that are unusual or change under the dock: the model sees what is seen, or a sentence says why not."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.testing import moving_discs

pytestmark = pytest.mark.gui

VIDEO, TRUTH = moving_discs(num_frames=4)


def _odd():
    holes, blank = VIDEO.astype(np.float32), VIDEO.astype(np.float32)
    holes[1, 0, :3], holes[3, 0, 0], blank[0] = np.nan, np.inf, np.nan
    yield "NaN and infinite", holes
    yield "a frame of NaN", blank
    yield "nothing but NaN", np.full_like(blank, np.nan)
    yield "constant", np.full_like(VIDEO, 7)
    yield "boolean", VIDEO > 100
    yield "big-endian", VIDEO.astype(">u2")
    yield "float64", VIDEO.astype(float)
    yield "read-only", np.broadcast_to(VIDEO[:1], VIDEO.shape)
    yield "one frame", VIDEO[:1]
    yield "one row", VIDEO[:, :1]
    yield "one pixel", VIDEO[:, :1, :1]


@pytest.mark.parametrize("image", [pytest.param(item, id=name) for name, item in _odd()])
def test_odd_images_are_clicked_and_propagated(open_desk, image):
    desk = open_desk(image)
    desk.click_at(0, 0, 0)
    desk.wait_for_answers()
    assert desk.session.objects == (1,)
    desk.propagate()
    assert desk.labels.shape == image.shape
    assert desk.controller.binding.num_frames_of(1) == len(image)
    assert desk.shown().message.tone in ("done", "warning")


def test_pixels_that_are_not_finite_are_told_once(open_desk):
    holes = VIDEO.astype(np.float32)
    holes[1, 0, :3], holes[3, 0, 0] = np.nan, np.inf
    desk = open_desk(holes)
    told = []
    desk.session.notice_given.connect(told.append)
    desk.click_at(1, 20, 20)
    desk.wait_for_answers()
    desk.propagate()
    assert told == ["3 pixels of frame 1 are NaN or infinite and count as background"]


def test_an_empty_image_is_refused_with_a_sentence_and_the_next_one_works(open_desk):
    desk = open_desk(VIDEO[:0], truth=TRUTH)
    assert desk.session is None
    assert "axis 0 is empty" in desk.controller.message.text
    image = desk.viewer.add_image(VIDEO, name="full")
    desk.controller.choose_image(image)
    desk.click(1)
    assert desk.labels[0].any()


def test_labels_that_do_not_fit_into_memory_are_refused_and_nothing_is_half_open(open_desk):
    desk = open_desk(VIDEO, truth=TRUTH)
    desk.click(1)
    first = desk.session
    endless = np.broadcast_to(np.uint8(0), (10**8 - 1, 2000, 2000))  # beyond any address space
    image = desk.viewer.add_image(endless, name="endless", contrast_limits=(0, 255))
    desk.controller.choose_image(image)
    assert "Labels of 'endless' would take 7.45e+05 GiB" in desk.controller.message.text
    assert desk.session is first, "the image in use stays"
    desk.viewer.layers.remove(image)
    desk.click(2, frame=1)
    assert desk.labels[1].any()


def test_clicks_on_replaced_pixels_are_refused_until_the_image_is_chosen_again(open_desk):
    desk = open_desk(VIDEO, truth=TRUTH)
    desk.click(1)
    image, before = desk.controller.binding.image, desk.session
    old_labels, drawn = desk.bridge.labels, desk.labels.copy()
    image.data = np.concatenate([VIDEO, VIDEO])
    desk.click_at(1, *desk.centre(2, 1))
    assert "pixels of 'discs' were replaced" in desk.controller.message.text
    assert before.objects == (1,)
    desk.controller.choose_image(image)
    assert desk.session is not before
    desk.click_at(5, *desk.centre(1, 1))
    desk.wait_for_answers()
    assert desk.labels.shape == (8, 64, 64)
    assert desk.labels[5].any()
    assert old_labels in desk.viewer.layers
    np.testing.assert_array_equal(old_labels.data, drawn)


MOVED = {
    "scale": (1, 0.3, 0.3),
    "translate": (5, -40, 12),
    "rotate": 30,
    "shear": [0, 0, 0.4],
    "affine": [[1, 0, 0, 3], [0, 0, -2, 7], [0, 2, 0, 1], [0, 0, 0, 1]],
    "units": ("s", "um", "um"),
    "axis_labels": ("t", "y", "x"),
}


@pytest.mark.parametrize(("name", "value"), MOVED.items(), ids=MOVED)
def test_when_the_image_is_moved_clicks_and_layers_move_with_it(open_desk, name, value):
    desk = open_desk(VIDEO, truth=TRUTH)
    desk.click(1)
    desk.drag([(0, 5, 5), (0, 10, 10), (0, 20, 20)], modifiers=("Shift",))
    desk.wait_for_answers()
    image = desk.controller.binding.image
    setattr(image, name, value)
    assert len(desk.bridge.layers) == 3
    for layer in desk.bridge.layers:
        for index in ((0, 0, 0), (3, 10, 20)):
            np.testing.assert_allclose(layer.data_to_world(index), image.data_to_world(index))
        assert layer.units == image.units
        assert layer.axis_labels == image.axis_labels
    desk.click_at(2, *desk.centre(1, 2))
    desk.wait_for_answers()
    (step,) = desk.session.state.prompts_on(1, 2).steps
    np.testing.assert_allclose(step.points, [desk.centre(1, 2)], atol=1e-6)


def test_layers_follow_an_image_that_was_moved_while_the_dock_was_closed(open_desk):
    desk = open_desk(VIDEO, truth=TRUTH)
    desk.click(1)
    image, labels = desk.controller.binding.image, desk.bridge.labels
    desk.controller.close()
    image.scale = (1, 0.5, 0.5)
    assert labels.scale[1] == 1
    desk.controller.open()
    np.testing.assert_array_equal(labels.scale, image.scale)
