"""Encoded frames between the network and a store that outlives the process: the key, and tensors as arrays."""

from __future__ import annotations

import hashlib
import logging
import platform
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from napari_sam2 import __version__
from napari_sam2.core.embedding_store import EmbeddingStore
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.views import View
from napari_sam2.inference.device import DevicePolicy
from napari_sam2.model.config import Sam2Config
from napari_sam2.model.sam2 import ImageFeatures, Sam2

logger = logging.getLogger(__name__)

CODE_VERSION = 1
"""To be raised whenever what `encode_image`, `to_model_input` or `IntensityMapping.apply` give changes in any bit."""

_BLANK = "is_blank"
_TYPES = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}


def pays(config: Sam2Config, device: torch.device) -> bool:
    """Say whether to keep embeddings unasked; the figures are in the documentation.

    Reading those of official models is 70 times as fast as encoding on a CPU. Not measured on CUDA, where both may take
    the same time. `nano` encodes in 18 ms, and 2,000 of its embeddings fit into memory.
    """
    return device.type != "cuda" and config.name != "nano"


class KeptEmbeddings:
    """What one network makes of frames, in a store.

    Parameters
    ----------
    store : EmbeddingStore
        Where the arrays are kept.
    network : Sam2
        Its weights, as they are when the first key is made, are part of the key.
    policy : DevicePolicy
        All of it is part of the key.
    """

    def __init__(self, store: EmbeddingStore, network: Sam2, policy: DevicePolicy) -> None:
        self._store, self._network, self._policy = store, network, policy

    def get_or_make(
        self,
        pixels: np.ndarray,
        view: View,
        mapping: IntensityMapping,
        side: int,
        make: Callable[[], tuple[ImageFeatures, bool]],
    ) -> tuple[ImageFeatures, bool]:
        """Return the features of what a view shows and whether it is blank, from the store or by `make`.

        Parameters
        ----------
        pixels : ndarray of shape (height, width) or (height, width, 3)
            What `view` shows, in the frame's own type.
        view : View
            Where that is.
        mapping : IntensityMapping
            How it is seen.
        side : int
            Model pixels.
        make : callable
            Does it, on this thread.
        """
        key = self.key(pixels, view, mapping, side)
        found = self._store.get(key)
        if found is not None:
            try:
                return self._to_seen(found)
            except (
                LookupError,
                TypeError,
                RuntimeError,
            ) as error:  # whoever made it meant another thing
                logger.warning("an embedding is not used: %s", error)
        features, is_blank = make()
        # What overflowed is made anew, by whoever asks next, in the precision of that time.
        if all(bool(torch.isfinite(tensor).all()) for tensor in features):
            self._store.put(key, _to_arrays(features, is_blank))
        return features, is_blank

    def key(self, pixels: np.ndarray, view: View, mapping: IntensityMapping, side: int) -> str:
        """Return a hash of all that an embedding depends on."""
        digest = hashlib.sha256(self._context)  # faster than BLAKE2 where the processor has it
        facts = (pixels.dtype.str, pixels.shape, view.box, mapping.low, mapping.high, side)
        digest.update(repr(facts).encode())
        digest.update(np.ascontiguousarray(pixels).data)
        return digest.hexdigest()

    @cached_property
    def _context(self) -> bytes:
        """Hash of the weights, the code, and of what decides which arithmetic is used."""
        facts = (CODE_VERSION, __version__, self._network.config, self._policy, *_arithmetic())
        digest = hashlib.sha256(_weights_digest(self._network))
        digest.update(repr((facts, _hardware(self._policy.compute))).encode())
        return digest.digest()

    def _to_seen(self, arrays: Mapping[str, np.ndarray]) -> tuple[ImageFeatures, bool]:
        tensors = (
            _to_tensor(arrays[name]).to(self._policy.compute) for name in ImageFeatures._fields
        )
        return ImageFeatures(*tensors), bool(arrays[_BLANK])


def _to_arrays(features: ImageFeatures, is_blank: bool) -> dict[str, np.ndarray]:
    arrays = {name: _to_array(getattr(features, name)) for name in ImageFeatures._fields}
    return arrays | {_BLANK: np.array(is_blank)}


def _to_array(tensor: Tensor) -> np.ndarray:
    """Return a tensor, strides and all; bfloat16, which numpy lacks, as its bits."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.view(torch.int16).numpy()).view(np.uint16)
    return np.asarray(tensor.numpy())


def _to_tensor(array: np.ndarray) -> Tensor:
    """Return a tensor with memory of its own, aligned as torch does it; strides stay."""
    if array.dtype == np.uint16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16).clone()
    if array.dtype.name not in _TYPES:
        raise TypeError(f"features of type {array.dtype}")
    return torch.from_numpy(array).clone()


_digests: WeakKeyDictionary[nn.Module, tuple[object, bytes]] = WeakKeyDictionary()
"""Of networks that were hashed: a row of volumes has many segmenters of one network of up to 900 MB."""


def _weights_digest(network: nn.Module) -> bytes:
    """Return a hash of everything in a network that is saved with it, as it is now."""
    state = network.state_dict()
    try:
        tensors = [value for value in state.values() if isinstance(value, Tensor)]
        edition = [(t.data_ptr(), t._version, t.dtype) for t in tensors] + [len(state)]
    except RuntimeError:  # a tensor made in inference mode does not count its changes
        return _sha256(state)
    known = _digests.get(network)
    if known is None or known[0] != edition:
        known = _digests[network] = edition, _sha256(state)
    return known[1]


def _sha256(state: Mapping[str, object]) -> bytes:
    digest = hashlib.sha256()
    for part in _bytes_of(state):
        digest.update(part)
    return digest.digest()


def _bytes_of(value: object) -> Iterator[bytes | memoryview]:
    """Yield everything in a state dictionary, or another value in one: the weights as they are used."""
    if isinstance(value, Tensor):
        numbers = value.detach().dequantize() if value.is_quantized else value.detach()
        yield repr((value.dtype, tuple(value.shape))).encode()
        yield numbers.cpu().contiguous().flatten().view(torch.uint8).numpy().data
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield repr(name).encode()
            yield from _bytes_of(item)
    elif isinstance(value, tuple | list):  # packed weights of quantised layers
        for item in value:
            yield from _bytes_of(item)
    else:
        yield repr(value).encode()


def _arithmetic() -> tuple[object, ...]:
    return (
        torch.__version__,
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.backends.mkldnn.enabled,
    )


@cache
def _hardware(device: torch.device) -> tuple[str, ...]:
    """Return what computes: libraries choose their kernels by it, and so the last bits."""
    if device.type == "cuda":
        return (torch.cuda.get_device_name(device),)
    return platform.machine(), _processor(), torch.backends.cpu.get_cpu_capability()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("model name")), platform.processor())
