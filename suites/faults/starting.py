"""Does a server that can't start say so in one sentence, and leave nothing behind?

One run: a server is made that listens on TCP and on a UNIX path where a stale socket lies, with a
fault at one of the calls it makes for that. Either it serves, or `CannotListen` says why; and no
descriptor is left.

Not here: which call fails with what (`suites.faults.sweep`).
"""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from unittest import mock

import libserver.listeners
import libserver.unix_files
from eventloop import EventLoop
from libserver import CannotListen, Server
from suites.faults.kernel import Faults, Jumping, quick_server
from tests.fakes.clock import FakeClock
from tests.support.descriptors import no_descriptor_left
from tests.support.server import ANY_PORT, caught
from tests.support.wire import take_reply

__all__ = ["start"]


def start(faults: Faults) -> None:
    clock = FakeClock()
    with no_descriptor_left(), tempfile.TemporaryDirectory() as directory, caught() as log:
        path = Path(directory) / "s"
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        loop = EventLoop(Jumping(clock, faults), clock)
        try:
            with (
                mock.patch.object(libserver.listeners, "socket", faults.module),
                mock.patch.object(libserver.unix_files, "socket", faults.module),
            ):
                _start(faults, loop, path)
        finally:
            loop.close()
        assert not log.raised(), log.raised()


def _start(faults: Faults, loop: EventLoop, path: Path) -> None:
    faults.armed = True
    made = _make([ANY_PORT, f"unix:{path}"], loop)
    faults.armed = False
    if isinstance(made, CannotListen):
        assert faults.fired
        assert str(made).startswith("cannot listen on ")
        assert len(str(made).splitlines()) == 1
        assert len(loop.selector.get_map()) == 1, "more than the loop's own waker is still watched"
        return
    with made:
        tcp, unix = made.addresses
        _serves(loop, socket.AF_INET, (tcp.host, tcp.port))
        _serves(loop, socket.AF_UNIX, unix.path)
    assert not path.exists()


def _make(listen: list[str], loop: EventLoop) -> Server | CannotListen:
    try:
        return quick_server(listen, loop=loop)
    except CannotListen as refusal:
        return refusal


def _serves(loop: EventLoop, family: int, where: tuple[str, int] | str) -> None:
    """A header that is none is answered, so it serves."""
    with socket.socket(family) as peer:
        peer.connect(where)
        peer.setblocking(False)
        peer.send(b"\0\2{}")
        for _ in range(20):
            loop.run_once(0)
        assert take_reply(bytearray(peer.recv(4096))) is not None
