"""One training step: on single images, or on clips with memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2.model import memory_attention as memory_module
from napari_sam2.model import sam2 as sam2_module
from napari_sam2.model.config import Sam2Config
from napari_sam2.model.mask_decoder import Decoded
from napari_sam2.model.positions import sine_grid
from napari_sam2.model.prompt_encoder import BOTTOM_RIGHT, NOT_A_POINT, POSITIVE, TOP_LEFT
from napari_sam2.model.sam2 import MEMORY_MASK_BIAS, MEMORY_MASK_SCALE, ImageFeatures, Sam2
from napari_sam2.training.chance import Chance
from napari_sam2.training.generator import Clips
from napari_sam2.training.losses import Loss, choose, decoder_loss, scene_loss
from napari_sam2.training.sampling import (
    coverage,
    draw_boxes,
    draw_clicks,
    draw_corrections,
    hand_drawn,
    object_masks,
    pick_objects,
    rivals,
)

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FEATURE_COST = 0.02
"""Weight of the mean square of the stride-16 features: nothing else keeps them from drowning the places of clicks."""

LOGIT_LIMIT = 32.0
"""Earlier logits are clamped to this before they are fed again."""


def normalise(images: Tensor) -> Tensor:
    """Bring images (..., 3, S, S) in [0, 1] to the mean and spread that SAM 2 expects."""
    mean = torch.tensor(_MEAN, device=images.device).view(3, 1, 1)
    return (images - mean) / torch.tensor(_STD, device=images.device).view(3, 1, 1)


@contextmanager
def window_of_frame(net: Sam2, corner: tuple[int, int]) -> Iterator[None]:
    """Let `net` take images as the part of a whole frame that begins at `corner` (x, y), in tokens.

    A small window shows an object and its neighbours at a quarter of the cost, and a click in it is a quarter of the
    places away from all others.
    """
    fourier, config = net.prompt_encoder.fourier, net.config
    whole = fourier.grid(config.grid, config.grid).detach()
    x, y = corner

    def sine_window(width: int, height: int, length: int, device: torch.device) -> Tensor:
        code = sine_grid(width, config.grid, config.grid, device)
        return code[..., y : y + height, x : x + length]

    fourier.grid = lambda height, length: whole[..., y : y + height, x : x + length]
    for module in (sam2_module, memory_module):
        module.sine_grid = sine_window
    try:
        yield
    finally:
        del fourier.grid
        for module in (sam2_module, memory_module):
            module.sine_grid = sine_grid


class SceneHead(nn.Module):
    """Draws foreground and outlines from the finest features; used in training only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width // 8, 2, 1)

    def forward(self, stride4: Tensor) -> Tensor:
        """Map features (B, C/8, 4h, 4w) to logits (B, 2, 4h, 4w)."""
        return self.conv(stride4)


@dataclass(frozen=True, slots=True)
class StepResult:
    """Outcome of a step: the loss to differentiate and numbers for the log, on the device."""

    loss: Tensor
    numbers: dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Plan:
    """What kind of step it is; the same on all processes, so that none waits for the others.

    `is_box`: prompt by boxes instead of clicks. `corrections`: clicks after the first prompt. `stride`: how many frames
    lie between two frames of a clip, as the memory sees it. `is_corrected`: the last tracked frame of a clip gets a
    click. `place`: where windows lie in their frame, (x, y), 0 to 1. `has_second`: another frame of a clip is prompted
    beside the first one.
    """

    is_box: bool
    corrections: int
    stride: int
    is_corrected: bool
    place: tuple[float, float]
    has_second: bool = False

    @classmethod
    def draw(cls, generator: torch.Generator, progress: float) -> Plan:
        """Draw a plan; at the start of a run there are single clicks only."""
        u = torch.rand(7, generator=generator).tolist()
        is_start = progress < 0.08
        return cls(
            is_box=u[0] < 0.2 and not is_start,
            corrections=0 if is_start else max(0, int(u[1] * 8) - 3),
            stride=2 if u[2] < 0.25 else 1,
            is_corrected=u[3] < 0.25,
            place=(u[4], u[5]),
            has_second=u[6] < 0.25,
        )

    def corner(self, config: Sam2Config, window: int) -> tuple[int, int]:
        """Where a window of that many pixels lies in the frame, (x, y), tokens."""
        free = config.grid - window // config.stride + 1
        return int(self.place[0] * free), int(self.place[1] * free)


def image_step(
    net: Sam2,
    head: SceneHead,
    clips: Clips,
    per_image: int,
    plan: Plan,
    chance: Chance,
    corner: tuple[int, int] = (0, 0),
) -> StepResult:
    """Prompt objects on the first frame of each clip by a click or a box, then correct some of them.

    `corner`: where the images lie in the frame, (x, y), tokens; see `window_of_frame`.
    """
    origin = torch.tensor(corner, device=clips.images.device) * net.config.stride
    labels = clips.labels[:, 0]
    features = net.encode_image(normalise(clips.images[:, 0]))
    scene = scene_loss(head(features.stride4), labels) + _loudness(features)
    picked = pick_objects(labels, per_image, chance)
    if not len(picked.rows):
        return StepResult(scene, {"scene": scene.detach()})
    masks = object_masks(labels, picked)
    covered, others = coverage(masks), rivals(labels, picked)
    own = features.select(picked.rows)
    conditioned = net.without_memory(own.stride16)
    is_box = plan.is_box
    points, kinds = _first_prompt(masks, covered, is_box, chance)
    decoded = _decode(net, conditioned, own, points + origin, kinds)
    present = torch.ones(len(covered), dtype=torch.bool, device=covered.device)
    first = decoder_loss(decoded, covered, present, not is_box, others)
    total = first.total + scene
    numbers = {
        "box_iou" if is_box else "click_iou": first.iou,
        "box_best" if is_box else "click_best": first.best,
        "scene": scene.detach(),
        "feature_std": features.stride16.detach().std(),
        "object_score": decoded.object_score.detach().mean(),
    }
    chosen = choose(decoded, not is_box)
    half = slice(0, len(covered), 2)
    points, kinds, logits = points[half], kinds[half], take(decoded.logits, chosen)[half]
    for number in range(1, plan.corrections + 1):
        logits = logits.detach().float().clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        more = draw_corrections(logits, covered[half], chance)
        points, kinds = torch.cat([points, more[0]], 1), torch.cat([kinds, more[1]], 1)
        part = ImageFeatures(*(f[half] for f in own))
        decoded = _decode(net, conditioned[half], part, points + origin, kinds, logits[:, None])
        corrected = decoder_loss(decoded, covered[half], present[half], False, others[half])
        total = total + 0.4 * corrected.total
        numbers[f"corrected{number}_iou"] = corrected.iou
        logits = decoded.logits[:, 0]
    return StepResult(total, numbers)


def _loudness(features: ImageFeatures) -> Tensor:
    return FEATURE_COST * sum(f.float().square().mean() for f in features)


def _first_prompt(
    masks: Tensor, covered: Tensor, is_box: bool, chance: Chance
) -> tuple[Tensor, Tensor]:
    if is_box:
        kinds = torch.tensor([TOP_LEFT, BOTTOM_RIGHT], device=masks.device).expand(len(masks), -1)
        return draw_boxes(masks, chance), kinds
    kinds = torch.full((len(masks), 1), POSITIVE, device=masks.device)
    return draw_clicks(covered, chance), kinds


def _decode(
    net: Sam2,
    conditioned: Tensor,
    features: ImageFeatures,
    points: Tensor | None,
    kinds: Tensor | None,
    logits: Tensor | None = None,
) -> Decoded:
    """Decode; without points the one padding point of an empty prompt is supplied."""
    if points is None or kinds is None:
        points = torch.zeros(len(conditioned), 1, 2, device=conditioned.device)
        kinds = torch.full((len(conditioned), 1), NOT_A_POINT, device=conditioned.device)
    padded = net.pad_points(points, kinds)
    return net.decode(conditioned, features.stride4, features.stride8, *padded, logits)


def take(values: Tensor, index: Tensor) -> Tensor:
    """Take one candidate a row: (R, K, ...) -> (R, ...)."""
    return values[torch.arange(len(values), device=values.device), index]


@dataclass(slots=True)
class _Memory:
    """What is remembered of the objects of a step: one entry a frame.

    `num_prompted`: that many of the first frames are prompted ones. `ahead`: map of a prompted frame to
    come.
    """

    maps: list[Tensor]
    pointers: list[Tensor]
    num_prompted: int = 1
    ahead: Tensor | None = None

    def condition(self, net: Sam2, stride16: Tensor, stride: int, gap: int) -> Tensor:
        """Condition a frame on the prompted frames and all later ones.

        Frames are `stride` apart, the first two `gap` more.
        """
        newest = len(self.maps)
        # There are only so many rows: k frames back has row k - 1, and prompted frames have the last one.
        last_row = net.config.memory.num_frames - 1
        prompted = range(self.num_prompted)
        keep = [s for s in range(self.num_prompted, newest) if (newest - s) * stride <= last_row]
        ahead = [] if self.ahead is None else [self.ahead]
        maps = [self.maps[s] for s in prompted] + ahead + [self.maps[s] for s in keep]
        rows = [last_row] * (len(prompted) + len(ahead))
        rows += [(newest - s) * stride - 1 for s in keep]
        # Pointers reach back only.
        passed = [newest + gap] + [newest - s for s in range(1, newest)]
        offsets = torch.tensor(passed, device=stride16.device) * (stride / 15)
        return net.condition(
            net.begin(stride16),
            torch.stack(maps, 1),
            torch.tensor(rows, device=stride16.device),
            torch.stack(self.pointers, 1),
            offsets,
        )

    def add(
        self, net: Sam2, stride16: Tensor, mask: Tensor, score: Tensor, pointer: Tensor
    ) -> None:
        """Remember a frame with its mask (R, S, S), a probability."""
        scaled = mask[:, None] * MEMORY_MASK_SCALE + MEMORY_MASK_BIAS
        self.maps.append(net.encode_memory(stride16, scaled, score))
        self.pointers.append(pointer)


def clip_step(
    net: Sam2,
    head: SceneHead,
    clips: Clips,
    per_clip: int,
    plan: Plan,
    chance: Chance,
    corner: tuple[int, int] = (0, 0),
    gap: int = 0,
    hand_share: float = 0.0,
) -> StepResult:
    """Prompt objects on the first frame by mask, click or box, then follow them with memory of the own predictions.

    `hand_share`: part of the masks that are drawn as by hand, see `hand_drawn`.

    `gap`: that many frames lie unseen between the first two. The second one is then remembered as it truly is, like the
    last frame of a pass that went well so far: objects are far from where they were prompted, and what counts is where
    they were last. With `plan.has_second` it is a prompted frame; without a gap, the last frame of the clip is, and
    what lies between is tracked towards it.
    """
    origin = torch.tensor(corner, device=clips.images.device) * net.config.stride
    frames = clips.labels.shape[1]
    side = clips.images.shape[-1]
    features = net.encode_image(normalise(clips.images.flatten(0, 1)))
    scene = scene_loss(head(features.stride4), clips.labels.flatten(0, 1)) + _loudness(features)
    later = clips.labels[:, 1] if gap else None
    picked = pick_objects(clips.labels[:, 0], per_clip, chance, later=later)
    if not len(picked.rows):
        return StepResult(scene, {"scene": scene.detach()})
    picked = picked.shuffled(chance)
    masks = [object_masks(clips.labels[:, t], picked) for t in range(frames)]
    masks = _as_prompted(masks, hand_share, chance)
    memory = _Memory([], [])
    start = features.select(picked.rows * frames)
    others = rivals(clips.labels[:, 0], picked)
    total, numbers = _prompt_first(net, start, masks[0], others, memory, origin, chance)
    total = total + scene
    tracked: list[Loss] = []
    first, last = (2 if gap else 1), frames
    if gap:
        entry = _true_entry(net, features.select(picked.rows * frames + 1), masks[1])
        memory.maps.append(entry[0])
        memory.pointers.append(entry[1])
        memory.num_prompted = 2 if plan.has_second else 1
    elif plan.has_second and frames > 3:
        last -= 1
        memory.ahead = _true_entry(net, features.select(picked.rows * frames + last), masks[last])[
            0
        ]
    for t in range(first, last):
        own = features.select(picked.rows * frames + t)
        mask = masks[t]
        covered, present = coverage(mask), mask.sum((1, 2)) > 4
        others = rivals(clips.labels[:, t], picked) * (1 - covered)
        conditioned = memory.condition(net, own.stride16, plan.stride, gap)
        decoded = _decode(net, conditioned, own, None, None)
        tracked.append(decoder_loss(decoded, covered, present, True, others))
        chosen = choose(decoded, True)
        logits = take(decoded.logits, chosen).detach().float()
        score = decoded.object_score.detach().float()
        if t < last - 1:
            logits = torch.where(score[:, None, None] > 0, logits, -1024.0)
            pointer = net.pointer(take(decoded.tokens, chosen), score)
            memory.add(net, own.stride16, _enlarge(logits, side).sigmoid(), score, pointer)
        elif plan.is_corrected:
            again = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
            points, kinds = draw_corrections(again, covered, chance)
            decoded = _decode(net, conditioned, own, points + origin, kinds, again[:, None])
            corrected = decoder_loss(decoded, covered, present, True, others)
            total = total + 0.5 * corrected.total
            numbers["tracked_corrected_iou"] = corrected.iou
        numbers["presence"] = ((score > 0) == present).float().mean()
    total = total + sum(loss.total for loss in tracked) / len(tracked) * 2
    numbers["gap_iou" if gap else "tracked_iou"] = sum(loss.iou for loss in tracked) / len(tracked)
    numbers["last_iou"] = tracked[-1].iou
    numbers["scene"] = scene.detach()
    return StepResult(total, numbers)


def _prompt_first(
    net: Sam2,
    own: ImageFeatures,
    masks: Tensor,
    others: Tensor,
    memory: _Memory,
    origin: Tensor,
    chance: Chance,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Prompt the first frame: the first half of the objects by mask, a quarter each by click and box.

    Returns the loss and numbers for the log.
    """
    number, side = len(masks), masks.shape[-1]
    covered = coverage(masks)
    cuts = (0, _num_by_mask(number), number * 3 // 4, number)
    total, numbers = masks.new_zeros(()), {}
    remembered, pointers, scores = [], [], []
    for kind, first, last in zip(("mask", "click", "box"), cuts[:-1], cuts[1:], strict=True):
        if first == last:
            continue
        part = ImageFeatures(*(f[first:last] for f in own))
        mask, target = masks[first:last], covered[first:last]
        if kind == "mask":
            token, score, shape = (
                _token_of(net, part, mask),
                mask.new_full((len(mask),), 10.0),
                mask,
            )
        else:
            is_box = kind == "box"
            points, kinds = _first_prompt(mask, target, is_box, chance)
            plain = net.without_memory(part.stride16)
            decoded = _decode(net, plain, part, points + origin, kinds)
            present = torch.ones(len(mask), dtype=torch.bool, device=mask.device)
            loss = decoder_loss(decoded, target, present, not is_box, others[first:last])
            total = total + 0.5 * loss.total
            numbers[f"{kind}_iou"] = loss.iou
            chosen = choose(decoded, not is_box)
            token, score = take(decoded.tokens, chosen), decoded.object_score.detach().float()
            logits = take(decoded.logits, chosen).detach().float()
            # On prompted frames the mask enters the memory without shades of grey.
            shape = (_enlarge(logits, side) > 0).float()
        remembered.append(shape)
        scores.append(score)
        pointers.append(net.pointer(token, score))
    memory.add(net, own.stride16, torch.cat(remembered), torch.cat(scores), torch.cat(pointers))
    return total, numbers


def _num_by_mask(number: int) -> int:
    """Return how many of the objects, the first ones, are prompted by mask."""
    return number // 2


def _as_prompted(masks: list[Tensor], hand_share: float, chance: Chance) -> list[Tensor]:
    """Draw some of the objects that are prompted by mask as by hand: only a mask tells how outlines are drawn."""
    cut = _num_by_mask(len(masks[0]))
    if not cut or not hand_share:
        return masks
    drawn = hand_drawn([mask[:cut] for mask in masks], hand_share, chance)
    return [torch.cat([own, mask[cut:]]) for own, mask in zip(drawn, masks, strict=True)]


def _token_of(net: Sam2, own: ImageFeatures, mask: Tensor) -> Tensor:
    """Return the decoder's token for given masks (R, S, S)."""
    dense = net.mask_to_prompt(mask[:, None])
    return _decode(net, own.stride16, own, None, None, dense).tokens[:, 0]


def _true_entry(net: Sam2, own: ImageFeatures, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return map and pointer of a frame with its true masks (R, S, S); who is not there is remembered as absent."""
    score = torch.where(mask.flatten(1).any(1), 10.0, -10.0)
    scaled = mask[:, None] * MEMORY_MASK_SCALE + MEMORY_MASK_BIAS
    return (
        net.encode_memory(own.stride16, scaled, score),
        net.pointer(_token_of(net, own, mask), score),
    )


def _enlarge(logits: Tensor, side: int) -> Tensor:
    """Resize logits (R, h, w) to the frame, (R, S, S)."""
    return F.interpolate(logits[:, None], size=(side, side), mode="bilinear")[:, 0]
