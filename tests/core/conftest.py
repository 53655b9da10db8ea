"""A session on the small video of discs; files that need another one have their own."""

from __future__ import annotations

import pytest
from tests.core.discs import VIDEO

from napari_sam2.core.arrays import ArrayFrames
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.session import Session
from napari_sam2.testing import FakeSegmenter


@pytest.fixture
def session():
    """Two discs, nothing said about them yet."""
    frames = ArrayFrames(VIDEO)
    return Session(frames, InlineEngine(FakeSegmenter(frames)))
