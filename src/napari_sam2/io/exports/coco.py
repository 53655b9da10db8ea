"""COCO: one JSON with a run-length mask of every object on every frame."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.core.ids import FrameIndex, ObjectId
from napari_sam2.core.results import LabelResult

_UNNAMED = "object"
"""The category of objects without a class."""


def write_coco(path: Path, result: LabelResult) -> None:
    """Write images, categories (the classes of objects) and annotations; `track_id` is the object."""
    names = sorted({_class_of(result, item) for item in result.objects} or {_UNNAMED})
    numbers = {name: number for number, name in enumerate(names, start=1)}
    height, width = result.frame_shape
    images = [
        {"id": t + 1, "frame": t, "file_name": f"{t:05d}", "height": height, "width": width}
        for t in range(result.num_frames)
    ]
    head = {
        "info": {"description": f"{result.source.name}, segmented with napari-sam2"},
        "images": images,
    }
    # Annotation by annotation, so that a long stack is not held in memory.
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head)[:-1] + ', "annotations": [')
        for number, annotation in enumerate(_annotations(result, numbers), start=1):
            separator = "\n" if number == 1 else ",\n"
            file.write(separator + json.dumps({"id": number, **annotation}))
        # Last, because labels that were there before the session may have brought one more.
        categories = [{"id": number, "name": name} for name, number in numbers.items()]
        file.write(f'\n], "categories": {json.dumps(categories)}}}\n')


def _class_of(result: LabelResult, object_id: int) -> str:
    return result.info(object_id).class_name or _UNNAMED


def _annotations(result: LabelResult, numbers: dict[str, int]) -> Iterator[dict[str, Any]]:
    for t in range(result.num_frames):
        labels = np.asarray(result.labels[t])
        for object_id in np.unique(labels).tolist():
            if object_id == 0:
                continue
            mask = labels == object_id
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            info = result.info(object_id)
            score = result.scores.get((ObjectId(object_id), FrameIndex(t)))
            yield {
                "image_id": t + 1,
                "track_id": object_id,
                "category_id": numbers.setdefault(_class_of(result, object_id), len(numbers) + 1),
                "segmentation": encode(mask),
                "area": int(mask.sum()),
                "bbox": [
                    int(columns[0]),
                    int(rows[0]),
                    int(columns[-1] - columns[0] + 1),
                    int(rows[-1] - rows[0] + 1),
                ],
                "iscrowd": 0,
                **({"name": info.name} if info.name else {}),
                **({} if score is None else {"score": round(score.iou, 4)}),
            }


def encode(mask: np.ndarray) -> dict[str, Any]:
    """Return a mask (Y, X) as COCO's compressed run lengths, counted column by column, outside first."""
    return {"size": list(mask.shape), "counts": _compressed(_runs(mask))}


def decode(segmentation: dict[str, Any]) -> np.ndarray:
    """Return the mask (Y, X) of compressed or plain run lengths.

    Raises
    ------
    ValueError
        If the runs do not fill the mask.
    """
    height, width = segmentation["size"]
    counts = segmentation["counts"]
    runs = _expanded(counts) if isinstance(counts, str) else list(counts)
    if sum(runs) != height * width or min(runs, default=0) < 0:
        raise ValueError(f"the runs fill {sum(runs)} of {height * width} pixels")
    inside = np.arange(len(runs)) % 2 == 1
    mask: np.ndarray = np.repeat(inside, runs).reshape(width, height).T
    return mask


def _runs(mask: np.ndarray) -> list[int]:
    pixels = np.asarray(mask, bool).T.ravel()
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    runs: list[int] = np.diff(np.concatenate([[0], changes, [len(pixels)]])).tolist()
    return [0, *runs] if len(pixels) and pixels[0] else runs


def _compressed(runs: Sequence[int]) -> str:
    """Return runs as text: from the fourth on, the difference to the one two before; 5 bits a character, low first."""
    text = []
    for number, run in enumerate(runs):
        value = run - runs[number - 2] if number > 2 else run
        has_more = True
        while has_more:
            bits, value = value & 31, value >> 5
            # The fifth bit is the sign of what is left.
            has_more = value != (-1 if bits & 16 else 0)
            text.append(chr((bits | 32 if has_more else bits) + 48))
    return "".join(text)


def _expanded(text: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    return runs
