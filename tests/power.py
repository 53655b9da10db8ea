"""A disk that loses its power: what was done to it is recorded, and whatever it may hold afterwards is made.

What a disk may hold after it lost its power, as far as programs are promised anything (ext4, XFS, APFS, NTFS):

- names appear, change and go in the order in which they were said, up to some moment at or after the last one in a
  folder that was synced since;
- of what was written to a file since it was synced, any part may be there, also torn within a write, also as zeros;
- what was synced is there. Names and contents know nothing of each other: a name may be there before its content.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from tests.watched_disk import WatchedDisk

SECTOR = 512


@dataclass(frozen=True)
class Done:
    """One thing that was done. `facts`: see `WatchedDisk.after`; `file`: a number, the same under every name."""

    name: str
    path: str
    facts: tuple
    file: int

    @property
    def is_about_names(self):
        return self.name in ("create", "replace", "rename", "link", "unlink", "mkdir", "rmdir")

    @property
    def folders(self):
        """The folders whose names it changes."""
        paths = (
            (self.path, *self.facts) if self.name in ("replace", "rename", "link") else (self.path,)
        )
        return {os.path.dirname(path) for path in paths}


class RecordingDisk(WatchedDisk):
    """Everything that is done under `folder`, in order; `moment` is how much that is until now."""

    def __init__(self, folder):
        super().__init__(folder)
        self.done = []
        self._names, self._numbers = {}, itertools.count()

    recording = WatchedDisk.watching

    @property
    def moment(self):
        return len(self.done)

    def after(self, name, path, *facts):
        if name == "create":
            self._names[path] = next(self._numbers)
        file = self._names.get(path, -1)
        self.done.append(Done(name, path, facts, file))
        self._names = renamed(self._names, self.done[-1])

    def state(self, moment, random=None):
        """Return what the disk may hold if its power went at a moment, and exactly that moment without `random`."""
        done = self.done[:moment]
        names, folders = {}, {self.folder}
        for item in names_kept(done, random):
            names = renamed(names, item)
            folders = folders_after(folders, item)
        contents = {number: content_kept(done, number, random) for number in set(names.values())}
        return {path: contents[number] for path, number in names.items()}, folders


def renamed(names, done):
    """Return names (path to file) after something was done to them."""
    names = dict(names)
    if done.name == "create":
        names[done.path] = done.file
    elif done.name == "unlink":
        names.pop(done.path, None)
    elif done.name == "link":
        names[done.facts[0]] = names[done.path]
    elif done.name in ("replace", "rename"):
        (new,) = done.facts
        if done.path in names:
            file = names.pop(done.path)
            # Two names of one file: renaming does nothing, and both stay (POSIX).
            names = {**names, done.path: file} if names.get(new) == file else {**names, new: file}
        else:
            names = {moved(path, done.path, new): file for path, file in names.items()}
    return names


def folders_after(folders, done):
    """Return folders after something was done to them."""
    if done.name == "mkdir":
        return folders | {done.path}
    if done.name == "rmdir":
        return folders - {done.path}
    if done.name in ("replace", "rename"):
        return {moved(path, done.path, done.facts[0]) for path in folders}
    return folders


def moved(path, old, new):
    """Return a path after a folder above it, or itself, was renamed."""
    return new + path[len(old) :] if path == old or path.startswith(old + os.sep) else path


def names_kept(done, random):
    """Return what was done to names, up to where the disk may have got."""
    said = [(number, item) for number, item in enumerate(done) if item.is_about_names]
    if random is None:
        return [item for _, item in said]
    synced = {item.path: number for number, item in enumerate(done) if item.name == "fsync folder"}
    sure = max(
        (
            position + 1
            for position, (number, item) in enumerate(said)
            if any(synced.get(folder, -1) > number for folder in item.folders)
        ),
        default=0,
    )
    kept = random.choice([sure, len(said), random.randint(sure, len(said))])
    return [item for _, item in said[:kept]]


def content_kept(done, file, random):
    """Return the bytes of a file: what was synced, and of the rest what the disk may have written."""
    changes = [item for item in done if item.file == file]
    last = max((number for number, item in enumerate(changes) if item.name == "fsync"), default=-1)
    luck = "all" if random is None else random.choice(["all", "none", "some", "some"])
    content = bytearray()
    for number, item in enumerate(changes):
        fate = "kept" if number < last or luck == "all" else "lost"
        if number > last and luck == "some":
            fate = random.choice(["kept", "lost", "zeros", "torn"])
        apply(content, item, fate, random)
    return bytes(content)


def apply(content, item, fate, random):
    """Change a content as a write or a truncation does that the disk did, lost, left as zeros, or tore."""
    if fate == "lost":
        return
    if item.name == "truncate":
        (size,) = item.facts
        del content[size:]
        content.extend(bytes(size - len(content)))
    elif item.name == "write":
        offset, data = item.facts
        if fate == "torn":
            # At the border of a sector of the file, which is where disks tear.
            end = random.randrange(0, len(data) + SECTOR, SECTOR) - offset % SECTOR
            data = data[: max(0, end)]
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = bytes(len(data)) if fate == "zeros" else data


def write_state(state, old, new):
    """Make the files and folders of a state, of folder `old`, in the folder `new`."""
    files, folders = state
    for folder in sorted(folders):
        Path(moved(folder, str(old), str(new))).mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        Path(moved(path, str(old), str(new))).write_bytes(content)


def read_state(folder):
    """Return the files and folders that a folder holds, as `RecordingDisk.state` does."""
    files, folders = {}, set()
    for parent, _, names in os.walk(folder):
        folders.add(parent)
        files |= {os.path.join(parent, name): Path(parent, name).read_bytes() for name in names}
    return files, folders
