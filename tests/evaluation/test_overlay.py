from __future__ import annotations

import numpy as np
from PIL import Image

from napari_sam2.evaluation.overlay import (
    PALETTE,
    PAPER,
    SheetStyle,
    _choose_frames,
    contact_sheet,
    write_png,
)
from napari_sam2.testing import moving_discs


def test_a_sheet_shows_evenly_spread_frames_up_to_the_limit():
    video, labels = moving_discs(30, 64, 2)
    style = SheetStyle(tile=64, columns=3, max_frames=6, ids=False)
    sheet = contact_sheet(video, labels, "t", style=style)
    assert sheet.dtype == np.uint8
    one_row = contact_sheet(video[:3], labels[:3], "t", style=style)
    assert sheet.shape[1] == one_row.shape[1]
    assert sheet.shape[0] - one_row.shape[0] > 64


def test_objects_are_outlined_in_their_own_colours_and_the_rest_is_grey():
    video, labels = moving_discs(2, 64, 2)
    style = SheetStyle(tile=256, ids=False)
    sheet = contact_sheet(video, labels, "t", style=style).reshape(-1, 3)
    shown = {tuple(colour) for colour in np.unique(sheet, axis=0)}
    assert {PALETTE[0], PALETTE[1]} <= shown
    assert PALETTE[2] not in shown
    plain = contact_sheet(video, np.zeros_like(labels), "t", style=style)
    assert not (
        {PALETTE[0], PALETTE[1]} & {tuple(c) for c in np.unique(plain.reshape(-1, 3), axis=0)}
    )


def test_a_long_header_line_is_not_cut():
    video, labels = moving_discs(1, 32, 1)
    line = "a header line that is longer than one small tile is wide, by far"
    sheet = contact_sheet(video, labels, "t", [line], style=SheetStyle(tile=32, ids=False))
    assert (sheet[:, -10:] == PAPER).all()  # the right margin stays empty
    assert sheet.shape[1] > 300


def test_truth_and_clicks_are_drawn_in_white():
    video, labels = moving_discs(1, 64, 1)
    style = SheetStyle(tile=256, ids=False)
    nothing = np.zeros_like(labels)

    def white(sheet):
        return int((sheet == 255).all(axis=-1).sum())

    plain = white(contact_sheet(video, nothing, "t", style=style))
    with_truth = white(contact_sheet(video, nothing, "t", truth=labels, style=style))
    with_click = white(contact_sheet(video, nothing, "t", clicks={0: [(50.0, 50.0)]}, style=style))
    assert with_truth > plain + 50
    assert with_click > plain + 10


def test_colour_frames_and_nan_are_shown():
    colour = np.random.default_rng(0).integers(0, 255, (2, 40, 50, 3)).astype(np.uint8)
    labels = np.zeros((2, 40, 50), np.uint16)
    assert contact_sheet(colour, labels, "t").ndim == 3
    holes = np.where(np.arange(2000).reshape(1, 40, 50) % 7 == 0, np.nan, 1.0)
    assert contact_sheet(holes, labels[:1], "t").ndim == 3


def test_a_sheet_is_written_as_png(tmp_path):
    video, labels = moving_discs(2, 32, 1)
    sheet = contact_sheet(video, labels, "t")
    write_png(tmp_path / "overlay.png", sheet)
    with Image.open(tmp_path / "overlay.png") as picture:
        assert picture.format == "PNG"
        assert np.array_equal(np.asarray(picture), sheet)


def test_clicked_frames_are_always_shown():
    assert _choose_frames(24, [0], 8) == [0, 3, 7, 10, 13, 16, 20, 23]
    assert _choose_frames(37, [12, 13], 4) == [0, 12, 13, 36]
    assert _choose_frames(3, [1], 8) == [0, 1, 2]
    assert len(_choose_frames(50, list(range(20)), 8)) == 8
