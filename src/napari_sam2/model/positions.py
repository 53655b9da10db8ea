"""Sine, random-Fourier and rotary encodings of position and time."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

TEMPERATURE = 10000.0


def _wavelengths(width: int, device: torch.device) -> Tensor:
    """Geometric wavelengths in equal pairs, (width,): one for a sine, one for its cosine."""
    index = torch.arange(width, dtype=torch.float32, device=device)
    return TEMPERATURE ** (2 * (index // 2) / width)


@lru_cache(maxsize=16)
def sine_grid(width: int, height: int, length: int, device: torch.device) -> Tensor:
    """Encode every cell of a grid: first half of the channels y, second half x, sine and cosine interleaved.

    Returns
    -------
    Tensor of shape (1, width, height, length), float32
        A constant; the caller must not write to it.
    """
    # A constant made under inference mode could never be used in training again.
    with torch.inference_mode(False), torch.no_grad():
        half = width // 2
        angles = []
        for axis, size in enumerate((height, length)):
            along = torch.arange(1, size + 1, dtype=torch.float32, device=device)
            phase = (along / (size + 1e-6) * 2 * math.pi)[:, None] / _wavelengths(half, device)
            code = torch.stack([phase[:, 0::2].sin(), phase[:, 1::2].cos()], dim=2).flatten(1)
            shape = (size, 1, half) if axis == 0 else (1, size, half)
            angles.append(code.view(shape).expand(height, length, half))
        return torch.cat(angles, dim=2).permute(2, 0, 1)[None].contiguous()


def sine_line(offsets: Tensor, width: int) -> Tensor:
    """Encode times: all sines, then all cosines, frequencies pairwise equal.

    Parameters
    ----------
    offsets : Tensor of shape (P,)
        Normalised times.
    width : int
        Channels of the code.

    Returns
    -------
    Tensor of shape (P, width)
        float32.
    """
    phase = offsets.float()[:, None] / _wavelengths(width // 2, offsets.device)
    return torch.cat([phase.sin(), phase.cos()], dim=-1)


class FourierEncoding(nn.Module):
    """Random Fourier features of a position in the unit square (SAM, Sec. 3, "Prompt encoder").

    The kernel of two positions is a Gaussian of 1 / (4 pi scale) of the side:
    `scale` decides how wide one click reaches.
    """

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.register_buffer("matrix", scale * torch.randn(2, width // 2))

    def forward(self, points: Tensor) -> Tensor:
        """Encode `points` (..., 2), (x, y) in [0, 1], as (..., width)."""
        phase = 2 * math.pi * ((2 * points - 1) @ self.matrix)
        return torch.cat([phase.sin(), phase.cos()], dim=-1)

    def grid(self, height: int, length: int) -> Tensor:
        """Encode the cell centres of a grid, (1, width, height, length)."""
        matrix = self.matrix
        y = (torch.arange(height, device=matrix.device, dtype=matrix.dtype) + 0.5) / height
        x = (torch.arange(length, device=matrix.device, dtype=matrix.dtype) + 0.5) / length
        yy, xx = torch.meshgrid(y, x, indexing="ij")
        return self(torch.stack([xx, yy], dim=-1)).permute(2, 0, 1)[None]


@lru_cache(maxsize=16)
def rotary_table(
    width: int, height: int, length: int, theta: float, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return cosines and signed sines of the axial rotations of a grid's cells, row by row.

    The first half of the channel pairs turns with x, the second half with y, at frequency theta^(-4 i / width). Of a
    pair, the first channel has the negative sine: it receives minus the sine times the second.

    Returns
    -------
    tuple of two Tensors of shape (height * length, width)
        Real-valued: same rotation as complex multiplication, but it exports and runs on every device.
    """
    with torch.inference_mode(False), torch.no_grad():
        index = torch.arange(0, width, 4, dtype=torch.float32, device=device)[: width // 4]
        frequencies = 1.0 / theta ** (index / width)
        cells = torch.arange(height * length, dtype=torch.float32, device=device)
        x, y = cells % length, torch.div(cells, length, rounding_mode="floor")
        angles = torch.cat([torch.outer(x, frequencies), torch.outer(y, frequencies)], dim=-1)
        cosine = angles.cos().repeat_interleave(2, dim=-1)
        sine = torch.stack([-angles.sin(), angles.sin()], dim=-1).flatten(-2)
        return cosine.to(dtype), sine.to(dtype)


def rotate(tokens: Tensor, partners: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Turn adjacent channel pairs by the table's angles, repeated when there are several frames of cells.

    Parameters
    ----------
    tokens : Tensor of shape (B, L, d)
        ``L`` is a multiple of the table's cells. Changed in place.
    partners : Tensor of shape (B, L, d)
        The same with the channels of every pair exchanged.
    table : tuple of two Tensors of shape (cells, d)
        From `rotary_table`.

    Returns
    -------
    Tensor of shape (B, L, d)
        `tokens`.
    """
    cosine, sine = table
    frames = -1, cosine.shape[0]
    # (B, L, d) -> (B, frames, cells, d)
    tokens.unflatten(1, frames).mul_(cosine).addcmul_(partners.unflatten(1, frames), sine)
    return tokens


def exchanged(channels: Tensor, dim: int) -> Tensor:
    """Exchange the two channels of every adjacent pair along `dim`, counted from the front."""
    return channels.unflatten(dim, (-1, 2)).flip(dim + 1).flatten(dim, dim + 1)
