"""Make the sample stacks of this folder: python sample_data/make_samples.py [FOLDER].

Everything is generated: no pixel of anybody's data is in them. Lengths in the CT are millimetres; u runs to the left of
the patient, v to the back, w to the head, with the origin in the middle of the volume.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

from napari_sam2.evaluation.sequences import SequenceSpec, generate

CELLS = SequenceSpec(
    seed=3_000_004,  # reserved for samples: neither in training nor in validation
    kind="fluorescence",
    count=9,
    diameters=(34, 48),
    frames=24,
    cnr=5,
    speed=3.0,
    crowding=0.9,
    elongation=(1.1, 1.6),
    shading=0.4,
)
CT_SHAPE = (28, 192, 192)
CT_SPACING = (5.0, 0.8, 0.8)
CT_FINE = (3, 2, 2)  # sub-samples a voxel: they give partial volume
CT_NAMES = ("liver", "spleen", "right kidney", "left kidney", "aorta", "vena cava", "portal vein")


def main(folder: Path) -> None:
    image, labels = make_cells()
    _write(folder / "cells_timelapse.tif", image, axes="TYX")
    _write(folder / "cells_timelapse_labels.tif", labels, axes="TYX")
    image, labels = make_ct()
    _write(folder / "ct_volume.tif", image, axes="ZYX")
    _write(folder / "ct_volume_labels.tif", labels, axes="ZYX")


def _write(path: Path, stack: np.ndarray, axes: str) -> None:
    """Write a compressed TIFF that needs no codec beyond zlib, without dates: the same bytes every time."""
    tifffile.imwrite(
        path,
        stack,
        metadata={"axes": axes},
        compression="zlib",
        compressionargs={"level": 9},
        predictor=True,
        datetime=False,
        software=False,
        rowsperstrip=stack.shape[1],
    )
    print(f"{path.name}: {stack.shape} {stack.dtype}, {path.stat().st_size / 1e6:.2f} MB")


def make_cells() -> tuple[np.ndarray, np.ndarray]:
    """Stained nuclei that crawl and touch: (T, Y, X) uint16 as from a 12-bit camera, and their labels."""
    sequence = generate(CELLS)
    # Finer steps would only store noise more exactly: the file is half as large without them.
    image = 100 + (sequence.image.astype(np.int32) - 300) // 14
    return np.clip(image, 0, 4095).astype(np.uint16), sequence.labels


# --- the CT ----------------------------------------------------------------------------------


class Anatomy:
    """A fine grid that organs are painted on, in Hounsfield units, with a mask of each labelled organ."""

    def __init__(self, rng: np.random.Generator) -> None:
        shape = tuple(n * k for n, k in zip(CT_SHAPE, CT_FINE, strict=True))
        steps = [s / k for s, k in zip(CT_SPACING, CT_FINE, strict=True)]
        axes = [
            (np.arange(n) - (n - 1) / 2).astype(np.float32) * np.float32(s)
            for n, s in zip(shape, steps, strict=True)
        ]
        self.axes = axes
        w, v, u = np.meshgrid(*axes, indexing="ij", sparse=True)
        # Nothing in a body is an ellipsoid: the coordinates are bent, the skin's less than the organs'.
        bend = [_bumps(rng, shape) for _ in range(3)]
        self.w, self.v, self.u = w + 3.0 * bend[0], v + 2.0 * bend[1], u + 2.0 * bend[2]
        self.w0, self.v0, self.u0 = w, v + 0.7 * bend[1], u + 0.7 * bend[2]
        self.hu = np.full(shape, -1000.0, np.float32)
        self.masks: dict[str, np.ndarray] = {}

    def paint(self, where: np.ndarray, hu: float | np.ndarray, name: str | None = None) -> None:
        self.hu = np.where(where, hu, self.hu).astype(np.float32)
        for mask in self.masks.values():
            mask &= ~where
        if name is not None:
            self.masks[name] = self.masks.get(name, np.zeros(where.shape, bool)) | where

    def ellipsoid(self, centre, radii, lean=(0.0, 0.0)) -> np.ndarray:
        """Return 0 in the centre, 1 on the surface; `lean`: shift in (u, v) a millimetre of height."""
        (cu, cv, cw), (ru, rv, rw) = centre, radii
        height = self.w - cw
        u, v = self.u - cu - lean[0] * height, self.v - cv - lean[1] * height
        return np.sqrt((u / ru) ** 2 + (v / rv) ** 2 + (height / rw) ** 2)

    def tube(self, points, radii) -> np.ndarray:
        """Return the mask of a tube along `points` (u, v, w), with a radius at each of them."""
        inside = np.zeros(self.hu.shape, bool)
        for a, b, ra, rb in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
            a, b = np.array(a, np.float32), np.array(b, np.float32)
            window = self._window(np.minimum(a, b) - max(ra, rb), np.maximum(a, b) + max(ra, rb))
            inside[window] |= self._capsule(window, a, b, ra, rb)
        return inside

    def _window(self, low, high, reach=12.0) -> tuple[slice, ...]:
        """Return the part of the grid between two corners (u, v, w), with room for the bending."""
        return tuple(
            slice(*np.searchsorted(axis, [a - reach, b + reach]))
            for axis, a, b in zip(self.axes, low[::-1], high[::-1], strict=True)
        )

    def _capsule(self, window, a, b, ra, rb) -> np.ndarray:
        way = b - a
        du, dv, dw = self.u[window] - a[0], self.v[window] - a[1], self.w[window] - a[2]
        share = np.clip((du * way[0] + dv * way[1] + dw * way[2]) / float(way @ way), 0, 1)
        gap = (du - share * way[0]) ** 2 + (dv - share * way[1]) ** 2 + (dw - share * way[2]) ** 2
        return gap < (ra + (rb - ra) * share) ** 2


def _bumps(rng: np.random.Generator, shape) -> np.ndarray:
    """Smooth random numbers with features of some 30 mm, standard deviation 1."""
    coarse = ndimage.gaussian_filter(rng.standard_normal((24, 24, 24)), 1.7)
    coarse /= coarse.std()
    grown = ndimage.zoom(coarse, [n / 24 for n in shape], order=1)
    return grown[: shape[0], : shape[1], : shape[2]].astype(np.float32)


def make_ct() -> tuple[np.ndarray, np.ndarray]:
    """A small abdomen: (Z, Y, X) int16 in Hounsfield units, 5 x 0.8 x 0.8 mm, and the labels of seven organs."""
    rng = np.random.default_rng(3_100_000)
    body = Anatomy(rng)
    _walls(body)
    _bowel(body, rng)
    _organs(body)
    _spine_and_ribs(body)
    _vessels(body)
    fine = ndimage.gaussian_filter(body.hu, (1.2, 1.0, 1.0))
    image = _average(fine)
    image += _bumpy_tissue(rng, image)
    noise = ndimage.gaussian_filter(rng.standard_normal(CT_SHAPE), (0, 0.6, 0.6))
    image += 9.0 * noise / noise.std()
    labels = np.zeros(CT_SHAPE, np.uint16)
    for number, name in enumerate(CT_NAMES, start=1):
        inside = _average(body.masks[name].astype(np.float32)) >= 0.5
        labels[_without_crumbs(inside)] = number
    return np.clip(np.round(image), -1024, 3071).astype(np.int16), labels


def _without_crumbs(mask: np.ndarray) -> np.ndarray:
    """Drop pieces of less than a twentieth of the organ: what bending the coordinates has torn off."""
    pieces, _ = ndimage.label(mask)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return (sizes >= 0.05 * mask.sum())[pieces]


def _average(fine: np.ndarray) -> np.ndarray:
    z, y, x = CT_SHAPE
    a, b, c = CT_FINE
    return fine.reshape(z, a, y, b, x, c).mean(axis=(1, 3, 5))


def _bumpy_tissue(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Tissue is never quite even: a few units, where there is tissue."""
    grain = ndimage.gaussian_filter(rng.standard_normal(CT_SHAPE), (0.6, 2.0, 2.0))
    return 5.0 * grain / grain.std() * (image > -300)


def _outline(body: Anatomy, shrink: float) -> np.ndarray:
    """Return the inside of the body, `shrink` millimetres below the skin."""
    wide, deep = 71.0 - 0.03 * body.w0 - shrink, 55.0 + 0.04 * body.w0 - shrink
    u, v = body.u0 / wide, body.v0 / deep
    return u**4 + v**4 + 1.3 * u**2 * v**2 < 1.0


def _walls(body: Anatomy) -> None:
    body.paint(_outline(body, 0.0), 20.0)  # skin
    body.paint(_outline(body, 1.6), -105.0)  # fat below it
    body.paint(_outline(body, 7.0), 58.0)  # muscle
    body.paint(_outline(body, 13.0), -95.0)  # fat round the organs
    chest = _outline(body, 13.5)
    body.paint(chest & (body.w > _dome(body) - 3.0), 50.0)  # diaphragm
    heart = body.ellipsoid((12, -16, 84), (27, 22, 36), (-0.2, 0.1)) < 1
    middle = body.ellipsoid((2, 12, 60), (15, 26, 200)) < 1
    lungs = chest & (body.w > _dome(body)) & ~heart & ~middle
    vessels = ndimage.gaussian_filter(
        np.random.default_rng(3_100_001).standard_normal(body.hu.shape), 2.2
    )
    body.paint(lungs, np.where(vessels > 2.6 * vessels.std(), -150.0, -845.0))
    body.paint(heart & chest & (body.w > _dome(body)), 140.0)


def _dome(body: Anatomy) -> np.ndarray:
    """Return the height of the diaphragm: two domes, the right one higher, low at the sides and the back."""
    right = 62.0 - 0.022 * (body.u + 26) ** 2 - 0.016 * (body.v + 8) ** 2
    left = 55.0 - 0.024 * (body.u - 28) ** 2 - 0.016 * (body.v + 4) ** 2
    return np.maximum(right, left)


def _bowel(body: Anatomy, rng: np.random.Generator) -> None:
    """Loops below the stomach and the liver: wall, fluid, gas on top."""
    inside = _outline(body, 15.0) & (body.w < _dome(body) - 4)
    for _ in range(34):
        cu, cv, cw = rng.uniform(-40, 44), rng.uniform(-38, 4), rng.uniform(-78, 2)
        along = rng.uniform(-16, 16, 3) * (1.0, 0.7, 0.8)
        points = [(cu, cv, cw), tuple(np.add((cu, cv, cw), along))]
        radius = rng.uniform(6.0, 9.5)
        body.paint(body.tube(points, (radius, radius)) & inside, 62.0)
        content = body.tube(points, (radius - 2.2, radius - 2.2)) & inside
        body.paint(content, rng.choice([15.0, 30.0, 45.0]))
        if rng.random() < 0.3:
            body.paint(content & (body.v < cv - 0.2 * radius), -900.0)
    for points, radius in (
        ([(52, 2, -80), (51, 6, -30), (47, -2, 2)], 7.5),  # colon, down the left side
        ([(-52, 0, -80), (-50, -2, -52), (-46, -10, -40)], 8.5),  # and up the right
    ):
        body.paint(body.tube(points, (radius,) * 3) & inside, 60.0)
        content = body.tube(points, (radius - 2.0,) * 3) & inside
        body.paint(content, 25.0)
        body.paint(content & (body.v < points[1][1] - 2 + 3 * np.sin(body.w * 0.3)), -880.0)
    body.paint((body.ellipsoid((16, 2, -2), (30, 7, 9), (0.9, 0.0)) < 1) & inside, 88.0)  # pancreas
    for side in (-1, 1):  # muscles along the spine
        body.paint(body.ellipsoid((side * 19, 25, -45), (9, 9, 60), (-side * 0.07, 0.0)) < 1, 62.0)
        back = body.ellipsoid((side * 17, 43, 0), (15, 8, 300)) < 1
        body.paint(back & _outline(body, 4.0), 60.0)


def _organs(body: Anatomy) -> None:
    below = body.w < _dome(body) - 3.5
    room = _outline(body, 14.0) & below
    liver = np.minimum(
        body.ellipsoid((-33, -4, 16), (28, 36, 46), (0.06, 0.0)),
        body.ellipsoid((-8, -25, 26), (30, 16, 24), (0.05, 0.1)),
    )
    body.paint((liver < 1) & room, 108.0, "liver")
    stomach = body.ellipsoid((25, -18, 22), (21, 20, 28), (0.3, 0.15))
    body.paint((stomach < 1) & room, 66.0)
    body.paint((stomach < 0.84) & room, 22.0)
    body.paint((stomach < 0.84) & room & (body.v < -24), -930.0)  # gas floats to the front
    spleen = body.ellipsoid((47, 17, 20), (13, 25, 32), (0.05, -0.12))
    hollow = body.ellipsoid((34, 12, 16), (12, 16, 24)) < 1
    body.paint((spleen < 1) & ~hollow & room, 122.0, "spleen")
    _kidney(body, "right kidney", (-30, 20, -32), -1)
    _kidney(body, "left kidney", (31, 20, -22), 1)


def _kidney(body: Anatomy, name: str, centre: tuple[float, float, float], side: int) -> None:
    shape = body.ellipsoid(centre, (14, 15, 30), (-side * 0.14, 0.10))
    shape = np.where(_outline(body, 14.0), shape, 2.0)
    sinus = body.ellipsoid((centre[0] - side * 10, centre[1] - 5, centre[2]), (10, 7, 15)) < 1
    columns = np.sin(body.w * 0.55) * np.sin(np.arctan2(body.v - centre[1], body.u - centre[0]) * 4)
    body.paint((shape < 1) & ~sinus, 172.0, name)
    pyramids = (shape < 0.78) & ~sinus & (columns > 0.15)
    body.hu = np.where(pyramids & body.masks[name], 138.0, body.hu).astype(np.float32)


def _spine_and_ribs(body: Anatomy) -> None:
    level = (body.w + 6.0) % 21.0  # a vertebra and its disc, millimetres
    front = np.sqrt((body.u / 14.0) ** 2 + ((body.v - 28) / 11.0) ** 2)
    bone = np.where(level < 4.5, 85.0, np.where(front > 0.86, 520.0, 205.0))
    body.paint(front < 1, bone)
    arch = np.sqrt((body.u / 11.0) ** 2 + ((body.v - 41) / 8.0) ** 2) < 1
    spine = (np.abs(body.u) < 2.4) & (body.v > 44) & _outline(body, 3.5) & (level > 9)
    wings = (np.abs(body.u) < 24) & (np.abs(body.v - 41) < 2.6) & (level > 12) & (level < 18)
    body.paint((arch & (level > 7)) | spine | wings, 430.0)
    body.paint(np.sqrt((body.u / 6.2) ** 2 + ((body.v - 40.5) / 5.0) ** 2) < 1, 35.0)  # canal
    ring = _outline(body, 8.0) & ~_outline(body, 12.5)
    marrow = _outline(body, 9.4) & ~_outline(body, 11.2)
    angle = np.arctan2(body.u0, body.v0)  # 0 at the back, growing to the front
    for height in np.arange(-14, 200, 25.0):
        # A rib comes down from the spine to the front; the lowest ones end at the side.
        line = height - 44.0 * np.abs(angle)
        end = 1.25 if height < 15 else 2.3
        near = np.abs(body.w0 - line)
        part = (np.abs(angle) > 0.4) & (np.abs(angle) < end)
        body.paint(ring & part & (near < 4.6), 520.0)
        body.paint(marrow & part & (near < 2.8), 180.0)


def _vessels(body: Anatomy) -> None:
    aorta = [(2, 14, -80), (3, 13, -30), (6, 14, 20), (9, 17, 80)]
    body.paint(body.tube(aorta, (5.6, 6.0, 6.6, 7.0)), 195.0, "aorta")
    cava = [(-11, 15, -80), (-11, 14, -20), (-13, 8, 25), (-10, 0, 60)]
    body.paint(body.tube(cava, (6.2, 6.6, 7.2, 7.4)), 142.0, "vena cava")
    trunk = [(10, 0, -34), (-4, -2, -6), (-16, -4, 8)]
    right = [trunk[-1], (-30, -2, 14), (-42, 8, 26), (-46, 16, 38)]
    lower = [(-30, -2, 14), (-40, -8, 4), (-46, -12, -12)]
    left = [trunk[-1], (-12, -20, 24), (4, -28, 32)]
    upper = [(-30, -2, 14), (-30, -18, 32), (-34, -22, 42)]
    body.paint(body.tube(trunk, (4.6, 5.0, 5.0)), 168.0, "portal vein")
    body.paint(body.tube(right, (4.8, 4.2, 3.4, 2.4)), 168.0, "portal vein")
    body.paint(body.tube(lower, (3.8, 3.2, 2.4)), 168.0, "portal vein")
    body.paint(body.tube(left, (4.4, 3.6, 2.6)), 168.0, "portal vein")
    body.paint(body.tube(upper, (3.6, 3.2, 2.4)), 168.0, "portal vein")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
