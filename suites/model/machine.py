"""Does the server do what the model says that it does, whatever its peers do?

Hypothesis plays peers that open, send whole messages, parts and heaps of them, stop in the middle,
half-close, reset, wait, and drain the server; after each step the real server must have done as the
model says. The server is real, on a real loop and real sockets; only its clock is moved by hand.

Not here: what the model says (`model`), which messages there are (`messages`).
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from libserver import Message
from tests.support.peer import Peer
from tests.support.server import Turned, turned
from tests.support.wire import take_reply

from .messages import messages
from .model import CONTENT, HEADER, IDLE, Model, Sent

__all__ = ["Machine", "play", "profile"]

#: Real seconds after which what the model says has not come.
PATIENCE = 1.0

#: An idle connection is closed between these: the sweep comes by now and then.
IDLE_BETWEEN = (IDLE, IDLE * 1.08)


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
    """So many examples of at most so many steps."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )


def play(machine: type[Machine], how: settings) -> None:
    """Play it; raises what the server did otherwise, with the steps that led there as its notes."""
    run_state_machine_as_test(machine, settings=how)
