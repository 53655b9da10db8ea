"""Scenes: where the objects of a batch of clips are, how they move, and which of them is seen where."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_sam2.training.chance import Chance
from napari_sam2.training.textures import TEXTURE_SIZE

MAX_OBJECTS = 36
"""Slots of a clip; the last two are the daughters of the first object where it divides."""

_BLOBS = 2
_WAVES = 6
_FAR = 1e4
_ALWAYS = 1e3
_ROD = 0.9
"""From this elongation on, the parts of an object lie in line."""


@dataclass(slots=True)
class Bodies:
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
    away: Tensor  # (B, K, 2), from and up to and including here it is not to be seen
    value: Tensor  # (B, K), brightness factor
    priority: Tensor  # (B, K), who occludes whom


@dataclass(frozen=True, slots=True)
class Surface:
    """What is seen at each pixel of a frame; (B, S * S) each.

    `x`, `y`: where the pixel lies after the warp, pixels. `owner`: nearest object, `label`: it + 1, or 0 outside.
    `root`: relative distance from its centre, 1 at the outline. `depth`: distance to the outline, pixels, negative
    inside. `edge`: distance to the nearest outline, that between neighbours too.
    """

    x: Tensor
    y: Tensor
    owner: Tensor
    label: Tensor
    root: Tensor
    depth: Tensor
    edge: Tensor


class Scene:
    """A batch of clips in the making.

    Parameters
    ----------
    style : dict of Tensor (B,)
        From `draw_styles`.
    frames : int
        How many frames pass.
    side, window : int
        Of the whole frame and of the part of it that is drawn (0: all), pixels.
    num_textures : int
        Size of the texture bank.
    chance : Chance
        Source of all that is drawn.
    """

    def __init__(
        self,
        style: dict[str, Tensor],
        frames: int,
        side: int,
        window: int,
        num_textures: int,
        chance: Chance,
    ) -> None:
        self.style, self.frames, self.chance = style, frames, chance
        self.batch, self.side, self.scale = len(style["kind"]), window or side, side / 256
        # A small window shows small objects: of larger ones it would show the inside.
        self.median = (style["radius"] * self.scale).clamp(max=self.side * 0.45)
        # Half of the clips hold look-alikes.
        alike = chance.happens(self.batch, share=0.5)
        self.variety = torch.where(alike, 0.03, style["variety"])
        self.is_section = chance.happens(self.batch, share=style["section"])
        self.is_depth = chance.happens(self.batch, share=style["depth"])
        self.is_calm = chance.happens(self.batch, share=style["calm"])
        self.has_torso = chance.happens(self.batch, share=style["torso"])
        self._draw_torso()
        self.bodies = self._draw_bodies()
        self.pixels = self._pixel_features()
        self._draw_motion()
        self._draw_waves()
        self._draw_textures(num_textures)

    # --- the start ---------------------------------------------------------------------------------------------

    def _draw_torso(self) -> None:
        """One large ellipse that holds everything, as a patient lies in the air of a scanner."""
        chance, side = self.chance, self.side
        self.torso_centre = chance.uniform(self.batch, 2, low=-0.15, high=0.15) * side
        self.torso_axes = chance.uniform(self.batch, 2, low=0.32, high=0.62) * side
        self.has_bone = chance.happens(self.batch, share=0.5)

    def torso_distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Relative distance from the torso's centre, 1 at its skin; `x` and `y` are (B, N)."""
        u = (x - self.torso_centre[:, :1]) / self.torso_axes[:, :1]
        v = (y - self.torso_centre[:, 1:]) / self.torso_axes[:, 1:]
        return (u * u + v * v).sqrt()

    def _draw_bodies(self) -> Bodies:
        chance, batch, side = self.chance, self.batch, self.side
        shape = (batch, MAX_OBJECTS)
        median = self.median[:, None]
        spread = chance.uniform(batch, 1, low=0.03, high=0.45)
        radius = median * (spread * chance.normal(*shape)).exp()
        radius = radius.clamp(4 * self.scale, 128 * self.scale)
        wanted = self.style["cover"] * side**2 / (math.pi * median[:, 0] ** 2)
        count = wanted.round().clamp(1, MAX_OBJECTS - 2)[:, None]
        exists = torch.arange(MAX_OBJECTS, device=chance.device)[None] < count
        # Clusters: centres are drawn in a part of the frame, then pushed apart until they touch.
        extent = self.style["extent"][:, None, None]
        middle = chance.uniform(batch, 1, 2, low=-0.3, high=0.3) * side * (1.5 - extent).clamp(0, 1)
        centre = chance.uniform(*shape, 2, low=-1, high=1) * extent * side / 2 + middle
        in_torso = self.torso_distance(*centre.unbind(-1)) < 0.85
        exists = exists & (in_torso | ~self.has_torso[:, None])
        offset, axes, tilt = self._draw_shapes()
        value = 1 + self.variety[:, None] * chance.normal(*shape).clamp(-2, 2)
        bodies = Bodies(
            centre=centre,
            velocity=torch.zeros(*shape, 2, device=chance.device),
            radius=radius,
            angle=chance.uniform(*shape, high=2 * math.pi),
            spin=torch.zeros(shape, device=chance.device),
            offset=offset,
            axes=axes,
            tilt=tilt,
            first=torch.zeros(shape, device=chance.device),
            last=torch.where(exists, _ALWAYS, -1.0),
            away=torch.full((*shape, 2), -1.0, device=chance.device),
            value=value,
            priority=chance.uniform(*shape),
        )
        self.push = chance.uniform(batch, 1, 1, low=0.7, high=1.15)
        for _ in range(12):
            self._push_apart(bodies, exists, 0.5)
        self.exists = exists
        return bodies

    def _draw_shapes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Offsets, half axes and tilts of the blobs of which objects are made; rods have theirs in line."""
        chance, batch = self.chance, self.batch
        shape = (batch, MAX_OBJECTS, _BLOBS)
        longest = self.style["elongation"].view(batch, 1, 1)
        is_rod = longest > _ROD
        spread = torch.where(is_rod, 0.15, chance.uniform(batch, 1, 1))
        elongation = torch.where(
            is_rod,
            longest * (1 - spread * chance.uniform(*shape)),
            spread * longest * chance.uniform(*shape, low=-1, high=1),
        )
        fat = chance.uniform(*shape, low=0.7, high=1.0)
        axes = torch.stack([fat * elongation.exp(), fat * (-elongation).exp()], -1)
        tilt = chance.uniform(*shape, high=math.pi)
        in_line = tilt[..., :1] + 0.25 * chance.normal(*shape)
        tilt = torch.where(is_rod, in_line, tilt)
        offset = chance.normal(*shape, 2) * chance.uniform(batch, 1, 1, 1, low=0.0, high=0.45)
        along = torch.stack([tilt.cos(), tilt.sin()], -1)
        reach = longest.exp()[..., None] * chance.uniform(*shape[:2], 1, 1, low=0.2, high=0.9)
        offset = torch.where(is_rod[..., None], along * reach, offset)
        offset[:, :, 0] = 0
        return offset, axes, tilt

    def _push_apart(self, bodies: Bodies, exists: Tensor, strength: float) -> None:
        """Move overlapping objects apart, in place; occluding ones are left alone."""
        between = bodies.centre[:, :, None] - bodies.centre[:, None]  # (B, K, K, 2)
        distance = between.norm(dim=-1).clamp(min=1e-3)
        wanted = self.push * (bodies.radius[:, :, None] + bodies.radius[:, None])
        overlap = (wanted - distance).clamp(min=0)
        itself = torch.eye(MAX_OBJECTS, dtype=torch.bool, device=distance.device)
        pairs = (exists[:, :, None] & exists[:, None]) & ~itself
        step = between / distance[..., None] * (overlap * pairs)[..., None]
        move = strength * step.sum(2)
        longest = bodies.radius[..., None]
        move = torch.minimum(torch.maximum(move, -longest), longest)
        bodies.centre = bodies.centre + torch.where(self.is_depth[:, None, None], 0.3, 1.0) * move

    def _pixel_features(self) -> Tensor:
        """Return coordinates of pixel centres, (2, S * S), x then y, origin at the frame's centre."""
        along = torch.arange(self.side, device=self.chance.device) + 0.5 - self.side / 2
        y, x = torch.meshgrid(along, along, indexing="ij")
        return torch.stack([x.reshape(-1), y.reshape(-1)])

    # --- motion ------------------------------------------------------------------------------------------------

    def _draw_motion(self) -> None:
        chance, batch, shape = self.chance, self.batch, (self.batch, MAX_OBJECTS)
        bodies = self.bodies
        # Calm clips: what a patient's slices or a slow culture show. A network that never sees them moves masks that
        # should stay; one that sees only them leaves masks where they were.
        self.calm = torch.where(self.is_calm, chance.uniform(batch, low=0.02, high=0.3), 1.0)
        calm = self.calm[:, None, None]
        # Per frame, in radii.
        speed = 0.06 * 11 ** chance.uniform(batch, 1, 1) * calm
        speed = torch.where(self.is_section[:, None, None], 0.5 * speed.clamp(max=0.3), speed)
        median = self.median[:, None, None]
        flow = chance.normal(batch, 1, 2) * chance.uniform(batch, 1, 1) * speed * median
        own = chance.normal(*shape, 2) * speed * bodies.radius[..., None].sqrt() * median.sqrt()
        bodies.velocity = 0.6 * flow + 0.6 * own
        self.agitation = 0.4 * speed * median
        bodies.spin = chance.normal(*shape) * 0.25 * chance.uniform(batch, 1) * calm[..., 0]
        self._draw_lifetimes()
        self._draw_sections()
        # Cells that settle grow long, those about to divide grow round: `stretch` a frame, along their own axis.
        morphs = chance.happens(batch, 1, share=0.4)
        self.stretch = chance.normal(*shape) * 0.08 * morphs * self.calm[:, None]
        # A camera that jumps a little.
        jumps = chance.happens(batch, 1, share=0.3) & ~self.is_calm[:, None]
        jolt = chance.uniform(batch, 1) * jumps * 4 * self.scale
        self.jolt = jolt[:, None] * chance.normal(batch, self.frames, 2)
        self.jolt[:, 0] = 0

    def _draw_sections(self) -> None:
        """Slices: a section grows and shrinks around the frame `peak`, over `reach` frames either way.

        How fast sections change has nothing to do with how calmly they lie: a spleen ends within ten slices in which
        no organ moves. People prompt the largest section, so half of the peaks lie near the first frame.
        """
        chance, shape = self.chance, (self.batch, MAX_OBJECTS)
        self.reach = 4 * 24 ** chance.uniform(*shape)
        anywhere = chance.uniform(*shape, low=-0.5, high=1.1) * self.frames
        near = chance.uniform(*shape, low=-0.3, high=0.2) * self.reach
        self.peak = torch.where(chance.happens(self.batch, 1, share=0.5), near, anywhere)

    def _draw_lifetimes(self) -> None:
        bodies, frames, chance = self.bodies, self.frames, self.chance
        if frames < 2:
            return
        shape = (self.batch, MAX_OBJECTS)
        event = chance.uniform(*shape)
        when = chance.uniform(*shape, low=1, high=frames - 1).round()
        bodies.last = torch.where((event < 0.06) & self.exists, when, bodies.last)
        bodies.first = torch.where((event > 0.95) & self.exists, when, bodies.first)
        # Some are gone for a while and come back, in every clip as long as it is.
        until = (when + chance.uniform(*shape, low=0, high=frames / 2)).round()
        returns = ((event > 0.2) & (event < 0.27))[..., None]
        bodies.away = torch.where(returns, torch.stack([when, until], -1), bodies.away)
        divides = chance.happens(self.batch, share=0.25)
        birth = chance.uniform(self.batch, low=1, high=frames - 1).round()
        bodies.first[:, 0] = torch.where(divides, 0.0, bodies.first[:, 0])
        bodies.last[:, 0] = torch.where(divides, birth - 1, bodies.last[:, 0])
        self.birth = torch.where(divides, birth, -1.0)
        for daughter in (-2, -1):
            bodies.radius[:, daughter] = 0.75 * bodies.radius[:, 0]
            bodies.first[:, daughter] = birth
            bodies.last[:, daughter] = torch.where(divides, _ALWAYS, -1.0)
            bodies.value[:, daughter] = bodies.value[:, 0]

    def _draw_waves(self) -> None:
        """Smooth warp of the frame: a few sine waves as long as the objects are wide."""
        chance, batch = self.chance, self.batch
        length = self.median[:, None] * chance.uniform(batch, _WAVES, low=1.2, high=4.0)
        direction = chance.uniform(batch, _WAVES, high=2 * math.pi)
        along = torch.stack([direction.cos(), direction.sin()], -1)
        self.wave = along * (2 * math.pi / length)[..., None]
        self.phase = chance.uniform(batch, _WAVES, high=2 * math.pi)
        self.drift = chance.normal(batch, _WAVES) * 0.35 * self.calm[:, None]
        strength = chance.uniform(batch, 1, 1, high=0.09) * length[:, None]
        self.wave_move = chance.normal(batch, 2, _WAVES) * strength * 0.6

    def _draw_textures(self, num_textures: int) -> None:
        chance, batch = self.chance, self.batch
        shape = (batch, MAX_OBJECTS + 1)
        shared = chance.below(num_textures, batch, 1)
        own = chance.below(num_textures, *shape)
        is_own = chance.happens(batch, 1, share=self.style["own_texture"][:, None])
        self.texture = torch.where(is_own, own, shared.expand(shape)).clone()
        self.texture[:, 0] = own[:, 0]
        self.texture_origin = chance.uniform(*shape, 2, high=TEXTURE_SIZE)
        # From slice to slice the inside of a thing is another one.
        change = chance.uniform(batch, 1, 1, high=3.0) * self.is_section[:, None, None]
        self.texture_change = chance.normal(*shape, 2) * change
        zoom = 0.5 * 5 ** chance.uniform(batch, 1)
        self.texture_zoom = (zoom / self.scale).expand(shape).clone()
        self.texture_zoom[:, 0] = (0.3 * 5 ** chance.uniform(batch)) / self.scale

    def advance(self, t: int) -> None:
        """Move everything on to frame `t`, the one after the present one."""
        bodies, chance = self.bodies, self.chance
        kick = chance.normal(self.batch, MAX_OBJECTS, 2) * self.agitation
        bodies.velocity = 0.85 * bodies.velocity + 0.5 * kick
        bodies.centre = bodies.centre + bodies.velocity
        bodies.angle = bodies.angle + bodies.spin
        change = 0.04 * self.calm.view(-1, 1, 1, 1)
        bodies.offset = bodies.offset + change * chance.normal(*bodies.offset.shape)
        self.texture_origin = self.texture_origin + self.texture_change
        is_born = (self.birth == t)[:, None]
        axis = torch.stack([bodies.angle[:, 0].cos(), bodies.angle[:, 0].sin()], -1)
        for daughter, sign in ((-2, 1.0), (-1, -1.0)):
            place = bodies.centre[:, 0] + sign * 0.65 * bodies.radius[:, :1] * axis
            bodies.centre[:, daughter] = torch.where(is_born, place, bodies.centre[:, daughter])
            away = sign * 0.15 * bodies.radius[:, :1] * axis
            bodies.velocity[:, daughter] = torch.where(is_born, away, bodies.velocity[:, daughter])
        # What was drawn in touch stays so; in calm clips it is not pushed about.
        self._push_apart(bodies, self._alive(t) & ~self.is_calm[:, None], 0.25)

    # --- one frame ---------------------------------------------------------------------------------------------

    def surface(self, t: int) -> Surface:
        """Return what is seen of frame `t`, the one advanced to."""
        x, y = self._warped(t)
        best, second, owner = self._nearest(t, x, y)
        radius = self._radii(t).gather(1, owner)
        root = best.sqrt()
        depth = (root - 1) * radius
        label = torch.where(best < 1, owner + 1, 0)
        edge = torch.minimum(depth.abs(), (second.sqrt() - root).abs() * radius * 0.5)
        return Surface(x, y, owner, label, root, depth, edge)

    def _alive(self, t: int) -> Tensor:
        bodies = self.bodies
        alive = (bodies.first <= t) & (t <= bodies.last)
        alive &= ~((bodies.away[..., 0] <= t) & (t <= bodies.away[..., 1]))
        return alive & ((self._section(t) > 0.2) | ~self.is_section[:, None])

    def _section(self, t: int) -> Tensor:
        """Relative radius of the section of an ellipsoid, (B, K)."""
        return (1 - ((t - self.peak) / self.reach) ** 2).clamp(min=0.01).sqrt()

    def _radii(self, t: int) -> Tensor:
        """Radii of frame `t`, pixels, (B, K)."""
        part = torch.where(self.is_section[:, None], self._section(t), 1.0)
        return self.bodies.radius * part * self.style["spread"][:, None]

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
        rows = self._quadratics(t)
        features = torch.stack([x * x, x * y, y * y, x, y, torch.ones_like(x)], 1)
        # One blob after the other: their minimum is the object.
        distance = torch.bmm(rows[:, :, 0], features)
        for blob in range(1, _BLOBS):
            distance = torch.minimum(distance, torch.bmm(rows[:, :, blob], features))
        distance = distance.clamp_(min=0) + torch.where(self._alive(t), 0.0, _FAR)[..., None]
        if self.is_depth.any():
            hidden = torch.where(distance < 1, self.bodies.priority[..., None] - 10, distance)
            order = torch.where(self.is_depth[:, None, None], hidden, distance)
            owner = order.argmin(1, keepdim=True)
            best = distance.gather(1, owner)
        else:
            best, owner = distance.min(1, keepdim=True)
        second = distance.scatter_(1, owner, _FAR).amin(1)
        return best[:, 0], second, owner[:, 0]

    def _quadratics(self, t: int) -> Tensor:
        """Each blob's squared relative distance as a polynomial in x x, x y, y y, x, y, 1: (B, K, Q, 6)."""
        bodies = self.bodies
        radius = self._radii(t)
        stretch = (0.6 * torch.tanh(self.stretch * t)).exp()[..., None]  # (B, K, 1)
        cosine, sine = bodies.angle.cos(), bodies.angle.sin()
        turn = torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)
        stretched = bodies.offset * torch.stack([stretch, 1 / stretch], -1)
        centre = bodies.centre[:, :, None] + radius[..., None, None] * torch.einsum(
            "bkij,bkqj->bkqi", turn, stretched
        )
        # In the object's own axes first, where it is stretched; then turned with it.
        c, s = bodies.tilt.cos(), bodies.tilt.sin()
        long, short = (1 / (bodies.axes * radius[..., None, None]) ** 2).unbind(-1)
        along = (long * c**2 + short * s**2) / stretch**2
        across = (long * s**2 + short * c**2) * stretch**2
        mixed = 2 * (long - short) * c * s
        c, s = cosine[..., None], sine[..., None]
        xx = along * c**2 - mixed * c * s + across * s**2
        yy = along * s**2 + mixed * c * s + across * c**2
        xy = 2 * (along - across) * c * s + mixed * (c**2 - s**2)
        u, v = centre.unbind(-1)
        return torch.stack(
            [
                xx,
                xy,
                yy,
                -2 * xx * u - xy * v,
                -2 * yy * v - xy * u,
                xx * u**2 + xy * u * v + yy * v**2,
            ],
            -1,
        )
