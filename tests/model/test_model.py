"""Does the server do what a small model says that it does, whatever its peers do?

`Model` is that model: given whole messages, an end, or time, it says which replies
are owed, in which order, whether the connection is still served, and why it ended. Hypothesis plays
peers that open, send whole messages, parts and heaps of them, stop in the middle, half-close,
reset, wait, and drain the server; after each step the real server must have done as the model says.
The server is real, on a real loop and real sockets; only its clock is moved by hand.

The examples are few and the same each time. For a longer, random run:

    MODEL_EXAMPLES=5000 python3 -m pytest --timeout 0 tests/model

Not here: time-outs of the sending side, water marks, blocking handlers (tests/libserver).
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install multiconn[test]")

from hypothesis import HealthCheck, Phase, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test  # noqa: E402

from libserver import Message  # noqa: E402
from tests.support.peer import Peer  # noqa: E402
from tests.support.server import Turned, turned  # noqa: E402
from tests.support.wire import (  # noqa: E402
    binary,
    framed,
    in_frames,
    json_message,
    take_reply,
)

#: Seconds after which what the model says has not come.
PATIENCE = 1.0

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "0"))

HEADER, CONTENT, IDLE = 10.0, 60.0, 300.0  # the server's timeouts
#: An idle connection is closed between these: the sweep comes by now and then.
IDLE_BETWEEN = (IDLE, IDLE * 1.08)


@dataclass(frozen=True)
class Sent:
    """A message on its way to the server; `answer` is what it deserves: a result, or an error's code."""

    data: bytes
    header_size: int
    answer: Any
    connection: str | None = None
    id: Any = None
    fatal: bool = False

    @property
    def decided(self) -> int:
        """After so many bytes its answer is known: what can't become a header is not waited for."""
        return 3 if self.data[2:3] not in (b"", b"{") else len(self.data)


class Model:
    """One connection, as wire.md has it."""

    def __init__(self, now: float) -> None:
        self.serving = True  # else: nothing is served any more, FIN has come or will
        self.persistent = False
        self.reason: str | None = None
        self.replies: list[tuple[Any, Any]] = []  # what was answered, and the id
        self.stream: list[Sent] = []  # messages not wholly arrived
        self.arrived = 0  # bytes of the first of them
        self.confirmed = 0
        self.draining = False
        self.began = self.last = now

    def end(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.serving = False

    def receive(self, count: int, now: float) -> None:
        self.last = now
        if not self.arrived and self.replies:
            self.began = now  # the first message's time runs from accept
        self.arrived += count
        while self.serving and self.stream and self.arrived >= self.stream[0].decided:
            sent = self.stream.pop(0)
            self.arrived -= len(sent.data)
            self.began = now
            self.serve(sent)

    def serve(self, sent: Sent) -> None:
        if sent.answer == "confirm":
            self.confirmed += 1
        self.replies.append((self.confirmed if sent.answer == "confirm" else sent.answer, sent.id))
        self.persistent = (self.persistent or sent.connection == "keep-alive") and sent.connection != "close"
        if sent.fatal:
            self.end("bad-framing")
        elif self.draining or not self.persistent:
            self.end("served")

    def finish(self) -> None:
        if self.serving:
            self.end("truncated" if self.arrived else "peer-closed" if self.replies else "silent")

    def reset(self) -> None:
        if self.serving:
            self.reason = None  # a good end that was not reached
            self.end("reset" if self.replies or self.arrived else "silent")

    def drain(self) -> None:
        if self.serving:
            self.reason, self.draining, self.serving = "shutdown", True, bool(self.arrived)

    def wait(self, now: float) -> None:
        if not self.serving:
            return
        in_content = self.arrived and self.arrived >= self.stream[0].header_size
        if in_content and now - self.last >= CONTENT:
            self.time_out("content-timeout")
        elif not in_content and (self.arrived or not self.replies) and now - self.began >= HEADER:
            self.time_out("header-timeout")
        elif self.resting and now - self.last >= IDLE:
            self.end("idle-timeout")

    def time_out(self, reason: str) -> None:
        if self.arrived:  # else: FIN alone
            self.replies.append(("timeout", self.stream[0].id if reason == "content-timeout" else None))
        self.end(reason)

    @property
    def resting(self) -> bool:
        return self.serving and not self.arrived and bool(self.replies)


# --- messages ------------------------------------------------------------------------------------


def _sent(data: bytes, answer: Any, **more: Any) -> Sent:
    return Sent(data, 2 + int.from_bytes(data[:2], "big"), answer, **more)


def _fields(connection: str | None, id: Any) -> dict[str, Any]:
    return {name: value for name, value in (("connection", connection), ("id", id)) if value is not None}


def _json(kind: str, value: Any, connection: str | None, id: Any) -> Sent:
    answers = {"echo": value, "confirm": "confirm", "search": f"No match for '{value}'.", "nothing": "unknown-action"}
    request = {"action": kind, "value": value}
    return _sent(json_message(request, **_fields(connection, id)), answers[kind], connection=connection, id=id)


def _bytes(content: bytes, kind: str, connection: str | None, id: Any) -> Sent:
    answer = content if kind == "binary/echo" else b"First 10 bytes of request: " + content[:10]
    return _sent(binary(content, kind, **_fields(connection, id)), answer, connection=connection, id=id)


def _rejected(how: tuple[Any, str, str], connection: str | None, id: Any) -> Sent:
    value, encoding, code = how
    whole = json_message(value, **_fields(connection, id))
    if code != "bad-request":
        content = b"{"
        header = {"byteorder": "little", "content-type": "text/json", "content-encoding": encoding}
        whole = framed({**header, "content-length": 1, **_fields(connection, id)}, content)
    return _sent(whole, code, connection=connection, id=id)


connections = st.sampled_from(["keep-alive"] * 6 + ["close", None])
ids = st.none() | st.integers(0, 9) | st.sampled_from(["a", "\N{DOG FACE}"])
messages = st.one_of(
    st.builds(_json, st.sampled_from(["echo", "confirm", "search", "nothing"]), st.integers(0, 99), connections, ids),
    st.builds(_bytes, st.binary(max_size=30), st.sampled_from(["binary/echo", "x/y"]), connections, ids),
    st.builds(
        _rejected,
        st.sampled_from([([], "", "bad-request"), (0, "utf-8", "bad-content"), (0, "rot13", "unsupported-encoding")]),
        connections,
        ids,
    ),
    st.sampled_from([b"[1]", b"", b"{}"]).map(lambda header: _sent(framed(header), "bad-header", fatal=True)),
)


# --- both side by side ------------------------------------------------------------------------------


class Both:
    """A peer of the real server, and what the model says of its connection."""

    def __init__(self, peer: Peer, now: float) -> None:
        self.peer = peer
        self.model = Model(now)
        self.unsent = bytearray()
        self.closed = False  # by us: nothing more can be seen
        self.finished = False
        self.got: list[tuple[Any, Any]] = []

    def send(self, count: int, now: float) -> None:
        data = bytes(self.unsent[:count])
        del self.unsent[:count]
        if self.closed or self.finished or not data:
            return
        serving = self.model.serving
        self.model.receive(len(data), now)
        try:
            self.peer.send(data)
        except ConnectionError:
            assert not serving, "it was still to be served"

    def leave(self) -> None:
        """Half-close."""
        if not (self.closed or self.finished):
            self.finished = True
            with contextlib.suppress(OSError):  # it may have been reset after its end
                self.peer.finish()
            self.model.finish()

    @property
    def agree(self) -> bool:
        return self.got == self.model.replies and self.peer.ended == (not self.model.serving)

    def read(self) -> None:
        with contextlib.suppress(ConnectionError):
            while self.peer.read():
                pass
        while (reply := take_reply(self.peer.received)) is not None:
            text = reply.header["content-type"] == "text/json"
            answer = reply.content if not text else reply.code or reply.body.get("count", reply.result)
            self.got.append((answer, reply.header.get("id")))


class Machine(RuleBasedStateMachine):
    """Peers of one server."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        options: dict[str, Any] = {"header_timeout": HEADER, "content_timeout": CONTENT, "idle_timeout": IDLE}
        options |= {"drain_timeout": 0, "min_data_rate": 0}
        self.home: Turned = self.stack.enter_context(turned(**options))
        self.read = 0  # bytes that the server has read while it served
        received = Message.data_received

        def count(message: Message, data: bytes) -> None:
            self.read += len(data)
            received(message, data)

        self.stack.enter_context(mock.patch.object(Message, "data_received", count))
        self.all: list[Both] = []
        self.drained = False

    @property
    def now(self) -> float:
        return self.home.clock.now

    def deliver(self, both: Both, count: int) -> None:
        """Send, and let it arrive: on a busy machine even the loopback takes a moment."""
        due = self.read + min(count, len(both.unsent)) * (both.model.serving and not both.finished)
        both.send(count, self.now)
        self.home.until(lambda: self.read >= due, "what was sent")

    @property
    def speaking(self) -> list[Both]:
        """Who may still send. A rule that needs one has it as its precondition: steps that do nothing test nothing."""
        return [both for both in self.all if not (both.closed or both.finished)]

    def pick(self, which: int) -> Both:
        return self.speaking[which % len(self.speaking)]

    @precondition(lambda self: not self.drained and len(self.all) < 5)
    @rule()
    def open(self) -> None:
        self.all.append(Both(self.home.peer(), self.now))

    @precondition(lambda self: self.speaking)
    @rule(which=st.integers(0, 4), sent=st.lists(messages, min_size=1, max_size=4), keep_back=st.integers(0, 60))
    def send(self, which: int, sent: list[Sent], keep_back: int) -> None:
        """Some messages, the last of them perhaps not whole."""
        both = self.pick(which)
        both.model.stream += sent
        both.unsent += b"".join(message.data for message in sent)
        self.deliver(both, max(0, len(both.unsent) - keep_back))

    @precondition(lambda self: any(both.unsent for both in self.speaking))
    @rule(which=st.integers(0, 4), count=st.integers(1, 40))
    def send_on(self, which: int, count: int) -> None:
        waiting = [both for both in self.speaking if both.unsent]
        self.deliver(waiting[which % len(waiting)], count)

    @precondition(lambda self: self.speaking)
    @rule(which=st.integers(0, 4))
    def half_close(self, which: int) -> None:
        self.pick(which).leave()

    @precondition(lambda self: self.speaking)
    @rule(which=st.integers(0, 4))
    def reset(self, which: int) -> None:
        both = self.pick(which)
        both.closed = True
        ended = sum(self.home.reasons.values())
        both.peer.reset()
        if both.model.serving:
            self.home.until(lambda: sum(self.home.reasons.values()) > ended)
        both.model.reset()

    @precondition(lambda self: self.all)
    @rule(seconds=st.sampled_from([1.3, 8.9, 11.7, 61.1, 400.0]))
    def wait(self, seconds: float) -> None:
        after = self.now + seconds
        if any(both.model.resting and IDLE <= after - both.model.last <= IDLE_BETWEEN[1] for both in self.all):
            return  # neither open nor closed would be wrong
        self.home.advance(seconds)
        for both in self.all:
            both.model.wait(self.now)

    @precondition(lambda self: not self.drained and len(self.all) > 2)
    @rule()
    def drain(self) -> None:
        self.drained = True
        self.home.server.drain()
        for both in self.all:
            both.model.drain()

    @invariant()
    def the_server_did_as_the_model_says(self) -> None:
        self.home.quiet()
        for both in self.all:
            if not both.closed:
                deadline = time.monotonic() + PATIENCE
                both.read()
                while not both.agree and time.monotonic() < deadline:
                    self.home.turn()
                    both.read()
                assert both.got == both.model.replies, (both.got, both.model.replies)
                assert both.peer.ended == (not both.model.serving), both.model.reason

    def teardown(self) -> None:
        """Whoever is left finishes; then every connection has ended, for the reason the model says."""
        with self.stack:
            for both in self.all:
                both.leave()
            self.home.advance(6.0)  # nobody lingers longer
            assert Counter(self.home.reasons) == Counter(both.model.reason for both in self.all)


def profile(examples: int, steps: int, **more: Any) -> settings:
    return settings(
        max_examples=EXAMPLES or examples,
        stateful_step_count=steps,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )


def test_the_server_does_as_the_model_says() -> None:
    run_state_machine_as_test(Machine, settings=profile(30, 15))


# --- does it detect? --------------------------------------------------------------------------------


def caught_by_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PATIENCE", 0.05)
    only_find = profile(200, 20, phases=[Phase.generate], print_blob=False, report_multiple_bugs=False)
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(Machine, settings=only_find)


def test_it_notices_a_last_cause_that_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    def because(self: Message, reason: Any) -> None:
        self.server.ending[self] = reason

    monkeypatch.setattr(Message, "_because", because)
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
