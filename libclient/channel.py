"""How does a client keep one connection open on which the server may speak first?

A `Channel` holds one message open to one address, opens another when it ends, and passes on what the server says
without being asked.

    channel = Channel(shared, address, opened=hello, notified=print)
    channel.open()
    channel.send(action_request("ping"), lambda value, error: print(value, error))

Rules:

* `opened` is called on each new connection before anything else is sent on it: there a program says again what
  the server has to know of it (who it is, what it subscribes to).
* A request is sent once. One that had begun to leave when the connection ended fails, since it may have been carried
  out; one that had not waits for the next connection, unless it belonged to the old one (`here=True`).
* A connection that ends is opened again after a pause: exponential backoff with full jitter (`libclient.call`), without
  an end. `lost` hears why, each time. A peer that grants no keep-alive can't be a channel: that is the end of it.
* When nothing has come for `heartbeat` seconds a `ping` is sent: a server that has vanished without a FIN is found.

Not here: many requests over many connections (`libclient.pool`), subscriptions (`libclient.subscriptions`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from eventloop import Address, Endpoint, Timer
from protocol import Header, Notification, ProtocolError

from .call import Backoff, error_in
from .connect import broken, not_connected, resolve
from .errors import BadReply, ConnectionFailed
from .message import Message
from .outgoing import Outgoing, action_request
from .owner import Ending, Shared, UnaskedReply
from .reasons import EndReason

__all__ = ["Channel", "Done"]

#: Told what a request came to: the decoded reply, or the error in its place.
Done = Callable[[Any, Exception | None], object]


class _Asked:
    """A request on its way, and who hears of its reply. `here`: it belongs to this connection alone."""

    __slots__ = ("done", "here", "request")

    def __init__(self, request: Outgoing, done: Done, here: bool) -> None:
        self.request = request
        self.done = done
        self.here = here


class Channel:
    """One connection to `address`, opened again whenever it ends.

    `opened()` is called on each new connection, `notified(event)` for each event, and `lost(error, final)` when a
    connection ends or can't be made; if it is `final`, no other will be opened. `shared` has the loop and the timeouts;
    `heartbeat` seconds, 0 for none. All calls come from the loop. `failures` counts the connections in a row that
    brought nothing.
    """

    def __init__(
        self,
        shared: Shared,
        address: Address,
        *,
        opened: Callable[[], object],
        notified: Callable[[Notification], object],
        lost: Callable[[Exception, bool], object] = lambda error, final: None,
        backoff: Backoff | None = None,
        heartbeat: float,
        resolve: Callable[[Address], list[Endpoint]] = resolve,
    ) -> None:
        self.address = address
        self.failures = 0
        self._shared = shared
        self._opened = opened
        self._notified = notified
        self._lost = lost
        self._backoff = backoff or Backoff()
        self._heartbeat = heartbeat
        self._resolve = resolve
        self._waiting: deque[_Asked] = deque()  # for a connection
        self._message: Message | None = None
        self._ending: Message | None = None  # closed by us, and not yet told
        self._pause: Timer | None = None  # before the next connection
        self._beat: Timer | None = None
        self._heard = False  # since the last beat
        self._paused = False
        self._wanted = False  # between `open` and `close`

    # --- facts ---------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Is there a connection?"""
        return self._message is not None and self._message.transport is not None and self._message.usable

    @property
    def settled(self) -> bool:
        """It is closed, and so is its connection."""
        return not self._wanted and self._message is None and self._ending is None

    # --- requests ------------------------------------------------------------------------

    def send(self, request: Outgoing, done: Done, *, here: bool = False) -> None:
        """Send `request` now, or when there is a connection. `done(reply, error)` is called once, from the loop.

        `here`: it is about this connection, and fails with it; only from `opened`, or while it is connected.
        """
        asked = _Asked(request, done, here)
        if self._message is not None and self.connected:
            self._message.send(request, asked)
        else:
            self._waiting.append(asked)

    def pause_reading(self) -> None:
        """Read no more of it: what the server sends stays in the kernel, and the server sees a slow reader."""
        self._paused = True
        if self._message is not None and self._message.transport is not None:
            self._message.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._paused = False
        if self._message is not None and self._message.transport is not None:
            self._message.transport.resume_reading()

    # --- opening and closing -------------------------------------------------------------

    def open(self) -> None:
        """Have a connection from now on."""
        if not self._wanted:
            self._wanted = True
            self._connect()

    def close(self) -> None:
        """Close it for good. Requests that wait for a reply are not told any more."""
        self._wanted = False
        self._waiting.clear()
        for timer in (self._pause, self._beat):
            if timer is not None:
                timer.cancel()
        self._pause = self._beat = None
        message, self._message = self._message, None
        if message is not None:
            self._ending = message
            if message.usable and not (message.in_flight or message.queued):
                message.close()
            message.abort()

    def _connect(self) -> None:
        self._pause = None
        try:
            endpoints = self._resolve(self.address)
        except ConnectionFailed as error:
            self._try_again(error)
            return
        self._message = Message(self._shared, self, endpoints, notified=self._event)

    def _try_again(self, error: Exception) -> None:
        self.failures += 1
        self._pause = self._shared.loop.call_later(self._backoff.delay(self.failures), self._connect)
        self._lost(error, False)

    # --- what the message tells ------------------------------------------------------------

    def opened(self, message: Message) -> None:
        self._heard = True
        if self._heartbeat and self._beat is None:
            self._beat = self._shared.loop.call_later(self._heartbeat, self._look)
        if self._paused and message.transport is not None:
            message.transport.pause_reading()
        self._opened()
        waiting, self._waiting = self._waiting, deque()
        message.send_all([(asked.request, asked) for asked in waiting])

    def response(self, message: Message, context: Any, value: object, header: Header) -> None:
        self._heard = True
        self.failures = 0
        if isinstance(value, ProtocolError):
            where = self.address.endpoint
            context.done(None, BadReply(f"the content of the reply from {where} can't be read: {value}"))
        else:
            context.done(value, error_in(value))

    def _event(self, event: Notification) -> None:
        self._heard = True
        self._notified(event)

    def closed(self, message: Message, ending: Ending) -> None:
        if message is self._ending:
            self._ending = None
            return
        self._message = None
        error = self._why(ending)
        unsent = [asked for _, asked in ending.unsent]
        self._waiting.extendleft(asked for asked in reversed(unsent) if not asked.here)
        for asked in (*(asked for _, asked in ending.unanswered), *(asked for asked in unsent if asked.here)):
            asked.done(None, error)
        if not self._wanted:
            return
        if ending.reason is EndReason.ONE_SHOT:
            self._wanted = False
            words = f"{self.address.endpoint} keeps no connection open, so it can't send events"
            self._lost(ConnectionFailed(words), True)
        elif self._pause is None:
            self._try_again(error)

    def _why(self, ending: Ending) -> Exception:
        if ending.reason is EndReason.NOT_CONNECTED:
            return not_connected(self.address, ending.errors)
        said = ending.errors[0] if ending.errors else None
        reply = error_in(said.value) if isinstance(said, UnaskedReply) else None
        return reply or broken(self.address, ending.reason, ending.errors, self._shared.reply_timer.seconds)

    # --- heartbeat -------------------------------------------------------------------------

    def _look(self) -> None:
        """Has the server said a word since the last look?"""
        self._beat = self._shared.loop.call_later(self._heartbeat, self._look)
        message = self._message
        if message is not None and self.connected and not (self._heard or self._paused or message.in_flight):
            self.send(action_request("ping"), lambda value, error: None, here=True)
        self._heard = False
