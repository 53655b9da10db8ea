"""Light that leaves a scene before a camera takes it: what objects, ground and air send out."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_sam2.training.scene import Scene, Surface
from napari_sam2.training.textures import look_up

_AIR = -1.0


def light_of(scene: Scene, surface: Surface, bank: Tensor) -> Tensor:
    """Return the light (B, S * S) of a frame; 0 is the ground, 1 the contrast of a style.

    Parameters
    ----------
    scene : Scene
        Advanced to the frame.
    surface : Surface
        What is seen of it.
    bank : Tensor of shape (count, TEXTURE_SIZE, TEXTURE_SIZE)
        Textures.
    """
    style = {name: value[:, None] for name, value in scene.style.items()}
    depth, root = surface.depth, surface.root
    within = torch.sigmoid(-depth / (scene.scale * 0.7))
    body = style["fill"] + style["dome"] * (1 - root * root).clamp(min=0)
    body = body + style["core"] * torch.sigmoid((0.45 - root) * 14)
    light = within * body * scene.bodies.value.gather(1, surface.owner)
    line = torch.exp(-((surface.edge / (style["rim_width"] * scene.scale)) ** 2))
    light = light + style["rim"] * line * (depth < 3 * scene.scale)
    outside = depth.clamp(min=0) / (style["halo_width"] * scene.scale)
    light = light + style["halo"] * torch.exp(-outside) * (1 - within)
    amplitude = torch.where(surface.label > 0, style["texture"], style["background"])
    light = light + amplitude * _texture(scene, surface, bank)
    return _in_torso(scene, surface, light) if scene.has_torso.any() else light


def _texture(scene: Scene, surface: Surface, bank: Tensor) -> Tensor:
    """Noise that moves and turns with its object, (B, S * S)."""
    bodies, label, x, y = scene.bodies, surface.label, surface.x, surface.y
    angle = torch.cat([torch.zeros_like(bodies.angle[:, :1]), bodies.angle], 1)
    centre = torch.cat([torch.zeros_like(bodies.centre[:, :1]), bodies.centre], 1)
    cosine, sine = angle.cos() * scene.texture_zoom, angle.sin() * scene.texture_zoom
    u, v = centre.unbind(-1)
    origin = scene.texture_origin
    move_x = origin[..., 0] - cosine * u - sine * v
    move_y = origin[..., 1] + sine * u - cosine * v
    cosine, sine = cosine.gather(1, label), sine.gather(1, label)
    s = cosine * x + sine * y + move_x.gather(1, label)
    r = cosine * y - sine * x + move_y.gather(1, label)
    return look_up(bank, scene.texture.gather(1, label), s, r)


def _in_torso(scene: Scene, surface: Surface, light: Tensor) -> Tensor:
    """Put air round the torso, fat under its skin and, in some, bone below: (B, S * S) each."""
    distance = scene.torso_distance(surface.x, surface.y)
    size = scene.torso_axes.mean(1, keepdim=True)
    below = (1 - distance) * size / scene.scale  # pixels of a 256-pixel frame, negative outside
    fat = 0.4 * torch.exp(-(((below - 3) / 4) ** 2))
    bone = 1.2 * torch.exp(-(((below - 14) / 3) ** 2)) * scene.has_bone[:, None]
    layered = light + (fat + bone) * (surface.label == 0)
    inside = torch.sigmoid(below / 0.7)
    return torch.where(scene.has_torso[:, None], inside * layered + (1 - inside) * _AIR, light)
