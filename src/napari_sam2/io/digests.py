"""Digests of what masks rest on, so that it is known again in another process."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.messages import PropagationRequest
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep

SIZE = 16
"""Bytes of a digest."""


def digest_of(content: Any) -> bytes:
    """Return a digest of numbers, texts, lists and dictionaries; equal content, equal digest."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8"), digest_size=SIZE).digest()


def digest_of_foundation(prompts: ObjectPrompts, mapping: IntensityMapping | None) -> bytes:
    """Return a digest of what was said that a tracked mask rests on, and of how the frames were seen."""
    said = [_frame(item) for item in prompts.frames]
    return digest_of([int(prompts.object_id), said, _mapping(mapping)])


def digest_of_request(request: PropagationRequest) -> bytes:
    """Return a digest of all that a propagation depends on but the stack and the model."""
    objects = [
        {
            "object": int(item.object_id),
            "said": [_frame(said) for said in item.frames],
            "locked": sorted(map(int, item.locked)),
            "extent": [item.extent.first, item.extent.stop],
        }
        for item in request.objects
    ]
    only = None if request.only is None else sorted([*map(int, name)] for name in request.only)
    place = int(request.start), int(request.stop), request.direction, request.depth
    return digest_of([objects, only, place, _mapping(request.mapping)])


def _frame(said: FramePrompts) -> Any:
    return [int(said.frame), [_step(step) for step in said.steps], _mask(said.refines)]


def _step(step: PromptStep) -> Any:
    # Numbers of numpy and of a file that was read are the same number.
    return [
        [[float(y), float(x)] for y, x in step.points],
        [bool(positive) for positive in step.positives],
        None if step.box is None else [float(value) for value in step.box],
        _mask(step.mask),
        int(step.candidate),
    ]


def _mask(mask: PackedMask | None) -> Any:
    if mask is None:
        return None
    bits = hashlib.blake2b(mask.bits, digest_size=SIZE).hexdigest()
    return [[int(n) for n in mask.shape], [int(n) for n in mask.box], bits]


def _mapping(mapping: IntensityMapping | None) -> Any:
    return None if mapping is None else [float(mapping.low), float(mapping.high)]
