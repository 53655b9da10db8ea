"""Generated clips: touching, moving, deforming objects under many kinds of imaging, with their labels.

Styles (`styles`) say what a clip looks like, a scene (`scene`) moves objects through it, light (`light`) leaves them,
and a camera (`camera`) takes it. Everything is batched over clips and objects, on the device of the `torch.Generator`
that is handed in, and follows from it alone; no file is read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_sam2.training.camera import Camera
from napari_sam2.training.chance import Chance
from napari_sam2.training.light import light_of
from napari_sam2.training.scene import MAX_OBJECTS, Scene
from napari_sam2.training.styles import draw_styles
from napari_sam2.training.textures import make_bank

NUM_LABELS = 4 * MAX_OBJECTS + 1
"""Labels lie below this: the background, and the objects of up to four copies of a scene (`augment.mosaic`)."""


@dataclass(frozen=True, slots=True)
class Clips:
    """Generated clips.

    `images`: (B, T, 3, S, S) float32 in [0, 1]; `labels`: (B, T, S, S) int64, 0 background, a label is one object
    through all frames.
    """

    images: Tensor
    labels: Tensor


class ClipGenerator:
    """Draws clips of textured objects.

    Parameters
    ----------
    side : int
        Side of the frames, pixels.
    seed : int
        Of the texture bank; the clips themselves depend on the generator given to `draw`.
    num_textures : int
        Size of the bank.
    """

    def __init__(self, side: int, seed: int = 0, num_textures: int = 60) -> None:
        self.side = side
        self.bank = make_bank(num_textures, torch.Generator().manual_seed(seed))

    def draw(
        self,
        num_clips: int,
        num_frames: int,
        generator: torch.Generator,
        smallest: float = 0.0,
        window: int = 0,
        easy: float = 0.0,
        gap: int = 0,
    ) -> Clips:
        """Draw `num_clips` clips of `num_frames` frames; the same generator state gives the same clips.

        Parameters
        ----------
        num_clips, num_frames : int
            How much.
        generator : torch.Generator
            Source of chance; the clips lie on its device.
        smallest : float
            Lower limit of the median radius, pixels of a 256-pixel frame.
        window : int
            Side of the window of the frame that is drawn, at the frame's scale; 0 draws all of it.
        easy : float
            Part of the clips that show plain bright objects.
        gap : int
            That many frames pass unseen after the first one.
        """
        chance = Chance(generator)
        self.bank = self.bank.to(chance.device)
        style = draw_styles(num_clips, chance, smallest, easy)
        length = num_frames + gap
        scene = Scene(style, length, self.side, window, len(self.bank), chance)
        frames, labels = [], []
        for t in range(length):
            if t:
                scene.advance(t)
            if 1 <= t <= gap:
                continue
            surface = scene.surface(t)
            size = (num_clips, scene.side, scene.side)
            labels.append(surface.label.view(size))
            frames.append(light_of(scene, surface, self.bank).view(size))
        camera = Camera(style, scene.side, scene.scale, chance)
        return Clips(camera.expose(torch.stack(frames, 1)), torch.stack(labels, 1))
