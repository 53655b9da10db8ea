"""Hostile images: zarrs by their metadata and their chunks, and arrays, volumes and TIFFs that say what is not so."""

from __future__ import annotations

import bz2
import copy
import gzip
import io
import json
import lzma
import pickle
import struct
import zipfile
import zlib

from tests.security.crafted import Run

SHAPE = [2, 8, 9]
FRAME = 72

V2 = {
    "zarr_format": 2,
    "shape": SHAPE,
    "chunks": [1, 8, 9],
    "dtype": "|u1",
    "compressor": None,
    "fill_value": 0,
    "order": "C",
    "filters": None,
}
V3 = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": SHAPE,
    "data_type": "uint8",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 8, 9]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": 0,
    "codecs": [{"name": "bytes"}],
    "attributes": {},
}


def folder_of(metadata, chunks=(), *, name=".zarray"):
    """Return a zarr as {path: bytes}."""
    text = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
    return {name: text, **dict(chunks)}


def v2(chunk=None, **changes):
    chunks = {} if chunk is None else {"0.0.0": chunk, "1.0.0": chunk}
    return folder_of({**V2, **changes}, chunks)


def v3(chunk=None, **changes):
    chunks = {} if chunk is None else {"c/0/0/0": chunk, "c/1/0/0": chunk}
    return folder_of({**copy.deepcopy(V3), **changes}, chunks, name="zarr.json")


def v3_codecs(*codecs, chunk=None):
    return v3(chunk, codecs=list(codecs))


def honest():
    """Yield (name, files) of zarrs that must be read."""
    frame = bytes(range(FRAME))
    yield "v2", v2(frame)
    yield "v2, zlib", v2(zlib.compress(frame), compressor={"id": "zlib", "level": 1})
    yield "v2, gzip", v2(gzip.compress(frame), compressor={"id": "gzip", "level": 1})
    yield (
        "v2, lzma",
        v2(
            lzma.compress(frame),
            compressor={"id": "lzma", "format": 1, "check": -1, "preset": None, "filters": None},
        ),
    )
    yield "v3", v3(frame)
    yield (
        "v3, gzip",
        v3_codecs(
            {"name": "bytes"},
            {"name": "gzip", "configuration": {"level": 1}},
            chunk=gzip.compress(frame),
        ),
    )


def zarrs():
    """Yield (name, files) of zarrs that must be refused."""
    yield from _not_metadata()
    yield from _types()
    yield from _codecs()
    yield from _shapes()
    yield from _chunks()
    yield from _groups()


def _not_metadata():
    for file in (".zarray", "zarr.json", ".zgroup"):
        yield f"{file} empty", folder_of(b"", name=file)
        yield f"{file} a list", folder_of(b"[]", name=file)
        yield f"{file} deep", folder_of(b'{"a":' * 100_000, name=file)
        yield f"{file} a pickle", folder_of(pickle.dumps(Run(), 2), name=file)
    yield (
        "a key twice",
        folder_of(json.dumps(V2).replace('"order"', '"dtype": "|O", "order"').encode()),
    )
    yield "of 65 MiB", folder_of(json.dumps({**V2, "x": "a" * (65 << 20)}).encode())
    yield "attributes that are none", {**v2(bytes(FRAME)), ".zattrs": b"{nonsense"}


def _types():
    for dtype in (
        "|O",
        "|S5",
        "<U4",
        "|V8",
        "<M8[s]",
        "O",
        "",
        "u1,O",
        7,
        None,
        {"a": 1},
        [["a", "|O"]],
        "<f16",
        "|u99999999999",
    ):
        yield f"v2 type {dtype!r}".replace("/", ""), v2(bytes(FRAME), dtype=dtype)
    for dtype in (
        "string",
        "variable_length_bytes",
        "r999999999999",
        "object",
        7,
        None,
        {"name": "struct"},
        "uint128",
    ):
        yield f"v3 type {dtype!r}", v3(bytes(FRAME), data_type=dtype)


def _codecs():
    evil = pickle.dumps(Run(), 2)
    made = {"id": "pickle", "protocol": 5}
    yield "v2 pickle as compressor", v2(evil, compressor=made, dtype="|O")
    yield "v2 pickle as compressor of numbers", v2(evil, compressor=made)
    yield "v2 pickle as filter", v2(evil, filters=[made])
    for first in (
        {"id": "json2"},
        {"id": "vlen-utf8"},
        {"id": "delta", "dtype": "|u1"},
        {"id": "msgpack2"},
    ):
        yield f"v2 pickle behind {first['id']}", v2(evil, filters=[first, made], dtype="|O")
        yield f"v2 pickle behind {first['id']}, of numbers", v2(evil, filters=[first, made])
        yield f"v2 {first['id']} behind pickle", v2(evil, filters=[made, first])
    for name in (
        "json2",
        "vlen-array",
        "categorize",
        "msgpack2",
        "n5_wrapper",
        "os.system",
        "",
        None,
        7,
        ["zlib"],
    ):
        yield f"v2 codec {name!r}", v2(bytes(FRAME), compressor={"id": name})
    yield (
        "v2 a filter that makes objects",
        v2(bytes(FRAME), filters=[{"id": "astype", "encode_dtype": "|u1", "decode_dtype": "|O"}]),
    )
    yield "v2 compressed twice", v2(bytes(9), filters=[{"id": "zlib"}], compressor={"id": "gzip"})
    yield "v2 nine codecs", v2(bytes(FRAME), filters=[{"id": "delta", "dtype": "|u1"}] * 9)
    yield "v2 filters that are no list", v2(bytes(FRAME), filters={"id": "pickle"})
    data = {"name": "bytes"}
    for name in (
        "numcodecs.pickle",
        "pickle",
        "vlen-utf8",
        "vlen-bytes",
        "numcodecs.json2",
        "numcodecs.msgpack2",
        "os.system",
        "",
        None,
        7,
    ):
        yield f"v3 codec {name!r}", v3_codecs(data, {"name": name, "configuration": {}}, chunk=evil)
        yield f"v3 codec {name!r} alone", v3_codecs({"name": name}, chunk=evil)
    shard = {
        "chunk_shape": [1, 8, 9],
        "codecs": [data, {"name": "numcodecs.pickle"}],
        "index_codecs": [data],
    }
    yield (
        "v3 pickle within a shard",
        v3_codecs({"name": "sharding_indexed", "configuration": shard}),
    )
    shard = {
        "chunk_shape": [1, 8, 9],
        "codecs": [data],
        "index_codecs": [{"name": "numcodecs.pickle"}],
    }
    yield (
        "v3 pickle for the index of a shard",
        v3_codecs({"name": "sharding_indexed", "configuration": shard}),
    )
    deep = {
        "name": "sharding_indexed",
        "configuration": {"chunk_shape": [1, 8, 9], "codecs": [data], "index_codecs": [data]},
    }
    for _ in range(100):
        deep = {
            "name": "sharding_indexed",
            "configuration": {"chunk_shape": [1, 8, 9], "codecs": [deep], "index_codecs": [data]},
        }
    yield "v3 shards in shards", v3_codecs(deep)
    yield "v3 no codecs", v3(bytes(FRAME), codecs=[])
    yield "v3 codecs that are none", v3(bytes(FRAME), codecs="pickle")
    yield "v3 storage transformers", v3(bytes(FRAME), storage_transformers=[{"name": "evil"}])


def _shapes():
    for name, change in {
        "a negative length": {"shape": [2, -8, 9]},
        "a length of 2**80": {"shape": [2, 1 << 80, 9]},
        "a length of 1.5": {"shape": [2, 1.5, 9]},
        "a length as text": {"shape": ["2", 8, 9]},
        "40 axes": {"shape": [1] * 40, "chunks": [1] * 40},
        "chunks of nothing": {"chunks": [1, 0, 9]},
        "chunks of other axes": {"chunks": [1, 8]},
        "no shape": {"shape": None},
        "an empty axis": {"shape": [0, 8, 9]},
        "a plane of 2 PB": {
            "shape": [1_000_000_000, 1_000_000],
            "chunks": [1024, 1024],
            "dtype": "<u2",
        },
        "frames of 200 GB": {"shape": [2, 500_000, 400_000], "chunks": [1, 1000, 1000]},
        "a chunk of 18 GiB": {"shape": [2, 100_000, 200_000], "chunks": [1, 100_000, 200_000]},
        "a frame of a million chunks": {"shape": [2, 1 << 20, 9], "chunks": [1, 1, 9]},
        "a chunk of 2**60": {"chunks": [1, 1 << 30, 1 << 30]},
    }.items():
        yield f"v2 {name}", v2(**change)
    yield "v3 a grid of another kind", v3(chunk_grid={"name": "rectangular", "configuration": {}})
    yield (
        "v3 a chunk of 18 GiB",
        v3(
            shape=[2, 100_000, 200_000],
            chunk_grid={"name": "regular", "configuration": {"chunk_shape": [1, 100_000, 200_000]}},
        ),
    )


def _chunks():
    zeros = bytes(16 << 20)  # at level 1, more than the 64 KiB that nobody looks at
    gzipped = gzip.compress(zeros, 1)
    for name, chunk, settings in (
        ("zlib", zlib.compress(zeros, 1), {"level": 1}),
        ("gzip", gzipped, {"level": 1}),
        ("bz2", bz2.compress(zeros, 1), {"level": 1}),
        (
            "lzma",
            lzma.compress(zeros, preset=0),
            {"format": 1, "check": -1, "preset": None, "filters": None},
        ),
    ):
        yield f"v2 a bomb of {name}", v2(chunk, compressor={"id": name, **settings})
    codecs = ({"name": "bytes"}, {"name": "gzip", "configuration": {"level": 1}})
    yield "v3 a bomb of gzip", v3_codecs(*codecs, chunk=gzipped)
    yield "v3 a bomb of many members", v3_codecs(*codecs, chunk=gzip.compress(bytes(60)) * 4000)
    blosc = struct.pack("<4B3I", 2, 1, 0x21, 1, 0x7FFFFFF0, 0x7FFFFFF0, 100) + bytes(84)
    yield (
        "v2 a blosc head that lies",
        v2(
            blosc,
            compressor={"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
        ),
    )
    yield (
        "v2 an lz4 head that lies",
        v2(struct.pack("<I", 0x7FFFFFFF) + bytes(50), compressor={"id": "lz4", "acceleration": 1}),
    )
    zstd = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 1 << 50) + b"\x01\x00\x00"
    yield "v2 a zstd head that lies", v2(zstd, compressor={"id": "zstd", "level": 1})
    yield (
        "v3 a zstd head that lies",
        v3_codecs(
            {"name": "bytes"},
            {"name": "zstd", "configuration": {"level": 1, "checksum": False}},
            chunk=zstd,
        ),
    )
    yield "v2 a chunk that is too short", v2(bytes(10))
    yield "v2 a chunk that is too long", v2(bytes(1000))
    yield (
        "v2 a chunk that is a pickle",
        v2(pickle.dumps(Run(), 2), compressor={"id": "zlib", "level": 1}),
    )


def _groups():
    group = {"zarr.json": json.dumps({"zarr_format": 3, "node_type": "group"}).encode()}
    inner = v3(bytes(FRAME), data_type="string")
    yield "v3 a group with strings", group | {f"a/{name}": text for name, text in inner.items()}
    inner = v2(bytes(FRAME), compressor={"id": "pickle"})
    yield (
        "v2 a group with a pickle",
        {".zgroup": b'{"zarr_format": 2}'} | {f"a/{n}": t for n, t in inner.items()},
    )
    hidden = {
        "metadata": {
            ".zgroup": {"zarr_format": 2},
            "a/.zarray": {**V2, "compressor": {"id": "pickle"}},
        }
    }
    files = {
        ".zgroup": b'{"zarr_format": 2}',
        ".zmetadata": json.dumps({**hidden, "zarr_consolidated_format": 1}).encode(),
    }
    yield (
        "v2 consolidated metadata with a pickle",
        files | {f"a/{n}": t for n, t in v2(bytes(FRAME)).items()},
    )
    told = {"a": {**V3, "codecs": [{"name": "bytes"}, {"name": "numcodecs.pickle"}]}}
    block = {"kind": "inline", "must_understand": False, "metadata": told}
    content = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {},
        "consolidated_metadata": block,
    }
    files = {"zarr.json": json.dumps(content).encode()}
    yield (
        "v3 consolidated metadata with a pickle",
        files | {f"a/{n}": t for n, t in v3(bytes(FRAME)).items()},
    )
    for place in ("../other", "/etc", "a/../../other", "..", "", "C:\\x", "a\0b"):
        attributes = {
            "ome": {"version": "0.5", "multiscales": [{"axes": [], "datasets": [{"path": place}]}]}
        }
        content = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        yield (
            f"v3 a level at {place!r}".replace("/", "-"),
            {"zarr.json": json.dumps(content).encode()},
        )


# Other files


def files():
    """Yield (name, content) of other images that must be refused."""
    yield from _arrays()
    yield from _headers()
    yield from _tiffs()


def npy(header, data=b"", version=1):
    text = header.encode() if isinstance(header, str) else header
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(text)) + text + data


def _arrays():
    evil = pickle.dumps(Run(), 2)
    yield "objects.npy", npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n", evil)
    yield (
        "structures with objects.npy",
        npy("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}\n", evil),
    )
    yield "a call in the header.npy", npy("__import__('os').system('true')\n")
    yield "a deep header.npy", npy("(" * 9000 + ")" * 9000 + "\n")
    yield (
        "a shape of 2 to the 80.npy",
        npy(
            "{'descr': '|u1', 'fortran_order': False, 'shape': (1208925819614629174706176, 2, 2)}\n",
            bytes(8),
        ),
    )
    yield (
        "more than there is.npy",
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 10000, 10000)}\n", bytes(8)),
    )
    yield (
        "a negative shape.npy",
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-2, 8, 9)}\n", bytes(99)),
    )
    yield "a pickle.npy", evil
    yield "a pickle.npz", evil
    for name, member in {
        "objects": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n", evil),
        "a pickle in it": evil,
        "a bomb": npy(
            "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 8, 9)}\n", bytes(20 << 20)
        ),
        "a huge shape": npy(
            "{'descr': '<f8', 'fortran_order': False, 'shape': (999, 99999, 99999)}\n", bytes(99)
        ),
    }.items():
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("image.npy", member)
        yield f"{name}.npz", made.getvalue()


def nifti(
    dim=(3, 9, 8, 2, 1, 1, 1, 1), datatype=2, bitpix=8, offset=352.0, data=bytes(144), slope=0.0
):
    head = bytearray(348)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, *dim)
    struct.pack_into("<2h", head, 70, datatype, bitpix)
    struct.pack_into("<8f", head, 76, *(1.0,) * 8)
    struct.pack_into("<3f", head, 108, offset, slope, 0.0)
    struct.pack_into("<2h", head, 252, 0, 1)
    for row in range(3):
        struct.pack_into(
            "<4f", head, 280 + 16 * row, *(float(row == column) for column in range(4))
        )
    head[344:348] = b"n+1\0"
    return bytes(head) + bytes(4) + data


NRRD = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 9 8 2\nencoding: raw\n\n"


def nrrd(text=NRRD, data=bytes(144)):
    return text.encode() + data


def _headers():
    yield "cut.nii", nifti()[:200]
    yield "too short.nii", nifti(data=bytes(10))
    yield "huge.nii", nifti((3, 32767, 32767, 32767, 1, 1, 1, 1), datatype=64, bitpix=64)
    yield "negative.nii", nifti((3, -9, 8, 2, 1, 1, 1, 1))
    yield "no axes.nii", nifti((0, 9, 8, 2, 1, 1, 1, 1))
    yield "nine axes.nii", nifti((9, 9, 8, 2, 1, 1, 1, 1))
    yield "unknown numbers.nii", nifti(datatype=12345)
    yield "pixels before the file.nii", nifti(offset=-1e30)
    yield "pixels at infinity.nii", nifti(offset=float("inf"))
    yield "packed and cut.nii.gz", gzip.compress(nifti())[:60]
    yield "a pickle.nii", pickle.dumps(Run(), 2)
    yield "huge.nrrd", nrrd(NRRD.replace("9 8 2", "99999 99999 99999"))
    yield "negative.nrrd", nrrd(NRRD.replace("9 8 2", "-9 8 2"))
    yield "too short.nrrd", nrrd(data=bytes(10))
    yield "an unknown type.nrrd", nrrd(NRRD.replace("uint8", "object"))
    yield "pixels elsewhere.nhdr", nrrd(NRRD.replace("\n\n", "\ndata file: /etc/passwd\n\n"))
    yield "pixels above.nhdr", nrrd(NRRD.replace("\n\n", "\ndata file: ../../secret\n\n"))
    yield (
        "pixels in many files.nhdr",
        nrrd(NRRD.replace("\n\n", "\ndata file: LIST\n/etc/passwd\n\n")),
    )
    yield "a bomb.nrrd", nrrd(NRRD.replace("raw", "gzip"), gzip.compress(bytes(16 << 20), 1))
    yield "an unknown encoding.nrrd", nrrd(NRRD.replace("raw", "pickle"))


def tiff(
    width=9,
    height=8,
    compression=1,
    bits=8,
    strip=None,
    count=72,
    offset=8,
    data=bytes(72),
    next_page=0,
):
    """Return a TIFF of one page and one strip."""
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (259, 3, 1, compression), (262, 3, 1, 1),
        (273, 4, 1, offset), (277, 3, 1, 1), (278, 4, 1, height if strip is None else strip), (279, 4, 1, count),
    ]  # fmt: skip
    place = 8 + len(data)
    head = b"II*\0" + struct.pack("<I", place) + data
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", *entry) for entry in entries
    )
    return head + directory + struct.pack("<I", next_page)


def _tiffs():
    yield "cut.tif", tiff()[:90]
    yield "a million strips of which one is there.tif", tiff(height=1 << 23, strip=8)
    yield "huge.tif", tiff(width=1 << 31, height=1 << 31)
    yield "large frames.tif", tiff(width=1 << 17, height=1 << 17)
    yield "an unknown compression.tif", tiff(compression=12345)
    yield "pixels of 77 bits.tif", tiff(bits=77)
    yield "a bomb.tif", _bomb(1 << 20)
    yield "pixels behind the end.tif", tiff(offset=1 << 30)
    yield "deflate that is none.tif", tiff(compression=8)
    yield "nothing.tif", b""
    yield "a pickle.tif", pickle.dumps(Run(), 2)
    yield "the first page nowhere.tif", b"II*\0" + struct.pack("<I", 0xFFFFFFF0)


def _bomb(side):
    """Return a page of a terabyte in a strip of some kilobytes."""
    data = zlib.compress(bytes(1 << 20))
    return tiff(width=side, height=side, compression=8, count=len(data), data=data)
