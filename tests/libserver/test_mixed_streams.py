"""Every request of every client is answered once and in order, however the streams are cut and whatever else goes on.

Clients pipeline requests of all kinds: small and large, JSON and bytes, with handlers that take time on the loop or in
a thread, with errors, with padded headers. Their bytes come in random pieces; turns, time and a drain come in between.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from libserver import Actions
from protocol.states import Machine, Row
from tests.support.peer import PATIENCE, Peer
from tests.support.server import Turned, turned
from tests.support.wire import Reply, binary, json_message, message, take_reply

#: What is asked and what must come back: a result, an error's code, or bytes; and the id.
Asked = tuple[bytes, object, object]
KINDS = (
    ("small",) * 5
    + ("middle", "large", "bytes", "many bytes", "tick", "tick", "thread", "thread", "thread")
    + (
        "no JSON",
        "no encoding",
        "session",
        "padded",
    )
)


class Silent:
    def transition(self, subject: object, machine: Machine, row: Row) -> None: ...


def padded(request: bytes, size: int) -> bytes:
    """The same with so much white space in its header."""
    end = 2 + int.from_bytes(request[:2], "big")
    header = request[2 : end - 1] + b" " * size + b"}"
    return len(header).to_bytes(2, "big") + header + request[end:]


def one(chance: random.Random, number: int, sessions: int, **fields: Any) -> tuple[Asked, int]:
    """A request of some kind, and how many of its connection have asked for the session by then."""
    kind = chance.choice(KINDS)
    result: object = number
    ask: dict[str, Any] = {"action": "echo", "value": number}
    if kind in ("middle", "large"):
        result = ask["value"] = kind[0] * (
            chance.randint(900, 12_000) if kind == "middle" else chance.randint(20_000, 90_000)
        )
    elif kind == "tick":
        ask, result = {"action": "tick", "value": chance.choice([0.006, 0.03, 0.15])}, "tick"
    elif kind == "thread":
        ask = {"action": "thread", "value": number, "padding": "p" * chance.choice([0, 3000, 70_000])}
    elif kind == "session":
        sessions += 1
        ask, result = {"action": "session"}, sessions
    if kind in ("bytes", "many bytes"):
        content = b"q" * (chance.randint(0, 3000) if kind == "bytes" else chance.randint(60_000, 90_000))
        return (binary(content, **fields), content, fields.get("id")), sessions
    if kind == "no JSON":
        return (message(b"{nope", **fields), "bad-content", fields.get("id")), sessions
    if kind == "no encoding":
        return (message(b"{}", encoding="rot13", **fields), "unsupported-encoding", fields.get("id")), sessions
    request = json_message(ask, **fields)
    if kind == "padded":
        request = padded(request, chance.randint(0, 12_000))
    return (request, result, fields.get("id")), sessions


class Client:
    """One connection: what it has yet to send, and what it expects."""

    def __init__(self, peer: Peer, chance: random.Random) -> None:
        self.peer = peer
        self.chance = chance
        self.replies: list[Reply] = []
        self.asked: list[Asked] = []
        self.closes = chance.random() < 0.3
        count = chance.randint(1, 14)
        sessions = 0
        for number in range(count):
            fields: dict[str, Any] = {"connection": "keep-alive"} if not number or chance.random() < 0.3 else {}
            if self.closes and number == count - 1:
                fields = {"connection": "close"}
            if chance.random() < 0.3:
                fields["id"] = chance.choice([number, f"x{number}"])
            asked, sessions = one(chance, number, sessions, **fields)
            self.asked.append(asked)
        self.left = bytearray(b"".join(request for request, _, _ in self.asked))
        if self.closes:
            self.left += b"junk" * chance.choice([0, 1, 3000])
        self.sizes = chance.choice([(1, 3000), (1000, 200_000), (7, 9000)])

    def send(self) -> bool:
        try:
            sent = self.peer.sock.send(self.left[: self.chance.randint(*self.sizes)])
        except BlockingIOError:
            return False
        except ConnectionError:
            sent = len(self.left)  # it has sent its last request, and is sending on
        del self.left[:sent]
        return True

    def take(self) -> None:
        try:
            while self.peer.read():
                pass
        except ConnectionError:
            self.peer.ended = True
        while (reply := take_reply(self.peer.received)) is not None:
            self.replies.append(reply)

    @property
    def done(self) -> bool:
        return not self.left and len(self.replies) >= len(self.asked)

    def outcomes(self) -> list[tuple[object, object]]:
        return [(said(reply), reply.header.get("id")) for reply in self.replies]


def said(reply: Reply) -> object:
    if reply.header["content-type"] != "text/json":
        return bytes(reply.content)
    return reply.code or reply.result


def actions(home: Callable[[], Turned]) -> Actions:
    made = Actions()

    @made.add("tick")
    def tick(request: Any) -> str:
        home().clock.advance(request["value"])
        return "tick"

    @made.add("session")
    def session(request: Any, session: dict[str, Any]) -> int:
        session["count"] = session.get("count", 0) + 1
        return int(session["count"])

    made.add("thread", blocking=True)(lambda request: request["value"])
    return made


@pytest.mark.parametrize("drains", [False, True], ids=["", "drained"])
@pytest.mark.parametrize("seed", [*range(7), 58])  # 58: what waited in the batch was thrown away by a drain
def test_each_request_is_answered_once_and_in_order(seed: int, drains: bool) -> None:
    chance = random.Random(seed)
    limits = {
        **dict.fromkeys(("header_timeout", "content_timeout", "min_data_rate", "idle_timeout", "send_timeout"), 0),
        "handler_threads": chance.choice([1, 2]),
        "requests_per_event": chance.choice([1, 2, 5, 1024]),
        "write_high": chance.choice([2000, 20_000, 262_144]),
        "write_low": 1000,
        "drain_grace": 100_000.0,
        "drain_timeout": 0,
    }
    observer = Silent if chance.random() < 0.2 else None
    homes: list[Turned] = []
    with turned(actions(lambda: homes[0]), observer=observer, **limits) as home:
        homes.append(home)
        clients = [Client(home.peer(), chance) for _ in range(chance.randint(2, 6))]
        deadline = time.monotonic() + PATIENCE
        while not all(client.done for client in clients) and time.monotonic() < deadline:
            for client in chance.sample(clients, len(clients)):
                if client.left and chance.random() < 0.6:
                    client.send()
                if chance.random() < 0.5:
                    client.take()
            if drains and not any(client.left for client in clients):
                drains = False
                home.server.drain()
            if chance.random() < 0.7:
                home.turn()
            if chance.random() < 0.1:
                home.clock.advance(chance.choice([0.001, 0.05, 1.0]))
        for client in clients:
            client.take()
            assert client.outcomes() == [(result, id) for _, result, id in client.asked]
