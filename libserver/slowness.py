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
from collections.abc import Sized

from eventloop import EventLoop
from protocol import Codec, Connection, Request

from .actions import Action, Actions
from .notices import Notices, Source

__all__ = ["SLOW", "Slowness"]

#: Seconds.
SLOW = 0.1
#: Actions that are named of one read: it may have asked for many.
NAMED = 5


class Slowness:
    """What a server says of turns that are too long. `connections` are the open ones: it says how many there are."""

    __slots__ = ("_actions", "_codec", "_connections", "_loop", "_notices", "_told", "looked")

    def __init__(self, loop: EventLoop, codec: Codec, actions: Actions, notices: Notices, connections: Sized) -> None:
        self._loop = loop
        self._codec = codec
        self._actions = actions
        self._notices = notices
        self._connections = connections
        self._told = -math.inf  # when the last was told
        #: when the last that was answered had been: whoever answers writes it, and asks `answered` or `handled` before
        self.looked = -math.inf

    def handled(self, source: Source, asked: object) -> None:
        """The turn is slow, and `asked` was answered last: an action, a JSON value, or the header of bytes."""
        if self._since() < SLOW:
            return
        action = asked if isinstance(asked, Action) else self._actions.of(asked)
        self._tell(source, [] if action is None else [action])

    def answered(self, source: Source, data: bytes) -> None:
        """The turn is slow, and the requests in `data` were answered last."""
        if self._since() < SLOW:
            return
        connection = Connection(self._codec)
        connection.persistent = True
        found: dict[Action, None] = {}
        connection.feed(data)
        while (event := connection.next_event()) is not None:
            if isinstance(event, Request):
                action = self._actions.of(event.content if event.header.is_json else event.header)
                if action is not None and not action.blocking:
                    found[action] = None
        self._tell(source, [*found])

    def _since(self) -> float:
        """Seconds since the last look in this turn, or since it began."""
        loop = self._loop
        return loop.clock() - max(loop.now, self.looked)

    def _tell(self, source: Source, actions: list[Action]) -> None:
        held = self._since()
        self._told = self._loop.clock()
        whose = " or ".join(map(str, actions[:NAMED])) or "what it sent"
        advice = "; if that can't be quicker, register it with blocking=True" if actions else ""
        self._notices.tell(
            "slow-handler" if actions else "slow-turn",
            f"%s kept everybody else waiting for %.2f s{advice}",
            whose,
            held,
            facts=source.facts,
            held=round(held, 3),
            action=", ".join(action.name for action in actions[:NAMED]),
            registered=", ".join(action.registered for action in actions[:NAMED]),
        )

    def turned(self, seconds: float) -> None:
        """A turn has taken so long. If no single request was slow, all of it together was."""
        loop = self._loop
        if self._told < loop.now:
            self._told = loop.clock()
            text = "a turn of the loop took %.2f s: %d were ready, %d connections are open"
            ready, there = loop.ready, len(self._connections)
            self._notices.tell("slow-turn", text, seconds, ready, there, held=round(seconds, 3))
