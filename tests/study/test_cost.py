"""What does it cost that a server can be traced, when it is not?

In instructions of the interpreter, counted one by one: a clock can't tell so few from none. The same
requests go to the server as it is and to the server that never asks for an observer
(`benchmarks.unobserved`); all that is executed from recv to send is counted, the loop and the standard
library included.

    python -m tests.study.test_cost        prints the figures of docs/look-up/trace-format.md

Not here: what it costs when it is on (`python -m benchmarks ablation --tried --tricks trace,unobserved`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import CodeType, FrameType
from typing import Any, TypeVar

import pytest

from benchmarks.unobserved import blind
from tests.support.server import turned
from tests.support.wire import keep

R = TypeVar("R")

#: By name: how many requests arrive at once, in which read of a connection, and what the questions may cost.
#: One `is None` and its jump, with the attribute that is loaded for it, takes the interpreter about five.
ARRIVALS = {"first": (1, 1, range(1, 30)), "alone": (1, 2, range(1)), "16 pipelined": (16, 2, range(1))}


def counted(call: Callable[[], R]) -> tuple[R, int]:
    """What `call` returns, and how many instructions of Python that took, those of all that it calls included.

    Since 3.12 they are counted by sys.monitoring. There `sys.settrace` is built upon it, and a function's opcode
    events begin only after a frame of it has asked for them: it sees none of a first call, and half of a second.
    """
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
        nonlocal count
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += event == "opcode"
        return trace

    def instruction(code: CodeType, offset: int) -> None:
        nonlocal count
        count += 1

    if sys.version_info < (3, 12):
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            return call(), count
        finally:
            sys.settrace(before)
    monitoring = sys.monitoring
    tool = next(number for number in range(6) if monitoring.get_tool(number) is None)
    monitoring.use_tool_id(tool, "tests.study.test_cost")
    monitoring.register_callback(tool, monitoring.events.INSTRUCTION, instruction)
    monitoring.set_events(tool, monitoring.events.INSTRUCTION)
    try:
        return call(), count
    finally:
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, None)
        monitoring.free_tool_id(tool)


def instructions(requests: int, read: int) -> int:
    """How many a server executes for such a read of so many requests, and their replies.

    From the second on the connection is at rest before, and the caches know its header. What a process does once is
    done before.
    """
    _serve(requests, read)
    return _serve(requests, read)


def _serve(requests: int, read: int) -> int:
    with turned() as it:
        peer = it.peer()
        loop = it.server.loop
        for _ in range(read):
            peer.send(keep("search", "ring") * requests)
            served, count = counted(partial(loop.run_once, 1))
            assert served == 1
            assert len({peer.reply().result for _ in range(requests)}) == 1
    return count


@pytest.mark.parametrize("name", ARRIVALS)
def test_off_it_costs_a_few_questions_or_none_for_a_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    requests, read, cost = ARRIVALS[name]
    as_it_is = instructions(requests, read)
    blind(monkeypatch.setattr)
    never_asked = instructions(requests, read)
    assert as_it_is - never_asked in cost, (as_it_is, never_asked)


def _print() -> None:
    figures = {name: [instructions(requests, read)] for name, (requests, read, _) in ARRIVALS.items()}
    blind(setattr)
    for name, (requests, read, _) in ARRIVALS.items():
        figures[name].append(instructions(requests, read))
    version = ".".join(map(str, sys.version_info[:2]))
    for name, (as_it_is, never_asked) in figures.items():
        print(f"{name}: {as_it_is:,} instructions of Python {version}, {as_it_is - never_asked} of them questions")


if __name__ == "__main__":
    _print()
