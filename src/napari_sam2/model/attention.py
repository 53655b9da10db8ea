"""Softmax attention: the one seam for a faster kernel, and the kernel of ours for what PyTorch does slowly on CPUs."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = 512
"""In bfloat16 so many queries are worked on at once, with all keys: 29 MB for a full memory of an official model."""

QUERY_BLOCK, KEY_BLOCK = 2048, 512
"""In float32, scores of so many queries and keys: 4 MB stay near the cores, where 118 MB would not."""

MANY_SCORES = 1 << 20
"""From so many scores on (queries times keys) blocks pay in bfloat16; below, one call of PyTorch's kernel is faster."""


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention.

    Parameters
    ----------
    query : Tensor of shape (B, heads, Lq, d)
        Scaled inside by 1 / sqrt(d).
    key : Tensor of shape (B, heads, Lk, d)
        Same dtype as `query`.
    value : Tensor of shape (B, heads, Lk, dv)
        Same dtype as `query`.

    Returns
    -------
    Tensor of shape (B, heads, Lq, dv)
        Mixed values.

    Notes
    -----
    PyTorch's fused kernel for CPUs needs values as wide as keys and multiplies in float32 also what is given in
    bfloat16. `blocked_attention` takes its place there; it has no gradient.
    """
    if _gains_by_blocks(query, key, value):
        return blocked_attention(query, key, value)
    return F.scaled_dot_product_attention(query, key, value)


def _gains_by_blocks(query: Tensor, key: Tensor, value: Tensor) -> bool:
    if query.device.type != "cpu" or torch.is_grad_enabled():
        return False
    is_narrow = value.shape[-1] < query.shape[-1]
    is_large = query.shape[-2] * key.shape[-2] >= MANY_SCORES
    return is_narrow or (is_large and query.dtype == torch.bfloat16)


def blocked_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention by matrix products of blocks that stay in the cache; shapes as for `attention`."""
    mix = _mix_online if query.dtype == torch.float32 else _mix_rows
    mixed = query.new_empty(*query.shape[:-1], value.shape[-1])
    for place in itertools.product(range(query.shape[0]), range(query.shape[1])):
        mix(query[place], key[place], value[place], mixed[place])
    return mixed


def _mix_rows(query: Tensor, key: Tensor, value: Tensor, mixed: Tensor) -> None:
    """Write the mixed values of one head, (Lq, dv); all keys at once."""
    query = query / math.sqrt(query.shape[-1])
    scores = query.new_empty(min(ROWS, len(query)), len(key))
    for first in range(0, len(query), ROWS):
        rows = slice(first, first + ROWS)
        part = scores[: len(query[rows])]
        torch.mm(query[rows], key.t(), out=part)
        torch.softmax(part, dim=1, out=part)
        torch.mm(part, value, out=mixed[rows])


def _mix_online(query: Tensor, key: Tensor, value: Tensor, mixed: Tensor) -> None:
    """Write the mixed values of one head, (Lq, dv); keys block by block.

    The running largest score of each query is subtracted, and what was summed up before is scaled when it grows, so no
    power overflows (Milakov and Gimelshein 2018, "Online normalizer calculation for softmax").
    """
    # Powers of two are faster than those of e.
    query = query * (math.log2(math.e) / math.sqrt(query.shape[-1]))
    # A column of ones makes the product sum the powers up, too.
    value = torch.cat([value, value.new_ones(len(value), 1)], dim=1)
    for first in range(0, len(query), QUERY_BLOCK):
        rows = slice(first, first + QUERY_BLOCK)
        sums = _weighted_sums(query[rows], key, value)
        mixed[rows] = sums[:, :-1] / sums[:, -1:]


def _weighted_sums(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return 2^(query key^T - largest) value for queries (Lq, d), keys (Lk, d) and values (Lk, dv)."""
    num_queries = len(query)
    buffer = query.new_empty(num_queries * KEY_BLOCK)
    sums = query.new_zeros(num_queries, value.shape[1])
    top = query.new_full((num_queries, 1), -math.inf)
    for first in range(0, len(key), KEY_BLOCK):
        keys = slice(first, first + KEY_BLOCK)
        block = key[keys]
        scores = buffer[: num_queries * len(block)].view(num_queries, len(block))
        torch.mm(query, block.t(), out=scores)
        higher = torch.maximum(top, scores.amax(1, keepdim=True))
        powers = scores.sub_(higher).exp2_()
        torch.addmm(sums.mul_((top - higher).exp2_()), powers, value[keys], out=sums)
        top = higher
    return sums
