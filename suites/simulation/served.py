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
from libserver import ActionError, Actions, Server, Session, Topics
from libserver.limits import ServerLimits
from libserver.listeners import Bound
from libserver.reasons import CloseReason
from libserver.system import System
from libserver.topics import Receipt
from protocol import Limits
from protocol.states import Machine, Observer, Row, Subject

from .chronicle import Chronicle
from .listening import SECRET
from .oracle import AS_ASKED, BIG
from .plan import Plan
from .pool import SimPool
from .programs import Serving
from .report import Report
from .sockets import SimSocket
from .trace import Trace
from .tracks import Place

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


class WatchedTopics(Topics):
    """The topics, telling the chronicle of each message and each subscription. Nothing they do is changed."""

    def __init__(self, chronicle: Chronicle) -> None:
        super().__init__(lambda session, verb, topic: not topic.startswith(SECRET), chronicle.new_epoch)
        self._chronicle = chronicle

    def _publish(self, name: str, content: bytes, sender: str | None) -> Receipt | None:
        receipt = super()._publish(name, content, sender)
        assert receipt is not None  # there is no backplane
        self._chronicle.publish(name, Place(self._topics[name].epoch, receipt.seq), content, sender)
        return receipt

    def subscribe(self, listener: Any, name: str, *args: Any, **options: Any) -> dict[str, Any]:
        told = super().subscribe(listener, name, *args, **options)
        if told["epoch"] is not None:
            self._chronicle.begun(name, told["epoch"])
        listener.transport.sock.tap.listening.subscribed(name, self._chronicle.moment(self._topics))
        return told


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
    chronicle: Chronicle | None = None,
) -> WatchedServer:
    """On the loop of `program`, as the plan says. `stall(seconds)` is what the action of that name does.

    With a `chronicle` the server has topics.
    """
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
        pool=lambda threads, hand_back: SimPool(
            threads, hand_back, kernel.schedule, kernel.faults, program.luck if plan.topics else None
        ),
        refuse_new=refuse_new,
    )
    return WatchedServer(
        ["tcp://127.0.0.1:0", "echo://127.0.0.1:0"],
        _actions(stall, WatchedTopics(chronicle) if chronicle is not None else None),
        Limits(max_header=plan.max_header, max_content=plan.max_content, max_json=plan.max_json),
        program.loop,
        observer=observer,
        system=system,
        ended=ended,
        **plan.limits,
    )


def _actions(hold_up: Callable[[float], None], topics: Topics | None) -> Actions:
    actions = Actions(topics=topics)

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
    if topics is not None:
        _add_actions_with_topics(actions, topics)
    return actions


def _add_actions_with_topics(actions: Actions, topics: Topics) -> None:
    def say(request: dict[str, Any]) -> object:
        for value in request["values"]:
            topics.publish(request["topic"], value)
        if request.get("fails"):
            raise RuntimeError(AS_ASKED)
        return len(request["values"])

    def join(request: dict[str, Any], session: Session) -> object:
        before, after = request["values"]
        session.name = session.name or "joined"
        topics.publish(request["to"], before, session.name)
        fields = {name: request[name] for name in ("slow", "key", "limit") if name in request}
        told = session.subscribe(request["topic"], **fields)
        try:
            topics.publish(request["to"], after, session.name)
        except ActionError:
            pass  # one topic too many; it has subscribed all the same
        return told

    actions.add("say")(say)
    actions.add("join")(join)
    actions.add("later", blocking=True)(say)
