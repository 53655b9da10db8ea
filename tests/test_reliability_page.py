"""docs/reliability.md says the truth about tests: all 82 faults are there, and the tests that it names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "reliability.md"
NUM_ROWS = 82
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.*?) \| (.+?) \|$", re.MULTILINE)
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
OPEN = re.compile(r"open: \S+")


def rows():
    return {int(number): rest for number, *rest in ROW.findall(PAGE.read_text(encoding="utf-8"))}


def names_in(text):
    return TEST.findall(text)


def test_every_fault_has_one_row():
    found = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert [int(number) for number, *_ in found] == list(range(1, NUM_ROWS + 1))


@pytest.mark.parametrize("number", range(1, NUM_ROWS + 1))
def test_a_row_names_its_tests_or_says_why_there_is_none(number):
    fault, happens, tests = rows()[number]
    assert fault
    assert names_in(tests) or OPEN.search(tests), "neither a test nor a reason"
    assert happens or OPEN.search(tests), "what happens is said, or the row is open"


@pytest.mark.parametrize("number", range(1, NUM_ROWS + 1))
def test_the_tests_of_a_row_exist(number):
    for file, name in names_in(rows()[number][2]):
        text = (TESTS / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {name}\(", text, re.MULTILINE), f"{file} has no {name}"


def test_tests_that_are_said_to_assert_the_contract_do():
    marked = re.findall(r"`([\w/]+\.py)::(\w+)`\\\*", PAGE.read_text(encoding="utf-8"))
    assert len(marked) > 10
    for file, name in marked:
        text = (TESTS / file).read_text(encoding="utf-8")
        found = re.search(rf"^def {name}\(([^)]*)\)", text, re.MULTILINE)
        assert re.search(r"\bcontract\b", found.group(1)), f"{name} takes no contract"


def test_every_other_test_that_the_page_names_exists():
    for file, name in names_in(PAGE.read_text(encoding="utf-8")):
        assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8")


def test_commands_name_files_that_exist():
    commands = re.findall(r"^python .+$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert commands
    for command in commands:
        for file in re.findall(r"\b(?:tests|benchmarks|src)/[\w/]+(?:\.py)?", command):
            assert (PAGE.parents[1] / file).exists(), f"{file} in: {command}"
