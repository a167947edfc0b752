"""Does the server live on when a system call fails?

One run: a server on a real epoll and a clock moved by hand; a witness, in the middle of sending a
request; a victim, who plays a `Script`, and on whose sockets (or on the listener) the fault falls.
Then must hold:

* the witness gets its reply, a newcomer is accepted and served;
* the victim has received the replies it was owed, byte for byte and in order, or the beginning of
  them; all of them, if the error was one after which nothing is lost;
* accepted = open + ended, and the victim ended with one reason: its own, or one for a loss;
* the log has no traceback; the loop comes to rest within few turns; no descriptor is left.

Not here: which call fails with what (`suites.faults.sweep`).
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import libserver.listeners
from libserver import Actions
from suites.faults.errnos import MEANINGLESS, TRANSPARENT, number
from suites.faults.kernel import Faults, Jumping, quick_server
from tests.fakes.clock import FakeClock
from tests.support.descriptors import no_descriptor_left
from tests.support.peer import connected
from tests.support.server import ANY_PORT, caught, check_books, check_closed
from tests.support.wire import Reply, ask, binary, json_message, keep, take_reply

__all__ = ["SCRIPTS", "Script"]

#: Turns after which a run that has not come to rest is spinning. The longest takes about 60.
MOST_TURNS = 400
#: Seconds of the server's clock that a stuck victim is given: a paused listener is back after 0.1.
STEP, STEPS = 0.25, 6

#: A victim that was lost ends with one of these instead of its own reason.
LOSSES = {"reset", "silent", "overloaded"}

LARGE = bytes(range(256)) * 1200  # 300 kB: received straight into its own buffer, sent in pieces
_LARGE = binary(LARGE, connection="close")
_ACTIONS = Actions()
_LATE = keep("echo", "late")


def _confirm(first: int, count: int) -> bytes:
    return b"".join(keep("confirm", value) for value in range(first, first + count))


def _confirmed(first: int, count: int) -> list[Any]:
    return [f"Received: {value}" for value in range(first, first + count)]


@dataclass(frozen=True)
class Script:
    """What the victim sends, with what it expects for it before it goes on; and how that ends.

    `finish`: it half-closes after its last bytes. `drain`: the server is told to drain before those.
    """

    rounds: tuple[tuple[bytes, list[Any]], ...]
    reason: str
    finish: bool = False
    drain: bool = False
    grace: float = 0.0  # of the drain, in seconds
    most: int = 1 << 30  # bytes that one send of the server takes

    def __call__(self, faults: Faults) -> None:
        _Run(self, faults).run()


SCRIPTS = {
    "pipeline": Script(
        (
            (keep("echo", 0), [0]),
            (_confirm(1, 3) + _confirm(4, 2)[:40], _confirmed(1, 3)),
            (_confirm(4, 2)[40:] + json_message([], connection="keep-alive"), [*_confirmed(4, 2), "bad-request"]),
        ),
        "peer-closed",
    ),
    "large": Script(((keep("echo", 0) + _LARGE[:100_000], [0]), (_LARGE[100_000:], [LARGE])), "served", most=64 * 1024),
    "one-shot": Script(((ask("echo", 1)[:9], []), (ask("echo", 1)[9:] + b"more", [1])), "served"),
    "half-close": Script(((_confirm(1, 4), _confirmed(1, 4)),), "peer-closed", finish=True),
    "drain": Script(
        ((keep("echo", 1) + _LATE[:20], [1]), (_LATE[20:], ["late"])),
        "shutdown",
        drain=True,
    ),
    "grace": Script(
        ((keep("echo", 1), [1]), (_confirm(1, 3), _confirmed(1, 3))),
        "shutdown",
        drain=True,
        grace=1.0,
    ),
}


class _Peer:
    """A raw socket that takes what comes, an end included."""

    def __init__(self, address: Any) -> None:
        self.sock = connected(address, _little_room)
        self.sock.setblocking(False)
        self.out = bytearray()
        self.finish = False  # half-close when `out` has left
        self.received = bytearray()
        self.results: list[Any] = []
        self.ended = False

    def has(self, count: int) -> bool:
        """It sent everything and received so many replies; or will never."""
        return self.ended or (len(self.results) >= count and not self.out)

    def step(self) -> bool:
        """Send and receive what can be; whether anything was."""
        if self.ended:
            return False
        try:
            return self._send() | self._receive()
        except OSError:
            self.ended = True
            return True

    def _send(self) -> bool:
        if self.out:
            with contextlib.suppress(BlockingIOError):
                del self.out[: self.sock.send(self.out)]
                return True
        elif self.finish:
            self.finish = False
            self.sock.shutdown(socket.SHUT_WR)
            return True
        return False

    def _receive(self) -> bool:
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return False
        self.ended = not data
        self.received += data
        while (reply := take_reply(self.received)) is not None:
            self.results.append(_result(reply))
        return True


def _little_room(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)


def _result(reply: Reply) -> Any:
    """The result, an error's code, or the bytes."""
    if reply.header["content-type"] != "text/json":
        return reply.content
    return reply.code or reply.result


class _Run:
    """One script, one fault at most."""

    def __init__(self, script: Script, faults: Faults) -> None:
        self.script = script
        self.faults = faults
        if faults.most > script.most:
            faults.most = script.most
        self.clock = FakeClock()
        self.peers: list[_Peer] = []
        self.turns = 0

    def run(self) -> None:
        with no_descriptor_left(), caught() as log:
            its_loop = {"selector": Jumping(self.clock, self.faults), "clock": self.clock}
            with mock.patch.object(libserver.listeners, "socket", self.faults.module):
                server = quick_server([ANY_PORT], _ACTIONS, drain_grace=self.script.grace, **its_loop)
            with server:
                self.server = server
                try:
                    self._play()
                finally:
                    for peer in self.peers:
                        peer.sock.close()
                server.stop()
                self._until(lambda: not (server.connections or server.refused))
                check_closed(server)
        if self.faults.error not in _MEANINGLESS:
            assert not log.raised(), log.raised()

    def _play(self) -> None:
        server, script, faults = self.server, self.script, self.faults
        witness = self._peer(_LATE[:20])
        self._until(lambda: server.accepted == 1)
        faults.armed = True
        victim = self._peer()
        expected: list[Any] = []
        for sent, results in script.rounds:
            last = sent is script.rounds[-1][0]
            if last and script.drain:
                server.drain()
            victim.out += sent
            victim.finish = last and script.finish
            expected += results
            self._until(partial(victim.has, len(expected)))
            server.describe_connections()
        expecting_end = script.reason == "served" or script.finish or script.drain
        self._until(lambda: victim.ended or not expecting_end)
        victim.sock.close()
        victim.ended = True
        self._until(lambda: len(server.connections) <= (not witness.ended) and not server.refused)
        faults.armed = False
        self._check_victim(victim, expected)
        witness.out += _LATE[20:]
        self._until(lambda: witness.results == ["late"])
        if not script.drain:
            newcomer = self._peer(keep("echo", "new"))
            self._until(lambda: newcomer.results == ["new"])
        check_books(server)
        self._rest()

    def _check_victim(self, victim: _Peer, expected: list[Any]) -> None:
        faults = self.faults
        ended = {reason.value for reason in self.server.closed_by}
        assert sum(self.server.closed_by.values()) <= 1
        if not faults.fired or faults.error in _RECOVERS.get(faults.call, ()):
            assert (victim.results, ended) == (expected, {self.script.reason})
        elif faults.call == "accept" and ended <= {"overloaded"}:
            # Out of descriptors: told so with the reserve descriptor (which a RST may overtake), and counted.
            assert victim.results in (["overloaded"], [])
        elif faults.call == "accept":
            assert (victim.results, ended) == (expected, {self.script.reason})
        else:
            assert victim.results == expected[: len(victim.results)]
            allowed = LOSSES | {self.script.reason} if victim.results == expected else LOSSES
            assert len(ended) == 1
            assert ended <= allowed, f"ended as {ended}"

    # --- turning -----------------------------------------------------------------------------

    def _peer(self, sends: bytes = b"") -> _Peer:
        peer = _Peer(self.server.addresses[0])
        peer.out += sends
        self.peers.append(peer)
        return peer

    def _turn(self) -> bool:
        self.turns += 1
        assert self.turns < MOST_TURNS, "the loop spins"
        moved = False
        for peer in self.peers:
            moved |= peer.step()
        return bool(self.server.loop.run_once(0)) or moved

    def _until(self, done: Callable[[], object]) -> None:
        """Turn until it is done; if nothing moves, wait a moment, then let the clock move."""
        for _ in range(STEPS):
            while not done():
                if not (self._turn() or self._wait() or self._turn()):
                    break
            else:
                return
            self.clock.advance(STEP)
        raise AssertionError(f"stuck: {self.server.describe_connections()}")

    def _wait(self) -> bool:
        socks = [peer.sock for peer in self.peers if peer.sock.fileno() >= 0 and not peer.ended]
        return bool(select.select(socks, [], [], 0.002)[0])

    def _rest(self) -> None:
        """Nothing happens any more, although time goes by."""
        while self._turn():
            pass
        assert not self._turn()


_RECOVERS = {call: {number(name) for name in names} for call, names in TRANSPARENT.items()}
_MEANINGLESS = {number(name) for name in MEANINGLESS}
