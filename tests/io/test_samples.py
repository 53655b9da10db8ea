from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from napari_sam2.core.errors import FileFormatError, OptionError
from napari_sam2.evaluation.objects import object_ids
from napari_sam2.io import samples
from napari_sam2.io.samples import SAMPLE_NAMES, load_sample, sample_path

SOURCE = Path(__file__).parents[2] / "sample_data"


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_a_sample_has_truth_scale_and_units(name):
    sample = load_sample(name)
    assert sample.image.shape == sample.labels.shape
    assert sample.labels.dtype == np.uint16
    assert len(sample.scale) == len(sample.units) == len(sample.axis_labels) == sample.image.ndim
    low, high = sample.contrast_limits
    assert sample.image.min() < high
    assert sample.image.max() > low
    sample.image[0] = 0  # the caller may change it


def test_the_cells_are_all_there_in_every_frame():
    sample = load_sample("cells_timelapse")
    assert sample.image.shape == (24, 256, 256)
    assert sample.image.dtype == np.uint16
    assert all(object_ids(frame) == tuple(range(1, 10)) for frame in sample.labels)


def test_the_ct_is_in_hounsfield_units_with_named_organs():
    sample = load_sample("ct_volume")
    assert sample.image.shape == (28, 192, 192)
    assert sample.image.dtype == np.int16
    assert np.median(sample.image[:, :8]) == pytest.approx(-1000, abs=10)  # air
    assert object_ids(sample.labels) == tuple(range(1, len(sample.object_names) + 1))
    means = {
        name: sample.image[sample.labels == number].mean()
        for number, name in enumerate(sample.object_names, start=1)
    }
    assert 90 < means["liver"] < 125
    assert means["aorta"] > means["vena cava"] > means["liver"]


def test_an_unknown_sample_is_refused_with_the_choices():
    with pytest.raises(OptionError, match="cells_timelapse, ct_volume"):
        load_sample("cells")


def test_a_missing_file_says_to_install_again(monkeypatch, tmp_path):
    monkeypatch.setattr(samples, "sample_path", lambda name: tmp_path / name)
    with pytest.raises(FileFormatError, match="install the package again"):
        load_sample("ct_volume")


def test_the_files_are_found_and_small():
    files = [sample_path(f"{name}{end}.tif") for name in SAMPLE_NAMES for end in ("", "_labels")]
    assert all(path.is_file() for path in files)
    assert sum(path.stat().st_size for path in files) < 3_000_000


@pytest.mark.skipif(not SOURCE.is_dir(), reason="the script is only in the source folder")
def test_the_script_makes_the_bundled_time_lapse():
    spec = importlib.util.spec_from_file_location("make_samples", SOURCE / "make_samples.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    image, labels = script.make_cells()
    sample = load_sample("cells_timelapse")
    assert np.array_equal(image, sample.image)
    assert np.array_equal(labels, sample.labels)
