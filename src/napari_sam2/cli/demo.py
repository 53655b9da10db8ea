"""``napari-sam2 demo``: the main job on the bundled time-lapse, scored against its truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_sam2.cli.console import new_app, progress_bar
from napari_sam2.core.errors import OptionError

if TYPE_CHECKING:
    import numpy as np

    from napari_sam2.cli.pictures import SeenFrames
    from napari_sam2.evaluation.clicks import Click
    from napari_sam2.evaluation.report import RunReport
    from napari_sam2.io.samples import Sample

SAMPLE = "cells_timelapse"
FOLDER = Path("napari-sam2-demo")

app = new_app()


@app.command()
def demo(
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name that 'models list' shows, or a file.")
    ] = "nano",
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to write to; made if it is not there.")
    ] = FOLDER,
    gui: Annotated[bool, typer.Option("--gui", help="Show the same in napari.")] = False,
) -> None:
    """Click every cell of a bundled time-lapse once, propagate, and compare with the truth.

    Writes labels.tif, overlay.png and report.json; with --gui nothing is written.
    """
    from napari_sam2.io.samples import load_sample

    sample = load_sample(SAMPLE)
    if gui:
        _show(sample, model)
        return
    _check_folder(out)
    outcome = segment(sample, model)
    out.mkdir(parents=True, exist_ok=True)
    report = _write(out, sample, model, outcome)
    _print(report)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model made of the sample.

    `seen`: the frames as it saw them; `labels`: (T, Y, X); `clicks`: object id to frame and click.
    """

    seen: SeenFrames
    labels: np.ndarray
    clicks: dict[int, tuple[int, Click]]
    seconds_per_frame: float


def segment(sample: Sample, model: str) -> Outcome:
    """Click each object on the innermost pixel of its first frame and propagate."""
    import numpy as np

    from napari_sam2.api import Session
    from napari_sam2.cli.pictures import SeenFrames
    from napari_sam2.evaluation.objects import prompt_frames
    from napari_sam2.evaluation.sessions import StopWatch
    from napari_sam2.evaluation.stacks import simulated_clicks

    clicks = simulated_clicks(sample.labels, prompt_frames(sample.labels, "first"))
    session = Session(sample.image, axis=0, model=model)
    with progress_bar(len(clicks), "clicks") as bar:
        for object_id, (frame, click) in clicks.items():
            session.add_points(object_id, frame, [(click.y, click.x)], labels=[1])
            bar.update(1)
    run, watch = session.propagate(), StopWatch()
    with progress_bar(run.total, "frames") as bar:
        watch.drive(run, lambda done: bar.update(1))
    seen = SeenFrames(session.frames, session.mapping)
    return Outcome(seen, np.asarray(session.labels), clicks, watch.seconds_per_frame)


def _check_folder(out: Path) -> None:
    """Refuse a folder that cannot be made before the model has run."""
    blocked = [path for path in (out, *out.parents) if path.exists() and not path.is_dir()]
    if blocked:
        raise OptionError(
            f"{blocked[0]} is not a folder", remedy="give another --out", kept="nothing was written"
        )


def _write(out: Path, sample: Sample, model: str, outcome: Outcome) -> RunReport:
    """Write the labels, the picture and the report, and return the report."""
    from napari_sam2.evaluation.overlay import contact_sheet, write_png
    from napari_sam2.io.masklets import Spacing, write_labels

    report = _score(out, sample, model, outcome)
    files = report.files
    spacing = Spacing(sample.scale, sample.units[-1])
    write_labels(Path(files["labels"]), outcome.labels, spacing=spacing)
    clicked: dict[int, list[tuple[int, int]]] = {}
    for frame, click in outcome.clicks.values():
        clicked.setdefault(frame, []).append((click.y, click.x))
    picture = contact_sheet(
        outcome.seen,
        outcome.labels,
        f"napari-sam2 demo: {sample.title}",
        _header(report),
        truth=sample.labels,
        clicks=clicked,
    )
    write_png(Path(files["overlay"]), picture)
    report.write(out / "report.json")
    return report


def _score(out: Path, sample: Sample, model: str, outcome: Outcome) -> RunReport:
    from napari_sam2 import __version__
    from napari_sam2.evaluation.floors import otsu_prediction
    from napari_sam2.evaluation.objects import from_labels
    from napari_sam2.evaluation.region import copy_prediction
    from napari_sam2.evaluation.report import RunReport
    from napari_sam2.evaluation.scores import mean_score, score_frames
    from napari_sam2.evaluation.stacks import floor_score

    truth = sample.labels
    prompted = {object_id: frame for object_id, (frame, _) in outcome.clicks.items()}
    scores = mean_score(score_frames(from_labels(outcome.labels), truth, prompted))
    floors = {
        "copy": copy_prediction(truth, prompted),
        "otsu": otsu_prediction(sample.image, outcome.clicks),
    }
    return RunReport(
        model=model,
        version=__version__,
        mean_J=scores.J,
        mean_F=scores.F,
        seconds_per_frame=outcome.seconds_per_frame,
        objects=len(prompted),
        frames=len(sample.image),
        floors={name: floor_score(predict, truth, prompted) for name, predict in floors.items()},
        files={"labels": str(out / "labels.tif"), "overlay": str(out / "overlay.png")},
    )


def _header(report: RunReport) -> list[str]:
    return [
        f"model {report.model} · one click an object on the first frame, then propagation · "
        f"J {report.mean_J:.3f} · F {report.mean_F:.3f} · {report.seconds_per_frame:.2f} s a frame",
        f"coloured: result · white line: truth · white dot: click · without a model: copying the first mask "
        f"J {report.floors['copy']:.3f}, Otsu and components J {report.floors['otsu']:.3f}",
    ]


def _print(report: RunReport) -> None:
    out = Path(report.files["labels"]).parent
    typer.echo(f"labels:   {report.files['labels']}")
    typer.echo(f"overlay:  {report.files['overlay']}")
    typer.echo(f"report:   {out / 'report.json'}")
    typer.echo(
        f"{report.objects} objects on {report.frames} frames, one click each, model {report.model}, "
        f"{report.seconds_per_frame:.2f} s a frame"
    )
    typer.echo(f"region similarity J:                {report.mean_J:.3f}")
    typer.echo(f"boundary accuracy F:                {report.mean_F:.3f}")
    typer.echo(f"J of copying the first mask:        {report.floors['copy']:.3f}  (needs no model)")
    typer.echo(f"J of Otsu and connected components: {report.floors['otsu']:.3f}  (needs no model)")


def _show(sample: Sample, model: str) -> None:
    """Open napari with the sample, make the same clicks there and propagate before the reader's eyes."""
    from napari_sam2.io.weights import resolve
    from napari_sam2.plugin import launch

    resolve(model)  # a missing model is refused here, not in a window
    launch.main(sample=SAMPLE, start=lambda viewer: prompt_in(viewer, sample, model))


def prompt_in(viewer: Any, sample: Sample, model: str) -> None:
    """Click each object of the sample, which is open in a napari viewer, and propagate in the dock's worker."""
    from napari_sam2.evaluation.objects import prompt_frames
    from napari_sam2.evaluation.stacks import simulated_clicks
    from napari_sam2.plugin import launch

    session = launch.attach(viewer, viewer.layers[SAMPLE])
    controller = launch.controller_of(viewer)
    controller.choose_model(model)
    clicks = simulated_clicks(sample.labels, prompt_frames(sample.labels, "first"))
    for object_id, (frame, click) in clicks.items():
        session.add_points(object_id, frame, [(click.y, click.x)], labels=[1])
    controller.propagate()
