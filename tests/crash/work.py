"""What is killed in tests, and what is done again after it: runs and sessions over a fake model, to the bit."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict
from pathlib import Path

import numpy as np

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import StorageError
from napari_sam2.core.fingerprint import Fingerprint
from napari_sam2.core.masks import PackedMask
from napari_sam2.core.placement import Placement
from napari_sam2.core.plan import Track
from napari_sam2.core.session import Session
from napari_sam2.core.sources import ImageSource
from napari_sam2.io.atomic import sweep
from napari_sam2.io.exports.live import live_labels
from napari_sam2.io.kept_results import KeptEngine, ResultFile
from napari_sam2.io.session_parts import ImagePlace
from napari_sam2.io.sessions import ImageFacts, SessionFile, read_session, write_session
from napari_sam2.plugin.journaling import RunJournal
from napari_sam2.testing import FakeSegmenter, _Pass, moving_discs

SOURCE = ImageSource("stack", Placement.plain(3))
QUESTION = b"the same stack.."


class FakeCodec:
    """States of `FakeSegmenter` as bytes."""

    def pack(self, state):
        content = {}
        for key, item in state.items():
            mask = item.mask
            content[key] = {
                **asdict(item),
                "track": [item.track.object_id, item.track.anchor],
                "mask": [mask.shape, mask.box, mask.bits.hex()],
            }
        return json.dumps(content, default=lambda number: number.item()).encode()

    def unpack(self, data):
        state = {}
        for key, item in json.loads(data).items():
            shape, box, bits = item.pop("mask")
            item["mask"] = PackedMask(tuple(shape), tuple(box), bytes.fromhex(bits))
            item["track"] = Track(*item["track"])
            state[int(key)] = _Pass(**item)
        return state


class Work:
    """A stack, a fake model, and what is said about two objects."""

    def __init__(self, folder, num_frames=30, delay=0.0, size=48, num_objects=2):
        self.folder = Path(folder)
        video, self.truth = moving_discs(num_frames=num_frames, size=size, num_objects=num_objects)
        self.frames, self.delay = ArrayFrames(video), delay
        self.second = min(9, num_frames - 2)
        self.session_path = self.folder / "x.sam2.json"
        self.is_durable = False
        self.out, self.run_path = self.folder / "labels.ome.zarr", self.folder / "x.run"

    def session(self):
        segmenter = FakeSegmenter(self.frames, delay=self.delay)
        return Session(self.frames, InlineEngine(segmenter))

    def say(self, session, object_id, frame):
        inside = np.argwhere(self.truth[frame] == object_id)
        session.add_points(object_id, frame, [inside[len(inside) // 2]])

    def tell(self, frame):
        """Note that a frame is there for everybody; this outlives a kill."""
        with (self.folder / "told").open("ab", buffering=0) as file:
            file.write(f"{frame}\n".encode())

    def told(self):
        path = self.folder / "told"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    # The way of ``napari-sam2 run``

    def run_into_zarr(self, tell=None):
        session = self.session()
        results = ResultFile(self.run_path, QUESTION, self.frames.shape, durable=self.is_durable)
        session.engine = engine = KeptEngine(session.engine, results, FakeCodec(), state_every=0.0)
        sweep(self.folder, self.out.name)
        self.say(session, 1, 2)
        self.say(session, 2, self.second)
        try:
            with live_labels(session, lambda: session.result(SOURCE), self.out):
                for result in session.propagate():
                    (tell or self.tell)(result.frame)
            results.remove()
        finally:
            results.close()
        return session, engine

    # The way of the window

    def file_of(self, session):
        return SessionFile(
            session.saved,
            0,
            ImageFacts.of(self.frames),
            self.frames.stack_view,
            session.mapping,
            place=ImagePlace(SOURCE),
            fingerprint=Fingerprint.of(self.frames),
            kept=session.kept,
            log=session.log,
        )

    def save(self, session, journal, path=None):
        mark = journal.mark(session)
        path = self.session_path if path is None else path
        write_session(path, self.file_of(session), lambda sha256: journal.announce(sha256, mark))
        journal.settle(mark)

    def restored(self, path=None):
        """A session as it is found on the disk."""
        session = self.session()
        file = read_session(path or self.session_path, self.frames)
        session.take_up(file.saved, file.kept, file.log)
        return session

    def work_in_a_session(self, tell=None):
        sweep(self.folder)
        if self.session_path.exists():
            session = self.restored()
        else:
            session = self.session()
            self.say(session, 1, 2)
            self.say(session, 2, self.second)
        journal = RunJournal(self.session_path)
        session.journal = journal
        run = session.propagate_changed()
        journal.begin(run, session)
        try:
            self.save(session, journal)
            journal.base_written()
            for result in run:
                (tell or self.tell)(result.frame)
            self.save(session, journal)
        finally:
            journal.close()
        return session


def labels_of(session):
    return np.asarray(session.labels[...])


def checksum_of(session):
    """A number that tells two sessions with other masks apart, strengths and scores included."""
    numbers = []
    for object_id in session.objects:
        for frame in range(len(session.frames)):
            record = session.record(object_id, frame)
            told = None if record is None else (record.box, record.bits, record.strength)
            numbers.append(zlib.crc32(repr((object_id, frame, told)).encode()))
    return numbers


def run_child(folder, delay):
    work = Work(folder, delay=delay)
    work.run_into_zarr()
    work.tell(-1)


def session_child(folder, delay):
    work = Work(folder, delay=delay)
    work.work_in_a_session()
    work.tell(-1)


def limited_child(folder, delay):
    """A run on a disk that takes files of 6 kB and no larger ones."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))
    work = Work(folder, delay=delay)
    try:
        work.run_into_zarr()
    except StorageError as error:
        (work.folder / "error").write_text(str(error))
