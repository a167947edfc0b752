"""Which servers does a run compare?

Each peer is a program that serves the wire on HOST PORT: see `benchmarks.peers.session` for what
they share, and each file for what it adds.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from benchmarks.compiling import SERVER, CannotCompile, compiled
from benchmarks.loads import Load
from benchmarks.processes import ROOT

__all__ = ["OURS", "PEERS", "Peer", "chosen"]

T = TypeVar("T")


@dataclass(frozen=True)
class Peer:
    """`needs`: the modules it imports beside the standard library; `fixed_only`: it takes one repeated request only.

    `root`: the directory that it is started in and imports from.
    """

    name: str
    what: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    fixed_only: bool = False
    utf8_only: bool = False
    root: Path = ROOT

    def missing(self) -> str | None:
        """Why it can't run here, or None."""
        for module in self.needs:
            if find_spec(module) is None:
                return f"{module} is not installed (pip install '.[bench]')"
        if self.command == C_SERVER:
            try:
                compiled(SERVER)
            except CannotCompile as error:
                return str(error)
        return None

    def takes(self, load: Load) -> bool:
        """Does it speak enough of the wire for this load?"""
        if load.own and self.command != OURS:
            return False
        return (load.fixed or not self.fixed_only) and (load.utf8 or not self.utf8_only)

    def options_for(self, load: Load) -> tuple[str, ...]:
        """What it is started with for this load."""
        return ("--app", "special_actions:actions") if load.own else ()

    def room_for(self, connections: int) -> tuple[str, ...]:
        """The options it needs to take so many: only the project's own server has a limit of its own."""
        return ("--max-connections", str(connections + 100)) if self.command == OURS else ()

    def command_line(self, host: str, port: int, *options: str) -> list[str]:
        if self.command == C_SERVER:
            return [str(compiled(SERVER)), host, str(port), *options]
        return [sys.executable, *self.command, host, str(port), *options]


C_SERVER = ("c",)
OURS = ("app_server.py",)


def _module(name: str, *options: str) -> tuple[str, ...]:
    return ("-m", f"benchmarks.peers.{name}", *options)


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in [
        Peer("ours", "this project's app_server.py", OURS),
        Peer("message-uvloop", "this project's Message on uvloop", _module("message_adapter", "--uvloop"), ("uvloop",)),
        Peer(
            "together-uvloop",
            "the same, where what is read waits as on our loop",
            _module("message_adapter", "--uvloop", "--together"),
            ("uvloop",),
        ),
        Peer("message-asyncio", "this project's Message on asyncio's loop", _module("message_adapter")),
        Peer("uvloop", "asyncio.Protocol on uvloop", _module("asyncio_protocol", "--uvloop"), ("uvloop",)),
        Peer("asyncio", "asyncio.Protocol on asyncio's own loop", _module("asyncio_protocol")),
        Peer("streams", "asyncio streams, a task per connection", _module("asyncio_streams")),
        Peer("gevent", "gevent, a greenlet per connection", _module("gevent_server"), ("gevent",)),
        Peer("trio", "trio, a task per connection", _module("trio_server"), ("trio",)),
        Peer("twisted", "Twisted on its epoll reactor", _module("twisted_server"), ("twisted",)),
        Peer("threads", "socketserver.ThreadingTCPServer, a thread per connection", _module("threading_server")),
        Peer("c", "the same protocol in C on epoll: the limit", C_SERVER, utf8_only=True),
        Peer("ceiling", "a selectors loop that does not parse: Python's ceiling", _module("ceiling"), fixed_only=True),
    ]
}


def chosen(text: str | None, known: Mapping[str, T], kind: str) -> list[T]:
    """The peers of a comma-separated list; all, for None. Raises `ValueError` for an unknown one."""
    if text is None:
        return list(known.values())
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"there is no {kind} {', '.join(unknown) or 'named'}; there are {', '.join(known)}")
    return [known[name] for name in names]
