"""Sam2: composes trunk, neck, memory and decoder. What is remembered, and when, is decided in `inference`."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2.model.config import Sam2Config
from napari_sam2.model.hiera import Hiera
from napari_sam2.model.layers import Mlp
from napari_sam2.model.mask_decoder import Decoded, MaskDecoder
from napari_sam2.model.memory_attention import MemoryAttention, MemoryTokens
from napari_sam2.model.memory_encoder import MemoryEncoder
from napari_sam2.model.neck import Neck
from napari_sam2.model.positions import sine_grid, sine_line
from napari_sam2.model.prompt_encoder import NOT_A_POINT, PromptEncoder

MEMORY_MASK_SCALE, MEMORY_MASK_BIAS = 20.0, -10.0
"""A probability p enters the memory encoder as 20 p - 10."""


class ImageFeatures(NamedTuple):
    """An encoded frame.

    `stride4`: (B, C/8, 4h, 4w) and `stride8`: (B, C/4, 2h, 2w), ready to be added in the decoder;
    `stride16`: (B, C, h, w).
    """

    stride4: Tensor
    stride8: Tensor
    stride16: Tensor

    def select(self, rows: Tensor) -> ImageFeatures:
        """Repeat or reorder frames: one row an entry of `rows`, int64."""
        return ImageFeatures(*(features[rows] for features in self))


class Sam2(nn.Module):
    """SAM 2 (Ravi et al. 2024), one frame and a batch of objects at a time."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        width, memory_width = config.width, config.memory.width
        self.config = config
        self.trunk = Hiera(config.trunk)
        self.neck = Neck(config.trunk.widths, width)
        self.memory_attention = MemoryAttention(config.memory, width)
        self.memory_encoder = MemoryEncoder(config.memory, width, config.stride)
        self.prompt_encoder = PromptEncoder(config.decoder, width, config.image_size)
        self.mask_decoder = MaskDecoder(config.decoder, width)
        self.pointer_head = Mlp((width,) * 4)
        self.mask_to_prompt = nn.Conv2d(1, 1, 4, 4)
        self.memory_time = _parameter(config.memory.num_frames, 1, 1, memory_width)
        self.no_memory = _parameter(1, 1, width)
        self.no_memory_position = _parameter(1, 1, width)  # unused, but in every official file
        self.absent_pointer = _parameter(1, width)
        if config.absent_memory:
            self.absent_memory = _parameter(1, memory_width)
        if config.pointer_time_code:
            self.pointer_time = nn.Linear(width, memory_width)

    def encode_image(self, image: Tensor) -> ImageFeatures:
        """Encode normalised images (B, 3, S, S)."""
        decoder = self.mask_decoder
        return ImageFeatures(*self.neck(self.trunk(image), decoder.skip4, decoder.skip8))

    def begin(self, stride16: Tensor) -> Tensor:
        """Do what `condition` does first, which knows nothing of any memory: once for all objects of a frame.

        Takes and gives (B, C, h, w).
        """
        return self.memory_attention.begin(stride16)

    def without_memory(self, stride16: Tensor) -> Tensor:
        """Mark features (B, C, h, w) as seen without any memory."""
        return stride16 + self.no_memory.view(1, -1, 1, 1)

    def condition(
        self,
        begun: Tensor,
        memories: Tensor,
        rows: Tensor,
        pointers: Tensor,
        offsets: Tensor,
        folds_values: bool = False,
    ) -> Tensor:
        """Condition a frame on what is remembered (SAM 2 paper, Sec. 4).

        Parameters
        ----------
        begun : Tensor of shape (B or 1, C, h, w)
            Features of the frame after `begin`.
        memories : Tensor of shape (B, M, Cm, h, w)
            Spatial memories.
        rows : Tensor of shape (M,), int64
            Row of the temporal table: k - 1 for k frames back, the last row for conditioning frames.
        pointers : Tensor of shape (B, P, C)
            Object pointers; P may be 0.
        offsets : Tensor of shape (P,), float32
            Signed distance in time, positive in the past, normalised by the longest remembered distance.
        folds_values : bool
            Whether memories are mixed before they are projected: the same, with fewer operations, without gradients.

        Returns
        -------
        Tensor of shape (B, C, h, w)
            Conditioned features.
        """
        batch, _, width, height, length = memories.shape
        code = sine_grid(width, height, length, memories.device).to(memories.dtype)
        time = self.memory_time[rows].permute(0, 3, 1, 2)  # (M, 1, 1, Cm) -> (M, Cm, 1, 1)
        tokens = _memory_tokens(memories)
        codes = _memory_tokens((code + time).expand(batch, -1, -1, -1, -1))
        pointer_tokens = pointers.unflatten(-1, (-1, width)).flatten(1, 2)  # (B, P*C/Cm, Cm)
        pointer_codes = self._pointer_codes(offsets, pointer_tokens.shape[1])
        value = torch.cat([tokens, pointer_tokens], dim=1)
        key = value + torch.cat([codes, pointer_codes.expand(batch, -1, -1)], dim=1)
        lined_up = MemoryTokens(key, value, pointer_tokens.shape[1], folds_values)
        return self.memory_attention(begun.expand(batch, -1, -1, -1), lined_up)

    def _pointer_codes(self, offsets: Tensor, num_tokens: int) -> Tensor:
        """Code the time of pointers, the same for all tokens that a pointer is split into."""
        width = self.config.memory.width
        if not self.config.pointer_time_code or not len(offsets):
            return offsets.new_zeros(num_tokens, width)
        codes = self.pointer_time(sine_line(offsets, self.config.width))
        return codes.repeat_interleave(num_tokens // len(offsets), dim=0)

    def pad_points(self, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Append the one padding point that the network expects behind (B, N, 2) points and (B, N) labels."""
        return F.pad(points, (0, 0, 0, 1)), F.pad(labels, (0, 1), value=NOT_A_POINT)

    def decode(
        self,
        conditioned: Tensor,
        stride4: Tensor,
        stride8: Tensor,
        points: Tensor,
        labels: Tensor,
        mask_logits: Tensor | None = None,
    ) -> Decoded:
        """Decode mask candidates of a batch of objects.

        Parameters
        ----------
        conditioned : Tensor of shape (B, C, h, w)
            From `condition` or `without_memory`.
        stride4, stride8 : Tensor of shape (B or 1, C/8, 4h, 4w) and (B or 1, C/4, 2h, 2w)
            From `encode_image`.
        points, labels : Tensor of shape (B, N, 2) and (B, N), int64
            (x, y) in model pixels, padded by `pad_points`.
        mask_logits : Tensor of shape (B, 1, 4h, 4w), optional
            Earlier logits to refine.

        Returns
        -------
        Decoded
            Mask candidates, qualities, object score and tokens.
        """
        grid = (conditioned.shape[-2], conditioned.shape[-1])
        encoder = self.prompt_encoder
        return self.mask_decoder(
            conditioned,
            encoder.fourier.grid(*grid).to(conditioned.dtype),
            stride4,
            stride8,
            encoder.tokens(points, labels).to(conditioned.dtype),
            encoder.dense(mask_logits, len(points), grid),
        )

    def pointer(self, tokens: Tensor, object_score: Tensor) -> Tensor:
        """Turn decoder tokens (B, C) into object pointers; an absent object has one fixed pointer."""
        is_visible = (object_score > 0)[:, None]
        return torch.where(is_visible, self.pointer_head(tokens), self.absent_pointer)

    def encode_memory(self, stride16: Tensor, mask: Tensor, object_score: Tensor) -> Tensor:
        """Remember a frame.

        Parameters
        ----------
        stride16 : Tensor of shape (B or 1, C, h, w)
            Raw features, not conditioned.
        mask : Tensor of shape (B, 1, S, S)
            Probability or mask p, given as 20 p - 10.
        object_score : Tensor of shape (B,)
            Logit; in SAM 2.1 an absent object marks the whole memory.

        Returns
        -------
        Tensor of shape (B, Cm, h, w)
            Spatial memory.
        """
        memory = self.memory_encoder(stride16, mask)
        if not self.config.absent_memory:
            return memory
        is_absent = (object_score <= 0).to(memory.dtype).view(-1, 1, 1, 1)
        return memory + is_absent * self.absent_memory.view(1, -1, 1, 1)


def _parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))


def _memory_tokens(maps: Tensor) -> Tensor:
    """Line up maps: (B, M, Cm, h, w) -> (B, M*h*w, Cm)."""
    return maps.flatten(3).transpose(2, 3).flatten(1, 2)
