"""The attention kernels of ours give what softmax attention gives, for every shape, dtype and size of scores."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_sam2.model import attention as kernels
from napari_sam2.model.attention import attention, blocked_attention


def triple(num_queries, num_keys, width, value_width, heads=1, batch=1, scale=1.0):
    generator = torch.Generator().manual_seed(0)
    shapes = (num_queries, width), (num_keys, width), (num_keys, value_width)
    query, key, value = (torch.randn(batch, heads, *shape, generator=generator) for shape in shapes)
    return query * scale, key * scale, value


def explicit(query, key, value):
    return (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1) @ value


@torch.inference_mode()
@pytest.mark.parametrize(
    ("num_queries", "num_keys"),
    [(1, 1), (5, 700), (3000, 9), (2048, 512), (2049, 513), (600, 1300)],
    ids=str,
)
@pytest.mark.parametrize("value_width", [4, 16])
def test_blocks_of_any_size_add_up(num_queries, num_keys, value_width) -> None:
    given = triple(num_queries, num_keys, 16, value_width)
    torch.testing.assert_close(blocked_attention(*given), explicit(*given), atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_every_head_of_every_slot_is_mixed_by_itself() -> None:
    given = triple(20, 30, 8, 4, heads=3, batch=2)
    torch.testing.assert_close(blocked_attention(*given), explicit(*given), atol=1e-5, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scores_of_hundreds_neither_overflow_nor_vanish(dtype) -> None:
    """The first block's largest score is passed by e^200 and more in later ones, and the other way round."""
    query, key, value = triple(64, 3 * kernels.KEY_BLOCK, 16, 4, scale=12.0)
    for factors in ((0.1, 1.0, 0.1), (1.0, 0.01, 0.1)):
        grown = torch.cat([part * f for part, f in zip(key.chunk(3, 2), factors, strict=True)], 2)
        answer = blocked_attention(query.to(dtype), grown.to(dtype), value.to(dtype))
        rounded = [part.to(dtype).double() for part in (query, grown, value)]
        assert torch.isfinite(answer).all()
        limit = 1e-3 if dtype == torch.float32 else 0.5
        assert (answer.double() - explicit(*rounded)).abs().mean() < limit


@torch.inference_mode()
def test_bfloat16_is_as_near_as_its_digits_allow() -> None:
    given = triple(1100, 1024, 32, 32)
    expected = explicit(*given)
    answer = attention(*(part.bfloat16() for part in given))
    assert answer.dtype == torch.bfloat16
    assert (answer.float() - expected).abs().mean() < 0.01 * expected.abs().mean()


@torch.inference_mode()
def test_blocks_are_taken_where_they_gain_and_only_there(monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(kernels, "blocked_attention", lambda *given: calls.append(given))
    narrow, wide = triple(4, 6, 8, 2), triple(4, 6, 8, 8)
    large = [part.bfloat16() for part in triple(1024, 1024, 8, 8)]
    small = [part.bfloat16() for part in wide]
    attention(*narrow)
    attention(*large)
    assert len(calls) == 2
    attention(*wide)
    attention(*small)
    assert len(calls) == 2


def test_where_gradients_are_wanted_the_kernel_that_has_them_answers() -> None:
    query, key, value = triple(4, 6, 8, 2)
    value.requires_grad_(True)
    attention(query, key, value).sum().backward()
    expected = F.scaled_dot_product_attention(query, key, torch.eye(6)[None, None]).sum(2)[0, 0]
    torch.testing.assert_close(value.grad[0, 0], expected[:, None].expand(-1, 2))
