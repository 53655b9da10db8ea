"""Placement: where the pixels of an array lie in the world, with the units and names of its axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from napari_sam2.core.errors import ImageError

Matrix = tuple[tuple[float, ...], ...]

_METRES = {
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-9),
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre"), 1e-6),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e-3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e-2),
    **dict.fromkeys(("m", "meter", "metre"), 1.0),
}
"""Spellings of units of length, in metres."""


@dataclass(frozen=True, slots=True)
class Placement:
    """An affine map from data indices of an n-D array to the world; axes in the array's order, colours not counted.

    Attributes
    ----------
    matrix : tuple of (D + 1) rows of (D + 1) float
        World position of a homogeneous data index; pixel centres are whole numbers.
    units : tuple of str
        Unit of every world axis, "pixel" where none is known.
    labels : tuple of str
        Name of every axis, such as "t" or "z"; "" where none is known.
    """

    matrix: Matrix
    units: tuple[str, ...]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        size = len(self.units) + 1
        values = np.asarray(self.matrix, np.float64)
        if values.shape != (size, size) or len(self.labels) != size - 1:
            raise ImageError(
                f"a placement of {size - 1} axes needs a {size} x {size} matrix and {size - 1} labels, "
                f"got {values.shape} and {len(self.labels)}",
                remedy="give the affine matrix from data indices to the world",
            )
        is_whole = np.isfinite(values).all() and np.array_equal(values[-1], np.eye(size)[-1])
        if not is_whole or abs(np.linalg.det(values)) == 0:
            raise ImageError(
                "an image must be placed by a finite matrix that can be inverted",
                remedy="set its scale to numbers other than 0",
            )

    @classmethod
    def of(
        cls,
        matrix: ArrayLike,
        units: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
    ) -> Placement:
        """Return a placement from any array of (D + 1, D + 1); unknown units are "pixel", unknown labels ""."""
        values = np.asarray(matrix, np.float64)
        rows = tuple(tuple(float(value) for value in row) for row in values)
        ndim = len(rows) - 1
        return cls(rows, tuple(units or ("pixel",) * ndim), tuple(labels or ("",) * ndim))

    @classmethod
    def from_scale(
        cls,
        scale: Sequence[float],
        translate: Sequence[float] | None = None,
        units: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
    ) -> Placement:
        """Return a placement without rotation: `scale` is the step between pixels along every axis."""
        matrix = np.diag([*map(float, scale), 1.0])
        if translate is not None:
            matrix[:-1, -1] = translate
        return cls.of(matrix, units, labels)

    @classmethod
    def plain(cls, ndim: int, labels: Sequence[str] | None = None) -> Placement:
        """Return the placement of an array about which nothing is known: the world is its indices."""
        return cls.from_scale((1.0,) * ndim, labels=labels)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.units)

    @property
    def is_plain(self) -> bool:
        """Whether the world is the array's indices, in no unit."""
        is_identity = np.array_equal(self.as_array(), np.eye(self.ndim + 1))
        return is_identity and set(self.units) <= {"pixel"}

    @property
    def is_straight(self) -> bool:
        """Whether every axis of the array runs along the same axis of the world, forward or backward."""
        linear = self.as_array()[:-1, :-1]
        return np.array_equal(linear, np.diag(np.diag(linear)))

    @property
    def spacing(self) -> tuple[float, ...]:
        """Distance in the world between neighbouring pixels along every axis, always positive."""
        linear = self.as_array()[:-1, :-1]
        return tuple(float(step) for step in np.linalg.norm(linear, axis=0))

    @property
    def translate(self) -> tuple[float, ...]:
        """World position of the first pixel."""
        return tuple(row[-1] for row in self.matrix[:-1])

    def as_array(self) -> np.ndarray:
        """Return the matrix as a (D + 1, D + 1) float64 array."""
        return np.array(self.matrix, np.float64)

    def taking(self, axes: Sequence[int], at: Mapping[int, int] | None = None) -> Placement:
        """Return the placement of an array that has only `axes` left, in that order.

        Parameters
        ----------
        axes : sequence of int
            The axes that stay.
        at : mapping of int to int, optional
            Where the others stand, 0 by default: in an oblique image that moves what stays.
        """
        keep = [*axes, self.ndim]
        whole = self.as_array()
        for axis, place in (at or {}).items():
            whole[:-1, -1] += whole[:-1, axis] * place
        matrix = whole[np.ix_(keep, keep)]
        units = [self.units[axis] for axis in axes]
        labels = [self.labels[axis] for axis in axes]
        edges = matrix[:-1, :-1]
        if abs(np.linalg.det(edges)) < 1e-6 * np.prod(
            np.linalg.norm(whole[:-1, list(axes)], axis=0)
        ):
            # Seen along the world's axes that are left, the plane stands on edge: only its pixels keep their size.
            return Placement.from_scale([self.spacing[axis] for axis in axes], None, units, labels)
        return Placement.of(matrix, units, labels)

    def metres(self, axis: int) -> float | None:
        """Return the length of the unit of an axis in metres; None if it is no length."""
        return _METRES.get(self.units[axis].strip().lower())

    def pixel_measure(self, axes: Sequence[int]) -> float | None:
        """Return the length, area or volume that a pixel spans along `axes`, in metres to that power.

        None where one of them has no unit of length.
        """
        factors = [self.metres(axis) for axis in range(self.ndim)]
        if not all(factors[axis] for axis in axes):
            return None
        # Rows are in the units of their world axes; what is no length, such as time, counts nothing.
        scaled = self.as_array()[:-1, :-1] * np.array([[factor or 0.0] for factor in factors])
        edges = scaled[:, list(axes)]
        return math.sqrt(abs(float(np.linalg.det(edges.T @ edges))))
