"""Errors of other libraries become ours: what happened, what was kept, what helps."""

from __future__ import annotations

import pytest
from tests.core.discs import VIDEO, centre

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import (
    DeviceLostError,
    InferenceError,
    OutOfMemoryError,
    PromptError,
)
from napari_sam2.core.failures import as_ours
from napari_sam2.core.session import Session
from napari_sam2.testing import FakeSegmenter


class OfTorch(RuntimeError):
    """As torch has one for its cards."""


OfTorch.__name__ = "OutOfMemoryError"

HOST = (
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 4294967296 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "memory ran out"),
        (MemoryError("Unable to allocate 7.45 GiB for an array"), "when 7.45 GiB were asked for"),
        (RuntimeError(HOST), "when 4 GiB were asked for"),
        (OfTorch("CUDA out of memory. Tried to allocate 20.00 MiB."), "when 20.00 MiB were asked"),
        (RuntimeError("HIP out of memory"), "memory ran out"),
    ],
)
def test_memory_errors_of_every_library_are_recognised(error, said):
    ours = as_ours(error)
    assert type(ours) is OutOfMemoryError
    assert said in ours.what
    assert "smaller model" in ours.remedy
    assert "cpu" in ours.remedy
    assert ours.__cause__ is error


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`",
        "CUDA error: an illegal memory access was encountered",
    ],
)
def test_after_some_errors_a_graphics_card_is_lost(text):
    ours = as_ours(RuntimeError(text))
    assert type(ours) is DeviceLostError
    assert text.splitlines()[0] in ours.what
    assert "\n" not in ours.what
    assert "restart" in ours.remedy


@pytest.mark.parametrize("error", [RuntimeError("shape"), KeyError("a"), ValueError(), OSError(5)])
def test_everything_else_is_a_failure_of_the_model_that_names_its_cause(error):
    ours = as_ours(error)
    assert type(ours) is InferenceError
    assert type(error).__name__ in ours.what
    assert ours.remedy
    assert ours.__cause__ is error


def test_an_error_of_ours_stays_what_it_is():
    ours = PromptError("mine")
    assert as_ours(ours) is ours


@pytest.mark.parametrize("error", [RuntimeError("CUDA"), MemoryError(), ValueError(), OSError()])
def test_a_script_meets_errors_of_ours_only(error, contract):
    frames = ArrayFrames(VIDEO)
    segmenter = FakeSegmenter(frames)
    session = Session(frames, InlineEngine(segmenter))

    def click():
        session.add_points(1, 0, [centre(1, 0)])

    segmenter.fail_next(error)
    found = contract.session(session, click)
    assert found.__cause__ is error
    segmenter.fail_next(error, after=2)
    found = contract.session(session, lambda: list(session.propagate()))
    assert found.__cause__ is error
    assert len(session.labels) == len(VIDEO)


def test_an_interruption_by_a_person_stays_what_it_is():
    frames = ArrayFrames(VIDEO)
    segmenter = FakeSegmenter(frames)
    session = Session(frames, InlineEngine(segmenter))
    before = session.state
    segmenter.fail_next(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        session.add_points(1, 0, [centre(1, 0)])
    assert session.state is before
