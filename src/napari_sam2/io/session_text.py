"""A session as the text of its file: a line for each prompt, so that two files can be compared by eye."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_sam2 import __version__
from napari_sam2.core.axes import StackView
from napari_sam2.core.errors import FileFormatError
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.objects import PLAIN
from napari_sam2.core.saved import SavedSession
from napari_sam2.io.folders import without_home
from napari_sam2.io.prompts import infos_to_json
from napari_sam2.io.session_file import SessionFile
from napari_sam2.io.session_models import SCHEMA, PromptModel, options_model
from napari_sam2.io.session_parts import place_content


def to_text(file: SessionFile, path: Path, masks: dict[str, Any] | None) -> str:
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
        raise FileFormatError(
            "a session is saved with the image that it was made on",
            remedy="open the image, and save the session on it",
        )
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
