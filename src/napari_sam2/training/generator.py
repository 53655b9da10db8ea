"""Generated clips: touching, moving, deforming objects under many kinds of imaging, with their labels.

Everything is batched over clips and objects, and follows from the `torch.Generator` that is handed in; no file is read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2.training.styles import draw_styles
from napari_sam2.training.textures import TEXTURE_SIZE, look_up, make_bank

MAX_OBJECTS = 36
"""Slots of a clip; the last two are the daughters of the first object where it divides."""

_BLOBS = 2
_WAVES = 6
_FAR = 1e4


@dataclass(frozen=True, slots=True)
class Clips:
    """Generated clips.

    `images`: (B, T, 3, S, S) float32 in [0, 1]; `labels`: (B, T, S, S) int64, 0 background, a label is one object
    through all frames.
    """

    images: Tensor
    labels: Tensor


@dataclass(slots=True)
class _Bodies:
    """Objects of all clips at one time; (B, K, ...) unless said otherwise; pixels, origin at the frame's centre."""

    centre: Tensor  # (B, K, 2)
    velocity: Tensor  # (B, K, 2)
    radius: Tensor  # (B, K)
    angle: Tensor  # (B, K)
    spin: Tensor  # (B, K)
    offset: Tensor  # (B, K, Q, 2), of the blobs, in radii
    axes: Tensor  # (B, K, Q, 2), of the blobs, in radii
    tilt: Tensor  # (B, K, Q)
    first: Tensor  # (B, K), the object exists from here ...
    last: Tensor  # (B, K), ... up to and including here, frames
    value: Tensor  # (B, K), brightness factor
    priority: Tensor  # (B, K), who occludes whom


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
            Source of chance.
        smallest : float
            Lower limit of the median radius, pixels of a 256-pixel frame.
        window : int
            Side of the window of the frame that is drawn, at the frame's scale; 0 draws all of it.
        easy : float
            Part of the clips that show plain bright objects.
        gap : int
            That many frames pass unseen after the first one.
        """
        style = draw_styles(num_clips, generator, smallest, easy)
        length = num_frames + gap
        scene = _Scene(style, length, self.side, window, len(self.bank), generator)
        frames, labels = [], []
        for t in range(length):
            if t:
                scene.advance(t)
            if 1 <= t <= gap:
                continue
            label, signals = scene.render(t, self.bank)
            labels.append(label)
            frames.append(signals)
        images = scene.expose(torch.stack(frames, 1))  # (B, T, S, S) -> (B, T, 3, S, S)
        return Clips(images, torch.stack(labels, 1))


class _Scene:
    """A batch of clips in the making."""

    def __init__(
        self,
        style: dict[str, Tensor],
        frames: int,
        side: int,
        window: int,
        num_textures: int,
        generator: torch.Generator,
    ) -> None:
        batch = len(style["kind"])
        self.batch, self.frames, self.side, self.generator = (
            batch,
            frames,
            window or side,
            generator,
        )
        self.scale = side / 256
        self.style = style
        # A small window shows small objects: of larger ones it would show the inside.
        self.median = (style["radius"] * self.scale).clamp(max=self.side / 3)
        # Half of the clips hold look-alikes.
        alike = self._uniform(batch) < 0.5
        self.variety = torch.where(alike, 0.03, self.style["variety"])
        self.is_section = self._uniform(batch) < self.style["section"]
        self.is_depth = self._uniform(batch) < self.style["depth"]
        self.bodies = self._draw_bodies()
        self.pixels = self._pixel_features()
        self._draw_motion()
        self._draw_waves()
        self._draw_textures(num_textures)

    def _uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=self.generator)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def _draw_bodies(self) -> _Bodies:
        batch, side = self.batch, self.side
        shape = (batch, MAX_OBJECTS)
        median = self.median[:, None]
        spread = self._uniform(batch, 1, low=0.03, high=0.45)
        radius = (median * (spread * self._normal(*shape)).exp()).clamp(
            4 * self.scale, 64 * self.scale
        )
        wanted = self.style["cover"] * side**2 / (math.pi * median[:, 0] ** 2)
        count = wanted.round().clamp(1, MAX_OBJECTS - 2)[:, None]
        exists = torch.arange(MAX_OBJECTS)[None] < count
        # Clusters: centres are drawn in a part of the frame, then pushed apart until they touch.
        extent = self.style["extent"][:, None, None]
        middle = self._uniform(batch, 1, 2, low=-0.3, high=0.3) * side * (1.5 - extent).clamp(0, 1)
        extent = extent * side / 2
        centre = self._uniform(*shape, 2, low=-1, high=1) * extent + middle
        first = torch.zeros(shape)
        last = torch.where(exists, 1e3, -1.0)
        elongation = self._uniform(batch, 1, 1) * self._uniform(*shape, _BLOBS, low=-0.8, high=0.8)
        fat = self._uniform(*shape, _BLOBS, low=0.7, high=1.0)
        axes = torch.stack([fat * elongation.exp(), fat * (-elongation).exp()], -1)
        offset = self._normal(*shape, _BLOBS, 2) * self._uniform(batch, 1, 1, 1, low=0.0, high=0.45)
        offset[:, :, 0] = 0
        value = 1 + self.variety[:, None] * self._normal(*shape).clamp(-2, 2)
        bodies = _Bodies(
            centre=centre,
            velocity=torch.zeros(*shape, 2),
            radius=radius,
            angle=self._uniform(*shape, high=2 * math.pi),
            spin=torch.zeros(shape),
            offset=offset,
            axes=axes,
            tilt=self._uniform(*shape, _BLOBS, high=math.pi),
            first=first,
            last=last,
            value=value,
            priority=torch.rand(shape, generator=self.generator),
        )
        self.push = self._uniform(batch, 1, 1, low=0.7, high=1.15)
        for _ in range(12):
            self._push_apart(bodies, exists, 0.5)
        self.exists = exists
        return bodies

    def _push_apart(self, bodies: _Bodies, exists: Tensor, strength: float) -> None:
        """Move overlapping objects apart, in place; occluding ones are left alone."""
        between = bodies.centre[:, :, None] - bodies.centre[:, None]  # (B, K, K, 2)
        distance = between.norm(dim=-1).clamp(min=1e-3)
        wanted = self.push * (bodies.radius[:, :, None] + bodies.radius[:, None])
        overlap = (wanted - distance).clamp(min=0)
        pairs = (exists[:, :, None] & exists[:, None]) & ~torch.eye(MAX_OBJECTS, dtype=torch.bool)
        step = between / distance[..., None] * (overlap * pairs)[..., None]
        move = strength * step.sum(2)
        longest = bodies.radius[..., None]
        move = torch.minimum(torch.maximum(move, -longest), longest)
        bodies.centre = bodies.centre + torch.where(self.is_depth[:, None, None], 0.3, 1.0) * move

    def _pixel_features(self) -> Tensor:
        """Return coordinates of pixel centres, (2, S * S), x then y, origin at the frame's centre."""
        along = torch.arange(self.side, dtype=torch.float32) + 0.5 - self.side / 2
        y, x = torch.meshgrid(along, along, indexing="ij")
        return torch.stack([x.reshape(-1), y.reshape(-1)])

    def _draw_motion(self) -> None:
        batch, shape = self.batch, (self.batch, MAX_OBJECTS)
        bodies = self.bodies
        # Per frame, in radii. Where objects hardly move, a network learns to leave their masks where they were.
        speed = 0.06 * 11 ** self._uniform(batch, 1, 1)
        speed = torch.where(self.is_section[:, None, None], 0.5 * speed.clamp(max=0.3), speed)
        median = self.median[:, None, None]
        flow = self._normal(batch, 1, 2) * self._uniform(batch, 1, 1) * speed * median
        own = self._normal(*shape, 2) * speed * bodies.radius[..., None].sqrt() * median.sqrt()
        bodies.velocity = 0.6 * flow + 0.6 * own
        self.agitation = 0.4 * speed * median
        bodies.spin = self._normal(*shape) * 0.25 * self._uniform(batch, 1)
        self._draw_lifetimes()
        # Slices: a section grows and shrinks around the frame `peak`, over `reach` frames either way.
        self.peak = self._uniform(*shape, low=-0.5, high=1.1) * self.frames
        self.reach = self._uniform(*shape, low=4, high=24)
        # A camera that jumps a little.
        jolt = self._uniform(batch, 1) * (self._uniform(batch, 1) < 0.3) * 4 * self.scale
        self.jolt = jolt[:, None] * self._normal(batch, self.frames, 2)
        self.jolt[:, 0] = 0

    def _draw_lifetimes(self) -> None:
        bodies, frames = self.bodies, self.frames
        if frames < 2:
            return
        shape = (self.batch, MAX_OBJECTS)
        event = self._uniform(*shape)
        when = self._uniform(*shape, low=1, high=frames - 1).round()
        bodies.last = torch.where((event < 0.05) & self.exists, when, bodies.last)
        bodies.first = torch.where((event > 0.95) & self.exists, when, bodies.first)
        divides = (self._uniform(self.batch) < 0.25) & ~self.is_section
        birth = self._uniform(self.batch, low=1, high=frames - 1).round()
        bodies.first[:, 0] = torch.where(divides, 0.0, bodies.first[:, 0])
        bodies.last[:, 0] = torch.where(divides, birth - 1, bodies.last[:, 0])
        self.birth = torch.where(divides, birth, -1.0)
        for daughter in (-2, -1):
            bodies.radius[:, daughter] = 0.75 * bodies.radius[:, 0]
            bodies.first[:, daughter] = birth
            bodies.last[:, daughter] = torch.where(divides, 1e3, -1.0)
            bodies.value[:, daughter] = bodies.value[:, 0]

    def _draw_waves(self) -> None:
        """Smooth warp of the frame: a few sine waves as long as the objects are wide."""
        batch = self.batch
        median = self.median[:, None]
        length = median * self._uniform(batch, _WAVES, low=1.2, high=4.0)
        direction = self._uniform(batch, _WAVES, high=2 * math.pi)
        self.wave = (
            torch.stack([direction.cos(), direction.sin()], -1) * (2 * math.pi / length)[..., None]
        )
        self.phase = self._uniform(batch, _WAVES, high=2 * math.pi)
        self.drift = self._normal(batch, _WAVES) * 0.35
        strength = self._uniform(batch, 1, 1, high=0.09) * length[:, None]
        self.wave_move = self._normal(batch, 2, _WAVES) * strength * 0.6

    def _draw_textures(self, num_textures: int) -> None:
        batch = self.batch
        shape = (batch, MAX_OBJECTS + 1)
        shared = torch.randint(0, num_textures, (batch, 1), generator=self.generator)
        own = torch.randint(0, num_textures, shape, generator=self.generator)
        is_own = self._uniform(batch, 1) < self.style["own_texture"][:, None]
        self.texture = torch.where(is_own, own, shared.expand(shape)).clone()
        self.texture[:, 0] = own[:, 0]
        self.texture_origin = self._uniform(*shape, 2, high=TEXTURE_SIZE)
        zoom = 0.5 * 5 ** self._uniform(batch, 1)
        self.texture_zoom = (zoom / self.scale).expand(shape).clone()
        self.texture_zoom[:, 0] = (0.3 * 5 ** self._uniform(batch)) / self.scale

    # --- one frame ---------------------------------------------------------------------------------------------

    def render(self, t: int, bank: Tensor) -> tuple[Tensor, Tensor]:
        """Return labels (B, S, S) and the light before the camera (B, S, S) of frame `t`, the one advanced to."""
        x, y = self._warped(t)
        best, second, owner = self._nearest(t, x, y)
        radius = self._sizes(t)[0].gather(1, owner)
        root = best.sqrt()
        depth = (root - 1) * radius  # signed distance to the outline, pixels, negative inside
        inside = best < 1
        label = torch.where(inside, owner + 1, 0)
        edge = torch.minimum(depth.abs(), (second.sqrt() - root).abs() * radius * 0.5)
        light = self._light(t, owner, label, inside, root, depth, edge, x, y, bank)
        size = (self.batch, self.side, self.side)
        return label.view(size), light.view(size)

    def advance(self, t: int) -> None:
        """Move everything on to frame `t`, the one after the present one."""
        bodies = self.bodies
        kick = self._normal(self.batch, MAX_OBJECTS, 2) * self.agitation
        bodies.velocity = 0.85 * bodies.velocity + 0.5 * kick
        bodies.centre = bodies.centre + bodies.velocity
        bodies.angle = bodies.angle + bodies.spin
        bodies.offset = bodies.offset + 0.04 * self._normal(*bodies.offset.shape)
        is_born = (self.birth == t)[:, None]
        axis = torch.stack([bodies.angle[:, 0].cos(), bodies.angle[:, 0].sin()], -1)
        for daughter, sign in ((-2, 1.0), (-1, -1.0)):
            place = bodies.centre[:, 0] + sign * 0.65 * bodies.radius[:, :1] * axis
            bodies.centre[:, daughter] = torch.where(is_born, place, bodies.centre[:, daughter])
            away = sign * 0.15 * bodies.radius[:, :1] * axis
            bodies.velocity[:, daughter] = torch.where(is_born, away, bodies.velocity[:, daughter])
        self._push_apart(bodies, self._alive(t), 0.25)

    def _alive(self, t: int) -> Tensor:
        bodies = self.bodies
        alive = (bodies.first <= t) & (t <= bodies.last)
        return alive & ((self._section(t) > 0.2) | ~self.is_section[:, None])

    def _section(self, t: int) -> Tensor:
        """Relative radius of the section of an ellipsoid, (B, K)."""
        return (1 - ((t - self.peak) / self.reach) ** 2).clamp(min=0.01).sqrt()

    def _sizes(self, t: int) -> tuple[Tensor, Tensor]:
        """Radii of frame `t`, pixels, and their part of the full radius, (B, K) each."""
        part = torch.where(self.is_section[:, None], self._section(t), 1.0)
        return self.bodies.radius * part * self.style["spread"][:, None], part

    def _warped(self, t: int) -> tuple[Tensor, Tensor]:
        """Pixel coordinates after camera jolts and the warp, (B, S * S) each."""
        place = self.pixels[None] - self.jolt[:, t, :, None]
        angle = self.wave @ place + (self.phase + self.drift * t)[..., None]  # (B, waves, S * S)
        place = place + self.wave_move @ angle.sin()
        return place[:, 0], place[:, 1]

    def _nearest(self, t: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Squared relative distance to the nearest and second nearest object, and the owner, (B, S * S) each.

        A relative distance of 1 is the outline.
        """
        bodies = self.bodies
        radius = self._sizes(t)[0]
        cosine, sine = bodies.angle.cos(), bodies.angle.sin()
        turn = torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)
        centre = bodies.centre[:, :, None] + radius[..., None, None] * torch.einsum(
            "bkij,bkqj->bkqi", turn, bodies.offset
        )
        direction = bodies.angle[..., None] + bodies.tilt
        c, s = direction.cos(), direction.sin()
        long, short = (1 / (bodies.axes * radius[..., None, None]) ** 2).unbind(-1)
        xx, yy, xy = (
            long * c**2 + short * s**2,
            long * s**2 + short * c**2,
            2 * (long - short) * c * s,
        )
        u, v = centre.unbind(-1)
        rows = torch.stack(
            [
                xx,
                xy,
                yy,
                -2 * xx * u - xy * v,
                -2 * yy * v - xy * u,
                xx * u**2 + xy * u * v + yy * v**2,
            ],
            -1,
        )  # (B, K, Q, 6)
        features = torch.stack([x * x, x * y, y * y, x, y, torch.ones_like(x)], 1)
        # One blob after the other: their minimum is the object.
        alive = self._alive(t)
        penalty = torch.where(alive, 0.0, _FAR)[..., None]
        distance = torch.bmm(rows[:, :, 0], features)
        for blob in range(1, _BLOBS):
            distance = torch.minimum(distance, torch.bmm(rows[:, :, blob], features))
        distance = distance.clamp_(min=0) + penalty
        if self.is_depth.any():
            hidden = torch.where(distance < 1, bodies.priority[..., None] - 10, distance)
            order = torch.where(self.is_depth[:, None, None], hidden, distance)
            owner = order.argmin(1, keepdim=True)
            best = distance.gather(1, owner)
        else:
            best, owner = distance.min(1, keepdim=True)
        second = distance.scatter_(1, owner, _FAR).amin(1)
        return best[:, 0], second, owner[:, 0]

    def _light(
        self,
        t: int,
        owner: Tensor,
        label: Tensor,
        inside: Tensor,
        root: Tensor,
        depth: Tensor,
        edge: Tensor,
        x: Tensor,
        y: Tensor,
        bank: Tensor,
    ) -> Tensor:
        style = {name: value[:, None] for name, value in self.style.items()}
        soft = self.scale * 0.7
        within = torch.sigmoid(-depth / soft)
        body = style["fill"] + style["dome"] * (1 - root * root).clamp(min=0)
        body = body + style["core"] * torch.sigmoid((0.45 - root) * 14)
        light = within * body * self.bodies.value.gather(1, owner)
        light = light + style["rim"] * torch.exp(
            -((edge / (style["rim_width"] * self.scale)) ** 2)
        ) * (depth < 3 * self.scale)
        outside = depth.clamp(min=0) / (style["halo_width"] * self.scale)
        light = light + style["halo"] * torch.exp(-outside) * (1 - within)
        amplitude = torch.where(inside, style["texture"], style["background"])
        return light + amplitude * self._texture(label, x, y, bank)

    def _texture(self, label: Tensor, x: Tensor, y: Tensor, bank: Tensor) -> Tensor:
        """Noise that moves and turns with its object, (B, S * S)."""
        bodies = self.bodies
        zero = torch.zeros(self.batch, 1)
        angle = torch.cat([zero, bodies.angle], 1)
        centre = torch.cat([zero[..., None].expand(-1, 1, 2), bodies.centre], 1)
        cosine, sine = angle.cos() * self.texture_zoom, angle.sin() * self.texture_zoom
        u, v = centre.unbind(-1)
        origin = self.texture_origin
        move_x = origin[..., 0] - cosine * u - sine * v
        move_y = origin[..., 1] + sine * u - cosine * v
        cosine, sine = cosine.gather(1, label), sine.gather(1, label)
        s = cosine * x + sine * y + move_x.gather(1, label)
        r = cosine * y - sine * x + move_y.gather(1, label)
        return look_up(bank, self.texture.gather(1, label), s, r)

    # --- the camera --------------------------------------------------------------------------------------------

    def expose(self, light: Tensor) -> Tensor:
        """Blur, light unevenly, add noise, map to [0, 1] by quantiles of the clip: (B, T, S, S) -> (B, T, 3, S, S)."""
        batch, frames = light.shape[:2]
        light = self._relieved(self._blur(light + self._specks()))
        light = light * self._illumination().view(batch, 1, self.side, self.side) + self._haze()
        bleaching = self._uniform(batch, 1, low=-0.06, high=0.02) * torch.arange(frames)[None]
        flicker = 0.04 * self._normal(batch, frames) * self._uniform(batch, 1)
        light = light * (1 + bleaching + flicker)[..., None, None].clamp(min=0.4)
        contrast = torch.stack([self.style[name].abs() for name in ("fill", "rim", "halo")]).amax(0)
        ratio = 1.8 * 14 ** self._uniform(batch)  # contrast-to-noise
        noise = self._normal(*light.shape)
        grain = self._uniform(batch, 1, 1, 1)  # share of noise that is correlated
        noise = (1 - 0.5 * grain) * noise + grain * F.avg_pool2d(noise, 3, 1, 1) * 1.5
        light = light + noise * (contrast.clamp(min=0.3) / ratio)[:, None, None, None]
        return self._digitise(light)

    def _specks(self) -> Tensor:
        """Dirt that stays where it is: a few spots of one to three pixels, (B, 1, S, S)."""
        size = (self.batch, 1, self.side, self.side)
        rarity = 2e-4 * 10 ** self._uniform(self.batch, 1, 1, 1)
        seeds = (self._uniform(*size) < rarity) * self._uniform(*size, low=0.3)
        spots = F.max_pool2d(seeds, 3, 1, 1)
        wide = F.max_pool2d(seeds * (self._uniform(*size) < 0.4), 5, 1, 2)
        spots = F.avg_pool2d(torch.maximum(spots, wide), 3, 1, 1)
        return spots * self.style["specks"][:, None, None, None]

    def _relieved(self, light: Tensor) -> Tensor:
        """Turn light (B, T, S, S) into its slope along one direction, where the style asks for relief."""
        is_relief = self.style["relief"] > 0.5
        angle = self._uniform(self.batch, high=2 * math.pi)[is_relief, None, None, None]
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
        batch = len(light)
        sigma = 0.3 * 7 ** self._uniform(batch, 1) * self.scale
        taps = torch.arange(-4, 5)[None] / sigma
        kernel = torch.exp(-0.5 * taps**2)
        kernel = kernel / kernel.sum(1, keepdim=True)
        rows = light.transpose(0, 1)  # (T, B, S, S): one group a clip
        rows = F.conv2d(
            F.pad(rows, (4, 4, 4, 4), mode="replicate"), kernel.view(batch, 1, 1, 9), groups=batch
        )
        return F.conv2d(rows, kernel.view(batch, 1, 9, 1), groups=batch).transpose(0, 1)

    def _illumination(self) -> Tensor:
        x, y = (self.pixels / (self.side / 2)).unsqueeze(1).unbind(0)
        slope = 0.25 * self._normal(self.batch, 2) * self._uniform(self.batch, 1)
        bowl = 0.3 * self._uniform(self.batch, 1) * (self._uniform(self.batch, 1) < 0.5)
        return (1 + slope[:, :1] * x + slope[:, 1:] * y - bowl * (x * x + y * y)).clamp(0.3, 2)

    def _haze(self) -> Tensor:
        coarse = self._normal(self.batch, 1, 5, 5) * 0.25 * self._uniform(self.batch, 1, 1, 1) ** 2
        return F.interpolate(coarse, size=(self.side, self.side), mode="bicubic")

    def _digitise(self, light: Tensor) -> Tensor:
        batch = self.batch
        sample = light[..., ::4, ::4].reshape(batch, -1)
        low = torch.quantile(sample, 0.002, dim=1)
        high = torch.quantile(sample, 0.998, dim=1)
        reach = (high - low).clamp(min=1e-3)
        # The mapping of users' data may leave head-room or cut highlights.
        low = low - reach * self._uniform(batch, low=-0.03, high=0.3)
        high = high + reach * self._uniform(batch, low=-0.08, high=0.4)
        level = ((light - low[:, None, None, None]) / (high - low)[:, None, None, None]).clamp(0, 1)
        gamma = (0.4 * self._normal(batch)).exp().clamp(0.45, 2.2)
        level = level ** gamma[:, None, None, None]
        # Some clips are in colour: each channel has its own curve and sign.
        is_colour = (self._uniform(batch) < 0.12).view(batch, 1, 1, 1, 1)
        curve = (0.4 * self._normal(batch, 1, 3, 1, 1)).exp()
        gain = self._uniform(batch, 1, 3, 1, 1, low=0.5, high=1)
        grey = level[:, :, None].expand(-1, -1, 3, -1, -1)
        if not is_colour.any():
            return grey.contiguous()
        coloured = (grey.clamp(min=1e-4) ** curve) * gain
        return torch.where(is_colour, coloured, grey)
