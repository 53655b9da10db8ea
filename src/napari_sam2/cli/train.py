"""``napari-sam2 train``: trains the embedded model, or one like it, on generated images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_sam2.cli.console import new_app, progress_bar
from napari_sam2.core.errors import OptionError

app = new_app()


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Run folder: log, checkpoint and weights.")] = Path(
        "runs/nano"
    ),
    steps: Annotated[int, typer.Option(min=0, help="Length in steps; 0: by --minutes.")] = 0,
    minutes: Annotated[float, typer.Option(help="Length in minutes.")] = 60.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads; see also torchrun.")] = 2,
    seed: Annotated[int, typer.Option(help="Below 1000000.")] = 0,
    resume: Annotated[
        Path | None, typer.Option(help="Continue the run in this folder after a stop or kill.")
    ] = None,
    init: Annotated[Path | None, typer.Option(help="Weights (safetensors) to start from.")] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda; images are drawn there, too.")] = "cpu",
    batch: Annotated[
        int | None, typer.Option(min=1, help="Amounts of a step, times this: 1 on cpu, 16 on cuda.")
    ] = None,
    config: Annotated[str, typer.Option(help="Preset of the network.")] = "nano",
    stacks: Annotated[
        Path | None,
        typer.Option(help="Folder of stacks with reference masks to watch, never to train on."),
    ] = None,
) -> None:
    """Train on generated images; no picture is read or downloaded. Ctrl+C stops; --resume goes on."""
    for path, name in ((resume and resume / "checkpoint.pt", "--resume"), (init, "--init")):
        if path is not None and not path.is_file():
            raise OptionError(f"{name}: there is no file {path}", remedy="check the path")

    from napari_sam2.training.__main__ import make_trainer

    validate = None
    if stacks is not None:
        from napari_sam2.cli.validation import StackValidator

        validate = StackValidator(stacks)
    try:
        trainer = make_trainer(
            out,
            steps=steps,
            minutes=minutes,
            threads=threads,
            seed=seed,
            resume=resume,
            init=init,
            config=config,
            device=device,
            batch=batch,
            validate=validate,
        )
    except ValueError as error:
        raise OptionError(str(error), remedy="see 'napari-sam2 train --help'") from error
    with progress_bar(1000, "training") as bar:
        weights = trainer.run(lambda it: bar.update(int(1000 * it.progress) - bar.pos))
    typer.echo(weights)
