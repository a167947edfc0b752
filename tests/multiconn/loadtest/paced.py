"""Which server takes exactly so long for every reply?

    python3 -m tests.multiconn.loadtest.paced 0.010 0.011
    python3 -m tests.multiconn.loadtest.paced 0.005 --stall 4:1         stands still for a second, once, 4 s after
                                                                    the first request of all
One process, one thread, a listener per service time: whatever disturbs one disturbs the other, and
the service time is the only difference. Every request waits alone, so many are served at a time and
the processor has little to do. Says its addresses in one line, and ends when standard input does.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from multiconn.loadtest.engine.precise_selector import precise_selector
from tests.support.scripted import ENTRIES, written
from tests.support.wire import take

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def paced(*seconds: float, stall: tuple[float, float] | None = None) -> Iterator[list[str]]:
    """Targets with these service times, in a process of their own, until the block ends.

    `stall` (after, seconds): so long after its first request it stands still for so long.
    """
    command = [sys.executable, "-m", "tests.multiconn.loadtest.paced", *map(str, seconds)]
    command += [] if stall is None else ["--stall", "{}:{}".format(*stall)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()
        finally:
            process.stdin.close()
            process.wait(10)


def main(arguments: Sequence[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is whoever's that holds our standard input
    selector = precise_selector()
    replies = {value: written({"result": result}) for value, result in ENTRIES.items()}
    due: list[tuple[float, int, socket.socket, bytes]] = []
    number = itertools.count()
    listeners = []
    words = list(arguments)
    stall: tuple[float, float] | None = None
    stalls_at = float("inf")
    if "--stall" in words:
        at = words.index("--stall")
        after, _, length = words[at + 1].partition(":")
        stall = float(after), float(length)
        del words[at : at + 2]
    for word in words:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        selector.register(listener, selectors.EVENT_READ, (float(word), None))
        listeners.append(listener)
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    print(*(f"127.0.0.1:{listener.getsockname()[1]}" for listener in listeners), flush=True)
    while True:
        until = min(due[0][0] if due else float("inf"), stalls_at)
        ready = selector.select(max(0.0, until - time.monotonic()) if until < float("inf") else None)
        now = time.monotonic()
        if stall is not None and now >= stalls_at:
            time.sleep(max(0.0, stalls_at + stall[1] - now))  # to the moment that it was to be over
            stall, stalls_at = None, float("inf")
            now = time.monotonic()
        while due and due[0][0] <= now:
            _, _, sock, reply = heapq.heappop(due)
            if sock.fileno() >= 0:
                sock.send(reply)
        for key, _ in ready:
            if key.data is None:
                os._exit(0)
            service, unread = key.data
            if unread is None:
                sock, _ = key.fileobj.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(sock, selectors.EVENT_READ, (service, bytearray()))
                continue
            try:
                data = key.fileobj.recv(65536)
            except OSError:
                data = b""
            if not data:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                continue
            unread += data
            while (taken := take(unread)) is not None:
                if stall is not None and stalls_at == float("inf"):
                    stalls_at = now + stall[0]
                value = json.loads(taken[2])["value"]
                heapq.heappush(due, (now + service, next(number), key.fileobj, replies[value]))


if __name__ == "__main__":
    main(sys.argv[1:])
