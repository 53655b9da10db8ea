"""What crosses boundaries cannot be changed on the other side: values are frozen and have slots."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from functools import cached_property

import pytest

from napari_sam2 import core, io

OWNERS = {"Ask", "Asks", "Offers", "Made"}
"""They hold what changes, and nobody else has them."""


def modules():
    for package in (core, io):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield info.name


def values(name):
    module = importlib.import_module(name)
    return [
        item
        for item in vars(module).values()
        if isinstance(item, type) and dataclasses.is_dataclass(item) and item.__module__ == name
    ]


def remembers(value):
    return any(isinstance(item, cached_property) for item in vars(value).values())


@pytest.mark.parametrize("name", [*modules()])
def test_values_are_frozen_and_have_no_room_for_more(name):
    for value in values(name):
        is_frozen = value.__dataclass_params__.frozen
        assert is_frozen != (value.__name__ in OWNERS), f"{value.__name__} can be changed"
        assert remembers(value) or "__slots__" in vars(value), (
            f"{value.__name__} takes any attribute"
        )
