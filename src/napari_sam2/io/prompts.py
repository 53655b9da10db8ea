"""Prompt files: what a person, or a program, writes by hand. Whole sessions are in `sessions`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any

import numpy as np
from pydantic import Field, FiniteFloat, ValidationError, model_validator

from napari_sam2.core.errors import FileFormatError, NapariSam2Error
from napari_sam2.core.extent import Extent
from napari_sam2.core.ids import ObjectId
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.core.validation import MAX_NAME
from napari_sam2.io.json_files import StrictModel, parse, read_json
from napari_sam2.io.masklets import Spacing, read_labels, read_spacing

SCHEMA = 2
"""The newest version of a prompt file. The second one added `objects`; files of the first are read as ever."""

_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class FilePrompt:
    """One entry of a prompt file: points, a box or a mask for one object on one frame.

    `points`: (y, x) frame pixels; `labels`: one a point, 1 positive, 0 negative; `box`: (y0, x0, y1, x1);
    `mask`: (Y, X), true inside, and `mask_spacing` what its file says about its pixels, if anything.
    Just one of points, box and mask is set.
    """

    object_id: int
    frame: int
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: np.ndarray | None = None
    mask_spacing: Spacing | None = None


@dataclass(frozen=True, slots=True)
class PromptFile:
    """What a prompt file says.

    `axis`: the frame axis that its frames are counted along; `says_axis`: whether the file names it itself;
    `infos`: names, classes, parents and extents of objects, by id.
    """

    axis: int
    prompts: tuple[FilePrompt, ...]
    says_axis: bool = True
    infos: Mapping[ObjectId, ObjectInfo] = field(default_factory=dict)


def read_prompts(path: str | Path) -> PromptFile:
    """Read a prompt file; mask files are looked up beside it.

    Raises
    ------
    FileFormatError
        It is not a prompt file; one line names the first thing that is wrong and where.
    """
    path = Path(path).expanduser()
    text, _ = read_json(path, _MAX_BYTES)
    return parse_prompts(path, text)


def parse_prompts(path: Path, text: bytes) -> PromptFile:
    """Return what the text of a prompt file says, which is known to be JSON; see `read_prompts`."""
    parsed = parse(_FileModel, path, text, _remedy)
    return PromptFile(
        parsed.axis,
        tuple(_to_prompt(path, n, p) for n, p in enumerate(parsed.prompts)),
        says_axis="axis" in parsed.model_fields_set,
        infos={ObjectId(item.object): item.to_info() for item in parsed.objects},
    )


def infos_to_json(infos: Mapping[ObjectId, ObjectInfo]) -> list[dict[str, Any]]:
    """Return names and the like as the value of `objects` in a file; what is not said is left out."""
    return [
        {"object": int(object_id)}
        | {key: value for key, value in _info_values(info).items() if value not in ("", None)}
        for object_id, info in sorted(infos.items())
    ]


def _info_values(info: ObjectInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "class": info.class_name,
        "parent": info.parent,
        "first": info.extent.first or None,
        "stop": info.extent.stop,
    }


_Point = tuple[FiniteFloat, FiniteFloat]
_Corners = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]


class _PromptModel(StrictModel):
    object: Annotated[int, Field(ge=1)]
    frame: Annotated[int, Field(ge=0)]
    points: Annotated[list[_Point], Field(min_length=1)] | None = None
    labels: list[Annotated[int, Field(ge=0, le=1)]] | None = None
    box: _Corners | None = None
    mask: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> _PromptModel:
        given = [name for name in ("points", "box", "mask") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"needs just one of points, box and mask, got {' and '.join(given) or 'none'}"
            )
        if self.labels is not None and len(self.labels) != len(self.points or ()):
            num_points = len(self.points or ())
            raise ValueError(f"has {len(self.labels)} labels for {num_points} points")
        return self


class ObjectModel(StrictModel):
    """Name, class, parent and extent of an object."""

    object: Annotated[int, Field(ge=1)]
    name: Annotated[str, Field(max_length=MAX_NAME)] = ""
    class_: Annotated[str, Field(alias="class", max_length=MAX_NAME)] = ""
    parent: Annotated[int, Field(ge=1)] | None = None
    first: Annotated[int, Field(ge=0)] = 0
    stop: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> ObjectModel:
        if self.stop is not None and self.stop <= self.first:
            raise ValueError(f"ends at frame {self.stop}, before it begins at {self.first}")
        if self.parent == self.object:
            raise ValueError("is its own parent")
        for text in (self.name, self.class_):
            if not text.isprintable():
                raise ValueError(f"a name is one line of text, got {text!r}")
        return self

    def to_info(self) -> ObjectInfo:
        """Return what the file says about an object."""
        parent = None if self.parent is None else ObjectId(self.parent)
        return ObjectInfo(self.name, self.class_, parent, Extent(self.first, self.stop))


class _FileModel(StrictModel):
    schema_: Annotated[int, Field(alias="schema", ge=1, le=SCHEMA)]
    axis: Annotated[int, Field(ge=0)] = 0
    prompts: Annotated[list[_PromptModel], Field(min_length=1)]
    objects: tuple[ObjectModel, ...] = ()

    @model_validator(mode="after")
    def _fits_its_schema(self) -> _FileModel:
        if self.objects and self.schema_ < 2:
            raise ValueError("objects came with schema 2, and the file says 1")
        ids = [item.object for item in self.objects]
        if len(ids) != len(set(ids)):
            raise ValueError("an object occurs twice in objects")
        return self


def _to_prompt(path: Path, number: int, model: _PromptModel) -> FilePrompt:
    points = tuple(model.points or ())
    labels = tuple(model.labels) if model.labels is not None else (1,) * len(points)
    mask, spacing = (None, None) if model.mask is None else _read_mask(path, number, model.mask)
    return FilePrompt(model.object, model.frame, points, labels, model.box, mask, spacing)


def _lies_beside(name: str) -> bool:
    """Say whether a name stays in a folder, as Windows and others read it: a file must not choose what is opened."""
    parts = PureWindowsPath(name)
    return not (parts.drive or parts.root or ".." in parts.parts or "\0" in name)


def _read_mask(path: Path, number: int, name: str) -> tuple[np.ndarray, Spacing | None]:
    """Read a mask file, named relative to the prompt file so that both can be moved together."""
    where = f"{path}: prompts[{number}].mask"
    if not _lies_beside(name):
        raise FileFormatError(
            f"{where} is {name!r}",
            remedy="name the file relative to the prompt file, in its folder or one below",
        )
    try:
        labels, spacing = read_labels(path.parent / name), read_spacing(path.parent / name)
    except NapariSam2Error as error:
        raise FileFormatError(f"{where}: {error.what}", remedy=error.remedy) from error
    if labels.ndim != 2:
        raise FileFormatError(
            f"{where}: {name} has shape {labels.shape}; one frame (Y, X) is needed",
            remedy="save the mask of one frame",
        )
    return labels, None if spacing is None else spacing.of_frames(None)


def _remedy(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["loc"] == ("schema",) and first["input"] == SCHEMA + 1:
        return "it holds a whole session; open it as one"
    if first["loc"] == ("schema",):
        return f"this version reads schema {SCHEMA}; a newer napari-sam2 may have written the file"
    if "objects" in first["loc"]:
        return "the keys of an object are object, name, class, parent, first and stop"
    return (
        "the keys are schema, axis, prompts, objects; "
        "of a prompt: object, frame, and points with labels, box or mask"
    )
