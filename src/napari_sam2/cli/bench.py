"""``napari-sam2 bench``: how long a frame takes on this computer, and where the time goes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_sam2.cli.console import new_app
from napari_sam2.cli.options import Device, PrecisionOption, QualityOption

if TYPE_CHECKING:
    from napari_sam2.inference.speed import Speed

app = new_app()


@app.command()
def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="Such as nano or tiny; these two by default."),
    ] = None,
    device: Device = "auto",
    precision: PrecisionOption = "auto",
    quality: QualityOption = "auto",
    flops: Annotated[
        bool,
        typer.Option(
            "--flops", help="Every part: its products, and its part of the machine's matrix rate."
        ),
    ] = False,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of which the fastest counts.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for a program.")] = False,
) -> None:
    """Measure how long one object takes on one frame here. Nothing is downloaded: weights are random."""
    from napari_sam2.inference.device import DevicePolicy
    from napari_sam2.inference.speed import speed_of
    from napari_sam2.io.weights import EMBEDDED, entry_of
    from napari_sam2.model.config import preset

    speeds = []
    for name in models or ["nano", "tiny"]:
        model = EMBEDDED if name == EMBEDDED else entry_of(name).name
        is_large = preset(model).image_size > preset("nano").image_size
        policy = DevicePolicy.choose(device, precision, is_large=is_large)
        speed = speed_of(model, policy, quality=quality, repeats=repeats)
        speeds.append(speed)
        if not as_json:
            _print(speed, flops)
    if as_json:
        typer.echo(json.dumps([_facts(speed) for speed in speeds], indent=2))


def _facts(speed: Speed) -> dict[str, Any]:
    return asdict(speed) | {"seconds": speed.seconds}


def _print(speed: Speed, with_parts: bool) -> None:
    typer.echo(
        f"{speed.model}: {speed.seconds:.3f} s an object and frame, {1 / speed.seconds:.1f} a second "
        f"({speed.device}, {speed.precision}, side {speed.side})"
    )
    if not with_parts:
        return
    for part in speed.parts:
        share = part.gflops / speed.rate
        typer.echo(
            f"  {part.name:18s} {part.gmac:8.1f} GMAC {part.seconds:8.3f} s "
            f"{part.gflops:7.0f} GFLOP/s, {share:4.0%} of the machine's"
        )
    typer.echo(f"  matrix products {speed.rate:.0f} GFLOP/s in {speed.precision}")
