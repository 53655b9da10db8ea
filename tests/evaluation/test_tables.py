from __future__ import annotations

import json

import pytest

from napari_sam2.evaluation.clicks import Annotator
from napari_sam2.evaluation.protocols import Effort, Protocol
from napari_sam2.evaluation.results import CurvePoint, StackResult, Target
from napari_sam2.evaluation.scores import FrameScore, MeanScore
from napari_sam2.evaluation.tables import (
    SUMMARY_HEAD,
    Evaluation,
    curve_table,
    summary_line,
    target_line,
    to_json,
)

MEAN = MeanScore(0.5, 0.7, 0.62, 0.45)
CURVE = (CurvePoint(1, 1, 3, 5.5, MEAN), CurvePoint(2, 2, 6, None, MeanScore()))


def _result(name="cells", **more):
    rows = (FrameScore(3, 7, False, True, 0.5, 0.7, 0.62),)
    return StackResult(name, "g", "z", 1, 9, "mask", MEAN, rows, curve=CURVE, **more)


def test_a_line_has_a_number_or_a_dash_under_every_head():
    line = summary_line(_result(ctc_seg=0.25, switches=1.5, seconds_per_frame=0.123))
    assert len(line) == len(SUMMARY_HEAD)
    assert dict(zip(SUMMARY_HEAD.split(), line.split(), strict=True)) == {
        "stack": "cells",
        "prompt": "mask",
        "objects": "1",
        "J": "0.500",
        "F": "0.700",
        "J&F": "0.600",
        "Dice": "0.620",
        "IoU": "0.450",
        "SEG": "0.250",
        "ids/100": "1.5",
        "copy": "-",
        "otsu": "-",
        "s/frame": "0.12",
    }


def test_a_curve_has_a_line_a_round():
    head, first, second = curve_table(CURVE, "prompted frames").splitlines()
    assert head.split() == ["prompted", "frames", "clicks", "seconds", "J", "F", "J&F"]
    assert first.split() == ["1", "3.0", "5.5", "0.500", "0.700", "0.600"]
    assert second.split() == ["2", "6.0", "-", "-", "-", "-"]


def test_the_target_is_told_in_words():
    line = target_line(Target(0.75, (Effort(2, 6), Effort(1, 3), None)), "J&F")
    assert line.startswith("J&F of 0.75: reached by 67% of the objects")
    assert line.endswith("6.0 clicks, 2.0 frames")


def test_json_has_what_was_run_the_means_and_a_row_for_each_object_and_frame():
    evaluation = Evaluation(
        "nano", "abc", "1.0", "model", (_result("a"), _result("b")), Protocol(), Annotator(True, 4)
    )
    content = json.loads(to_json([evaluation]), parse_constant=pytest.fail)
    assert (content["model"], content["sha256"]) == ("nano", "abc")
    assert content["version"] == "1.0"
    assert content["protocol"]["name"] == "vos"
    assert content["annotator"] == {"is_noisy": True, "seed": 4}
    assert (content["mean_J"], content["mean_F"]) == (0.5, 0.7)
    assert content["mean_JF"] == pytest.approx(0.6)
    assert (content["objects"], content["frames"]) == (2, 18)
    assert content["seconds_per_frame"] is None
    assert [stack["name"] for stack in content["stacks"]] == ["a", "b"]
    assert content["stacks"][0]["kind"] == "z"
    assert content["curve"][1]["mean_J"] is None  # not NaN, which JSON does not have
    row = {"stack": "a", "object": 3, "frame": 7, "prompted": False, "scored": True}
    assert content["rows"][0] == row | {"J": 0.5, "F": 0.7, "dice": 0.62}


def test_several_models_make_a_list():
    evaluations = [Evaluation(name, None, "1", "model", (_result(),)) for name in ("a", "b")]
    assert [item["model"] for item in json.loads(to_json(evaluations))] == ["a", "b"]
