from __future__ import annotations

import pickle

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
