"""Embeddings from a store: the same to the bit as those that the network makes, and only where nothing differs."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.messages import PromptRequest, PropagationRequest
from napari_sam2.core.options import NATIVE
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.core.views import View
from napari_sam2.inference import kept
from napari_sam2.inference.device import DevicePolicy
from napari_sam2.inference.kept import KeptEmbeddings, pays
from napari_sam2.inference.segmenter import Sam2Segmenter
from napari_sam2.io.embedding_cache import DiskEmbeddings
from napari_sam2.model.config import preset
from napari_sam2.model.sam2 import ImageFeatures
from napari_sam2.testing import moving_discs, tiny_sam2

NUM_FRAMES, SIDE = 4, 96
CPU = DevicePolicy.choose("cpu")
MAPPING = IntensityMapping(0.0, 255.0)


class DictStore:
    """An `EmbeddingStore` in memory that counts."""

    def __init__(self):
        self.arrays, self.hits = {}, 0

    def get(self, key):
        self.hits += key in self.arrays
        return self.arrays.get(key)

    def put(self, key, arrays):
        self.arrays[key] = arrays


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """On a busy machine, threads of a network this small wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network():
    return tiny_sam2()


@pytest.fixture
def encoded(network, monkeypatch):
    """Count the frames that the network encodes."""
    calls, encode = [], network.encode_image
    monkeypatch.setattr(network, "encode_image", lambda image: calls.append(1) or encode(image))
    return calls


@pytest.fixture(scope="module")
def video():
    return moving_discs(NUM_FRAMES, SIDE, num_objects=3, seed=1)[0]


# The whole: cache off, cold and warm


def clicked(object_id, frame, y, x):
    return ObjectPrompts(object_id, (FramePrompts(frame, (PromptStep(((y, x),), (True,)),)),))


OBJECTS = (clicked(1, 0, 16.0, 40.0), clicked(2, 2, 48.0, 50.0), clicked(3, 3, 80.0, 30.0))


def everything(network, video, store, policy=CPU, **changes):
    """All answers and masks of a session, as bytes, and of its embeddings the bits and how they lie in memory."""
    segmenter = Sam2Segmenter(
        network, ArrayFrames(video), MAPPING, replace(NATIVE, **changes), policy, embeddings=store
    )
    masks = [
        segmenter.prompt(PromptRequest(1, item.object_id, item.frames[0])).mask for item in OBJECTS
    ]
    for result in segmenter.propagate(PropagationRequest(1, OBJECTS, 0, NUM_FRAMES)):
        masks.extend(result.objects)
    seen = [
        (tensor.dtype, tensor.stride(), tensor.float().numpy().tobytes())
        for view in (View.whole((SIDE, SIDE)), View(3, 5, 40, 30))
        for tensor in segmenter._encoder.embed(1, view)
    ]
    facts = [
        (m.object_id, m.box, m.view, m.object_score, m.iou, m.mask.tobytes(), m.strength.tobytes())
        for m in masks
    ]
    return facts, seen


@pytest.mark.parametrize(
    ("dtype", "focus"), [(torch.float32, True), (torch.float32, False), (torch.bfloat16, True)]
)
@torch.inference_mode()
def test_outputs_are_the_same_with_the_cache_off_cold_and_warm(
    network, video, encoded, tmp_path, dtype, focus
):
    policy = replace(CPU, dtype=dtype)
    off = everything(network, video, None, policy, focus=focus)
    num_off = len(encoded)
    cold = everything(
        network, video, DiskEmbeddings(tmp_path / "kept", 1 << 30), policy, focus=focus
    )
    assert len(encoded) == 2 * num_off
    warm = everything(
        network, video, DiskEmbeddings(tmp_path / "kept", 1 << 30), policy, focus=focus
    )
    assert len(encoded) == 2 * num_off, "nothing was encoded again"
    assert off == cold == warm


@torch.inference_mode()
def test_outputs_are_the_same_when_every_file_is_damaged(network, video, encoded, tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    folder = tmp_path / "kept"
    off = everything(network, video, DiskEmbeddings(folder, 1 << 30))
    for number, path in enumerate(sorted(folder.iterdir())):
        content = bytearray(path.read_bytes())
        content[(number * 977) % len(content)] ^= 1 << number % 8
        path.write_bytes(content)
    before = len(encoded)
    assert everything(network, video, DiskEmbeddings(folder, 1 << 30)) == off
    assert len(encoded) == 2 * before


@torch.inference_mode()
def test_outputs_are_the_same_when_files_are_evicted_all_the_time(network, video, tmp_path):
    off = everything(network, video, None)
    assert everything(network, video, DiskEmbeddings(tmp_path / "kept", 1)) == off


@torch.inference_mode()
def test_an_image_that_was_changed_is_encoded_again(network, video, encoded, tmp_path):
    everything(network, video, DiskEmbeddings(tmp_path / "kept", 1 << 30))
    changed = video.copy()
    changed[:, 90, 90] += 1
    before = len(encoded)
    warm = everything(network, changed, DiskEmbeddings(tmp_path / "kept", 1 << 30))
    assert len(encoded) > before
    assert warm == everything(network, changed, None)


# The key


PIXELS = np.arange(48, dtype=np.uint16).reshape(6, 8)
WHOLE = View.whole((6, 8))


def key(network, pixels=PIXELS, view=WHOLE, mapping=MAPPING, side=64, policy=CPU):
    return KeptEmbeddings(DictStore(), network, policy).key(pixels, view, mapping, side)


def test_the_key_is_the_same_for_the_same_pixels_however_they_lie_in_memory(network):
    assert key(network) == key(network, np.asfortranarray(PIXELS)) == key(network, PIXELS.copy())
    large = np.zeros((20, 20), np.uint16)
    large[3:9, 5:13] = PIXELS
    assert key(network) == key(network, large[3:9, 5:13])
    named = replace(MAPPING, provenance="another name for the same limits")
    assert key(network) == key(network, mapping=named)


def test_everything_that_an_embedding_depends_on_changes_the_key(network, monkeypatch):
    one_pixel = PIXELS.copy()
    one_pixel[5, 7] ^= 1
    other_weights = tiny_sam2()
    with torch.no_grad():
        other_weights.trunk.get_parameter(
            next(name for name, _ in other_weights.trunk.named_parameters())
        ).view(-1)[0] += 1
    keys = [
        key(network),
        key(network, one_pixel),
        key(network, PIXELS.view(np.int16)),
        key(network, PIXELS.reshape(8, 6)),
        key(network, PIXELS.astype(np.float32)),
        key(network, view=View(0, 1, 6, 8)),
        key(network, mapping=IntensityMapping(0.0, 254.0)),
        key(network, mapping=IntensityMapping(1.0, 255.0)),
        key(network, side=32),
        key(network, policy=replace(CPU, dtype=torch.bfloat16)),
        key(other_weights),
    ]
    for name, value in [
        ("CODE_VERSION", kept.CODE_VERSION + 1),
        ("__version__", "another"),
        ("_arithmetic", lambda: ("another torch",)),
        ("_hardware", lambda device: ("another computer",)),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(kept, name, value)
            keys.append(key(network))
    assert len(set(keys)) == len(keys)
    assert key(tiny_sam2()) == keys[0]


def test_weights_are_hashed_once_and_again_when_they_change(monkeypatch):
    network, hashed, sha256 = tiny_sam2(), [], kept._sha256
    monkeypatch.setattr(kept, "_sha256", lambda state: hashed.append(1) or sha256(state))
    first = key(network)
    assert key(network) == first
    assert len(hashed) == 1
    weight = next(network.trunk.parameters())
    with torch.no_grad():
        weight[0] += 1
    changed = key(network)
    assert changed != first
    network.load_state_dict(tiny_sam2().state_dict())
    assert key(network) == first
    network.load_state_dict(tiny_sam2(seed=4).state_dict(), assign=True)
    assert key(network) not in (first, changed)
    with torch.inference_mode():
        network.load_state_dict(tiny_sam2().state_dict(), assign=True)
        assert key(network) == first
        next(network.trunk.parameters()).view(-1)[0] += 1
        assert key(network) != first


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantised_weights_are_hashed_whole():
    def parts(value):
        return b"".join(bytes(part) for part in kept._bytes_of(value))

    numbers = torch.linspace(-1, 1, 3000)
    other = numbers.clone()
    other[1500] = 0.9
    quantised = [torch.quantize_per_tensor(n, 0.01, 0, torch.qint8) for n in (numbers, other)]
    first, second = ({"packed": (q, None)} for q in quantised)
    assert parts(first) != parts(second)


# Tensors


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_features_come_back_to_the_bit_and_lie_as_they_lay(network, tmp_path, dtype):
    random = torch.Generator().manual_seed(0)
    plain = torch.randn(1, 4, 8, 6, generator=random).to(dtype)
    plain[0, 0, 0, :2] = torch.tensor([torch.finfo(dtype).tiny / 2, -0.0]).to(dtype)
    features = ImageFeatures(
        plain, plain.contiguous(memory_format=torch.channels_last), plain.transpose(2, 3)
    )
    for is_blank in (True, False):
        store = DiskEmbeddings(tmp_path / str(is_blank), 1 << 30)
        keeper = KeptEmbeddings(store, network, CPU)
        asked = PIXELS, WHOLE, MAPPING, 64
        keeper.get_or_make(*asked, lambda is_blank=is_blank: (features, is_blank))
        found, found_blank = keeper.get_or_make(*asked, pytest.fail)
        assert found_blank is is_blank
        for old, new in zip(features, found, strict=True):
            assert (new.dtype, new.shape, new.stride()) == (old.dtype, old.shape, old.stride())
            old_bits, new_bits = (t.contiguous().view(torch.uint8) for t in (old, new))
            assert torch.equal(old_bits, new_bits)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_features_that_overflowed_are_not_kept(network, number):
    features = ImageFeatures(*(torch.ones(1, 2, n, n) for n in (4, 2, 1)))
    features.stride8[0, 1, 0, 1] = number
    store = DictStore()
    keeper = KeptEmbeddings(store, network, CPU)
    asked = PIXELS, WHOLE, MAPPING, 64
    assert keeper.get_or_make(*asked, lambda: (features, False))[0] is features
    assert not store.arrays
    features.stride8[0, 1, 0, 1] = 1.0
    keeper.get_or_make(*asked, lambda: (features, False))
    assert len(store.arrays) == 1


@pytest.mark.parametrize(
    "harm", [lambda a: a.pop("stride8"), lambda a: a.update(stride4=np.zeros(3, bool))]
)
def test_arrays_that_are_no_embedding_are_made_again(network, harm, caplog):
    store, features = DictStore(), ImageFeatures(*(torch.ones(1, 2, n, n) for n in (4, 2, 1)))
    keeper = KeptEmbeddings(store, network, CPU)
    asked = PIXELS, WHOLE, MAPPING, 64
    keeper.get_or_make(*asked, lambda: (features, False))
    harm(next(iter(store.arrays.values())))
    again, _ = keeper.get_or_make(*asked, lambda: (features, False))
    assert again is features
    assert "not used" in caplog.text
    assert keeper.get_or_make(*asked, pytest.fail)[1] is False


@pytest.mark.parametrize(
    ("name", "device", "expected"),
    [("sam2.1_tiny", "cpu", True), ("sam2.1_large", "mps", True), ("sam2.1_tiny", "cuda", False)],
)
def test_embeddings_are_kept_where_that_pays(name, device, expected):
    assert pays(preset(name), torch.device(device)) is expected
    assert not pays(preset("nano"), torch.device(device))
