"""``info``: what a bug report needs, also from a broken installation."""

from __future__ import annotations

import json
import sys
import types

import pytest


def test_info_tells_versions_devices_and_folders(call, home):
    code, out, _ = call("info")
    assert code == 0
    for word in ("napari-sam2: ", "python: ", "torch: ", "napari: ", "cpu: ", "Py"):
        assert word in out
    assert str(home) in out


def test_info_is_given_to_programs_as_json(call, home):
    facts = json.loads(call("info", "--json")[1])
    assert facts["cache folder"] == str(home)
    assert facts["packages"]["numpy"][0].isdigit()


@pytest.mark.parametrize("error", [OSError("WinError 1114: c10.dll"), RuntimeError("no driver")])
def test_info_works_when_torch_does_not(call, monkeypatch, error):
    class Broken(types.ModuleType):
        def __getattr__(self, name):
            raise error

    monkeypatch.setitem(sys.modules, "torch", Broken("torch"))
    code, out, _ = call("info")
    assert code == 0
    assert f"torch cannot be used: {type(error).__name__}: {error}" in out


def test_info_works_without_torch(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    code, out, _ = call("info")
    assert code == 0
    assert "torch cannot be used" in out


def test_info_lists_the_models_that_are_here(call, home):
    path = home / "weights" / "sam2_hiera_large.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert f"sam2_large: {path}" in call("info")[1]
