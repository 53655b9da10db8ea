from __future__ import annotations

import json

import pytest

from napari_sam2.evaluation.report import RunReport, read_report


def _report(**changes):
    values = {
        "model": "nano",
        "version": "0.1.0",
        "mean_J": 0.7,
        "mean_F": 0.8,
        "seconds_per_frame": 0.25,
        "objects": 3,
        "frames": 10,
        "floors": {"copy": 0.3},
    }
    return RunReport(**(values | changes))


def test_the_file_has_the_promised_keys(tmp_path):
    _report().write(tmp_path / "report.json")
    keys = json.loads((tmp_path / "report.json").read_text())
    assert {"mean_J", "mean_F", "seconds_per_frame", "model", "version"} <= set(keys)


def test_a_report_reads_back_as_it_was_written(tmp_path):
    report = _report(mean_J=None, mean_F=None)
    report.write(tmp_path / "report.json")
    assert read_report(tmp_path / "report.json") == report


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "report.json"
    _report().write(path)
    with pytest.raises(ValueError, match="JSON compliant"):
        _report(mean_J=float("nan")).write(path)
    assert read_report(path) == _report()
