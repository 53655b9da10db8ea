"""Click an object in a stack, propagate, get labels: SAM 2 in napari, in scripts and on the command line.

Importing this package loads neither torch nor Qt nor any third party: public names are resolved when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam2.api import Session
    from napari_sam2.plugin.launch import attach, current_session

    __version__: str

__all__ = ["Session", "__version__", "attach", "current_session"]

_PUBLIC = {
    "Session": "napari_sam2.api",
    "attach": "napari_sam2.plugin.launch",
    "current_session": "napari_sam2.plugin.launch",
}


def __getattr__(name: str) -> Any:
    """Resolve a public name (PEP 562) and keep it, so that this runs once a name."""
    if name == "__version__":
        value: Any = _installed_version()
    elif name in _PUBLIC:
        value = getattr(import_module(_PUBLIC[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


def _installed_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("napari-sam2")
    except PackageNotFoundError:  # run from a source folder that was never installed
        return "0+unknown"
