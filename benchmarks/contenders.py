"""Who is timed against whom: our segmenter and the `transformers` package's SAM 2, with the same procedural weights."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.messages import PropagationRequest
from napari_sam2.core.options import NATIVE, InferenceOptions
from napari_sam2.core.prompts import FramePrompts, ObjectPrompts, PromptStep
from napari_sam2.core.session import Session
from napari_sam2.inference.device import DevicePolicy
from napari_sam2.inference.embeddings import DEFAULT_BUDGET
from napari_sam2.inference.segmenter import Sam2Segmenter
from napari_sam2.inference.transforms import to_model_input
from napari_sam2.model.sam2 import Sam2

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parity"))
import run_case
import transformers_model

VISIBLE = 10.0
"""Bias of the object score: procedural objects are always there, so no step is left out."""

EXACT = replace(
    NATIVE, focus=False, precision="float32", quality="full", max_conditioning_frames=None
)
"""What the reference does: whole frames, float32, everything remembered."""

Clicks = Sequence[tuple[int, float, float]]
"""Frame, y and x of one click an object."""


def network_of(preset: str, side: int) -> Sam2:
    """Return a network with procedural weights, looking at `side` pixels."""
    return run_case.procedural_network(preset, side, VISIBLE)


def video_of(num_frames: int, side: int) -> np.ndarray:
    """Return frames (T, side, side, 3), uint8: they have the network's side, no resizer takes part."""
    return run_case.procedural.frames(num_frames, side, 0)


def clicks_of(num_objects: int, side: int, frames: Sequence[int] = (0,)) -> list[Clicks]:
    """Return one click an object and frame, spread along the diagonal."""
    places = np.linspace(side * 0.2, side * 0.8, num_objects).tolist()
    return [[(frame, place, place) for frame in frames] for place in places]


class Ours:
    """Our segmenter."""

    def __init__(
        self,
        network: Sam2,
        video: np.ndarray,
        options: InferenceOptions = EXACT,
        device: str = "cpu",
        cache_bytes: int = DEFAULT_BUDGET,
    ) -> None:
        policy = DevicePolicy.choose(device, options.precision)
        self.num_frames = len(video)
        frames = ArrayFrames(video, rgb=True)
        mapping = IntensityMapping(0, 255)
        self.segmenter = Sam2Segmenter(network, frames, mapping, options, policy, cache_bytes)
        self.session = Session(frames, InlineEngine(self.segmenter))

    def track(self, clicks: Sequence[Clicks]) -> Iterator[object]:
        """Yield tracked frames."""
        objects = tuple(
            ObjectPrompts(
                number,
                tuple(FramePrompts(t, (PromptStep(((y, x),), (True,)),)) for t, y, x in places),
            )
            for number, places in enumerate(clicks, start=1)
        )
        return self.segmenter.propagate(
            PropagationRequest(1, objects, 0, self.num_frames, "forward")
        )


class Reference:
    """The `transformers` package's video model, given frames as it wants them."""

    def __init__(self, network: Sam2, video: np.ndarray, device="cpu") -> None:
        from transformers import Sam2VideoInferenceSession

        side, target = network.config.image_size, torch.device(device)
        self.model = transformers_model.video_oracle(network).to(target)
        frames = [to_model_input(f.astype(np.float32) / 255, side, target) for f in video]
        self.session = Sam2VideoInferenceSession(
            video=torch.cat(frames),
            video_height=side,
            video_width=side,
            dtype=torch.float32,
            inference_device=target,
            inference_state_device=target,
        )

    @torch.inference_mode()
    def click(self, number: int, frame: int, y: float, x: float) -> None:
        """Click an object; its frame is answered."""
        points = torch.tensor([[[[x, y]]]], dtype=torch.float32, device=self.model.device)
        given = {
            "point_coords": points,
            "point_labels": torch.ones(1, 1, 1, dtype=torch.int32, device=self.model.device),
        }
        self.session.add_point_inputs(self.session.obj_id_to_idx(number), frame, given)
        self.session.obj_with_new_inputs = [number]
        self.model(inference_session=self.session, frame_idx=frame)

    def track(self, clicks: Sequence[Clicks]) -> Iterator[object]:
        """Yield tracked frames; the first of the package's is the prompted one, which is left out."""
        for number, places in enumerate(clicks, start=1):
            for frame, y, x in places:
                self.click(number, frame, y, x)
        return self.again()

    def again(self) -> Iterator[object]:
        """Propagate over all frames once more."""
        results = self.model.propagate_in_video_iterator(self.session, start_frame_idx=0)
        while True:
            with torch.inference_mode():
                result = next(results, None)
            if result is None:
                return
            if result.frame_idx:
                yield result


def timed(step: Iterator[object]) -> float:
    """Return the seconds until the next item."""
    wait_for_device()
    start = time.perf_counter()
    next(step)
    wait_for_device()
    return time.perf_counter() - start


def alternating(contenders: Sequence[Iterator[object]], num_steps: int) -> list[list[float]]:
    """Return the seconds of each step of each contender, step by step in turn: a slow minute hits all alike."""
    times: list[list[float]] = [[] for _ in contenders]
    for _ in range(num_steps):
        for own, contender in zip(times, contenders, strict=True):
            own.append(timed(contender))
    return times


def wait_for_device() -> None:
    """Let all that was started on a GPU end."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
