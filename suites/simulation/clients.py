"""Do the clients of the library keep their word, whatever becomes of their connections?

The real `libclient`, three ways: a `Pool` of connections, single `Message`s with an owner that does
what it likes from inside its callbacks, and the blocking `Client`, which runs in a thread of its own and
hands over to the world whenever it would wait.

What each of them promises is checked here: every call done once, with the answer that its request asks
for or an error with a name; every message ended once and silent ever after.

Not here: raw peers (`peers`), the server's side (`oracle`).
"""

from __future__ import annotations

from random import Random
from typing import Any, Protocol

from eventloop import Address, Endpoint
from libclient.call import Backoff, Call
from libclient.client import Client
from libclient.errors import ConnectionFailed, ErrorReply
from libclient.message import Message
from libclient.outgoing import Outgoing, action_request
from libclient.owner import Ending, Shared
from libclient.pool import Pool
from libclient.reasons import EndReason
from protocol import Header, ProtocolError
from protocol.states import Observer

from .kernel import Kernel
from .programs import Blocking, Turning

__all__ = ["KINDS", "BlockingClient", "MessageClient", "PoolClient", "Surroundings"]

NAME = "callers-hear-once-and-rightly"

#: Codes that any request may be answered with, whatever it asks.
ANY_TIME = {"overloaded", "shutting-down", "timeout", "deadline-exceeded"}


class Surroundings(Protocol):
    """What a client asks of the world that it lives in."""

    kernel: Kernel
    seed: int
    length: float  #: seconds in which the crowd comes
    server_address: Address
    closing_down: bool  #: the server has returned
    hurried: bool  #: the world ends before its end

    def observer_for(self, name: str) -> Observer | None:
        """An observer for one more connection of the client of this name, or none."""

    def violated(self, name: str, words: str) -> None:
        """An invariant does not hold."""


def resolve(address: Address) -> list[Endpoint]:
    return [Endpoint(2, (address.host, address.port))]  # AF_INET


def any_request(random: Random, number: int) -> tuple[Outgoing, Any]:
    """A request and its right answer: the value of `result`, or bytes."""
    value = f"client-{number}"
    kind = random.randrange(6)
    if kind == 0:
        return Outgoing("binary/echo", value.encode()), value.encode()
    if kind == 1:
        return action_request("slow", value), value
    if kind == 2:
        return action_request("big", 700), "x" * 700
    if kind == 3:
        return action_request("echo", value, id=number, deadline_ms=random.choice((1, 60_000))), value
    return action_request("echo", value), value


def complaint(value: object, right: object) -> str | None:
    """What is wrong with a reply's decoded value."""
    if isinstance(value, (bytes, bytearray)):
        return None if value == right else f"{value[:40]!r} where {right!r} is right"
    if not isinstance(value, dict):
        return f"{value!r} is no reply"
    if "error" in value:
        code = value["error"]["code"]
        return None if code in ANY_TIME else f"the error {code}"
    return None if value.get("result") == right else f"{str(value)[:60]} where {str(right)[:40]} is right"


class PoolClient(Turning):
    """Batches of calls, now and then, over a pool."""

    def __init__(self, world: Surroundings, name: str, random: Random) -> None:
        super().__init__(world.kernel, name, world.seed)
        self.world = world
        self.random = random
        self.shared = Shared(
            self.loop,
            timeout=random.choice((0.5, 10.0)),
            connect_timeout=random.choice((0.5, 5.0)),
            open_socket=self.open_socket,
            observer=lambda: world.observer_for(name),
        )
        self.pool = Pool(
            self.shared,
            world.server_address,
            self._done,
            connections=random.choice((1, 2, 6)),
            depth=random.choice((1, 4, 64)),
            retry_for=random.choice((0.0, 5.0)),
            backoff=Backoff(random=random.random),
            keep_alive=random.random() < 0.9,
            resolve=resolve,
        )
        self.right: dict[Call, Any] = {}
        self.done: dict[Call, int] = {}
        self.closing = False
        for _ in range(random.randint(1, 6)):
            world.kernel.schedule.after(world.length * random.random(), self._submit)

    def _submit(self) -> None:
        if self.closing or self.world.closing_down:  # nobody would wait for them long enough
            return
        calls = []
        for _ in range(self.random.choice((1, 5, 40))):
            request, right = any_request(self.random, len(self.right))
            call = Call(request, idempotent=self.random.random() < 0.5)
            self.right[call] = right
            calls.append(call)
        self.pool.submit(calls)
        self.poke()

    def _done(self, call: Call) -> None:
        self.done[call] = self.done.get(call, 0) + 1
        if self.done[call] > 1 or not call.done:
            self.world.violated(NAME, f"{self.name}: a call is done for the {self.done[call]}th time")
        if call.error is None:
            wrong = complaint(call.value, self.right[call])
        else:
            known = isinstance(call.error, (ErrorReply, ConnectionFailed))
            wrong = None if known else f"{call.error!r} is no error of ours"
            if isinstance(call.error, ErrorReply) and call.error.code not in ANY_TIME:
                wrong = f"the error {call.error.code}"
        if wrong is not None:
            self.world.violated(NAME, f"{self.name}: {wrong}")

    def finish(self) -> None:
        """The world ends: what is not done by now is forgotten, as `close` says."""
        self.closing = True
        self.pool.close()
        self.poke()

    @property
    def over(self) -> bool:
        return self.closing and self.pool.settled

    @property
    def waits(self) -> bool:
        """Calls are not done yet."""
        return len(self.done) < len(self.right)

    def check_over(self) -> None:
        if not self.over:
            self.world.violated(NAME, f"{self.name} has connections that never ended")
        if len(self.shared.reply_timer) or len(self.shared.linger_timer):
            self.world.violated(NAME, f"{self.name} has timers of connections that ended")
        undone = len(self.right) - len(self.done)
        if undone and not self.world.hurried:
            self.world.violated(NAME, f"{self.name}: {undone} calls were never done")


class MessageClient(Turning):
    """Single messages; the owner sends, closes and aborts from inside what it is told."""

    def __init__(self, world: Surroundings, name: str, random: Random) -> None:
        super().__init__(world.kernel, name, world.seed)
        self.world = world
        self.random = random
        self.shared = Shared(
            self.loop,
            timeout=random.choice((0.0, 0.5, 10.0)),
            connect_timeout=2.0,
            linger=random.choice((0.2, 5.0)),
            open_socket=self.open_socket,
            observer=lambda: world.observer_for(name),
        )
        self.sent = 0
        self.answered = 0
        self.returned = 0  # unanswered or unsent
        self.messages: dict[Message, bool] = {}  # ended?
        for _ in range(random.randint(1, 5)):
            world.kernel.schedule.after(world.length * random.random(), self._open)

    def _open(self) -> None:
        if self.world.closing_down:
            return
        message = Message(self.shared, self, resolve(self.world.server_address))
        self.messages[message] = False
        self._send(message, self.random.randint(0, 10))
        self.poke()

    def _send(self, message: Message, count: int) -> None:
        pairs = []
        for _ in range(count):
            self.sent += 1
            pairs.append(any_request(self.random, self.sent))
        message.send_all(pairs)

    def _check_alive(self, message: Message, what: str) -> None:
        if self.messages[message]:
            self.world.violated(NAME, f"{self.name} is told {what} after the end")

    def opened(self, message: Message) -> None:
        self._check_alive(message, "opened")
        self._whim(message)

    def response(self, message: Message, context: Any, value: object, header: Header) -> None:
        self._check_alive(message, "a response")
        self.answered += 1
        wrong = str(value) if isinstance(value, ProtocolError) else complaint(value, context)
        if wrong is not None:
            self.world.violated(NAME, f"{self.name}: {wrong}")
        self._whim(message)

    def _whim(self, message: Message) -> None:
        whim = self.random.random()
        if whim < 0.25 and message.usable:
            self._send(message, self.random.randint(1, 3))
        elif whim < 0.29:
            message.close()
        elif whim < 0.31:
            message.abort()

    def closed(self, message: Message, ending: Ending) -> None:
        self._check_alive(message, "closed")
        self.messages[message] = True
        self.returned += len(ending.unanswered) + len(ending.unsent)
        self.kernel.trace.note(self.name, "message ends", ending.reason.value)
        if not isinstance(ending.reason, EndReason):
            self.world.violated(NAME, f"{self.name}: {ending.reason!r} is no reason")
        if ending.reason in (EndReason.MISMATCH, EndReason.BAD_FRAMING):
            self.world.violated(NAME, f"{self.name}: {ending.reason.value}: {ending.errors}")

    def finish(self) -> None:
        for message, ended in list(self.messages.items()):
            if not ended:
                message.abort()
        self.poke()

    @property
    def over(self) -> bool:
        return all(self.messages.values())

    @property
    def waits(self) -> bool:
        return not self.over and self.shared.reply_timer.seconds > 0

    def check_over(self) -> None:
        if not self.over:
            self.world.violated(NAME, f"{self.name} has messages that never ended")
        if self.sent != self.answered + self.returned:
            self.world.violated(
                NAME, f"{self.name}: {self.sent} sent, {self.answered} answered, {self.returned} came back"
            )
        if len(self.shared.reply_timer) or len(self.shared.linger_timer):
            self.world.violated(NAME, f"{self.name} has timers of messages that ended")


class BlockingClient(Blocking):
    """The blocking `Client`, as a script would use it."""

    def __init__(self, world: Surroundings, name: str, random: Random) -> None:
        super().__init__(world.kernel, name, world.seed)
        self.world = world
        self.random = random
        world.kernel.schedule.after(world.length * random.random() * 0.5, self.start)

    def body(self) -> None:
        random = self.random
        client = Client(
            self.world.server_address,
            connections=random.choice((1, 3)),
            timeout=random.choice((1.0, 10.0)),
            connect_timeout=2.0,
            depth=random.choice((1, 8)),
            random=random.random,
            loop=self.loop,
            resolve=resolve,
            open_socket=self.open_socket,
        )
        with client:
            number = 0
            while number < 40 and not self.world.closing_down:
                count = random.choice((1, 1, 6))
                asked = [any_request(random, number + n) for n in range(count)]
                number += count
                self._ask(client, asked)
                if random.random() < 0.3:
                    self.sleep(self.world.length * random.random() / 4)

    def _ask(self, client: Client, asked: list[tuple[Outgoing, Any]]) -> None:
        ask = self.random.choice((client.map, client.pipeline))
        requests = [request for request, _ in asked]
        outcomes = ask(requests, idempotent=self.random.random() < 0.5, return_exceptions=True)
        for outcome, (_, right) in zip(outcomes, asked, strict=True):
            wrong: str | None
            if isinstance(outcome, ErrorReply):
                wrong = None if outcome.code in ANY_TIME else f"the error {outcome.code}"
            elif isinstance(outcome, ConnectionFailed):
                wrong = None
            else:
                wrong = complaint(outcome, right)
            if wrong is not None:
                self.world.violated(NAME, f"{self.name}: {wrong}")

    def check_over(self) -> None:
        if not self.over:
            self.world.violated(NAME, f"{self.name} never returned")
        if self.escaped is not None:
            self.world.violated(NAME, f"{self.name}: {type(self.escaped).__name__}: {self.escaped}")


KINDS = (PoolClient, PoolClient, MessageClient, MessageClient, BlockingClient)
