"""``napari-sam2 models``: which weights there are, and how they get onto this computer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_sam2.cli.console import new_app, progress_bar

app = new_app("List, fetch, find, check and convert model weights.")

_NAMES = "nano, tiny, small, base_plus, large, or a full name that 'models list' shows."


@app.command("list")
def list_models() -> None:
    """List all models, their size, and whether they are on this computer."""
    from napari_sam2.io import weights

    for name in weights.model_names():
        path = weights.find(name)
        size = path.stat().st_size if path else _published_size(name)
        where = str(path) if path else "not here"
        typer.echo(f"{name:<18} {size / 1e6:>6.1f} MB  {where}")


@app.command()
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help=_NAMES)],
    to: Annotated[
        Path | None,
        typer.Option(
            help="Folder to fetch to, for a computer without network; see NAPARI_SAM2_WEIGHTS."
        ),
    ] = None,
) -> None:
    """Download official weights; a broken download is continued, and every file is checked by its SHA-256."""
    from napari_sam2.io import weights

    if weights.EMBEDDED in names:
        typer.echo(f"{weights.EMBEDDED} is built in: {weights.local_path(weights.EMBEDDED)}")
    for entry in [weights.entry_of(name) for name in names if name != weights.EMBEDDED]:
        with progress_bar(entry.size, entry.name) as bar:
            path = weights.fetch(
                entry.name, folder=to, progress=lambda done, total: bar.update(done - bar.pos)
            )
        typer.echo(path)


@app.command()
def path(name: Annotated[str, typer.Argument(help=_NAMES)]) -> None:
    """Print where the weights of a model lie."""
    from napari_sam2.io import weights

    typer.echo(weights.local_path(name))


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME | FILE]...", help="By default, all that are here."),
    ] = None,
) -> None:
    """Check weights: official files by their SHA-256, safetensors by their structure."""
    from napari_sam2.io import weights

    present = [name for name in weights.model_names() if weights.find(name)]
    for name in names or present:
        file = weights.resolve(name)
        if name in weights.REGISTRY or name in weights.ALIASES:
            weights.open_verified(file, weights.entry_of(name)).close()
        else:
            weights.open_weights(file).file.close()
        typer.echo(f"{name}: ok  {file}")


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE.pt", help="Written by torch.save.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="By default beside it, with the ending .safetensors."),
    ] = None,
) -> None:
    """Convert your own checkpoint to safetensors, which can be used as --model.

    It is looked at and loaded in a process of its own that can neither start programs nor write anything else.
    """
    from napari_sam2.api import convert_checkpoint

    target = out or file.with_suffix(".safetensors")
    model = convert_checkpoint(file, target)
    typer.echo(f"{model}: {target}")


def _published_size(name: str) -> int:
    from napari_sam2.io import weights

    return 0 if name == weights.EMBEDDED else weights.entry_of(name).size
