"""Is every place known that asks for an observer, and is the question left out?"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks import unobserved
from benchmarks.processes import ROOT
from libserver.message import Message


def test_a_function_that_asks_for_no_observer_is_refused() -> None:
    with pytest.raises(ValueError, match="_rest asks for no observer"):
        unobserved.without_question(Message._rest)  # type: ignore[arg-type]


def test_every_place_that_asks_for_an_observer_is_known() -> None:
    asking = [
        (path.name, node.name)
        for package in ("protocol", "eventloop", "libserver")
        for path in (ROOT / package).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and unobserved.questions(node)
    ]
    known = [(Path(function.__code__.co_filename).name, function.__name__) for function in unobserved.ASKS]
    assert sorted(asking) == sorted(known)
