"""A frame and its mask become a spatial memory (SAM 2 paper, Sec. 4, "Memory encoder")."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_sam2.model.config import MemoryConfig
from napari_sam2.model.layers import LayerNorm2d


class FuserBlock(nn.Module):
    """Depthwise 7 x 7 convolution and a scaled pointwise MLP (a ConvNeXt block)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), 1e-6))
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = LayerNorm2d(width)
        self.expand = nn.Linear(width, 4 * width)
        self.activation = nn.GELU()
        self.contract = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Take and give (B, C, h, w)."""
        y = self.norm(self.depthwise(x)).permute(0, 2, 3, 1)  # (B, C, h, w) -> (B, h, w, C)
        y = self.gamma * self.contract(self.activation(self.expand(y)))
        return x + y.permute(0, 3, 1, 2)


class MemoryEncoder(nn.Module):
    """Fuse the raw stride-16 features of a frame with its downsampled mask."""

    def __init__(self, config: MemoryConfig, width: int, stride: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        while stride > 1:
            stride //= 2
            layers += [
                nn.Conv2d(channels, channels * 4, 3, 2, 1),
                LayerNorm2d(channels * 4),
                nn.GELU(),
            ]
            channels *= 4
        self.mask_layers = nn.Sequential(*layers, nn.Conv2d(channels, width, 1))
        self.frame_proj = nn.Conv2d(width, width, 1)
        self.fuser = nn.ModuleList(FuserBlock(width) for _ in range(config.fuser_blocks))
        self.out_proj = nn.Conv2d(width, config.width, 1)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Take features (B or 1, C, h, w) and a scaled mask (B, 1, S, S); give (B, Cm, h, w)."""
        fused = self.frame_proj(features) + self.mask_layers(mask)
        for block in self.fuser:
            fused = block(fused)
        return self.out_proj(fused)
