"""The package as a whole: what importing it costs, what the manifest names, what it says of itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import resources
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import napari_sam2

SOURCE = Path(napari_sam2.__file__).parent
HEAVY = {"torch", "napari", "qtpy", "PyQt6", "PySide6", "vispy"}
LOADED = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def run_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(*modules):
    """Top-level names in `sys.modules` of a fresh process that imported `modules`."""
    imports = "".join(f"import {module}\n" for module in modules)
    return set(run_python(imports + LOADED).split())


def modules_of(package):
    """Dotted names of every module of a package, without importing any."""
    files = sorted((SOURCE / package).rglob("*.py"))
    names = (file.relative_to(SOURCE.parent).with_suffix("").parts for file in files)
    return [".".join(name).removesuffix(".__init__") for name in names]


def test_importing_the_package_loads_no_third_party_module():
    extra = loaded_by("napari_sam2") - loaded_by() - {"napari_sam2"}
    assert extra <= set(sys.stdlib_module_names)


def test_importing_the_package_takes_less_than_300_ms():
    code = (
        "import time; t = time.perf_counter(); import napari_sam2; print(time.perf_counter() - t)"
    )
    assert min(float(run_python(code)) for _ in range(5)) < 0.3


@pytest.mark.parametrize("package", ["core", "io", "batch", "cli"])
def test_every_module_below_loads_neither_torch_nor_qt(package):
    assert not loaded_by(*modules_of(package)) & HEAVY


@pytest.mark.parametrize("package", ["model", "inference", "evaluation", "training"])
def test_engine_packages_do_not_load_napari_or_qt(package):
    assert not loaded_by(*modules_of(package)) & (HEAVY - {"torch"})


def test_importing_the_plugin_does_not_load_torch():
    assert "torch" not in loaded_by(*modules_of("plugin"))


def test_testing_helpers_do_not_load_torch_or_qt():
    assert not loaded_by("napari_sam2.testing") & HEAVY


def test_help_of_the_command_line_is_free_of_torch_and_napari():
    code = (
        "import sys\nfrom napari_sam2.cli.main import main\n"
        "sys.argv = ['napari-sam2', '--help']\n"
        "try: main()\nexcept SystemExit as done: assert not done.code\n"
    )
    loaded = run_python(code + LOADED).splitlines()[-1].split()
    assert not set(loaded) & HEAVY


def test_public_names_are_those_of_all_and_an_unknown_one_is_an_attribute_error():
    assert set(napari_sam2.__all__) <= set(dir(napari_sam2))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = napari_sam2.nonsense


@pytest.mark.parametrize("name", ["Session", "attach", "current_session"])
def test_public_names_resolve(name):
    assert getattr(napari_sam2, name).__module__.startswith("napari_sam2.")


def test_version_is_the_installed_one():
    assert napari_sam2.__version__[0].isdigit()


def test_manifest_is_found_without_importing_the_plugin():
    (entry,) = [e for e in entry_points(group="napari.manifest") if e.name == "napari-sam2"]
    package, _, name = entry.value.partition(":")
    assert (resources.files(package) / name).is_file()


def test_every_python_name_of_the_manifest_exists():
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(SOURCE / "napari.yaml")
    names = [command.python_name for command in manifest.contributions.commands or ()]
    assert names
    for name in names:
        module, _, attribute = name.partition(":")
        file = SOURCE.parent.joinpath(*module.split(".")).with_suffix(".py")
        tree = ast.parse(file.read_text(encoding="utf-8"))
        defined = {getattr(node, "name", None) for node in tree.body}
        assert attribute in defined, name


def test_registering_the_manifest_imports_nothing_of_ours():
    code = (
        "import sys\nfrom npe2 import PluginManager\n"
        "PluginManager().discover()\n"
        "ours = [m for m in sys.modules if m.startswith('napari_sam2')]\n"
        "assert 'torch' not in sys.modules and not ours, ours"
    )
    run_python(code)


def test_py_typed_is_shipped():
    assert (SOURCE / "py.typed").is_file()
