"""A CSV of measurements: one row an object and frame."""

from __future__ import annotations

import csv
from dataclasses import fields
from pathlib import Path
from typing import Any

from napari_sam2.core.measures import Measurement, measure
from napari_sam2.core.results import LabelResult

_RISKY = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would run as a formula."""


def write_table(path: Path, result: LabelResult) -> None:
    """Write the table; axes by their names, numbers with a point."""
    axes = [
        label or f"axis_{number}" for number, label in enumerate(result.source.placement.labels)
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_header(axes))
        for item in measure(result):
            writer.writerow(_row(item))


def _header(axes: list[str]) -> list[str]:
    names = []
    for item in fields(Measurement):
        if item.name in ("centroid", "world"):
            names += [f"{item.name}_{axis}" for axis in axes]
        else:
            names.append(item.name)
    return names


def _row(item: Measurement) -> list[str]:
    cells = []
    for part in fields(Measurement):
        value = getattr(item, part.name)
        cells += [_cell(inner) for inner in (value if isinstance(value, tuple) else (value,))]
    return cells


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.9g}"  # positions on a stage have many digits
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_RISKY) else text
