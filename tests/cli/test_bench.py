"""``bench``: how long a frame takes here, without any weights."""

from __future__ import annotations

import json

import pytest


def test_bench_says_how_long_a_frame_takes_and_where_the_time_goes(call, home):
    code, out, err = call("bench", "nano", "--flops", "--repeats", 1)
    assert code == 0, err
    first, *parts = out.splitlines()
    assert first.startswith("nano: ")
    assert "an object and frame" in first
    assert "side 256" in first
    assert [line.split("  ")[1].strip() for line in parts[:4]] == [
        "trunk and neck",
        "memory attention",
        "mask decoder",
        "memory encoder",
    ]
    assert parts[-1].strip().startswith("matrix products ")


def test_bench_is_given_to_programs_as_json(call, home):
    arguments = ("--quality", "fast", "--precision", "bfloat16", "--repeats", 1, "--json")
    (speed,) = json.loads(call("bench", "nano", *arguments)[1])
    assert (speed["model"], speed["side"], speed["precision"]) == ("nano", 128, "bfloat16")
    parts = speed["parts"]
    assert speed["seconds"] == pytest.approx(sum(part["seconds"] for part in parts))
    # Patches alone, by hand: 7 x 7 x 3 x 32 products at 32 x 32 places.
    assert parts[0]["gmac"] > 7 * 7 * 3 * 32 * 32 * 32 / 1e9
    assert speed["rate"] > 1


def test_bench_counts_products_as_they_are_known(call, home):
    """A product and an attention of sizes that are counted by hand; PyTorch does not count its kernel for CPUs."""
    import torch

    from napari_sam2.inference.speed import _gmac

    first, second = torch.randn(100, 200), torch.randn(200, 300)
    assert _gmac(lambda: first @ second) == pytest.approx(100 * 200 * 300 / 1e9)
    tokens = torch.randn(1, 2, 50, 8)
    with torch.inference_mode():
        attended = _gmac(
            lambda: torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        )
    assert attended == pytest.approx(2 * 2 * 50 * 50 * 8 / 1e9)


def test_a_model_that_does_not_exist_is_refused(refuse):
    assert "there is no official model called 'huge'" in refuse("bench", "huge")
