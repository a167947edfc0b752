"""Would it be noticed if a server that can't start left something behind, or said it in many words?"""

from __future__ import annotations

import os
from typing import Any

import pytest

import libserver.listeners
from libserver import CannotListen
from suites.faults.kernel import Faults
from suites.faults.starting import start


def test_without_a_fault_it_serves_on_both_addresses() -> None:
    faults = Faults()
    start(faults)
    assert faults.counts["listen"] == 2
    assert faults.fired == 0


def test_with_one_it_says_so_and_leaves_nothing() -> None:
    faults = Faults("listen", "EADDRINUSE", 2)
    start(faults)
    assert faults.fired == 1


def test_an_error_that_is_no_refusal_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(*arguments: Any, **options: Any) -> Any:
        raise OSError(98, "in use")

    monkeypatch.setattr("suites.faults.starting.quick_server", careless)
    with pytest.raises(OSError, match="in use"):
        start(Faults("listen", "EADDRINUSE", 1))


def test_a_refusal_in_two_lines_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    said = libserver.listeners.CannotListen.__str__
    monkeypatch.setattr(CannotListen, "__str__", lambda self: f"{said(self)}\nand more")
    with pytest.raises(AssertionError):
        start(Faults("bind", "EACCES", 1))


def test_a_descriptor_that_is_left_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    init = CannotListen.__init__

    def leaking(self: CannotListen, *arguments: Any) -> None:
        left.append(os.dup(0))
        init(self, *arguments)

    monkeypatch.setattr(CannotListen, "__init__", leaking)
    try:
        with pytest.raises(AssertionError, match="a descriptor is left"):
            start(Faults("bind", "EACCES", 1))
    finally:
        for number in left:
            os.close(number)
