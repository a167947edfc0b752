"""Does the server serve good peers, rightly and in time, whatever the others do?

Two kinds of good traffic, both at a steady rate that does not wait for the server:

* requests on a few kept-alive connections, pipelined if the replies are slow. Each connection
  ends after some hundred requests by half-closing, and is replaced;
* newcomers: one request each on a new connection, as the tutorial's client asks.

A new peer of either kind may get `overloaded`, which it counts. Nothing else than that or the
right answer is right.

Latency runs from when a request was due, not from when it could be sent: a server that makes the
client wait must not thereby escape its measurement (coordinated omission).

It is a process of its own, `python -m benchmarks.soak.good PORT RATE NEWCOMERS CONNECTIONS SEED`, so
that what the bad peers cost their own process is not counted. It writes a JSON line every so often,
and ends once its stdin does and all replies are here, or `PATIENCE` later.
"""

from __future__ import annotations

import errno
import json
import random
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Callable

from benchmarks.requests import Variant, mixed, repeated
from benchmarks.soak.reading import Replies
from benchmarks.soak.settings import HOST

__all__ = ["Good", "main"]

#: Seconds between two lines.
EVERY = 0.25
#: Seconds that replies may take once no more is asked.
PATIENCE = 10.0
#: Requests after which a kept-alive connection is replaced.
WORN_OUT = 300
#: Failures described in words; the rest are counted.
TOLD = 20

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE


class Asked:
    """One good connection: what was asked, in order, and what came."""

    def __init__(self, sock: socket.socket, keep: bool) -> None:
        self.sock = sock
        self.keep = keep
        self.granted = False
        self.replies = Replies()
        self.unsent = bytearray()
        self.held: deque[tuple[float, Variant]] = deque()  # due before keep-alive was granted
        self.owed: deque[tuple[float, Variant]] = deque()
        self.count = 0
        self.finishing = False  # half-close once all is sent


class Good:
    """The good traffic on 127.0.0.1:`port`. `turn` does what is due, and returns when something may be."""

    def __init__(
        self,
        port: int,
        rate: float,
        newcomers: float,
        connections: int,
        seed: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._port = port
        self._clock = clock
        self._chance = random.Random(seed)
        self._variants = mixed()
        self._one_shot = repeated(keep=False)[0]
        self._selector = selectors.DefaultSelector()
        self._rates = rate, newcomers
        now = clock()
        self._due = [now, now + 0.5 / newcomers if newcomers else float("inf")]
        self._kept: list[Asked] = []
        self._open: set[Asked] = set()
        self._size = connections
        self._turn = 0
        self.asking = True
        self.made = 0
        self.right = 0
        self.refused = 0
        self.failed = 0
        self.failures: list[str] = []
        self.latencies: list[int] = []  # microseconds

    @property
    def open(self) -> int:
        return len(self._open)

    def turn(self, until: float) -> None:
        now = self._clock()
        while self.asking and min(self._due) <= now:
            which = self._due.index(min(self._due))
            due = self._due[which]
            self._due[which] = due + self._chance.expovariate(self._rates[which])
            (self._ask_kept if which == 0 else self._ask_newly)(due)
        wake = min(until, *self._due) if self.asking else until
        for key, mask in self._selector.select(max(0.0, wake - self._clock())):
            asked: Asked = key.data
            try:
                if mask & WRITE:
                    self._flush(asked)
                if mask & READ:
                    self._read(asked)
            except (OSError, ValueError) as error:
                self._lose(asked, str(error))

    def finish(self) -> None:
        """Ask no more; kept-alive connections say goodbye."""
        self.asking = False
        for asked in self._kept:
            self._say_goodbye(asked)
        self._kept.clear()

    def give_up(self) -> None:
        for asked in list(self._open):
            self._lose(asked, "no reply in time")

    # --- asking ------------------------------------------------------------------------

    def _ask_kept(self, due: float) -> None:
        self._turn += 1
        at = self._turn % self._size
        if len(self._kept) < self._size:
            at = len(self._kept)
            self._kept.append(self._connect(keep=True))
        elif self._kept[at].count >= WORN_OUT:
            self._say_goodbye(self._kept[at])
            self._kept[at] = self._connect(keep=True)
        self._ask(self._kept[at], due, self._variants[self._turn % len(self._variants)])

    def _ask_newly(self, due: float) -> None:
        self._ask(self._connect(keep=False), due, self._one_shot)

    def _connect(self, keep: bool) -> Asked:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asked = Asked(sock, keep)
        self._open.add(asked)
        self._selector.register(sock, READ, asked)
        code = sock.connect_ex((HOST, self._port))
        if code in (0, errno.EINPROGRESS):
            self.made += 1
        return asked

    def _ask(self, asked: Asked, due: float, variant: Variant) -> None:
        asked.count += 1
        if asked.keep and asked.owed and not asked.granted:
            asked.held.append((due, variant))
            return
        asked.owed.append((due, variant))
        asked.unsent += variant.request
        self._try(asked)

    def _say_goodbye(self, asked: Asked) -> None:
        asked.finishing = True
        self._try(asked)

    def _try(self, asked: Asked) -> None:
        try:
            self._flush(asked)
        except OSError as error:
            self._lose(asked, str(error))

    def _flush(self, asked: Asked) -> None:
        if asked not in self._open:
            return
        while asked.unsent:
            try:
                sent = asked.sock.send(asked.unsent)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.ENOTCONN, errno.EINPROGRESS):
                    raise
                break  # refused for now, or not yet connected
            del asked.unsent[:sent]
        if not asked.unsent and asked.finishing and not asked.held:
            asked.sock.shutdown(socket.SHUT_WR)
            asked.finishing = False
        self._selector.modify(asked.sock, READ | (WRITE if asked.unsent else 0), asked)

    # --- answers -----------------------------------------------------------------------

    def _read(self, asked: Asked) -> None:
        if asked not in self._open:
            return
        try:
            data = asked.sock.recv(65536)
        except BlockingIOError:
            return
        if not data:
            if asked.owed or asked.held or asked.replies.rest:
                self._lose(asked, "closed without an answer")
            elif asked.keep and asked in self._kept:
                self._lose(asked, "closed though kept alive")
            else:
                self._forget(asked)
            return
        now = self._clock()
        for reply in asked.replies.feed(data):
            if not asked.owed:
                raise ValueError(f"a reply to nothing: {reply.content[:200]!r}")
            due, variant = asked.owed.popleft()
            if reply.answers(variant):
                self.right += 1
                self.latencies.append(round((now - due) * 1e6))
            elif not asked.granted and reply.error_code() == "overloaded":
                self.refused += 1 + len(asked.held)  # which were not even sent
                asked.held.clear()
                if asked in self._kept:
                    self._kept.remove(asked)  # the server will close it
                return
            else:
                self._fail(f"a wrong reply: {reply.header[:200]!r} {reply.content[:200]!r}")
            if asked.keep and not asked.granted:
                asked.granted = reply.fields().get("connection") == "keep-alive"
                if not asked.granted:
                    raise ValueError("keep-alive was not granted")
                while asked.held:
                    asked.owed.append(asked.held.popleft())
                    asked.unsent += asked.owed[-1][1].request
                self._flush(asked)

    def _fail(self, words: str, requests: int = 1) -> None:
        self.failed += requests
        if len(self.failures) < TOLD:
            self.failures.append(words)

    def _lose(self, asked: Asked, words: str) -> None:
        if asked not in self._open:
            return
        whose = f"kept alive, request {asked.count}" if asked.keep else "a newcomer"
        self._fail(f"{whose}: {words}", max(1, len(asked.owed) + len(asked.held)))
        if asked in self._kept:
            self._kept.remove(asked)
        self._forget(asked)

    def _forget(self, asked: Asked) -> None:
        self._open.discard(asked)
        self._selector.unregister(asked.sock)
        asked.sock.close()

    def report(self) -> str:
        """What came since the last time, as one JSON line."""
        line = {
            "made": self.made,
            "right": self.right,
            "refused": self.refused,
            "failed": self.failed,
            "failures": self.failures,
            "latencies": self.latencies,
        }
        text = json.dumps(line)
        self.latencies = []
        self.failures = []
        return text


def main(argv: list[str]) -> int:
    port, rate, newcomers, connections, seed = argv
    good = Good(int(port), float(rate), float(newcomers), int(connections), int(seed))
    stop = selectors.DefaultSelector()
    stop.register(sys.stdin, READ)
    while not stop.select(0):
        until = time.monotonic() + EVERY
        while time.monotonic() < until:
            good.turn(until)
        print(good.report(), flush=True)
    good.finish()
    until = time.monotonic() + PATIENCE
    while good.open and time.monotonic() < until:
        good.turn(time.monotonic() + EVERY)
    good.give_up()
    print(good.report(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
