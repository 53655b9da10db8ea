"""Draw what a training run logged: overlap on its own clips, mean over 100 steps each.

    python benchmarks/training_curve.py RUN/log.csv --out CURVE.png

Several logs are drawn one after the other, as runs that went on from each other's weights.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

from napari_sam2.evaluation.plot import Point, draw_curves
from napari_sam2.evaluation.scores import mean_of

NAMES = {
    "click_iou": "click, chosen",
    "click_best": "click, best of three",
    "box_iou": "box",
    "tracked_iou": "tracked",
    "gap_iou": "tracked, after a gap",
    "presence": "presence, right",
}
STEPS = 100

Row = tuple[int, Mapping[str, float]]


def read_log(path: Path, after: int = 0) -> Iterator[Row]:
    """Yield step, counted from `after`, and numbers of each row of a log; what validation wrote is left out."""
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            numbers = json.loads(row["numbers"])
            if not any(name.startswith("valid_") for name in numbers):
                yield after + int(row["step"]), numbers


def read_logs(paths: Sequence[Path]) -> list[Row]:
    """Return the rows of logs that follow each other."""
    rows: list[Row] = []
    for path in paths:
        rows += read_log(path, rows[-1][0] if rows else 0)
    return rows


def curves(rows: Sequence[Row]) -> dict[str, list[Point]]:
    """Return one curve for each of `NAMES` that was logged: hundreds of steps, mean value.

    A hundred that the run did not finish is left out, unless it is the only one: few steps say little.
    """
    finished = max(1, rows[-1][0] // STEPS) if rows else 0
    grouped: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for step, numbers in rows:
        for name in NAMES.keys() & numbers.keys():
            grouped[name][(step + STEPS - 1) // STEPS].append(numbers[name])
    return {
        title: [
            (index, mean_of(values))
            for index, values in sorted(grouped[name].items())
            if index <= finished
        ]
        for name, title in NAMES.items()
        if name in grouped
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("logs", type=Path, nargs="+", metavar="LOG")
    parser.add_argument("--out", type=Path, default=Path("training_curve.png"))
    options = parser.parse_args()
    for path in options.logs:
        if not path.is_file():
            parser.error(f"there is no log {path}; a run writes log.csv into its folder")
    picture = draw_curves(
        curves(read_logs(options.logs)), "Training clips", f"steps / {STEPS}", "IoU, or share"
    )
    Image.fromarray(picture).save(options.out)
    print(options.out)


if __name__ == "__main__":
    main()
