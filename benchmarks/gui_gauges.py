"""The rows of `gui.py`: each opens a window, acts in it, and measures one thing beside its bar."""

from __future__ import annotations

import gc
import statistics
import tempfile
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gui_desk import Desk, Heart, rest, wait_until

from napari_sam2 import Session
from napari_sam2.core.masks import ObjectMask
from napari_sam2.core.messages import FrameResult, ResumePoint
from napari_sam2.testing import FakeSegmenter, moving_discs

MAX_ACTIONS_FIRST, MAX_ACTIONS_FURTHER = 5, 2


@dataclass(frozen=True)
class Measured:
    """One row. `is_met`: whether the bar is cleared; `parts`: the figures behind `value`."""

    what: str
    bar: str
    value: str
    is_met: bool
    parts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """How much is measured, and in what. `new_viewer`: makes an empty viewer; napari's own by default."""

    is_quick: bool = False
    num_frames: int = 200
    size: int = 512
    new_viewer: Callable[[], Any] = lambda: None

    def desk(self, num_frames: int, num_objects: int = 1, make: Any = None) -> Desk:
        """Open the dock on a generated stack, and go to its first frame."""
        desk = self.closed_desk(num_frames, num_objects, make)
        desk.move_slider(0)
        desk.open_dock()
        return desk

    def closed_desk(self, num_frames: int, num_objects: int = 1, make: Any = None) -> Desk:
        """Open a generated stack."""
        video, truth = moving_discs(num_frames, self.size, num_objects)
        return Desk(video, truth, make, self.new_viewer())


def stall(bench: Bench) -> Measured:
    """Let a propagation run and listen to the heartbeat of the window."""
    frames = 12 if bench.is_quick else bench.num_frames
    desk = bench.desk(frames)
    desk.click(1)
    desk.wait_for_answers()
    with Heart() as heart:
        desk.press("Shift-S")
        desk.wait_for_run()
    assert not desk.session.changed, "every frame was tracked"
    desk.close()
    p99, worst = float(np.percentile(heart.stalls, 99)), float(heart.stalls.max())
    return Measured(
        f"event-loop stall, {frames} frames of {bench.size}x{bench.size}",
        "p99 < 50 ms, max < 250 ms",
        f"p99 {_ms(p99)}, max {_ms(worst)} (own {_ms(heart.work.max())})",
        p99 < 0.050 and worst < 0.250,
        {
            "p99": p99,
            "max": worst,
            "own_cpu_max": float(heart.work.max()),
            "own_cpu_p99": float(np.percentile(heart.work, 99)),
            "beats": len(heart.stalls),
        },
    )


def throughput(bench: Bench) -> Measured:
    """Track the same frames in the window and without one, in turns; compare the typical frame."""
    frames, rounds = (8, 1) if bench.is_quick else (20, 3)
    headless, in_window = [], []
    for _ in range(rounds):
        headless.append(_frame_times_headless(bench, frames))
        in_window.append(_frame_times_in_window(bench, frames))
    alone, worker = (np.median(np.concatenate(times), axis=0) for times in (headless, in_window))
    share, cpu_share = alone / worker
    return Measured(
        "worker throughput against headless",
        ">= 90 %",
        f"{share:.0%} (CPU {cpu_share:.0%}), {1 / worker[0]:.1f} frames/s",
        bool(share >= 0.9),
        {
            "headless_s": alone.tolist(),
            "window_s": worker.tolist(),
            "frames": rounds * (frames - 2),
        },
    )


def _frame_times_headless(bench: Bench, frames: int) -> np.ndarray:
    video, truth = moving_discs(frames, bench.size, 1)
    session = Session(video)
    session.add_points(1, 0, [np.argwhere(truth[0] == 1).mean(axis=0).round()])
    return np.diff([_now() for _ in session.propagate()], axis=0)


def _frame_times_in_window(bench: Bench, frames: int) -> np.ndarray:
    desk, times = bench.desk(frames), []
    desk.click(1)
    desk.wait_for_answers()
    _note_frames(desk, times)
    desk.press("Shift-S")
    desk.wait_for_run()
    desk.close()
    return np.diff(times, axis=0)


def cancel(bench: Bench) -> Measured:
    """Press Esc at different moments of a frame of nano."""
    phases = (0.3,) if bench.is_quick else (0.1, 0.3, 0.5, 0.7, 0.9)
    latencies, cpu, frame = _cancel(bench.desk(20 if bench.is_quick else 60), phases)
    limit, worst = frame + 0.2, max(latencies)
    return Measured(
        "Esc to end of run, nano",
        f"<= one frame + 200 ms = {_ms(limit)}",
        f"{_ms(worst)} (CPU {_ms(max(cpu))})",
        worst <= limit,
        {"latencies": latencies, "cpu": cpu, "frame_s": frame},
    )


def cancel_tiny(bench: Bench) -> Measured:
    """Press Esc at different moments of a frame of the official tiny network at 1024."""
    phases = (0.5,) if bench.is_quick else (0.05, 0.25, 0.45, 0.65, 0.85)
    desk = bench.desk(12, make=_random_tiny)
    latencies, cpu, frame = _cancel(desk, phases)
    return Measured(
        "Esc to end of run, tiny at 1024",
        "<= 3 s",
        f"{max(latencies):.2f} s (CPU {max(cpu):.2f} s)",
        max(latencies) <= 3.0,
        {"latencies": latencies, "cpu": cpu, "frame_s": frame},
    )


def _random_tiny(recipe: Any) -> Any:
    import torch

    from napari_sam2.core.intensity import IntensityMapping
    from napari_sam2.inference.segmenter import Sam2Segmenter
    from napari_sam2.model.config import preset
    from napari_sam2.model.sam2 import Sam2

    torch.manual_seed(0)
    network = Sam2(preset("sam2.1_tiny"))
    torch.nn.init.constant_(network.mask_decoder.object_head.layers[-1].bias, 10.0)
    return Sam2Segmenter(network, recipe.frames, IntensityMapping(0, 255))


def _cancel(desk: Desk, phases: tuple[float, ...]) -> tuple[list[float], list[float], float]:
    """Return what every Esc took, in seconds and in seconds of CPU of all threads, and what a frame takes."""
    committed: list[tuple[float, float]] = []
    ended: list[tuple[float, float]] = []
    desk.click(1)
    desk.wait_for_answers()
    _note_frames(desk, committed)
    desk.session.run_finished.connect(lambda: ended.append(_now()))
    latencies, cpu, times = [], [], []
    for phase in phases:
        committed.clear()
        desk.press("Shift-S")
        wait_until(lambda: len(committed) >= 2)
        times += np.diff(committed, axis=0)[:, 0].tolist()
        rest(phase * statistics.median(times))
        pressed = _now()
        desk.press("Escape")
        desk.wait_for_run()
        latencies.append(ended[-1][0] - pressed[0])
        cpu.append(ended[-1][1] - pressed[1])
    desk.close()
    return latencies, cpu, statistics.median(times)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def click(bench: Bench) -> Measured:
    """Click a frame that is encoded, and wait for the mask on the layer that is shown."""
    desk, times, cpu, shown = bench.desk(3), [], [], []
    desk.click(1)
    desk.wait_for_answers()
    desk.bridge.labels.events.set_data.connect(lambda _event: shown.append(_now()))
    radius = bench.size / 16
    for number in range(3 if bench.is_quick else 20):
        rest(0.15)  # a redraw a tenth of a second ago would hold this one back
        shown.clear()
        angle = 2.4 * number
        began = _now()
        desk.click(1, off=(radius * np.sin(angle), radius * np.cos(angle)))
        wait_until(lambda: bool(shown))
        times.append(shown[0][0] - began[0])
        cpu.append(shown[0][1] - began[1])
        desk.wait_for_answers()
    desk.close()
    median = statistics.median(times)
    return Measured(
        "click to visible mask, nano, frame encoded",
        "median < 150 ms",
        f"median {_ms(median)} (CPU {_ms(statistics.median(cpu))})",
        median < 0.150,
        {"seconds": times, "cpu": cpu, "median": median, "clicks": len(times)},
    )


def refresh(bench: Bench) -> Measured:
    """Commit results to frames of 2048 x 2048 pixels, of which each is on show."""
    size, frames = 2048, 4 if bench.is_quick else 12
    rows, columns = np.ogrid[:size, :size]
    disc = (rows - size / 2) ** 2 + (columns - size / 2) ** 2 <= (size / 4) ** 2
    video, truth = np.zeros((frames, size, size), np.uint8), disc[None].astype(np.uint16)
    desk = Desk(video, truth, lambda recipe: FakeSegmenter(recipe.frames), bench.new_viewer())
    desk.open_dock()
    desk.session.add_mask(1, 0, disc)
    desk.wait_for_answers()
    mask = ObjectMask.from_logits(1, np.where(disc, 5.0, -5.0).astype(np.float32), 5.0, 0.9)
    run, times, spent, shown = desk.session.propagate(), [], [], []
    desk.bridge.labels.events.set_data.connect(lambda _event: shown.append(True))
    for frame in range(1, frames):
        result = FrameResult(frame, (mask,), frames - 1, ResumePoint(frame))
        stored = run.store(result)
        desk.viewer.dims.set_current_step(0, frame)
        rest(0.15)
        shown.clear()
        began, cpu = time.perf_counter(), time.thread_time()
        run.commit(stored)
        times.append(time.perf_counter() - began)
        spent.append(time.thread_time() - cpu)
        assert shown, "the frame was drawn at once"
    run.finish()
    assert desk.bridge.labels.data[-1, size // 2, size // 2] == 1
    desk.close()
    median = statistics.median(times)
    return Measured(
        "refresh of a written frame, 2048x2048",
        "< 20 ms",
        f"median {_ms(median)} (CPU {_ms(statistics.median(spent))})",
        median < 0.020,
        {
            "median": median,
            "max": max(times),
            "cpu_median": statistics.median(spent),
            "frames": len(times),
        },
    )


def actions(bench: Bench) -> Measured:
    """Act out the way from an open stack to saved labels, for one object and for two, and count."""
    first, further = _act_out(bench, 1), _act_out(bench, 2)
    return Measured(
        "user actions to saved labels",
        f"first <= {MAX_ACTIONS_FIRST}, further <= {MAX_ACTIONS_FURTHER} each",
        f"first {first}, further {further - first}",
        first <= MAX_ACTIONS_FIRST and further - first <= MAX_ACTIONS_FURTHER,
        {"first": first, "further": further - first},
    )


def _act_out(bench: Bench, num_objects: int) -> int:
    import tifffile

    frames = 3 if bench.is_quick else 8
    desk = bench.closed_desk(frames, num_objects)
    desk.open_dock()
    for object_id in range(1, num_objects + 1):
        if object_id > 1:
            desk.press("M")
        desk.click(object_id)
        desk.wait_for_answers()
    desk.press("Shift-S")
    desk.wait_for_run()
    desk.select_labels()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.tif"
        desk.save(path)
        saved = tifffile.imread(path)
    desk.close()
    for object_id in range(1, num_objects + 1):
        both = (saved == object_id) & (desk.truth == object_id)
        either = (saved == object_id) | (desk.truth == object_id)
        assert both.sum() > 0.8 * either.sum(), f"object {object_id} was not saved as it is"
    return desk.num_actions


def life(bench: Bench) -> Measured:
    """Open, run and close again and again; nothing of what was there may be left."""
    cycles = 3 if bench.is_quick else 20
    desk = Desk(*moving_discs(), _quick_fake, bench.new_viewer())
    kept_by_napari = _kept_by_napari(desk.viewer)
    before = _listeners(desk.viewer)
    left: list[str] = []
    alive: list[tuple[str, weakref.ref[Any]]] = []
    for _ in range(cycles):
        alive += _cycle(desk)
        gc.collect()
        found = ((name, thing()) for name, thing in alive)
        left += [
            name
            for name, thing in found
            if thing is not None and type(thing).__name__ not in kept_by_napari
        ]
        desk.image = desk.viewer.add_image(moving_discs()[0], name="discs")
    left += [item.name for item in threading.enumerate() if item.name == "napari-sam2 worker"]
    after = _listeners(desk.viewer)
    left += [f"callbacks of {name}" for name, count in after.items() if count != before[name]]
    desk.close()
    return Measured(
        f"left after opening, running, closing {cycles} times",
        "nothing",
        ", ".join(sorted(set(left))) or "nothing",
        not left,
        {"cycles": cycles, "watched": len(alive), "left": left, "kept_by_napari": kept_by_napari},
    )


def _kept_by_napari(viewer: Any) -> list[str]:
    """Return the kinds of layers that napari itself holds on to after they were removed, without any plugin.

    The buttons of its points tools do so in napari 0.9.
    """
    makers = viewer.add_points, viewer.add_shapes, lambda: viewer.add_labels(np.zeros((4, 4), int))
    layers = [weakref.ref(make()) for make in makers]
    for layer in layers:
        viewer.layers.remove(layer())
    rest(0.05)
    gc.collect()
    return [type(layer()).__name__ for layer in layers if layer() is not None]


def _quick_fake(recipe: Any) -> FakeSegmenter:
    return FakeSegmenter(recipe.frames)


def _cycle(desk: Desk) -> list[tuple[str, weakref.ref[Any]]]:
    desk.open_dock()
    desk.click(1)
    desk.wait_for_answers()
    desk.press("Shift-S")
    desk.wait_for_run()
    dock = next(iter(desk.viewer.window.dock_widgets.values()))
    watched = [
        ("widget", dock),
        ("session", desk.session),
        ("worker", desk.controller._workspace.worker),
        *((layer.name, layer) for layer in desk.viewer.layers),
    ]
    references = [(name, weakref.ref(thing)) for name, thing in watched]
    del dock, watched
    desk.image = None
    desk.remove_dock()
    desk.viewer.layers.clear()
    rest(0.05)
    return references


def _listeners(viewer: Any) -> dict[str, int]:
    return {
        "mouse": len(viewer.mouse_drag_callbacks) + len(viewer.mouse_double_click_callbacks),
        "keys": len(viewer.keymap),
        "layers inserted": len(viewer.layers.events.inserted.callbacks),
        "layers removed": len(viewer.layers.events.removed.callbacks),
        "sliders": len(viewer.dims.events.current_step.callbacks),
        "theme": len(viewer.events.theme.callbacks),
        "docks": len(viewer.window.dock_widgets),
    }


def _note_frames(desk: Desk, times: list[tuple[float, float]]) -> None:
    """Note when each tracked frame is shown; the clicked one, 0, is announced along with the first of them."""

    def note(frame: int, _box: Any) -> None:
        if frame:
            times.append(_now())

    desk.session.frame_committed.connect(note)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
