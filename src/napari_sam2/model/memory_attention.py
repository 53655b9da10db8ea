"""A frame attends to what is remembered of an object (SAM 2 paper, Sec. 4, "Memory attention")."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2.model.attention import attention
from napari_sam2.model.config import MemoryConfig
from napari_sam2.model.positions import exchanged, rotary_table, rotate, sine_grid

POSITION_GAIN = 0.1
"""How strongly the grid's sine code is added to the first layer's input."""


class RotaryAttention(nn.Module):
    """One-head attention with axial rotations of queries and keys; pointers at the end are not turned."""

    def __init__(self, width: int, memory_width: int, theta: float) -> None:
        super().__init__()
        self.theta = theta
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(memory_width, width)
        self.v_proj = nn.Linear(memory_width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        grid: tuple[int, int],
        num_fixed: int = 0,
        folds_values: bool = False,
    ) -> Tensor:
        """Attend.

        Parameters
        ----------
        query : Tensor of shape (B, h*w, C)
            One token a cell of `grid`.
        key, value : Tensor of shape (B, L, Cm)
            Whole grids, then `num_fixed` tokens without a place.
        folds_values : bool
            Mix the values as they are and project the mixture: weights that sum to 1 keep W V + b an affine map.
        """
        query = self.turned(self.q_proj, query, grid)
        key = self.turned(self.k_proj, key, grid, num_fixed)
        if folds_values:
            return self._folded_projection(_mixed(query, key, value.to(query.dtype)))
        return self.out_proj(_mixed(query, key, self.v_proj(value)))

    def turned(
        self, projection: nn.Linear, tokens: Tensor, grid: tuple[int, int], num_fixed: int = 0
    ) -> Tensor:
        """Project tokens (B, L, C_in) and turn those that have a place, (B, L, C)."""
        projected = projection(tokens)
        num_placed = tokens.shape[1] - num_fixed
        if num_placed:
            # A second product is cheaper than to exchange the channels of what the first one gave.
            weight, bias = exchanged(projection.weight, 0), exchanged(projection.bias, 0)
            partners = F.linear(tokens[:, :num_placed], weight, bias)
            width, device, dtype = projected.shape[-1], projected.device, projected.dtype
            table = rotary_table(width, *grid, self.theta, device, dtype)
            rotate(projected[:, :num_placed], partners, table)
        return projected

    def _folded_projection(self, mixed: Tensor) -> Tensor:
        """Project mixed memory tokens (B, L, Cm) by the product of both projections, (B, L, C)."""
        weight = self.out_proj.weight @ self.v_proj.weight
        bias = F.linear(self.v_proj.bias, self.out_proj.weight, self.out_proj.bias)
        return F.linear(mixed, weight, bias)


def _mixed(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend with one head; all (B, L, C)."""
    return attention(query[:, None], key[:, None], value[:, None])[:, 0]


class MemoryLayer(nn.Module):
    """Self-attention, cross-attention to memory and a feed-forward network, each pre-normed."""

    def __init__(self, config: MemoryConfig, width: int) -> None:
        super().__init__()
        self.self_attn = RotaryAttention(width, width, config.rope_theta)
        self.cross_attn = RotaryAttention(width, config.width, config.rope_theta)
        self.linear1 = nn.Linear(width, config.feedforward)
        self.linear2 = nn.Linear(config.feedforward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def among_itself(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Let the frame attend to itself: the part that knows nothing of any memory. Takes and gives (B, h*w, C)."""
        normed = self.norm1(x)
        return x + self.dropout(self.self_attn(normed, normed, normed, grid))

    def to_memory(self, x: Tensor, memory: MemoryTokens, grid: tuple[int, int]) -> Tensor:
        """Let the frame attend to memory. Takes and gives (B, h*w, C)."""
        normed = self.norm2(x)
        key, value, num_fixed = memory.key, memory.value, memory.num_fixed
        mixed = self.cross_attn(normed, key, value, grid, num_fixed, memory.folds_values)
        x = x + self.dropout(mixed)
        hidden = self.dropout(F.relu(self.linear1(self.norm3(x))))
        return x + self.dropout(self.linear2(hidden))


class MemoryTokens(NamedTuple):
    """What is remembered, lined up.

    `key`, `value`: (B, L, Cm), with and without codes of place and time: whole grids, then pointers; `num_fixed`: how
    many tokens at the end are pointers; `folds_values`: see `RotaryAttention`.
    """

    key: Tensor
    value: Tensor
    num_fixed: int
    folds_values: bool = False


class MemoryAttention(nn.Module):
    """Condition the features of a frame on memory tokens."""

    def __init__(self, config: MemoryConfig, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MemoryLayer(config, width) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(width)

    def begin(self, features: Tensor) -> Tensor:
        """Do what does not depend on any memory, once for all objects of a frame.

        Parameters
        ----------
        features : Tensor of shape (B, C, h, w)
            Raw stride-16 map.

        Returns
        -------
        Tensor of shape (B, C, h, w)
            After the first layer's self-attention.
        """
        channels, height, width = features.shape[1:]
        code = sine_grid(channels, height, width, features.device).to(features.dtype)
        x = (features + POSITION_GAIN * code).flatten(2).transpose(1, 2)  # -> (B, h*w, C)
        x = self.layers[0].among_itself(x, (height, width))
        return x.transpose(1, 2).unflatten(-1, (height, width))

    def forward(self, begun: Tensor, memory: MemoryTokens) -> Tensor:
        """Condition what `begin` gave, (B, C, h, w), on memory; same shape and dtype."""
        height, width = begun.shape[2:]
        x = begun.flatten(2).transpose(1, 2)  # (B, C, h, w) -> (B, h*w, C)
        for number, layer in enumerate(self.layers):
            if number:
                x = layer.among_itself(x, (height, width))
            x = layer.to_memory(x, memory, (height, width))
        return self.norm(x).transpose(1, 2).unflatten(-1, (height, width))
