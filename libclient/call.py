"""What is one request on its way to its answer, and how long to wait before it is tried again?

Not here: which connection takes it (`libclient.pool`).
Full jitter: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol import Header

from .errors import ErrorReply
from .outgoing import Outgoing

__all__ = ["Backoff", "Call", "chance", "error_in"]


def chance() -> float:
    """A number from 0 to 1."""
    import random  # takes a while, and a call that succeeds never needs it

    return random.random()


class Backoff:
    """How long to wait before trying again: between 0 and `base` doubled with each failure, at most `cap`.

    Seconds. `cap` bounds how long after its return a server is found. `random` returns numbers from 0 to 1, and is
    passed in so that tests know them.
    """

    __slots__ = ("base", "cap", "random")

    def __init__(self, base: float = 0.1, cap: float = 1.0, random: Callable[[], float] = chance) -> None:
        self.base = base
        self.cap = cap
        self.random = random

    def delay(self, failures: int) -> float:
        """Seconds to wait after `failures` (from 1) in a row."""
        return self.random() * min(self.cap, self.base * 2.0 ** min(failures - 1, 64))


class Call:
    """One request on its way to its answer.

    When `done`, either `error` is set, or `value` and `header` are: the decoded JSON, or bytes-like
    for other types. `lost_at` (seconds, the loop's clock) is when it first had left and the connection ended without
    warning; None if it never did.
    """

    __slots__ = ("done", "error", "header", "idempotent", "lost_at", "request", "value")

    def __init__(self, request: Outgoing, idempotent: bool = False) -> None:
        self.request = request
        self.idempotent = idempotent
        self.done = False
        self.value: Any = None
        self.header: Header | None = None
        self.error: Exception | None = None
        self.lost_at: float | None = None


def error_in(value: object) -> ErrorReply | None:
    """The error that a decoded reply carries, if it does (wire.md, "Replies")."""
    if not isinstance(value, dict):
        return None
    error = value.get("error")
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        return None
    return ErrorReply(error["code"], str(error.get("message", "")), value)
