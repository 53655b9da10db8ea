"""A folder of masks as DAVIS has them: one PNG with a palette a frame, the value is the object."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_sam2.core.colours import colour_of
from napari_sam2.core.errors import LabelsError
from napari_sam2.core.results import LabelResult
from napari_sam2.io.listing import holds_only

_HIGHEST = 254
"""The value above it says "not annotated"."""


def write_davis(path: Path, result: LabelResult) -> None:
    """Write ``00000.png`` and so on.

    Raises
    ------
    LabelsError
        If an object has a number beyond the palette.
    """
    from PIL import Image

    palette = [part for value in range(256) for part in colour_of(value)]
    for t in range(result.num_frames):
        labels = np.asarray(result.labels[t])
        if labels.max(initial=0) > _HIGHEST:
            raise LabelsError(
                f"masks of DAVIS hold objects up to {_HIGHEST}, frame {t} has {labels.max()}",
                remedy="choose another format",
                kept="no file was written",
            )
        picture = Image.fromarray(labels.astype(np.uint8), mode="P")
        picture.putpalette(palette)
        picture.save(path / f"{t:05d}.png")


def is_davis(folder: Path) -> bool:
    """Say whether a folder holds masks as we write them, and nothing else."""
    return holds_only(folder, r"\d{5,}\.png")
