"""Who keeps everybody else waiting?

Everything here runs on one thread, so a handler that sleeps, or computes for long, costs all others
that time. When a turn of the loop has lasted `SLOW` seconds, whatever it was doing is told: the
action, if it was a handler (then `blocking=True` is the cure), else how much there was to do.

Rules:

* While nothing is slow it costs a look at the clock for each read, and no more. Who it was is
  found out afterwards, from what was read.
* Nobody is named for what others took before it in the same turn: what counts is the time since the
  last look. A turn that is slow with all it had to do is told as such, when it is over.

asyncio's `slow_callback_duration` is the idea, and the number.
Not here: how often it is told (`libserver.notices`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from protocol import Connection, Request

from .actions import Action

if TYPE_CHECKING:
    from .message import Message
    from .server import Server

__all__ = ["SLOW", "Slowness"]

#: Seconds.
SLOW = 0.1
#: Actions that are named of one read: it may have asked for many.
NAMED = 5


class Slowness:
    """What a server says of turns that are too long."""

    __slots__ = ("_server", "_told", "looked")

    def __init__(self, server: Server) -> None:
        self._server = server
        self._told = -math.inf  # when the last was told
        #: when the last that was answered had been: whoever answers writes it, and asks `answered` or `handled` before
        self.looked = -math.inf

    def handled(self, message: Message, asked: object) -> None:
        """The turn is slow, and `asked` was answered last: an action, a JSON value, or the header of bytes."""
        if self._since() < SLOW:
            return
        action = asked if isinstance(asked, Action) else self._server.actions.of(asked)
        self._tell(message, [] if action is None else [action])

    def answered(self, message: Message, data: bytes) -> None:
        """The turn is slow, and the requests in `data` were answered last."""
        if self._since() < SLOW:
            return
        connection = Connection(self._server.codec)
        connection.persistent = True
        found: dict[Action, None] = {}
        connection.feed(data)
        while (event := connection.next_event()) is not None:
            if isinstance(event, Request):
                action = self._server.actions.of(event.content if event.header.is_json else event.header)
                if action is not None and not action.blocking:
                    found[action] = None
        self._tell(message, [*found])

    def _since(self) -> float:
        """Seconds since the last look in this turn, or since it began."""
        loop = self._server.loop
        return loop.clock() - max(loop.now, self.looked)

    def _tell(self, message: Message, actions: list[Action]) -> None:
        held = self._since()
        self._told = self._server.loop.clock()
        whose = " or ".join(map(str, actions[:NAMED])) or "what it sent"
        advice = "; if that can't be quicker, register it with blocking=True" if actions else ""
        self._server.notices.tell(
            "slow-handler" if actions else "slow-turn",
            f"%s kept everybody else waiting for %.2f s{advice}",
            whose,
            held,
            facts=message.facts,
            held=round(held, 3),
            action=", ".join(action.name for action in actions[:NAMED]),
            registered=", ".join(action.registered for action in actions[:NAMED]),
        )

    def turned(self, seconds: float) -> None:
        """A turn has taken so long. If no single request was slow, all of it together was."""
        loop = self._server.loop
        if self._told < loop.now:
            self._told = loop.clock()
            text = "a turn of the loop took %.2f s: %d were ready, %d connections are open"
            ready, there = loop.ready, len(self._server.connections)
            self._server.notices.tell("slow-turn", text, seconds, ready, there, held=round(seconds, 3))
