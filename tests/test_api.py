"""The scripted door: arrays and paths in, models by name or file, labels out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import save_file

from napari_sam2 import Session
from napari_sam2.core.errors import (
    CheckpointError,
    ImageError,
    MissingWeightsError,
    OptionError,
    PromptError,
)
from napari_sam2.model.config import preset
from napari_sam2.model.sam2 import Sam2
from napari_sam2.model.state_dict import to_official
from napari_sam2.testing import moving_discs


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A nano of random weights that sees every object everywhere, as a user's own file."""
    torch.manual_seed(0)
    network = Sam2(preset("nano"))
    torch.nn.init.constant_(network.mask_decoder.object_head.layers[-1].bias, 10.0)
    path = tmp_path_factory.mktemp("weights") / "own.safetensors"
    state = {key: value.contiguous() for key, value in to_official(network.state_dict()).items()}
    save_file(state, path, {"made-by": "a test"})
    return path


@pytest.fixture(scope="module")
def video() -> np.ndarray:
    return moving_discs(num_frames=4, size=64, num_objects=2, seed=0)[0]


def propagated(session: Session) -> np.ndarray:
    session.add_points(1, 1, [(16.0, 20.0)], labels=[1])
    list(session.propagate())
    return np.asarray(session.labels)


def test_an_array_becomes_labels_of_its_shape(weights, video) -> None:
    session = Session(video, model=weights)
    labels = propagated(session)
    assert labels.shape == video.shape
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) == {0, 1}


def test_a_file_gives_the_same_labels_as_its_array(weights, video, tmp_path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, video)
    from_file, from_array = Session(path, model=weights), Session(video, model=weights)
    np.testing.assert_array_equal(propagated(from_file), propagated(from_array))


def test_a_wider_dtype_gives_the_same_labels(weights, video) -> None:
    as_uint16 = video.astype(np.uint16) * 16 + 1000
    as_bytes, wide = Session(video, model=weights), Session(as_uint16, model=weights)
    first, second = propagated(as_bytes), propagated(wide)
    assert (first == second).mean() > 0.999


def test_another_axis_can_be_the_frames(weights, video) -> None:
    moved = np.moveaxis(video, 0, 1)
    session = Session(moved, axis=1, model=weights)
    np.testing.assert_array_equal(propagated(session), propagated(Session(video, model=weights)))


def test_a_single_image_needs_no_propagation(weights, video) -> None:
    session = Session(video[0], model=weights)
    session.add_box(3, 0, (4.0, 4.0, 40.0, 40.0))
    assert list(session.propagate()) == []
    assert set(np.unique(session.labels[0])) == {0, 3}


def test_colours_are_taken_as_they_are(weights, video) -> None:
    rgb = np.repeat(video[..., None], 3, axis=-1)
    session = Session(rgb, model=weights, rgb=True)
    assert session.mapping.low == 0
    assert session.mapping.high == 255
    assert propagated(session).shape == video.shape


def test_limits_given_by_the_user_are_used(weights, video) -> None:
    session = Session(video, model=weights, limits=(3.0, 4.0))
    assert (session.mapping.low, session.mapping.high) == (3.0, 4.0)


def test_a_named_device_that_is_not_there_is_refused_at_the_first_click(weights, video) -> None:
    absent = "cuda" if not torch.cuda.is_available() else "mps"
    session = Session(video, model=weights, device=absent)
    with pytest.raises(OptionError, match="not available"):
        session.add_points(1, 0, [(10.0, 10.0)], labels=[1])
    assert session.objects == ()


def test_an_unknown_model_lists_the_choices(video) -> None:
    with pytest.raises(OptionError, match=r"sam2\.1_tiny"):
        Session(video, model="enormous")


def test_official_weights_that_are_not_here_are_not_fetched(video, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NAPARI_SAM2_HOME", str(tmp_path))
    with pytest.raises(MissingWeightsError, match="models pull"):
        Session(video, model="tiny")


def test_a_pickle_of_unknown_origin_is_refused(video, tmp_path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"model": {}}, path)
    session = Session(video, model=path)
    with pytest.raises(CheckpointError, match="models convert"):
        session.add_points(1, 0, [(10.0, 10.0)], labels=[1])


@pytest.mark.parametrize("shape", [(0, 8, 8), (3, 0, 8), (8,), (2, 3, 8, 8)])
def test_stacks_that_cannot_be_used_are_refused_before_the_model_is_loaded(shape) -> None:
    with pytest.raises(ImageError):
        Session(np.zeros(shape, np.uint8))


def test_after_a_refused_prompt_the_session_works_as_if_it_had_not_been_made(
    weights, video
) -> None:
    session = Session(video, model=weights)
    for points in ([(-3.0, 700.0)], [(float("nan"), 1.0)], []):
        with pytest.raises(PromptError):
            session.add_points(9, 0, points, labels=[1] * len(points))
    np.testing.assert_array_equal(propagated(session), propagated(Session(video, model=weights)))


def test_a_saved_session_is_opened_and_gives_the_same_labels(
    weights, video, tmp_path, caplog
) -> None:
    session = Session(np.moveaxis(video, 0, 2), axis=2, model=weights, limits=(3, 200))
    propagated(session)
    session.add_points(1, 3, [(2.0, 20.0)], labels=[0])
    session.lock(1, 2)
    session.rename(1, "left")
    list(session.propagate())
    expected = np.asarray(session.labels)
    session.save(tmp_path / "x.sam2.json")
    opened = Session.open(tmp_path / "x.sam2.json", np.moveaxis(video, 0, 2))
    assert (opened.mapping, opened.options, opened.model) == (
        session.mapping,
        session.options,
        session.model,
    )
    assert opened.info(1).name == "left"
    list(opened.propagate())
    np.testing.assert_array_equal(np.asarray(opened.labels), expected)
    assert not caplog.records
    Session.open(tmp_path / "x.sam2.json", np.moveaxis(video, 0, 2), model="nano")
    assert "other weights" in caplog.text
    with pytest.raises(ImageError, match="was made on an image of 4 x 64 x 64 uint8"):
        Session.open(tmp_path / "x.sam2.json", np.moveaxis(video, 0, 2).astype(np.uint16))


@pytest.fixture
def encoded(monkeypatch):
    """Count the frames that any network encodes."""
    calls, encode = [], Sam2.encode_image
    monkeypatch.setattr(
        Sam2, "encode_image", lambda self, image: calls.append(1) or encode(self, image)
    )
    return calls


def kept_in(folder: Path) -> int:
    return len(list(folder.glob("*.emb")))


@pytest.mark.parametrize("volumes", [False, True])
def test_the_second_session_on_a_stack_encodes_nothing(
    weights, video, encoded, tmp_path, home, volumes
) -> None:
    options = {"model": weights, "embedding_cache": tmp_path / "kept"}
    if volumes:
        video, options = video.reshape(2, 2, 64, 64), {**options, "axis": 1, "volumes": 0}
    first = propagated(Session(video, **options))
    num_encoded = len(encoded)
    assert num_encoded >= 4
    assert kept_in(tmp_path / "kept") > 0
    second = propagated(Session(video, **options))
    assert len(encoded) == num_encoded
    off = propagated(Session(video, **{**options, "embedding_cache": False}))
    assert len(encoded) >= 2 * num_encoded  # stacks of a row of volumes share what is kept
    np.testing.assert_array_equal(first, off)
    np.testing.assert_array_equal(second, off)
    assert not home.exists()


def test_by_default_embeddings_are_kept_where_that_pays(
    weights, video, monkeypatch, home, encoded, tmp_path
) -> None:
    from napari_sam2.inference import kept

    session = Session(video, model=weights)
    propagated(session)
    assert not home.exists(), "nano encodes quickly"
    monkeypatch.setattr(kept, "pays", lambda config, device: True)
    propagated(Session(video, model=weights, embedding_cache=False))
    assert not home.exists()
    propagated(Session(video, model=weights))
    num_encoded = len(encoded)
    assert kept_in(home / "embeddings") == 4
    session.save(tmp_path / "s.sam2.json")
    again = Session.open(tmp_path / "s.sam2.json", video, masks=False)
    list(again.propagate())
    assert len(encoded) == num_encoded
    np.testing.assert_array_equal(again.labels[...], session.labels[...])
    off = Session.open(tmp_path / "s.sam2.json", video, masks=False, embedding_cache=False)
    list(off.propagate())
    assert len(encoded) > num_encoded


def test_true_keeps_embeddings_of_any_model(weights, video, home) -> None:
    propagated(Session(video, model=weights, embedding_cache=True))
    assert kept_in(home / "embeddings") == 4


def test_a_folder_for_embeddings_that_cannot_be_used_is_refused(weights, video, tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"")
    session = Session(video, model=weights, embedding_cache=tmp_path / "file")
    with pytest.raises(OptionError, match="embedding_cache"):
        session.add_points(1, 0, [(16.0, 20.0)], labels=[1])
