"""What a training run is judged by: generated clips, and stacks with reference masks where there are some."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam2 import Session
from napari_sam2.core.references import ReferenceStack
from napari_sam2.evaluation.stacks import evaluate_stack
from napari_sam2.io.references import find_references

if TYPE_CHECKING:
    from napari_sam2.model.sam2 import Sam2

FRAMES, OBJECTS = 8, 4
"""Of each stack: enough to see where a run goes, little enough not to hold it up."""


class StackValidator:
    """Judges a network as `Validator` does, and by its mean J on stacks, prompted by one mask an object.

    Parameters
    ----------
    folder : Path
        Holds NAME.npz with image and labels, as ``napari-sam2 evaluate`` reads them.

    Raises
    ------
    FileFormatError
        If there is no such file.
    """

    def __init__(self, folder: Path) -> None:
        from napari_sam2.training.validation import Validator

        self.stacks: list[ReferenceStack] = [
            file.read().limited(FRAMES, OBJECTS) for file in find_references(folder)
        ]
        self.generated = Validator()

    def __call__(self, net: Sam2) -> dict[str, float]:
        """Return the numbers of `Validator`, and `J_NAME` of every stack."""
        from napari_sam2.training.export import export_weights

        numbers = self.generated(net)
        with tempfile.TemporaryDirectory() as folder:
            metadata = {"format": "napari-sam2", "config": net.config.name}
            path = export_weights(net.state_dict(), Path(folder, "net.safetensors"), metadata)
            open_session = partial(Session, axis=0, model=str(path))
            for stack in self.stacks:
                numbers[f"J_{stack.name}"] = evaluate_stack(stack, open_session).mean.J
        return numbers
