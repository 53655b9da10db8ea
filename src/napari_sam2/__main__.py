"""``python -m napari_sam2`` is the command ``napari-sam2``."""

from __future__ import annotations

from napari_sam2.cli.main import main

if __name__ == "__main__":
    main()
