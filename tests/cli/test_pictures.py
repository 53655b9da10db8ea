"""Pictures show what the model saw: frames through the intensity mapping of the session, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.cli.pictures import SeenFrames, check_drawable
from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.errors import OptionError
from napari_sam2.core.intensity import UINT8_MAPPING, IntensityMapping
from napari_sam2.evaluation.overlay import SheetStyle, contact_sheet

RAMP = np.linspace(0, 1000, 64 * 64).reshape(1, 64, 64).astype(np.float32)


def test_grey_values_are_cut_at_the_limits_and_become_three_equal_colours():
    seen = SeenFrames(ArrayFrames(RAMP), IntensityMapping(250, 750))[0]
    assert (seen.shape, seen.dtype) == ((64, 64, 3), np.uint8)
    expected = np.rint(np.clip((RAMP[0] - 250) / 500, 0, 1) * 255)
    np.testing.assert_allclose(seen, np.repeat(expected[..., None], 3, axis=2), atol=1)
    assert (seen[:16] == 0).all()
    assert (seen[-16:] == 255).all()


def test_pixels_that_are_not_finite_are_as_black_as_the_model_sees_them():
    holes = np.where(np.arange(64) % 2, np.nan, RAMP)
    seen = SeenFrames(ArrayFrames(holes), IntensityMapping(-1000, 1000))[0]
    assert (seen[:, 1::2] == 0).all()
    assert (seen[:, ::2] >= 127).all()


def test_colours_pass_as_they_are_or_through_the_limits_given():
    rgb = np.arange(2 * 8 * 9 * 3, dtype=np.uint8).reshape(2, 8, 9, 3)
    frames = ArrayFrames(rgb, rgb=True)
    np.testing.assert_array_equal(SeenFrames(frames, UINT8_MAPPING)[1], rgb[1])
    cut = SeenFrames(frames, IntensityMapping(0, 51))[1]
    np.testing.assert_array_equal(cut, np.minimum(rgb[1].astype(int) * 5, 255))


@pytest.mark.parametrize("low", [0, 500])
def test_a_contact_sheet_keeps_the_limits(low):
    flat = np.full((2, 64, 64), 500, np.uint16)
    seen = SeenFrames(ArrayFrames(flat), IntensityMapping(low, low + 1000))
    nothing = np.zeros((2, 64, 64), np.uint16)
    sheet = contact_sheet(seen, nothing, "t", style=SheetStyle(tile=64, ids=False))
    shade = round((500 - low) / 1000 * 255)
    assert (sheet == shade).all(axis=-1).sum() == 2 * 64 * 64


@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1), (3, 200)])
def test_frames_too_narrow_for_a_picture_are_refused(shape):
    with pytest.raises(OptionError, match=f"frames of {shape[0]}x{shape[1]} pixels are too narrow"):
        check_drawable(shape)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 5)])
def test_all_other_frames_can_be_drawn(shape):
    check_drawable(shape)
    blank = np.zeros((2, *shape), np.uint8)
    seen = SeenFrames(ArrayFrames(blank), UINT8_MAPPING)
    assert contact_sheet(seen, blank, "t").ndim == 3
