"""How does a script use all this in three lines?

    with Client("127.0.0.1:65432") as c:
        print(c.request("search", "morpheus"))

`Client` runs a `Pool` of messages on a loop of its own and blocks until the calls it was given
are done. For many at once:

    with Client("127.0.0.1:65432", connections=100) as c:
        c.map([("search", word) for word in words])         # over all connections, in any order
        c.pipeline([("confirm", 1), ("confirm", 2)])        # down one connection, in this order

Rules:

* Every method returns what the server answered, or raises: `ErrorReply` if the answer is an
  error, a `ConnectionFailed` if there is none.
* Connections are opened when they are needed, and kept for the next call if the server grants it.
* Between calls nobody reads the sockets. So each call first takes in what came meanwhile: a
  connection that the server closed while idle is noticed before anything is sent on it. What
  can't be noticed, a close that crosses the request on its way, is repeated if the call was
  declared `idempotent=True`; otherwise the error says that it may have been carried out.
* Not for several threads at once: give each its own.

Not here: which connection takes which call, trying again (`libclient.pool`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from selectors import BaseSelector
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from eventloop import Address, Endpoint, EventLoop
from eventloop.connector import open_socket as open_stream_socket
from protocol import Header, Limits
from protocol.states import Observer

from .call import Backoff, Call, chance
from .connect import parse_target, raise_descriptor_limit, resolve
from .errors import BadReply
from .message import Message
from .outgoing import BytesLike, Outgoing, action_request, json_request
from .owner import Shared
from .pool import Pool

if TYPE_CHECKING:
    from .subscriptions import Event, Subscription, Subscriptions

__all__ = ["Answer", "Client", "Item"]

#: Seconds without a word from the server after which it is asked for one.
HEARTBEAT = 30.0

#: Seconds, at most, in which connections that are closed tell so. One may never: an interrupt has come in the middle.
CLOSING = 1.0

#: What `pipeline` and `map` take: `(action,)`, `(action, value)`, or an `Outgoing`.
Item = Outgoing | Sequence[Any]


class Answer(NamedTuple):
    """A whole reply: `value` is the decoded JSON, or bytes for other types; `header` says which."""

    value: Any
    header: Header


class Client:
    """Blocking calls over one or many connections to `address`.

        with Client("127.0.0.1:65432") as client:
            print(client.request("search", "morpheus"))

    `address` is `HOST:PORT`, `tcp://HOST:PORT`, `unix:/path` or an `Address`. Connections are opened when they are
    needed, and kept if the server grants it. Use one from one thread.

    `timeout`: seconds that one reply may take, from when its request was sent, or from the reply before it; 0 waits
    for ever. `connect_timeout`: seconds that one address may take. `depth`: requests in flight on one connection, at
    most. `retry_for`: seconds for which what may be tried again is (see `libclient.pool`). `backoff`: seconds, the
    first pause's and the longest's bound; `random` draws from 0 to 1 (the idea is AWS' "full jitter").
    `keep_alive=False` makes each request a connection of its own, as the tutorial's client does. `limits`: what a
    reply may measure.

    `heartbeat`: seconds without a word after which a client that subscribes asks whether its server is still there; 0:
    never.

    For tests and tools: `loop`, `resolve` and `open_socket` stand for the operating system; `selector` is for the
    client's own loop; `observer` and `tap` see what happens (`libclient.owner`).

    Raises `ValueError` for an address or a number that makes no sense, and `NoDescriptors` if so many connections are
    more than the system allows.
    """

    def __init__(
        self,
        address: str | Address,
        *,
        connections: int = 1,
        timeout: float = 10.0,
        connect_timeout: float = 5.0,
        depth: int = 64,
        retry_for: float = 5.0,
        backoff: tuple[float, float] = (0.1, 1.0),
        random: Callable[[], float] = chance,
        keep_alive: bool = True,
        limits: Limits | None = None,
        loop: EventLoop | None = None,
        resolve: Callable[[Address], list[Endpoint]] = resolve,
        open_socket: Callable[[Endpoint], Any] = open_stream_socket,
        observer: Callable[[], Observer | None] | None = None,
        tap: Callable[[Message, Any], Any] | None = None,
        selector: BaseSelector | None = None,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        if connections < 1 or depth < 1 or retry_for < 0 or timeout < 0 or connect_timeout <= 0:
            raise ValueError("connections and depth are at least 1, retry_for and timeout 0, connect_timeout above 0")
        self.address = parse_target(address) if isinstance(address, str) else address
        raise_descriptor_limit(connections)
        self._own_loop = loop is None
        self._loop = loop or EventLoop(selector)
        self._shared = Shared(
            self._loop,
            timeout=timeout,
            connect_timeout=connect_timeout,
            limits=limits,
            open_socket=open_socket,
            observer=observer,
            tap=tap,
        )
        self._to_do = 0
        self._closed = False
        self._retry_for = retry_for
        self._backoff = Backoff(*backoff, random)
        self._heartbeat = heartbeat
        self._resolve = resolve
        self._subscriptions: Subscriptions | None = None  # made on first use: most clients have none
        self._pool = Pool(
            self._shared,
            self.address,
            self._done,
            connections=connections,
            depth=depth,
            retry_for=retry_for,
            backoff=self._backoff,
            keep_alive=keep_alive,
            resolve=resolve,
        )

    # --- one request -------------------------------------------------------------------

    def request(
        self, action: str, value: object = None, *, idempotent: bool = False, timeout: float | None = None
    ) -> Any:
        """Send `{"action": action, "value": value}`; return the reply's `result` (of a reply without one: all of it).

        `idempotent`: doing it twice does no harm, so it may be sent again although it may have been carried out.
        `timeout`: seconds, instead of the client's. Raises `ErrorReply` for an error reply, `ConnectionFailed` (a
        subclass says which) without a reply; `ValueError` or `TypeError` if JSON can't carry the value.
        """
        answer = self.call(action_request(action, value), idempotent=idempotent, timeout=timeout)
        return _result(answer.value)

    def request_json(self, value: object, *, idempotent: bool = False, timeout: float | None = None) -> Any:
        """Send any JSON value; return the whole reply, decoded. Raises as `request`."""
        return self.call(json_request(value), idempotent=idempotent, timeout=timeout).value

    def request_binary(
        self, content_type: str, content: BytesLike, *, idempotent: bool = False, timeout: float | None = None
    ) -> bytes:
        """Send bytes as `content_type`; return the bytes of the reply. Raises as `request`.

        A reply of another kind than bytes is a `BadReply`. `call` also tells the reply's type.
        """
        value = self.call(Outgoing(content_type, content), idempotent=idempotent, timeout=timeout).value
        if isinstance(value, (bytes, bytearray)):
            return bytes(value)
        raise BadReply(f"{self.address.endpoint} answered binary content with JSON; use call() to see it")

    def call(self, request: Outgoing, *, idempotent: bool = False, timeout: float | None = None) -> Answer:
        """Send any request; return the whole `Answer`. Raises as `request`."""
        (call,) = self._run([Call(request, idempotent)], 1, timeout)
        return _answer(call)

    # --- many ------------------------------------------------------------------------------

    def pipeline(
        self,
        items: Iterable[Item],
        *,
        idempotent: bool = False,
        timeout: float | None = None,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """Send all down one connection without waiting for replies; return their results, in order.

        Each item is `(action, value)`, whose result is the reply's `result`, or an `Outgoing`, whose result is the
        whole reply. The server serves them in this order. A peer that grants no keep-alive gets them one by one, on a
        connection each. `timeout`: seconds for each reply.

        If some fail, the first of their errors is raised once all are done, as by `request`; with `return_exceptions`
        each error stands in its place. Raises `TypeError` for an item that is neither of the two.
        """
        return self._many(items, 1, idempotent, timeout, return_exceptions)

    def map(
        self,
        items: Iterable[Item],
        *,
        idempotent: bool = False,
        timeout: float | None = None,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """As `pipeline`, spread over all `connections`: served in any order, results in the order of the items.

        Raises as `pipeline`.
        """
        return self._many(items, self._pool.connections, idempotent, timeout, return_exceptions)

    def _many(
        self, items: Iterable[Item], width: int, idempotent: bool, timeout: float | None, return_exceptions: bool
    ) -> list[Any]:
        items = list(items)
        calls = [Call(_outgoing(item), idempotent) for item in items]
        self._run(calls, width, timeout)
        results = [_outcome(call, item) for call, item in zip(calls, items, strict=True)]
        if not return_exceptions:
            for result in results:
                if isinstance(result, Exception):
                    raise result
        return results

    # --- topics ------------------------------------------------------------------------------

    def subscribe(
        self,
        topic: str,
        callback: Callable[[Event], object] | None = None,
        *,
        slow: str = "cut",
        key: str | None = None,
        limit: int | None = None,
        since: tuple[str, int | str] | None = None,
        queue: int = 1000,
    ) -> Subscription:
        """Listen to `topic`: a name, `a/*` or `a/**`. Iterate over what this returns, or give a `callback`.

        What comes is a `Published` or a `Gap`. It comes while this client waits: for a reply, in `listen`, or in the
        subscription itself. All subscriptions share one connection, which is opened again when it ends.

        `slow` says what the server does when this client reads too slowly and `limit` messages wait there: `cut`,
        `oldest`, `newest`, or `latest` (per `key`, a field of the values). `since`, `(epoch, seq)`: what was published
        after that comes first. `queue`: how many events may wait here to be iterated over.

        Raises `ErrorReply` if the server refuses, `ConnectionFailed` if it can't be reached for `retry_for` seconds.
        """
        self._check_open()
        options: dict[str, Any] = {"slow": slow}
        if key is not None:
            options["key"] = key
        if limit is not None:
            options["limit"] = limit
        if self._subscriptions is None:
            from .subscriptions import Subscriptions  # most clients need none of it

            self._subscriptions = Subscriptions(
                self._shared,
                self.address,
                backoff=self._backoff,
                heartbeat=self._heartbeat,
                resolve=self._resolve,
            )
        subscriptions = self._subscriptions
        subscription = subscriptions.add(topic, options, callback, queue, since)
        give_up_at = self._loop.clock() + self._retry_for
        try:
            while not subscription.connected:
                if subscription.error is not None:
                    raise subscription.error
                if subscriptions.last_error is not None and self._loop.clock() >= give_up_at:
                    raise subscriptions.last_error
                self._loop.run_once()
        except BaseException:
            subscription.close()
            raise
        return subscription

    def listen(self, seconds: float | None = None) -> None:
        """Wait `seconds` (None: for ever, until Ctrl-C) while callbacks hear what is published.

        Raises what a callback raises.
        """
        self._check_open()
        until = None if seconds is None else self._loop.clock() + seconds
        while until is None or (left := until - self._loop.clock()) > 0:
            self._loop.run_once(None if until is None else left)

    # --- connections -------------------------------------------------------------------------

    def connect(self) -> int:
        """Open all `connections` now and return how many are open. Not needed before a call.

        Raises the last `ConnectionFailed` if not even one could be opened.
        """
        self._check_open()
        self._take_in()
        pool = self._pool
        pool.keep(pool.connections)
        try:
            while pool.opening and pool.retrying:
                self._loop.run_once()
        finally:
            pool.keep(0)
        if not pool.open_count and pool.last_error is not None:
            raise pool.last_error
        return pool.open_count

    def refresh(self) -> int:
        """Take in what happened since the last call, without waiting; return how many connections are open."""
        self._check_open()
        self._take_in()
        return self._pool.open_count

    def close(self) -> None:
        """Close every connection. Safe to call twice; every later call raises `RuntimeError`."""
        if self._closed:
            return
        self._closed = True
        self._pool.close()
        if self._subscriptions is not None:
            self._subscriptions.close()
        until = self._loop.clock() + CLOSING
        while not self._settled and self._loop.clock() < until:
            self._loop.run_once(0)
        if self._own_loop:
            self._loop.close()

    @property
    def _settled(self) -> bool:
        """No connection is left that has not told its end."""
        return self._pool.settled and (self._subscriptions is None or self._subscriptions.settled)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # --- blocking ------------------------------------------------------------------------------

    def _run(self, calls: list[Call], width: int, timeout: float | None) -> list[Call]:
        """Turn the loop until all calls are done."""
        self._check_open()
        self._take_in()
        self._shared.wait_for_replies(timeout)  # between calls nothing is in flight
        self._to_do = len(calls)
        try:
            self._pool.submit(calls, width)
            while self._to_do:
                self._loop.run_once()
        finally:
            if self._to_do:  # interrupted: late replies must not meet the next call
                self._pool.abandon()
            self._shared.wait_for_replies(None)
        return calls

    def wake_on_signals(self) -> None:
        """From the main thread: let every signal end the wait for replies, until `close`.

        Python alone hears of one that comes just before the wait only when that ends (`EventLoop.wake_on_signals`).
        """
        self._loop.wake_on_signals()

    def _take_in(self) -> None:
        """Notice what happened to the connections since the last call."""
        if not self._pool.settled or self._subscriptions is not None:
            self._loop.run_once(0)

    def _done(self, call: Call) -> None:
        self._to_do -= 1

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this client is closed: make another one")

    def __repr__(self) -> str:
        return f"<Client {self.address} open={self._pool.open_count}>"


def _outgoing(item: Item) -> Outgoing:
    if isinstance(item, Outgoing):
        return item
    if isinstance(item, (tuple, list)) and 1 <= len(item) <= 2 and isinstance(item[0], str):
        return action_request(*item)
    raise TypeError(f"{item!r} is not a request: write (action, value), or an Outgoing")


def _outcome(call: Call, item: Item) -> Any:
    """What stands in the place of an item: its result, or its error."""
    if call.error is not None:
        return call.error
    return call.value if isinstance(item, Outgoing) else _result(call.value)


def _answer(call: Call) -> Answer:
    if call.error is not None:
        raise call.error
    assert call.header is not None
    return Answer(call.value, call.header)


def _result(value: Any) -> Any:
    """The `result` of a reply; of one without, the whole of it."""
    return value["result"] if isinstance(value, dict) and "result" in value else value
