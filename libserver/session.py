"""What may handlers remember of a connection, and know of it?

A dictionary per connection, made on first use, with two facts beside what handlers put there:

    @actions.add("who-am-i")
    def who_am_i(request, session):
        return session.peer                     # 127.0.0.1:51234

    @actions.add("watch", blocking=True)
    def watch(request, session):
        while not session.closed: ...           # nobody waits any more: stop

and what it may listen to, on a server that has topics:

    @actions.add("join")
    def join(request, session):
        session.name = request["name"]
        return session.subscribe("room/lobby", slow="oldest")

Not here: when it is made and when it is closed (`libserver.message`), topics (`libserver.topics`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Session"]


class Broker(Protocol):
    """What keeps subscriptions: `libserver.topics.Topics`."""

    def subscribe(
        self, listener: Any, name: str, slow: str, key: str | None, limit: int, since: tuple[str, int | str] | None
    ) -> dict[str, Any]: ...

    def subscribe_later(
        self,
        listener: Any,
        name: str,
        slow: str,
        key: str | None,
        limit: int,
        since: tuple[str, int | str] | None,
        answer: Callable[[Any, Exception | None], object],
    ) -> None: ...

    def unsubscribe(self, listener: Any, name: str) -> None: ...


class Session(dict[str, Any]):
    """The handlers' dictionary of one connection.

    `peer` is the peer's address as text: `HOST:PORT`, `[HOST]:PORT` for IPv6, `unix` for a UNIX socket, or `?` if the
    peer had gone before it was asked for. `closed` becomes True, once and for good, when the connection has ended; a
    handler in a thread may look at it at any time. `name` is the application's to set: what others are shown of it
    (`members`, the `from` of what it publishes). `on_close(function)` has it called when the connection has ended.

    `listener` is the connection, and `topics` what it may subscribe to, if the server has any.
    """

    __slots__ = ("_listener", "_topics", "closed", "endings", "name", "peer")

    def __init__(self, peer: str, listener: Any = None, topics: Broker | None = None) -> None:
        super().__init__()
        self.peer = peer
        self.name: str | None = None
        self.closed = False
        #: called when the connection has ended
        self.endings: tuple[Callable[[Session, str], object], ...] = ()
        self._listener = listener
        self._topics = topics

    def on_close(self, function: Callable[[Session, str], object]) -> None:
        """Call `function(session, reason)` on the loop when this connection has ended, as `Actions.on_disconnect` does
        for all connections. What a handler does not watch costs nothing.
        """
        self.endings += (function,)

    def subscribe(
        self,
        topic: str,
        slow: str = "cut",
        key: str | None = None,
        limit: int = 1000,
        since: tuple[str, int | str] | None = None,
    ) -> dict[str, Any]:
        """Have what is published to `topic` sent to this client, as events, from the end of this turn on.

        `topic` is a name, `a/*` or `a/**`. `slow` says what happens when it reads too slowly and `limit` messages wait
        for it: `cut`, `oldest`, `newest` or `latest` (per `key`, a field of the values). `since`, `(epoch, seq)`: what
        was published after that comes first. Returns what the action `subscribe` answers. Raises `ActionError`, and
        `RuntimeError` from a blocking action's thread or on a server without topics.
        """
        return self._broker().subscribe(self._listener, topic, slow=slow, key=key, limit=limit, since=since)

    def subscribe_later(self, answer: Callable[[Any, Exception | None], object], topic: str, **options: Any) -> None:
        """With a backplane: `answer(result, error)` is called when it is known where the topic stands."""
        self._broker().subscribe_later(self._listener, topic, **options, answer=answer)

    def unsubscribe(self, topic: str) -> None:
        """End that: no event of it follows the reply. Raises as `subscribe`."""
        self._broker().unsubscribe(self._listener, topic)

    def _broker(self) -> Broker:
        if self._topics is None:
            raise RuntimeError("this server has no topics: give its Actions some, Actions(topics=Topics())")
        return self._topics
