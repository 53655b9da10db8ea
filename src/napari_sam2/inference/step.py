"""One step: an embedded frame, prompts and memory in; logits and a new memory out. Same code for every mode."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2.core.options import InferenceOptions
from napari_sam2.model.mask_decoder import Decoded
from napari_sam2.model.sam2 import (
    MEMORY_MASK_BIAS,
    MEMORY_MASK_SCALE,
    ImageFeatures,
    Sam2,
)

ABSENT_LOGIT = -1024.0
"""Mask logit wherever an object is not visible."""

REFED_LIMIT = 32.0
"""Earlier logits are clamped to this before they are refined."""

STABILITY_DELTA, STABILITY_THRESHOLD = 0.05, 0.98
MASK_PROMPT_LOGIT = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class StepOutput:
    """Answer of one step for a batch of slots.

    `logits`: (B, 1, 4h, 4w), `ABSENT_LOGIT` where the object is absent; `iou`, `object_score`: (B,);
    `pointer`: (B, C); if the choice was among three, `candidates`: (B, 3, 4h, 4w), `candidate_iou`: (B, 3) and
    `order`: (B, 3), int64, their indices, best first.
    """

    logits: Tensor
    iou: Tensor
    object_score: Tensor
    pointer: Tensor
    candidates: Tensor | None = None
    candidate_iou: Tensor | None = None
    order: Tensor | None = None

    def row(self, index: int) -> StepOutput:
        """Return one slot as a batch of one."""
        rows = slice(index, index + 1)
        return StepOutput(
            self.logits[rows], self.iou[rows], self.object_score[rows], self.pointer[rows]
        )


@dataclass(frozen=True, slots=True, eq=False)
class ModelPoints:
    """Points of a batch of slots in model pixels: `xy` (B, N, 2), `labels` (B, N); a box is two of them."""

    xy: Tensor
    labels: Tensor

    @property
    def count(self) -> int:
        """N, the padding not counted."""
        return self.labels.shape[1]


def no_points(batch: int, device: torch.device) -> ModelPoints:
    """Return what a frame without prompts gives to the decoder: one padding point."""
    labels = torch.full((batch, 1), -1, dtype=torch.int64, device=device)
    padding = torch.zeros(batch, 1, 2, dtype=torch.float32, device=device)
    return ModelPoints(padding, labels)


def decode(
    network: Sam2,
    features: ImageFeatures,
    conditioned: Tensor,
    options: InferenceOptions,
    points: ModelPoints | None = None,
    previous: Tensor | None = None,
) -> StepOutput:
    """Decode a batch of slots, with clicks or without.

    Parameters
    ----------
    network : Sam2
        The network.
    features : ImageFeatures
        Of one frame, batch 1: its skips.
    conditioned : Tensor of shape (B, C, h, w)
        From `condition`, or features marked as seen without memory.
    options : InferenceOptions
        `multimask` and `stability_fallback` are read.
    points : ModelPoints, optional
        None on a frame that is only tracked.
    previous : Tensor of shape (B, 1, 4h, 4w), optional
        Logits to refine.
    """
    batch = conditioned.shape[0]
    given = points or no_points(batch, conditioned.device)
    xy, labels = network.pad_points(given.xy, given.labels)
    refed = None if previous is None else previous.clamp(-REFED_LIMIT, REFED_LIMIT)
    decoded = network.decode(conditioned, features.stride4, features.stride8, xy, labels, refed)
    decoded = _hide_absent(decoded)
    is_ambiguous = points is None or points.count <= 1
    if options.multimask and is_ambiguous:
        return _best_candidate(network, decoded)
    return _single_mask(network, decoded, options.stability_fallback)


def _hide_absent(decoded: Decoded) -> Decoded:
    is_visible = (decoded.object_score > 0).view(-1, 1, 1, 1)
    logits = torch.where(is_visible, decoded.logits.float(), ABSENT_LOGIT)
    return decoded._replace(logits=logits, iou=decoded.iou.float())


def _best_candidate(network: Sam2, decoded: Decoded) -> StepOutput:
    logits, iou, tokens = decoded.logits[:, 1:], decoded.iou[:, 1:], decoded.tokens[:, 1:]
    slots = torch.arange(len(iou), device=iou.device)
    preference = decoded.preference[:, 1:]
    best = preference.argmax(dim=1)
    return StepOutput(
        logits=logits[slots, best][:, None],
        iou=iou[slots, best],
        object_score=decoded.object_score,
        pointer=network.pointer(tokens[slots, best], decoded.object_score),
        candidates=logits,
        candidate_iou=iou,
        order=preference.argsort(dim=1, descending=True, stable=True),
    )


def _single_mask(network: Sam2, decoded: Decoded, has_fallback: bool) -> StepOutput:
    logits, iou = decoded.logits[:, :1], decoded.iou[:, 0]
    if has_fallback:
        logits, iou = _stable(decoded)
    # The pointer stays that of the single-mask token, also after a fallback (fact of the release).
    pointer = network.pointer(decoded.tokens[:, 0], decoded.object_score)
    return StepOutput(logits, iou, decoded.object_score, pointer)


def _stable(decoded: Decoded) -> tuple[Tensor, Tensor]:
    """Replace single masks that hang on the threshold by the best of the three candidates."""
    single = decoded.logits[:, 0].flatten(1)
    inner = (single > STABILITY_DELTA).sum(1).float()
    outer = (single > -STABILITY_DELTA).sum(1).float()
    stability = torch.where(outer > 0, inner / outer.clamp(min=1), 1.0)
    is_stable = stability >= STABILITY_THRESHOLD
    slots = torch.arange(len(single), device=single.device)
    best = decoded.preference[:, 1:].argmax(dim=1) + 1
    chosen = torch.where(is_stable, 0, best)
    return decoded.logits[slots, chosen][:, None], decoded.iou[slots, chosen]


def absent(network: Sam2, output: StepOutput) -> StepOutput:
    """Return the answer of a frame on which nothing can be seen, in the place of what the network made of it."""
    pointer = network.absent_pointer.expand_as(output.pointer)
    logits = torch.full_like(output.logits, ABSENT_LOGIT)
    score = torch.full_like(output.object_score, -MASK_PROMPT_LOGIT)
    return StepOutput(logits, output.iou, score, pointer)


def adopt_mask(network: Sam2, features: ImageFeatures, mask: Tensor) -> StepOutput:
    """Take a person's mask as the answer; the decoder runs only for the pointer.

    Parameters
    ----------
    network : Sam2
        The network.
    features : ImageFeatures
        Of one frame, batch 1.
    mask : Tensor of shape (1, 1, S, S), float32
        0 or 1.
    """
    side = mask.shape[-1] // 4
    logits = F.interpolate(
        (2 * mask - 1) * MASK_PROMPT_LOGIT, (side, side), mode="bilinear", antialias=True
    )
    given = no_points(1, mask.device)
    xy, labels = network.pad_points(given.xy, given.labels)
    # Unlike with clicks, the features carry no mark for missing memory (fact of the release).
    dense = network.mask_to_prompt(mask)
    decoded = network.decode(
        features.stride16, features.stride4, features.stride8, xy, labels, dense
    )
    is_visible = bool(mask.any())
    # Said in so many words: another plugin may have changed the default of PyTorch.
    logit = MASK_PROMPT_LOGIT if is_visible else -MASK_PROMPT_LOGIT
    score = torch.full((1,), logit, dtype=torch.float32)
    pointer = network.pointer(decoded.tokens[:, 0], decoded.object_score)
    if not is_visible:
        pointer = network.absent_pointer.expand_as(pointer)
    return StepOutput(logits, torch.ones(1, dtype=torch.float32), score.to(mask.device), pointer)


def remember(
    network: Sam2,
    features: ImageFeatures,
    output: StepOutput,
    options: InferenceOptions,
    is_prompted: bool,
) -> Tensor:
    """Encode what a frame showed.

    Returns
    -------
    Tensor of shape (B, Cm, h, w)
        In the options' memory dtype.
    """
    side = network.config.image_size
    logits = F.interpolate(output.logits.float(), (side, side), mode="bilinear")
    is_binary = is_prompted and options.binarise_prompted_memory
    probability = (logits > 0).float() if is_binary else logits.sigmoid()
    spatial = network.encode_memory(
        features.stride16, MEMORY_MASK_SCALE * probability + MEMORY_MASK_BIAS, output.object_score
    )
    return spatial.to(getattr(torch, options.memory_dtype))
