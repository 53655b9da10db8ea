"""What lies in a folder."""

from __future__ import annotations

import re
from pathlib import Path

_LEFT_BY_SYSTEMS = (".DS_Store", "Thumbs.db", "desktop.ini")


def holds_only(folder: Path, names: str) -> bool:
    """Say whether every entry of a folder matches a pattern; what file managers leave there is not counted."""
    entries = (item.name for item in folder.iterdir())
    return all(re.fullmatch(names, name) for name in entries if name not in _LEFT_BY_SYSTEMS)
