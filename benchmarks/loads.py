"""Which loads are there?

A load is a number of connections, a depth (requests in flight on each), and the requests. Its name
says them: `64x16-mixed` is 64 connections at depth 16 with 256 different requests.

There is none for a user's own actions: the server registers and answers the built-in ones on the same path
(`libserver.builtin`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from benchmarks.requests import Variant, blocking, echoed, mixed, odd, repeated, special, varied, with_ids

__all__ = ["LOADS", "Load"]


@dataclass(frozen=True)
class Load:
    """`alone`: one server alive at a time. `fixed`: one request again and again, on kept connections.

    `own`: it asks for what only this project's server has, with `benchmarks/applications/special_actions.py`.
    """

    name: str
    what: str
    connections: int
    depth: int
    variants: Callable[[], list[Variant]] = field(repr=False)
    oneshot: bool = False
    alone: bool = False
    fixed: bool = False
    utf8: bool = True
    own: bool = False


def _shapes() -> list[Load]:
    loads = []
    for connections, depth in ((1, 1), (64, 1), (1000, 1), (64, 16)):
        name = f"{connections}x{depth}"
        shape = f"{connections} connection{'s' * (connections > 1)}, depth {depth}"
        loads += [
            Load(name, f"{shape}, one repeated request", connections, depth, repeated, fixed=True),
            Load(f"{name}-mixed", f"{shape}, 256 different requests", connections, depth, mixed),
        ]
    return loads


LOADS: dict[str, Load] = {
    load.name: load
    for load in [
        *_shapes(),
        Load("64x1-varied", "64 connections, depth 1, 256 requests as of so many clients", 64, 1, varied),
        Load("64x16-varied", "64 connections, depth 16, 256 requests as of so many clients", 64, 16, varied),
        Load("64x1-ids", "64 connections, depth 1, each request with an id", 64, 1, with_ids),
        Load("64x16-ids", "64 connections, depth 16, each request with an id", 64, 16, with_ids),
        Load("64x16-odd", "64 connections, depth 16, other encodings and outer white space", 64, 16, odd, utf8=False),
        *(
            Load(f"64x16-{name}", f"64 connections, depth 16, {what}", 64, 16, partial(special, name), own=True)
            for name, what in (
                ("deadline", "one request in eight with a deadline-ms"),
                ("session", "one request in eight for an action that wants the session"),
                ("rot13", "one request in eight in a rare encoding"),
            )
        ),
        Load(
            "64x1-blocking",
            "64 connections, depth 1, a blocking action that returns at once",
            64,
            1,
            blocking,
            own=True,
        ),
        Load("echo-4k", "64 connections, 4 KiB of binary echoed", 64, 1, lambda: echoed(4096), fixed=True),
        Load("echo-1m", "8 connections, 1 MiB of binary echoed", 8, 1, lambda: echoed(1 << 20), alone=True),
        Load("oneshot", "one connection per request, 64 at a time", 64, 1, lambda: repeated(keep=False), oneshot=True),
    ]
}
