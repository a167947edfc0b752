"""How do many bad peers act at once, each by a script that reads like a story?

A script is a generator: it does something to its socket, yields what it waits for, and is resumed
when that has happened or its time is over. The stage has one selector and one heap of times for all
of them, keeps so many of each kind alive, and counts how they ended. A script that finds the server
not doing what it owes even to such a peer raises `NotAsPromised`.

Not here: what the scripts do (`benchmarks.soak.scripts`).
"""

from __future__ import annotations

import errno
import heapq
import itertools
import os
import random
import selectors
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Generator
from functools import partial
from typing import NamedTuple

from benchmarks.soak.reading import Replies, Reply
from benchmarks.soak.settings import HOST, Settings

__all__ = ["Kind", "NotAsPromised", "Peer", "Script", "Stage"]

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

#: How much later than promised, in seconds, on a machine that does other things too.
SLACK = 4.0
#: Seconds between a peer's end and the next of its kind, at most.
BREATH = 0.5
#: Source addresses: 127.0.0.2 and on, so that the ports of one are not used up.
ADDRESSES = 16
#: Broken promises described in words; the rest are counted.
TOLD = 20
RECEIVE = 64 * 1024


class NotAsPromised(Exception):
    """The server did not treat this peer as it should; the text says how."""


class Refused(Exception):
    """The server is full, and said so."""


class Wait(NamedTuple):
    """For readiness (0: for nothing), so many seconds at most."""

    mask: int
    seconds: float


#: Resumed with True if it is ready, with False if the time is over.
Script = Generator[Wait, bool, None]


class Peer:
    """What a script acts with: a socket, and verbs that wait without blocking the others."""

    def __init__(self, port: int, settings: Settings, chance: random.Random, address: str) -> None:
        self.settings = settings
        self.chance = chance
        self.port = port
        self.replies = Replies()
        self.connected = False
        self.ended = False  # the server has finished sending
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        self.sock.bind((address, 0))

    def connect(self, narrow: bool = False) -> None:
        """`narrow`: with small segments and a small window, so that little fits into the kernel.

        Over the loopback the handshake is done when `connect` returns, whatever that says.
        """
        if narrow:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        code = self.sock.connect_ex((HOST, self.port))
        if code not in (0, errno.EINPROGRESS):
            raise NotAsPromised(f"can't connect: {os.strerror(code)}")
        self.connected = True

    def wait(self, mask: int, seconds: float) -> Generator[Wait, bool, bool]:
        return (yield Wait(mask, max(0.0, seconds)))

    def pause(self, seconds: float) -> Script:
        yield Wait(0, seconds)

    def send(self, data: bytes, seconds: float = SLACK) -> Generator[Wait, bool, int]:
        """Returns the bytes that were taken: all, or what was taken when it did not go on for `seconds`."""
        sent = 0
        while sent < len(data):
            try:
                sent += self.sock.send(data[sent:])
            except BlockingIOError:
                if not (yield Wait(WRITE, seconds)):
                    break
            except ConnectionError:
                break  # what the server has to say about it is read, not sent
        return sent

    def receive(self, seconds: float) -> Generator[Wait, bool, list[Reply] | None]:
        """The next replies; none at the end of all, None if nothing came in time.

        Raises `NotAsPromised` for a reset, `Refused` if the server is full.
        """
        until = time.monotonic() + seconds
        while True:
            try:
                data = self.sock.recv(RECEIVE)
            except BlockingIOError:
                if not (yield Wait(READ, max(0.0, until - time.monotonic()))):
                    return None
                continue
            except ConnectionError as error:
                raise NotAsPromised(f"{error.strerror} instead of an end in good order") from error
            if not data:
                self.ended = True
                return []
            try:
                replies = self.replies.feed(data)
            except ValueError as error:
                raise NotAsPromised(str(error)) from error
            if replies and replies[-1].error_code() == "overloaded":
                raise Refused
            if replies:
                return replies

    def read_all(self, seconds: float) -> Generator[Wait, bool, list[Reply]]:
        """Every reply until the server finishes. Raises `NotAsPromised` if it has not by then."""
        until = time.monotonic() + seconds
        found: list[Reply] = []
        while not self.ended:
            replies = yield from self.receive(until - time.monotonic())
            if replies is None:
                raise NotAsPromised(f"not closed within {seconds:.1f} s")
            found += replies
        if self.replies.rest:
            raise NotAsPromised("closed inside a reply")
        return found

    def lost(self, seconds: float) -> Generator[Wait, bool, None]:
        """Read until the connection is reset or ended, whatever comes. Raises `NotAsPromised` if it goes on."""
        until = time.monotonic() + seconds
        while True:
            try:
                if not self.sock.recv(RECEIVE):
                    return
            except BlockingIOError:
                if not (yield Wait(READ, max(0.0, until - time.monotonic()))):
                    raise NotAsPromised(f"not cut within {seconds:.1f} s") from None
            except ConnectionError:
                return

    def half_close(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server was first

    def end_by_reset(self) -> None:
        """Whenever it is closed, it is with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Kind(NamedTuple):
    """A kind of bad peer. One `in_crowds` comes once in `SECONDS_BETWEEN_CROWDS`, more than the server takes."""

    script: Callable[[Peer], Script]
    in_crowds: bool = False


#: A crowd stays for the header timeout, and newcomers are refused meanwhile.
SECONDS_BETWEEN_CROWDS = 10.0
#: ... and for this much longer, until the last of it has gone.
LEAVING = 0.25
#: Members of a crowd above what the server takes: fewer than the 32 refused ones that may linger.
TOO_MANY = 12


class Act:
    """A peer with its script under way."""

    __slots__ = ("kind", "mask", "peer", "script", "wakes")

    def __init__(self, kind: str, peer: Peer, script: Script) -> None:
        self.kind = kind
        self.peer = peer
        self.script = script
        self.mask = 0
        self.wakes = 0  # how often it was resumed: an older entry of the heap is void


class Stage:
    """Bad peers of `kinds` around 127.0.0.1:`port`, for as long as `turn` is called."""

    def __init__(self, port: int, kinds: dict[str, Kind], settings: Settings) -> None:
        self._port = port
        self._kinds = kinds
        self._settings = settings
        self._chance = random.Random(settings.seed)
        self._selector = selectors.DefaultSelector()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._acts: set[Act] = set()
        self._crowded_until = 0.0
        self.made = 0
        self.played: Counter[str] = Counter()
        self.refused = 0
        self.broken = 0
        self.told: list[str] = []
        now = time.monotonic()
        for name, kind in kinds.items():
            if kind.in_crowds:
                self._at(now + settings.timeout, partial(self._crowd, name))
            else:
                for _ in range(settings.of_each):
                    self._at(now + self._chance.uniform(0, BREATH), partial(self._begin, name))

    @property
    def open(self) -> int:
        return len(self._acts)

    def turn(self, until: float) -> None:
        """Do what is due, and wait for more, until then at most."""
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()
        wake = min(until, self._heap[0][0]) if self._heap else until
        for key, _ in self._selector.select(max(0.0, wake - time.monotonic())):
            if key.data in self._acts:
                self._resume(key.data, True)

    def leave(self) -> None:
        """All peers go, in the middle of their work."""
        for act in list(self._acts):
            self._end(act)
        self._heap.clear()
        self._selector.close()

    # --- peers come, act and go ----------------------------------------------------------

    def _at(self, when: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (when, next(self._order), call))

    def _crowd(self, name: str) -> None:
        room = self._settings.max_connections - self._settings.connections - self.open
        self._crowded_until = time.monotonic() + self._settings.timeout + LEAVING
        for _ in range(room + TOO_MANY):
            self._begin(name)
        self._at(time.monotonic() + SECONDS_BETWEEN_CROWDS, partial(self._crowd, name))

    def _begin(self, name: str) -> None:
        """One peer more; while there is a crowd, not of another kind: more than 32 refused may not linger."""
        if not self._kinds[name].in_crowds and time.monotonic() < self._crowded_until:
            self._at(self._crowded_until + self._chance.uniform(0, BREATH), partial(self._begin, name))
            return
        address = f"127.0.0.{2 + next(self._order) % ADDRESSES}"
        peer = Peer(self._port, self._settings, self._chance, address)
        act = Act(name, peer, self._kinds[name].script(peer))
        self._acts.add(act)
        self._resume(act, None)
        self.made += peer.connected

    def _resume(self, act: Act, ready: bool | None) -> None:
        act.wakes += 1
        try:
            wait = act.script.send(ready)  # type: ignore[arg-type]
        except StopIteration:
            self.played[act.kind] += 1
            self._end(act)
        except Refused:
            self.refused += 1
            self._end(act)
        except (NotAsPromised, OSError) as error:
            self.broken += 1
            if len(self.told) < TOLD:
                self.told.append(f"{act.kind}: {error}")
            self._end(act)
        else:
            self._watch(act, wait)

    def _watch(self, act: Act, wait: Wait) -> None:
        if wait.mask != act.mask:
            if act.mask:
                self._selector.unregister(act.peer.sock)
            if wait.mask:
                self._selector.register(act.peer.sock, wait.mask, act)
            act.mask = wait.mask
        number = act.wakes
        self._at(time.monotonic() + wait.seconds, partial(self._time_is_over, act, number))

    def _time_is_over(self, act: Act, number: int) -> None:
        if act in self._acts and act.wakes == number:
            self._resume(act, False)

    def _end(self, act: Act) -> None:
        self._acts.discard(act)
        if act.mask:
            self._selector.unregister(act.peer.sock)
        act.script.close()
        act.peer.sock.close()
        if not self._kinds[act.kind].in_crowds:
            self._at(time.monotonic() + self._chance.uniform(0, BREATH), partial(self._begin, act.kind))
