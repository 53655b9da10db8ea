"""Frozen validation sequences with disappearances: objects that leave, come back, die, or are hidden for a while.

The objects, their shading and their noise are those of `sequences`, whose rules hold here too: this file stays as it
is, a test holds a checksum of every sequence, seeds are from the range reserved for validation, and only operations
are used that IEEE 754 rounds the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from napari_sam2.evaluation import sequences as made
from napari_sam2.evaluation.sequences import FIRST_SEED, SequenceSpec

FAR_AWAY = -10_000.0
"""Coordinate, pixels, of what is not there any more."""


@dataclass(frozen=True, slots=True)
class DisappearanceSequence:
    """One sequence.

    Attributes
    ----------
    image : ndarray of shape (T, Y, X), uint8 or uint16
        Frames.
    labels : ndarray of shape (T, Y, X), uint16
        One id an object through time; all are there on the first frame.
    unclear : ndarray of shape (T, O), bool
        Something of the object with id 1 + column shows, but less than 15 % of it, and `labels` lacks it: people would
        not agree whether it is there.
    description : str
        What happens.
    """

    image: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    unclear: np.ndarray = field(repr=False)
    description: str


@dataclass(frozen=True, slots=True)
class DisappearanceSpec:
    """What a sequence with disappearances is made from.

    Attributes
    ----------
    scene : SequenceSpec
        Objects, motion and image.
    returning, leaving : int
        How many objects go out of the frame and come back, or stay away; those that are nearest to its edge.
    dying : int
        How many objects shrink and are gone.
    curtain : float
        Width, pixels, of an opaque bar that passes over all objects once; 0 for none.
    """

    scene: SequenceSpec
    returning: int = 0
    leaving: int = 0
    dying: int = 0
    curtain: float = 0.0


def disappearance_sequence(index: int) -> DisappearanceSequence:
    """Return frozen sequence `index`.

    Parameters
    ----------
    index : int
        0 to ``len(DISAPPEARANCE_SPECS) - 1``.

    Returns
    -------
    DisappearanceSequence
        The same bytes on every call and every machine.

    Raises
    ------
    IndexError
        If there is no such sequence.
    """
    last = len(DISAPPEARANCE_SPECS) - 1
    if not 0 <= index <= last:
        raise IndexError(f"sequences with disappearances are 0 to {last}, got {index}")
    return generate(DISAPPEARANCE_SPECS[index])


def generate(spec: DisappearanceSpec) -> DisappearanceSequence:
    """Make the sequence that `spec` describes."""
    rng = np.random.Generator(np.random.PCG64(spec.scene.seed))
    cells = made._make_cells(rng, spec.scene)
    tracks = _with_events(spec, cells, made._move(rng, spec.scene, cells))
    # What goes away passes above its neighbours.
    cells = replace(cells, layer=_layers(spec, tracks))
    scene = made._make_scene(rng, spec.scene)
    bar = made._grain(rng.random((16, 16)), *_pixels(spec.scene.side), 12.0)
    frames, labels, unclear = [], [], []
    for t in range(spec.scene.frames):
        layers = [made._fields(cells, tracks, t, layer, spec.scene) for layer in range(2)]
        cover = _curtain(spec, t)
        light = made._SHADERS[spec.scene.kind](layers, scene)
        light = light * (1.0 - cover) + cover * _CURTAIN[spec.scene.kind] * (0.5 + bar)
        visible = np.where(cover > 0.5, np.uint16(0), _visible(layers))
        areas = np.bincount(visible.ravel(), minlength=spec.scene.count + 1)
        is_sliver = areas < 0.15 * np.concatenate([[1.0], 3.0 * cells.radius * cells.radius])
        labels.append(np.where(is_sliver[visible], np.uint16(0), visible))
        unclear.append((is_sliver & (areas > 0))[1:])
        frames.append(made._expose(light, spec.scene, scene, rng, t))
    return DisappearanceSequence(
        np.stack(frames), np.stack(labels), np.stack(unclear), _describe(spec)
    )


def _describe(spec: DisappearanceSpec) -> str:
    counts = {name: getattr(spec, name) for name in ("returning", "leaving", "dying")}
    words = [f"{count} {name}" for name, count in counts.items() if count]
    words += [f"all hidden for a while by a bar of {spec.curtain:g} px"] if spec.curtain else []
    return f"{spec.scene.kind}: {spec.scene.count} objects, " + ", ".join(words)


# --- who goes when ---------------------------------------------------------------------------


def _by_distance_to_edge(position: np.ndarray, side: int) -> np.ndarray:
    """Return the objects' indices, the one nearest to an edge first. `position`: (O, 2)."""
    gaps = np.minimum(position, side - position).min(axis=1)
    return np.argsort(gaps, kind="stable")


def _goers(spec: DisappearanceSpec, position: np.ndarray) -> np.ndarray:
    order = _by_distance_to_edge(position, spec.scene.side)
    return order[: spec.returning + spec.leaving]


def _layers(spec: DisappearanceSpec, tracks: made._Tracks) -> np.ndarray:
    layers = np.zeros(spec.scene.count, int)
    layers[_goers(spec, tracks.position[0])] = 1
    return layers


def _with_events(spec: DisappearanceSpec, cells: made._Cells, tracks: made._Tracks) -> made._Tracks:
    position, size = tracks.position.copy(), tracks.size.copy()
    start, frames = tracks.position[0], spec.scene.frames
    goers = _goers(spec, start)
    for number, i in enumerate(goers):
        returns = number < spec.returning
        way = _way_out(start[i], spec.scene.side, 1.5 * made._reach(cells)[i])
        share = _absence(frames, way, cells.radius[i], 1 + number, returns)[:, None]
        position[:, i] = position[:, i] * (1.0 - share) + (start[i] + way) * share
    staying = [i for i in range(spec.scene.count) if i not in set(goers.tolist())]
    for number, i in enumerate(staying[: spec.dying]):
        death = frames // 3 + 2 * number
        size[death:, i] *= 0.8
        size[death + 1 :, i] *= 0.75
        position[death + 2 :, i] = FAR_AWAY
    return replace(tracks, position=position, size=size)


def _way_out(start: np.ndarray, side: int, beyond: float) -> np.ndarray:
    """Return the straight way from `start` over the nearest edge until it is `beyond` pixels away."""
    ways = [
        (-(start[0] + beyond), 0.0),
        (side + beyond - start[0], 0.0),
        (0.0, -(start[1] + beyond)),
        (0.0, side + beyond - start[1]),
    ]
    return np.array(min(ways, key=lambda way: abs(way[0]) + abs(way[1])))


def _absence(frames: int, way: np.ndarray, radius: float, start: int, returns: bool) -> np.ndarray:
    """Return (T,) shares of the way out: 0 at first, 1 when away. No step is longer than about a radius."""
    duration = max(np.ceil((abs(way[0]) + abs(way[1])) / (0.5 * radius)), 2.0)
    times = np.arange(frames) * 1.0
    shares = made._smooth((times - start) / duration)
    if returns:
        shares = shares - made._smooth((times - (start + duration + 2.0)) / duration)
    return shares


# --- what hides them -------------------------------------------------------------------------


def _pixels(side: int) -> list[np.ndarray]:
    return np.meshgrid(*[np.arange(side) * 1.0] * 2, indexing="ij")


def _curtain(spec: DisappearanceSpec, t: int) -> np.ndarray:
    """Return (1, X): 1 under the bar, which comes in from the left after the first frame and has passed on the last."""
    columns = np.arange(spec.scene.side) * 1.0
    if not spec.curtain:
        return np.zeros((1, spec.scene.side))
    travelled = (spec.scene.side + spec.curtain + 4.0) * t / (spec.scene.frames - 1)
    right = travelled - 2.0
    inside = np.minimum(right - columns, columns - (right - spec.curtain))
    return made._smooth(inside / 3.0 + 0.5)[None]


def _visible(layers: list[made._Layer]) -> np.ndarray:
    """Return the id of what is on top, (Y, X) uint16."""
    labels = np.zeros(layers[0].depth.shape, np.uint16)
    for layer in layers:
        inside = layer.depth > 0
        labels[inside] = layer.owner[inside] + 1
    return labels


# Brightness of the bar, in units of the shaders.
_CURTAIN = {
    "fluorescence": 0.6,
    "dark": 1.4,
    "phase": 1.5,
    "membrane": 0.8,
    "relief": 1.5,
    "texture": 1.5,
}


# fmt: off
DISAPPEARANCE_SPECS: tuple[DisappearanceSpec, ...] = (
    # seed, kind, count, diameters, frames, cnr, speed
    DisappearanceSpec(SequenceSpec(FIRST_SEED + 100, "fluorescence", 9, (30, 44), 20, 6, 1.5, crowding=0.3), 2, 1, 2),
    DisappearanceSpec(SequenceSpec(FIRST_SEED + 101, "fluorescence", 8, (34, 46), 18, 4, 2, alike=True), curtain=100),
    DisappearanceSpec(SequenceSpec(FIRST_SEED + 102, "dark", 8, (30, 44), 20, 4, 1.5, crowding=0.3), 3, 1, 2),
    DisappearanceSpec(SequenceSpec(FIRST_SEED + 103, "dark", 8, (32, 44), 18, 4, 2, bits=8), curtain=100),
    DisappearanceSpec(SequenceSpec(FIRST_SEED + 104, "phase", 9, (30, 44), 20, 5, 1.5, crowding=0.3), 2, 1, 2),
    DisappearanceSpec(SequenceSpec(FIRST_SEED + 105, "phase", 8, (32, 44), 18, 5, 2, alike=True), curtain=100),
    DisappearanceSpec(SequenceSpec(FIRST_SEED + 106, "membrane", 9, (34, 46), 20, 5, 1.5, crowding=0.3), 2, 1, 2),
    DisappearanceSpec(SequenceSpec(FIRST_SEED + 107, "relief", 8, (32, 44), 20, 5, 1.5, crowding=0.3, bits=8), 2, 1, 2),
)
# fmt: on
