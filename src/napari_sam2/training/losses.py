"""What the network is asked for: pixels, overlap, honest quality and presence."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2.model.mask_decoder import Decoded

IOU_WEIGHT = 2.0
"""Weight of the predicted quality, which lags behind the masks."""

OTHERS_WEIGHT = 0.15
"""Weight of the mean of all candidates where only the best counts otherwise: bad ones are then seldom very bad."""

NEARBY = 9
"""Side of the neighbourhood of an object, in logits, within which pixels count more."""

RIVAL_WEIGHT = 2.0
"""Extra weight of other objects nearby: a mask that swallows a neighbour stays so for the rest of a clip."""

ABSENT_WEIGHT = 0.35
"""Weight of the scores of absent objects, as a group, beside those of the others."""


class Loss(NamedTuple):
    """A loss to minimise, and how good the masks were: `iou` of the chosen and `best` of all candidates, scalars."""

    total: Tensor
    iou: Tensor
    best: Tensor


def pixel_losses(logits: Tensor, target: Tensor, rivals: Tensor | None = None) -> Tensor:
    """Cross-entropy that counts small objects and what is near them more, plus dice, for each candidate.

    Without that weight the answer "nothing anywhere" is a plateau that small objects hardly leave. Inside and outside
    count alike: a mask that is a little too large in every frame grows without end where it is fed back as memory.

    Parameters
    ----------
    logits : Tensor of shape (R, K, h, w)
        Candidates.
    target : Tensor of shape (R, h, w)
        Covered part of each cell, 0 to 1.
    rivals : Tensor of shape (R, h, w), optional
        Part of each cell that other objects cover.

    Returns
    -------
    Tensor of shape (R, K)
        One loss a candidate.
    """
    wanted = target[:, None]
    entropy = F.binary_cross_entropy_with_logits(logits, wanted.expand_as(logits), reduction="none")
    near = (F.max_pool2d(wanted, NEARBY, 1, NEARBY // 2) > 0).float()
    gain = (0.15 / near.mean((2, 3), keepdim=True).clamp(min=1e-4)).clamp(1, 15)
    weight = 1 + near * gain
    if rivals is not None:
        weight = weight + RIVAL_WEIGHT * near * rivals[:, None]
    entropy = 3 * (weight * entropy).sum((2, 3)) / weight.sum((2, 3))
    probability = logits.sigmoid()
    common = (probability * wanted).sum((2, 3))
    size = probability.sum((2, 3)) + wanted.sum((2, 3))
    return entropy + 1 - (2 * common + 1) / (size + 1)


@torch.no_grad()
def candidate_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Intersection over union of each candidate's mask with the truth, (R, K)."""
    mask, truth = logits > 0, (target > 0.5)[:, None]
    common = (mask & truth).sum((2, 3))
    return common / (mask | truth).sum((2, 3)).clamp(min=1)


def decoder_loss(
    decoded: Decoded,
    target: Tensor,
    present: Tensor,
    is_ambiguous: bool,
    rivals: Tensor | None = None,
) -> Loss:
    """Judge one decoder step.

    Parameters
    ----------
    decoded : Decoded
        Of R objects.
    target : Tensor of shape (R, h, w)
        Covered part of each cell.
    present : Tensor of shape (R,), bool
        Absent objects only teach the object score.
    is_ambiguous : bool
        One click or none: the best of three counts most; otherwise the single mask.
    rivals : Tensor of shape (R, h, w), optional
        Part of each cell that other objects cover.
    """
    logits = decoded.logits.float()
    counted = present.float()
    number = counted.sum().clamp(min=1)
    pixels = pixel_losses(logits, target, rivals)
    best, others = pixels[:, 1:].amin(1), pixels[:, 1:].mean(1)
    share = 0.3 if is_ambiguous else 1.0
    masks = best * (1.3 - share) + OTHERS_WEIGHT * others + share * pixels[:, 0]
    actual = candidate_iou(logits, target)
    predicted = decoded.iou.float()
    quality = (predicted - actual).abs().mean(1)
    presence = presence_loss(decoded.object_score.float(), present)
    total = ((masks + IOU_WEIGHT * quality) * counted).sum() / number + presence
    chosen = actual.gather(1, choose(decoded, is_ambiguous)[:, None])[:, 0]
    return Loss(
        total=total,
        iou=(chosen * counted).sum() / number,
        best=(actual[:, 1:].amax(1) * counted).sum() / number,
    )


def presence_loss(score: Tensor, present: Tensor) -> Tensor:
    """Cross-entropy of object scores (R,), mean over those who are there plus `ABSENT_WEIGHT` that over the others.

    Few are absent. Counted one by one, they teach nothing, and every object is said to be there; counted as much as
    all the others, they teach to give up objects that are hard to see.
    """
    entropy = F.binary_cross_entropy_with_logits(score, present.float(), reduction="none")
    total = entropy.new_zeros(())
    for kind, weight in ((present, 1.0), (~present, ABSENT_WEIGHT)):
        if kind.any():
            total = total + weight * entropy[kind].mean()
    return total


@torch.no_grad()
def choose(decoded: Decoded, is_ambiguous: bool) -> Tensor:
    """Return the candidate (R,) that inference would take."""
    if is_ambiguous:
        return decoded.preference[:, 1:].argmax(1) + 1
    return torch.zeros(len(decoded.iou), dtype=torch.long, device=decoded.iou.device)


def scene_loss(drawn: Tensor, labels: Tensor) -> Tensor:
    """Foreground and outlines of all objects of a frame: two auxiliary maps that teach the trunk what objects are.

    Parameters
    ----------
    drawn : Tensor of shape (B, 2, h, w)
        Logits of foreground and outline.
    labels : Tensor of shape (B, S, S), int64
        Truth.
    """
    cell = labels.shape[-1] // drawn.shape[-1]
    foreground = (labels > 0).float()
    outline = torch.zeros_like(foreground)
    outline[:, 1:] = (labels[:, 1:] != labels[:, :-1]).float()
    outline[:, :, 1:] = torch.maximum(
        outline[:, :, 1:], (labels[:, :, 1:] != labels[:, :, :-1]).float()
    )
    wanted = torch.stack([F.avg_pool2d(foreground, cell), F.max_pool2d(outline, cell)], 1)
    return F.binary_cross_entropy_with_logits(drawn.float(), wanted)
