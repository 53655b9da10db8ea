"""A stranger's checkpoint, part by part: what `torch.save` writes is taken, up to every limit and no further."""

from __future__ import annotations

import io
import math
import struct
import zipfile

import pytest
from tests.security import crafted

from napari_sam2.core.errors import CheckpointError
from napari_sam2.io import checkpoint_archive
from napari_sam2.io.checkpoint_archive import read_archive
from napari_sam2.io.checkpoint_pickle import _STORAGES, MAX_TEXT, Table, read_pickle
from napari_sam2.io.checkpoint_scan import scan

GOOD = crafted.archive()

LOCAL_FIELDS = {"magic": (0, "<I"), "flags": (6, "<H"), "method": (8, "<H"), "crc": (14, "<I")}
LOCAL_FIELDS |= {"packed": (18, "<I"), "size": (22, "<I"), "length of the name": (26, "<H")}

CENTRAL_FLAGS = 8
LOCAL_FLAGS = 6


def parts(content=GOOD):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.infolist()


def changed(content, offset, layout, change):
    """Return content with a number in it changed; below 0 comes the largest one."""
    (value,) = struct.unpack_from(layout, content, offset)
    result = bytearray(content)
    struct.pack_into(layout, result, offset, change(value) % (1 << 8 * struct.calcsize(layout)))
    return bytes(result)


def directory_entries(content=GOOD):
    """Offsets of the entries of the directory, in order."""
    offsets, at = [], content.find(b"PK\x01\x02")
    while at >= 0:
        offsets.append(at)
        at = content.find(b"PK\x01\x02", at + 1)
    return offsets


# The archive


def test_the_parts_are_those_that_were_written():
    archive = read_archive(io.BytesIO(GOOD))
    assert archive.pickle == crafted.HONEST
    assert archive.storages == {"0": 24, "1": 8}


@pytest.mark.parametrize("step", [-1, 1])
@pytest.mark.parametrize("field", LOCAL_FIELDS)
@pytest.mark.parametrize("number", range(len(parts())))
def test_a_local_header_says_what_the_directory_says(number, field, step):
    offset, layout = LOCAL_FIELDS[field]
    start = parts()[number].header_offset
    crafted_one = changed(GOOD, start + offset, layout, lambda value: value + step)
    with pytest.raises(CheckpointError):
        read_archive(io.BytesIO(crafted_one))


@pytest.mark.parametrize("step", [-1, 1])
def test_a_part_has_one_name(step):
    start = parts()[2].header_offset + 30
    crafted_one = changed(GOOD, start, "<B", lambda value: value + step)
    with pytest.raises(CheckpointError, match="told of in two ways"):
        read_archive(io.BytesIO(crafted_one))


@pytest.mark.parametrize("bit", range(16))
def test_no_flag_is_taken_that_readers_differ_in(bit):
    content = bytearray(GOOD)
    for entry, info in zip(directory_entries(), parts(), strict=True):
        for at in (entry + CENTRAL_FLAGS, info.header_offset + LOCAL_FLAGS):
            (flags,) = struct.unpack_from("<H", content, at)
            struct.pack_into("<H", content, at, flags | 1 << bit)
    if bit in (3, 11):  # sizes behind the data, names in UTF-8
        assert read_archive(io.BytesIO(bytes(content))).storages == {"0": 24, "1": 8}
    else:
        with pytest.raises(CheckpointError):
            read_archive(io.BytesIO(bytes(content)))


def test_sizes_may_stand_behind_the_data_and_then_nowhere_else():
    content = bytearray(GOOD)
    info, entry = parts()[0], directory_entries()[0]
    for at in (entry + CENTRAL_FLAGS, info.header_offset + LOCAL_FLAGS):
        struct.pack_into("<H", content, at, 0x8)
    struct.pack_into("<3I", content, info.header_offset + 14, 0, 0, 0)
    assert read_archive(io.BytesIO(bytes(content))).pickle == crafted.HONEST
    struct.pack_into("<3I", content, info.header_offset + 14, 0, 0, 5)
    with pytest.raises(CheckpointError, match="told of in two ways"):
        read_archive(io.BytesIO(bytes(content)))


def test_as_many_parts_are_taken_as_are_allowed(monkeypatch):
    monkeypatch.setattr(checkpoint_archive, "MAX_PARTS", len(parts()))
    read_archive(io.BytesIO(GOOD))
    monkeypatch.setattr(checkpoint_archive, "MAX_PARTS", len(parts()) - 1)
    with pytest.raises(CheckpointError, match="5 parts; 1 to 4 are accepted"):
        read_archive(io.BytesIO(GOOD))


def test_an_archive_of_nothing_is_refused():
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    start = b"PK\x03\x04"  # something at the start that is in no directory
    with pytest.raises(CheckpointError, match="has 0 parts"):
        read_archive(io.BytesIO(start + empty.getvalue()))


def test_all_parts_lie_in_one_folder_and_one_is_the_pickle():
    file = io.BytesIO(GOOD)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(zipfile.ZipInfo("elsewhere/version"), b"3")
    with pytest.raises(CheckpointError, match="'elsewhere/version' of its archive is in another"):
        read_archive(file)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("archive/version"), b"3")
    with pytest.raises(CheckpointError, match=r"has no data\.pkl"):
        read_archive(file)


@pytest.mark.parametrize("number", range(len(parts())))
def test_every_part_is_read_to_its_end(number):
    """A flipped bit is told, in the numbers too."""
    info = parts()[number]
    data = info.header_offset + 30 + len(info.orig_filename) + info.file_size - 1
    crafted_one = changed(GOOD, data, "<B", lambda value: value ^ 1)
    if info.filename.endswith("version"):  # nobody reads it
        assert read_archive(io.BytesIO(crafted_one)) == read_archive(io.BytesIO(GOOD))
    else:
        with pytest.raises(CheckpointError):
            read_archive(io.BytesIO(crafted_one))


@pytest.mark.parametrize("step", [-1, 1])
@pytest.mark.parametrize("number", range(len(parts())))
def test_parts_lie_side_by_side(number, step):
    entry = directory_entries()[number]
    crafted_one = changed(GOOD, entry + 42, "<I", lambda offset: offset + step)
    with pytest.raises(CheckpointError):
        read_archive(io.BytesIO(crafted_one))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\0" * 257 + b"ustar" + b"\0" * 300, "it is a tar archive"),
        (b"\0" * 600, "it is no checkpoint"),
        (b"\0" * 257 + b"ustaq" + b"\0" * 300, "it is no checkpoint"),
        (b"", "it is no checkpoint"),
        (b"PK\x03", "it is no checkpoint"),
    ],
)
def test_what_else_it_is_is_told(content, said):
    with pytest.raises(CheckpointError, match=said):
        read_archive(io.BytesIO(content))


# The pickle


def said(body):
    return read_pickle(crafted.program(body)).content


@pytest.mark.parametrize(
    "value", [0, 1, 255, 256, -1, 1 << 31, (1 << 63) - 1, -(1 << 63), (1 << 62) + 1, -(1 << 62)]
)
def test_numbers_of_64_bits_are_read(value):
    assert said(crafted.number(value)) == value


@pytest.mark.parametrize("value", [1 << 63, -(1 << 63) - 1, 1 << 64, 1 << 200])
def test_larger_numbers_are_refused(value):
    with pytest.raises(CheckpointError, match="more than 64 bits"):
        said(crafted.number(value))


def test_texts_have_some_length():
    assert said(crafted.text("x" * MAX_TEXT)) == "x" * MAX_TEXT
    with pytest.raises(CheckpointError, match=f"a text of {MAX_TEXT + 1} letters"):
        said(crafted.text("x" * (MAX_TEXT + 1)))


def test_plain_values_are_what_they_were():
    K = crafted.number
    assert said(K(1) + b"\x85") == (1,)
    assert said(K(1) + K(2) + b"\x86") == (1, 2)
    assert said(K(1) + K(2) + K(3) + b"\x87") == (1, 2, 3)
    assert said(b"]" + K(7) + b"a" + b"(" + K(8) + K(9) + b"e") == [7, 8, 9]
    assert said(b"}" + crafted.text("a") + b"N" + b"s") == {"a": None}
    assert said(b"}(" + K(1) + b"\x88" + crafted.text("b") + b"\x89u") == {1: True, "b": False}
    assert said(crafted.ORDERED_DICT) == Table()
    # Something is put under a number, and taken from there.
    assert said(K(4) + b"q\x05" + b"h\x05" + b"\x86") == (4, 4)


@pytest.mark.parametrize(
    "body",
    [
        crafted.number(1) + crafted.number(2),  # two things
        b"(" + crafted.number(1),  # a mark that is never met
        crafted.number(1) + b"\x86",  # two of one
        b"]" + crafted.text("a") + crafted.number(1) + b"s",  # an item of a list
        b"}" + crafted.number(1) + b"a",  # appended to a table
        b"}(" + crafted.text("a") + b"u",  # a key without a value
        b"}" + b")" + crafted.number(1) + b"s",  # a tuple as a key
        crafted.named("collections.OrderedDict") + crafted.number(1) + b"\x85R",  # with arguments
        b"}}b",  # the state of a plain table
        crafted.ORDERED_DICT + b"}b",  # a state that says nothing
        crafted.ORDERED_DICT
        + b"}"
        + crafted.text("x")
        + b"}sb",  # and one that says something else
        crafted.ORDERED_DICT + b"]b",
        b"q\x05",  # nothing to be put anywhere
        b"h\x05",
    ],
)
def test_a_pickle_of_anything_else_is_refused(body):
    with pytest.raises(CheckpointError):
        said(body)


@pytest.mark.parametrize("data", [b"", b"\x80\x02", b"\x80\x02N", b"\x80\x02N..", b"\x80\x02N.x"])
def test_a_pickle_ends_where_its_part_ends(data):
    with pytest.raises(CheckpointError):
        read_pickle(data)


def test_the_kinds_of_numbers_are_those_of_torch():
    torch = pytest.importorskip("torch")
    for name, (_, size) in _STORAGES.items():
        assert getattr(torch, name).dtype.itemsize == size


@pytest.mark.parametrize("name", [*_STORAGES])
def test_what_torch_writes_is_described(name):
    torch = pytest.importorskip("torch")
    dtype = getattr(torch, name).dtype
    base = torch.zeros(24, dtype=dtype)
    tensors = {
        "whole": base.view(2, 3, 4),
        "part": base[5:20:3],
        "last": base[23:],
        "turned": base.view(4, 6).T,
        "nothing": base[24:],
        "one": base[3],
        "wide": base[:1].expand(7, 24)[:1],
    }
    file = io.BytesIO()
    torch.save(tensors, file)
    found = read_pickle(read_archive(file).pickle).content
    for key, tensor in tensors.items():
        facts = found[key]
        assert facts.shape == tuple(tensor.shape)
        assert facts.strides == tensor.stride()
        assert facts.offset == tensor.storage_offset()
        assert facts.dtype == _STORAGES[name][0]
        assert facts.num_bytes == tensor.numel() * tensor.element_size()


@pytest.mark.parametrize(
    ("facts", "is_good"),
    [
        ({"count": 6, "offset": 0}, True),
        ({"count": 6, "offset": 1}, False),
        ({"count": 7, "offset": 1}, True),
        ({"count": 5, "offset": 0}, False),
        ({"count": 6, "strides": (1, 2)}, True),
        ({"count": 6, "strides": (2, 2)}, False),
        ({"count": 6, "strides": (-3, 1)}, False),
        ({"count": 6, "shape": (2, -3)}, False),
        ({"count": 6, "shape": (6,), "strides": (1,)}, True),
        ({"count": 6, "shape": (7,), "strides": (0,)}, False),  # more numbers than there are
        ({"count": 6, "shape": (6,), "strides": (0,)}, True),
        ({"count": 6, "shape": (6,), "strides": (1, 1)}, False),
        ({"count": 6, "offset": -1}, False),
        ({"count": 6, "shape": (0, 3), "offset": 6}, True),
        ({"count": 6, "shape": (0, 3), "offset": 7}, False),
        ({"count": -1}, False),
        ({"count": 1, "shape": (1,) * 8, "strides": (1,) * 8}, True),
        ({"count": 1, "shape": (1,) * 9, "strides": (1,) * 9}, False),
        ({"kind": "collections.OrderedDict"}, False),
        ({"hooks": b"}"}, False),
        ({"hooks": crafted.ORDERED_DICT + crafted.text("a") + b"Ns"}, False),
    ],
)
def test_a_tensor_lies_in_its_storage(facts, is_good):
    body = crafted.tensor(**facts)
    if is_good:
        found = said(body)
        assert found.num_bytes == 4 * math.prod(found.shape)
    else:
        with pytest.raises(CheckpointError):
            said(body)


# Both


@pytest.mark.parametrize("size", [20, 23, 25, 28, 0])
def test_a_storage_has_as_many_bytes_as_its_tensors_need(size):
    stored = {"data/0": bytes(size), "data/1": bytes(8)}
    with pytest.raises(CheckpointError, match="says that it has 6 numbers of 4 bytes"):
        scan(io.BytesIO(crafted.archive(parts=stored)))


def test_a_storage_that_is_not_there_has_no_bytes():
    with pytest.raises(CheckpointError, match="the file has 0 bytes of it"):
        scan(io.BytesIO(crafted.archive(parts={"data/1": bytes(8)})))


def test_a_table_of_whole_numbers_is_no_model():
    body = crafted.table({"x" * 100: crafted.tensor(kind="torch.IntStorage")})
    parts = {"data/0": bytes(24)}
    with pytest.raises(CheckpointError, match="^tensor '" + "x" * 80 + "' holds I32"):
        scan(io.BytesIO(crafted.archive(crafted.program(body), parts)))
