"""The tests that docs/guarantees.md names exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)


def defined(path):
    """The names of all functions of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_tests_are_named():
    assert len(NAMED) > 50


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_named_tests_exist(file):
    missing = {name for where, name in NAMED if where == file} - defined(ROOT / "tests" / file)
    assert not missing


def test_named_commands_exist():
    commands = set(re.findall(r"^\| `make ([\w-]+)", PAGE, re.MULTILINE))
    assert len(commands) > 8
    assert commands <= set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_every_guarantee_has_a_test():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "`make " not in line]
    assert all("::" in row for row in rows if not row.startswith(("| guarantee", "| command")))
