"""A log from a file: everything that a session writes is taken, and nothing that does something else."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.intensity import IntensityMapping
from napari_sam2.core.log_lines import is_action
from napari_sam2.core.objects import ObjectInfo
from napari_sam2.core.session import Session
from napari_sam2.testing import FakeSegmenter, moving_discs


def test_what_a_session_writes_is_taken():
    video, truth = moving_discs(num_frames=5, size=24)
    frames = ArrayFrames(video)
    session = Session(frames, InlineEngine(FakeSegmenter(frames)))
    session.add_points(1, 0, np.argwhere(truth[0] == 1)[:1], [True])
    session.add_mask(2, 1, truth[1] == 2, lock=True)
    list(session.propagate("both", range(5), objects={1, 2}))
    session.use_existing(np.where(truth > 0, 40, 0))
    session.describe(1, ObjectInfo("it's\n".strip(), 'a "cell" ` é'))
    session.use_mapping(IntensityMapping(-5.0, 200.0))
    session.undo()
    session.reopen(session.saved)
    assert len(session.log) >= 9
    for line in (*session.log, "run.finish()", "session.add_labels(0, labels_of_5x24x24)"):
        assert is_action(line), line


HOSTILE = [
    "__import__('os').system('true')",
    "session.add_points(1, 0, __import__('os').system('true'))",
    "session.add_points(1, 0, [(1, open('x'))])",
    "session.add_points(*[1, 2])",
    "session.add_points(**{'a': 1})",
    "session.add_points(1, frame=session.state)",
    "session.__class__.__init__()",
    "session._engine()",
    "session.store.append(1)",
    "session.undo(); session.undo()",
    "session.undo()\nimport os",
    "session.undo()\rimport os",
    "session = 3",
    "run = 3",
    "session = session.propagate()",
    "run = other = session.propagate()",
    "x = session.propagate()",
    "session.undo",
    "import os",
    "session.add_points(lambda: 1)",
    "session.add_points([x for x in (1,)])",
    "session.add_points({**{}})",
    "session.add_points(-x)",
    "session.add_points(f'{x}')",
    "session.add_points(range.x(1))",
    "session.add_points(eval('1'))",
    "session.add_points(range(eval))",
    "session.add_points(1) if 1 else 2",
    "session.add_points(" + "(" * 500 + ")" * 500 + ")",
    "",
    "(",
    "session.add(\x00)",
]


@pytest.mark.parametrize("line", HOSTILE)
def test_anything_else_is_not(line):
    assert not is_action(line)
