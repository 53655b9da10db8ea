"""``napari-sam2 run``: prompts from a file, propagated through a stack, labels to a file; no window."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_sam2.cli.console import counted, new_app, progress_bar
from napari_sam2.cli.options import (
    At,
    Channel,
    Device,
    Focus,
    Level,
    NoEmbeddingCache,
    PrecisionOption,
    QualityOption,
    Series,
    StackOptions,
    Volumes,
    Window,
)
from napari_sam2.cli.outputs import Outputs
from napari_sam2.cli.replay import check_whole, inputs_of, is_session, replayed, runs_of
from napari_sam2.core.errors import LabelsError, OptionError, PromptError
from napari_sam2.core.options import NATIVE, InferenceOptions

if TYPE_CHECKING:
    from napari_sam2.api import Session
    from napari_sam2.core.ids import ObjectId
    from napari_sam2.core.objects import ObjectInfo
    from napari_sam2.io.prompts import FilePrompt, PromptFile

app = new_app()


@app.command()
def run(
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE",
            help="TIFF, zarr, NIfTI, DICOM, NRRD, .npy, .npz, a video, a folder of pictures; "
            "or a session (.sam2.json), which is done again.",
        ),
    ],
    out: Annotated[
        list[Path],
        typer.Option(
            "--out",
            "-o",
            help="What to write: .tif, .ome.zarr, .nii.gz, .dcm, .json (COCO) or .csv; may be repeated.",
        ),
    ],
    prompts: Annotated[
        Path | None, typer.Option("--prompts", "-p", help="Prompt file (JSON), or a session.")
    ] = None,
    other_image: Annotated[
        Path | None, typer.Option("--image", help="Of a session: another image of the same shape.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="Of --out, where its name does not say it: ctc or davis.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="A name that 'models list' shows, or a file; nano by default."
        ),
    ] = None,
    axis: Annotated[
        str | None,
        typer.Option(
            help="Frame axis, a number or a name, where the prompt file has none; else 0."
        ),
    ] = None,
    at: At = None,
    channel: Channel = None,
    volumes: Volumes = None,
    level: Level = 0,
    series: Series = None,
    direction: Annotated[
        Literal["both", "forward", "backward"], typer.Option(help="From the prompted frames.")
    ] = "both",
    limits: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Intensities that become black and white."),
    ] = None,
    window: Window = None,
    device: Device = "auto",
    quality: QualityOption = "auto",
    precision: PrecisionOption = "auto",
    focus: Focus = True,
    no_embedding_cache: NoEmbeddingCache = False,
    overlay: Annotated[
        Path | None, typer.Option(help="Picture of the labels over some frames to write (.png).")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report for a program.")
    ] = False,
) -> None:
    """Segment the prompted objects through a whole stack and write the labels."""
    stack = StackOptions.parse(at, channel, volumes, level, series)
    limited, cached = _limits(limits, window), False if no_embedding_cache else None
    if is_session(image):
        asked = {"prompts": prompts, "axis": axis, "limits": limits, "window": window}
        check_whole(image, asked | stack.as_arguments())
        outputs = Outputs.checked(out, format, overlay, overwrite, inputs_of(image, other_image))
        work = Work(replayed(image, other_image, model, device, cached))
    else:
        given = _checked_prompts(prompts)
        outputs = Outputs.checked(out, format, overlay, overwrite, inputs=(image, given))
        options = replace(NATIVE, focus=focus, quality=quality, precision=precision)
        arguments = stack.as_arguments() | {"embedding_cache": cached}
        work = _from_prompts(
            image, given, axis, model or "nano", limited, device, options, arguments
        )
    session = work.session
    from napari_sam2.cli.pictures import check_drawable

    start = time.perf_counter()
    if overlay is not None:
        check_drawable(session.frames.shape)
    with outputs.open(session):
        propagated = _segment(work, direction)
        seconds = time.perf_counter() - start
    if overlay is not None:
        _draw(session, image.name, overlay)
    num_prompted = sum(len(item.frames) for item in session.prompts)
    _report(
        {
            "labels": str(out[0]),
            "files": [str(path) for path in out],
            "overlay": str(overlay) if overlay else None,
            "image": str(image),
            "model": session.model,
            "version": _version(),
            "axis": session.stack_view.frame_axis,
            "direction": direction,
            "focus": session.options.focus,
            "quality": session.options.quality,
            "precision": session.options.precision,
            "limits": [session.mapping.low, session.mapping.high],
            "objects": [int(object_id) for object_id in session.objects],
            "frames": len(session.frames),
            "propagated": propagated,
            "blank_frames": list(session.frames.blank),
            "nonfinite_pixels": session.frames.nonfinite,
            "contested_pixels": _count_contested(session),
            "seconds": round(seconds, 3),
            "seconds_per_frame": round(seconds / max(1, num_prompted + propagated), 4),
        },
        as_json,
    )


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done: a session, and the prompts that it is still to be given."""

    session: Session
    prompts: tuple[FilePrompt, ...] = ()
    infos: Mapping[ObjectId, ObjectInfo] = field(default_factory=dict)


def _checked_prompts(prompts: Path | None) -> Path:
    if prompts is None:
        raise OptionError(
            "without prompts there is nothing to segment",
            remedy="give --prompts, or a session file (.sam2.json) instead of the image",
            kept="no file was written",
        )
    return prompts


def _from_prompts(
    image: Path,
    prompts: Path,
    axis: str | None,
    model: str,
    limits: tuple[float, float] | str | None,
    device: Any,
    options: InferenceOptions,
    arguments: Mapping[str, Any],
) -> Work:
    from napari_sam2.io.prompts import read_prompts

    file = read_prompts(prompts)
    chosen_axis = _frame_axis(file, axis)
    from napari_sam2.api import Session

    session = Session(
        image,
        axis=chosen_axis,
        model=model,
        limits=limits,
        device=device,
        options=options,
        **arguments,
    )
    _check_scales(session, file.prompts)
    return Work(session, file.prompts, file.infos)


def _limits(
    limits: tuple[float, float] | None, window: str | None
) -> tuple[float, float] | str | None:
    if limits is not None and window is not None:
        raise OptionError("--limits and --window say two things", remedy="give one of them")
    return limits if window is None else window.replace("-", " ")


def _frame_axis(file: PromptFile, axis: str | None) -> int | str:
    chosen = int(axis) if axis is not None and axis.isdecimal() else axis
    if chosen is None or chosen == file.axis:
        return file.axis
    if file.says_axis:
        raise OptionError(
            f"--axis is {axis}, but the prompt file counts frames along axis {file.axis}",
            remedy="prompts are valid along one axis only; leave --axis out or correct the file",
        )
    return chosen


def _check_scales(session: Session, prompts: tuple[FilePrompt, ...]) -> None:
    """Refuse a mask whose file says that it was drawn on pixels of another size."""
    from napari_sam2.io.masklets import Spacing

    placement, view = session.source.placement, session.stack_view
    if placement.is_plain:
        return
    steps = placement.spacing[view.row_axis], placement.spacing[view.column_axis]
    frame = Spacing(steps, placement.units[view.column_axis])
    for number, prompt in enumerate(prompts):
        if prompt.mask_spacing is not None and prompt.mask_spacing.differs_from(frame):
            raise PromptError(
                f"prompts[{number}]: mask has pixels of {prompt.mask_spacing}, the frame of {frame}",
                kept="no file was written",
                remedy="draw it on this image, or resample it first; a mask is never stretched",
            )


def _count_contested(session: Session) -> int:
    """Return how many pixels of the stack lie in several objects, of which the labels show one."""
    if len(session.objects) < 2:
        return 0
    return sum(session.num_contested(frame) for frame in range(len(session.frames)))


def _segment(work: Work, direction: str) -> int:
    """Give all prompts, say what the objects are, propagate, and return how many frames that reached."""
    session = work.session
    with progress_bar(len(work.prompts), "prompts") as bar:
        for number, prompt in enumerate(work.prompts):
            _add(session, number, prompt)
            bar.update(1)
    for object_id, info in work.infos.items():
        session.describe(object_id, info)
    total = 0
    for objects in runs_of(session):
        propagation = session.propagate(direction=direction, objects=objects)
        with progress_bar(propagation.total, "frames ") as bar:
            for _ in propagation:
                bar.update(1)
        total += propagation.total
    return total


def _add(session: Session, number: int, prompt: FilePrompt) -> None:
    try:
        if prompt.mask is not None:
            session.add_mask(prompt.object_id, prompt.frame, prompt.mask)
        elif prompt.box is not None:
            session.add_box(prompt.object_id, prompt.frame, prompt.box)
        else:
            session.add_points(prompt.object_id, prompt.frame, prompt.points, labels=prompt.labels)
    except (PromptError, LabelsError) as error:
        raise type(error)(
            f"prompts[{number}]: {error.what}", kept="no file was written", remedy=error.remedy
        ) from error


def _draw(session: Session, title: str, path: Path) -> None:
    """Write a picture of the labels over some frames; only those frames are read again."""
    from napari_sam2.cli.pictures import SeenFrames
    from napari_sam2.evaluation.overlay import contact_sheet, write_png
    from napari_sam2.io.atomic import replacing

    clicks: dict[int, list[tuple[float, float]]] = {}
    for item in session.prompts:
        for said in item.frames:
            for step in said.steps:
                signed = zip(step.points, step.positives, strict=True)
                clicks.setdefault(said.frame, []).extend(
                    point for point, positive in signed if positive
                )
    line = f"model {Path(session.model).name} · coloured: result · white dot: positive click"
    seen = SeenFrames(session.frames, session.mapping)
    picture = contact_sheet(seen, session.labels, title, [line], clicks=clicks)
    with replacing(path) as temporary:
        write_png(temporary, picture)


def _report(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    objects, frames = counted(len(report["objects"]), "object"), counted(report["frames"], "frame")
    typer.echo(
        f"{', '.join(report['files'])}: {objects} on {frames}, "
        f"{report['seconds_per_frame']:.2f} s a frame with {report['model']}"
    )
    if not report["propagated"]:
        typer.echo("nothing to propagate: no frame without a prompt lies in this direction")
    if report["overlay"]:
        typer.echo(report["overlay"])
    if report["blank_frames"]:
        blank = ", ".join(map(str, report["blank_frames"]))
        typer.echo(f"frames on which there is nothing to see: {blank}")
    if report["contested_pixels"]:
        typer.echo(
            f"{counted(report['contested_pixels'], 'pixel')} in several objects; each went to the stronger mask"
        )


def _version() -> str:
    from napari_sam2 import __version__

    return __version__
