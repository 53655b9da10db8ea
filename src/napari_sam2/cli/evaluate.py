"""``napari-sam2 evaluate``: how good a model is on stacks with reference masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_sam2.cli.console import new_app, progress_bar
from napari_sam2.cli.options import Device, Focus, PrecisionOption, QualityOption
from napari_sam2.core.errors import FileFormatError, OptionError
from napari_sam2.core.options import NATIVE, InferenceOptions

if TYPE_CHECKING:
    import numpy as np

    from napari_sam2.core.references import ReferenceStack
    from napari_sam2.evaluation.clicks import Annotator
    from napari_sam2.evaluation.protocols import Protocol
    from napari_sam2.evaluation.results import StackResult
    from napari_sam2.evaluation.sessions import Progress, TrackingSession
    from napari_sam2.evaluation.tables import Evaluation
    from napari_sam2.io.references import ReferenceFile

app = new_app()

_BAR_STEPS = 1000


@app.command()
def evaluate(
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE",
            help="Stack; alone: .npz with image and labels, a folder of these, or DAVIS layout.",
        ),
    ],
    labels: Annotated[
        str | None,
        typer.Argument(metavar="[LABELS]", help="Label stack, or ARCHIVE.npz:ARRAY."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="A name or a file; may be given again. Default: nano."),
    ] = None,
    method: Annotated[
        Literal["model", "copy", "otsu"],
        typer.Option(help="copy, otsu: the floors, which need no model."),
    ] = "model",
    protocol: Annotated[
        Literal["vos", "offline", "online", "image"],
        typer.Option(
            help="One frame prompted; the worst frames corrected; tracking paused; one frame alone."
        ),
    ] = "vos",
    prompt: Annotated[
        Literal["click", "3-clicks", "5-clicks", "box", "mask"] | None,
        typer.Option(help="On the first frame. Default: mask; 3-clicks in offline and online."),
    ] = None,
    clicks: Annotated[
        int | None,
        typer.Option(min=1, help="On a corrected frame (3); in image: in all (5)."),
    ] = None,
    prompted_frames: Annotated[
        int, typer.Option(min=1, help="At most, in offline and online.")
    ] = 8,
    pause: Annotated[
        float, typer.Option(min=0, max=1, help="IoU below which online pauses.")
    ] = 0.75,
    target: Annotated[
        float, typer.Option(min=0, max=1, help="J&F (image: IoU) that is good enough.")
    ] = 0.75,
    noisy: Annotated[
        bool, typer.Option("--noisy", help="Jittered clicks and loose boxes.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the noisy annotator.")] = 0,
    kind: Annotated[
        Literal["auto", "time", "z"],
        typer.Option(help="Objects are prompted first in time, largest in z. auto: by the file."),
    ] = "auto",
    axis: Annotated[int, typer.Option(min=0, max=2, help="Frame axis.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many stacks.")] = None,
    objects: Annotated[int | None, typer.Option(min=1, help="Only so many a stack.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Only so many a stack.")] = None,
    device: Device = "auto",
    quality: QualityOption = "auto",
    precision: PrecisionOption = "auto",
    focus: Focus = True,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="OUT.json", help="All scores to write; replaced if it exists."
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="OUT.png", help="J&F by prompted frames, a curve a model."),
    ] = None,
) -> None:
    """Let a simulated person prompt the objects of stacks with reference masks, and score what a model makes of it."""
    _check_outputs(json_file, plot)
    _check_method(method, bool(model) or noisy, protocol, prompt)
    from napari_sam2.evaluation.clicks import Annotator
    from napari_sam2.io.references import find_references

    plan = _protocol(protocol, prompt, clicks, prompted_frames, pause)
    person = Annotator(noisy, seed)
    options = replace(NATIVE, focus=focus, quality=quality, precision=precision)
    jobs: list[_Floor | _Model] = (
        [_Model(name, device, options, plan, person, target) for name in _known(model or ["nano"])]
        if method == "model"
        else [_Floor(method)]
    )
    files = find_references(image, labels)[:limit]
    stacks = _Stacks(files, axis, kind, objects=objects, frames=frames)
    stacks.check()
    _write([_run(job, stacks) for job in jobs], json_file, plot)


def _check_outputs(json_file: Path | None, plot: Path | None) -> None:
    """Refuse what cannot be written before hours are spent on it."""
    for path, suffix in ((json_file, ".json"), (plot, ".png")):
        if path is not None and (path.suffix.lower() != suffix or not path.parent.is_dir()):
            raise FileFormatError(
                f"results cannot be written to {path}",
                remedy=f"give a name that ends in {suffix}, in a folder that exists",
                kept="no file was written",
            )


def _check_method(method: str, has_model_options: bool, protocol: str, prompt: str | None) -> None:
    """Refuse options that a floor would leave unread."""
    if method == "model":
        return
    taken = {"copy": "mask", "otsu": "click"}[method]
    if has_model_options or protocol != "vos" or prompt not in (None, taken):
        raise OptionError(
            f"--method {method} takes no --model and no --noisy, the protocol vos and the prompt {taken}",
            remedy="leave these options out",
        )


def _known(models: Sequence[str]) -> list[str]:
    """Return the models, each once; a missing one is refused before another has run."""
    from napari_sam2.io.weights import resolve

    for name in models:
        resolve(name)
    return list(dict.fromkeys(models))


def _protocol(
    name: Literal["vos", "offline", "online", "image"],
    prompt: Any,
    clicks: int | None,
    max_frames: int,
    pause: float,
) -> Protocol:
    from napari_sam2.evaluation.protocols import Protocol

    first = {"vos": "mask", "image": "click"}.get(name, "3-clicks")
    if name == "vos" and clicks is not None:
        raise OptionError(
            "--clicks is for offline, online and image",
            remedy="with vos, take --prompt click, 3-clicks or 5-clicks",
        )
    count = clicks or (5 if name == "image" else 3)
    return Protocol(name, prompt or first, count, max_frames, pause)


@dataclass(frozen=True, slots=True)
class _Stacks:
    """The stacks to work on, read one at a time."""

    files: tuple[ReferenceFile, ...]
    axis: int
    kind: Literal["auto", "time", "z"]
    objects: int | None
    frames: int | None

    def __iter__(self) -> Iterator[ReferenceStack]:
        kind = None if self.kind == "auto" else self.kind
        for file in self.files:
            yield file.read(self.axis, kind).limited(self.frames, self.objects)

    def check(self) -> None:
        """Read every stack once, so that a wrong one is refused before hours are spent on others."""
        from napari_sam2.evaluation.stacks import first_prompts

        for stack in self:
            first_prompts(stack)


@dataclass(frozen=True, slots=True)
class _Floor:
    """A method that needs no model."""

    name: Literal["copy", "otsu"]

    def evaluate(self, stack: ReferenceStack, progress: Progress) -> StackResult:
        from napari_sam2.evaluation.stacks import evaluate_floor

        return evaluate_floor(stack, self.name)

    def evaluation(self, results: Sequence[StackResult]) -> Evaluation:
        from napari_sam2 import __version__
        from napari_sam2.evaluation.tables import Evaluation

        return Evaluation(self.name, None, __version__, self.name, tuple(results))


@dataclass(frozen=True, slots=True)
class _Model:
    """A model, and how it is prompted."""

    name: str
    device: Literal["auto", "cpu", "cuda", "mps"]
    options: InferenceOptions
    protocol: Protocol
    annotator: Annotator
    target: float

    def evaluate(self, stack: ReferenceStack, progress: Progress) -> StackResult:
        from napari_sam2.evaluation.stacks import evaluate_stack

        return evaluate_stack(
            stack,
            self._open,
            self.protocol,
            self.annotator,
            target=self.target,
            progress=progress,
        )

    def _open(self, image: np.ndarray) -> TrackingSession:
        return open_session(image, self.name, self.device, self.options)

    def evaluation(self, results: Sequence[StackResult]) -> Evaluation:
        from napari_sam2 import __version__
        from napari_sam2.evaluation.tables import Evaluation
        from napari_sam2.io.weights import weights_sha256

        return Evaluation(
            self.name,
            weights_sha256(self.name),
            __version__,
            "model",
            tuple(results),
            self.protocol,
            self.annotator,
            self.options.focus,
            self.options.quality,
            self.options.precision,
        )


def open_session(
    image: np.ndarray, model: str, device: Any, options: InferenceOptions
) -> TrackingSession:
    """Open a session of a model on an image stack (T, Y, X) or (T, Y, X, 3)."""
    from napari_sam2.api import Session

    return Session(image, axis=0, model=model, rgb=image.ndim == 4, device=device, options=options)


def _run(job: _Floor | _Model, stacks: _Stacks) -> Evaluation:
    """Work on all stacks and print each result as it is there."""
    from napari_sam2.evaluation.tables import SUMMARY_HEAD, summary_line

    typer.echo(job.name)
    typer.echo(SUMMARY_HEAD)
    results = []
    for stack in stacks:
        with progress_bar(_BAR_STEPS, stack.name) as bar:
            results.append(job.evaluate(stack, _moving(bar)))
        typer.echo(summary_line(results[-1]))
    evaluation = job.evaluation(results)
    _print_means(evaluation)
    return evaluation


def _moving(bar: Any) -> Callable[[float], None]:
    return lambda done: bar.update(round(_BAR_STEPS * done) - bar.pos)


def _print_means(evaluation: Evaluation) -> None:
    from napari_sam2.evaluation.results import group_means
    from napari_sam2.evaluation.tables import curve_table, summary_line, target_line

    if len(evaluation.results) > 1:
        groups = group_means(evaluation.results)
        for mean in (*(groups if len(groups) > 1 else ()), evaluation.mean):
            typer.echo(summary_line(mean))
    mean = evaluation.mean
    if len(mean.curve) > 1:
        typer.echo(curve_table(mean.curve, _unit(evaluation)))
    if mean.target is not None:
        typer.echo(target_line(mean.target, "IoU" if _is_image(evaluation) else "J&F"))


def _is_image(evaluation: Evaluation) -> bool:
    return evaluation.protocol is not None and evaluation.protocol.name == "image"


def _unit(evaluation: Evaluation) -> str:
    return "click" if _is_image(evaluation) else "prompted frames"


def _write(evaluations: Sequence[Evaluation], json_file: Path | None, plot: Path | None) -> None:
    from napari_sam2.evaluation.overlay import write_png
    from napari_sam2.evaluation.tables import to_json
    from napari_sam2.io.atomic import replacing

    if json_file is not None:
        with replacing(json_file) as temporary:
            temporary.write_text(to_json(evaluations), encoding="utf-8")
    if plot is not None:
        with replacing(plot) as temporary:
            write_png(temporary, _picture(evaluations))


def _picture(evaluations: Sequence[Evaluation]) -> np.ndarray:
    from napari_sam2.evaluation.plot import draw_curves

    first = evaluations[0]
    curves = {
        evaluation.model: [(point.number, point.mean.JF) for point in evaluation.mean.curve]
        for evaluation in evaluations
    }
    how = first.method if first.protocol is None else f"protocol {first.protocol.name}"
    title = f"{how}, objects: {first.mean.num_objects}, stacks: {len(first.results)}"
    return draw_curves(curves, title, _unit(first) + ("s" * _is_image(first)), "J&F")
