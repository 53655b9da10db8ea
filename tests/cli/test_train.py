"""``napari-sam2 train``."""

from __future__ import annotations

import pytest

from napari_sam2.cli.main import WRONG_INPUT, run


def test_help_names_the_options(capsys):
    assert run(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    for option in ("--out", "--steps", "--minutes", "--seed", "--resume", "--init", "--device"):
        assert option in shown


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--device", "tpu"], "cpu or cuda"),
        pytest.param(
            ["--device", "cuda"],
            "no cuda device",
            marks=pytest.mark.skipif("__import__('torch').cuda.is_available()"),
        ),
        (["--resume", "nowhere"], "nowhere"),
        (["--init", "nothing.safetensors"], "nothing.safetensors"),
        (["--seed", "2000000"], "seed"),
        (["--steps", "0", "--minutes", "0"], "minutes"),
        (["--config", "giant"], "giant"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_two(arguments, expected, capsys, tmp_path):
    assert run(["train", "--out", str(tmp_path / "run"), *arguments]) == WRONG_INPUT
    shown = capsys.readouterr().err.strip()
    assert expected in shown
    assert "\n" not in shown
    assert not (tmp_path / "run").exists()
