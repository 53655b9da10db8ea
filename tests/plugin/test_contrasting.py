"""What the model sees is recorded; moving the contrast slider changes nothing until a person says so."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.core.intensity import WINDOWS, IntensityMapping
from napari_sam2.testing import moving_discs

pytestmark = pytest.mark.gui

VIDEO, TRUTH = moving_discs(num_frames=4)
SEEN = IntensityMapping(30, 200, "percentiles")
SLICES = VIDEO.astype(np.int16) * 8 - 1000  # air around, something dense inside


def labels_of(desk):
    return [choice.label for choice in desk.shown().contrasts]


def values_of(desk):
    return [choice.value for choice in desk.shown().contrasts]


def test_moving_the_slider_changes_nothing_but_what_is_offered(open_desk):
    desk = open_desk(VIDEO, truth=TRUTH, fake={"mapping": SEEN})
    desk.click(1)
    desk.propagate()
    before, used = desk.labels.copy(), labels_of(desk)[0]
    desk.controller.binding.image.contrast_limits = 30, 200
    desk.qtbot.waitUntil(lambda: desk.dock.image.contrasts.count() == 1)
    desk.controller.binding.image.contrast_limits = (60, 90)
    desk.qtbot.waitUntil(lambda: desk.dock.image.contrasts.count() == 2)
    assert labels_of(desk) == [used, "As shown now: 60 – 90"]
    assert desk.session.changed == ()
    np.testing.assert_array_equal(desk.labels, before)


def test_the_contrast_shown_now_is_used_when_it_is_chosen_and_undone(open_desk):
    desk = open_desk(VIDEO, truth=TRUTH, fake={"mapping": SEEN})
    desk.click(1)
    desk.propagate()
    before = desk.labels.copy()
    desk.controller.binding.image.contrast_limits = (0, 40)
    desk.dock.show_now()
    contrasts = desk.dock.image.contrasts
    contrasts.setCurrentIndex(1)
    contrasts.activated.emit(1)
    desk.wait_for_answers()
    assert desk.session.mapping == IntensityMapping(0, 40, "contrast limits of the layer")
    assert labels_of(desk) == ["0 – 40"]
    assert desk.session.changed == (1,)
    desk.press("Control-Z")
    assert desk.session.changed == ()
    np.testing.assert_array_equal(desk.labels, before)


def test_a_window_is_seen_by_both(open_desk):
    desk = open_desk(SLICES, truth=TRUTH)
    assert values_of(desk)[-4:] == ["soft tissue", "lung", "bone", "brain"]
    desk.controller.contrasting.choose("lung")
    assert (
        desk.session.mapping
        == WINDOWS["lung"]
        == IntensityMapping(-1350, 150, "lung window 1500/-600")
    )
    assert desk.controller.binding.image.contrast_limits == [-1350, 150]
    assert "lung" not in values_of(desk)[1:]
    desk.click(1)
    assert desk.labels[0].any()


def test_windows_are_offered_where_there_is_air_only(open_desk):
    desk = open_desk(VIDEO, truth=TRUTH)
    assert len(desk.shown().contrasts) == 1 or values_of(desk) == ["recorded", "shown"]


def test_colours_have_no_contrast_to_choose(open_desk):
    desk = open_desk(np.stack([VIDEO] * 3, axis=-1), truth=TRUTH, rgb=True)
    assert desk.shown().contrasts == ()
    assert not desk.dock.image.contrasts.isEnabled()


def test_with_a_real_model_the_row_says_what_it_sees(open_desk):
    desk = open_desk(VIDEO, truth=TRUTH, is_real=True, contrast_limits=(30, 200))
    desk.qtbot.waitUntil(lambda: desk.controller.binding.engine.mapping is not None, timeout=60_000)
    assert labels_of(desk) == ["30 – 200"]
    assert "contrast limits of the layer" in desk.shown().contrasts[0].tip
