"""How long does a good client wait beside peers that ask for as much as they may?

The good traffic is that of a soak (`good`), in a process of its own: a request every 5 ms on a kept-alive
connection, whether or not the one before is answered, and a newcomer every 50. Beside it so many peers send
requests of one size as fast as the server takes them: JSON that costs most per byte, in the largest pieces that
are allowed, or below what is received in place. A refused peer comes again.

Not here: what else a peer can cost (`exposure`).
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.processes import ROOT, cores, on_core
from benchmarks.soak.settings import HOST, KIB

__all__ = ["deep", "latencies_beside", "percentile", "wide"]

MIB = KIB * KIB
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

#: A good client's requests a second, and newcomers.
RATE, NEWCOMERS = 200, 20
#: Seconds that it is given to be connected before the others come, and that stragglers may take in the end.
HEAD_START = 1.0
PATIENCE = 60.0
#: A hundred levels: a value of many small lists, within the depth that is allowed.
LEVELS = 100


def deep(size: int) -> bytes:
    """A search for lists within lists: each takes memory, time to make, to look through and to free."""
    return _searched(b"[" * LEVELS + b"]" * LEVELS + b",", size)


def wide(size: int) -> bytes:
    """An echo of objects, each of which is made, and written again."""
    return _searched(b'{"":0},', size, b"echo")


def _searched(piece: bytes, size: int, action: bytes = b"search") -> bytes:
    begin, end = b'{"action": "' + action + b'", "value": [', b"0]}"
    return begin + piece * ((size - len(begin) - len(end)) // len(piece)) + end


def latencies_beside(port: int, peers: int, request: bytes, seconds: float) -> list[int]:
    """Microseconds from when a good request was due to its right answer, sorted, beside such peers.

    Raises `ConnectionError` if one was not answered rightly.
    """
    arguments = [sys.executable, "-m", "benchmarks.soak.good", str(port), str(RATE), str(NEWCOMERS), "1", "1"]
    with on_core(cores()[1]):
        good = subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(HEAD_START)
        with on_core(cores()[1]):
            _flood(port, peers, request, seconds)
        out, _ = good.communicate(timeout=PATIENCE)
    finally:
        good.kill()
    lines = [json.loads(line) for line in out.splitlines()]
    if lines[-1]["failed"] or lines[-1]["refused"]:
        raise ConnectionError(f"of the good requests {lines[-1]['failed']} failed: {[*lines[-1]['failures']]}")
    return sorted(latency for line in lines for latency in line["latencies"])


def percentile(sorted_: Sequence[int], part: float) -> int:
    return sorted_[min(len(sorted_) - 1, int(len(sorted_) * part))]


class _Peer:
    """A connection that is always sending, and reads what comes."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection((HOST, port), timeout=PATIENCE)
        self.sock.setblocking(False)
        self.sent = 0

    def turn(self, request: bytes, mask: int) -> bool:
        """False once the server has ended it."""
        try:
            if mask & READ and not self.sock.recv(MIB):
                return False
            if mask & WRITE:
                self.sent += self.sock.send(memoryview(request)[self.sent :])
                self.sent %= len(request)
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True


def _flood(port: int, peers: int, request: bytes, seconds: float) -> None:
    selector = selectors.DefaultSelector()
    end = time.monotonic() + seconds

    def come() -> None:
        peer = _Peer(port)
        selector.register(peer.sock, READ | WRITE, peer)

    for _ in range(peers):
        come()
    while (now := time.monotonic()) < end:
        if not peers:
            time.sleep(end - now)
        for key, mask in selector.select(0.1):
            peer: _Peer = key.data
            if not peer.turn(request, mask):
                selector.unregister(peer.sock)
                peer.sock.close()
                come()
    for key in list(selector.get_map().values()):
        key.data.sock.close()
    selector.close()
