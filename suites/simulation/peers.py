"""Who is out there? Raw peers, polite, slow, broken and hostile, that know only bytes.

A script is a generator: what it yields is how long to sleep, in seconds; `peer.wait(seconds)` sleeps less
if something happens to its socket. They have no loop and no library, and read replies only to look
busy: that these are right is the oracle's affair.

    def half_closer(peer):
        yield from peer.connect()
        yield from peer.send(peer.requests(5))
        peer.sock.shutdown(SHUT_WR)
        yield from peer.read_to_the_end(30)

Not here: clients of the library (`clients`), the kernel's own faults (`faults`).
"""

from __future__ import annotations

import errno
import json
import socket
import struct
from collections.abc import Callable, Generator
from random import Random
from typing import Any, NamedTuple

from suites.conformance.wire import action, framed, message

from .kernel import Kernel
from .process import Process
from .sockets import CONNECTED

__all__ = ["SCRIPTS", "Peer", "Probe", "Target"]

#: Seconds after which a newcomer tries to connect anew: its SYN has been sent three times by then.
CONNECT_PATIENCE = 5.0

Script = Generator[float, None, None]


#: Frames after which nothing can be trusted, or that are too large.
BROKEN = (
    b"\0\0",
    framed(b"not json"),
    framed(b"\xff\xfe"),
    framed({"byteorder": "little"}),
    framed(b"[1, 2]"),
    b"\xff\xff" + b"x" * 200,
    message(b"", "text/json", "utf-8", content_length=-1),
    message(b"", "text/json", "utf-8", content_length=10**12),
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20,
)

#: Whole messages that are answered with an error, and the connection goes on.
ANSWERABLE = (
    message(b"{}", "text/json", "utf-8"),
    message(b"not json", "text/json", "utf-8"),
    message(b"\xff\xff", "text/json", "utf-8"),
    message(b"{}", "text/json", "zlib_codec"),
    message(b"{}", "text/json", None),
    message(b"[]", "text/json", "utf-8"),
    action("no-such-action", None),
    action("boom", None),
)


class Target(NamedTuple):
    """The server, as its peers know it."""

    addresses: tuple[tuple[str, int], ...]  #: where it answers messages, and where it echoes
    max_content: int  #: bytes
    max_json: int = 1024 * 1024  #: bytes of a JSON content
    complain: Callable[[str], None] = lambda words: None  #: hears of what a subscriber should not have read


class Peer:
    """One raw connection, driven by a script; its descriptor is one of `process`."""

    def __init__(
        self, kernel: Kernel, process: Process, target: Target, script: Callable[[Peer], Script], random: Random
    ) -> None:
        self.kernel = kernel
        self.process = process
        self.target = target
        self.random = random
        self.luck = Random(random.random())
        self.sock: Any = None
        self.name = script.__name__
        self.sent = 0
        self.numbered = 0
        self.over = False
        self._script = script(self)
        self._sleep = 0  # how often it went to sleep: who wakes an earlier sleep is late
        self._awake = False
        kernel.schedule.after(0, self._go_on, 0)

    # --- being driven ------------------------------------------------------------------------

    def _go_on(self, sleep: int) -> None:
        if sleep != self._sleep or self.over:
            return
        self._sleep += 1
        self._awake = True
        try:
            seconds = next(self._script)
        except (StopIteration, OSError):
            self.end()
            return
        finally:
            self._awake = False
        self.kernel.schedule.after(seconds, self._go_on, self._sleep)

    def end(self) -> None:
        if not self.over:
            self.over = True
            self._script.close()
            if self.sock is not None:
                self.sock.close()

    def __setitem__(self, number: int, _: None) -> None:
        """It stands in a selector's place (`hot`): something happened to its socket."""
        if not self._awake:
            self.kernel.schedule.after(0, self._go_on, self._sleep)

    @property
    def hot(self) -> Peer:
        return self

    # --- steps of scripts ----------------------------------------------------------------------

    def wait(self, seconds: float) -> Script:
        """Until something happens to the socket, `seconds` at most."""
        self.sock.watchers.append((self, 0))
        try:
            yield seconds
        finally:
            if (self, 0) in self.sock.watchers:
                self.sock.watchers.remove((self, 0))

    def connect(self, patience: float = 20.0, port: int = 0) -> Script:
        self.sock = self.kernel.socket(self.process, self.luck)
        self.sock.connect_ex(self.target.addresses[port])
        until = self.kernel.clock.now + patience
        while self.sock.state is not CONNECTED:
            if self.sock.error or self.kernel.clock.now >= until:
                raise OSError(errno.ETIMEDOUT, "not connected")
            yield from self.wait(patience)

    def send(self, data: bytes, most: int = 1 << 20, pause: float = 0.0, patience: float = 30.0) -> Script:
        """All of it, `most` bytes at a time, reading nothing."""
        view = memoryview(data)
        until = self.kernel.clock.now + patience
        while view:
            try:
                view = view[self.sock.send(view[:most]) :]
            except BlockingIOError:
                if self.kernel.clock.now >= until:
                    return
                yield from self.wait(min(1.0, patience))
            else:
                if pause and view:
                    yield pause

    def read(self, most: int = 1 << 16) -> bytes | None:
        """What is there; None if nothing is."""
        try:
            data: bytes = self.sock.recv(most)
        except BlockingIOError:
            return None
        return data

    def read_for(self, seconds: float, most: int = 1 << 16, pause: float = 0.0) -> Script:
        """Read whatever comes, for so long or until the end."""
        until = self.kernel.clock.now + seconds
        while (left := until - self.kernel.clock.now) > 0:
            data = self.read(most)
            if data == b"":
                return
            if data is None:
                yield from self.wait(left)
            elif pause:
                yield pause

    def reset(self) -> None:
        """Close with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def fin(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    # --- what it says ------------------------------------------------------------------------------

    def one_request(self, **fields: object) -> bytes:
        """Any request that is answered; each JSON one has a value of its own."""
        random = self.random
        self.numbered += 1
        value = f"{self.name}-{self.numbered}"
        kind = random.randrange(12)
        if random.random() < 0.2:
            fields["id"] = random.choice((value, self.numbered))
        if random.random() < 0.05:
            fields["deadline_ms"] = random.choice((0, 5, 60_000))
        if kind < 4:
            return action("echo", value, **fields)
        if kind == 4:
            return action("search", random.choice(("morpheus", "🐶", "ring", value)), **fields)
        if kind == 5:
            fields.pop("deadline_ms", None)  # a count that is not made would shift all others
            return action("confirm", value, **fields)
        if kind == 6:
            size = min(random.choice((0, 3, 800, 70_000)), self.target.max_content)
            return message(random.randbytes(size), "binary/echo", "binary", **fields)
        if kind == 7:
            return message(value.encode(), "any/thing", "binary", **fields)
        if kind == 8:
            return action("big", random.choice((0, 500, 100_000)), **fields)
        if kind == 9:
            return action("slow", value, **fields)
        if kind == 10:
            return message(value.encode(), "binary/slow", "binary", **fields)
        return action("echo", value, "utf-16", **fields)

    def requests(self, count: int) -> bytes:
        """Pipelined ones, the first asking for keep-alive."""
        parts = [self.one_request(connection="keep-alive")]
        random = self.random
        parts += [random.choice(ANSWERABLE) if random.random() < 0.1 else self.one_request() for _ in range(count - 1)]
        return b"".join(parts)


# --- scripts -----------------------------------------------------------------------------------------------


def polite(peer: Peer) -> Script:
    """Asks now and then, reads, finishes."""
    yield from peer.connect()
    for _ in range(peer.random.randint(1, 6)):
        yield from peer.send(peer.requests(peer.random.randint(1, 8)))
        yield from peer.read_for(peer.random.choice((0.05, 1.0, 20.0)))
    peer.fin()
    yield from peer.read_for(30.0)


def one_shot(peer: Peer) -> Script:
    """The tutorial's client."""
    yield from peer.connect()
    yield from peer.send(peer.one_request() + (b"and more" if peer.random.random() < 0.3 else b""))
    yield from peer.read_for(30.0)


def half_closer(peer: Peer) -> Script:
    yield from peer.connect()
    yield from peer.send(peer.requests(peer.random.randint(1, 30)))
    peer.fin()
    yield peer.random.choice((0.0, 0.5, 8.0))
    yield from peer.read_for(60.0)


def closes_politely(peer: Peer) -> Script:
    """Its last request says close, and something follows all the same."""
    yield from peer.connect()
    last = peer.one_request(connection="close")
    yield from peer.send(peer.requests(3) + last + peer.requests(2))
    yield from peer.read_for(30.0)


def trickler(peer: Peer) -> Script:
    """A byte, and another one."""
    yield from peer.connect()
    pause = peer.random.choice((0.001, 0.05, 0.7, 3.0))
    yield from peer.send(peer.requests(2)[:600], peer.random.choice((1, 7)), pause, patience=200.0)
    yield from peer.read_for(20.0)


def never_reads(peer: Peer) -> Script:
    """Asks for much and takes nothing."""
    yield from peer.connect()
    size = min(2000, peer.target.max_content)
    echo = message(peer.random.randbytes(size), "binary/echo", "binary", connection="keep-alive")
    yield from peer.send(echo * peer.random.choice((20, 150, 400)), patience=peer.random.choice((5.0, 200.0)))
    yield peer.random.choice((0.1, 100.0))
    if peer.random.random() < 0.5:
        yield from peer.read_for(30.0)


def slow_reader(peer: Peer) -> Script:
    yield from peer.connect()
    count = peer.random.choice((5, 60))
    big = b"".join(action("big", 1000, connection="keep-alive") for _ in range(count))
    yield from peer.send(big + peer.requests(10), patience=2.0)
    yield from peer.read_for(100.0, peer.random.choice((50, 3000)), peer.random.choice((0.01, 0.4)))
    peer.fin()
    yield from peer.read_for(10.0)


def garbage(peer: Peer) -> Script:
    """A little sense, then none; goes on talking while it is told so."""
    yield from peer.connect()
    sense = peer.requests(peer.random.randint(1, 4)) if peer.random.random() < 0.7 else b""
    if sense and peer.random.random() < 0.5:
        sense += action("slow", "before it")
    yield from peer.send(sense + peer.random.choice(BROKEN))
    for _ in range(peer.random.choice((0, 3, 30))):
        yield from peer.send(peer.random.randbytes(200))
        yield 0.05
    yield from peer.read_for(10.0)


def noise(peer: Peer) -> Script:
    yield from peer.connect()
    yield from peer.send(peer.random.randbytes(peer.random.choice((1, 40, 5000))))
    yield from peer.read_for(15.0)


def resetter(peer: Peer) -> Script:
    """Gone at any byte."""
    yield from peer.connect()
    data = peer.requests(peer.random.randint(1, 20))
    yield from peer.send(data[: peer.random.randrange(len(data) + 1)])
    if peer.random.random() < 0.7:
        yield peer.random.choice((0.0, 0.001, 0.3, 4.0))
    peer.reset()


def cut_off(peer: Peer) -> Script:
    """FIN at any byte."""
    yield from peer.connect()
    data = peer.requests(peer.random.randint(1, 5))
    yield from peer.send(data[: peer.random.randrange(len(data) + 1)])
    if peer.random.random() < 0.5:
        peer.fin()
        yield from peer.read_for(20.0)


def connect_only(peer: Peer) -> Script:
    yield from peer.connect()
    yield from peer.read_for(peer.random.choice((0.0, 1.0, 500.0)))


def idler(peer: Peer) -> Script:
    """Kept alive, and silent for hours."""
    yield from peer.connect()
    yield from peer.send(peer.one_request(connection="keep-alive"))
    yield from peer.read_for(peer.random.choice((10.0, 290.0, 4000.0)))
    if peer.random.random() < 0.5:
        yield from peer.send(peer.one_request())
        yield from peer.read_for(10.0)


def heartbeat(peer: Peer) -> Script:
    """Kept alive and talking, a little, for long."""
    yield from peer.connect()
    pause = peer.random.choice((1.0, 20.0, 200.0))
    for _ in range(peer.random.randint(2, 25)):
        yield from peer.send(peer.one_request(connection="keep-alive"))
        yield from peer.read_for(pause)


def greedy(peer: Peer) -> Script:
    """Everything at once, and the slow things too."""
    yield from peer.connect()
    fields: dict[str, object] = {"connection": "keep-alive"}
    slow = [action("slow", n, **fields, **({"deadline_ms": 50} if n % 5 == 0 else {})) for n in range(12)]
    yield from peer.send(b"".join(slow) + peer.requests(20))
    yield from peer.read_for(60.0)
    peer.fin()
    yield from peer.read_for(10.0)


def staller(peer: Peer) -> Script:
    """Has a handler hold up the whole loop."""
    yield from peer.connect()
    yield from peer.send(action("stall", peer.random.choice((10, 300, 2500)), connection="keep-alive"))
    yield from peer.send(peer.requests(3))
    yield from peer.read_for(10.0)


def uploader(peer: Peer) -> Script:
    """A large content, in pieces, perhaps not all of it."""
    yield from peer.connect()
    size = peer.random.choice((peer.target.max_content, peer.target.max_content // 2, 70_000))
    data = message(bytes(size), "binary/echo", "binary", connection="keep-alive")
    if peer.random.random() < 0.4:
        data = data[: peer.random.randrange(len(data))]
    yield from peer.send(data + (peer.requests(2) if peer.random.random() < 0.5 else b""), 20_000, 0.01)
    yield from peer.read_for(30.0)


def talks_at_length(peer: Peer) -> Script:
    """Large JSON, wide or deep, and more behind it."""
    yield from peer.connect()
    for _ in range(peer.random.choice((1, 3))):
        width = peer.random.choice((1, 500, 19_000, 60_000))
        depth = peer.random.choice((0, 1, 126, 127, 128, 5000))
        value = "[" * depth + json.dumps('[{\\"' + "x" * width) + "]" * depth
        content = f'{{"action": "echo", "value": {value}}}'.encode()
        yield from peer.send(message(content, "text/json", "utf-8", connection="keep-alive"), 20_000, 0.001)
        yield from peer.send(peer.requests(2))
    yield from peer.read_for(20.0)


def echoer(peer: Peer) -> Script:
    """Of the raw echo listener."""
    yield from peer.connect(port=1)
    data = peer.random.randbytes(peer.random.choice((1, 3000, 90_000)))
    yield from peer.send(data, patience=peer.random.choice((1.0, 80.0)))
    yield from peer.read_for(peer.random.choice((0.1, 10.0)))
    if peer.random.random() < 0.7:
        peer.fin()
        yield from peer.read_for(10.0)


SCRIPTS: tuple[Callable[[Peer], Script], ...] = (
    polite,
    one_shot,
    half_closer,
    closes_politely,
    trickler,
    never_reads,
    slow_reader,
    garbage,
    noise,
    resetter,
    cut_off,
    connect_only,
    idler,
    heartbeat,
    greedy,
    staller,
    uploader,
    talks_at_length,
    echoer,
)


class Probe(Peer):
    """A newcomer after everything has healed. `answered`: it got a reply, be it `overloaded`.

    It waits `until` then. Time in which a handler holds up the loop is the handler's, and added.
    """

    def __init__(self, kernel: Kernel, process: Process, target: Target, random: Random, patience: float) -> None:
        self.answered = False
        self.patience = patience
        self.until = kernel.clock.now + patience

        def probe(peer: Peer) -> Script:
            while not self.answered and kernel.clock.now < self.until:
                try:
                    yield from peer.connect(CONNECT_PATIENCE)
                    yield from peer.send(action("echo", "probe"))
                    while (data := peer.read()) is None:
                        yield from peer.wait(patience)
                    self.answered = bool(data)
                except OSError:
                    pass  # it tries again, as anybody would
                peer.sock.close()
                yield 0.5

        super().__init__(kernel, process, target, probe, random)
