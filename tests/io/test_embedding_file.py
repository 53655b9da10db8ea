"""An encoded frame in a file: exact to the bit, strides included, and nothing that was changed is read."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam2.core.errors import FileFormatError
from napari_sam2.io.embedding_file import DTYPES, MAGIC, from_bytes, to_parts

KEY = "k" * 64


def written(arrays, key=KEY) -> bytes:
    return b"".join(bytes(part) for part in to_parts(key, arrays))


def read(content: bytes, key=KEY):
    return from_bytes(np.frombuffer(bytearray(content), np.uint8), key)


def bits(array: np.ndarray) -> tuple[object, ...]:
    return array.dtype, array.shape, array.tobytes()


@st.composite
def embeddings(draw) -> dict[str, np.ndarray]:
    """Arrays of any type and number, their axes in any order in memory; NaN and denormal numbers among them."""
    arrays = {}
    for name in draw(st.lists(st.text(max_size=8), max_size=4, unique=True)):
        dtype = np.dtype(draw(st.sampled_from(DTYPES)))
        shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, max_side=4))
        numbers = draw(st.binary(min_size=8 * 4**4, max_size=8 * 4**4))
        flat = np.frombuffer(numbers, np.uint8)[: int(np.prod(shape)) * dtype.itemsize]
        flat = (flat & 1).view(bool) if dtype.kind == "b" else flat.view(dtype)
        order = draw(st.permutations(range(len(shape))))
        stored = flat.reshape([shape[axis] for axis in order])
        arrays[name] = stored.transpose(np.argsort(order).astype(int)) if shape else stored
    return arrays


@given(embeddings())
def test_what_is_read_is_what_was_written_to_the_bit(arrays):
    found = read(written(arrays))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert bits(found[name]) == bits(array)
        assert found[name].flags.writeable
        steps = zip(array.shape, array.strides, found[name].strides, strict=True)
        assert all(old == new for length, old, new in steps if length > 1)


def test_arrays_with_gaps_come_back_without_them():
    array = np.arange(24, dtype=np.float32).reshape(4, 6)[:, ::2]
    (found,) = read(written({"a": array})).values()
    np.testing.assert_array_equal(found, array)
    assert found.flags.c_contiguous


def test_numbers_of_another_type_are_refused():
    with pytest.raises(ValueError, match="complex64"):
        written({"a": np.zeros(3, np.complex64)})


CONTENT = written({"a": np.arange(40, dtype=np.float16).reshape(5, 8), "b": np.array(True)})


def test_every_flipped_bit_is_told():
    for position in range(len(CONTENT)):
        for bit in (1, 128):
            damaged = bytearray(CONTENT)
            damaged[position] ^= bit
            with pytest.raises(FileFormatError):
                read(damaged)


def test_every_cut_is_told():
    for length in range(len(CONTENT)):
        with pytest.raises(FileFormatError):
            read(CONTENT[:length])
    with pytest.raises(FileFormatError):
        read(CONTENT + b"\0")


def test_the_embedding_of_another_frame_is_told():
    with pytest.raises(FileFormatError, match="another frame"):
        read(CONTENT, "other")


def test_another_version_is_not_read():
    newer = bytearray(CONTENT)
    newer[6] += 1
    with pytest.raises(FileFormatError, match="this version"):
        read(newer)


def sealed(header: object, data: bytes = b"") -> bytes:
    """A file with a right checksum, whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = MAGIC + len(text).to_bytes(4, "little") + text + data
    return body + hashlib.sha256(body).digest()


@pytest.mark.parametrize(
    "header",
    [
        b"\xff",
        b"[" * 60000,
        [],
        {},
        {"key": KEY},
        {"key": KEY, "arrays": 3},
        {"key": KEY, "arrays": [["a", "float32", [1]]]},
        {"key": KEY, "arrays": [["a", "object", [1], [1]]]},
        {"key": KEY, "arrays": [["a", "float32", [10**12], [1]]]},
        {"key": KEY, "arrays": [["a", "float32", [-1], [1]]]},
        {"key": KEY, "arrays": [["a", "float32", [2, 2], [1, 1]]]},
        {"key": KEY, "arrays": [["a", "float32", [2], [1000000]]]},
        {"key": KEY, "arrays": [["a", "float32", [1.5], [1]]]},
        {"key": KEY, "arrays": [["a", "float32", ["x"], [1]]]},
        {"key": KEY, "arrays": [["a", "float32", [2, 2], [1]]]},
        {"key": KEY, "arrays": [[[], "float32", [1], [1]]]},
    ],
)
def test_a_header_that_lies_is_refused_also_with_a_right_checksum(header):
    with pytest.raises(FileFormatError):
        read(sealed(header, bytes(64)))


def test_a_header_that_is_longer_than_the_file_is_refused():
    body = MAGIC + (1 << 31).to_bytes(4, "little") + bytes(100)
    with pytest.raises(FileFormatError, match="header"):
        read(body + hashlib.sha256(body).digest())
