"""What is a broken variant, and how does one thing of a healthy server get broken?

A variant is our own server, unchanged but for one behaviour, broken where that behaviour lives: a
function that does its work replaces or wraps the original before the server starts.

    @broken("ids-dropped", "replies carry no id", "servers that ...", "HV18")
    def ids_dropped() -> None:
        ...replace one function...

Rules:

* One mistake each, as a programmer would make it; everything else keeps working, so that only
  the case about it can tell.
* The dispatcher answers most requests without the slow path; a mistake made in that calls
  `slow_path_only` first, or the dispatcher would hide it.

Not here: the mistakes (`framing`, `replies`, `flow`, `topics`), starting a variant (`broken`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from libserver import dispatcher

__all__ = ["BREAKS", "Break", "broken", "replace", "slow_path_only"]

Function = Callable[..., Any]


@dataclass(frozen=True)
class Break:
    """One mistake: `what` goes wrong, where it was `seen`, and the id of the case that must not be OK on it.

    `after` are cases that run before that one, to give the mistake its occasion; what they find
    does not count.
    """

    name: str
    what: str
    seen: str
    caught_by: str
    apply: Callable[[], None]
    options: tuple[str, ...]  # of the server, so that the mistake shows in seconds
    after: tuple[str, ...]
    verdict: str  # that it must be given
    slow: bool  # it shows only after many seconds, or by how busy its process is: not side by side with others


BREAKS: dict[str, Break] = {}


def broken(
    name: str,
    what: str,
    seen: str,
    caught_by: str,
    *,
    options: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
    verdict: str = "FAILED",
    slow: bool = False,
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Decorator: register the function that makes the mistake."""

    def register(apply: Callable[[], None]) -> Callable[[], None]:
        if name in BREAKS:
            raise ValueError(f"there are two variants named {name}")
        BREAKS[name] = Break(name, what, seen, caught_by, apply, options, after, verdict, slow)
        return apply

    return register


def replace(original: Function, new: Function) -> None:
    """Put `new` in the place of a function wherever the server's modules have it by name.

    Raises `LookupError` if nobody does: then the variant would be a healthy server.
    """
    places = 0
    for module in [m for name, m in sys.modules.items() if name.partition(".")[0] in ("protocol", "libserver")]:
        for name, value in list(vars(module).items()):
            if value is original:
                setattr(module, name, new)
                places += 1
    if not places:
        raise LookupError(f"no module has {original!r} any more: mend the variant")


def slow_path_only() -> None:
    """Answer event by event, never many at once."""
    dispatcher.Dispatcher.serve = lambda self, *asked: (0, [], 0)  # type: ignore[method-assign]
    dispatcher.Dispatcher.serve_each = lambda self, *asked: None  # type: ignore[method-assign]
