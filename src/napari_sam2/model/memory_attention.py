"""A frame attends to what is remembered of an object (SAM 2 paper, Sec. 4, "Memory attention")."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2.model.config import MemoryConfig
from napari_sam2.model.layers import attention
from napari_sam2.model.positions import rotary_table, rotate, sine_grid

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
        self, query: Tensor, key: Tensor, value: Tensor, grid: tuple[int, int], num_fixed: int = 0
    ) -> Tensor:
        """Attend.

        Parameters
        ----------
        query : Tensor of shape (B, h*w, C)
            One token a cell of `grid`.
        key, value : Tensor of shape (B, L, Cm)
            Whole grids, then `num_fixed` tokens without a place.
        """
        query = self.q_proj(query)[:, None]  # (B, h*w, C) -> (B, 1, h*w, C)
        key, value = self.k_proj(key)[:, None], self.v_proj(value)[:, None]
        table = rotary_table(query.shape[-1], *grid, self.theta, query.device)
        num_placed = key.shape[2] - num_fixed
        if num_placed:
            turned = rotate(key[:, :, :num_placed], table)
            key = turned if not num_fixed else _cat(turned, key[:, :, num_placed:])
        return self.out_proj(attention(rotate(query, table), key, value)[:, 0])


def _cat(first: Tensor, second: Tensor) -> Tensor:
    joined = first.new_empty(*first.shape[:2], first.shape[2] + second.shape[2], first.shape[3])
    joined[:, :, : first.shape[2]], joined[:, :, first.shape[2] :] = first, second
    return joined


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

    def forward(
        self, x: Tensor, key: Tensor, value: Tensor, grid: tuple[int, int], num_fixed: int
    ) -> Tensor:
        """Take x (B, h*w, C), key and value (B, L, Cm), the last `num_fixed` without a place; give x's shape."""
        normed = self.norm1(x)
        x = x + self.dropout(self.self_attn(normed, normed, normed, grid))
        x = x + self.dropout(self.cross_attn(self.norm2(x), key, value, grid, num_fixed))
        hidden = self.dropout(F.relu(self.linear1(self.norm3(x))))
        return x + self.dropout(self.linear2(hidden))


class MemoryAttention(nn.Module):
    """Condition the features of a frame on memory tokens."""

    def __init__(self, config: MemoryConfig, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MemoryLayer(config, width) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor, key: Tensor, value: Tensor, num_fixed: int) -> Tensor:
        """Condition.

        Parameters
        ----------
        features : Tensor of shape (B, C, h, w)
            Raw stride-16 map.
        key, value : Tensor of shape (B, L, Cm)
            Memories with and without their codes of place and time: whole grids, then pointers.
        num_fixed : int
            How many tokens at the end are pointers.

        Returns
        -------
        Tensor of shape (B, C, h, w)
            Same dtype as `features`.
        """
        channels, height, width = features.shape[1:]
        code = sine_grid(channels, height, width, features.device).to(features.dtype)
        x = (features + POSITION_GAIN * code).flatten(2).transpose(1, 2)  # -> (B, h*w, C)
        for layer in self.layers:
            x = layer(x, key, value, (height, width), num_fixed)
        return self.norm(x).transpose(1, 2).unflatten(-1, (height, width))
