"""The validation sequences are frozen, hard enough for what needs no model, and fair to a tracker."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_sam2.evaluation.floors import otsu_prediction
from napari_sam2.evaluation.objects import object_ids, prompt_frames
from napari_sam2.evaluation.region import copy_floor, region_similarity
from napari_sam2.evaluation.sequences import FIRST_SEED, VALIDATION_SPECS, validation_sequence
from napari_sam2.evaluation.stacks import floor_score, simulated_clicks

CHECKSUMS = json.loads(Path(__file__).with_name("sequence_checksums.json").read_text())
INDICES = range(len(VALIDATION_SPECS))


@pytest.fixture(scope="module")
def sequences():
    return [validation_sequence(index) for index in INDICES]


def checksum(sequence):
    digest = hashlib.sha256()
    for stack in (sequence.image, sequence.labels):
        digest.update(f"{stack.shape} {stack.dtype}".encode())
        digest.update(stack.astype(stack.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def test_every_sequence_is_the_frozen_one(sequences):
    assert [checksum(sequence) for sequence in sequences] == CHECKSUMS


def test_a_sequence_is_the_same_on_every_call(sequences):
    assert checksum(validation_sequence(5)) == checksum(sequences[5])


def test_seeds_are_reserved_and_differ():
    seeds = [spec.seed for spec in VALIDATION_SPECS]
    assert min(seeds) >= FIRST_SEED
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("index", [-1, len(VALIDATION_SPECS)])
def test_there_is_no_other_sequence(index):
    with pytest.raises(IndexError, match="0 to 23"):
        validation_sequence(index)


def test_stacks_have_the_promised_form(sequences):
    assert {sequence.image.dtype for sequence in sequences} == {np.dtype("u1"), np.dtype("u2")}
    for sequence in sequences:
        assert sequence.labels.dtype == np.uint16
        assert sequence.image.shape == sequence.labels.shape
        assert sequence.image.shape[1:] == (256, 256)
        assert 12 <= len(sequence.image) <= 16


def test_all_objects_are_there_on_the_first_frame(sequences):
    for sequence, spec in zip(sequences, VALIDATION_SPECS, strict=True):
        assert object_ids(sequence.labels[0]) == tuple(range(1, spec.count + 1))
        assert set(prompt_frames(sequence.labels, "first").values()) == {0}


def test_some_sequences_have_eight_look_alike_neighbours(sequences):
    crowded = [
        len(object_ids(sequence.labels[0]))
        for sequence, spec in zip(sequences, VALIDATION_SPECS, strict=True)
        if spec.alike
    ]
    assert sum(count >= 9 for count in crowded) >= 5
    for sequence, spec in zip(sequences, VALIDATION_SPECS, strict=True):
        if spec.alike and spec.kind == "fluorescence":
            means = [
                sequence.image[0][sequence.labels[0] == i].mean() for i in range(1, spec.count + 1)
            ]
            assert np.std(means) / np.mean(means) < 0.1


def test_objects_have_the_sizes_of_the_recipe(sequences):
    diameters = np.concatenate(
        [2 * np.sqrt(np.bincount(s.labels[0].ravel())[1:] / np.pi) for s in sequences]
    )
    assert np.percentile(diameters, 10) > 20
    assert 28 < np.median(diameters) < 50
    assert diameters.max() < 75


def contrast_to_noise(frame, labels):
    """Return |mean inside - mean of the ground close by| / standard deviation of the noise there, one an object."""
    smooth = ndimage.gaussian_filter(frame.astype(float), 3)
    from_any = ndimage.distance_transform_edt(labels == 0)
    ratios = []
    for object_id in object_ids(labels):
        mask = labels == object_id
        distance = ndimage.distance_transform_edt(~mask)
        ring = (distance > 5) & (distance < 14) & (from_any > 4)
        noise = np.std((frame - smooth)[ring])
        inside = ndimage.binary_erosion(mask, iterations=3)
        ratios.append(abs(frame[inside].mean() - frame[ring].mean()) / noise)
    return ratios


def test_contrast_to_noise_goes_down_to_two(sequences):
    faintest = {
        index: min(contrast_to_noise(sequence.image[0], sequence.labels[0]))
        for index, (sequence, spec) in enumerate(zip(sequences, VALIDATION_SPECS, strict=True))
        if spec.kind in ("fluorescence", "dark")
    }
    assert 1.6 < min(faintest.values()) < 2.2
    assert max(faintest.values()) < 8  # none is easy for the eye alone


def test_copying_the_first_mask_is_a_low_floor(sequences):
    floors = [copy_floor(sequence.labels, "first") for sequence in sequences]
    assert 0.2 < np.mean(floors) < 0.40
    assert max(floors) < 0.45


@pytest.mark.parametrize("smoothing", [0.0, 1.0])
def test_otsu_and_components_are_a_low_floor(sequences, smoothing):
    floors = []
    for sequence in sequences:
        prompted = prompt_frames(sequence.labels, "first")
        clicks = simulated_clicks(sequence.labels, prompted)
        predict = otsu_prediction(sequence.image, clicks, smoothing)
        floors.append(floor_score(predict, sequence.labels, prompted))
    assert np.mean(floors) < 0.38


def test_nothing_moves_too_fast_to_follow(sequences):
    for sequence in sequences:
        overlaps = [
            region_similarity(first == i, second == i)
            for first, second in zip(sequence.labels[:-1], sequence.labels[1:], strict=True)
            for i in np.intersect1d(object_ids(first), object_ids(second))
        ]
        assert np.mean(overlaps) > 0.7
        assert np.percentile(overlaps, 5) > 0.5


def test_some_objects_leave_and_some_cross(sequences):
    last = [set(object_ids(s.labels[0])) - set(object_ids(s.labels[-1])) for s in sequences]
    assert sum(bool(gone) for gone in last) >= 2
    assert sum(spec.crossing > 0 for spec in VALIDATION_SPECS) >= 3
