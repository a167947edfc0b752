"""What would the server be without observers?

`blind(patch)` compiles each function that asks whether a connection has an observer anew, without the
question. What is left out is found in the syntax tree: a comparison or an operand that reads
`.observer`, and an `if` that asks for nothing else, with all that is under it.

Rules:

* The function stays the same object and gets other code, so every module that imported it has the new code.
* A function of `ASKS` in which there is nothing to leave out is an error: the list must be true.

Not here: measuring what that brings (`benchmarks.ablation`, tests/study/test_cost.py).
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, cast

import protocol.connection
import protocol.states

__all__ = ["ASKS", "blind", "questions", "without_question"]

#: Every function that asks while the server serves, or goes from state to state.
ASKS: tuple[FunctionType, ...] = tuple(
    cast(FunctionType, function)
    for function in (
        protocol.states.advance,
        protocol.states.advance_through,
        cast(property, inspect.getattr_static(protocol.connection.Connection, "clear")).fget,
    )
)


class _Forget(ast.NodeTransformer):
    """Leaves the question out."""

    def __init__(self) -> None:
        self.left_out = 0

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if _asks(node.test):
            self.left_out += 1
            return None
        return self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        kept = [value for value in node.values if not _asks(value)]
        self.left_out += len(node.values) - len(kept)
        node.values = kept
        return node if len(kept) > 1 else kept[0]


def _asks(node: ast.expr) -> bool:
    """Is it the question itself?"""
    if isinstance(node, ast.Compare):
        node = node.left
    return isinstance(node, ast.Attribute) and node.attr == "observer"


def questions(tree: ast.AST) -> int:
    """How often it asks; they are left out of `tree`."""
    forget = _Forget()
    forget.visit(tree)
    return forget.left_out


def without_question(function: FunctionType) -> CodeType:
    """Its code without asking for an observer. Raises `ValueError` if it asks for none."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    if not questions(tree):
        raise ValueError(f"{function.__qualname__} asks for no observer")
    (definition,) = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    definition.decorator_list.clear()
    ast.increment_lineno(tree, function.__code__.co_firstlineno - 1)
    names: dict[str, Any] = {}
    exec(compile(tree, function.__code__.co_filename, "exec"), dict(function.__globals__), names)
    return cast(FunctionType, names[function.__name__]).__code__


def blind(patch: Callable[[Any, str, Any], None]) -> None:
    """Take out each question for an observer, wherever a server asks."""
    for function in ASKS:
        patch(function, "__code__", without_question(function))
