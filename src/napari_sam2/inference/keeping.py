"""The state of a propagation as bytes, so that another process goes on where one ended, to the bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from napari_sam2.core.views import View
from napari_sam2.inference.focus import Trail
from napari_sam2.inference.memory import MemoryEntry
from napari_sam2.inference.passes import Conditioned, Pass

_INDEX = "index"


def pack_state(state: object) -> bytes | None:
    """Return the state of a `Sam2Segmenter` as a safetensors file; None for another one, or one that is not in RAM."""
    if not isinstance(state, Mapping) or not all(isinstance(item, Pass) for item in state.values()):
        return None
    tensors: dict[str, Tensor] = {}
    passes = [_described(int(key), item, tensors) for key, item in state.items()]
    if any(tensor.device.type != "cpu" for tensor in tensors.values()):
        return None
    text = json.dumps({"passes": passes, "strides": {k: t.stride() for k, t in tensors.items()}})
    tensors[_INDEX] = torch.frombuffer(bytearray(text.encode("ascii")), dtype=torch.uint8)
    return save({name: tensor.clone().contiguous() for name, tensor in tensors.items()})


def _described(object_id: int, item: Pass, tensors: dict[str, Tensor]) -> dict[str, Any]:
    for frame, entry in item.recent.items():
        tensors[f"{object_id}.{frame}.pointer"] = entry.pointer
        if entry.spatial is not None:
            tensors[f"{object_id}.{frame}.spatial"] = entry.spatial
    if item.last is not None:
        tensors[f"{object_id}.seen"] = item.last.seen
        tensors[f"{object_id}.conditioned"] = item.last.conditioned
    return {
        "object": object_id,
        "anchor": int(item.anchor),
        "is_reverse": bool(item.is_reverse),
        "centres": [[float(y), float(x)] for y, x in item.trail.centres],
        "lost": int(item.trail.lost),
        "frames": [int(frame) for frame in item.recent],
        "view": None if item.last is None else [int(n) for n in astuple(item.last.view)],
    }


def unpack_state(data: bytes) -> object:
    """Return what `pack_state` was given.

    Raises
    ------
    ValueError
        If the bytes are no state.
    """
    try:
        tensors = load(data)
        content = json.loads(bytes(tensors.pop(_INDEX).numpy()))
        laid = {name: _laid_out(t, content["strides"][name]) for name, t in tensors.items()}
        return {item["object"]: _pass(item, laid) for item in content["passes"]}
    except (SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"no state of a propagation: {error}") from error


def _laid_out(tensor: Tensor, strides: list[int]) -> Tensor:
    """Return the tensor as it lay in memory: kernels may add in another order if it lies otherwise."""
    if list(tensor.stride()) == strides:
        return tensor
    return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype).copy_(tensor)


def _pass(item: dict[str, Any], tensors: dict[str, Tensor]) -> Pass:
    name = item["object"]
    recent = {
        frame: MemoryEntry(
            tensors.get(f"{name}.{frame}.spatial"), tensors[f"{name}.{frame}.pointer"]
        )
        for frame in item["frames"]
    }
    trail = Trail(tuple((y, x) for y, x in item["centres"]), item["lost"])
    last = None
    if item["view"] is not None:
        seen, conditioned = tensors[f"{name}.seen"], tensors[f"{name}.conditioned"]
        last = Conditioned(View(*item["view"]), seen, conditioned)
    return Pass(item["anchor"], item["is_reverse"], trail, recent, last)
