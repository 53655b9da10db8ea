"""What a zarr says about itself, looked at before zarr is asked: types and codecs that make numbers, and nothing else.

A codec may be a program: `pickle` is one, and it need not stand first in the chain. So a chain is taken only if every
codec of it is known to give back bytes of numbers; names and settings that are not known end it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_sam2.core.errors import FileFormatError
from napari_sam2.io.failures import in_mib
from napari_sam2.io.json_files import loads
from napari_sam2.io.plain_files import read_plain

MAX_METADATA = 64 << 20
"""Bytes of one file of metadata; those of a plate with thousands of images fit."""

MAX_AXES = 32
MAX_CODECS = 8
_MAX_MEMBERS = 100_000

_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
_TYPE_V2 = re.compile(r"[<>|](b1|[iu][1248]|f[248]|c8|c16)")
_TYPES_V3 = {
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
}
COMPRESSORS = ("blosc", "zstd", "gzip", "zlib", "lz4", "bz2", "lzma")
_FILTERS = ("bytes", "transpose", "crc32c", "crc32", "adler32", "fletcher32", "shuffle", "delta")
_LOSSY = ("fixedscaleoffset", "quantize", "bitround", "astype", "packbits", "cast_value")
_KNOWN = {*COMPRESSORS, *_FILTERS, *_LOSSY}


@dataclass(frozen=True, slots=True)
class ArrayFacts:
    """What chunks of an array may be. `compressor`: the one that it has, or ""; `num_bytes`: of a decoded chunk.

    `is_sharded`: a file holds several chunks, so a file's size says nothing about one of them.
    """

    compressor: str
    num_bytes: int
    is_sharded: bool = False


def check_metadata(folder: Path) -> dict[str, ArrayFacts]:
    """Check the metadata in a folder, and return the arrays that they tell of by their names in it ("": itself).

    Raises
    ------
    FileFormatError
        They are damaged, or tell of a type or codec that is none of plain numbers.
    OSError
        They cannot be read.
    """
    arrays: dict[str, ArrayFacts] = {}
    for name in _FILES:
        file = folder / name
        if file.is_symlink() or file.exists():
            for at, facts in _arrays_in(name, _content(file)):
                arrays.setdefault(at, facts)
    return arrays


def check_members(folder: Path) -> dict[str, ArrayFacts]:
    """Check the metadata of all that lies in a group, one level down; see `check_metadata`."""
    arrays: dict[str, ArrayFacts] = {}
    for number, member in enumerate(folder.iterdir()):
        if number >= _MAX_MEMBERS:
            raise _wrong(folder, f"has more than {_MAX_MEMBERS} members")
        if member.is_dir():
            found = check_metadata(member)
            if "" in found:
                arrays[member.name] = found[""]
    return arrays


def is_inside(name: str) -> bool:
    """Say whether the path of an array in a group stays in the group."""
    parts = name.split("/")
    return not any(part in ("", ".", "..") for part in parts) and not set(name) & set("\\:\0")


def _content(file: Path) -> dict[str, Any]:
    text = read_plain(file, MAX_METADATA)
    if text is None:
        raise _wrong(file, f"has more than {in_mib(MAX_METADATA)}")
    try:
        content = loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(file, f"is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise _wrong(file, "is no table")
    return content


def _wrong(file: Path, what: str) -> FileFormatError:
    return FileFormatError(
        f"{file.parent.name}/{file.name} {what}",
        remedy="the zarr is damaged or crafted; get it again from its source",
        kept="nothing of it was read",
    )


def _arrays_in(name: str, content: dict[str, Any]) -> Iterator[tuple[str, ArrayFacts]]:
    if name == ".zarray":
        yield "", _facts_v2(content, name)
    elif name == ".zmetadata":
        for key, member in _table(content.get("metadata"), name).items():
            if key == ".zarray" or key.endswith("/.zarray"):
                yield key[: -len("/.zarray")] if "/" in key else "", _facts_v2(member, key)
    elif name == "zarr.json":
        if content.get("node_type") == "array":
            yield "", _facts_v3(content, name)
        for key, member in _consolidated(content).items():
            if isinstance(member, dict) and member.get("node_type") == "array":
                yield key, _facts_v3(member, key)


def _consolidated(content: dict[str, Any]) -> dict[str, Any]:
    block = content.get("consolidated_metadata")
    return {} if block is None else _table(_table(block, "zarr.json").get("metadata"), "zarr.json")


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refused(where, "has no table where one is expected")
    return value


# One array


def _facts_v2(content: Any, where: str) -> ArrayFacts:
    dtype = _table(content, where).get("dtype")
    if not isinstance(dtype, str) or not _TYPE_V2.fullmatch(dtype):
        raise _refused(where, f"holds {_short(dtype)}, and no numbers")
    shape = _lengths(content.get("shape"), where, "shape")
    chunks = _lengths(content.get("chunks"), where, "chunks", least=1)
    _require_same_axes(shape, chunks, where)
    filters = content.get("filters") or []
    compressor = content.get("compressor")
    chain = [*_list(filters, where), *([] if compressor is None else [compressor])]
    names = [_codec_name(codec, "id", where) for codec in chain]
    size = math.prod(chunks) * int(dtype[2:])
    return ArrayFacts(_compressor(names, where), size)


def _facts_v3(content: dict[str, Any], where: str) -> ArrayFacts:
    dtype = content.get("data_type")
    if dtype not in _TYPES_V3 if isinstance(dtype, str) else True:
        raise _refused(where, f"holds {_short(dtype)}, and no numbers")
    shape = _lengths(content.get("shape"), where, "shape")
    grid = _table(content.get("chunk_grid"), where)
    if grid.get("name") != "regular":
        raise _refused(where, f"has chunks in a grid of kind {_short(grid.get('name'))}")
    settings = _table(grid.get("configuration"), where)
    chunks = _lengths(settings.get("chunk_shape"), where, "chunk_shape", least=1)
    _require_same_axes(shape, chunks, where)
    if content.get("storage_transformers"):
        raise _refused(where, "has storage transformers, which are not known")
    names, is_sharded = _chain_v3(content.get("codecs"), where)
    item_size = 1 if dtype == "bool" else int(re.sub(r"\D", "", str(dtype))) // 8
    return ArrayFacts(_compressor(names, where), math.prod(chunks) * item_size, is_sharded)


def _chain_v3(codecs: Any, where: str, *, may_shard: bool = True) -> tuple[list[str], bool]:
    """Return the names of a chain, those within shards included, and whether there are shards."""
    chain = _list(codecs, where)
    if len(chain) == 1 and may_shard and _plain_name(chain[0]) == "sharding_indexed":
        settings = _table(chain[0].get("configuration"), where)
        _lengths(settings.get("chunk_shape"), where, "chunk_shape", least=1)
        _chain_v3(settings.get("index_codecs") or [], where, may_shard=False)
        return _chain_v3(settings.get("codecs"), where, may_shard=False)[0], True
    return [_codec_name(codec, "name", where) for codec in chain], False


def _plain_name(codec: Any) -> str:
    return str(codec.get("name")) if isinstance(codec, dict) else str(codec)


def _codec_name(codec: Any, key: str, where: str) -> str:
    name = codec.get(key) if isinstance(codec, dict) else codec
    plain = name.removeprefix("numcodecs.") if isinstance(name, str) else ""
    if plain not in _KNOWN:
        raise _refused(where, f"uses codec {_short(name)}, which is none of plain numbers")
    if isinstance(codec, dict):
        for value in _leaves(codec):
            if isinstance(value, str) and value.startswith("|O"):
                raise _refused(where, "makes objects of its numbers")
    return plain


def _leaves(codec: dict[str, Any]) -> Iterator[Any]:
    yield from codec.values()
    settings = codec.get("configuration")
    if isinstance(settings, dict):
        yield from settings.values()


def _compressor(names: list[str], where: str) -> str:
    found = [name for name in names if name in COMPRESSORS]
    if len(found) > 1:
        raise _refused(where, f"is compressed {len(found)} times over")
    return found[0] if found else ""


def _lengths(value: Any, where: str, name: str, least: int = 0) -> tuple[int, ...]:
    is_one = isinstance(value, list) and len(value) <= MAX_AXES
    if not is_one or not all(type(item) is int and least <= item < 1 << 63 for item in value):
        raise _refused(where, f"has a {name} that is none: {_short(value)}")
    return tuple(value)


def _require_same_axes(shape: tuple[int, ...], chunks: tuple[int, ...], where: str) -> None:
    if len(shape) != len(chunks):
        raise _refused(where, f"has {len(shape)} axes, and chunks of {len(chunks)}")


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_CODECS:
        raise _refused(where, f"has codecs that are none, or more than {MAX_CODECS}")
    return value


def _short(value: Any) -> str:
    return repr(str(value)[:80])


def _refused(where: str, what: str) -> FileFormatError:
    return FileFormatError(
        f"the zarr array {where!r} {what}" if where not in _FILES else f"the zarr array {what}",
        remedy="save it again with plain numbers and a usual codec, such as zstd or blosc",
        kept="nothing of it was read",
    )
