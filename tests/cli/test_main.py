"""The command line as a whole: wrong input, exit codes, and what happens without a command."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_sam2.cli import main


@pytest.mark.parametrize("command", [(), *((name,) for name in main.COMMANDS), ("models", "pull")])
def test_every_command_has_help(call, command):
    code, out, err = call(*command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith("Usage: napari-sam2")


def test_help_lists_every_command(call):
    _, out, _ = call("--help")
    for name in main.COMMANDS:
        assert f"\n  {name} " in out


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("--nonsense",),
        ("run",),
        ("run", "image.tif"),
        ("run", "a.tif", "-p", "p.json", "-o", "l.tif", "--direction", "sideways"),
        ("run", "a.tif", "-p", "p.json", "-o", "l.tif", "--level", "-1"),
        ("models",),
        ("models", "nonsense"),
        ("models", "path"),
        ("info", "too", "much"),
    ],
)
def test_wrong_arguments_get_one_line_and_exit_code_2(refuse, arguments):
    assert "--help" in refuse(*arguments)


def test_an_option_without_its_value_is_named(refuse):
    assert "'--prompts' requires an argument" in refuse("run", "image.tif", "--prompts")


@given(
    arguments=st.lists(
        st.sampled_from(
            ["run", "models", "info", "list", "path", "-o", "--out", "--axis", "\x00", "-"]
        )
        | st.text(max_size=6),
        min_size=1,
        max_size=4,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_no_arguments_whatsoever_end_in_a_traceback(call, arguments):
    code, _, err = call(*arguments)
    assert code in (0, 2)
    assert "Traceback" not in err


def test_the_version_is_printed(call):
    code, out, _ = call("--version")
    assert code == 0
    assert out.strip()[0].isdigit()


def test_without_a_command_torch_is_loaded_and_then_napari(call, monkeypatch):
    opened = []
    launch = types.ModuleType("napari_sam2.plugin.launch")
    launch.main = lambda: opened.append("torch" in sys.modules)
    monkeypatch.setitem(sys.modules, "napari_sam2.plugin.launch", launch)
    monkeypatch.setattr("napari_sam2.plugin.launch", launch, raising=False)
    assert call() == (0, "", "")
    assert opened == [True]


def test_without_a_command_a_torch_that_does_not_load_is_told(refuse, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "torch cannot be loaded" in refuse()


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "napari_sam2", "--help"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: napari-sam2")
