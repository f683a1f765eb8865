"""The planted bugs can be planted: `make plant` says who notices them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.planted.__main__ import ROOT, copy, plant
from tests.planted.bugs import BUGS
from tests.planted.bugs.bug import Bug


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name.replace(" ", "_") for bug in BUGS])
def test_every_bugs_text_is_where_it_is_said_to_be(bug: Bug, tmp_path: Path) -> None:
    package = copy(tmp_path) / "recoup"
    plant(bug, package)
    for edit in bug.edits:
        if edit.file.endswith(".py"):
            ast.parse((package / edit.file).read_text("utf-8"))
    for test in bug.tests:
        file, _, name = test.partition("[")[0].partition("::")
        assert (ROOT / file).is_file(), test
        names = functions(ROOT / file) | (inherited() if "::" in name else set())
        assert not name or name.rpartition("::")[2] in names, test


def inherited() -> set[str]:
    """The names of the tests that every provider's class has from the conformance suite."""
    return set().union(*map(functions, (ROOT / "tests" / "providers").glob("on_*.py")))


def functions(file: Path) -> set[str]:
    """The names of all that a file defines."""
    nodes = ast.walk(ast.parse(file.read_text("utf-8")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_no_two_bugs_have_one_name() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS)
