from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.core.labels import LazyLabels

ARRAY = np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6)


@pytest.fixture
def asked():
    return []


@pytest.fixture
def labels(asked):
    def project(t):
        asked.append(t)
        return ARRAY[t].copy()

    return LazyLabels(project, ARRAY.shape, ARRAY.dtype)


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        np.int64(2),
        slice(None),
        slice(1, 3),
        slice(None, None, -1),
        slice(4, 9),
        (2, 3),
        (2, 3, 4),
        (2, slice(1, 3), slice(None, None, 2)),
        (slice(1, 3), 2),
        (slice(1, 3), slice(None), 4),
        (slice(4, 9), slice(None), 4),
        Ellipsis,
        (Ellipsis, 3),
        (1, Ellipsis),
        (slice(0, 2), Ellipsis, 5),
        ([0, 2],),
        [3, 1],
        (),
    ],
)
def test_indexing_gives_what_the_whole_array_would(labels, key):
    np.testing.assert_array_equal(labels[key], ARRAY[key], strict=True)


def test_only_the_frames_asked_for_are_made(labels, asked):
    _ = labels[1:3, 2, 2]
    assert asked == [1, 2]


@pytest.mark.parametrize("key", [4, -5, (9, 0, 0)])
def test_a_frame_beyond_the_end_is_an_index_error(labels, key):
    with pytest.raises(IndexError):
        labels[key]


def test_numpy_makes_an_array_of_it(labels):
    np.testing.assert_array_equal(np.asarray(labels), ARRAY, strict=True)
    assert np.asarray(labels, dtype=np.int64).dtype == np.int64
    np.testing.assert_array_equal(np.stack(list(labels)), ARRAY)


def test_labels_cannot_be_had_without_a_copy(labels):
    with pytest.raises(ValueError, match="without a copy"):
        np.array(labels, copy=False)


def test_it_says_what_it_is(labels):
    assert (labels.shape, labels.dtype, labels.ndim, labels.size, len(labels)) == (
        (4, 5, 6),
        np.uint16,
        3,
        120,
        4,
    )
