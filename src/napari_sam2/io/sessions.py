"""Session files: everything that a person made, as versioned JSON; the masks follow from it."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from napari_sam2 import __version__
from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import FileFormatError, NapariSam2Error
from napari_sam2.core.fingerprint import Fingerprint
from napari_sam2.core.frames import FrameSource
from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.label_stack import PackedLabels
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.objects import PLAIN
from napari_sam2.core.options import InferenceOptions
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.core.saved import SavedSession
from napari_sam2.core.state import Lock
from napari_sam2.core.validation import check_mask
from napari_sam2.io.atomic import replacing
from napari_sam2.io.failures import in_mib, storing
from napari_sam2.io.folders import with_home
from napari_sam2.io.generations import advice, keep_previous
from napari_sam2.io.journal import read_since
from napari_sam2.io.json_files import parse, read_json
from napari_sam2.io.prompts import FilePrompt, PromptFile, parse_prompts
from napari_sam2.io.recovery import Stack, regain
from napari_sam2.io.session_file import ImageFacts, ModelFacts, SessionFile
from napari_sam2.io.session_models import (
    SCHEMA,
    ExistingModel,
    PromptModel,
    SessionModel,
)
from napari_sam2.io.session_parts import (
    MASKS_SUFFIX,
    place_of,
    read_kept,
    remove_older_masks,
    write_kept,
)
from napari_sam2.io.session_text import to_text

__all__ = ["ImageFacts", "ModelFacts", "SessionFile", "read_session", "write_session"]

MAX_BYTES = 256 << 20
"""Of a session file."""

MAX_MASKS = 1 << 33
"""Pixels of all masks of a file together; a gigabyte when they are unpacked."""


def write_session(
    path: str | Path, file: SessionFile, announce: Callable[[str], None] | None = None
) -> None:
    """Write a session file; it appears whole or not at all. An earlier one is kept as its previous version.

    Parameters
    ----------
    path : str or Path
        Of the file.
    file : SessionFile
        What it says.
    announce : callable, optional
        Gets the SHA-256 of the file before it takes the place of an earlier one; see `io.journal`.

    Raises
    ------
    FileFormatError
        If it would be larger than `read_session` reads.
    StorageError
        If it cannot be written.
    """
    path = Path(path).expanduser().absolute()
    with storing(path, "an earlier file was left as it was"):
        _write(path, file, announce)


def _write(path: Path, file: SessionFile, announce: Callable[[str], None] | None) -> None:
    before = set(path.parent.glob(f"*{MASKS_SUFFIX}"))
    masks = None if file.kept is None else write_kept(path, file.kept)
    try:
        data = _text_to_write(file, path, masks)
        keep_previous(path)
        with replacing(path) as temporary:
            temporary.write_bytes(data)
            if announce is not None:
                announce(hashlib.sha256(data).hexdigest())
    except BaseException:
        if masks is not None and (written := path.with_name(masks["file"])) not in before:
            with suppress(OSError):
                written.unlink(missing_ok=True)
        raise
    remove_older_masks(path, None if masks is None else masks["file"])


def _text_to_write(file: SessionFile, path: Path, masks: dict[str, Any] | None) -> bytes:
    data = to_text(file, path, masks).encode("utf-8")
    if len(data) > MAX_BYTES:
        raise FileFormatError(
            f"the session would take {in_mib(len(data))}, and at most {in_mib(MAX_BYTES)} are read",
            kept=f"{path.name} was left as it was",
            remedy="leave out the labels that were there before, and keep them in a file of their own",
        )
    return data


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
        return _with_journal(path, text, _from_model(path, model, image))
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


def _with_journal(path: Path, text: bytes, file: SessionFile) -> SessionFile:
    """Return what a session file says with what its journal adds; a journal that cannot be read is told of."""
    assert file.image is not None
    assert file.stack_view is not None
    shape = file.image.shape
    try:
        since = read_since(path, hashlib.sha256(text).hexdigest(), shape[1:])
    except FileFormatError as error:
        notice = f"{error.what}; what was found since the session was saved is not there"
        return replace(file, notice=". ".join(filter(None, (file.notice, notice))))
    if not (since.frames or since.mark.run):
        return file
    stack = Stack(shape[0], file.stack_view.depth, file.mapping)
    found = regain(file.saved, file.kept, file.log, since, stack)
    kept = found.kept if found.num_frames or file.kept is not None else None
    return replace(file, kept=kept, log=found.log, num_regained=found.num_frames)


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
