"""Session files: everything that a person made, as versioned JSON; the masks follow from it."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from napari_sam2 import __version__
from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import FileFormatError, ImageError, NapariSam2Error
from napari_sam2.core.fingerprint import Fingerprint
from napari_sam2.core.frames import FrameSource
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.label_stack import PackedLabels
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.objects import PLAIN
from napari_sam2.core.options import InferenceOptions
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.core.saved import Kept, SavedSession
from napari_sam2.core.state import Lock
from napari_sam2.core.validation import check_mask
from napari_sam2.io.atomic import replacing
from napari_sam2.io.folders import with_home, without_home
from napari_sam2.io.generations import advice, keep_previous
from napari_sam2.io.json_files import parse, read_json
from napari_sam2.io.prompts import FilePrompt, PromptFile, infos_to_json, parse_prompts
from napari_sam2.io.session_models import (
    SCHEMA,
    ExistingModel,
    PromptModel,
    SessionModel,
    options_model,
)
from napari_sam2.io.session_parts import (
    MASKS_SUFFIX,
    ImagePlace,
    place_content,
    place_of,
    read_kept,
    remove_older_masks,
    write_kept,
)

MAX_BYTES = 256 << 20
"""Of a session file."""

MAX_MASKS = 1 << 33
"""Pixels of all masks of a file together; a gigabyte when they are unpacked."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """By what an image is known again: `shape` (T, Y, X), pixel type, colours or not."""

    shape: tuple[int, int, int]
    dtype: str
    is_rgb: bool = False

    @classmethod
    def of(cls, frames: FrameSource) -> ImageFacts:
        """Return the facts of a stack."""
        return cls((len(frames), *frames.shape), frames.dtype.name, frames.is_rgb)

    def check(self, frames: FrameSource) -> None:
        """Refuse a stack of another shape or type with an `ImageError`."""
        if self != ImageFacts.of(frames):
            raise ImageError(
                f"the session was made on an image of {self}, and this one is {ImageFacts.of(frames)}",
                remedy="open the image that it was made on",
            )

    def __str__(self) -> str:
        colours = ", RGB" if self.is_rgb else ""
        return f"{' x '.join(map(str, self.shape))} {self.dtype}{colours}"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The network that was used: its name or file, and the SHA-256 of its weights, if it is known."""

    name: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class SessionFile:
    """What a session file says.

    `saved`: what a person made, for `Session.reopen`; `axis`: the frame axis, None for a single image. All that the
    masks depend on besides is None where the file does not say it, as in prompt files. `place`: the image;
    `kept`: the masks, where they are known; `log`: the actions so far; `notice`: what a person should know of the file.
    """

    saved: SavedSession
    axis: int | None
    image: ImageFacts | None = None
    stack_view: StackView | None = None
    mapping: IntensityMapping | None = None
    options: InferenceOptions | None = None
    model: ModelFacts | None = None
    place: ImagePlace | None = None
    fingerprint: Fingerprint | None = None
    kept: Kept | None = field(default=None, repr=False)
    log: tuple[str, ...] = field(default=(), repr=False)
    notice: str = ""


def write_session(path: str | Path, file: SessionFile) -> None:
    """Write a session file; it appears whole or not at all. An earlier one is kept as its previous version.

    Raises
    ------
    FileFormatError
        If it would be larger than `read_session` reads, or cannot be written.
    """
    path = Path(path).expanduser().absolute()
    try:
        before = set(path.parent.glob(f"*{MASKS_SUFFIX}"))
        masks = None if file.kept is None else write_kept(path, file.kept)
    except OSError as error:
        raise _unwritable(path, error) from error
    data = _to_text(file, path, masks).encode("utf-8")
    if len(data) > MAX_BYTES:
        raise FileFormatError(
            f"the session would take {len(data) >> 20} MiB, and at most {MAX_BYTES >> 20} MiB are read",
            kept=f"{path.name} was left as it was",
            remedy="leave out the labels that were there before, and keep them in a file of their own",
        )
    keep_previous(path)
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        if masks is not None and (written := path.with_name(masks["file"])) not in before:
            written.unlink(missing_ok=True)
        raise _unwritable(path, error) from error
    remove_older_masks(path, None if masks is None else masks["file"])


def _unwritable(path: Path, error: OSError) -> FileFormatError:
    return FileFormatError(
        f"{_shortened(path)} cannot be written: {error.strerror}",
        kept="an earlier file was left as it was",
        remedy="save it in another folder, or make room there",
    )


def _shortened(path: Path) -> str:
    """Return a path for a message: of one that no file system takes, its end."""
    text = str(path)
    return text if len(text) <= 500 else f"...{text[-60:]}"


def read_session(path: str | Path, frames: FrameSource | None = None) -> SessionFile:
    """Read a session file, or a prompt file as a session.

    Parameters
    ----------
    path : str or Path
        Of the file; mask files that a prompt file names are looked up beside it.
    frames : FrameSource, optional
        The stack that it is to be opened on; needed for prompt files with mask files.

    Raises
    ------
    FileFormatError
        If it is neither; one line names the first thing that is wrong and where.
    ImageError
        If it was made on an image of another shape or type than `frames`.
    """
    path = Path(path).expanduser()
    try:
        text, content = read_json(path, MAX_BYTES)
    except FileFormatError as error:
        raise FileFormatError(error.what, remedy=advice(path)) from error
    if isinstance(content, dict) and content.get("schema") in (1, 2):
        return _from_prompts(path, parse_prompts(path, text))
    _refuse_newer(path, content)
    model = parse(SessionModel, path, text, partial(_remedy, path))
    image = ImageFacts(model.image.shape, model.image.dtype, model.image.rgb)
    if frames is not None:
        image.check(frames)
    try:
        return _from_model(path, model, image)
    except ValueError as error:
        what = error.what if isinstance(error, NapariSam2Error) else str(error)
        raise FileFormatError(f"{path}: {what}", remedy=advice(path) or _DAMAGED) from error


def _refuse_newer(path: Path, content: Any) -> None:
    """Refuse a file of a schema that is not known yet, naming both versions."""
    schema = content.get("schema") if isinstance(content, dict) else None
    if type(schema) is int and schema > SCHEMA:
        raise FileFormatError(
            f"{path}: schema: {schema} is of a newer napari-sam2 ({content.get('version') or 'unknown'}); "
            f"this is {__version__}, which reads schemas up to {SCHEMA}",
            remedy="update napari-sam2 to open it",
        )


_DAMAGED = "the file is damaged, or was changed by hand; take an earlier copy of it"


# To text


def _to_text(file: SessionFile, path: Path, masks: dict[str, Any] | None) -> str:
    """Return the text of a file: a line for each prompt, so that two files can be compared by eye."""
    content = _content(file, path.parent, masks)
    lines = [f'"{key}": {_value_text(value)}' for key, value in content.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _value_text(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n " + ",\n ".join(map(_line, value)) + "\n]"
    return _line(value)


def _line(value: Any) -> str:
    return json.dumps(value, separators=(", ", ": "), allow_nan=False)


def _content(file: SessionFile, folder: Path, masks: dict[str, Any] | None) -> dict[str, Any]:
    if file.image is None or file.stack_view is None:
        raise FileFormatError("a session is saved with the image that it was made on")
    saved, view, facts = file.saved, file.stack_view, file.model
    said = [PromptModel.of(item.object_id, one) for item in saved.prompts for one in item.frames]
    content = {
        "schema": SCHEMA,
        "version": __version__,
        "image": {
            "shape": file.image.shape,
            "dtype": file.image.dtype,
            "rgb": file.image.is_rgb,
        },
        "axis": view.frame_axis,
        "view": _view_content(view),
        "mapping": _mapping_content(file.mapping),
        "options": None if file.options is None else options_model(file.options).model_dump(),
        "model": None
        if facts is None
        else {"name": without_home(facts.name), "sha256": facts.sha256},
        "overlap": saved.overlap,
        "highest_object": saved.highest_id,
        "objects": list(_objects_content(saved)),
        "prompts": [model.model_dump(exclude_defaults=True) for model in said],
        "locks": [
            {"object": lock.object_id, "frame": lock.frame, "tracked": lock.from_tracking}
            for lock in saved.locks
        ],
        "existing": _existing_content(saved),
        "source": None if file.place is None else place_content(file.place, folder),
        "fingerprint": None if file.fingerprint is None else asdict(file.fingerprint),
        "masks": masks,
        "log": list(file.log) or None,
    }
    return {key: value for key, value in content.items() if key == "axis" or value is not None}


def _view_content(view: StackView) -> dict[str, Any]:
    content = {"rows": view.row_axis, "columns": view.column_axis, "fixed": view.fixed}
    return {**content, "volumes": (view.volume_axis, view.depth)} if view.depth else content


def _mapping_content(mapping: IntensityMapping | None) -> dict[str, Any] | None:
    if mapping is None:
        return None
    return {"low": mapping.low, "high": mapping.high, "provenance": mapping.provenance}


def _objects_content(saved: SavedSession) -> Iterator[dict[str, Any]]:
    for object_id in sorted({item.object_id for item in saved.prompts} | set(saved.infos)):
        (content,) = infos_to_json({object_id: saved.infos.get(object_id, PLAIN)})
        rank = saved.ranks.get(object_id)
        yield content if rank is None else {**content, "rank": rank}


def _existing_content(saved: SavedSession) -> dict[str, Any] | None:
    labels = saved.existing
    if labels is None:
        return None
    frames = [base64.b64encode(frame).decode("ascii") for frame in labels.packed]
    return {"dtype": labels.dtype.str, "protect": saved.protects_existing, "frames": frames}


# From text


def _from_model(path: Path, model: SessionModel, image: ImageFacts) -> SessionFile:
    options, weights, prints = model.options, model.model, model.fingerprint
    kept, notice = None, ""
    if model.masks is not None:
        kept, notice = read_kept(path, model.masks, image.shape[1:])
    return SessionFile(
        _saved(model, image.shape),
        model.axis,
        image,
        _view(model),
        None if model.mapping is None else model.mapping.to_mapping(),
        None if options is None else InferenceOptions(**options.model_dump()),
        None if weights is None else ModelFacts(with_home(weights.name), weights.sha256),
        None if model.source is None else place_of(model.source, path.absolute().parent),
        None if prints is None else Fingerprint(prints.frames, prints.hashes),
        kept,
        model.log,
        notice,
    )


def _view(model: SessionModel) -> StackView:
    view = model.view
    volume_axis, depth = view.volumes or (None, 0)
    return StackView(model.axis, view.rows, view.columns, view.fixed, volume_axis, depth)


def _saved(model: SessionModel, shape: tuple[int, int, int]) -> SavedSession:
    _check_masks(model.prompts)
    said: dict[ObjectId, list[FramePrompts]] = {}
    for number, item in enumerate(model.prompts):
        try:
            prompts = item.to_prompts(shape[1:])
        except ValueError as error:
            raise FileFormatError(f"prompts[{number}]: {error}") from error
        said.setdefault(ObjectId(item.object), []).append(prompts)
    infos = {ObjectId(item.object): item.to_info() for item in model.objects}
    existing = model.existing
    return SavedSession(
        prompts=_by_object(said),
        locks=tuple(
            Lock(ObjectId(item.object), FrameIndex(item.frame), item.tracked)
            for item in model.locks
        ),
        infos={key: info for key, info in infos.items() if info != PLAIN},
        ranks={ObjectId(item.object): item.rank for item in model.objects if item.rank is not None},
        overlap=model.overlap,
        existing=None if existing is None else _existing_labels(existing, shape),
        protects_existing=existing is None or existing.protect,
        highest_id=model.highest_object,
    )


def _by_object(said: dict[ObjectId, list[FramePrompts]]) -> tuple[ObjectPrompts, ...]:
    return tuple(ObjectPrompts(key, tuple(frames)) for key, frames in sorted(said.items()))


def _check_masks(prompts: Sequence[PromptModel]) -> None:
    """Refuse masks that would take too much memory, before any is made."""
    masks = [mask for item in prompts for mask in (item.refines, *(s.mask for s in item.steps))]
    total = sum(sum(mask.runs) for mask in masks if mask is not None)
    if total > MAX_MASKS:
        raise FileFormatError(f"its masks would take {total} pixels, more than {MAX_MASKS}")


def _existing_labels(model: ExistingModel, shape: tuple[int, int, int]) -> PackedLabels:
    dtype = np.dtype(model.dtype)
    expected = shape[1] * shape[2] * dtype.itemsize
    if len(model.frames) != shape[0]:
        raise FileFormatError(f"existing: {len(model.frames)} frames of {shape[0]}")
    packed = tuple(
        _checked_frame(number, text, expected) for number, text in enumerate(model.frames)
    )
    return PackedLabels(shape, dtype, packed)


def _checked_frame(number: int, text: str, expected: int) -> bytes:
    """Return the zlib stream of a frame, if it is one of so many bytes; never more is unpacked to find out."""
    inflate = zlib.decompressobj()
    try:
        data = base64.b64decode(text, validate=True)
        size = len(inflate.decompress(data, expected + 1))
    except (ValueError, zlib.error) as error:
        raise FileFormatError(f"existing.frames[{number}]: {error}") from error
    if size != expected or not inflate.eof or inflate.unused_data:
        raise FileFormatError(f"existing.frames[{number}] has not the {expected} bytes of a frame")
    return data


# Prompt files


def _from_prompts(path: Path, file: PromptFile) -> SessionFile:
    said: dict[ObjectId, dict[FrameIndex, FramePrompts]] = {}
    for number, prompt in enumerate(file.prompts):
        frames = said.setdefault(ObjectId(prompt.object_id), {})
        frame = FrameIndex(prompt.frame)
        earlier = frames[frame].steps if frame in frames else ()
        try:
            frames[frame] = FramePrompts(frame, (*earlier, _to_step(prompt)))
        except NapariSam2Error as error:
            raise FileFormatError(
                f"{path}: prompts[{number}]: {error.what}", remedy=error.remedy
            ) from error
    listed = {key: list(frames.values()) for key, frames in said.items()}
    return SessionFile(SavedSession(_by_object(listed), infos=file.infos), file.axis)


def _to_step(prompt: FilePrompt) -> PromptStep:
    if prompt.mask is not None:
        shape = int(prompt.mask.shape[0]), int(prompt.mask.shape[1])
        mask: PackedMask = check_mask(prompt.mask, shape)[0]
        return PromptStep(mask=mask)
    positives = tuple(label == 1 for label in prompt.labels)
    return PromptStep(prompt.points, positives, prompt.box)


def _remedy(path: Path, error: ValidationError) -> str:
    if error.errors()[0]["loc"] == ("schema",):
        return f"this version reads schemas 1 to {SCHEMA}; a newer napari-sam2 may have written the file"
    return advice(path) or _DAMAGED
