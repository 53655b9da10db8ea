"""Weights to and from disk: official names, float16, and where they come from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from napari_sam2.model.sam2 import Sam2
from napari_sam2.model.state_dict import to_official, to_ours


def export_weights(state: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> Path:
    """Write weights as float16 safetensors under the official names.

    Parameters
    ----------
    state : mapping of str to Tensor
        State dict of a `Sam2`, our names.
    path : Path
        File to write; it appears under this name only when complete.
    metadata : mapping of str to str
        Config name, commit, seed, steps.

    Returns
    -------
    Path
        `path`.
    """
    tensors = {
        name: value.detach().to("cpu", torch.float16).contiguous()
        for name, value in to_official(dict(state)).items()
    }
    partial = path.with_suffix(path.suffix + ".part")
    save_file(tensors, partial, metadata=dict(metadata))
    partial.chmod(0o644)  # safetensors writes files for their owner alone
    os.replace(partial, path)
    return path


def load_weights(net: Sam2, path: Path) -> Sam2:
    """Load exported or official safetensors into `net`, strictly, as float32; return `net`."""
    state = to_ours(load_file(path))
    net.load_state_dict({name: value.float() for name, value in state.items()}, strict=True)
    return net
