"""Prompt tokens and a conditioned frame become mask candidates (SAM 2 paper, Sec. 4, "Mask decoder")."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from napari_sam2.model.config import DecoderConfig
from napari_sam2.model.layers import LayerNorm2d, Mlp
from napari_sam2.model.two_way import TwoWayTransformer


class Decoded(NamedTuple):
    """What the decoder says: candidate 0 is the single mask, the others are for ambiguous prompts.

    `logits`: (B, K, 4 h, 4 w); `iou`: (B, K), predicted quality after the sigmoid;
    `object_score`: (B,), logit that the object is visible; `tokens`: (B, K, C), one a candidate;
    `preference`: (B, K), the candidate with the highest one is the best.
    """

    logits: Tensor
    iou: Tensor
    object_score: Tensor
    tokens: Tensor
    preference: Tensor


def certainty(logits: Tensor) -> Tensor:
    """Return the mean probability of the pixels of each mask: logits (..., h, w) -> (...), 0 for an empty mask."""
    inside = logits > 0
    probability = torch.where(inside, logits.float().sigmoid(), 0.0)
    return probability.sum((-2, -1)) / inside.sum((-2, -1)).clamp(min=1)


class MaskDecoder(nn.Module):
    """Decode one object a slot. Skips from strides 4 and 8 bring back what stride 16 lost."""

    def __init__(self, config: DecoderConfig, width: int) -> None:
        super().__init__()
        num_masks, fine = config.num_candidates + 1, width // 8
        self.num_masks = num_masks
        self.chooses_by_certainty = config.chooses_by_certainty
        self.transformer = TwoWayTransformer(config, width)
        self.object_token = nn.Embedding(1, width)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(num_masks, width)
        self.skip4 = nn.Conv2d(width, fine, 1)
        self.skip8 = nn.Conv2d(width, width // 4, 1)
        self.upscale8 = nn.ConvTranspose2d(width, width // 4, 2, 2)
        self.upscale_norm = LayerNorm2d(width // 4)
        self.upscale4 = nn.ConvTranspose2d(width // 4, fine, 2, 2)
        self.activation = nn.GELU()
        self.mask_heads = nn.ModuleList(Mlp((width, width, width, fine)) for _ in range(num_masks))
        head = config.head_width
        self.iou_head = Mlp((width, head, head, num_masks))
        self.object_head = Mlp((width, width, width, 1))

    def forward(
        self,
        conditioned: Tensor,
        image_position: Tensor,
        stride4: Tensor,
        stride8: Tensor,
        prompt_tokens: Tensor,
        dense_prompt: Tensor,
    ) -> Decoded:
        """Decode masks.

        Parameters
        ----------
        conditioned : Tensor of shape (B, C, h, w)
            Stride-16 features, conditioned on memory or on its absence.
        image_position : Tensor of shape (1, C, h, w)
            Fourier code of the grid.
        stride4, stride8 : Tensor of shape (B or 1, C/8, 4h, 4w) and (B or 1, C/4, 2h, 2w)
            Features after `skip4` and `skip8`.
        prompt_tokens : Tensor of shape (B, N, C)
            From the prompt encoder.
        dense_prompt : Tensor of shape (B, C, h, w)
            From the prompt encoder.
        """
        own = torch.cat([self.object_token.weight, self.iou_token.weight, self.mask_tokens.weight])
        own = own.expand(prompt_tokens.shape[0], -1, -1)
        tokens = torch.cat([own, prompt_tokens], dim=1)
        tokens, image = self.transformer(tokens, conditioned + dense_prompt, image_position)
        fine = self.activation(self.upscale_norm(self.upscale8(image) + stride8))
        fine = self.activation(self.upscale4(fine) + stride4)  # (B, C/8, 4h, 4w)
        mask_tokens = tokens[:, 2 : 2 + self.num_masks]
        weights = [head(mask_tokens[:, k]) for k, head in enumerate(self.mask_heads)]
        flat = torch.stack(weights, dim=1) @ fine.flatten(2)  # (B, K, C/8) @ (B, C/8, HW)
        logits = flat.unflatten(-1, fine.shape[-2:])
        iou = self.iou_head(tokens[:, 1]).sigmoid()
        return Decoded(
            logits=logits,
            iou=iou,
            object_score=self.object_head(tokens[:, 0])[:, 0],
            tokens=mask_tokens,
            preference=certainty(logits.detach()) if self.chooses_by_certainty else iou,
        )
