"""What a view shows is known as long as its embedding is kept, and found out again after."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.views import View
from napari_sam2.inference.embeddings import DEFAULT_BUDGET
from napari_sam2.inference.encoder import FrameEncoder
from napari_sam2.testing import tiny_sam2

WHOLE, CORNER = View(0, 0, 32, 32), View(0, 0, 16, 16)


@pytest.fixture
def make():
    """Three frames: a disc's quarter on the first, one pixel far from the corner on the second, nothing on the last."""
    stack = np.full((3, 32, 32), 50, np.uint8)
    stack[0, :8, :8] = 200
    stack[1, 30, 30] = 200

    def make(budget):
        frames, mapping = ArrayFrames(stack), IntensityMapping(0.0, 255.0)
        return FrameEncoder(tiny_sam2(), frames, mapping, torch.device("cpu"), budget)

    return make


@pytest.mark.parametrize("budget", [DEFAULT_BUDGET, 1])
@torch.inference_mode()
def test_a_blank_view_is_told_from_one_that_shows_something(make, budget):
    encoder = make(budget)
    for _ in range(2):  # with a budget of one byte only what was seen last is kept
        blank = [
            (t, view) for t in range(3) for view in (WHOLE, CORNER) if encoder.is_blank(t, view)
        ]
        assert blank == [(1, CORNER), (2, WHOLE), (2, CORNER)]


@torch.inference_mode()
def test_nothing_is_kept_beyond_the_budget(make):
    encoder = make(1)
    for t in range(3):
        encoder.embed(t, WHOLE)
        encoder.is_blank(t, CORNER)
    assert len(encoder._seen) == 1


@torch.inference_mode()
def test_a_view_is_encoded_once(make, monkeypatch):
    encoder, encoded = make(DEFAULT_BUDGET), []
    network = encoder._network
    encode = network.encode_image
    monkeypatch.setattr(network, "encode_image", lambda image: encoded.append(1) or encode(image))
    first = encoder.embed(0, WHOLE)
    assert not encoder.is_blank(0, WHOLE)
    assert encoder.embed(0, WHOLE) is first
    assert len(encoded) == 1


@torch.inference_mode()
def test_what_was_prepared_is_there_and_what_has_no_room_is_not_encoded(make, monkeypatch):
    encoder, encoded = make(DEFAULT_BUDGET), []
    network = encoder._network
    encode = network.encode_image
    monkeypatch.setattr(network, "encode_image", lambda image: encoded.append(1) or encode(image))
    assert encoder.prepare(0, WHOLE, may_forget=False)
    assert encoder.prepare(0, WHOLE, may_forget=True)
    encoder.embed(0, WHOLE)
    assert len(encoded) == 1
    encoder._seen._budget = 1  # full
    assert not encoder.prepare(1, WHOLE, may_forget=False)
    assert encoder.prepare(0, WHOLE, may_forget=False), "it was there before"
    assert len(encoded) == 1
    assert encoder.prepare(1, WHOLE, may_forget=True)
    assert len(encoded) == 2
    assert len(encoder._seen) == 1, "the other one had to go"
