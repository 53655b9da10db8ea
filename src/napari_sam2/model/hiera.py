"""Hiera image trunk: a hierarchical vision transformer with windowed attention (SAM 2 paper, App. D.1)."""

from __future__ import annotations

from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2.model.attention import attention
from napari_sam2.model.config import TrunkConfig
from napari_sam2.model.layers import Mlp, as_multiplied, merge_heads


def to_windows(x: Tensor, side: int) -> tuple[Tensor, tuple[int, int]]:
    """Cut a map into square windows, zero-padded at the lower and right border.

    Padding is not masked: padded tokens take part as keys and values, as in the official release.

    Parameters
    ----------
    x : Tensor of shape (B, H, W, C)
        Channels last.
    side : int
        Window side, tokens.

    Returns
    -------
    windows : Tensor of shape (B * windows, side, side, C)
        Row by row.
    padded : tuple of int
        Padded (height, width).
    """
    batch, height, width, channels = x.shape
    pad_y, pad_x = -height % side, -width % side
    if pad_y or pad_x:
        x = F.pad(x, (0, 0, 0, pad_x, 0, pad_y))
    padded = height + pad_y, width + pad_x
    x = x.view(batch, padded[0] // side, side, padded[1] // side, side, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, side, side, channels), padded


def from_windows(windows: Tensor, padded: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Undo `to_windows`: windows -> (B, height, width, C), the padding cut off."""
    side, channels = windows.shape[1], windows.shape[-1]
    rows, columns = padded[0] // side, padded[1] // side
    x = windows.view(-1, rows, columns, side, side, channels)
    x = x.permute(0, 1, 3, 2, 4, 5).reshape(-1, *padded, channels)
    return x[:, : size[0], : size[1]].contiguous()


def pool(x: Tensor) -> Tensor:
    """Take the maximum of 2 x 2 tokens: (B, H, W, C) -> (B, H / 2, W / 2, C)."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


class PooledAttention(nn.Module):
    """Multi-head self-attention over (B, H, W, C); at a stage change the queries are max-pooled."""

    def __init__(self, width: int, width_out: int, num_heads: int, is_pooling: bool) -> None:
        super().__init__()
        self.num_heads, self.is_pooling = num_heads, is_pooling
        self.qkv = nn.Linear(width, 3 * width_out)
        self.proj = nn.Linear(width_out, width_out)

    def forward(self, x: Tensor) -> Tensor:
        """Take (B, H, W, C), give (B, H, W, C_out), half as high and wide at a stage change."""
        batch, height, width, _ = x.shape
        qkv = self.qkv(x).view(batch, height * width, 3, self.num_heads, -1)
        query, key, value = qkv.unbind(2)  # each (B, H*W, heads, d)
        if self.is_pooling:
            query = pool(query.reshape(batch, height, width, -1))
            height, width = query.shape[1:3]
            query = query.reshape(batch, height * width, self.num_heads, -1)
        mixed = attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
        return self.proj(merge_heads(mixed).view(batch, height, width, -1))


class Block(nn.Module):
    """One transformer block. `window` 0: attention over the whole map."""

    def __init__(
        self, width: int, width_out: int, num_heads: int, window: int, mlp_ratio: float
    ) -> None:
        super().__init__()
        self.window, self.is_pooling = window, width != width_out
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = PooledAttention(width, width_out, num_heads, self.is_pooling)
        self.norm2 = nn.LayerNorm(width_out, eps=1e-6)
        self.mlp = Mlp((width_out, int(width_out * mlp_ratio), width_out), nn.GELU)
        self.proj = nn.Linear(width, width_out) if self.is_pooling else None

    def forward(self, x: Tensor) -> Tensor:
        """Take and give channels-last maps (B, H, W, C)."""
        normed = as_multiplied(self.norm1(x))
        # At a stage change the shortcut, too, starts from the normalised input (fact of the release).
        shortcut = x if self.proj is None else pool(self.proj(normed))
        x = shortcut + self._attend(normed, (shortcut.shape[1], shortcut.shape[2]))
        return x + self.mlp(self.norm2(x))

    def _attend(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        if not self.window:
            return self.attn(x)
        windows, padded = to_windows(x, self.window)
        windows = self.attn(windows)
        if self.is_pooling:
            side = windows.shape[1]
            padded = size[0] + -size[0] % side, size[1] + -size[1] % side
        return from_windows(windows, padded, size)


class Hiera(nn.Module):
    """Image -> maps at strides 4, 8, 16 and 32 (for the official patch stride of 4)."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        kernel = config.patch_kernel
        self.patch = nn.Conv2d(3, config.embed_dim, kernel, config.patch_stride, kernel // 2)
        side = config.window_sizes[0]
        position = config.position_size
        self.position = nn.Parameter(torch.empty(1, config.embed_dim, position, position))
        self.window_position = nn.Parameter(torch.empty(1, config.embed_dim, side, side))
        self.blocks = nn.ModuleList(_blocks(config))
        self.last_blocks = [end - 1 for end in accumulate(config.stages)]
        self._stretched_last: tuple[tuple[int, int], Tensor, Tensor] | None = None
        nn.init.trunc_normal_(self.position, std=0.02)
        nn.init.trunc_normal_(self.window_position, std=0.02)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Encode `image` (B, 3, S, S), normalised; return one (B, C, H, W) a stage, fine to coarse."""
        x = self.patch(image)
        x = (x + self._position_map(x.shape[-2], x.shape[-1])).permute(0, 2, 3, 1)
        stages = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.last_blocks:
                stages.append(x.permute(0, 3, 1, 2))
        return stages

    def _position_map(self, height: int, width: int) -> Tensor:
        """Return the learned positions at the grid's size, (1, C, height, width)."""
        if torch.is_grad_enabled():
            return self._stretched(height, width)
        learned = torch.cat([self.position.flatten(), self.window_position.flatten()])
        if self._stretched_last is not None:
            size, source, stretched = self._stretched_last
            # Compared, not watched: weights may be exchanged in place, and a stale map would go unnoticed.
            if size == (height, width) and torch.equal(source, learned):
                return stretched
        stretched = self._stretched(height, width)
        self._stretched_last = (height, width), learned, stretched
        return stretched

    def _stretched(self, height: int, width: int) -> Tensor:
        background = F.interpolate(self.position, size=(height, width), mode="bicubic")
        side = self.window_position.shape[-1]
        tiles = self.window_position.tile(1, 1, -(-height // side), -(-width // side))
        return background + tiles[..., :height, :width]


def _blocks(config: TrunkConfig) -> list[Block]:
    """Make all blocks; the first block of a stage still has the previous stage's window side."""
    blocks: list[Block] = []
    for stage, depth in enumerate(config.stages):
        for position in range(depth):
            is_first = position == 0 and stage > 0
            width_out = config.widths[stage]
            width = config.widths[stage - 1] if is_first else width_out
            window = config.window_sizes[stage - 1 if is_first else stage]
            if len(blocks) in config.global_blocks:
                window = 0
            heads = config.num_heads * 2**stage
            blocks.append(Block(width, width_out, heads, window, config.mlp_ratio))
    return blocks
