"""Mutation score: how many small changes of the source a test notices.

    pip install cosmic-ray
    python tests/mutation/score.py [MODULE ...] [--sample 100] [--seed 0] [--survivors]

Works in a clone of what is committed, in a temporary folder: sources are changed where they lie. Of each module,
`--sample` changes are drawn; `--survivors` prints those that nobody noticed. Annotations are left out, as they are not
evaluated.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parents[2]

TESTS = {
    "core/store.py": "core/test_store.py",
    "core/prompts.py": "core/test_session.py core/test_session_locks.py core/test_session_spans.py core/test_plan.py",
    "core/prompting.py": "core/test_session.py core/test_session_candidates.py",
    "core/validation.py": "core/test_validation.py",
    "io/store.py": "io/test_store.py",
    "io/record_file.py": "io/test_store.py crash/test_journal.py",
    "io/record_format.py": "io/test_store.py crash/test_journal.py",
    "io/mask_records.py": "io/test_mask_records.py io/test_store.py",
    "io/journal.py": "crash/test_journal.py",
    "io/sessions.py": "io/test_sessions.py io/test_session_masks.py io/test_generations.py",
    "io/session_parts.py": "io/test_sessions.py io/test_session_masks.py io/test_mask_records.py",
    "io/safetensors_header.py": "io/test_safetensors_header.py",
    "io/weights.py": "io/test_weights.py",
    "io/checkpoint_pickle.py": "io/test_checkpoint_parts.py security/test_checkpoints.py",
    "io/checkpoint_scan.py": "io/test_checkpoint_parts.py security/test_checkpoints.py",
    "io/checkpoint_archive.py": "io/test_checkpoint_parts.py security/test_checkpoints.py",
}
"""Tests that are asked about a module; the first to fail ends it."""

CONFIG = """[cosmic-ray]
module-path = "src/napari_sam2/{module}"
timeout = {timeout}
excluded-modules = []
test-command = "{python} -m pytest -q -x -p no:cacheprovider -p pytest_timeout -m 'not slow and not canvas' {tests}"

[cosmic-ray.distributor]
name = "local"

[cosmic-ray.filters.operators-filter]
exclude-operators = ["core/ReplaceBinaryOperator_BitOr.*"]
"""

TIMEOUT = 120.0
"""Seconds; a change that takes longer is noticed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(TESTS))
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--survivors", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.modules) - set(TESTS):
        parser.error(f"no tests are known for {', '.join(sorted(unknown))}")
    print(
        "| module | changes tried | of | noticed | score | |\n|---|---|---|---|---|---|", flush=True
    )
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        for module in options.modules or TESTS:
            score(clone, module, options)


def score(clone: Path, module: str, options: argparse.Namespace) -> None:
    """Change one module, again and again, and print how often that was noticed."""
    database, config = clone / "session.sqlite", clone / "config.toml"
    database.unlink(missing_ok=True)
    tests = " ".join(f"tests/{test}" for test in (*TESTS[module].split(), "test_values.py"))
    config.write_text(
        CONFIG.format(module=module, timeout=TIMEOUT, python=sys.executable, tests=tests)
    )
    run(clone, "cosmic-ray", "init", config, database)
    run(clone, "cr-filter-operators", database, config)
    run(clone, "cosmic-ray", "baseline", config)
    total, tried = sample(database, options.sample, options.seed)
    run(clone, "cosmic-ray", "exec", config, database)
    run(clone, "git", "checkout", "-q", "src")
    with closing(sqlite3.connect(database)) as connection:
        survived = connection.execute(
            "SELECT diff FROM work_results WHERE test_outcome = 'SURVIVED'"
        ).fetchall()
    noticed = tried - len(survived)
    share = noticed / tried
    error = 2 * math.sqrt(share * (1 - share) / tried * (1 - tried / total))
    print(
        f"| `{module}` | {tried} | {total} | {noticed} | {share:.0%} | ± {error:.0%} |", flush=True
    )
    if options.survivors:
        for (diff,) in survived:
            print(diff, flush=True)


def sample(database: Path, size: int, seed: int) -> tuple[int, int]:
    """Leave `size` changes to be tried; return of how many, and how many they are."""
    with closing(sqlite3.connect(database)) as connection:
        # What a filter left out has a result already.
        query = (
            "SELECT job_id FROM mutation_specs WHERE job_id NOT IN (SELECT job_id FROM work_results) "
            "ORDER BY operator_name, occurrence, operator_args"
        )
        order = [job for (job,) in connection.execute(query)]
        chosen = set(random.Random(seed).sample(order, min(size, len(order))))
        for table in ("work_results", "mutation_specs", "work_items"):
            marks = ",".join("?" * len(chosen))
            connection.execute(f"DELETE FROM {table} WHERE job_id NOT IN ({marks})", [*chosen])
        connection.commit()
    return len(order), len(chosen)


def run(clone: Path, *command: object) -> None:
    """Run a command in the clone, whose sources come before installed ones."""
    # Plugins of pytest that these tests do not need take longer to load than the tests take.
    own = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **own, "PYTHONPATH": str(clone / "src")}
    subprocess.run(
        [str(part) for part in command],
        cwd=clone,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main()
