"""The attention table of the training recipe: without it, a small SAM 2 never learns to follow a click."""

from __future__ import annotations

import pytest
import torch

from napari_sam2.model.config import preset
from napari_sam2.model.sam2 import Sam2
from napari_sam2.training.generator import ClipGenerator
from napari_sam2.training.geometry import calibrate_memory, initialise, measure
from napari_sam2.training.steps import normalise

NUM_IMAGES = 32
"""One click an image: of 4 the mean moves by 0.1 with the kinds of images that happen to be drawn, of 32 by 0.03."""


@pytest.fixture(scope="module")
def scene():
    generator = torch.Generator().manual_seed(1)
    clips = ClipGenerator(256).draw(NUM_IMAGES, 1, generator)
    points = torch.rand(NUM_IMAGES, 2, generator=generator) * 200 + 28
    return normalise(clips.images[:, 0]), points


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_attention_is_local_before_training(scene, seed):
    """The recipe's numbers, at side 256: below them a click is invisible, and training never leaves the plateau."""
    table = measure(initialise(Sam2(preset("nano")), seed), *scene)
    assert table.click_to_image_near >= 0.5
    assert table.click_to_image_far <= 0.3
    assert table.image_to_click_near >= 0.9
    assert table.image_to_click_far <= 0.3
    assert table.memory_near >= 0.45
    assert table.memory_far <= 0.3


def test_a_default_start_is_blind_to_the_click(scene):
    torch.manual_seed(0)
    table = measure(Sam2(preset("nano")), *scene)
    assert table.click_to_image_near < 0.05
    assert table.image_to_click_near - table.image_to_click_far < 0.05
    assert table.memory_far > 0.8


def test_initialising_twice_gives_the_same_weights_and_leaves_the_random_state():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = initialise(Sam2(preset("nano")), 3)
    torch.manual_seed(5)
    second = initialise(Sam2(preset("nano")), 3)
    torch.manual_seed(5)
    initialise(first, 3)
    assert torch.equal(torch.rand(1), expected)
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@torch.no_grad()
def test_conditioned_features_begin_as_those_the_decoder_knows(scene):
    images = scene[0][:4]
    net = initialise(Sam2(preset("nano")), 0)
    features = net.encode_image(images).stride16

    def difference() -> float:
        mask = torch.zeros(len(images), 1, 256, 256)
        memory = net.encode_memory(features, mask, torch.ones(len(images)))
        nothing = torch.zeros(len(images), 0, net.config.width)
        row = torch.tensor([6])
        seen = net.condition(net.begin(features), memory[:, None], row, nothing, torch.zeros(0))
        known = net.without_memory(features)
        return float((seen - known).square().mean() / known.square().mean())

    before = difference()
    calibrate_memory(net, images)
    assert difference() < 0.5 < before
