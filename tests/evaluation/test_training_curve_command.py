"""``benchmarks/training_curve.py`` draws logs one after the other."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

COMMAND = Path(__file__).parents[2] / "benchmarks" / "training_curve.py"


def write_log(path, steps, value):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "minutes", "stage", "loss", "numbers"])
        for step in steps:
            numbers = json.dumps({"click_iou": value, "box_iou": 1.0})
            writer.writerow([step, 0, "window", 1.0, numbers])
        writer.writerow([max(steps), 0, "window", "nan", json.dumps({"valid_click_iou": 0.0})])


def test_two_logs_are_one_curve(tmp_path):
    first, second, out = tmp_path / "first.csv", tmp_path / "second.csv", tmp_path / "curve.png"
    write_log(first, range(20, 201, 20), 0.2)
    write_log(second, range(20, 341, 20), 0.8)  # the last hundred is not finished
    script = (
        f"import sys; sys.path.insert(0, {str(COMMAND.parent)!r})\n"
        "import training_curve as it; from pathlib import Path\n"
        f"rows = it.read_logs([Path({str(first)!r}), Path({str(second)!r})])\n"
        "import json; print(json.dumps(it.curves(rows)['click, chosen']))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    points = [(n, 0.2 if n <= 2 else 0.8) for n in range(1, 6)]
    assert [(n, round(v, 6)) for n, v in json.loads(shown.stdout)] == points
    done = subprocess.run(
        [sys.executable, str(COMMAND), str(first), str(second), "--out", str(out)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(Image.open(out).convert("RGB").getcolors(1 << 20)) > 5
