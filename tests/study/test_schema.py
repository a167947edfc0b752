"""An event is used if it is as docs/look-up/trace-format.md says; what is wrong is said with the event that has it."""

from __future__ import annotations

from typing import Any

import pytest

from study.schema import check, is_count
from study.trace import ENDED, LEVELS, PART, SYSCALL, TRANSITION, WAKE, BadTrace, Event
from tests.study.recording import CONVERSATION, recorded

RECV: dict[str, Any] = {
    "step": 1,
    "call": "recv",
    "result": 3,
    "direction": "in",
    "asked": 9,
    "offset": 0,
    "bytes": "00ff7b",
}


def test_what_the_server_records_is_as_the_format_says() -> None:
    check(recorded(CONVERSATION).events)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (SYSCALL, RECV),
        (SYSCALL, RECV | {"result": "EAGAIN", "offset": 5}),
        (SYSCALL, RECV | {"later": object()}),  # a field that a later version may bring
        ("noise", {"step": 1}),
        (ENDED, {"step": 1, "reason": None}),
        (LEVELS, {"step": 1, "timers": ["header"], "queued": 0}),
    ],
)
def test_what_is_not_known_is_nobody_s_business(name: str, data: dict[str, Any]) -> None:
    check([Event(1.0, name, "1", data)])


@pytest.mark.parametrize(
    ("name", "data", "wrong"),
    [
        (SYSCALL, {field: value for field, value in RECV.items() if field != "bytes"}, "bytes"),
        (SYSCALL, RECV | {"bytes": "0"}, "bytes"),
        (SYSCALL, RECV | {"bytes": "00FF7B"}, "bytes"),
        (SYSCALL, RECV | {"result": -1}, "result"),
        (SYSCALL, RECV | {"offset": True}, "offset"),
        (SYSCALL, RECV | {"direction": "up"}, "direction"),
        (SYSCALL, {"step": 1, "call": "connect", "result": 0}, "to"),
        (SYSCALL, RECV | {"step": -1}, "step"),
        (WAKE, {"step": 1, "ready": "wr"}, "ready"),
        (WAKE, {"step": 1}, "ready"),
        (PART, {"step": 1, "direction": "in", "part": "lost", "message": 0, "offset": 0, "length": 1}, "part"),
        (TRANSITION, {"step": 1, "machine": "RECEIVE"}, "state"),
        (LEVELS, {"step": 1, "timers": [1]}, "timers"),
        (LEVELS, {"step": 1, "subscriptions": "one"}, "subscriptions"),
        (LEVELS, {"step": 1, "undelivered": -1}, "undelivered"),
        (
            TRANSITION,
            dict.fromkeys(("machine", "state", "input", "target", "reason", "source"), "") | {"step": 1, "topic": 7},
            "topic",
        ),
        (ENDED, {"step": 1, "reason": 7}, "reason"),
    ],
)
def test_what_is_wrong_is_named(name: str, data: dict[str, Any], wrong: str) -> None:
    good = Event(1.0, SYSCALL, "1", RECV)
    with pytest.raises(BadTrace, match=rf"^the event {name} of connection 7 at 2.5 ms has no usable {wrong}$"):
        check([good, Event(2.5, name, "7", data), good])


@pytest.mark.parametrize("time", [float("nan"), float("inf"), -1e12, 1e12])
def test_a_time_decades_away_is_none(time: float) -> None:
    with pytest.raises(BadTrace, match="no usable time"):
        check([Event(time, SYSCALL, "1", RECV)])


def test_a_count_is_what_javascript_can_count_to_as_well() -> None:
    assert all(map(is_count, (0, 1, (1 << 53) - 1)))
    assert not any(map(is_count, (-1, 1 << 53, True, False, 1.0, "1", None)))
