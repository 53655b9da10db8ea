"""A quick look at a network during training, on generated clips that training never sees."""

from __future__ import annotations

import torch

from napari_sam2.model.sam2 import Sam2
from napari_sam2.training.chance import Chance
from napari_sam2.training.generator import ClipGenerator
from napari_sam2.training.steps import Plan, SceneHead, clip_step

FIRST_SEED = 10**6
"""Seeds from here on are never used in training."""


class Validator:
    """Measures a network on the same few clips each time; makes them at the first call.

    Parameters
    ----------
    batches : int
        How many batches of `clips` clips.
    clips, frames, objects : int
        Size of a batch: clips, frames a clip, objects a clip.
    """

    def __init__(self, batches: int = 3, clips: int = 4, frames: int = 6, objects: int = 4) -> None:
        self.batches, self.clips, self.frames, self.objects = batches, clips, frames, objects

    @torch.no_grad()
    def __call__(self, net: Sam2) -> dict[str, float]:
        """Return mean numbers, among them `click_iou` (prompted frame) and `tracked_iou` (other frames)."""
        source = ClipGenerator(net.config.image_size, FIRST_SEED)
        device = net.no_memory.device
        head = SceneHead(net.config.width).to(device)
        plan = Plan(is_box=False, corrections=0, stride=1, is_corrected=False, place=(0, 0))
        rows = []
        for index in range(self.batches):
            chance = Chance(torch.Generator(device).manual_seed(FIRST_SEED + index))
            clips = source.draw(self.clips, self.frames, chance.generator)
            rows.append(clip_step(net, head, clips, self.objects, plan, chance).numbers)
        names = {name for row in rows for name in row} - {"scene"}
        return {
            name: float(sum(row[name] for row in rows if name in row))
            / sum(name in row for row in rows)
            for name in sorted(names)
        }
