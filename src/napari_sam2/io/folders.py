"""Where this package keeps files on the user's computer: the only place that reads its environment variables."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "NAPARI_SAM2_HOME"
WEIGHTS_VARIABLE = "NAPARI_SAM2_WEIGHTS"


def cache_folder() -> Path:
    """Return the cache folder: ``NAPARI_SAM2_HOME`` if set, else the platform's; it need not exist."""
    override = os.environ.get(HOME_VARIABLE)
    if override:
        return Path(override).expanduser().absolute()
    return platformdirs.user_cache_path("napari-sam2", appauthor=False)


def weights_folder() -> Path:
    """Return the folder that downloaded weights go to."""
    return cache_folder() / "weights"


def embeddings_folder() -> Path:
    """Return the folder that encoded frames are kept in by default; it need not exist."""
    return cache_folder() / "embeddings"


def sessions_folder() -> Path:
    """Return the folder that sessions are saved in by themselves; it need not exist."""
    override = os.environ.get(HOME_VARIABLE)
    if override:
        return Path(override).expanduser().absolute() / "sessions"
    return platformdirs.user_data_path("napari-sam2", appauthor=False) / "sessions"


def offline_folder() -> Path | None:
    """Return the folder with weights placed there by hand (``NAPARI_SAM2_WEIGHTS``), if one is set.

    It is only read, so a department can share one without network access and without write permission.
    """
    folder = os.environ.get(WEIGHTS_VARIABLE)
    return Path(folder).expanduser().absolute() if folder else None


def without_home(path: str) -> str:
    """Return a path as it may be passed on: "~" instead of the home folder, whose name is often a person's."""
    home = str(Path.home())
    is_below = len(home) > 1 and path.startswith(home + os.sep)
    return "~/" + path[len(home) + 1 :].replace(os.sep, "/") if is_below else path


def with_home(path: str) -> str:
    """Return a path that `without_home` gave, as it is on this computer."""
    return str(Path.home() / path[2:]) if path.startswith("~/") else path
