"""How do many connections live on one loop, and how do they come to an end?

`Server` opens the listeners, makes a `Message` of each accepted socket, keeps the queues of
those that wait for the same timeout, and shuts down: a drain first, then a cut.

    with Server(["tcp://127.0.0.1:0"]) as server:
        print(server.addresses)
        server.run()

Rules:

* One loop, one thread. From other threads and signal handlers only `drain` and `stop` may be
  called.
* Every connection ends with one reason out of `CloseReason`, and `closed_by` counts them:
  accepted = open + the sum of them.
* Overload never spins: the one too many is told so and lingers briefly; when descriptors run
  out the listener pauses (`eventloop.listener`).

Not here: what one connection does (`libserver.message`), the command line (`multiconn.commands.server`).
"""

from __future__ import annotations

import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from selectors import BaseSelector
from typing import Any, TypeVar

from eventloop import Address, EventLoop, Listener, TimeoutQueue, WaterMarks, parse_address
from eventloop.addresses import ECHO, ECHO_UDP, TCP, UNIX, host_of
from eventloop.listener import accept_queue
from eventloop.loop import COARSE
from eventloop.transport import close_socket, peer_name
from protocol import SERVER, Codec, Connection, Limits
from protocol.errors import Overloaded, ProtocolError
from protocol.states import IsolatedObserver, Observer

from .actions import Actions
from .dispatcher import Dispatcher
from .echo import EchoConnection, EchoDatagrams
from .ending import Ending
from .failures import Failures
from .foreign import advice_for
from .limits import (
    BROKEN_WITHIN,
    DESCRIPTORS_KEPT_BACK,
    IDLE_SLACK,
    LINGER,
    REFUSED_LINGER,
    REFUSED_LINGERING,
    ServerLimits,
)
from .listeners import cannot_listen
from .message import Message
from .notices import Notices
from .pool_queue import PoolQueue
from .reasons import CloseReason
from .receive_timeouts import ReceiveTimeouts
from .request_batch import RequestBatch
from .slowness import SLOW, Slowness
from .system import System
from .unix_files import SocketFile
from .volume import Remembering, volume

__all__ = ["SCHEMES", "Server"]

log = logging.getLogger("multiconn.server")

#: The largest block whose threshold glibc adjusts to (DEFAULT_MMAP_THRESHOLD_MAX).
KEPT_BLOCK = 32 * 1024 * 1024 - 64 * 1024

#: Seconds for which a listener that keeps running out of descriptors is not reported again.
STARVED_QUIET = 10.0

#: The same for one whose queue of waiting connections is full.
CROWDED_QUIET = 10.0

#: Codes of error replies that are counted apart.
CODES_COUNTED = 100

#: Polls before the loop sleeps, about 100 microseconds: as long as a client on the same machine
#: takes to ask again (benchmarks: one connection, depth 1).
SPIN = 80

#: What becomes of an accepted stream socket.
Accepted = Message | EchoConnection
A = TypeVar("A", Message, Accepted)

#: What can be listened on.
SCHEMES = (TCP, UNIX, ECHO, ECHO_UDP)


@cache
def keep_large_blocks() -> None:
    """Have malloc keep the memory of large contents for the next one.

    glibc gives a freed block at the heap's top back to the kernel, and asks for it again, zeroed
    page by page, a moment later: half the cost of echoing a megabyte. When a block that was
    mapped is freed, its thresholds for that rise to the block's size (mallopt(3),
    M_MMAP_THRESHOLD): freeing one untouched block says how much is worth keeping. Elsewhere it
    does nothing. Once per process: a second such block would come from the heap, and be zeroed.
    """
    del_me = bytes(KEPT_BLOCK)
    del del_me


def ip_of(peer: Any) -> str:
    """The IP that `accept` says a connection comes from; "" for a UNIX socket, which has none.

    A dual-stack listener sees an IPv4 peer as a mapped address: it is the same peer.
    """
    if not isinstance(peer, tuple):
        return ""
    host = host_of(peer)
    return host.removeprefix("::ffff:") if "." in host else host


def in_words(details: Mapping[str, object]) -> str:
    """`name=value name=value`, as a line of the connection list."""
    return " ".join(f"{name}={value}" for name, value in details.items())


class Server:
    """The message server: many connections on one loop, in one thread.

        with Server(["tcp://127.0.0.1:0"], idle_timeout=60.0) as server:
            print(server.addresses[0])
            server.run()

    `listen` holds addresses, as text or `Address`: `tcp://HOST:PORT`, `unix:/path`, `echo://HOST:PORT` or
    `echo+udp://HOST:PORT`; port 0 takes a free one. It listens once it is made, and serves while `run` runs.
    `actions` answers (default: the built-in actions). `sizes` limits a message; the keyword arguments of
    `ServerLimits` limit all else. `loop` shares a loop of yours, which keeps its `on_error`
    and `on_slow`. Have the first call `met_bug`; without one an internal error of the server ends `run`.

    Attributes: `addresses`, where it really listens; `accepted`, how many connections it has accepted; `closed_by`,
    how many have ended, by `CloseReason`; `errors`, how many error replies it has sent, by code. Accepted = open +
    the sum of `closed_by`.

    For tests and tools: `observer` makes an observer (or None) for each connection, and `tap` is given each observed
    message with its socket and gives back the socket to use; `selector` and `clock` are for the server's own loop;
    `system` stands for the operating system.

    Raises `CannotListen` if an address can't be listened on, and `ValueError` for an address that can't be understood
    or a limit that can't hold.
    """

    def __init__(
        self,
        listen: Sequence[str | Address] = ("tcp://127.0.0.1:65432",),
        actions: Actions | None = None,
        sizes: Limits | None = None,
        loop: EventLoop | None = None,
        observer: Callable[[], Observer | None] | None = None,
        tap: Callable[[Message, Any], Any] | None = None,
        selector: BaseSelector | None = None,
        clock: Callable[[], float] = time.monotonic,
        system: System = System(),  # noqa: B008 (immutable)
        **limits: Any,
    ) -> None:
        keep_large_blocks()
        self.limits = ServerLimits(**limits)
        self.actions = actions if actions is not None else Actions()
        self.codec = Codec(SERVER, sizes)
        self.marks = WaterMarks(self.limits.write_high, self.limits.write_low)
        self._system = system
        self.max_connections = self._clamp(self.limits.max_connections)
        self.max_requests = self.limits.max_requests  # here: it is asked with each read
        self._make_observer = observer
        self.tap = tap
        self._wanted = [a if isinstance(a, Address) else parse_address(a, SCHEMES) for a in listen]

        if loop is not None:
            self.loop = loop
        else:
            self.loop = EventLoop(selector, clock, self.met_bug, spin=SPIN, on_slow=self._turn_was_slow, slow=SLOW)
        self._owns_loop = loop is None
        self.pool = system.pool(self.limits.handler_threads, self.loop.call_soon_threadsafe)
        limits_ = self.limits
        self.receive_timeouts: ReceiveTimeouts[Message] = ReceiveTimeouts(limits_, self.loop, self._overdue)
        self.send_timer: TimeoutQueue[Accepted] = self._timer(
            limits_.send_timeout, lambda accepted: accepted.send_expired()
        )
        self.linger_timer: TimeoutQueue[Message] = self._timer(LINGER, Message.linger_expired)
        self.unwatched_timer: TimeoutQueue[Message] = self._timer(BROKEN_WITHIN, Message.look_for_break)
        self.refused_timer: TimeoutQueue[Message] = self._timer(REFUSED_LINGER, Message.linger_expired)

        #: open connections, each with the time it was accepted at, on the loop's clock
        self.connections: dict[Accepted, float] = {}
        self.refused: dict[Message, float] = {}
        #: of those that a line of the log was about: the number that all lines about it have
        self._numbers: dict[Accepted, int] = {}
        self._numbered = 0
        #: only while there is a limit on them: the source addresses of open connections, and how many each has
        self._ip_of: dict[Accepted, str] = {}
        self._from_ip: Counter[str] = Counter()
        self.accepted = 0
        #: keep what the kernel says of each that is accepted, for the log; asked anew in each turn
        self._remembers = log.isEnabledFor(logging.DEBUG)
        self._asked = self.loop.now
        self.closed_by: Counter[CloseReason] = Counter()
        self.draining = False
        self.in_grace = False  # of a drain: who is idle may still ask
        self._tell_starved_from = self.loop.now
        self._tell_crowded_from = self.loop.now
        self.notices = Notices(self.loop)
        self.pool_queue: PoolQueue[Message] = PoolQueue(self.pool, self.notices, self.isolate)
        self.topics = self.actions.topics
        #: what turns of the loop take that are too long
        self.slowness = Slowness(self.loop, self.codec, self.actions, self.notices, self.connections)
        #: what a peer is told of what a handler raised
        self._failures = Failures(self.actions, self.notices, self.count_error)
        self.failure = self._failures.answer
        #: requests of connections that have ended, and error replies by their code
        self._requests = 0
        self.errors: Counter[str] = Counter()
        self.dispatcher = Dispatcher(self.codec, self.actions, self.count_error, self.loop.clock)
        self.batch: RequestBatch[Message] = RequestBatch(
            self.loop, self.dispatcher, self.slowness, self.receive_timeouts, self.isolate, self.met_bug
        )
        self.ending: Ending[Message] = Ending(
            self.batch, self.receive_timeouts, self.notices, self.count_error, self.linger, lambda: self.draining
        )

        self._listeners: list[Listener | EchoDatagrams] = []
        self._files: list[SocketFile] = []  # of UNIX listeners, to be removed
        self.addresses: list[Address] = []
        try:
            if self.topics is not None:
                self.topics.attach(self.loop, self.limits, self.met_bug, self.notices)
            self._open_listeners()
        except BaseException:
            self.close()
            raise
        if limits_.idle_timeout:
            self.loop.call_later(limits_.idle_timeout, self._sweep_idle)
        if limits_.max_age:
            self.loop.call_later(limits_.max_age, self._sweep_old)

    def _timer(self, seconds: float, expired: Callable[[A], None]) -> TimeoutQueue[A]:
        """A queue of those that wait equally long. Who has ended meanwhile, in the same turn, is spared."""

        def expire(message: A) -> None:
            if not message.transport.closed:
                self.isolate(message, partial(expired, message))

        return self.loop.timeout_queue(seconds, expire)

    def _overdue(self, message: Message, reason: CloseReason) -> None:
        if not message.transport.closed:
            self.isolate(message, partial(message.input_overdue, reason))

    def _clamp(self, wanted: int) -> int:
        """As many connections as the descriptors allow, less those kept back."""
        possible = max(1, self._system.raise_descriptor_limit() - DESCRIPTORS_KEPT_BACK)
        if wanted > possible:
            log.warning(
                "max_connections lowered from %d to %d: the descriptor limit less %d; raise it with ulimit -n",
                wanted,
                possible,
                DESCRIPTORS_KEPT_BACK,
            )
        return min(wanted, possible)

    # --- listening -----------------------------------------------------------------------

    def _open_listeners(self) -> None:
        for wanted in self._wanted:  # one after the other: if one fails, those before it are closed again
            opened = self._system.listen(wanted, self.limits)
            self._files += [bound.file for bound in opened if bound.file is not None]
            for at, (sock, address, _) in enumerate(opened):
                try:
                    listener = self._open_listener(sock, address)
                except OSError as error:  # the selector has no room for it
                    self.remove_files()
                    for unheard in opened[at:]:
                        unheard.sock.close()
                    raise cannot_listen(address, error) from error
                self.addresses.append(address)
                self._listeners.append(listener)

    def _open_listener(self, sock: Any, address: Address) -> Listener | EchoDatagrams:
        if address.scheme == ECHO_UDP:
            return EchoDatagrams(self.loop, sock)
        if address.scheme == ECHO:
            return self._listener(sock, self._accept_echo, self._refuse_echo)
        return self._listener(sock, self._accept, self._refuse_unread)

    def _listener(self, sock: Any, accepted: Callable[[Any, Any], None], refused: Callable[[Any], None]) -> Listener:
        return Listener(
            self.loop,
            sock,
            accepted,
            refused=refused,
            starved=self._starved,
            crowded=self._crowded,
            queue=queue[1] if (queue := accept_queue(sock)) is not None else self.limits.backlog,
            open_reserve=self._system.open_reserve,
            close_reserve=self._system.close_reserve,
        )

    def _accept(self, sock: Any, peer: Any = None) -> None:
        if self._asked != self.loop.now:
            self._asked = self.loop.now
            self._remembers = log.isEnabledFor(logging.DEBUG)
        if self._remembers and type(sock) is socket.socket:
            sock = Remembering(sock, peer)  # there is a line for each that closes
        too_many = self._too_many(peer)
        if too_many:
            self._refuse(sock, too_many)
        else:
            self._welcome(Message(self, sock, self._observer()), peer)

    def _too_many(self, peer: Any) -> str | None:
        """Why a connection from `peer` can't be taken, or None."""
        if len(self.connections) >= self.max_connections:
            return f"the server has all the {self.max_connections} connections it may have"
        most = self.limits.max_connections_per_ip
        if most and self._from_ip[ip_of(peer)] >= most:
            return f"the server has all the {most} connections it may have from one address"
        return None

    def _welcome(self, accepted: Accepted, peer: Any) -> None:
        self.accepted += 1
        self.connections[accepted] = self.loop.coarse_now
        if self.limits.max_connections_per_ip and (ip := ip_of(peer)):
            self._ip_of[accepted] = ip
            self._from_ip[ip] += 1
        if self.actions.on_either and isinstance(accepted, Message):
            self._has_come(accepted)
        if self.draining:
            self.isolate(accepted, accepted.wind_down if self.in_grace else accepted.drain)
        self.isolate(accepted, accepted.start)

    def _has_come(self, message: Message) -> None:
        session = message.session()  # made now: at the end nobody could tell its peer any more
        for call in self.actions.connected:
            self._failures.callback(call, message, session)

    def _has_gone(self, message: Message, reason: CloseReason) -> None:
        session = message.session()
        for call in (*self.actions.disconnected, *session.endings):
            self._failures.callback(call, message, session, reason.value)

    def _observer(self) -> Observer | None:
        if self._make_observer is None:
            return None
        try:
            observer = self._make_observer()
        except Exception as error:
            self._observer_failed(error)
            return None
        return IsolatedObserver(observer, self._observer_failed) if observer is not None else None

    @staticmethod
    def _observer_failed(error: Exception) -> None:
        log.error("an observer failed; its connection goes on without it", exc_info=error)

    def _accept_echo(self, sock: Any, peer: Any) -> None:
        if why := self._too_many(peer):
            self._count_refused(sock, why)
            close_socket(sock)  # there are no words for it in this protocol
        else:
            self._welcome(EchoConnection(self, sock), peer)

    def _refuse(self, sock: Any, why: str) -> None:
        """One too many: tell it so. A flood of them is told without waiting for it to listen."""
        if len(self.refused) >= REFUSED_LINGERING:
            self._refuse_unread(sock)
            close_socket(sock)
            return
        self.accepted += 1
        message = Message(self, sock)
        self.refused[message] = self.loop.coarse_now
        message.refuse(Overloaded(f"{why}; try again later"))

    def _refuse_unread(self, sock: Any) -> None:
        """No time, or no descriptor, to wait for it to listen: the caller closes it at once."""
        error = Overloaded("the server can't take more connections just now; try again later")
        self._count_refused(sock, str(error))
        self.count_error(error)
        connection = Connection(self.codec)
        connection.owe_error()
        try:
            sock.send(b"".join(connection.send_error(None, error)))
        except OSError:
            pass  # it has gone already

    def _refuse_echo(self, sock: Any) -> None:
        self._count_refused(sock, "no descriptor is left for it")

    def _count_refused(self, sock: Any, why: str) -> None:
        """It was accepted in order to be closed at once."""
        self.accepted += 1
        self.closed_by[CloseReason.OVERLOADED] += 1
        reason = CloseReason.OVERLOADED.value
        self.notices.tell(reason, f"refused: {why}", facts=lambda: {"peer": peer_name(sock)}, reason=reason)

    def _starved(self, error: OSError) -> None:
        if self.loop.now >= self._tell_starved_from:  # it may go on for hours, ten times a second
            self._tell_starved_from = self.loop.now + STARVED_QUIET
            text = "accept: %s; not accepting for a moment (raise the limit with ulimit -n)"
            log.warning(text, error.strerror, extra={"event": "starved"})

    def _crowded(self, sock: Any, taken: int) -> None:
        """So many were accepted in one go: is that all that the queue holds?"""
        if self.loop.now < self._tell_crowded_from:
            return
        waiting, room = accept_queue(sock) or (0, self.limits.backlog)
        if waiting + taken > room:
            self._tell_crowded_from = self.loop.now + CROWDED_QUIET
            what = "--backlog" if room >= self.limits.backlog else "net.core.somaxconn"
            log.warning(
                "accept: the queue of waiting connections was full (%d): the next ones are dropped, and their "
                "clients try again after 1 s and more; raise %s, or start more servers (--reuse-port)",
                room,
                what,
                extra={"event": "crowded"},
            )

    def sent_foreign(self, message: Message, looks_like: str) -> None:
        """It sent no message, but what looks like another protocol: somebody has the wrong port."""
        self.notices.tell(
            "foreign",
            "no message came: it looks like %s; %s",
            looks_like,
            advice_for(looks_like),
            facts=message.facts,
        )

    # --- what a message asks of its server -------------------------------------------------

    def linger(self, message: Message) -> None:
        """It has said its last: how long may it wait for the peer to have read it?"""
        (self.refused_timer if message in self.refused else self.linger_timer).start(message)

    def facts(self, accepted: Accepted, requests: int) -> dict[str, object]:
        """What a line of the log says of a connection. Its number it gets when it is first logged."""
        number = self._numbers.get(accepted)
        if number is None:
            self._numbered += 1
            number = self._numbers[accepted] = self._numbered
        now = self.loop.clock()
        since = self.connections.get(accepted)
        if since is None and isinstance(accepted, Message):
            since = self.refused.get(accepted)
        return {
            "connection": number,
            "peer": accepted.transport.peer_name(),
            "seconds": round(now - since, 3) if since is not None else 0.0,
            "requests": requests,
            **volume(accepted.transport.sock),
        }

    def count_error(self, error: ProtocolError) -> None:
        """It is replied. A handler may make its codes as it likes: from so many on they are counted as one."""
        code = error.code
        self.errors[code if code in self.errors or len(self.errors) < CODES_COUNTED else "others"] += 1

    @property
    def requests(self) -> int:
        """Requests served so far, over all connections, whatever the answer was."""
        return self._requests + sum(int(m.requests) for m in self.connections if isinstance(m, Message))

    def forget(self, accepted: Accepted, reason: CloseReason) -> None:
        """Its socket is closed."""
        if log.isEnabledFor(logging.DEBUG):
            carried = volume(accepted.transport.sock, was_reset=reason is CloseReason.RESET)
            facts = {"event": "closed", "reason": reason.value, **accepted.facts(), **carried}
            log.debug("connection closed: %s", reason.value, extra=facts)
        welcome = self.connections.pop(accepted, None) is not None
        if self._numbers:
            self._numbers.pop(accepted, None)
        if self._ip_of:
            self._forget_ip(accepted)
        if self.send_timer.due:
            self.send_timer.stop(accepted)
        if isinstance(accepted, Message):
            self._requests += int(accepted.requests)
            if welcome and (self.actions.on_either or accepted.end_is_awaited):
                self._has_gone(accepted, reason)
            if self.refused and self.refused.pop(accepted, None) is not None:
                self.refused_timer.stop(accepted)
            if self.pool_queue:
                self.pool_queue.forget(accepted)
            self.receive_timeouts.stop(accepted)
            if self.linger_timer.due:
                self.linger_timer.stop(accepted)
            if self.unwatched_timer.due:
                self.unwatched_timer.stop(accepted)
        self.closed_by[reason] += 1
        if self.draining:
            self._stop_if_drained()

    def _forget_ip(self, accepted: Accepted) -> None:
        ip = self._ip_of.pop(accepted, None)
        if ip is not None:
            self._from_ip[ip] -= 1
            if not self._from_ip[ip]:
                del self._from_ip[ip]  # or it would grow with every address ever seen

    # --- idle connections --------------------------------------------------------------------

    def _sweep_idle(self) -> None:
        """Close what has been idle for too long; come back when the next one may have been.

        Every kept-alive connection is idle again and again, so a queue would be reordered with
        each request. Looking at all of them now and then is cheaper: the hot path only notes
        the time.
        """
        timeout = self.limits.idle_timeout + COARSE  # which `last_active` may lag behind: never close too early
        now = self.loop.now
        earliest = now + timeout
        for accepted in list(self.connections):
            if accepted.idle and not accepted.subscriptions:  # who listens is silent for as long as nothing is said
                due = accepted.last_active + timeout
                if due <= now:
                    self.isolate(accepted, partial(accepted.release, CloseReason.IDLE_TIMEOUT))
                elif due < earliest:
                    earliest = due
        self.loop.call_at(max(earliest, now + timeout * IDLE_SLACK), self._sweep_idle)

    def _sweep_old(self) -> None:
        """Have those that are too old end with their next reply; come back when the next one will be."""
        age, now = self.limits.max_age, self.loop.now
        earliest = now + age
        for accepted, since in list(self.connections.items()):  # in the order they came
            if since + age > now:
                earliest = since + age
                break
            self.isolate(accepted, accepted.wind_down)
        self.loop.call_at(max(earliest, now + age * IDLE_SLACK), self._sweep_old)

    # --- running and ending --------------------------------------------------------------------

    def run(self) -> None:
        """Serve until drained or stopped, then close everything.

        It returns when the last connection has ended, or at the drain timeout. Call it once.
        """
        try:
            self.loop.run()
        finally:
            self.close()

    def drain(self) -> None:
        """From any thread: stop accepting, finish what was begun, then end `run`.

        An idle connection may ask once more within `drain_grace` seconds, and its reply says `close` (HTTP/2 does the
        same with GOAWAY sent twice). What is still busy after `drain_timeout` seconds is cut. A second call changes
        nothing.
        """
        self.loop.call_soon_threadsafe(self._drain)

    def stop(self) -> None:
        """From any thread: cut every connection and end `run` at once. Replies that are owed are lost."""
        self.loop.call_soon_threadsafe(self._cut)

    def _drain(self) -> None:
        if self.draining:
            return
        self.draining = True
        now = self.loop.clock()
        grace, timeout = self.limits.drain_grace, self.limits.drain_timeout
        if timeout:
            grace = min(grace, timeout)
        if grace:
            self.in_grace = True
            self.loop.call_at(now + min(grace, self._refuse_new()), self._finish_listeners)
            self.loop.call_at(now + grace, self._end_grace)  # before the cut, if both are due at once
            for accepted in list(self.connections):
                self.isolate(accepted, accepted.wind_down)
        else:
            self._finish_listeners()
            self._end_grace()
        if timeout:
            self.loop.call_at(now + timeout, self._cut)

    def _refuse_new(self) -> float:
        """Have the kernel begin no further connection; returns when those it has begun will have come."""
        self.remove_files()
        seconds = 0.0
        for listener in list(self._listeners):
            takes = self._system.refuse_new(listener.sock) if isinstance(listener, Listener) else 0.0
            seconds = max(seconds, takes)
            if not takes:
                self._listeners.remove(listener)
                self.isolate(listener, listener.finish)
        return seconds

    def _finish_listeners(self) -> None:
        """Accept those that have connected by now, and no more."""
        self._close_listeners(last_call=True)
        self._stop_if_drained()

    def _end_grace(self) -> None:
        self.in_grace = False
        for accepted in [*self.connections, *self.refused]:
            self.isolate(accepted, accepted.drain)
        self._stop_if_drained()

    def _cut(self) -> None:
        self.draining = True
        self._abort_all()
        self.loop.call_soon(self.loop.stop)

    def _abort_all(self) -> None:
        self.batch.forget()
        for accepted in [*self.connections, *self.refused]:
            accepted.abort(CloseReason.CUT)

    @property
    def cut(self) -> int:
        """Connections that were still busy at the drain timeout, at a second signal, or at `close`."""
        return self.closed_by[CloseReason.CUT]

    def list_connections(self) -> list[dict[str, object]]:
        """Each open connection as a dictionary, as Redis' CLIENT LIST has it.

        Peer, states, age and idle time in seconds, bytes buffered in and out, requests in flight and served.
        """
        now = self.loop.clock()
        both = [*self.connections.items(), *self.refused.items()]
        return [accepted.describe(since, now) for accepted, since in both]

    def describe_connections(self) -> list[str]:
        """`list_connections` as text: a line with the counts, then one for each connection."""
        return [in_words(details) for details in self.list_connections()]

    def _stop_if_drained(self) -> None:
        if self.draining and not (self._listeners or self.connections or self.refused):
            self.loop.stop()

    def isolate(self, source: object, act: Callable[[], object]) -> None:
        """Do what concerns one connection among many, so that a bug met there is not the others'."""
        try:
            act()
        except Exception as error:
            self.met_bug(source, error)

    def _turn_was_slow(self, seconds: float) -> None:
        self.slowness.turned(seconds)

    def met_bug(self, source: object, error: Exception) -> None:
        """An internal error: log it, and end the connection it was met on. For the `on_error` of a loop that is shared.

        `source` is the object that the error came from. Of what is not this server's nothing is ended.
        """
        log.error("internal error at %r", source, exc_info=error)
        message = getattr(source, "protocol", source)
        if isinstance(message, (Message, EchoConnection)):
            message.abort(CloseReason.INTERNAL_ERROR)

    def _close_listeners(self, last_call: bool = False) -> None:
        """Close them all; `last_call`: first accept who waits."""
        self.remove_files()  # before their sockets are closed: as long as they are open, the files can be told
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            if last_call:
                self.isolate(listener, listener.finish)
            else:
                listener.close()

    def remove_files(self) -> None:
        """Remove the files of UNIX sockets, once, and only the server's own.

        A signal handler may call it, before an end without `close`.
        """
        files, self._files = self._files, []
        for file in files:
            file.remove()

    def close(self) -> None:
        """Close listeners, connections and the loop (if it is the server's own) at once. Safe to call twice."""
        self._close_listeners()
        self._abort_all()
        self.notices.sum_up()
        self.pool.close()
        if self.topics is not None:
            self.topics.detach(self.loop)
        if self._owns_loop:
            if self.connections or self.refused:
                self.loop.run_once(0)  # for them to hear that they are lost, and be counted
            self.loop.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
