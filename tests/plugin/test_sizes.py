"""How large a pixel is, and how sizes are told."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Image

from napari_sam2.core.axes import StackView
from napari_sam2.plugin.panels.columns import ALWAYS, CLASS, COLUMNS, LOWEST, SIZE, shown_columns
from napari_sam2.plugin.sizes import PixelSize, pixel_size_of


def pixel(view=None, **layer):
    ndim = len(layer.get("units", layer.get("scale", (1, 1, 1))))
    session = SimpleNamespace(stack_view=view or StackView.default(ndim))
    return pixel_size_of(Image(np.zeros((4,) * ndim), **layer), session)


def test_without_units_pixels_are_counted():
    assert pixel(scale=(1, 0.5, 0.5)) == PixelSize(2)
    assert pixel(axis_labels=("z", "y", "x")) == PixelSize(3)
    assert pixel(axis_labels=("t", "y", "x")) == PixelSize(2)


def test_the_frame_axis_counts_if_it_has_a_length():
    lapse = pixel(units=("s", "um", "um"), scale=(60, 0.5, 0.5))
    assert not lapse.is_volume
    assert lapse.size == pytest.approx(0.25e-12)
    volume = pixel(units=("um", "um", "um"), scale=(2, 0.5, 0.5))
    assert volume.is_volume
    assert volume.size == pytest.approx(0.5e-18)
    mixed = pixel(units=("mm", "um", "um"), scale=(0.002, 0.5, 0.5))
    assert mixed.size == pytest.approx(0.5e-18)


def test_turning_and_shearing_a_layer_leaves_its_pixels_as_large_as_they_are():
    turned = pixel(units=("s", "um", "um"), scale=(60, 0.5, 0.25), rotate=30)
    assert turned.size == pytest.approx(0.125e-12)
    sheared = pixel(units=("um", "um", "um"), scale=(2, 0.5, 0.5), shear=[0.3, 0.1, 0.4])
    assert sheared.size == pytest.approx(0.5e-18)


def test_other_axes_of_an_array_do_not_count():
    view = StackView(1, 2, 3, ((0, 2),))
    found = pixel(view, units=("s", "um", "um", "um"), scale=(9, 2, 0.5, 0.5))
    assert found.is_volume
    assert found.size == pytest.approx(0.5e-18)
    flat = pixel(StackView(None, 0, 1), units=("um", "um"), scale=(0.5, 0.5))
    assert not flat.is_volume


@pytest.mark.parametrize(
    ("size", "pixels", "said"),
    [
        (PixelSize(2), 812, "812 px"),
        (PixelSize(3), 23_456, "23.5k px"),
        (PixelSize(2), 12_345_678, "12.3M px"),
        (PixelSize(2, 0.25e-12, True), 812, "203 µm²"),
        (PixelSize(2, 1e-12, True), 45_678, "45\u2009700 µm²"),
        (PixelSize(2, 1e-12, True), 456_789, "0.457 mm²"),
        (PixelSize(2, 1e-18, True), 99, "99 nm²"),
        (PixelSize(3, 1e-9, True), 20, "20 mm³"),
        (PixelSize(3, 5e-9, True), 1_530_000, "7\u2009650 mL"),
        (PixelSize(3, 1e-18, True), 85_234_000, "8.52e7 µm³"),
        (PixelSize(3, 1e-9, True), 0, "0"),
    ],
)
def test_sizes_are_told_in_units_that_fit(size, pixels, said):
    assert size.in_words(pixels) == said


def test_columns_that_do_not_fit_give_way_to_worthier_ones():
    widths = [40] * len(COLUMNS)
    everything = [column for column in range(len(COLUMNS)) if column not in ALWAYS]
    assert shown_columns(widths, 85, everything, {}, (CLASS,)) == {*ALWAYS, SIZE, LOWEST}
    assert shown_columns(widths, 0, everything, {}) == {*ALWAYS}
    wanted = shown_columns(widths, 85, everything, {CLASS: True, LOWEST: False}, (CLASS,))
    assert wanted == {*ALWAYS, CLASS, SIZE}
    assert shown_columns(widths, 400, (SIZE,), {LOWEST: True}) == {*ALWAYS, SIZE}


def test_a_narrow_column_does_not_take_the_place_of_a_worthier_wide_one():
    widths = [40] * len(COLUMNS)
    widths[SIZE] = 100
    everything = [column for column in range(len(COLUMNS)) if column not in ALWAYS]
    assert shown_columns(widths, 85, everything, {}) == {*ALWAYS, LOWEST}
