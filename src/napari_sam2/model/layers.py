"""Building blocks shared by the trunk, the decoder and the memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention, the one seam for a faster kernel.

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
    """
    return F.scaled_dot_product_attention(query, key, value)


def split_heads(tokens: Tensor, num_heads: int) -> Tensor:
    """Cut the channels of a sequence into heads: (B, L, C) -> (B, heads, L, C / heads)."""
    return tokens.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(tokens: Tensor) -> Tensor:
    """Undo `split_heads`: (B, heads, L, d) -> (B, L, heads * d)."""
    return tokens.transpose(1, 2).flatten(2)


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of (B, C, h, w)."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Take and give (B, C, h, w)."""
        mean = x.mean(1, keepdim=True)
        centred = x - mean
        variance = centred.pow(2).mean(1, keepdim=True)
        normed = centred / torch.sqrt(variance + self.eps)
        return self.weight[:, None, None] * normed + self.bias[:, None, None]


class Mlp(nn.Module):
    """Linear layers with an activation between them.

    Parameters
    ----------
    widths : sequence of int
        Input, hidden and output widths, in order.
    activation : type of nn.Module
        Made once, applied after every layer but the last.
    """

    def __init__(self, widths: Sequence[int], activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(first, second) for first, second in pairwise(widths))
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        """Take (..., widths[0]), give (..., widths[-1])."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)
