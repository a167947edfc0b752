"""Does the server do what the model says, and would it be noticed if it did not?

The examples are few and the same each time. `python -m suites.model` plays any number of others.
"""

from __future__ import annotations

from typing import Any

import pytest

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install multiconn[test]")

from hypothesis import Phase  # noqa: E402

from libserver import Message  # noqa: E402
from libserver.ending import Ending  # noqa: E402
from suites.model import machine  # noqa: E402
from suites.model.machine import Machine, play, profile  # noqa: E402
from tests.support.wire import in_frames  # noqa: E402


def test_the_server_does_as_the_model_says() -> None:
    play(Machine, profile(30, 15, derandomize=True))


# --- does it detect? --------------------------------------------------------------------------------


def caught_by_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PATIENCE", 0.05)
    only_find = profile(
        200, 20, derandomize=True, phases=[Phase.generate], print_blob=False, report_multiple_bugs=False
    )
    with pytest.raises((AssertionError, ExceptionGroup)):
        play(Machine, only_find)


def test_it_notices_a_last_cause_that_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    def because(self: Ending[Any], message: Message, reason: Any) -> None:
        self.reasons[message] = reason

    monkeypatch.setattr(Ending, "set_reason", because)
    caught_by_the_model(monkeypatch)


def test_it_notices_a_timer_that_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Message, "input_overdue", lambda self, reason: None)
    caught_by_the_model(monkeypatch)


def test_it_notices_replies_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    write = Message.write

    def swapped(self: Message, replies: list[Any], size: int | None = None, last: bool = False) -> None:
        whole = [head + content for head, content in in_frames(b"".join(replies))]
        write(self, whole[1:2] + whole[:1] + whole[2:], size, last)

    monkeypatch.setattr(Message, "write", swapped)
    caught_by_the_model(monkeypatch)
