"""``napari-sam2 train``."""

from __future__ import annotations

import numpy as np
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


def test_a_run_can_watch_stacks_with_reference_masks(call, tmp_path):
    labels = np.zeros((3, 64, 64), np.uint16)
    labels[:, 20:36, 20:36] = 1
    np.savez(tmp_path / "square.npz", image=labels * 1000, labels=labels)
    out = tmp_path / "run"
    code, shown, _ = call("train", "--out", out, "--steps", "1", "--stacks", tmp_path)
    assert code == 0
    assert str(out / "weights.safetensors") in shown
    log = (out / "log.csv").read_text()
    assert "valid_J_square" in log
    assert "valid_tracked_iou" in log


def test_a_folder_without_stacks_is_refused_before_the_run(call, tmp_path):
    code, _, shown = call("train", "--out", tmp_path / "run", "--stacks", tmp_path)
    assert code == WRONG_INPUT
    assert str(tmp_path) in shown
    assert not (tmp_path / "run").exists()
