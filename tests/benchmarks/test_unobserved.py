"""Is every place known that asks for an observer, and is the question left out?"""

from __future__ import annotations

import ast
from pathlib import Path
from types import FunctionType, SimpleNamespace

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


def test_the_question_is_left_out_with_all_that_hangs_on_it() -> None:
    code = unobserved.without_question(asking)
    assert "observer" not in code.co_names
    assert "told" not in code.co_consts
    here = SimpleNamespace(observer=None, owed=False)
    blind = FunctionType(code, globals())
    assert [blind(here), asking(here)] == ["clear", "clear"]
    here.observer = object()
    assert [blind(here), asking(here)] == ["clear", "told"]
    here.owed = True
    assert blind(here) == "owed"


def asking(here: SimpleNamespace) -> str:
    if here.observer is not None:
        return "told"
    if here.observer is None and not here.owed:
        return "clear"
    return "owed"
