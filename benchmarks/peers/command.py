"""How is every peer started, and how does it say where it listens?

`python -m benchmarks.peers.NAME HOST PORT`: port 0 takes a free one. One line on stderr, as the
project's own server has it, tells the harness where: `Listening on HOST:PORT`.
"""

from __future__ import annotations

import argparse
import resource
import socket
import sys

__all__ = ["BACKLOG", "READ_SIZE", "announce", "arguments", "listen", "read_modestly"]

#: The same for every peer, and as large as the project's: a thousand connections come at once.
BACKLOG = 4096

#: Bytes asked of one read. Not more: from 128 KiB on, glibc maps and unmaps memory for each read, which
#: costs more than the read itself.
READ_SIZE = 64 * 1024


def arguments(*options: str) -> argparse.Namespace:
    """HOST and PORT, and the flags that a peer has beside them. Raises the descriptor limit on the way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    for option in options:
        parser.add_argument(option, action="store_true")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return parser.parse_args()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket whose accepted sockets have TCP_NODELAY: they inherit it, a call less for each."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.bind((host, port))
    sock.listen(BACKLOG)
    return sock


def read_modestly(transport: object) -> None:
    """Have an asyncio transport ask for `READ_SIZE`: its own 256 KiB nearly double what a request costs it.

    The attribute is not documented. uvloop has none, and no need of it.
    """
    if hasattr(transport, "max_size"):
        vars(transport)["max_size"] = READ_SIZE


def announce(address: tuple[str, int]) -> None:
    print(f"Listening on {address[0]}:{address[1]}", file=sys.stderr, flush=True)
