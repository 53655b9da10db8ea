"""``napari-sam2 info``: what a bug report needs; works even where torch or Qt does not."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from napari_sam2.cli.console import new_app

app = new_app()

_PACKAGES = ("torch", "napari", "npe2", "numpy", "scipy", "zarr", "tifffile", "safetensors", "qtpy")
_BINDINGS = ("PyQt6", "PySide6", "PyQt5")


@app.command()
def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print it for a program.")] = False,
) -> None:
    """Print versions, devices, Qt binding, folders and the models on this computer."""
    facts = collect()
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        lines = (
            [f"{key}: {item}" for key, item in value.items()] if isinstance(value, dict) else value
        )
        if isinstance(lines, list):
            typer.echo(f"{name}:")
            for line in lines or ["none"]:
                typer.echo(f"  {line}")
        else:
            typer.echo(f"{name}: {lines}")


def collect() -> dict[str, Any]:
    """Return the facts by name; nothing here raises because a library is missing or broken."""
    from napari_sam2 import __version__
    from napari_sam2.cli import cache
    from napari_sam2.io import folders, weights

    found = [(name, weights.find(name)) for name in weights.model_names()]
    return {
        "napari-sam2": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "devices": _devices(),
        "qt": _qt(),
        "cache folder": str(folders.cache_folder()),
        "encoded frames": cache.status(),
        "offline folder": str(folders.offline_folder() or "not set"),
        "models": {name: str(path) for name, path in found if path},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _qt() -> list[str]:
    installed = [
        f"{name} {_version(name)}" for name in _BINDINGS if _version(name) != "not installed"
    ]
    choice = os.environ.get("QT_API")
    return [*installed, *([f"QT_API={choice}"] if choice else [])]


def _devices() -> list[str]:
    try:
        import torch

        return [f"cpu: {torch.get_num_threads()} threads", *_accelerators(torch)]
    except Exception as error:  # noqa: BLE001  a broken installation is what this command is for
        return [f"torch cannot be used: {type(error).__name__}: {error}"]


def _accelerators(torch: Any) -> list[str]:
    devices = []
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        memory = f"{facts.total_memory / 2**30:.0f} GiB"
        driver = f"CUDA {torch.version.cuda}, capability {facts.major}.{facts.minor}"
        devices.append(f"cuda:{index}: {facts.name}, {memory}, {driver}")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices
