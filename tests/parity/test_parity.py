"""The official release, replayed: every stored case, at the tolerance its README states."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from compare import ABSENT, CASES, differences
from run_case import run_case

from napari_sam2.inference.device import ALL_SHORTCUTS, NO_SHORTCUTS, Shortcuts

FULL_SIZE = 1024
SHORTCUTS = {
    "all": ALL_SHORTCUTS,
    "none": NO_SHORTCUTS,
    "only fold_values": replace(NO_SHORTCUTS, fold_values=True),
    "only share_first_layer": replace(NO_SHORTCUTS, share_first_layer=True),
}


def _parameters() -> list:
    parameters = []
    for path in sorted(CASES.glob("*.json")):
        is_slow = json.loads(path.read_text())["image_size"] >= FULL_SIZE
        marks = [pytest.mark.slow] if is_slow else []
        for name, shortcuts in SHORTCUTS.items():
            if not is_slow or name in ("all", "none"):
                title = f"{path.stem}, {name} of the shortcuts"
                parameters.append(pytest.param(path, shortcuts, id=title, marks=marks))
    return parameters


@pytest.mark.parametrize(("path", "shortcuts"), _parameters())
def test_answers_are_those_of_the_official_release(path: Path, shortcuts: Shortcuts) -> None:
    case = json.loads(path.read_text())
    answer = run_case(case, shortcuts)
    is_exact = case["memory_dtype"] == "float32"
    num_pixels = case["image_size"] ** 2
    with np.load(path.with_suffix(".npz")) as reference:
        assert set(answer) == set(reference.files)
        for key in reference.files:
            expected, got = reference[key], answer[key]
            assert got.shape == expected.shape, key
            if key.endswith("_frames"):
                np.testing.assert_array_equal(got, expected)
            elif key.endswith("_area"):
                if is_exact:
                    assert np.abs(got - expected).max(initial=0) <= 5e-4 * num_pixels, key
            else:
                kept = ~np.isnan(expected)
                expected, got = expected[kept], got[kept]
                np.testing.assert_array_equal(got <= ABSENT, expected <= ABSENT, err_msg=key)
                largest, mean = differences(expected, got)
                assert largest <= (1e-3 if is_exact else 6e-2), key
                assert is_exact or mean <= 5e-3, key
