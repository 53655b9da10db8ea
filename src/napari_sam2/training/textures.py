"""A bank of tileable noise textures, looked up by many objects at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

TEXTURE_SIZE = 128
"""Side of a texture, pixels; textures repeat without a seam."""


def make_bank(count: int, generator: torch.Generator) -> Tensor:
    """Draw textures of many kinds: clouds, grains, ridges, stripes, patches.

    Parameters
    ----------
    count : int
        How many.
    generator : torch.Generator
        On the CPU; the bank is the same on every device.

    Returns
    -------
    Tensor of shape (count, TEXTURE_SIZE, TEXTURE_SIZE), float32
        Mean 0, standard deviation 1, clamped to +-2.5.
    """
    frequency = torch.fft.fftfreq(TEXTURE_SIZE) * TEXTURE_SIZE
    fy, fx = torch.meshgrid(frequency, frequency, indexing="ij")
    angle = torch.rand(count, 1, 1, generator=generator) * math.pi
    # Every third texture is stretched along one direction: fibres and stripes.
    stretched = 1 + 3 * torch.rand(count, 1, 1, generator=generator)
    stretch = torch.where(torch.arange(count)[:, None, None] % 3 == 0, stretched, 1.0)
    along = fx * angle.cos() + fy * angle.sin()
    across = fy * angle.cos() - fx * angle.sin()
    radius = ((along * stretch) ** 2 + across**2).sqrt()
    slope = 0.8 + 1.7 * torch.rand(count, 1, 1, generator=generator)
    lowest = 2 + 10 * torch.rand(count, 1, 1, generator=generator) ** 2
    amplitude = (radius + lowest) ** -slope * (radius >= 1)
    spectrum = amplitude * torch.exp(
        2j * math.pi * torch.rand(count, TEXTURE_SIZE, TEXTURE_SIZE, generator=generator)
    )
    bank = _standardise(torch.fft.ifft2(spectrum).real)
    kind = torch.randint(0, 4, (count, 1, 1), generator=generator)
    bank = torch.where(kind == 1, bank.abs(), bank)  # ridges
    bank = torch.where(kind == 2, torch.tanh(4 * bank), bank)  # patches
    return _standardise(bank).clamp(-2.5, 2.5)


def _standardise(bank: Tensor) -> Tensor:
    centred = bank - bank.mean((1, 2), keepdim=True)
    return centred / centred.std((1, 2), keepdim=True).clamp(min=1e-6)


def look_up(bank: Tensor, index: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Sample textures bilinearly; all arguments but `bank` have one shape, and so has the result.

    Parameters
    ----------
    bank : Tensor of shape (count, TEXTURE_SIZE, TEXTURE_SIZE)
        From `make_bank`.
    index : Tensor, int64
        Which texture.
    x, y : Tensor
        Position in texture pixels, any real number.
    """
    flat = bank.reshape(-1)
    left, top = x.floor(), y.floor()
    wx, wy = x - left, y - top
    mask = TEXTURE_SIZE - 1  # the side is a power of two
    x0, y0 = left.long() & mask, top.long() & mask
    x1, y1 = (x0 + 1) & mask, (y0 + 1) & mask
    start = index * TEXTURE_SIZE
    upper, lower = (start + y0) * TEXTURE_SIZE, (start + y1) * TEXTURE_SIZE
    above = torch.lerp(flat[upper + x0], flat[upper + x1], wx)
    below = torch.lerp(flat[lower + x0], flat[lower + x1], wx)
    return torch.lerp(above, below, wy)
