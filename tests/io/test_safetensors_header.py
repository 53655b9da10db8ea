"""A header is believed only if it describes its file to the byte: every type, every edge."""

from __future__ import annotations

import io
import json
from math import prod

import pytest

from napari_sam2.core.errors import CheckpointError
from napari_sam2.io.safetensors_header import MAX_HEADER, TensorInfo, read_header

BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip


@pytest.fixture
def read(tmp_path):
    """Read the header of a file that is made of a header and so many bytes behind it."""

    def read(header, behind=0, length=None):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        count = len(text) if length is None else length
        path = tmp_path / "x.safetensors"
        path.write_bytes(count.to_bytes(8, "little") + text + bytes(behind))
        with path.open("rb") as file:
            found = read_header(file)
            assert file.tell() == 0
        return found

    return read


def tensor(dtype="F32", shape=(), start=0, stop=None):
    end = start + prod(shape) * BYTES.get(dtype, 1) if stop is None else stop
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


@pytest.mark.parametrize(("dtype", "size"), BYTES.items())
def test_a_tensor_of_every_type_fills_its_bytes_and_no_others(read, dtype, size):
    shape = (3, 5, 7)
    found = read({"a": tensor(dtype, shape)}, 105 * size)
    assert found.tensors == {"a": TensorInfo(dtype, shape, 0, 105 * size)}
    assert found.metadata == {}
    for wrong in (105 * size - 1, 105 * size + 1):
        with pytest.raises(CheckpointError, match=f"does not fill its {wrong} bytes"):
            read({"a": tensor(dtype, shape, stop=wrong)}, wrong)


def test_types_that_are_not_known_are_refused(read):
    for dtype in ("F8_E4M3", "f32", "", 5, None, ["F32"]):
        entry = {**tensor(shape=(2,)), "dtype": dtype}
        with pytest.raises(CheckpointError, match="of unknown type"):
            read({"a": entry}, 8)


def test_many_large_tensors_lie_side_by_side_in_any_order(read):
    names = [f"t{number}" for number in range(300)]
    entries = {name: tensor("F32", (100,), 400 * number) for number, name in enumerate(names)}
    found = read(dict(reversed(entries.items())), 400 * 300)
    assert {name: found.tensors[name].start for name in names} == {
        name: 400 * number for number, name in enumerate(names)
    }


@pytest.mark.parametrize(
    ("first", "second", "behind", "complaint"),
    [
        ((0, 400), (400, 800), 799, "describes 800 bytes of tensors, but has 799"),
        ((0, 400), (400, 800), 801, "describes 800 bytes of tensors, but has 801"),
        ((0, 400), (401, 801), 801, "a gap or an overlap before tensor 'b'"),
        ((0, 400), (399, 799), 799, "a gap or an overlap before tensor 'b'"),
        ((0, 400), (0, 400), 400, "a gap or an overlap before tensor 'b'"),
        ((1, 401), (401, 801), 801, "a gap or an overlap before tensor 'a'"),
        ((0, 400), (400, 799), 799, "'b' whose shape does not fill its 399 bytes"),
        ((0, 400), (801, 400), 800, "'b' whose shape does not fill its -401 bytes"),
    ],
)
def test_gaps_overlaps_and_wrong_ends_are_told(read, first, second, behind, complaint):
    entries = {
        "a": tensor("F32", (100,), *first),
        "b": tensor("F32", (100,), *second),
    }
    with pytest.raises(CheckpointError, match=complaint) as caught:
        read(entries, behind)
    assert caught.value.kept == "nothing was loaded"
    assert "damaged or crafted" in caught.value.remedy


def test_empty_tensors_take_no_bytes_but_keep_their_place(read):
    assert read({"a": tensor("F32", (0, 4)), "b": tensor("F32", (2,))}, 8).tensors["a"].stop == 0
    with pytest.raises(CheckpointError, match="gap or an overlap"):
        read({"a": tensor("F32", (2,)), "b": tensor("F32", (0,), 4)}, 8)


@pytest.mark.parametrize(
    "shape",
    [[-1], [1 << 63], [1 << 70], [True], [2.0], ["2"], [None], "2", None, {"0": 2}, [1] * 17],
)
def test_a_shape_is_a_few_whole_numbers(read, shape):
    with pytest.raises(CheckpointError, match="'a' with a shape or offsets that are not whole"):
        read({"a": {**tensor(), "shape": shape}}, 4)


@pytest.mark.parametrize(
    "offsets", [[0], [0, 4, 8], [], [-4, 0], [0, 1 << 63], [0, 4.0], [False, 4]]
)
def test_offsets_are_two_whole_numbers(read, offsets):
    with pytest.raises(CheckpointError, match="'a' with a shape or offsets that are not whole"):
        read({"a": {**tensor(), "data_offsets": offsets}}, 4)


def test_the_largest_numbers_that_are_taken_are_counted_and_not_made(read):
    assert read({"a": tensor("U8", [1] * 16)}, 1).tensors["a"].shape == (1,) * 16
    largest = (1 << 63) - 1
    with pytest.raises(CheckpointError, match=f"does not fill its {largest} bytes"):
        read({"a": tensor("U8", [1 << 62], stop=largest)}, 4)


@pytest.mark.parametrize("missing", ["dtype", "shape", "data_offsets"])
def test_a_tensor_is_described_by_three_things(read, missing):
    entry = {key: value for key, value in tensor().items() if key != missing}
    for wrong in (entry, {**tensor(), "more": 1}, [], "F32", None, 5):
        with pytest.raises(CheckpointError, match="does not describe tensor 'a'"):
            read({"a": wrong}, 4)


def test_a_name_that_occurs_twice_is_refused_however_many_there_are(read):
    entries = [f'"t{number}": {json.dumps(tensor("U8", (), number))}' for number in range(300)]
    text = "{" + ", ".join(entries) + "}"
    assert len(read(text.encode(), 300).tensors) == 300
    with pytest.raises(CheckpointError, match=r"not JSON \(a name occurs twice"):
        read(("{" + ", ".join([*entries, entries[7]]) + "}").encode(), 300)


@pytest.mark.parametrize("text", [b"[]", b"5", b'"a"', b"null"])
def test_a_header_is_a_table(read, text):
    with pytest.raises(CheckpointError, match="not a table of tensors"):
        read(text)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff{}", b"[" * 100_000])
def test_a_header_is_json(read, text):
    with pytest.raises(CheckpointError, match="not JSON"):
        read(text)


def test_metadata_are_texts(read):
    assert read({"__metadata__": {"format": "pt"}}).metadata == {"format": "pt"}
    for wrong in ({"a": 1}, {"a": None}, [], "pt", 5, None):
        with pytest.raises(CheckpointError, match="metadata that is not text"):
            read({"__metadata__": wrong})


def test_the_length_of_a_header_is_that_of_what_is_there(read):
    assert read(b"{}").tensors == {}, "nothing but a header"
    for length, size in ((3, 10), (1 << 40, 10)):
        with pytest.raises(
            CheckpointError, match=f"says its header has {length} bytes, but the file has {size}"
        ):
            read(b"{}", length=length)


@pytest.mark.parametrize("size", range(8))
def test_a_file_too_short_for_a_length_is_refused(tmp_path, size):
    path = tmp_path / "x.safetensors"
    path.write_bytes(bytes(size))
    with path.open("rb") as file, pytest.raises(CheckpointError, match=f"the file has {size}$|;"):
        read_header(file)


def test_a_header_may_be_so_long_and_no_longer(read):
    assert MAX_HEADER == 8 * 1024 * 1024
    longest = b"{}" + b" " * (MAX_HEADER - 2)
    assert read(longest).tensors == {}
    with pytest.raises(CheckpointError, match=f"a header of {MAX_HEADER + 1} bytes"):
        read(longest + b" ")


def test_nothing_behind_the_header_is_read(tmp_path):
    path = tmp_path / "x.safetensors"
    text = json.dumps({"a": tensor("U8", (1000,))}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(1000))

    class Watched(io.FileIO):
        num_read = 0

        def read(self, size=-1):
            data = super().read(size)
            self.num_read += len(data)
            return data

    with Watched(path) as file:
        read_header(file)
        assert file.num_read == 8 + len(text)
