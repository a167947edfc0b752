"""How is the real server put into a made-up world, and how does the world hear of it?

Nothing of it is changed: it is given another system (listeners, descriptors, threads), actions that do what the
crowd asks for, and a subclass that tells of each end.

Not here: what it is told to do (`world`), what it must answer (`oracle`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from eventloop import Address
from eventloop.quiesce import HANDSHAKE
from libserver import Actions, Server
from libserver.limits import ServerLimits
from libserver.listeners import Bound
from libserver.reasons import CloseReason
from libserver.system import System
from protocol import Limits
from protocol.states import Machine, Observer, Row, Subject

from .oracle import AS_ASKED, BIG
from .plan import Plan
from .pool import SimPool
from .programs import Serving
from .report import Report
from .sockets import SimSocket
from .trace import Trace

__all__ = ["Log", "Watcher", "open_server"]

#: The longest that the action `stall` holds up the loop, in milliseconds.
LONGEST_STALL = 5000


class WatchedServer(Server):
    """The server, telling the world of each end. Nothing it does is changed."""

    def __init__(self, *args: Any, ended: Callable[[Any, CloseReason], None], **options: Any) -> None:
        self._ended = ended
        super().__init__(*args, **options)

    def forget(self, accepted: Any, reason: CloseReason) -> None:
        super().forget(accepted, reason)
        self._ended(accepted, reason)


class Watcher:
    """`protocol.states.Observer`: counts the rows that are taken."""

    def __init__(self, report: Report, trace: Trace, name: str) -> None:
        self._report = report
        self._trace = trace
        self._name = name

    def transition(self, subject: Subject, machine: Machine, row: Row) -> None:
        self._report.rows[machine.name, row.state, row.input] += 1
        self._trace.note(self._name, machine.name, row.state, row.input, row.target)


class Log(logging.Handler):
    """What the server warned of since somebody looked."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def open_server(
    plan: Plan,
    program: Serving,
    *,
    observer: Callable[[], Observer | None],
    ended: Callable[[Any, CloseReason], None],
    stall: Callable[[float], None],
) -> WatchedServer:
    """On the loop of `program`, as the plan says. `stall(seconds)` is what the action of that name does."""
    kernel, process = program.kernel, program.process

    def listen(address: Address, limits: ServerLimits) -> list[Bound]:
        sock = kernel.socket(process)
        sock.bind((address.host, address.port))
        sock.listen(limits.backlog)
        return [Bound(sock, address._replace(port=sock.getsockname()[1]))]

    def refuse_new(sock: SimSocket) -> float:
        sock.deaf = plan.refuses_new
        return HANDSHAKE if sock.deaf else 0.0

    system = System(
        listen=listen,
        raise_descriptor_limit=lambda: 100_000,  # it shall meet EMFILE
        open_reserve=lambda: process.open("reserve"),
        close_reserve=process.release,
        pool=lambda threads, hand_back: SimPool(threads, hand_back, kernel.schedule, kernel.faults),
        refuse_new=refuse_new,
    )
    return WatchedServer(
        ["tcp://127.0.0.1:0", "echo://127.0.0.1:0"],
        _actions(stall),
        Limits(max_header=plan.max_header, max_content=plan.max_content, max_json=plan.max_json),
        program.loop,
        observer=observer,
        system=system,
        ended=ended,
        **plan.limits,
    )


def _actions(hold_up: Callable[[float], None]) -> Actions:
    actions = Actions()

    def value(request: dict[str, Any]) -> object:
        return request.get("value")

    def stall(request: dict[str, Any]) -> object:
        hold_up(min(LONGEST_STALL, request["value"]) / 1000)
        return request["value"]

    def boom(request: dict[str, Any]) -> object:
        raise RuntimeError(AS_ASKED)

    actions.add("slow", blocking=True)(value)
    actions.add("stall")(stall)
    actions.add("boom")(boom)
    actions.add("big")(lambda request: "x" * min(BIG, request["value"]))
    actions.add_binary("binary/slow", blocking=True)(lambda content: content)
    return actions
