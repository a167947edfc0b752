"""How is a trace written by hand?

A `Scribe` writes what a recorder would have: the calls with their bytes, the parts in them, the
rows that a sound reader of the bytes takes. Its clock is moved by the test.

Not here: what a real server records (`tests/study/test_recorder.py`).
"""

from __future__ import annotations

import io
from typing import Any

from protocol.states import CURRENT, DELIVERY, LIFECYCLE, OVER, RECEIVE
from study.frame_parts import CONTENT, HEADER, PREFIX, Splitter
from study.trace import Trace, encode, head, load
from tests.support.wire import request

#: A line of each kind of step that is really there.
RECV, SEND, WALK = "eventloop/transport.py:1", "eventloop/transport.py:2", "protocol/connection.py:1"

INPUTS = {PREFIX: "PREFIX_READ", HEADER: "HEADER_READ", CONTENT: "CONTENT_READ"}


class Scribe:
    def __init__(self, vantage: str, wall_clock: float = 1000.0, **settings: Any) -> None:
        self.raw = bytearray(head(vantage, wall_clock, f"multiconn {vantage}", **settings))
        self.vantage = vantage
        self.now = 0.0
        self.step = 1
        self.split: dict[tuple[str, str], Splitter] = {}
        self.state: dict[tuple[str, str], str] = {}

    def note(self, group: str, name: str, **data: Any) -> None:
        self.now += 0.01
        self.raw += encode(self.now, name, group, {"step": self.step, **data})

    def turn(self, group: str, ready: str = "") -> None:
        self.step += 1
        if ready:
            self.note(group, "wake", ready=ready)

    def begin(self, group: str, local: str | None, peer: str | None) -> None:
        self.note(group, "connection", fd=7, local=local, peer=peer)
        self.state[group, "RECEIVE"] = "PROTOHEADER"
        self.state[group, "LIFECYCLE"] = "CONNECTING" if self.vantage == "client" else "OPEN"

    def deliver(self, group: str, topic: str, *inputs: str) -> None:
        """A subscription takes rows. It begins with its first."""
        for given in inputs:
            state = self.state.get((group, topic), CURRENT)
            row = DELIVERY.row(CURRENT if state == OVER else state, given)
            self.state[group, topic] = row.target
            fields = {"state": row.state, "input": row.input, "target": row.target, "reason": row.reason}
            self.note(group, "transition", machine="DELIVERY", source=WALK, topic=topic, **fields)

    def take(self, group: str, machine: str, given: str) -> None:
        row = {"RECEIVE": RECEIVE, "LIFECYCLE": LIFECYCLE}[machine].row(self.state[group, machine], given)
        self.state[group, machine] = row.target
        fields = {"state": row.state, "input": row.input, "target": row.target, "reason": row.reason}
        self.note(group, "transition", machine=machine, source=WALK, **fields)

    def moved(self, group: str, direction: str, data: bytes, *, keep: int = 4096, rows: bool = True) -> None:
        """A call that moved `data`, the parts in it, and on the way in the rows they mean."""
        split = self.split.setdefault((group, direction), Splitter())
        call, source = ("recv", RECV) if direction == "in" else ("send", SEND)
        fields = {"asked": 65536 if direction == "in" else len(data), "direction": direction, "offset": split.offset}
        self.note(group, "syscall", call=call, result=len(data), source=source, bytes=data[:keep].hex(), **fields)
        whole = split.feed(data)
        for part in whole:
            value = {"value": part.value} if part.value is not None else {}
            where = {"direction": direction, "part": part.kind, "message": part.message}
            self.note(group, "part", **where, offset=part.offset, length=part.length, **value)
        for part in whole if direction == "in" and rows else ():
            self.take(group, "RECEIVE", INPUTS[part.kind])

    def mask(self, group: str, before: str, after: str) -> None:
        self.note(group, "mask", before=before, after=after, source=WALK)

    def levels(self, group: str, **levels: Any) -> None:
        self.note(group, "levels", **{"buffered": 0, "queued": 0, "in_flight": 0, "timers": [], **levels})

    def failed(self, group: str, call: str, name: str, direction: str = "in") -> None:
        where = {"to": "127.0.0.1:9"} if call == "connect" else {"asked": 1, "direction": direction}
        self.note(group, "syscall", call=call, result=name, source=RECV, **where)

    def trace(self) -> Trace:
        return load(io.BytesIO(bytes(self.raw)))


def conversation(
    requests: int = 3, *, group: str = "1", cuts: int = 3, port: int = 5000, host: str = "127.0.0.1"
) -> tuple[Scribe, Scribe]:
    """A client and a server, both recorded: each request arrives in `cuts` pieces, the second is refused."""
    client, server = Scribe("client"), Scribe("server", 1000.001)
    converse(client, server, requests, group=group, cuts=cuts, port=port, host=host)
    return client, server


def converse(
    client: Scribe,
    server: Scribe,
    requests: int,
    *,
    group: str = "1",
    cuts: int = 3,
    port: int = 5000,
    host: str = "127.0.0.1",
) -> None:
    ours, theirs = f"{host}:{port}", "127.0.0.1:65432"
    client.begin(group, "0.0.0.0:0", None)
    client.note(group, "syscall", call="connect", result="EINPROGRESS", source=SEND, to=theirs)
    client.mask(group, "", "w")
    client.turn(group, "w")
    client.begin(group, ours, theirs)
    client.take(group, "LIFECYCLE", "CONNECTED")
    client.mask(group, "w", "r")
    server.now = client.now
    server.begin(group, theirs, ours)
    server.failed(group, "recv", "EAGAIN")
    server.mask(group, "", "r")
    for number in range(requests):
        wrong = number == 1
        data = request({"action": "nosuch" if wrong else "echo", "value": number})
        error = {"result": "Error", "error": {"code": "unknown-action", "message": "no such action"}}
        reply = request(error if wrong else {"result": number})
        client.turn(group)
        client.moved(group, "out", data)
        client.levels(group, in_flight=1, timers=["reply"])
        server.now = max(server.now, client.now)
        size = -(-len(data) // cuts)
        for begin in range(0, len(data), size):
            server.turn(group, "r")
            server.moved(group, "in", data[begin : begin + size])
            server.levels(group, buffered=min(begin + size, len(data)) % len(data), timers=["header"])
        server.moved(group, "out", reply)
        client.now = max(client.now, server.now)
        client.turn(group, "r")
        client.moved(group, "in", reply)
        client.levels(group)
    client.turn(group)
    client.take(group, "LIFECYCLE", "RELEASED")
    client.note(group, "syscall", call="close", result=0, source=SEND)
    client.note(group, "ended", reason="done")
    server.now = max(server.now, client.now)
    server.turn(group, "r")
    server.note(
        *(group, "syscall"), call="recv", result=0, source=RECV, asked=65536, direction="in",
        offset=server.split[group, "in"].offset, bytes="",
    )  # fmt: skip
    server.take(group, "RECEIVE", "EOF_READ")
    server.take(group, "LIFECYCLE", "PEER_EOF")
    server.take(group, "LIFECYCLE", "SETTLED_AFTER_EOF")
    server.note(group, "syscall", call="close", result=0, source=SEND)
    server.note(group, "ended", reason="peer-closed")
