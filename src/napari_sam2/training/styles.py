"""What generated images look like: one row of ranges a kind of imaging."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import torch
from torch import Tensor

from napari_sam2.training.chance import Chance

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Style:
    """Ranges from which a clip draws its looks; intensities are relative to a contrast of 1.

    `radius`: median radius of the objects, pixels of a 256-pixel frame. `cover`: part of the frame that they fill.
    `fill`: plateau inside. `dome`: extra at the centre. `rim`: line along the outline, of `rim_width` pixels.
    `halo`: glow outside, of `halo_width` pixels. `core`: nucleus. `texture`, `background`: amplitude of the noise
    textures of objects and background. `own_texture`: chance that every object has another texture. `specks`:
    brightness of dirt. `relief`: 1 shows slopes instead of light (differential interference contrast). `spread`:
    growth that closes the gaps between neighbours. `extent`: part of the frame over which objects are strewn; 1 and
    more fills it. `variety`: how much objects of one clip differ in brightness. `depth`: chance that objects occlude
    each other instead of pressing against each other. `section`: chance that frames are slices, not times. `calm`:
    chance that little changes from frame to frame. `elongation`: logarithm of how long objects are; up to 0.8 it is
    different for each, beyond they are rods. `torso`: chance that everything lies in one large body with air around.
    `magnitude`: chance of a magnetic resonance scanner's noise. `streaks`: strength of a scanner's waves and rings.
    """

    radius: Range = (7, 45)
    cover: Range = (0.1, 0.8)
    fill: Range = (0, 0)
    dome: Range = (0, 0)
    rim: Range = (0, 0)
    rim_width: Range = (0.8, 2.5)
    halo: Range = (0, 0)
    halo_width: Range = (1, 4)
    core: Range = (0, 0)
    texture: Range = (0, 0.2)
    background: Range = (0, 0.12)
    own_texture: Range = (0.25, 0.25)
    specks: Range = (0, 0)
    relief: Range = (0, 0)
    spread: Range = (1, 1)
    extent: Range = (0.35, 1.1)
    variety: Range = (0, 0.4)
    depth: Range = (0.15, 0.15)
    section: Range = (0.25, 0.25)
    calm: Range = (0.2, 0.2)
    elongation: Range = (0.8, 0.8)
    torso: Range = (0, 0)
    magnitude: Range = (0, 0)
    streaks: Range = (0, 0)


STYLES: dict[str, Style] = {
    "nuclei": Style(
        fill=(0.5, 1), dome=(0, 0.6), halo=(0, 0.2), halo_width=(2, 8), texture=(0, 0.25)
    ),
    "cytoplasm": Style(
        radius=(8, 80),
        fill=(0.3, 0.8),
        dome=(0, 0.6),
        core=(-0.4, 0.8),
        texture=(0.05, 0.4),
        rim=(0, 0.3),
    ),
    "phase": Style(
        radius=(6, 34),
        cover=(0.05, 0.6),
        fill=(-0.5, 0.25),
        rim=(-0.9, 0.2),
        halo=(0.2, 1.2),
        core=(-0.4, 0.2),
        texture=(0.05, 0.6),
        background=(0.02, 0.2),
        specks=(-1, 0.6),
    ),
    "phase ring": Style(
        fill=(-0.15, 0.35), rim=(0.4, 1), rim_width=(1, 4), texture=(0, 0.3), halo=(-0.4, 0.3)
    ),
    "dark": Style(fill=(-1, -0.4), dome=(-0.3, 0.2), rim=(-0.3, 0.3), texture=(0, 0.3)),
    "membranes": Style(
        radius=(8, 40),
        cover=(0.6, 1.0),
        fill=(-0.1, 0.15),
        rim=(0.5, 1),
        texture=(0, 0.25),
        spread=(1.1, 1.7),
        variety=(0, 0.3),
        depth=(0, 0),
        section=(0.5, 0.5),
    ),
    "walls": Style(
        radius=(14, 52),
        cover=(0.9, 1.5),
        fill=(0, 0.35),
        rim=(0.5, 1),
        rim_width=(2, 9),
        texture=(0, 0.2),
        spread=(1.15, 1.6),
        extent=(0.9, 1.2),
        variety=(0.1, 1.5),
        depth=(0, 0),
        section=(0.8, 0.8),
    ),
    "relief": Style(
        radius=(8, 40),
        cover=(0.05, 0.7),
        fill=(0.15, 0.5),
        dome=(0.3, 1),
        texture=(0, 0.25),
        background=(0, 0.08),
        specks=(0, 0.2),
        relief=(1, 1),
    ),
    "grain": Style(
        radius=(10, 40),
        cover=(0.05, 0.6),
        fill=(-0.1, 0.1),
        rim=(-0.6, 0.1),
        texture=(0.25, 0.9),
        background=(0.1, 0.5),
        specks=(-0.3, 0.3),
    ),
    "rods": Style(
        radius=(8, 20),
        fill=(-0.9, 0.9),
        rim=(-0.3, 0.6),
        halo=(0, 0.5),
        texture=(0, 0.15),
        elongation=(0.95, 1.25),
        calm=(0.3, 0.3),
        depth=(0.4, 0.4),
        section=(0, 0),
    ),
    "fibres": Style(
        radius=(9, 34),
        cover=(0.05, 0.3),
        fill=(-0.8, 1),
        texture=(0, 0.3),
        background=(0, 0.3),
        elongation=(1.1, 1.7),
        variety=(0, 0.8),
        depth=(0.8, 0.8),
        section=(0.4, 0.4),
    ),
    "electrons": Style(
        radius=(14, 70),
        cover=(0.5, 1.3),
        fill=(-0.3, 0.2),
        rim=(-1, -0.4),
        rim_width=(1, 3),
        core=(-0.3, 0.3),
        texture=(0.1, 0.7),
        background=(0.1, 0.6),
        spread=(1, 1.5),
        extent=(0.6, 1.2),
        variety=(0.1, 1),
        section=(0.8, 0.8),
        calm=(0.4, 0.4),
    ),
    "organs": Style(
        radius=(8, 110),
        cover=(0.15, 0.8),
        fill=(0.15, 0.8),
        texture=(0, 0.15),
        background=(0, 0.15),
        variety=(0.5, 1.6),
        depth=(0.7, 0.7),
        section=(0.9, 0.9),
        calm=(0.5, 0.5),
        torso=(0.6, 0.6),
        magnitude=(0.3, 0.3),
        streaks=(0, 1),
    ),
    "lesions": Style(
        radius=(6, 80),
        cover=(0.02, 0.3),
        fill=(-0.6, 0.6),
        dome=(-0.2, 0.3),
        rim=(-0.3, 0.4),
        core=(-0.4, 0.3),
        texture=(0.05, 0.35),
        background=(0.1, 0.5),
        variety=(0, 0.6),
        section=(0.9, 0.9),
        calm=(0.5, 0.5),
        torso=(0.4, 0.4),
        magnitude=(0.5, 0.5),
        streaks=(0, 0.7),
    ),
    "natural": Style(
        radius=(10, 110),
        cover=(0.15, 0.8),
        fill=(0.1, 0.6),
        texture=(0.1, 0.7),
        background=(0.1, 0.6),
        own_texture=(1, 1),
        variety=(0.4, 1.6),
        depth=(0.8, 0.8),
        section=(0.1, 0.1),
    ),
}
"""Kinds of imaging; each is drawn as often as `WEIGHTS` says."""

WEIGHTS: dict[str, float] = {
    "nuclei": 1.2,
    "cytoplasm": 1.2,
    "phase": 2.2,
    "phase ring": 1.0,
    "dark": 1.2,
    "membranes": 1.0,
    "walls": 0.9,
    "relief": 1.2,
    "grain": 1.0,
    "rods": 0.5,
    "fibres": 0.4,
    "electrons": 0.7,
    "organs": 2.2,
    "lesions": 1.5,
    "natural": 0.8,
}


EASY = Style(
    radius=(12, 28),
    cover=(0.5, 0.5),
    fill=(0.8, 0.8),
    dome=(0.2, 0.2),
    texture=(0.1, 0.1),
    background=(0.05, 0.05),
    depth=(0.1, 0.1),
    section=(0.1, 0.1),
)
"""Plain bright objects of two to three tokens. A network that has seen nothing finds out from them within 100 steps
that a click chooses an object; from the styles above it stays for 300 steps and more with "nothing anywhere"."""


def draw_styles(
    count: int, chance: Chance, smallest: float = 0.0, easy: float = 0.0
) -> dict[str, Tensor]:
    """Draw the looks of `count` clips: a tensor (count,) for each field of `Style`, and `kind`, int64.

    `smallest` raises the smallest median radius: a network that has seen nothing yet learns from large objects.

    A clip is drawn from `EASY` with probability `easy`. `radius` and `rim_width` are drawn on a logarithmic scale.
    """
    kind = chance.kinds([WEIGHTS[name] for name in STYLES], count)
    rows = [astuple(style) for style in (*STYLES.values(), EASY)]
    table = torch.tensor(rows, device=chance.device)  # (kinds, fields, 2)
    is_easy = chance.happens(count, share=easy)
    low, high = table[torch.where(is_easy, len(STYLES), kind)].unbind(-1)
    share = chance.uniform(count, table.shape[1])
    drawn = {}
    for column, entry in enumerate(fields(Style)):
        first, last, u = low[:, column], high[:, column], share[:, column]
        if entry.name == "radius":
            first = first.clamp(min=smallest)
        if entry.name in ("radius", "rim_width"):
            value = first * (last / first) ** u
        else:
            value = first + (last - first) * u
        drawn[entry.name] = value
    drawn["kind"] = kind
    return drawn
