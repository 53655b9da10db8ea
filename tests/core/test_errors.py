from __future__ import annotations

import ast
import pickle
from pathlib import Path

import pytest

from napari_sam2.core import errors

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, errors.NapariSam2Error)
    and kind is not errors.NapariSam2Error
]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_also_a_builtin_that_napari_workers_do_not_swallow(kind):
    assert not issubclass(kind, (RuntimeError, StopIteration))
    builtins = [base for base in kind.__mro__ if base.__module__ == "builtins"]
    assert builtins[0] not in (Exception, BaseException, object)


def test_every_error_has_a_code_of_its_own():
    assert len({kind.code for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_says_what_happened_what_to_do_and_what_was_kept(kind):
    error = kind("frame 3 is broken", kept="frames 0 to 2 were kept", remedy="try again")
    assert str(error) == "frame 3 is broken; try again; frames 0 to 2 were kept"
    assert str(kind("broken")) == "broken; nothing was changed"


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_crosses_processes(kind):
    error = pickle.loads(pickle.dumps(kind("a", kept="b", remedy="c")))
    assert type(error) is kind
    assert (error.what, error.kept, error.remedy) == ("a", "b", "c")


SOURCE = Path(errors.__file__).parents[1]

COMPLETED_LATER = {
    # Caught by the function that reads the whole file, which knows what to do.
    "io/sessions.py": 6,
    # Caught by the cache, which logs them and has the frame encoded again.
    "io/embedding_cache.py": 2,
    "io/embedding_file.py": 8,
    "io/checkpoints.py": 3,
    "io/download.py": 1,  # a person stopped it
    "io/images/nrrd.py": 1,
    "io/images/zarrs.py": 1,
    "io/json_files.py": 3,
    "io/mask_records.py": 2,
    "io/store.py": 3,
    "io/weights.py": 2,
}


def without_remedy(path):
    """Lines on which an error of ours is made without saying what to do."""
    names = {kind.__name__ for kind in KINDS}
    return [
        call.lineno
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in names
        and "remedy" not in [word.arg for word in call.keywords]
    ]


def test_every_error_says_what_to_do():
    found = {
        path.relative_to(SOURCE).as_posix(): without_remedy(path) for path in SOURCE.rglob("*.py")
    }
    missing = {
        file: lines for file, lines in found.items() if len(lines) > COMPLETED_LATER.get(file, 0)
    }
    assert not missing
