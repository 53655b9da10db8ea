"""Frozen validation sequences: generated time-lapses that look like microscopy, with truth.

Scores on them are comparable over the years only if they never change, so this file stays as it is; a test holds a
checksum of every sequence. Training draws its images elsewhere, with other code, and seeds from `FIRST_SEED` on are
reserved for validation.

Every number is made with additions, multiplications, divisions and square roots on float64, which IEEE 754 rounds
the same everywhere; `sin`, `exp` and reordered sums differ in the last digit between processors and are not used.
Lengths are pixels, times frames, positions (y, x).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Kind = Literal["fluorescence", "dark", "phase", "membrane", "relief", "texture"]

FIRST_SEED = 10**6
"""Seeds from here on are never used in training."""

FAR = 9.0  # outline coordinate of pixels outside an object's window


@dataclass(frozen=True, slots=True)
class Sequence:
    """One sequence. `image`: (T, Y, X) uint8 or uint16; `labels`: (T, Y, X) uint16, one id an object through time."""

    image: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    description: str


@dataclass(frozen=True, slots=True)
class SequenceSpec:
    """What a sequence is made from.

    Attributes
    ----------
    diameters : (float, float)
        Smallest and largest mean diameter.
    cnr : float
        Contrast to noise of the faintest objects; of outline and grain where the inside is as bright as the ground.
    speed : float
        Pixels a frame, about.
    alike : bool
        Objects have the same size, brightness and texture.
    crowding : float
        0 spreads the objects, 1 heaps them up.
    elongation : (float, float)
        Smallest and largest ratio of the axes.
    roughness : float
        Depth of dents relative to the radius.
    shading : float
        Relative change of the illumination across the frame.
    blur : int
        Passes of a (1, 2, 1) filter.
    crossing, leaving : int
        How many objects pass over others, or leave the frame.
    """

    seed: int
    kind: Kind
    count: int
    diameters: tuple[float, float]
    frames: int
    cnr: float
    speed: float
    alike: bool = False
    crowding: float = 0.5
    elongation: tuple[float, float] = (1.0, 1.4)
    roughness: float = 0.10
    shading: float = 0.3
    blur: int = 2
    crossing: int = 0
    leaving: int = 0
    bits: Literal[8, 16] = 16
    side: int = 256


def validation_sequence(index: int) -> Sequence:
    """Return frozen validation sequence `index`.

    Parameters
    ----------
    index : int
        0 to ``len(VALIDATION_SPECS) - 1``.

    Returns
    -------
    Sequence
        The same bytes on every call and every machine.

    Raises
    ------
    IndexError
        If there is no such sequence.
    """
    if not 0 <= index < len(VALIDATION_SPECS):
        raise IndexError(f"validation sequences are 0 to {len(VALIDATION_SPECS) - 1}, got {index}")
    return generate(VALIDATION_SPECS[index])


def generate(spec: SequenceSpec) -> Sequence:
    """Make the sequence that `spec` describes."""
    rng = np.random.Generator(np.random.PCG64(spec.seed))
    cells = _make_cells(rng, spec)
    tracks = _move(rng, spec, cells)
    scene = _make_scene(rng, spec)
    frames, labels = [], []
    for t in range(spec.frames):
        layers = [_fields(cells, tracks, t, layer, spec) for layer in range(2)]
        labels.append(_visible_labels(layers, cells, spec))
        frames.append(_expose(_SHADERS[spec.kind](layers, scene), spec, scene, rng, t))
    return Sequence(np.stack(frames), np.stack(labels), _describe(spec))


def _describe(spec: SequenceSpec) -> str:
    low, high = spec.diameters
    words = [f"{spec.count} objects of {low:g} to {high:g} px", f"contrast to noise {spec.cnr:g}"]
    words += ["look-alike"] if spec.alike else []
    words += [f"{spec.crossing} crossing"] if spec.crossing else []
    words += [f"{spec.leaving} leaving"] if spec.leaving else []
    return f"{spec.kind}: " + ", ".join(words)


# --- smooth random numbers -------------------------------------------------------------------


def _between(rng: np.random.Generator, low: float, high: float, *shape: int) -> np.ndarray:
    return low + (high - low) * rng.random(shape)


def _directions(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return `count` unit vectors, drawn in a square ring to avoid trigonometry."""
    vectors = _between(rng, -1.0, 1.0, count, 2)
    lengths = np.sqrt(vectors[:, 0] * vectors[:, 0] + vectors[:, 1] * vectors[:, 1])
    vectors[lengths < 0.1] = (0.6, 0.8)
    lengths[lengths < 0.1] = 1.0
    return vectors / lengths[:, None]


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.minimum(np.maximum(x, 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


def _wander(rng: np.random.Generator, frames: int, period: int, *shape: int) -> np.ndarray:
    """Return (frames, *shape) numbers in [-1, 1] that glide between random values every `period` frames."""
    knots = _between(rng, -1.0, 1.0, frames // period + 2, *shape)
    times = np.arange(frames) / period
    left = times.astype(int)
    weight = _smooth(times - left).reshape((-1,) + (1,) * len(shape))
    return knots[left] * (1.0 - weight) + knots[left + 1] * weight


def _lattice_noise(lattice: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Sample smooth periodic noise in [0, 1]; `y`, `x` in cells of `lattice`."""
    size = lattice.shape[0]
    floor_y, floor_x = np.floor(y), np.floor(x)
    v, u = _smooth(y - floor_y), _smooth(x - floor_x)
    y0, x0 = floor_y.astype(int) % size, floor_x.astype(int) % size
    y1, x1 = (y0 + 1) % size, (x0 + 1) % size
    top = lattice[y0, x0] * (1.0 - u) + lattice[y0, x1] * u
    bottom = lattice[y1, x0] * (1.0 - u) + lattice[y1, x1] * u
    return top * (1.0 - v) + bottom * v


def _grain(lattice: np.ndarray, y: np.ndarray, x: np.ndarray, cell: float) -> np.ndarray:
    """Noise of three octaves, the coarsest with features of `cell` pixels, about 0.5."""
    total = np.zeros(np.broadcast_shapes(np.shape(y), np.shape(x)))
    for octave, weight in enumerate((0.5, 0.3, 0.2)):
        # Each octave is turned by a 3-4-5 triangle more, so that no grid shows.
        y, x = 0.8 * y + 0.6 * x, 0.8 * x - 0.6 * y
        scale = (1 << octave) / cell
        total = total + weight * _lattice_noise(lattice, y * scale + 7.3 * octave, x * scale)
    return total


def _blur(image: np.ndarray, passes: int) -> np.ndarray:
    """Blur with sigma sqrt(passes / 2): a Gaussian of nothing but sums."""
    for _ in range(passes):
        for axis in (0, 1):
            padded = np.pad(image, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
            low, middle, high = (
                padded[(slice(None),) * axis + (slice(k, k + image.shape[axis]),)] for k in range(3)
            )
            image = (low + high + 2.0 * middle) * 0.25
    return image


def _haze(image: np.ndarray, factor: int = 16) -> np.ndarray:
    """Blur very widely, by way of a small image."""
    small = image
    while factor > 1:
        small = (small[::2, ::2] + small[1::2, ::2] + small[::2, 1::2] + small[1::2, 1::2]) * 0.25
        small, factor = _blur(small, 1), factor // 2
    rows = (np.arange(image.shape[0]) + 0.5) * small.shape[0] / image.shape[0] - 0.5
    low = np.maximum(np.floor(rows), 0).astype(int)
    high = np.minimum(low + 1, small.shape[0] - 1)
    weight = np.minimum(np.maximum(rows - low, 0.0), 1.0)
    tall = small[low] * (1.0 - weight)[:, None] + small[high] * weight[:, None]
    return tall[:, low] * (1.0 - weight) + tall[:, high] * weight


# --- objects and their motion ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cells:
    """What stays the same about the objects; arrays of one row an object. `layer` 1 lies above layer 0."""

    radius: np.ndarray
    ratio: np.ndarray
    brightness: np.ndarray
    lattices: np.ndarray
    layer: np.ndarray
    leaving: np.ndarray


@dataclass(frozen=True, slots=True)
class _Tracks:
    """Where the objects are and how they are shaped: (T, O, ...) arrays.

    `turn`: unit vector of the long axis; `dents`: amplitudes of the cosines and sines 2 to 5 of the outline.
    """

    position: np.ndarray
    turn: np.ndarray
    ratio: np.ndarray
    size: np.ndarray
    bend: np.ndarray
    dents: np.ndarray


def _make_cells(rng: np.random.Generator, spec: SequenceSpec) -> _Cells:
    spread = rng.random(spec.count)
    if spec.alike:
        spread = 0.45 + 0.1 * spread
    low, high = spec.diameters
    radius = (low + (high - low) * spread) / 2.0
    ratio = _between(rng, *spec.elongation, spec.count)
    brightness = 1.0 + 1.6 * rng.random(spec.count) * (0.0 if spec.alike else 1.0)
    lattices = rng.random((1 if spec.alike else spec.count, 16, 16))
    if spec.alike:
        lattices = np.broadcast_to(lattices, (spec.count, 16, 16))
    layer = (np.arange(spec.count) < spec.crossing).astype(int)
    leaving = np.arange(spec.count) >= spec.count - spec.leaving
    return _Cells(radius, ratio, brightness, lattices, layer, leaving)


def _reach(cells: _Cells) -> np.ndarray:
    """Distance that neighbours keep; long objects need more than their mean radius."""
    return cells.radius * (0.75 + 0.25 * cells.ratio)


def _place(rng: np.random.Generator, spec: SequenceSpec, cells: _Cells) -> np.ndarray:
    """Choose first positions one by one: the candidate that is least squeezed, heaped up or spread out."""
    reach = _reach(cells)
    placed = np.zeros((0, 2))
    for i in range(spec.count):
        margin = min(reach[i] * (1.0 if spec.crowding < 1 else 0.9), spec.side / 2 - 1)
        if cells.leaving[i]:
            margin = reach[i] * 0.8
        candidates = _between(rng, margin, spec.side - margin, 400, 2)
        if cells.leaving[i]:
            candidates[:, 0] = np.where(
                candidates[:, 0] < spec.side / 2, margin, spec.side - margin
            )
        if i == 0:
            placed = candidates[:1]
            continue
        offset = candidates[:, None, :] - placed[None]
        distance = np.sqrt(offset[..., 0] * offset[..., 0] + offset[..., 1] * offset[..., 1])
        gaps = (distance - (reach[i] + reach[:i])).min(axis=1)
        squeezed = np.minimum(gaps, 0.0) * 10.0
        wanted = -np.maximum(gaps, 0.0) if rng.random() < spec.crowding else np.maximum(gaps, 0.0)
        placed = np.concatenate([placed, candidates[[(squeezed + wanted).argmax()]]])
    return placed


def _move(rng: np.random.Generator, spec: SequenceSpec, cells: _Cells) -> _Tracks:
    position = _place(rng, spec, cells)
    drift = _directions(rng, 1)[0] * 0.35
    heading = _directions(rng, spec.count)
    swerve = _wander(rng, spec.frames, 4, spec.count, 2)
    pace = _between(rng, 0.7, 1.3, spec.count)
    outward = position - spec.side / 2.0
    positions = [position]
    for t in range(1, spec.frames):
        wish = heading + 0.9 * swerve[t] + drift
        for i in np.flatnonzero(cells.leaving):
            wish[i] = (1.4 if outward[i, 0] > 0 else -1.4, 0.3 * swerve[t, i, 1])
        for i in np.flatnonzero(cells.layer):
            wish[i] = _towards_middle(positions[0][i], spec.side) * 1.6 + 0.4 * swerve[t, i]
        position = position + spec.speed * pace[:, None] * wish
        position = _keep_apart(position, cells, spec)
        heading = _turn_back(heading, position, cells, spec)
        positions.append(position)
    turn = _directions(rng, spec.count)
    spin = _wander(rng, spec.frames, 4, spec.count) * 0.12
    turns = [turn]
    for t in range(1, spec.frames):
        turns.append(_rotate(turns[-1], spin[t]))
    return _Tracks(
        np.stack(positions),
        np.stack(turns),
        cells.ratio * (1.0 + 0.15 * _wander(rng, spec.frames, 5, spec.count)),
        cells.radius * (1.0 + 0.06 * _wander(rng, spec.frames, 5, spec.count)),
        0.5 * (cells.ratio - 1.0) * _wander(rng, spec.frames, 7, spec.count),
        spec.roughness * _wander(rng, spec.frames, 5, spec.count, 4, 2) * _DENT_WEIGHTS,
    )


_DENT_WEIGHTS = np.array([1.0, 0.9, 0.6, 0.4])[:, None]


def _towards_middle(start: np.ndarray, side: int) -> np.ndarray:
    way = side / 2.0 - start
    return way / np.sqrt(way[0] * way[0] + way[1] * way[1] + 1.0)


def _rotate(vectors: np.ndarray, half_tangent: np.ndarray) -> np.ndarray:
    """Rotate by 2 atan(`half_tangent`): a rotation of nothing but fractions."""
    scale = 1.0 + half_tangent * half_tangent
    cosine, sine = (1.0 - half_tangent * half_tangent) / scale, 2.0 * half_tangent / scale
    y, x = vectors[:, 0], vectors[:, 1]
    return np.stack([cosine * y + sine * x, cosine * x - sine * y], axis=1)


def _keep_apart(position: np.ndarray, cells: _Cells, spec: SequenceSpec) -> np.ndarray:
    """Push neighbours of one layer apart, and what does not leave back into the frame."""
    reach = _reach(cells)
    position = position.copy()
    for _ in range(8):
        for i in range(spec.count):
            for j in range(i):
                if cells.layer[i] == cells.layer[j]:
                    dy, dx = position[i] - position[j]
                    distance = np.sqrt(dy * dy + dx * dx) + 1e-6
                    push = max(0.94 * (reach[i] + reach[j]) - distance, 0.0) * 0.25 / distance
                    position[i] += (dy * push, dx * push)
                    position[j] -= (dy * push, dx * push)
        inside = np.minimum(np.maximum(position, reach[:, None]), spec.side - reach[:, None])
        position = np.where(cells.leaving[:, None], position, position + 0.5 * (inside - position))
    return position


def _turn_back(
    heading: np.ndarray, position: np.ndarray, cells: _Cells, spec: SequenceSpec
) -> np.ndarray:
    near = _reach(cells)[:, None] * 1.1
    heading = np.where(position < near, np.abs(heading), heading)
    return np.where(position > spec.side - near, -np.abs(heading), heading)


# --- where every object is in a frame --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer of a frame, arrays of shape (Y, X).

    `owner`: index of the nearest object, -1 if the layer is empty there; `depth`: pixels inside its outline, negative
    outside; `grain`: its texture, 0 to 1, which moves with it; `radius`, `brightness`: of the owner.
    """

    owner: np.ndarray
    depth: np.ndarray
    grain: np.ndarray
    radius: np.ndarray
    brightness: np.ndarray


def _fields(cells: _Cells, tracks: _Tracks, t: int, layer: int, spec: SequenceSpec) -> _Layer:
    members = np.flatnonzero(cells.layer == layer)
    shape = (spec.side, spec.side)
    nearest, second = np.full(shape, FAR), np.full(shape, FAR)
    owner, grain = np.full(shape, -1), np.full(shape, 0.5)
    for i in members:
        window, y, x = _local(tracks, t, i, spec.side)
        if y.size == 0:
            continue
        outline = _outline_coordinate(tracks, t, i, y, x)
        first = outline < nearest[window]
        second[window] = np.where(first, nearest[window], np.minimum(second[window], outline))
        nearest[window] = np.where(first, outline, nearest[window])
        owner[window] = np.where(first, i, owner[window])
        texture = _grain(cells.lattices[i], y, x, _GRAIN[spec.kind] * cells.radius[i])
        grain[window] = np.where(first, texture, grain[window])
    radius = np.where(owner >= 0, tracks.size[t][owner], 1.0)
    # Touching objects share a straight border: nobody is deeper inside than half of what separates the two.
    depth = np.minimum(1.0 - nearest, 0.5 * (second - nearest)) * radius
    depth = np.where(nearest < 1.0, np.maximum(depth, 0.01), depth)
    depth = np.where(owner >= 0, depth, -4.0 * radius - 40.0)
    return _Layer(owner, depth, grain, radius, np.where(owner >= 0, cells.brightness[owner], 0.0))


def _local(
    tracks: _Tracks, t: int, i: int, side: int
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """Return the window round object `i` and the coordinates in it along and across its long axis."""
    cy, cx = tracks.position[t, i]
    half = 2.4 * tracks.size[t, i] * np.sqrt(tracks.ratio[t, i]) + 12.0
    bounds = [
        (min(max(int(c - half), 0), side), min(max(int(c + half) + 1, 0), side)) for c in (cy, cx)
    ]
    (y0, y1), (x0, x1) = bounds
    dy = (np.arange(y0, y1) - cy)[:, None]
    dx = (np.arange(x0, x1) - cx)[None, :]
    ty, tx = tracks.turn[t, i]
    return (slice(y0, y1), slice(x0, x1)), dy * ty + dx * tx, dx * ty - dy * tx


def _outline_coordinate(
    tracks: _Tracks, t: int, i: int, along: np.ndarray, across: np.ndarray
) -> np.ndarray:
    """Return 0 at the centre, 1 on the outline; an ellipse, bent, with dents."""
    stretch = np.sqrt(tracks.ratio[t, i])
    u = along / (tracks.size[t, i] * stretch)
    v = across * stretch / tracks.size[t, i]
    v = v + tracks.bend[t, i] * (u * u - 0.3)
    rho = np.sqrt(u * u + v * v) + 1e-9
    cosine, sine = u / rho, v / rho
    cosine_k, sine_k, limit = cosine, sine, np.ones(rho.shape)
    for a, b in tracks.dents[t, i]:
        cosine_k, sine_k = cosine_k * cosine - sine_k * sine, sine_k * cosine + cosine_k * sine
        limit = limit + a * cosine_k + b * sine_k
    return rho / np.maximum(limit, 0.3)


def _visible_labels(layers: list[_Layer], cells: _Cells, spec: SequenceSpec) -> np.ndarray:
    """Label what is on top; slivers that nobody would mark are background."""
    labels = np.zeros((spec.side, spec.side), np.uint16)
    for layer in layers:
        inside = layer.depth > 0
        labels[inside] = layer.owner[inside] + 1
    areas = np.bincount(labels.ravel(), minlength=spec.count + 1)
    full = np.concatenate([[1.0], 3.0 * cells.radius * cells.radius])
    labels[(areas < 0.15 * full)[labels]] = 0
    return labels


# --- what a microscope makes of it -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scene:
    """What stays the same behind the objects: illumination, smooth background grain, specks of dirt; (Y, X)."""

    light: np.ndarray
    ground: np.ndarray
    fine: np.ndarray
    specks: np.ndarray


def _make_scene(rng: np.random.Generator, spec: SequenceSpec) -> _Scene:
    y, x = np.meshgrid(*[np.arange(spec.side) / spec.side - 0.5] * 2, indexing="ij")
    slope = _directions(rng, 1)[0]
    centre = _between(rng, -0.3, 0.3, 2)
    bowl = (y - centre[0]) * (y - centre[0]) + (x - centre[1]) * (x - centre[1])
    light = 1.0 + spec.shading * (slope[0] * y + slope[1] * x + 0.2 - 1.2 * bowl)
    pixels = np.meshgrid(*[np.arange(spec.side) * 1.0] * 2, indexing="ij")
    ground = _grain(rng.random((16, 16)), *pixels, 48.0) - 0.5
    fine = _grain(rng.random((64, 64)), *pixels, 9.0) - 0.5
    specks = np.zeros(y.shape)
    for cy, cx, size, depth in rng.random((14, 4)):
        dy, dx = pixels[0] - cy * spec.side, pixels[1] - cx * spec.side
        specks -= (0.3 + depth) * _smooth(1.5 - (dy * dy + dx * dx) / (2.0 + 6.0 * size))
    return _Scene(light, ground, fine, specks)


def _cover(depth: np.ndarray, width: float = 2.0) -> np.ndarray:
    """Return 0 outside, 1 inside, with an edge `width` pixels wide."""
    return _smooth(depth / width + 0.5)


def _line(depth: np.ndarray, width: float) -> np.ndarray:
    """Return 1 on the outline, falling off over `width` pixels."""
    return 1.0 / (1.0 + (depth / width) * (depth / width))


def _fluorescence(layers: list[_Layer], scene: _Scene) -> np.ndarray:
    """Stained bodies on black, some light out of focus; light adds up."""
    light = np.zeros(scene.light.shape)
    for layer in layers:
        thick = _smooth(layer.depth / (0.9 * layer.radius) + 0.35)
        body = _cover(layer.depth) * (0.55 + 0.45 * thick) * (0.35 + 1.3 * layer.grain)
        light = light + layer.brightness * body
    return light + 0.7 * _haze(light) + 0.15 * (scene.ground + 0.5)


def _dark(layers: list[_Layer], scene: _Scene) -> np.ndarray:
    """Absorbing bodies on a bright ground."""
    light = 3.2 + 0.5 * scene.ground
    for layer in layers:
        thick = 0.6 + 0.4 * _smooth(layer.depth / (0.7 * layer.radius))
        absorbed = _cover(layer.depth) * thick * (0.5 + layer.grain) * layer.brightness
        light = light / (1.0 + 0.36 * absorbed)
    return light + 0.35 * scene.specks


def _phase(layers: list[_Layer], scene: _Scene) -> np.ndarray:
    """Phase contrast: grey bodies with dark granules, a dark rim and a bright halo outside."""
    light = 1.0 * scene.ground + 0.5 * scene.fine + 0.8 * scene.specks
    for layer in layers:
        cover = _cover(layer.depth, 1.6)
        outside = 1.0 - cover
        light = light + outside * 1.3 * layer.brightness * _line(layer.depth + 1.0, 2.6)
        granules = 5.0 * np.maximum(layer.grain - 0.52, 0.0)
        body = 0.15 - granules - 1.1 * _line(layer.depth - 1.0, 2.0)
        light = light * (1.0 - cover) + cover * layer.brightness * body
    return light


def _membrane(layers: list[_Layer], scene: _Scene) -> np.ndarray:
    """Stained outlines, faint and patchy; the inside is hardly brighter than the ground."""
    light = 0.3 * (scene.ground + 0.5)
    for layer in layers:
        cover = _cover(layer.depth, 3.0)
        wall = _line(layer.depth - 1.0, 1.7) * (0.5 + 1.4 * layer.grain)
        light = light * (1.0 - 0.8 * cover) + layer.brightness * (wall + cover * 0.45 * layer.grain)
    return light + 0.3 * _haze(light)


def _relief(layers: list[_Layer], scene: _Scene) -> np.ndarray:
    """Differential interference contrast: the slope of the thickness along one diagonal."""
    height = 3.0 * scene.ground
    for layer in layers:
        dome = layer.radius * (
            1.0 - 1.0 / (1.0 + np.maximum(layer.depth, 0.0) * 3.0 / layer.radius)
        )
        height = np.maximum(height, 0.0) * (1.0 - 0.7 * _cover(layer.depth)) + layer.brightness * (
            0.5 * dome + 4.0 * _cover(layer.depth) * (layer.grain - 0.3)
        )
    padded = np.pad(_blur(height, 2), 1, mode="edge")
    return 0.8 * (padded[2:, 2:] - padded[:-2, :-2])


def _texture(layers: list[_Layer], scene: _Scene) -> np.ndarray:
    """Bodies as bright as the ground on average: a coarser grain and a faint rim tell them apart."""
    light = 1.6 * scene.fine
    for layer in layers:
        cover = _cover(layer.depth)
        body = 4.0 * (layer.grain - 0.5) - 0.9 * _line(layer.depth - 1.0, 1.5)
        light = light * (1.0 - cover) + cover * layer.brightness * body
    return light


_SHADERS: dict[str, Callable[[list[_Layer], _Scene], np.ndarray]] = {
    "fluorescence": _fluorescence,
    "dark": _dark,
    "phase": _phase,
    "membrane": _membrane,
    "relief": _relief,
    "texture": _texture,
}

# Coarsest features of an object's texture, relative to its radius.
_GRAIN = {
    "fluorescence": 0.55,
    "dark": 0.55,
    "phase": 0.4,
    "membrane": 0.55,
    "relief": 0.5,
    "texture": 0.3,
}
# Brightness of the empty ground; uneven illumination multiplies it.
_GROUND = {
    "fluorescence": 0.5,
    "dark": 0.0,
    "phase": 5.0,
    "membrane": 0.4,
    "relief": 4.0,
    "texture": 4.0,
}
# Contrast of an object of brightness 1, in units of the shaders.
_CONTRAST = {
    "fluorescence": 1.15,
    "dark": 0.57,
    "phase": 0.9,
    "membrane": 0.8,
    "relief": 0.9,
    "texture": 0.9,
}


def _expose(
    light: np.ndarray, spec: SequenceSpec, scene: _Scene, rng: np.random.Generator, t: int
) -> np.ndarray:
    """Blur, uneven illumination, bleaching, noise that grows with the signal, and the camera's numbers."""
    fading = 1.0 - 0.25 * t / spec.frames if spec.kind in ("fluorescence", "membrane") else 1.0
    signal = (_blur(light, spec.blur) * fading + _GROUND[spec.kind]) * scene.light
    contrast = _CONTRAST[spec.kind]
    noise = rng.standard_normal(light.shape) * np.sqrt(1.0 + 0.25 * np.maximum(signal, 0.0)) * 0.9
    exposed = signal + noise * contrast / spec.cnr
    if spec.bits == 8:
        return np.floor(np.minimum(np.maximum(exposed * 22.0 + 24.0, 0.0), 255.0)).astype(np.uint8)
    return np.floor(np.minimum(np.maximum(exposed * 410.0 + 300.0, 0.0), 65535.0)).astype(np.uint16)


# fmt: off
VALIDATION_SPECS: tuple[SequenceSpec, ...] = (
    # seed, kind, count, diameters, frames, cnr, speed
    SequenceSpec(FIRST_SEED + 0, "fluorescence", 9, (34, 46), 14, 6, 4.3, alike=True, crowding=0.9),
    SequenceSpec(FIRST_SEED + 1, "fluorescence", 12, (28, 48), 12, 4, 4.1, crowding=1.0, shading=1.0),
    SequenceSpec(FIRST_SEED + 2, "fluorescence", 10, (30, 42), 16, 2, 3.3, alike=True, crowding=1.0, blur=3),
    SequenceSpec(FIRST_SEED + 3, "fluorescence", 7, (44, 66), 12, 3, 4.9, crowding=1.0, elongation=(1.2, 1.9)),
    SequenceSpec(FIRST_SEED + 4, "fluorescence", 14, (18, 30), 12, 5, 3, alike=True, crowding=1.0, bits=8),
    SequenceSpec(FIRST_SEED + 5, "fluorescence", 8, (32, 48), 14, 4, 4, crossing=2, leaving=1, blur=4),
    SequenceSpec(FIRST_SEED + 6, "dark", 9, (34, 48), 14, 4, 3.2, alike=True, crowding=1.0, shading=0.8),
    SequenceSpec(FIRST_SEED + 7, "dark", 8, (36, 60), 12, 2, 5.2, crowding=1.0, elongation=(1.1, 1.8), bits=8),
    SequenceSpec(FIRST_SEED + 8, "dark", 12, (20, 34), 12, 5, 2.6, crowding=1.0, shading=1.0),
    SequenceSpec(FIRST_SEED + 9, "dark", 6, (46, 70), 12, 3, 5.6, crossing=1, roughness=0.16),
    SequenceSpec(FIRST_SEED + 10, "phase", 9, (34, 52), 14, 5, 4, elongation=(1.2, 2.2), roughness=0.18),
    SequenceSpec(FIRST_SEED + 11, "phase", 8, (40, 58), 12, 4, 4.6, elongation=(1.5, 2.6), roughness=0.2, bits=8),
    SequenceSpec(FIRST_SEED + 12, "phase", 12, (26, 36), 16, 6, 2.4, alike=True, crowding=0.8),
    SequenceSpec(FIRST_SEED + 13, "phase", 7, (44, 66), 12, 3, 4.9, leaving=2, roughness=0.18),
    SequenceSpec(FIRST_SEED + 14, "phase", 10, (28, 44), 14, 2.5, 3.6, crowding=0.9, shading=0.6),
    SequenceSpec(FIRST_SEED + 15, "membrane", 14, (38, 52), 12, 5, 3.6, alike=True, crowding=1.0),
    SequenceSpec(FIRST_SEED + 16, "membrane", 9, (44, 68), 14, 3, 5.2, crowding=1.0, blur=3),
    SequenceSpec(FIRST_SEED + 17, "membrane", 18, (28, 40), 12, 6, 3, crowding=1.0, bits=8),
    SequenceSpec(FIRST_SEED + 18, "membrane", 8, (40, 56), 12, 4, 4.6, crossing=1, leaving=1),
    SequenceSpec(FIRST_SEED + 19, "relief", 8, (36, 54), 14, 5, 3.2, crowding=0.6),
    SequenceSpec(FIRST_SEED + 20, "relief", 11, (28, 40), 12, 3, 3.6, alike=True, crowding=0.9, bits=8),
    SequenceSpec(FIRST_SEED + 21, "relief", 6, (46, 68), 12, 4, 5.3, elongation=(1.2, 2.0), roughness=0.16),
    SequenceSpec(FIRST_SEED + 22, "texture", 7, (44, 64), 12, 5, 4.3, crowding=0.5),
    SequenceSpec(FIRST_SEED + 23, "texture", 9, (36, 50), 14, 4, 3.6, alike=True, crowding=0.8),
)
# fmt: on
