"""The sequences with disappearances are frozen, and in them objects do leave, come back, die and hide."""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from napari_sam2.evaluation.disappearances import DISAPPEARANCE_SPECS, disappearance_sequence
from napari_sam2.evaluation.objects import object_ids
from napari_sam2.evaluation.region import region_similarity
from napari_sam2.evaluation.sequences import FIRST_SEED, VALIDATION_SPECS

CHECKSUMS = json.loads(Path(__file__).with_name("disappearance_checksums.json").read_text())
INDICES = range(len(DISAPPEARANCE_SPECS))


@pytest.fixture(scope="module")
def sequences():
    return [disappearance_sequence(index) for index in INDICES]


def checksum(sequence):
    digest = hashlib.sha256()
    for stack in (sequence.image, sequence.labels, sequence.unclear):
        digest.update(f"{stack.shape} {stack.dtype}".encode())
        digest.update(stack.astype(stack.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def presence(sequence):
    """(T, O): whether the labels have the object."""
    ids = range(1, int(sequence.labels.max()) + 1)
    return np.stack([(sequence.labels == i).any(axis=(1, 2)) for i in ids], axis=1)


def test_every_sequence_is_the_frozen_one(sequences):
    assert [checksum(sequence) for sequence in sequences] == CHECKSUMS


def test_a_sequence_is_the_same_on_every_call(sequences):
    assert checksum(disappearance_sequence(3)) == checksum(sequences[3])


def test_seeds_are_reserved_and_those_of_no_other_sequence():
    seeds = [spec.scene.seed for spec in DISAPPEARANCE_SPECS]
    assert min(seeds) >= FIRST_SEED
    assert len(set(seeds)) == len(seeds)
    assert not set(seeds) & {spec.seed for spec in VALIDATION_SPECS}


@pytest.mark.parametrize("index", [-1, len(DISAPPEARANCE_SPECS)])
def test_there_is_no_other_sequence(index):
    with pytest.raises(IndexError, match="0 to 7"):
        disappearance_sequence(index)


def test_all_objects_are_there_on_the_first_frame(sequences):
    for sequence, spec in zip(sequences, DISAPPEARANCE_SPECS, strict=True):
        assert object_ids(sequence.labels[0]) == tuple(range(1, spec.scene.count + 1))
        assert not sequence.unclear[0].any()


def test_a_quarter_of_what_is_asked_for_is_absent(sequences):
    absent = sum((~presence(sequence)[1:] & ~sequence.unclear[1:]).sum() for sequence in sequences)
    there = sum(presence(sequence)[1:].sum() for sequence in sequences)
    assert absent > 200
    assert 0.2 < absent / (absent + there) < 0.3


def test_objects_come_back_stay_away_and_hide(sequences):
    for sequence, spec in zip(sequences, DISAPPEARANCE_SPECS, strict=True):
        there = presence(sequence)
        came_back = int((there[-1] & ~there.all(axis=0)).sum())
        gone = int((~there[-1]).sum())
        if spec.curtain:
            assert (came_back, gone) == (spec.scene.count, 0)
        else:
            assert came_back >= 1
            assert gone >= spec.leaving + spec.dying


def test_what_shows_too_little_of_itself_is_unclear_and_not_labelled(sequences):
    for sequence in sequences:
        assert not (presence(sequence) & sequence.unclear).any()
    assert 20 < sum(sequence.unclear.sum() for sequence in sequences) < 80


def test_nothing_moves_too_fast_to_follow(sequences):
    for sequence in sequences:
        overlaps = [
            region_similarity(first == i, second == i)
            for first, second in pairwise(sequence.labels)
            for i in np.intersect1d(object_ids(first), object_ids(second))
        ]
        assert np.mean(overlaps) > 0.7
