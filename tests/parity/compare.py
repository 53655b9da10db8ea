"""Print how far every stored case is from the official release: `python tests/parity/compare.py [NAME ...]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

CASES = Path(__file__).parent / "cases"
ABSENT = -1000.0
"""References use -1024 where an object has no result."""


def differences(reference: np.ndarray, answer: np.ndarray) -> tuple[float, float]:
    """Return the largest and the mean difference in units of the reference's spread."""
    visible = reference > ABSENT
    if not visible.any():
        return 0.0, 0.0
    spread = float(reference[visible].std()) or 1.0
    gap = np.abs(reference[visible].astype(np.float64) - answer[visible]) / spread
    return float(gap.max()), float(gap.mean())


def case_differences(path: Path) -> tuple[float, float]:
    """Run one case; return the largest and the largest mean difference over its float arrays."""
    from run_case import run_case

    answer = run_case(json.loads(path.read_text()))
    with np.load(path.with_suffix(".npz")) as reference:
        keys = [key for key in reference.files if not key.endswith(("_frames", "_area"))]
        pairs = [(reference[key], answer[key]) for key in keys]
    found = [differences(a[~np.isnan(a)], b[~np.isnan(a)]) for a, b in pairs]
    return max(largest for largest, _ in found), max(mean for _, mean in found)


def main() -> None:
    """Print one row a case."""
    names = sys.argv[1:] or [path.stem for path in sorted(CASES.glob("*.json"))]
    print(f"{'case':<36} {'max / std':>10} {'mean / std':>10}")
    for name in names:
        largest, mean = case_differences(CASES / f"{name}.json")
        print(f"{name:<36} {largest:10.1e} {mean:10.1e}", flush=True)


if __name__ == "__main__":
    main()
