"""Pictures of results: frames with outlines, as one contact sheet with a header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from napari_sam2.core.masks import bounding_box
from napari_sam2.evaluation.clicks import innermost_pixel
from napari_sam2.evaluation.objects import object_ids

# Distinct on grey, also for most colour-blind readers; neighbouring ids differ most.
PALETTE = (
    (255, 176, 0), (86, 180, 233), (240, 90, 90), (0, 200, 140), (204, 121, 227), (240, 228, 66),
    (0, 150, 220), (255, 130, 60), (150, 220, 80), (255, 150, 200), (120, 140, 255), (90, 220, 220),
)  # fmt: skip
PAPER, INK, FAINT = (24, 26, 30), (240, 240, 240), (165, 170, 178)
MARGIN, GAP, CAPTION = 20, 10, 22
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 22, 15, 13


@dataclass(frozen=True, slots=True)
class SheetStyle:
    """How a contact sheet is laid out.

    `tile`: width of a frame, pixels of the picture; `columns`, `max_frames`: how many frames in a row and in all,
    spread evenly over the stack; `ids`: write each object's id on it.
    """

    tile: int = 340
    columns: int = 4
    max_frames: int = 8
    ids: bool = True


def contact_sheet(
    image: np.ndarray,
    labels: np.ndarray,
    title: str,
    lines: Sequence[str] = (),
    truth: np.ndarray | None = None,
    clicks: Mapping[int, Sequence[tuple[float, float]]] | None = None,
    style: SheetStyle | None = None,
) -> np.ndarray:
    """Draw outlines of labels over frames.

    Parameters
    ----------
    image : ndarray of shape (T, Y, X) or (T, Y, X, 3)
        Frames; grey values are shown between the 0.5 and 99.5 percentiles of the whole stack.
    labels : ndarray of shape (T, Y, X), integer
        Results; an object keeps its colour through all frames.
    title : str
        First line of the header.
    lines : sequence of str
        More lines of the header.
    truth : ndarray of shape (T, Y, X), integer, optional
        Reference, drawn as a thin white line.
    clicks : mapping of int to sequence of (y, x), optional
        Frame index to clicked positions, drawn as small rings.
    style : SheetStyle, optional
        Layout.

    Returns
    -------
    ndarray of shape (height, width, 3), uint8
        The picture.
    """
    style = style or SheetStyle()
    shown = _choose_frames(len(image), sorted(clicks or {}), style.max_frames)
    grey = _to_grey(image, shown)
    zoom = style.tile / image.shape[2]
    tiles = []
    for t, frame in zip(shown, grey, strict=True):
        tile = _enlarge(frame, zoom)
        if truth is not None:
            _draw_truth(tile, truth[t], zoom)
        _draw_labels(tile, labels[t], zoom)
        picture = Image.fromarray(tile)
        _annotate(picture, labels[t], zoom, (clicks or {}).get(t, ()), style.ids)
        tiles.append((f"frame {t}" + (" · prompted" if t in (clicks or {}) else ""), picture))
    return np.asarray(_compose(tiles, title, lines, style))


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write an RGB picture (height, width, 3), uint8."""
    Image.fromarray(picture).save(path, format="PNG", optimize=True)


def _choose_frames(count: int, clicked: Sequence[int], most: int) -> list[int]:
    """Return at most `most` frames evenly spread, each clicked one in the place of its nearest neighbour."""
    chosen = [int(t) for t in np.linspace(0, count - 1, min(count, most)).round()]
    for t in clicked[:most]:
        free = [other for other in chosen if other not in clicked]
        if t not in chosen and free:
            chosen[chosen.index(min(free, key=lambda other: abs(other - t)))] = t
    return sorted(chosen)


def _to_grey(image: np.ndarray, shown: list[int]) -> list[np.ndarray]:
    """Map the shown frames to uint8 RGB with one contrast for all."""
    if image.ndim == 4:
        return [np.asarray(image[t], np.uint8) for t in shown]
    sample = np.stack([np.asarray(image[t], np.float32) for t in shown])
    low, high = np.nanpercentile(sample, [0.5, 99.5])
    scaled = np.clip((np.nan_to_num(sample, nan=low) - low) / max(high - low, 1e-12), 0, 1)
    return [np.repeat((frame * 255).astype(np.uint8)[..., None], 3, axis=2) for frame in scaled]


def _enlarge(frame: np.ndarray, zoom: float) -> np.ndarray:
    size = (round(frame.shape[1] * zoom), round(frame.shape[0] * zoom))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)).copy()


def _smooth_mask(mask: np.ndarray, zoom: float) -> tuple[tuple[slice, slice], np.ndarray] | None:
    """Enlarge one object without stairs; return where it goes and its mask there."""
    y0, x0, y1, x1 = bounding_box(mask)
    if y0 == y1:
        return None
    y0, x0 = max(y0 - 2, 0), max(x0 - 2, 0)
    crop = mask[y0 : y1 + 2, x0 : x1 + 2].astype(np.float32)
    rows = slice(round(y0 * zoom), round((y0 + crop.shape[0]) * zoom))
    columns = slice(round(x0 * zoom), round((x0 + crop.shape[1]) * zoom))
    size = (columns.stop - columns.start, rows.stop - rows.start)
    soft = Image.fromarray(crop).resize(size, Image.Resampling.BILINEAR)
    return (rows, columns), np.asarray(soft) > 0.5


def _rim(mask: np.ndarray, width: int) -> np.ndarray:
    """Mark the outermost `width` pixels of a mask; the frame's edge is no rim."""
    return mask & ~ndimage.binary_erosion(mask, iterations=width, border_value=1)


def _draw_truth(tile: np.ndarray, labels: np.ndarray, zoom: float) -> None:
    for object_id in object_ids(labels):
        if (drawn := _smooth_mask(labels == object_id, zoom)) is not None:
            where, mask = drawn
            tile[where][ndimage.binary_dilation(mask) & ~mask] = (255, 255, 255)


def _draw_labels(tile: np.ndarray, labels: np.ndarray, zoom: float) -> None:
    for object_id in object_ids(labels):
        if (drawn := _smooth_mask(labels == object_id, zoom)) is not None:
            where, mask = drawn
            colour, area = np.array(_colour(object_id)), tile[where]
            area[mask] = (0.84 * area[mask] + 0.16 * colour).astype(np.uint8)
            area[_rim(mask, 2)] = colour


def _colour(object_id: int) -> tuple[int, int, int]:
    return PALETTE[(object_id - 1) % len(PALETTE)]


def _annotate(
    picture: Image.Image,
    labels: np.ndarray,
    zoom: float,
    clicks: Sequence[tuple[float, float]],
    ids: bool,
) -> None:
    draw = ImageDraw.Draw(picture)
    for y, x in clicks:
        cy, cx = (y + 0.5) * zoom, (x + 0.5) * zoom
        draw.ellipse((cx - 4, cy - 4, cx + 4, cy + 4), fill=(0, 0, 0))
        draw.ellipse((cx - 3, cy - 3, cx + 3, cy + 3), fill=(255, 255, 255))
    if ids:
        for object_id in object_ids(labels):
            y, x = innermost_pixel(labels == object_id)
            place = (
                (x + 0.5) * zoom,
                (y + 0.5) * zoom - 12,
            )  # above the click, which may be here too
            _outlined_text(draw, place, str(object_id))


def _outlined_text(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str) -> None:
    font = _font(TEXT_SIZE)
    draw.text(
        place, text, (255, 255, 255), font, anchor="mm", stroke_width=2, stroke_fill=(0, 0, 0)
    )


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _compose(
    tiles: list[tuple[str, Image.Image]], title: str, lines: Sequence[str], style: SheetStyle
) -> Image.Image:
    columns = min(style.columns, len(tiles))
    rows = -(-len(tiles) // columns)
    wide, tall = tiles[0][1].size[0] + GAP, tiles[0][1].size[1] + GAP + CAPTION
    header = MARGIN + TITLE_SIZE + 8 + (TEXT_SIZE + 6) * len(lines) + GAP
    width = 2 * MARGIN + columns * wide - GAP
    width = max(width, _text_width([title], TITLE_SIZE), _text_width(lines, TEXT_SIZE))
    sheet = Image.new("RGB", (width, header + rows * tall + MARGIN - GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, INK, _font(TITLE_SIZE))
    for k, line in enumerate(lines):
        y = MARGIN + TITLE_SIZE + 8 + (TEXT_SIZE + 6) * k
        draw.text((MARGIN, y), line, FAINT, _font(TEXT_SIZE))
    for k, (caption, tile) in enumerate(tiles):
        x, y = MARGIN + (k % columns) * wide, header + (k // columns) * tall
        draw.text((x, y + 2), caption, FAINT, _font(SMALL_SIZE))
        sheet.paste(tile, (x, y + CAPTION))
    return sheet


def _text_width(lines: Sequence[str], size: int) -> int:
    """Width that the sheet needs so that no line is cut."""
    return max((round(_font(size).getlength(line)) + 2 * MARGIN for line in lines), default=0)
