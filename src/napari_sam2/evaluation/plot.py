"""Curves as a picture: scores against prompted frames or clicks, one line for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_sam2.evaluation.overlay import FAINT, INK, MARGIN, PALETTE, PAPER, TITLE_SIZE

SIZE = (900, 560)
AREA = (80, 95, 640, 490)
"""Where the curves go: left, top, right, bottom, pixels."""
GRID = (60, 64, 70)
TEXT_SIZE, DOT = 15, 4

Point = tuple[int, float]
"""(prompted frames or clicks, score from 0 to 1)."""


def draw_curves(
    curves: Mapping[str, Sequence[Point]], title: str, x_label: str, y_label: str
) -> np.ndarray:
    """Draw curves over whole numbers from 1 on.

    Parameters
    ----------
    curves : mapping of str to sequence of (int, float)
        Name to points, in ascending order; scores lie between 0 and 1, NaN is left out.
    title, x_label, y_label : str
        What is written above, below and at the side.

    Returns
    -------
    ndarray of shape (height, width, 3), uint8
        The picture.
    """
    picture = Image.new("RGB", SIZE, PAPER)
    draw = ImageDraw.Draw(picture)
    last = max((x for points in curves.values() for x, _ in points), default=1)
    _draw_axes(draw, max(last, 2))
    draw.text((MARGIN, MARGIN), title, INK, _font(TITLE_SIZE))
    draw.text(((AREA[0] + AREA[2]) / 2, AREA[3] + 32), x_label, INK, _font(TEXT_SIZE), anchor="ma")
    draw.text((AREA[0], AREA[1] - 8), y_label, INK, _font(TEXT_SIZE), anchor="ls")
    for number, (name, points) in enumerate(curves.items()):
        colour = PALETTE[number % len(PALETTE)]
        _draw_curve(draw, points, max(last, 2), colour)
        _draw_name(draw, number, name, colour)
    return np.asarray(picture)


def place(point: Point, last: int) -> tuple[float, float]:
    """Return where a point lies in the picture, (x, y) in pixels, when the axis runs from 1 to `last`."""
    left, top, right, bottom = AREA
    x, y = point
    return left + (x - 1) / (last - 1) * (right - left), bottom - y * (bottom - top)


def _draw_axes(draw: ImageDraw.ImageDraw, last: int) -> None:
    for tenth in range(0, 11, 2):
        left, y = place((1, tenth / 10), last)
        draw.line((left, y, AREA[2], y), GRID)
        draw.text((left - 10, y), f"{tenth / 10:.1f}", FAINT, _font(TEXT_SIZE), anchor="rm")
    for x in range(1, last + 1, max(last // 10, 1)):
        column, bottom = place((x, 0.0), last)
        draw.line((column, bottom, column, bottom + 5), FAINT)
        draw.text((column, bottom + 10), str(x), FAINT, _font(TEXT_SIZE), anchor="ma")


def _draw_curve(
    draw: ImageDraw.ImageDraw, points: Sequence[Point], last: int, colour: tuple[int, int, int]
) -> None:
    places = [place(point, last) for point in points if not np.isnan(point[1])]
    for start, end in pairwise(places):
        draw.line((*start, *end), colour, width=2)
    for x, y in places:
        draw.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), fill=colour)


def _draw_name(
    draw: ImageDraw.ImageDraw, number: int, name: str, colour: tuple[int, int, int]
) -> None:
    x, y = AREA[2] + 30, AREA[1] + 12 + number * (TEXT_SIZE + 9)
    draw.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), fill=colour)
    draw.text((x + 14, y), _shortened(name, SIZE[0] - x - 14 - 5), INK, _font(TEXT_SIZE), "lm")


def _shortened(name: str, width: float) -> str:
    """Cut the start of a name that is too wide: paths differ at their end."""
    font = _font(TEXT_SIZE)
    if font.getlength(name) <= width:
        return name
    while name and font.getlength("…" + name) > width:
        name = name[1:]
    return "…" + name


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
