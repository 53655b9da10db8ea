from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.errors import ImageError, OptionError
from napari_sam2.core.intensity import (
    UINT8_MAPPING,
    IntensityMapping,
    count_nonfinite,
    is_blank,
    sample_percentiles,
)

RAMP = np.arange(100).reshape(10, 10)
NUMBERS = "b i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 g".split()


def _layouts(frame):
    readonly = frame.copy()
    readonly.flags.writeable = False
    return {
        "native": frame,
        "big-endian": frame.astype(frame.dtype.newbyteorder(">")),
        "reversed": frame[::-1, ::-1].copy()[::-1, ::-1],
        "strided": np.repeat(frame, 2, axis=1)[:, ::2],
        "fortran": np.asfortranarray(frame),
        "read-only": readonly,
    }


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("layout", ["big-endian", "reversed", "strided", "fortran", "read-only"])
def test_every_number_type_and_layout_gives_the_same_pixels(dtype, layout):
    frame = (RAMP % 2 if dtype == "b" else RAMP).astype(dtype)
    before = frame.copy()
    mapping = IntensityMapping(0, 1) if dtype == "b" else IntensityMapping(10, 60)
    expected = np.clip((RAMP - 10) / 50, 0, 1) if dtype != "b" else RAMP % 2
    for name in ("native", layout):
        mapped = mapping.apply(_layouts(frame)[name])
        assert mapped.dtype == np.float32
        assert mapped.flags.c_contiguous
        np.testing.assert_allclose(mapped, expected, atol=1e-6)
    np.testing.assert_array_equal(
        mapping.apply(frame), mapping.apply(_layouts(frame)[layout]), strict=True
    )
    np.testing.assert_array_equal(frame, before)


def test_a_large_offset_does_not_swallow_the_contrast():
    frame = np.array([[2**40, 2**40 + 50, 2**40 + 100]], np.int64)
    mapped = IntensityMapping(2**40, 2**40 + 100).apply(frame)
    np.testing.assert_allclose(mapped, [[0, 0.5, 1]])


def test_twelve_bits_in_sixteen_map_like_their_eight_bit_copy():
    wide = np.linspace(0, 4080, 256).astype(np.uint16).reshape(16, 16)
    narrow = (wide // 16).astype(np.uint8)
    first, second = sample_percentiles(ArrayFrames(wide)), sample_percentiles(ArrayFrames(narrow))
    np.testing.assert_allclose(first.apply(wide), second.apply(narrow), atol=1e-6)


def test_pixels_that_are_not_finite_become_background():
    frame = RAMP.astype(np.float32)
    frame[0, 5], frame[3, 3], frame[9, 9] = np.nan, np.inf, -np.inf
    mapped = IntensityMapping(-10, 60).apply(frame)
    assert mapped[0, 5] == mapped[3, 3] == mapped[9, 9] == 0
    clean = IntensityMapping(-10, 60).apply(RAMP)
    finite = np.isfinite(frame)
    np.testing.assert_array_equal(mapped[finite], clean[finite])
    assert count_nonfinite(frame) == 3
    assert count_nonfinite(RAMP) == 0


def test_a_frame_of_nothing_but_nan_is_blank():
    assert not IntensityMapping(0, 1).apply(np.full((3, 3), np.nan)).any()


def test_a_constant_stack_is_blank():
    frames = ArrayFrames(np.full((2, 8, 8), 7, np.uint16))
    mapping = sample_percentiles(frames)
    assert (mapping.low, mapping.high) == (7, 7)
    assert not mapping.apply(frames.read(0)).any()


def test_a_bright_speck_in_a_constant_stack_is_seen():
    assert IntensityMapping(7, 7).apply(np.array([[7, 6, 9]])).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("dtype", [complex, object, "datetime64[s]", "timedelta64[s]", "U1", "S1"])
def test_pixels_that_are_no_numbers_are_refused_by_name(dtype):
    with pytest.raises(ImageError) as caught:
        IntensityMapping(0, 1).apply(np.zeros((2, 2), dtype))
    assert str(np.dtype(dtype)) in str(caught.value)


@pytest.mark.parametrize("limits", [(1, 0), (np.nan, 1), (0, np.inf)])
def test_limits_in_the_wrong_order_or_not_finite_are_refused(limits):
    with pytest.raises(OptionError, match="low <= high"):
        IntensityMapping(*limits)


def test_percentiles_ignore_what_is_not_finite():
    stack = np.tile(np.linspace(0, 1, 101), (3, 101, 1))
    stack[1, 50] = np.nan
    stack[2, 0, 0] = np.inf
    mapping = sample_percentiles(ArrayFrames(stack), 10, 90)
    assert mapping.low == pytest.approx(0.1, abs=0.01)
    assert mapping.high == pytest.approx(0.9, abs=0.01)


def test_a_stack_of_nothing_but_nan_has_a_mapping_that_says_so():
    mapping = sample_percentiles(ArrayFrames(np.full((2, 4, 4), np.nan)))
    assert "no finite pixel" in mapping.provenance


def test_the_sample_is_bounded_and_always_the_same():
    reads = []

    class Long:
        shape, dtype, is_rgb = (1000, 1000), np.dtype(np.uint16), False

        def __len__(self):
            return 10**6

        def read(self, t):
            reads.append(t)
            return np.full((1000, 1000), t % 1000, np.uint16)

    first = sample_percentiles(Long())
    assert len(reads) == 32
    assert reads[0] == 0
    assert reads[-1] == 10**6 - 1
    assert sample_percentiles(Long()) == first
    assert first.provenance == "0.5-99.5 percentiles of 32 of 1000000 frames"


def test_eight_bit_colours_pass_as_they_are():
    rgb = np.zeros((2, 4, 5, 3), np.uint8)
    rgb[0, 0, 0] = (0, 51, 255)
    frames = ArrayFrames(rgb, rgb=True)
    mapping = sample_percentiles(frames)
    assert mapping is UINT8_MAPPING
    np.testing.assert_allclose(mapping.apply(frames.read(0))[0, 0], [0, 0.2, 1])


def test_a_mapping_is_a_value():
    assert IntensityMapping(0, 1, "a") == IntensityMapping(0, 1, "a")
    assert len({IntensityMapping(0, 1, "a"), IntensityMapping(0, 2, "a")}) == 2


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (RAMP, False),
        (np.full((4, 5), 7, np.uint16), True),
        (np.full((4, 5), np.nan), True),
        (np.where(RAMP > 3, 5.0, np.nan), True),
        (np.where(RAMP > 3, RAMP, np.inf), False),
        (np.zeros((3, 3), bool), True),
        (np.broadcast_to(np.array([1, 2, 3], np.uint8), (4, 5, 3)), True),
        (np.arange(60, dtype=np.uint8).reshape(4, 5, 3), False),
        (np.stack([np.ones_like(RAMP), np.ones_like(RAMP), RAMP], axis=-1), False),
    ],
)
def test_a_frame_of_one_value_or_colour_is_blank(frame, expected):
    assert is_blank(frame) is expected
