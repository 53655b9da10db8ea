"""The command line is called in this process, with a model of random weights where a network is needed."""

from __future__ import annotations

import pytest

from napari_sam2.cli import main


@pytest.fixture
def call(capsys):
    """Run the command line; return exit code, stdout and stderr."""

    def call(*arguments):
        code = main.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def refuse(call):
    """Run the command line and return its one line of complaint."""

    def refuse(*arguments):
        code, out, err = call(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("napari-sam2: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err
        return err

    return refuse


@pytest.fixture(scope="session")
def random_nano(tmp_path_factory):
    """A weights file that fits the preset `nano`; what it answers means nothing."""
    import safetensors.torch
    import torch

    from napari_sam2.model.config import preset
    from napari_sam2.model.sam2 import Sam2
    from napari_sam2.model.state_dict import to_official

    torch.manual_seed(0)
    state = to_official(Sam2(preset("nano")).state_dict())
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    path.write_bytes(
        safetensors.torch.save({name: tensor.contiguous() for name, tensor in state.items()})
    )
    return path
