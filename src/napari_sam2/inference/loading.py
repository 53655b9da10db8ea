"""Weights file -> Sam2, strict: version and size are found from names and shapes."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import BinaryIO

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from napari_sam2.core.errors import CheckpointError, CheckpointMismatchError
from napari_sam2.model.config import PRESETS, Sam2Config
from napari_sam2.model.sam2 import Sam2
from napari_sam2.model.state_dict import to_official, to_ours

NUM_NAMED = 5
"""Keys of each kind that a mismatch names."""

_UNREADABLE = (
    pickle.UnpicklingError,
    struct.error,
    RuntimeError,
    EOFError,
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
)
"""What the restricted unpickler raises on files that are cut, damaged or something else."""


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """A network with its weights, and what the file says about itself."""

    network: Sam2
    preset: str
    metadata: Mapping[str, str]


def load_safetensors(content: bytes, name: str) -> LoadedWeights:
    """Load a safetensors file with official tensor names.

    Parameters
    ----------
    content : bytes
        The whole file.
    name : str
        For messages.

    Raises
    ------
    CheckpointError
        If the content is not safetensors.
    CheckpointMismatchError
        If its tensors fit none of the presets.
    """
    try:
        state = safetensors.torch.load(content)
        metadata = _metadata(content)
    except (safetensors.SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{name} cannot be read as safetensors: {error}",
            kept="no model was loaded",
            remedy="check that the file is complete",
        ) from error
    return build(state, name, metadata)


def _metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    return dict(json.loads(content[8 : 8 + length]).get("__metadata__", {}))


def load_official(file: BinaryIO, name: str) -> LoadedWeights:
    """Load an official `.pt` from a descriptor whose hash was verified.

    Parameters
    ----------
    file : binary file
        Opened and verified by `io.weights.open_verified`; the same descriptor that was hashed.
    name : str
        For messages.

    Raises
    ------
    CheckpointError
        If the file cannot be read, holds more than tensors, or is no official dictionary.
    CheckpointMismatchError
        If its tensors fit none of the presets.
    """
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        # The reader's own message is left out: it recommends to run the code in the file.
        raise CheckpointError(
            f"{name} cannot be read as a checkpoint of tensors",
            kept="no model was loaded",
            remedy="check that the file is complete and the one that was published",
        ) from error
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(
            f'{name} is not an official checkpoint: it has no tensors under "model"',
            kept="no model was loaded",
            remedy="fetch it again with 'napari-sam2 models pull'",
        )
    return build(state, name, {})


def build(
    state: Mapping[str, Tensor], name: str, metadata: Mapping[str, str] | None = None
) -> LoadedWeights:
    """Make the network that official tensors belong to, in float32.

    Raises
    ------
    CheckpointMismatchError
        If tensors are missing, unexpected or misshapen, naming the first five of each kind.
    CheckpointError
        If a tensor holds NaN or infinity.
    """
    config = detect(state, name)
    _check_finite(state, name)
    with torch.device("meta"):
        network = Sam2(config)
    ours = {key: value.float() for key, value in to_ours(state).items()}
    network.load_state_dict(ours, strict=True, assign=True)
    return LoadedWeights(network.eval(), config.name, metadata or {})


@cache
def expected_shapes(config: Sam2Config) -> Mapping[str, tuple[int, ...]]:
    """Return the shape of every tensor of an official file for `config`."""
    with torch.device("meta"):
        state = Sam2(config).state_dict()
    return MappingProxyType({k: tuple(v.shape) for k, v in to_official(state).items()})


def detect(state: Mapping[str, Tensor], name: str) -> Sam2Config:
    """Return the preset whose tensors are exactly those of `state`.

    Raises
    ------
    CheckpointMismatchError
        If there is none; the message compares with the closest preset.
    """
    return config_of({key: tuple(value.shape) for key, value in state.items()}, name)


def config_of(found: Mapping[str, tuple[int, ...]], name: str) -> Sam2Config:
    """Return the preset whose tensors have exactly these names and shapes; errors as of `detect`."""
    for config in PRESETS.values():
        if expected_shapes(config) == found:
            return config
    tables = {preset: expected_shapes(config) for preset, config in PRESETS.items()}
    closest = max(tables, key=lambda preset: len(tables[preset].items() & found.items()))
    raise CheckpointMismatchError(
        _describe(name, closest, tables[closest], found),
        kept="no model was loaded",
        remedy="use a SAM 2 or 2.1 checkpoint, or weights made by `napari-sam2 train`",
    )


def _describe(
    name: str,
    preset: str,
    expected: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[int, ...]],
) -> str:
    shared = expected.keys() & found.keys()
    misshapen = [f"{k} {found[k]} instead of {expected[k]}" for k in sorted(shared)]
    misshapen = [
        text for k, text in zip(sorted(shared), misshapen, strict=True) if found[k] != expected[k]
    ]
    kinds = {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(found.keys() - expected.keys()),
        "misshapen": misshapen,
    }
    parts = [f"{len(keys)} {kind}: {_first(keys)}" for kind, keys in kinds.items() if keys]
    return f"{name} does not fit any model; closest is {preset}, with {'; '.join(parts)}"


def _first(keys: Iterable[str]) -> str:
    listed = list(keys)
    more = ", …" if len(listed) > NUM_NAMED else ""
    return ", ".join(listed[:NUM_NAMED]) + more


def _check_finite(state: Mapping[str, Tensor], name: str) -> None:
    bad = [key for key, value in state.items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise CheckpointError(
            f"{name} holds NaN or infinite numbers in {_first(bad)}",
            kept="no model was loaded",
            remedy="get the file again, or from whoever trained it",
        )
