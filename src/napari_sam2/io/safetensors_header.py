"""Read and check the header of a safetensors file without touching its tensors.

A header is a stranger's text that says where tensors lie. It is believed only if every tensor has a known type, fills
exactly its bytes, and all of them together fill the file without gap or overlap.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from typing import Any, BinaryIO

from napari_sam2.core.errors import CheckpointError

MAX_HEADER = 8 << 20
"""Bytes; the official large model needs 0.1 MB."""

_ITEM_SIZE = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Type name, shape and the half-open range of bytes behind the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """Tensors by name, and the free text that the file carries about itself."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]


def read_header(file: BinaryIO) -> SafetensorsHeader:
    """Return the checked header; `file` stands at its start before and after.

    Raises
    ------
    CheckpointError
        The file is truncated, or its header does not describe it.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if length > size - 8:  # also where there are no eight bytes to read it from
        raise _broken(f"says its header has {length} bytes, but the file has {size}")
    if length > MAX_HEADER:
        raise _broken(f"has a header of {length} bytes; at most {MAX_HEADER} are accepted")
    entries = _parse(file.read(length))
    file.seek(0)
    metadata = entries.pop("__metadata__", {})
    tensors = {name: _tensor_info(name, entry) for name, entry in entries.items()}
    _require_exact_cover(tensors, size - 8 - length)
    return SafetensorsHeader(tensors, _checked_metadata(metadata))


def _parse(text: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _broken(f"has a header that is not JSON ({error})") from error
    if not isinstance(entries, dict):
        raise _broken("has a header that is not a table of tensors")
    return entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name occurs twice")
    return table


def _tensor_info(name: str, entry: Any) -> TensorInfo:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _broken(f"does not describe tensor {name!r} by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _ITEM_SIZE:
        raise _broken(f"has tensor {name!r} of unknown type {dtype!r}")
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        raise _broken(f"has tensor {name!r} with a shape or offsets that are not whole numbers")
    info = TensorInfo(dtype, tuple(shape), offsets[0], offsets[1])
    if info.stop - info.start != math.prod(shape) * _ITEM_SIZE[dtype]:
        raise _broken(
            f"has tensor {name!r} whose shape does not fill its {info.stop - info.start} bytes"
        )
    return info


def _are_counts(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= 16
        and all(type(value) is int and 0 <= value < 1 << 63 for value in values)
    )


def _require_exact_cover(tensors: dict[str, TensorInfo], num_bytes: int) -> None:
    end = 0
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop)):
        if info.start != end:
            raise _broken(f"has a gap or an overlap before tensor {name!r}")
        end = info.stop
    if end != num_bytes:
        raise _broken(f"describes {end} bytes of tensors, but has {num_bytes}")


def _checked_metadata(metadata: Any) -> dict[str, str]:
    is_text = isinstance(metadata, dict) and all(
        isinstance(value, str) for value in metadata.values()
    )
    if not is_text:
        raise _broken("has metadata that is not text")
    return dict(metadata)


def _broken(what: str) -> CheckpointError:
    return CheckpointError(
        f"the safetensors file {what}",
        remedy="it is damaged or crafted; get it again from its source",
        kept="nothing was loaded",
    )
