"""Building blocks: the seam for a faster attention kernel, heads, norms."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import napari_sam2.model
from napari_sam2.model.attention import attention
from napari_sam2.model.layers import LayerNorm2d, Mlp, merge_heads, split_heads
from napari_sam2.testing import tiny_sam2


def explicit(query, key, value):
    """Softmax attention, written out."""
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    return scores.softmax(-1) @ value


def one_step(network):
    """Encode, condition and decode, so that every attention of the network takes part once."""
    generator = torch.Generator().manual_seed(0)
    config = network.config
    image = torch.randn(1, 3, config.image_size, config.image_size, generator=generator)
    memories = torch.randn(1, 2, config.memory.width, 4, 4, generator=generator)
    pointers = torch.randn(1, 1, config.width, generator=generator)
    features = network.encode_image(image)
    conditioned = network.condition(
        network.begin(features.stride16),
        memories,
        torch.tensor([6, 0]),
        pointers,
        torch.tensor([0.1]),
    )
    points, labels = network.pad_points(torch.tensor([[[20.0, 30.0]]]), torch.tensor([[1]]))
    return network.decode(conditioned, features.stride4, features.stride8, points, labels)


@pytest.mark.parametrize("value_width", [8, 3])
def test_attention_is_softmax_attention_for_any_value_width(value_width) -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8)
    value = torch.randn(2, 3, 7, value_width)
    answer = attention(query, key, value)
    assert answer.shape == (2, 3, 5, value_width)
    torch.testing.assert_close(answer, explicit(query, key, value))


@torch.inference_mode()
def test_every_attention_of_the_network_goes_through_the_seam(monkeypatch) -> None:
    network = tiny_sam2()
    expected = one_step(network)
    calls = []

    def counted(query, key, value):
        calls.append(query.shape)
        return explicit(query, key, value)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    answer = one_step(network)
    config = network.config
    num_trunk, num_memory = sum(config.trunk.stages), 2 * config.memory.num_layers
    assert len(calls) == num_trunk + num_memory + 3 * config.decoder.depth + 1
    torch.testing.assert_close(answer.logits, expected.logits, rtol=1e-3, atol=1e-4)


def test_no_other_file_has_an_attention_kernel() -> None:
    files = Path(napari_sam2.model.__file__).parent.glob("*.py")
    text = {file.name: file.read_text(encoding="utf-8").lower() for file in files}
    assert [name for name in text if "scaled_dot_product_attention" in text[name]] == [
        "attention.py"
    ]
    assert [name for name in text if "softmax(" in text[name]] == ["attention.py"]


def test_heads_are_cut_and_joined_in_order() -> None:
    tokens = torch.arange(2 * 3 * 8.0).view(2, 3, 8)
    heads = split_heads(tokens, 4)
    assert heads.shape == (2, 4, 3, 2)
    assert torch.equal(heads[:, 1], tokens[..., 2:4])
    assert torch.equal(merge_heads(heads), tokens)


def test_layer_norm_2d_normalises_the_channels_of_every_pixel() -> None:
    torch.manual_seed(0)
    norm = LayerNorm2d(6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = 3 * torch.randn(2, 6, 4, 5) + 7
    expected = F.layer_norm(x.permute(0, 2, 3, 1), (6,), norm.weight, norm.bias, eps=1e-6)
    torch.testing.assert_close(norm(x), expected.permute(0, 3, 1, 2))


def test_layer_norm_2d_of_equal_channels_is_the_bias() -> None:
    norm = LayerNorm2d(4)
    nn.init.normal_(norm.bias)
    x = torch.full((1, 4, 2, 2), 1000.0)
    assert torch.equal(norm(x), norm.bias.view(1, 4, 1, 1).expand(1, 4, 2, 2))


def test_an_mlp_ends_without_activation() -> None:
    mlp = Mlp((3, 5, 2))
    nn.init.constant_(mlp.layers[-1].bias, -100.0)
    assert (mlp(torch.randn(4, 3)) < 0).all()
    assert [tuple(layer.weight.shape) for layer in mlp.layers] == [(5, 3), (2, 5)]
