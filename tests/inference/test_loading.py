"""Weights files become networks, or are refused with the reason; nothing of an official size is allocated."""

from __future__ import annotations

import io
import pickle

import pytest
import safetensors.torch
import torch

from napari_sam2.core.errors import CheckpointError, CheckpointMismatchError
from napari_sam2.inference.loading import (
    NUM_NAMED,
    build,
    detect,
    expected_shapes,
    load_official,
    load_safetensors,
)
from napari_sam2.model.config import PRESETS
from napari_sam2.model.sam2 import Sam2
from napari_sam2.model.state_dict import to_official

SHAPES = {name: expected_shapes(config) for name, config in PRESETS.items()}


def hollow(name: str) -> dict[str, torch.Tensor]:
    """Tensors of the right shapes that are all one number."""
    return {key: torch.zeros(()).expand(shape) for key, shape in SHAPES[name].items()}


@pytest.fixture(scope="module")
def nano() -> Sam2:
    torch.manual_seed(0)
    return Sam2(PRESETS["nano"]).eval()


@pytest.fixture
def state(nano) -> dict[str, torch.Tensor]:
    return {key: value.detach().clone() for key, value in to_official(nano.state_dict()).items()}


def as_file(content: object) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return file


def assert_same_tensors(answer: Sam2, expected: Sam2) -> None:
    ours, theirs = answer.state_dict(), expected.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_found_from_names_and_shapes(name) -> None:
    assert detect(hollow(name), "file") is PRESETS[name]


@pytest.mark.parametrize("name", ["nano", "sam2.1_tiny"])
def test_a_network_is_made_and_is_ready_to_be_used(name) -> None:
    loaded = build(hollow(name), "file", {"seed": "0"})
    assert (loaded.preset, loaded.metadata) == (name, {"seed": "0"})
    assert loaded.network.config is PRESETS[name]
    assert not loaded.network.training
    assert {tensor.device.type for tensor in loaded.network.state_dict().values()} == {"cpu"}


def test_presets_differ_in_names_or_shapes() -> None:
    assert len({tuple(sorted(shapes.items())) for shapes in SHAPES.values()}) == len(PRESETS)


@torch.inference_mode()
def test_safetensors_give_the_network_that_was_saved(nano, state) -> None:
    content = safetensors.torch.save(state, {"steps": "12", "license": "BSD-3-Clause"})
    loaded = load_safetensors(content, "nano.safetensors")
    assert loaded.preset == "nano"
    assert loaded.metadata == {"steps": "12", "license": "BSD-3-Clause"}
    assert_same_tensors(loaded.network, nano)
    image = torch.randn(1, 3, 256, 256)
    for ours, theirs in zip(
        loaded.network.encode_image(image), nano.encode_image(image), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_safetensors_without_metadata_have_none(state) -> None:
    assert load_safetensors(safetensors.torch.save(state), "nano.safetensors").metadata == {}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_stored_in_half_precision_are_used_in_float32(state, dtype) -> None:
    content = safetensors.torch.save({key: value.to(dtype) for key, value in state.items()})
    network = load_safetensors(content, "nano.safetensors").network
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}


def test_an_official_dictionary_gives_the_network_that_was_saved(nano, state) -> None:
    loaded = load_official(as_file({"model": state}), "nano.pt")
    assert (loaded.preset, loaded.metadata) == ("nano", {})
    assert_same_tensors(loaded.network, nano)


@pytest.mark.parametrize("kept", [0, 4, 100, 5000, -1])
def test_truncated_safetensors_are_refused(state, kept) -> None:
    content = safetensors.torch.save(state)[:kept]
    with pytest.raises(CheckpointError, match=r"nano\.safetensors cannot be read") as raised:
        load_safetensors(content, "nano.safetensors")
    assert raised.value.kept == "no model was loaded"
    assert raised.value.remedy


@pytest.mark.parametrize(
    "content", [b"not a weights file at all", b"\x80\x04K\x01.", b"PK\x03\x04"]
)
def test_other_files_are_refused(content) -> None:
    with pytest.raises(CheckpointError, match="file cannot be read"):
        load_safetensors(content, "file")
    with pytest.raises(CheckpointError, match="file cannot be read"):
        load_official(io.BytesIO(content), "file")


@pytest.mark.parametrize("kept", [0, 100, 0.5, -10])
def test_a_truncated_official_file_is_refused(state, kept) -> None:
    whole = as_file({"model": state}).getvalue()
    cut = whole[: int(kept * len(whole)) if isinstance(kept, float) else kept]
    with pytest.raises(CheckpointError, match=r"nano\.pt cannot be read"):
        load_official(io.BytesIO(cut), "nano.pt")


class Harmful:
    """Runs code when it is unpickled."""

    ran = False

    def __reduce__(self):
        return exec, ("raise SystemExit('code of a weights file ran')",)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run() -> None:
    for content in (as_file({"model": Harmful()}), io.BytesIO(pickle.dumps(Harmful()))):
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_official(content, "harmful.pt")


@pytest.mark.parametrize(
    "content",
    [{}, {"model": 1}, [1, 2], {"state_dict": {}}, {"model": {"no_mem_embed": 3}}],
    ids=["empty", "number", "list", "other key", "not tensors"],
)
def test_an_official_file_without_tensors_under_model_is_refused(content) -> None:
    with pytest.raises(CheckpointError, match=r"x\.pt is not an official checkpoint"):
        load_official(as_file(content), "x.pt")


def refusal(tensors: dict[str, torch.Tensor]) -> str:
    with pytest.raises(CheckpointMismatchError) as raised:
        build(tensors, "mine.safetensors")
    assert raised.value.kept == "no model was loaded"
    return raised.value.what


@pytest.mark.parametrize("count", [1, NUM_NAMED, NUM_NAMED + 2])
def test_missing_tensors_are_counted_and_the_first_five_named(count) -> None:
    tensors = hollow("sam2.1_small")
    gone = sorted(tensors)[10 : 10 + count]
    for key in gone:
        del tensors[key]
    what = refusal(tensors)
    assert "mine.safetensors does not fit any model; closest is sam2.1_small" in what
    assert f"{count} missing: {', '.join(gone[:NUM_NAMED])}" in what
    assert ("…" in what) == (count > NUM_NAMED)
    assert not any(key in what.split(", ") for key in gone[NUM_NAMED:])
    assert "unexpected" not in what
    assert "misshapen" not in what


def test_unexpected_and_misshapen_tensors_are_named() -> None:
    tensors = hollow("nano")
    tensors["optimizer.step"] = torch.zeros(1)
    tensors["no_obj_ptr"] = torch.zeros(1, 7)
    what = refusal(tensors)
    assert "1 unexpected: optimizer.step" in what
    assert "1 misshapen: no_obj_ptr (1, 7) instead of (1, 128)" in what
    assert "missing" not in what


def test_half_of_version_2_1_is_no_version() -> None:
    tensors = hollow("sam2.1_tiny")
    del tensors["no_obj_embed_spatial"]
    assert "1 missing: no_obj_embed_spatial" in refusal(tensors)


def test_a_file_of_something_else_is_refused() -> None:
    what = refusal({"encoder.weight": torch.zeros(3)})
    assert "1 unexpected: encoder.weight" in what
    assert "missing" in what


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused_by_name(state, value) -> None:
    key = "sam_mask_decoder.iou_token.weight"
    state[key][0, 3] = value
    with pytest.raises(CheckpointError, match=key):
        load_safetensors(safetensors.torch.save(state), "nano.safetensors")
    with pytest.raises(CheckpointError, match=key):
        load_official(as_file({"model": state}), "nano.pt")
