"""The bundled samples as napari layers, with their truth as a hidden layer."""

from __future__ import annotations

from typing import Any

from napari_sam2.io.samples import load_sample

LayerData = tuple[Any, dict[str, Any], str]


def cells_timelapse() -> list[LayerData]:
    """Return the 2-D time-lapse of stained cells."""
    return _layers("cells_timelapse")


def ct_volume() -> list[LayerData]:
    """Return the CT-like volume of an abdomen."""
    return _layers("ct_volume")


def _layers(name: str) -> list[LayerData]:
    sample = load_sample(name)
    placed = {
        "scale": sample.scale,
        "units": sample.units,
        "axis_labels": sample.axis_labels,
    }
    looks = {"name": sample.name, "contrast_limits": sample.contrast_limits, "colormap": "gray"}
    truth = {"name": f"{sample.name} truth", "visible": False, "opacity": 0.5}
    return [
        (sample.image, {**placed, **looks}, "image"),
        (sample.labels, {**placed, **truth}, "labels"),
    ]
