"""Cameras and scanners: blur, uneven light, noise of several kinds, and the mapping to [0, 1]."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2.training.chance import Chance

_BLUR_REACH = 4


class Camera:
    """Takes the light of a batch of clips.

    Parameters
    ----------
    style : dict of Tensor (B,)
        From `draw_styles`.
    side : int
        Of the frames, pixels.
    scale : float
        Pixels a pixel of a 256-pixel frame.
    chance : Chance
        Source of all that is drawn.
    """

    def __init__(self, style: dict[str, Tensor], side: int, scale: float, chance: Chance) -> None:
        self.style, self.side, self.scale, self.chance = style, side, scale, chance
        self.batch = len(style["kind"])

    def expose(self, light: Tensor) -> Tensor:
        """Blur, light unevenly, add noise, map to [0, 1] by quantiles of the clip: (B, T, S, S) -> (B, T, 3, S, S)."""
        light = self._relieved(self._blur(light + self._specks()))
        light = light * self._illumination().view(self.batch, 1, self.side, self.side)
        light = (light + self._haze()) * self._flicker(light.shape[1])
        return self._digitise(self._noisy(light))

    def _specks(self) -> Tensor:
        """Dirt that stays where it is: a few spots of one to three pixels, (B, 1, S, S)."""
        chance, size = self.chance, (self.batch, 1, self.side, self.side)
        rarity = 2e-4 * 10 ** chance.uniform(self.batch, 1, 1, 1)
        seeds = chance.happens(*size, share=rarity) * chance.uniform(*size, low=0.3)
        spots = F.max_pool2d(seeds, 3, 1, 1)
        wide = F.max_pool2d(seeds * chance.happens(*size, share=0.4), 5, 1, 2)
        spots = F.avg_pool2d(torch.maximum(spots, wide), 3, 1, 1)
        return spots * self.style["specks"][:, None, None, None]

    def _relieved(self, light: Tensor) -> Tensor:
        """Turn light (B, T, S, S) into its slope along one direction, where the style asks for relief."""
        is_relief = self.style["relief"] > 0.5
        angle = self.chance.uniform(self.batch, high=2 * math.pi)[is_relief, None, None, None]
        if not is_relief.any():
            return light
        height = F.pad(light[is_relief], (1, 1, 1, 1), mode="replicate")
        along_x = height[..., 1:-1, 2:] - height[..., 1:-1, :-2]
        along_y = height[..., 2:, 1:-1] - height[..., :-2, 1:-1]
        slope = along_x * angle.cos() + along_y * angle.sin()
        # As strong as the light of other styles, whatever the size of the objects.
        steep = torch.quantile(slope.abs()[..., ::4, ::4].flatten(1), 0.97, dim=1)
        light = light.clone()
        light[is_relief] = slope * (0.7 / steep.clamp(min=1e-3))[:, None, None, None]
        return light

    def _blur(self, light: Tensor) -> Tensor:
        """Point spread: a Gaussian of up to 2 pixels, one a clip."""
        batch, reach = len(light), _BLUR_REACH
        sigma = 0.3 * 7 ** self.chance.uniform(batch, 1) * self.scale
        taps = torch.arange(-reach, reach + 1, device=light.device)[None] / sigma
        kernel = torch.exp(-0.5 * taps**2)
        kernel = kernel / kernel.sum(1, keepdim=True)
        rows = light.transpose(0, 1)  # (T, B, S, S): one group a clip
        rows = F.pad(rows, (reach,) * 4, mode="replicate")
        rows = F.conv2d(rows, kernel.view(batch, 1, 1, -1), groups=batch)
        return F.conv2d(rows, kernel.view(batch, 1, -1, 1), groups=batch).transpose(0, 1)

    def _along(self) -> tuple[Tensor, Tensor]:
        """Places of pixels from -1 to 1, x and y, (1, S * S) each."""
        along = torch.linspace(-1, 1, self.side, device=self.chance.device)
        y, x = torch.meshgrid(along, along, indexing="ij")
        return x.reshape(1, -1), y.reshape(1, -1)

    def _illumination(self) -> Tensor:
        """Uneven light, and the field of a receiving coil: (B, S * S)."""
        chance, (x, y) = self.chance, self._along()
        slope = 0.25 * chance.normal(self.batch, 2) * chance.uniform(self.batch, 1)
        bowl = 0.3 * chance.uniform(self.batch, 1) * chance.happens(self.batch, 1, share=0.5)
        return (1 + slope[:, :1] * x + slope[:, 1:] * y - bowl * (x * x + y * y)).clamp(0.3, 2)

    def _haze(self) -> Tensor:
        """Light from out of focus, (B, 1, S, S)."""
        strength = 0.25 * self.chance.uniform(self.batch, 1, 1, 1) ** 2
        coarse = self.chance.normal(self.batch, 1, 5, 5) * strength
        return F.interpolate(coarse, size=(self.side, self.side), mode="bicubic")

    def _flicker(self, frames: int) -> Tensor:
        """How bright each frame is: bleaching, and from frame to frame by chance; (B, T, 1, 1)."""
        chance, batch = self.chance, self.batch
        time = torch.arange(frames, device=chance.device)[None]
        bleaching = chance.uniform(batch, 1, low=-0.06, high=0.02) * time
        flicker = 0.06 * chance.normal(batch, frames) * chance.uniform(batch, 1)
        return (1 + bleaching + flicker)[..., None, None].clamp(min=0.4)

    def _noisy(self, light: Tensor) -> Tensor:
        """Add noise: of the reader, of photons, and the streaks and rings of a scanner."""
        chance, batch = self.chance, self.batch
        contrast = torch.stack([self.style[name].abs() for name in ("fill", "rim", "halo")]).amax(0)
        ratio = 1.8 * 14 ** chance.uniform(batch)  # contrast-to-noise
        level = (contrast.clamp(min=0.3) / ratio)[:, None, None, None]
        noise = chance.normal(*light.shape)
        grain = chance.uniform(batch, 1, 1, 1)  # share of noise that is correlated
        noise = (1 - 0.5 * grain) * noise + grain * F.avg_pool2d(noise, 3, 1, 1) * 1.5
        # Photons: brighter places have more of it.
        photons = chance.happens(batch, 1, 1, 1, share=0.3) * chance.uniform(batch, 1, 1, 1)
        noise = noise * (1 + photons * light.clamp(min=0, max=2))
        light = light + level * (noise + self._streaks(light.shape[1]))
        # The magnitude of a complex signal: Rician noise, and no values below the floor.
        is_magnitude = self.style["magnitude"][:, None, None, None] > chance.uniform(batch, 1, 1, 1)
        if not is_magnitude.any():
            return light
        floor = light.amin((1, 2, 3), keepdim=True) + 2 * level
        magnitude = ((light - floor) ** 2 + (level * chance.normal(*light.shape)) ** 2).sqrt()
        return torch.where(is_magnitude, magnitude + floor, light)

    def _streaks(self, frames: int) -> Tensor:
        """Waves along one direction and rings round the middle, other ones in each frame: (B, T, S, S)."""
        chance, batch, side = self.chance, self.batch, self.side
        strength = self.style["streaks"][:, None, None] * chance.uniform(batch, frames, 1)
        x, y = self._along()
        angle = chance.uniform(batch, frames, 1, high=math.pi)
        turned = angle.cos() * x[None] + angle.sin() * y[None]  # (B, T, S * S)
        wave = (turned * chance.uniform(batch, frames, 1, low=8, high=60)).sin()
        ring = ((x * x + y * y).sqrt()[None] * chance.uniform(batch, 1, 1, low=20, high=90)).sin()
        share = chance.happens(batch, 1, 1, share=0.3)
        return (strength * torch.where(share, ring, wave)).view(batch, frames, side, side)

    def _digitise(self, light: Tensor) -> Tensor:
        """Map light to [0, 1] as users' contrast limits do, and colour some clips: -> (B, T, 3, S, S)."""
        chance, batch = self.chance, self.batch
        sample = light[..., ::4, ::4].reshape(batch, -1)
        low = torch.quantile(sample, 0.002, dim=1)
        high = torch.quantile(sample, 0.998, dim=1)
        reach = (high - low).clamp(min=1e-3)
        # The mapping of users' data may leave head-room or cut highlights.
        low = low - reach * chance.uniform(batch, low=-0.03, high=0.3)
        high = high + reach * chance.uniform(batch, low=-0.08, high=0.4)
        level = ((light - low[:, None, None, None]) / (high - low)[:, None, None, None]).clamp(0, 1)
        gamma = (0.4 * chance.normal(batch)).exp().clamp(0.45, 2.2)
        level = level ** gamma[:, None, None, None]
        # Some clips are in colour: each channel has its own curve and sign.
        is_colour = chance.happens(batch, share=0.12).view(batch, 1, 1, 1, 1)
        curve = (0.4 * chance.normal(batch, 1, 3, 1, 1)).exp()
        gain = chance.uniform(batch, 1, 3, 1, 1, low=0.5, high=1)
        grey = level[:, :, None].expand(-1, -1, 3, -1, -1)
        if not is_colour.any():
            return grey.contiguous()
        coloured = (grey.clamp(min=1e-4) ** curve) * gain
        return torch.where(is_colour, coloured, grey)
