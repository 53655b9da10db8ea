"""Which objects are prompted, and how: clicks, boxes and corrections drawn from the truth."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2.training.chance import Chance
from napari_sam2.training.generator import NUM_LABELS

CELL = 4
"""Frame pixels a logit."""

LARGEST = 0.7
"""Objects that fill more of their frame are not prompted."""


class Picked(NamedTuple):
    """Objects to train on: `rows` (R,) clip of each, `ids` (R,) its label, both int64."""

    rows: Tensor
    ids: Tensor

    def shuffled(self, chance: Chance) -> Picked:
        """Return the objects in another order."""
        order = chance.uniform(len(self.rows)).argsort()
        return Picked(self.rows[order], self.ids[order])


def pick_objects(
    labels: Tensor,
    per_clip: int,
    chance: Chance,
    min_area: float = 24,
    later: Tensor | None = None,
) -> Picked:
    """Pick up to `per_clip` objects that are visible in `labels` (B, S, S); tiny ones less often.

    Parameters
    ----------
    labels : Tensor of shape (B, S, S), int64
        First frames.
    per_clip : int
        Most objects a clip.
    chance : Chance
        On the device of the labels.
    min_area : float
        Smallest visible area, pixels.
    later : Tensor of shape (B, S, S), int64, optional
        A later frame: objects that are gone there are seldom picked.
    """
    batch = len(labels)
    area = _areas(labels)
    weight = (area / 200).clamp(0.25, 1) * (area >= min_area) * (area < LARGEST * labels[0].numel())
    weight[:, 0] = 0
    if later is not None:
        weight = weight * torch.where(_areas(later) > 0, 1.0, 0.1)
    # Weighted choice without replacement: the largest of weighted random keys.
    keys = chance.uniform(*weight.shape) ** (1 / weight.clamp(min=1e-6))
    best, ids = torch.where(weight > 0, keys, -1.0).topk(per_clip, dim=1)
    rows = torch.arange(batch, device=ids.device)[:, None].expand_as(ids)
    is_real = best >= 0
    return Picked(rows[is_real], ids[is_real])


def _areas(labels: Tensor) -> Tensor:
    """Return the pixels of every label, (B, NUM_LABELS)."""
    area = torch.zeros(len(labels), NUM_LABELS, device=labels.device)
    one = torch.ones(1, device=labels.device).expand(len(labels), labels[0].numel())
    return area.scatter_add_(1, labels.flatten(1), one)


def object_masks(labels: Tensor, picked: Picked) -> Tensor:
    """Return the masks (R, S, S), float 0 or 1, of picked objects in `labels` (B, S, S)."""
    return (labels[picked.rows] == picked.ids[:, None, None]).float()


def rivals(labels: Tensor, picked: Picked) -> Tensor:
    """Return which part of each logit's cell other objects than the picked one cover, (R, S/4, S/4)."""
    own = labels[picked.rows]
    return coverage(((own > 0) & (own != picked.ids[:, None, None])).float())


HAND_RADII = (1, 2, 3, 5)
"""Frame pixels over which a hand smooths an outline."""


def hand_drawn(masks: list[Tensor], share: float, chance: Chance) -> list[Tensor]:
    """Draw some objects as a person would: smoother, and a little larger or smaller, alike on all frames.

    Annotators leave room around a cell, stay inside of it, or cut its corners. Who paints a mask wants masks of that
    kind, so what was drawn on the first frame is what later frames are compared with.

    Parameters
    ----------
    masks : list of Tensor of shape (R, S, S), float 0 or 1
        The true masks of R objects on each frame.
    share : float
        Part of the objects that are drawn otherwise; those too small for the present radius stay as they are.
    chance : Chance
        On the device of the masks.

    Returns
    -------
    list of Tensor of shape (R, S, S), float 0 or 1
        A mask that would lose half of its pixels stays as it is.
    """
    number = len(masks[0])
    radius = HAND_RADII[int(chance.below(len(HAND_RADII), 1))]
    is_large = masks[0].sum((1, 2)) > (4 * radius) ** 2
    is_drawn = (chance.happens(number, share=share) & is_large)[:, None, None]
    level = chance.uniform(number, 1, 1, low=0.2, high=0.65)  # below a half: larger
    return [torch.where(is_drawn, _smoothed(mask, radius, level), mask) for mask in masks]


def _smoothed(masks: Tensor, radius: int, level: Tensor) -> Tensor:
    blurred = masks[:, None]
    for _ in range(2):
        blurred = F.avg_pool2d(blurred, 2 * radius + 1, 1, radius, count_include_pad=False)
    drawn = (blurred[:, 0] > level).float()
    is_lost = drawn.sum((1, 2), keepdim=True) < 0.5 * masks.sum((1, 2), keepdim=True)
    return torch.where(is_lost, masks, drawn)


def coverage(masks: Tensor) -> Tensor:
    """Return which part of each logit's cell a mask covers: (R, S, S) -> (R, S/4, S/4)."""
    return F.avg_pool2d(masks[:, None], CELL)[:, 0]


def _draw_cells(weights: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    """Draw one cell a row of weights (R, h, w): index (R,) and place (R, 2), (x, y) in frame pixels."""
    width = weights.shape[-1]
    index = torch.multinomial(weights.flatten(1) + 1e-12, 1, generator=chance.generator)[:, 0]
    corner = torch.stack([index % width, torch.div(index, width, rounding_mode="floor")], -1)
    inside = chance.uniform(*corner.shape)
    return index, (corner + inside) * CELL - 0.5


def draw_clicks(covered: Tensor, chance: Chance) -> Tensor:
    """Draw a click (R, 1, 2) inside each object, half of them well inside."""
    blurred = F.avg_pool2d(covered[:, None], 3, 1, 1)[:, 0]
    blurred = F.avg_pool2d(blurred[:, None], 5, 1, 2)[:, 0]
    deep = blurred / blurred.amax((1, 2), keepdim=True).clamp(min=1e-6)
    is_deep = chance.happens(len(covered), 1, 1, share=0.5)
    weights = torch.where(is_deep, deep**8 * covered, covered**2)
    return _draw_cells(weights, chance)[1][:, None]


def draw_boxes(masks: Tensor, chance: Chance) -> Tensor:
    """Draw loose boxes (R, 2, 2), top left and bottom right, around masks (R, S, S): corners off by up to a tenth."""
    side = masks.shape[-1]
    corners = []
    for dim in (1, 2):  # rows filled in x, then in y
        filled = masks.amax(dim) > 0
        first = filled.float().argmax(1)
        last = side - 1 - filled.flip(1).float().argmax(1)
        corners.append(torch.stack([first, last], 1).float())
    boxes = torch.stack(corners, -1)  # (R, first and last, x and y)
    size = (boxes[:, 1] - boxes[:, 0] + 1)[:, None]
    noise = chance.normal(*boxes.shape).clamp(-2, 2)
    return (boxes + 0.05 * size * noise).clamp(0, side - 1)


def draw_corrections(logits: Tensor, covered: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    """Draw one click (R, 1, 2) where prediction and truth differ, and its label (R, 1).

    Where nothing is wrong, the click confirms the object.
    """
    truth = covered > 0.5
    wrong = (truth != (logits > 0)).float()
    # Clicks go to the middle of thick errors rather than to every outline.
    wrong = wrong * F.avg_pool2d(wrong[:, None], 3, 1, 1)[:, 0] ** 2
    is_right = wrong.sum((1, 2), keepdim=True) == 0
    index, place = _draw_cells(torch.where(is_right, covered, wrong), chance)
    return place[:, None], truth.flatten(1).gather(1, index[:, None]).long()
