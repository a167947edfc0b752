"""What can one unknown peer cost the server at most?

`python -m benchmarks exposure` starts the server with its default limits, once per row, and has peers
do what costs most: hold memory with as few bytes as possible, or the loop with as large a value as
they may. The rows are the figures of docs/understand/security.md.

Memory is the growth of resident memory (VmRSS), or its peak (VmHWM): the process's own. What the
kernel keeps in its socket buffers comes on top. CPU time is the process's, user and system. What a good client
waits beside such peers is measured by `beside`.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.arguments import save
from benchmarks.environment import environment
from benchmarks.processes import CannotStart, ServerProcess, cores, raise_descriptor_limit, resident_bytes
from benchmarks.requests import echoed, frame, repeated
from benchmarks.soak.beside import deep, latencies_beside, percentile, wide
from benchmarks.soak.reading import Replies, Reply
from benchmarks.soak.settings import HOST, KIB

__all__ = ["Row", "main"]

MIB = KIB * KIB
PATIENCE = 60.0
#: Seconds for the server to take what was sent; it answers within microseconds.
SETTLE = 0.5

TEXT: dict[str, object] = {
    "byteorder": "little",
    "content-type": "text/json",
    "content-encoding": "utf-8",
    "content-length": None,
}
BINARY = TEXT | {"content-type": "binary/echo", "content-encoding": "binary"}


@dataclass(frozen=True)
class Row:
    """`cost` in the unit of its row, for `sent` bytes each of `peers` peers."""

    what: str
    peers: int
    sent: int
    cost: float
    unit: str


class NotHeld(Exception):
    """What should be measured did not happen; the text is what did."""


#: No time runs out on what is held: it takes us longer to send than a server waits.
WITHOUT_TIMERS = ("--header-timeout", "0", "--content-timeout", "0", "--min-data-rate", "0")


def _start(*options: str) -> ServerProcess:
    # At its end what peers have sent is still read and answered: longer than we wait, if they are many.
    command = [sys.executable, "app_server.py", HOST, "0", "--drain-timeout", "1s", *options]
    return ServerProcess(command, cores()[0])


def _connect(server: ServerProcess) -> socket.socket:
    return socket.create_connection((HOST, server.port), timeout=PATIENCE)


def _ask(sock: socket.socket, request: bytes) -> Reply:
    sock.sendall(request)
    replies = Replies()
    while True:
        data = sock.recv(MIB)
        if not data:
            raise ConnectionError("closed without a reply")
        if found := replies.feed(data):
            return found[0]


def _warm(server: ServerProcess) -> None:
    """What every server does once is not the peers' cost."""
    for _ in range(20):
        with _connect(server) as sock:
            _ask(sock, repeated(keep=False)[0].request)
    time.sleep(SETTLE)


# --- memory that is held -----------------------------------------------------------------


def _check_held(what: str, socks: Sequence[socket.socket]) -> None:
    """Raises `NotHeld` if the server answers what should be held, or has closed: it would hold nothing."""
    asked = select.poll()  # of descriptors beyond `select`'s 1,024, too
    for sock in socks:
        asked.register(sock, select.POLLIN)
    if asked.poll(0):
        raise NotHeld(f"{what}: the server answered, or closed")


def held(what: str, peers: int, data: bytes, unread: bool = False) -> Row:
    """`peers` connections that each send `data` and then nothing; with `unread` as much of it as is taken."""
    with _start(*WITHOUT_TIMERS) as server, ExitStack() as open_:
        _warm(server)
        before = resident_bytes(server.pid)
        sent = 0
        socks = [open_.enter_context(socket.socket()) for _ in range(peers)]
        for sock in socks:
            if unread:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.settimeout(0.3 if unread else PATIENCE)
            sock.connect((HOST, server.port))
            try:
                sock.sendall(data)
                sent += len(data)
            except TimeoutError:
                pass  # it is read no more: the server's own mark is reached
        time.sleep(SETTLE)
        if not unread:
            _check_held(what, socks)
        return Row(what, peers, sent // peers or len(data), (resident_bytes(server.pid) - before) / peers, "bytes each")


def announced(sent: int, peers: int) -> Row:
    """A content of 64 MiB is announced and so much of it sent, the last byte by itself: room is made when it comes."""
    whole = frame(b"", BINARY | {"content-length": 64 * MIB})
    with _start(*WITHOUT_TIMERS) as server, ExitStack() as open_:
        _warm(server)
        before = resident_bytes(server.pid)
        socks = []
        for _ in range(peers):
            sock = open_.enter_context(_connect(server))
            sock.sendall(whole + bytes(sent - 1))
            time.sleep(0.05)
            sock.sendall(b"\0")
            socks.append(sock)
        time.sleep(SETTLE)
        what = f"{sent:,} bytes of a content of 64 MiB"
        _check_held(what, socks)
        grown = (resident_bytes(server.pid) - before) / peers
    return Row(what, peers, sent, grown, "bytes each")


def caches() -> Row:
    """Ever new headers, as long as are remembered, with and without ids; replies of ever new lengths."""
    with _start() as server, _connect(server) as sock:
        _warm(server)
        before = resident_bytes(server.pid)
        sent = 0
        for number in range(5000):
            more: dict[str, object] = {"connection": "keep-alive", "filler": f"{number:05}" + "x" * 320}
            more |= {"id": number} if number % 2 else {}
            content = b'{"action": "echo", "value": "%s"}' % (b"y" * number)
            request = frame(content, TEXT | more)
            sent += len(request)
            _ask(sock, request)
        return Row("5,000 different headers and reply lengths", 1, sent, resident_bytes(server.pid) - before, "bytes")


# --- time of the loop, and memory while it lasts -----------------------------------------


def parsed(what: str, piece: bytes, size: int) -> list[Row]:
    """One JSON content of `size` bytes, out of the smallest values that Python has to make objects of."""
    begin, end = b'{"action": "none", "value": [', b"0]}"
    content = begin + piece * ((size - len(begin) - len(end)) // len(piece)) + end
    with _start() as server, _connect(server) as sock:
        _warm(server)
        before, used = _peak(server), server.cpu_seconds()
        reply = _ask(sock, frame(content, TEXT))
        if reply.error_code() != "unknown-action":
            raise ConnectionError(f"a wrong reply: {reply.content[:100]!r}")
        grown, took = _peak(server) - before, server.cpu_seconds() - used
    name = f"a JSON content of {size // MIB} MiB, {what}"
    return [
        Row(name, 1, len(content), grown / len(content), "times its size, while it is answered"),
        Row(name, 1, len(content), took * 1e3, "CPU milliseconds, in which no other peer is served"),
    ]


def beside(what: str, peers: int, content: bytes, seconds: float = 6.0, declared: int | None = None) -> list[Row]:
    """What a good client waits beside such peers. `declared`: only so much is said of a content that is not sent."""
    header = TEXT | {"connection": "keep-alive"}
    request = frame(content, header) if declared is None else frame(b"", header | {"content-length": declared})
    with _start() as server:
        _warm(server)
        before = _peak(server)
        latencies = latencies_beside(server.port, peers, request, seconds)
        grown = _peak(server) - before
    return [
        Row(what, peers, len(request), percentile(latencies, 0.99) / 1e3, "ms: p99 of a good client beside them"),
        Row(what, peers, len(request), latencies[-1] / 1e3, "ms: its longest"),
        Row(what, peers, len(request), grown / MIB, "MiB of memory in all"),
    ]


def _peak(server: ServerProcess) -> int:
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * KIB
    return 0


def connecting(what: str, data: bytes, count: int = 2000) -> Row:
    """Connections one after the other that send `data` and read to the end."""
    with _start() as server:
        _warm(server)
        used = server.cpu_seconds()
        for _ in range(count):
            with _connect(server) as sock:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(4096):
                    pass
        return Row(what, count, len(data), (server.cpu_seconds() - used) / count * 1e6, "CPU microseconds each")


def pushing() -> Row:
    """After its last reply a peer goes on sending as fast as it can: how much CPU, until it is cut?"""
    with _start() as server, _connect(server) as sock:
        _warm(server)
        _ask(sock, b"\0\0")
        used, begun = server.cpu_seconds(), time.monotonic()
        sent = 0
        junk = bytes(64 * KIB)
        try:
            while time.monotonic() < begun + PATIENCE:
                sent += sock.send(junk)
        except ConnectionError:
            pass  # cut
        seconds = time.monotonic() - begun
        took = server.cpu_seconds() - used
    return Row(f"junk behind an error, cut after {seconds:.1f} s", 1, sent, took, "CPU seconds")


MEASURED: dict[str, Callable[[], Row | list[Row]]] = {
    "silent": lambda: held("connected and silent", 1000, b""),
    "header": lambda: held("65,000 bytes of a header", 200, b"\xff\xff{" + b" " * 64_997),
    "content": lambda: held("60,000 bytes of a content of 65,000", 200, echoed(65_000)[0].request[:-5000]),
    "announced": lambda: [
        announced(100, 200),
        announced(33_000, 100),
        announced(530_000, 20),
        announced(8_500_000, 4),
    ],
    "unread": lambda: held("unread replies of 64 KiB", 20, echoed(64 * KIB)[0].request * 200, unread=True),
    "caches": caches,
    "lists": lambda: parsed("of lists 100 deep", b"[" * 100 + b"]" * 100 + b",", MIB),
    "objects": lambda: parsed("of empty objects", b"{},", MIB),
    "members": lambda: parsed("of objects with one member", b'{"":0},', MIB),
    "numbers": lambda: parsed("of numbers", b"1e9,", MIB),
    "beside-none": lambda: beside("no peer", 0, b"0"),
    "beside-refused": lambda: beside("64 MiB of JSON announced", 1, b"", declared=64 * MIB),
    "beside-1": lambda: beside("searches of 1 MiB of lists 100 deep", 1, deep(MIB)),
    "beside-45": lambda: beside("searches of 1 MiB of lists 100 deep", 45, deep(MIB)),
    "beside-45-echo": lambda: beside("echoes of 1 MiB of objects", 45, wide(MIB)),
    "beside-200": lambda: beside("searches of 60 KiB of lists 100 deep", 200, deep(60 * KIB)),
    "beside-200-small": lambda: beside("searches of 7 KiB of lists 100 deep", 200, deep(7 * KIB)),
    "one-shot": lambda: connecting("a one-shot request on a connection", repeated(keep=False)[0].request),
    "nonsense": lambda: connecting("nonsense on a connection", b"\0\0"),
    "empty": lambda: connecting("a connection that says nothing and ends", b""),
    "pushing": pushing,
}


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks exposure", description="What one peer can cost.")
    parser.add_argument("--only", metavar="NAMES", help=f"comma-separated, of {', '.join(MEASURED)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    options = parser.parse_args(argv)
    names = options.only.split(",") if options.only is not None else list(MEASURED)
    if unknown := [name for name in names if name not in MEASURED]:
        parser.error(f"there is no {unknown[0]!r}; there are {', '.join(MEASURED)}")
    raise_descriptor_limit()
    rows: list[Row] = []
    code = 0
    try:
        for name in names:
            found = MEASURED[name]()
            for row in found if isinstance(found, list) else [found]:
                rows.append(row)
                print(f"{row.what:<52}{row.peers:>6,} x{row.sent:>13,} bytes:{row.cost:>14,.2f} {row.unit}", flush=True)
    except KeyboardInterrupt:
        code = 130
    except (CannotStart, NotHeld, OSError) as error:
        print(f"benchmarks exposure: {name}: {error}", file=sys.stderr)
        code = 1
    if options.json is not None:
        everything = {"kind": "exposure", "environment": environment(), "rows": [asdict(row) for row in rows]}
        code = save(options.json, json.dumps(everything, indent=1) + "\n") or code
    return code
