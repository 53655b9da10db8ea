"""The image trunk: windows come back, padding takes part, stages have their sizes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.model.config import PRESETS, TrunkConfig
from napari_sam2.model.hiera import Block, Hiera, from_windows, pool, to_windows
from napari_sam2.model.sam2 import Sam2
from napari_sam2.testing import tiny_sam2

sizes = st.integers(1, 17)


@given(st.integers(1, 3), sizes, sizes, st.integers(1, 9))
def test_windows_of_any_map_come_back(batch, height, width, side):
    x = torch.arange(batch * height * width * 2.0).view(batch, height, width, 2)
    windows, padded = to_windows(x, side)
    assert windows.shape[1:] == (side, side, 2)
    assert padded[0] % side == padded[1] % side == 0
    assert 0 <= padded[0] - height < side
    assert windows.sum() == x.sum()  # padded with zeros
    assert torch.equal(from_windows(windows, padded, (height, width)), x)


def test_windows_are_cut_row_by_row() -> None:
    x = torch.arange(16.0).view(1, 4, 4, 1)
    windows, _ = to_windows(x, 2)
    assert windows[1].flatten().tolist() == [2, 3, 6, 7]
    assert windows[2].flatten().tolist() == [8, 9, 12, 13]


def test_pooling_takes_the_largest_of_two_by_two() -> None:
    x = torch.arange(16.0).view(1, 4, 4, 1)
    assert pool(x).flatten().tolist() == [5, 7, 13, 15]


@pytest.mark.parametrize("is_pooling", [False, True])
@pytest.mark.parametrize("size", [8, 6, 10])
def test_a_window_that_does_not_fit_is_padded_and_cut_off_again(size, is_pooling) -> None:
    torch.manual_seed(0)
    block = Block(8, 16 if is_pooling else 8, 2, 4, 2.0)
    x = torch.randn(2, size, size, 8)
    side = size // 2 if is_pooling else size
    assert block(x).shape == (2, side, side, 16 if is_pooling else 8)


def test_padded_tokens_are_keys_too() -> None:
    # A window of 4 on a map of 3: with padding masked, the answer would be that of the whole map.
    torch.manual_seed(0)
    windowed, whole = Block(8, 8, 2, 4, 2.0), Block(8, 8, 2, 0, 2.0)
    whole.load_state_dict(windowed.state_dict())
    x = torch.randn(1, 3, 3, 8)
    assert not torch.allclose(windowed(x), whole(x), atol=1e-3)
    whole_fits = torch.randn(1, 4, 4, 8)
    torch.testing.assert_close(windowed(whole_fits), whole(whole_fits))


@pytest.mark.parametrize("name", PRESETS)
def test_stages_halve_the_map_and_double_the_width(name) -> None:
    config = PRESETS[name]
    with torch.device("meta"):
        trunk = Hiera(config.trunk)
        stages = trunk(torch.empty(1, 3, config.image_size, config.image_size))
        network = Sam2(config)
        maps = network.encode_image(torch.empty(1, 3, config.image_size, config.image_size))
    side = config.image_size // 4
    expected = [(1, config.trunk.embed_dim << n, side >> n, side >> n) for n in range(4)]
    assert [tuple(stage.shape) for stage in stages] == expected
    assert [tuple(m.shape) for m in maps] == [
        (1, config.width >> (3, 2, 0)[n], side >> n, side >> n) for n in range(3)
    ]


def test_the_first_block_of_a_stage_still_has_the_earlier_window() -> None:
    with torch.device("meta"):
        blocks = Hiera(TrunkConfig()).blocks
    windows = [block.window for block in blocks]
    assert windows == [8, 8, 4, 4, 14, 0, 14, 0, 14, 0, 14, 7]
    assert [block.attn.num_heads for block in blocks] == [1, 2, 2] + [4] * 7 + [8, 8]


@torch.inference_mode()
def test_an_image_is_encoded_alike_alone_and_in_a_batch() -> None:
    network = tiny_sam2()
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    together = network.encode_image(images)
    alone = network.encode_image(images[1:2])
    for many, one in zip(together, alone, strict=True):
        torch.testing.assert_close(many[1:2], one, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_only_stride_16_receives_the_coarser_map() -> None:
    network = tiny_sam2()
    stages = network.trunk(torch.randn(1, 3, 64, 64))
    skips = network.mask_decoder.skip4, network.mask_decoder.skip8
    before = network.neck(stages, *skips)
    after = network.neck([*stages[:3], stages[3] + 1], *skips)
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, False]
