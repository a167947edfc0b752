"""Which servers deliver what is published, and how is each started?

Redis and NATS are the programs of their Debian packages, with nothing written to disk. The other peers are in
`benchmarks.fanout.peers`. What is not installed is skipped, and its reason told.

Not here: what they are asked (`protocols.h`), peers that answer requests (`benchmarks.peers`).
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec

from benchmarks.peers import PEERS as REQUEST_PEERS
from benchmarks.processes import ENDS, LISTENING, ServerProcess
from benchmarks.visit import HOST

__all__ = ["BASE", "OURS", "PEERS", "Peer"]

#: What all are compared with.
BASE = "redis"
OURS = "ours"
#: Connections beside the subscribers.
SPARE = 100


@dataclass(frozen=True)
class Peer:
    """`protocol`: the driver's name for it. `arguments`: {port} is a free port, {room} how many connections it takes.

    One with a `program` is that, of a Debian package of this name; else it is a module of `benchmarks.fanout.peers`,
    which `needs` these packages. `listening`: how it says where it listens. `ends`: its exit codes when it is stopped.
    """

    name: str
    what: str
    protocol: str
    arguments: tuple[str, ...] = ()
    program: str = ""
    needs: tuple[str, ...] = ()
    listening: re.Pattern[str] = LISTENING
    ends: tuple[int, ...] = ENDS

    def missing(self) -> str | None:
        """Why it can't run here, or None."""
        if self.program and self._path() is None:
            return f"{self.program} is not installed (Debian: apt-get install {self.program})"
        for module in self.needs:
            if find_spec(module) is None:
                return f"{module} is not installed (pip install '.[bench]')"
        return None

    def version(self) -> str:
        """What it says of itself, or that of the packages it needs; "" for what is of this commit."""
        if self.program:
            said = subprocess.run([self._path() or "", "--version"], capture_output=True, text=True, check=False)
            found = re.search(r"v=?(\d[\w.]*)", said.stdout)
            return found[1] if found else said.stdout.strip()
        return ", ".join(f"{module} {importlib.metadata.version(module)}" for module in self.needs)

    def command_line(self, subscribers: int) -> list[str]:
        room = str(subscribers + SPARE)
        if self.name == OURS:
            return REQUEST_PEERS[OURS].command_line(HOST, 0, "--max-connections", room, *self.arguments)
        filled = [argument.format(port=_free_port(), room=room) for argument in self.arguments]
        if self.program:
            return [self._path() or self.program, *filled]
        return [sys.executable, "-m", filled[0], HOST, "0", *filled[1:]]

    def start(self, subscribers: int, core: int, *more: str) -> ServerProcess:
        """Raises `CannotStart`."""
        return ServerProcess([*self.command_line(subscribers), *more], core, listening=self.listening, ends=self.ends)

    def _path(self) -> str | None:
        return shutil.which(self.program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))


def _free_port() -> int:
    """For a server that can't choose one itself. If another program takes it meanwhile, the server does not start."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


_MODULES = "benchmarks.fanout.peers"
PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in [
        Peer(
            BASE,
            "Redis: SUBSCRIBE and PUBLISH",
            "redis",
            ("--port", "{port}", "--bind", HOST, "--save", "", "--appendonly", "no", "--maxclients", "{room}"),
            program="redis-server",
            listening=re.compile(r"port=(\d+)[\s\S]*Ready to accept connections"),
        ),
        Peer(
            "nats",
            "NATS: SUB and PUB",
            "nats",
            ("--addr", HOST, "--port", "-1"),
            program="nats-server",
            listening=re.compile(r"Listening for client connections on [\d.]+:(\d+)[\s\S]*Server is ready"),
            ends=(0, 1),  # SIGTERM is no failure, but its exit code is 1
        ),
        Peer(
            "websockets",
            "the websockets package's broadcast, on asyncio's loop",
            "websocket",
            (f"{_MODULES}.websockets_server",),
            needs=("websockets",),
        ),
        Peer(
            "websockets-uvloop",
            "the same on uvloop",
            "websocket",
            (f"{_MODULES}.websockets_server", "--uvloop"),
            needs=("websockets", "uvloop"),
        ),
        Peer("bare", "a selectors loop that sends each message to each socket", "bare", (f"{_MODULES}.bare_server",)),
        Peer(OURS, "this project's app_server.py", "ours"),
    ]
}
