"""Encodings of place and time: their conventions, and what rotations leave unchanged."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2.model.positions import (
    FourierEncoding,
    exchanged,
    rotary_table,
    rotate,
    sine_grid,
    sine_line,
)
from napari_sam2.model.prompt_encoder import BOTTOM_RIGHT, NOT_A_POINT, PromptEncoder
from napari_sam2.testing import tiny_sam2

CPU = torch.device("cpu")
WIDTH = 16


def test_the_sine_grid_has_y_first_then_x_each_sine_and_cosine_in_turn() -> None:
    height, length, y, x = 3, 5, 1, 4
    code = sine_grid(WIDTH, height, length, CPU)
    assert code.shape == (1, WIDTH, height, length)
    half = WIDTH // 2
    expected = []
    for position, size in ((y, height), (x, length)):
        phase = 2 * math.pi * (position + 1) / size
        for pair in range(half // 2):
            turned = phase / 10000 ** (2 * pair / half)
            expected += [math.sin(turned), math.cos(turned)]
    torch.testing.assert_close(code[0, :, y, x], torch.tensor(expected), atol=1e-5, rtol=0)


def test_the_sine_line_has_all_sines_then_all_cosines() -> None:
    offsets = torch.tensor([0.0, 0.2, -1.5])
    code = sine_line(offsets, 8)
    assert torch.equal(code[0], torch.tensor([0.0] * 4 + [1.0] * 4))
    frequencies = [1.0, 1.0, 0.01, 0.01]  # pairwise equal
    expected = [math.sin(-1.5 * f) for f in frequencies] + [math.cos(1.5 * f) for f in frequencies]
    torch.testing.assert_close(code[2], torch.tensor(expected))


@pytest.mark.parametrize(
    "make",
    [
        lambda: sine_grid(24, 7, 9, CPU),
        lambda: rotary_table(24, 7, 9, 123.0, CPU, torch.float32)[0],
    ],
)
def test_a_constant_made_under_inference_mode_can_be_trained_with(make) -> None:
    with torch.inference_mode():
        constant = make()
    weight = torch.ones(1, requires_grad=True)
    (weight * constant).sum().backward()
    assert not constant.is_inference()
    assert weight.grad is not None


def test_a_click_on_a_cell_centre_has_the_code_of_the_cell() -> None:
    torch.manual_seed(0)
    fourier = FourierEncoding(WIDTH, 1.0)
    grid = fourier.grid(4, 6)
    centre = torch.tensor([(5 + 0.5) / 6, (2 + 0.5) / 4])  # x, y
    torch.testing.assert_close(grid[0, :, 2, 5], fourier(centre))


def test_points_are_moved_to_their_pixel_centre_and_padding_has_no_place() -> None:
    encoder: PromptEncoder = tiny_sam2().prompt_encoder
    points = torch.tensor([[[10.0, 20.0], [10.0, 20.0], [30.0, 5.0], [40.0, 6.0]]])
    labels = torch.tensor([[0, BOTTOM_RIGHT, NOT_A_POINT, NOT_A_POINT]])
    tokens = encoder.tokens(points, labels)[0]
    code = encoder.fourier(torch.tensor([10.5, 20.5]) / 64)
    torch.testing.assert_close(tokens[0], code + encoder.point_types[0].weight[0])
    torch.testing.assert_close(tokens[1], code + encoder.point_types[3].weight[0])
    assert torch.equal(tokens[2], encoder.not_a_point.weight[0])
    assert torch.equal(tokens[3], encoder.not_a_point.weight[0])


def test_a_wider_scale_turns_faster_with_distance() -> None:
    torch.manual_seed(0)
    near = FourierEncoding(512, 0.5)
    torch.manual_seed(0)
    far = FourierEncoding(512, 2.0)
    pair = torch.tensor([[0.5, 0.5], [0.55, 0.5]])
    likeness = [torch.cosine_similarity(*code(pair), dim=0) for code in (near, far)]
    assert likeness[0] > likeness[1]


def turned_at(vector, cell, height, length):
    """Rotate `vector` as the token of `cell` (y, x) of a grid."""
    table = rotary_table(len(vector), height, length, 10000.0, CPU, torch.float32)
    row = cell[0] * length + cell[1]
    tokens = torch.zeros(1, height * length, len(vector))
    tokens[0, row] = vector
    return turned(tokens, table)[0, row]


def turned(tokens, table):
    """Rotate a copy of tokens."""
    return rotate(tokens.clone(), exchanged(tokens, 2), table)


cells = st.tuples(st.integers(0, 5), st.integers(0, 8))


@settings(max_examples=60)
@given(cells, cells, st.tuples(st.integers(-5, 5), st.integers(-8, 8)), st.integers(0, 99))
def test_a_rotated_product_depends_on_the_offset_of_two_cells_only(first, second, shift, seed):
    moved = [(y + shift[0], x + shift[1]) for y, x in (first, second)]
    if not all(0 <= y < 6 and 0 <= x < 9 for y, x in moved):
        moved = [first, second]
    generator = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, WIDTH, generator=generator)
    products = [
        turned_at(query, a, 6, 9) @ turned_at(key, b, 6, 9) for a, b in ((first, second), moved)
    ]
    torch.testing.assert_close(products[0], products[1], atol=2e-4, rtol=0)


@given(cells, st.integers(0, 99))
def test_a_rotation_keeps_length_and_leaves_the_first_cell(cell, seed):
    vector = torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(turned_at(vector, cell, 6, 9).norm(), vector.norm())
    assert torch.equal(turned_at(vector, (0, 0), 6, 9), vector)


def test_x_turns_the_first_half_of_the_channels_and_y_the_second() -> None:
    vector = torch.ones(WIDTH)
    right, down = turned_at(vector, (0, 3), 6, 9), turned_at(vector, (3, 0), 6, 9)
    half = WIDTH // 2
    assert torch.equal(right[half:], vector[half:])
    assert (right[:half] != 1).all()
    assert torch.equal(down[:half], vector[:half])
    assert (down[half:] != 1).all()


def test_several_frames_of_cells_are_turned_alike_and_keep_their_dtype() -> None:
    table = rotary_table(WIDTH, 2, 3, 10000.0, CPU, torch.float32)
    frames = torch.randn(2, 3 * 6, WIDTH)
    whole = turned(frames, table)
    for start in (0, 6, 12):
        part = slice(start, start + 6)
        assert torch.equal(whole[:, part], turned(frames[:, part], table))
    assert turned(frames.bfloat16(), table).dtype == torch.bfloat16
    assert rotate(frames, exchanged(frames, 2), table) is frames


def test_channels_of_a_pair_are_exchanged_along_any_axis() -> None:
    values = torch.arange(8.0).view(4, 2)
    assert exchanged(values, 0)[:, 0].tolist() == [2, 0, 6, 4]
    assert exchanged(values, 1)[0].tolist() == [1, 0]
