"""How many random histories are tried: few by default, all of them with ``HYPOTHESIS_PROFILE=full``."""

from __future__ import annotations

import os

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

STEPS = 30


def is_full() -> bool:
    """Say whether the full counts were asked for."""
    return os.environ.get("HYPOTHESIS_PROFILE") == "full"


def try_histories(machine: type[RuleBasedStateMachine], *, few: int, full: int) -> None:
    """Run a state machine, up to 30 steps a history."""
    count = full if is_full() else few
    chosen = settings(
        max_examples=count, stateful_step_count=STEPS, deadline=None, print_blob=True, database=None
    )
    run_state_machine_as_test(machine, settings=chosen)
