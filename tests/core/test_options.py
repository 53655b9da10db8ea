"""Options are values that are checked when they are made."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from napari_sam2.core.errors import OptionError
from napari_sam2.core.options import NATIVE, REFERENCE


@pytest.mark.parametrize(
    ("name", "wrong", "smallest"),
    [
        ("fill_holes", -1, 0),
        ("max_conditioning_frames", 1, 2),
        ("memory_stride", 0, 1),
        ("min_pointer_span", -1, 0),
        ("slots_per_step", 0, 1),
        ("skip_below", -0.1, 0),
    ],
)
def test_a_number_below_its_smallest_value_is_refused(name, wrong, smallest) -> None:
    with pytest.raises(OptionError, match=f"{name} must be at least {smallest}, got {wrong}"):
        replace(NATIVE, **{name: wrong})
    assert getattr(replace(NATIVE, **{name: smallest}), name) == smallest


def test_a_dtype_that_is_no_choice_is_refused_with_the_choices() -> None:
    with pytest.raises(OptionError, match="float32 or bfloat16, got 'float16'"):
        replace(NATIVE, memory_dtype="float16")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("precision", ("auto", "float32", "bfloat16", "float16")),
        ("quality", ("auto", "full", "balanced", "fast")),
    ],
)
def test_a_word_that_is_no_choice_is_refused_with_the_choices(name, words) -> None:
    with pytest.raises(OptionError, match=f"{name} must be {' or '.join(words)}, got 'best'"):
        replace(NATIVE, **{name: "best"})
    for word in words:
        assert getattr(replace(NATIVE, **{name: word}), name) == word


def test_no_limit_of_conditioning_frames_is_allowed() -> None:
    assert replace(NATIVE, max_conditioning_frames=None).max_conditioning_frames is None


def test_presets_are_values() -> None:
    assert NATIVE != REFERENCE
    assert replace(NATIVE) == NATIVE
    with pytest.raises(FrozenInstanceError):
        NATIVE.memory_stride = 2
