"""Servers for tests, each of them twice: answered in batches, and walked under an observer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from protocol.states import Machine, Row, Subject
from tests.support.server import Turned, turned


class Rows:
    """An observer for every connection: which rows were taken, in which order."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, str]] = []

    def transition(self, subject: Subject, machine: Machine, row: Row) -> None:
        assert subject.state == row.target
        self.taken.append((machine.name, row.state, row.input))

    def of(self, machine: Machine) -> set[tuple[str, str]]:
        return {(state, given) for name, state, given in self.taken if name == machine.name}


OpenHouse = Callable[..., Turned]


@pytest.fixture(params=["batch", "walk"])
def house(request: pytest.FixtureRequest) -> Iterator[OpenHouse]:
    """`house(actions, **limits)` opens a server to be turned by hand.

    With an observer requests are served one at a time; what a peer sees must not differ.
    """
    observer: dict[str, Any] = {}
    if request.param == "walk":
        rows = Rows()
        observer = {"observer": lambda: rows}
    with ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(turned(*args, **observer, **kwargs))
