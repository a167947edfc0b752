"""Would it be noticed?

For each invariant bugs that break it: patches of the real code, each of them one that somebody could
have written. `test_bugs` shows that the invariant catches each within `SEEDS` seeds. Nothing here is ever
applied outside of that, but for `python -m suites.simulation --bug NAME`, to see what catching looks like.

Not here: the invariants (`invariants`), what a bug is (`bug`), those of topics (`push_bugs`).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any
from unittest import mock

import libserver.message
from eventloop import Connector, EventLoop, Listener, Transport
from libclient.message import Message as Outgoing
from libclient.pool import Pool
from libserver.message import Message
from libserver.reasons import CloseReason
from libserver.replies import ReplyQueue
from libserver.request_batch import RequestBatch
from libserver.server import Server
from protocol import Failed
from protocol.states import CLOSED, LIFECYCLE, LINGERING, OPEN, SHUTDOWN

from .bug import Bug, method
from .push_bugs import PUSH_BUGS

__all__ = ["BUGS"]

# --- answers -------------------------------------------------------------------------------------------


def append_in_front(self: ReplyQueue, reply: Any) -> None:
    self._queue.appendleft(reply)


_release = ReplyQueue.release


def release_twice(self: ReplyQueue, *args: Any) -> list[Any]:
    parts = _release(self, *args)
    return parts + parts


def look_for_nothing(self: Message) -> None: ...


_everybodys: dict[str, Any] = {}


def one_session_for_all(self: Message) -> dict[str, Any]:
    return _everybodys


_settle = ReplyQueue.settle


def settle_with_the_ones_before(self: ReplyQueue, reply: Any, outcome: object, failure: Any) -> None:
    first = self._queue[0]
    _settle(self, first if first.content is None else reply, outcome, failure)


def close_at_eof(self: Message) -> None:
    """A half-close taken for the end."""
    if self.state is OPEN:
        self.release(CloseReason.PEER_CLOSED)


_handle = Message._handle


def forget_what_is_owed(self: Message, event: Any, replies: Any, more: bool) -> None:
    if isinstance(event, Failed) and self.active is not None:
        self.own_connection().in_flight -= len(self.active.replies._queue)
        self.active.replies = ReplyQueue()
    _handle(self, event, replies, more)


_abort = Message.abort


def abort_and_keep_the_first_cause(self: Message, reason: CloseReason) -> None:
    first = self.reason
    if first is not None and self.state is not CLOSED:
        with mock.patch.dict(self.server.ending.reasons):
            _abort(self, reason)
        self.server.ending.reasons[self] = first
    else:
        _abort(self, reason)


# --- ends ------------------------------------------------------------------------------------------------


def close_instead(self: Transport) -> None:
    self.close()


_forget = Server.forget


def forget_without_counting_resets(self: Server, accepted: Any, reason: CloseReason) -> None:
    _forget(self, accepted, reason)
    if reason is CloseReason.RESET:
        self.closed_by[reason] -= 1


_lose = Transport._lose


def lose_and_tell_twice(self: Transport, error: OSError | None) -> None:
    protocol = getattr(self, "protocol", None)
    told = not self.closed
    _lose(self, error)
    if told and error is not None and isinstance(protocol, Message):
        self.loop.call_soon(protocol.server.forget, protocol, CloseReason.RESET)


def lose_without_closing_what_broke(self: Transport, error: OSError | None) -> None:
    sock = self.sock
    if error is not None and not self.closed:
        self.loop.register(sock, 0, self)
        self.sock = mock.Mock(fileno=lambda: -1, tap=sock.tap)
        with mock.patch.object(self.loop, "register"):
            _lose(self, error)
        self.sock = sock
        return
    _lose(self, error)


def give_up_without_closing(self: Connector, error: OSError) -> None:
    self._errors.append(error)
    self._release()
    self._try_next()


def stop_no_input_timer(self: Server, accepted: Any, reason: CloseReason) -> None:
    arriving = isinstance(accepted, Message) and self.receive_timeouts.part(accepted) is not None
    _forget(self, accepted, reason)
    if arriving:
        self.receive_timeouts.expect(accepted)


def stop_no_linger_timer(self: Server, accepted: Any, reason: CloseReason) -> None:
    lingering = accepted in self.linger_timer
    _forget(self, accepted, reason)
    if lingering:
        self.linger_timer.start(accepted)


# --- limits ------------------------------------------------------------------------------------------------


def may_serve_above_the_mark(self: Message) -> bool:
    pending = self.active
    if self.transport.closed or (pending is not None and pending.yielded):
        return False
    return pending is None or pending.held is None or not self.server.pool.full


def count_no_connections(self: Server, sock: Any, peer: Any) -> None:
    self._welcome(Message(self, sock, self._observer()), peer)


# --- turns -------------------------------------------------------------------------------------------------


_register = Transport._register


def register_with_a_mask_of_0(self: Transport) -> None:
    if not self.closed and self.interest() == 0 and self.loop.selector.get_map().get(self.sock) is not None:
        self.loop.selector.modify(self.sock, 0, self)
    else:
        _register(self)


def never_pause(self: Listener, error: OSError) -> None:
    """Try again at once."""


def refuse_nobody(self: Listener) -> None:
    """No reserve either: what waits goes on waiting."""


@contextlib.contextmanager
def listener_that_never_pauses() -> Iterator[None]:
    with mock.patch.object(Listener, "_pause", never_pause), mock.patch.object(Listener, "_refuse_some", refuse_nobody):
        yield


@contextlib.contextmanager
def turns_without_end() -> Iterator[None]:
    """Neither looks at the clock for it: the end of a turn, and who reads on in it."""
    with (
        mock.patch.object(RequestBatch, "stalled", False),
        mock.patch.object(libserver.request_batch, "TURN", math.inf),
    ):
        yield


@contextlib.contextmanager
def a_row_less() -> Iterator[None]:
    """Nobody thought of a SIGTERM while a connection lingers."""
    with mock.patch.dict(LIFECYCLE._lookup):
        del LIFECYCLE._lookup[LINGERING, SHUTDOWN]
        yield


@contextlib.contextmanager
def eagain_is_an_end() -> Iterator[None]:
    """`except BlockingIOError` that catches something else."""
    with mock.patch("eventloop.transport.BlockingIOError", FileExistsError, create=True):
        yield


def look_once(self: EventLoop, now: float) -> list[Any]:
    """An interrupted sleep is taken for a look around."""
    return []


# --- life goes on --------------------------------------------------------------------------------------------


def never_resume(self: Listener) -> None:
    """The timer that brings the listener back is forgotten."""


def cut_nobody(self: Server) -> None:
    """The drain's time is up, and nothing follows."""


# --- clients ---------------------------------------------------------------------------------------------------


def repeat_nothing_and_tell_nobody(self: Pool, message: Any, ending: Any) -> list[Any]:
    return []


_tell = Outgoing._tell


def tell_nothing_of_the_unsent(self: Outgoing) -> None:
    self._queue.clear()
    _tell(self)


def match_the_last(self: Outgoing, header: Any, value: object) -> None:
    if len(self._awaiting) > 1:
        self._awaiting.rotate(1)
    _reply(self, header, value)


_reply = Outgoing._reply

BUGS: tuple[Bug, ...] = (
    Bug(
        "replies-swapped",
        "answered-once-rightly-in-order",
        0,
        "a reply that must wait goes to the front of those that wait",
        method(ReplyQueue, "append", append_in_front),
    ),
    Bug(
        "reply-twice",
        "answered-once-rightly-in-order",
        0,
        "a reply that had to wait is sent twice",
        method(ReplyQueue, "release", release_twice),
    ),
    Bug(
        "session-shared",
        "answered-once-rightly-in-order",
        0,
        "all connections count their confirmed messages together",
        method(Message, "session", one_session_for_all),
    ),
    Bug(
        "replies-crossed",
        "answered-once-rightly-in-order",
        0,
        "what a thread returns goes to the oldest that waits, not to the one it belongs to",
        method(ReplyQueue, "settle", settle_with_the_ones_before),
    ),
    Bug(
        "half-close-is-the-end",
        "unanswered-has-a-reason",
        1,
        "a peer that finishes sending does not get what it is still owed",
        method(Message, "eof_received", close_at_eof),
    ),
    Bug(
        "owed-forgotten",
        "unanswered-has-a-reason",
        0,
        "where framing is lost the replies owed are lost as well",
        method(Message, "_handle", forget_what_is_owed),
    ),
    Bug(
        "cut-is-no-reason",
        "unanswered-has-a-reason",
        10,
        "who is cut although replies are owed is counted by what went wrong before",
        method(Message, "abort", abort_and_keep_the_first_cause),
    ),
    Bug(
        "EAGAIN-is-an-end",
        "others-are-served",
        0,
        "a socket with nothing to read, or no room to send, is taken for a broken one",
        eagain_is_an_end,
    ),
    Bug(
        "close-without-lingering",
        "no-reply-is-lost-to-a-RST",
        0,
        "after the last reply the socket is closed at once",
        method(Transport, "linger", close_instead),
    ),
    Bug(
        "resets-not-counted",
        "one-reason-each",
        1,
        "a connection that is reset is in no counter",
        method(Server, "forget", forget_without_counting_resets),
    ),
    Bug(
        "ends-twice",
        "one-reason-each",
        1,
        "an error at a system call is told twice",
        method(Transport, "_lose", lose_and_tell_twice),
    ),
    Bug(
        "socket-not-closed",
        "no-descriptor-survives-its-connection",
        1,
        "a connection that broke keeps its socket",
        method(Transport, "_lose", lose_without_closing_what_broke),
    ),
    Bug(
        "attempt-not-closed",
        "no-descriptor-survives-its-connection",
        9,
        "an attempt to connect that failed keeps its socket",
        method(Connector, "_give_up_on_this", give_up_without_closing),
    ),
    Bug(
        "timer-outlives",
        "no-timer-survives-its-connection",
        0,
        "the input timer of a connection that is lost goes on",
        method(Server, "forget", stop_no_input_timer),
    ),
    Bug(
        "linger-timer-outlives",
        "no-timer-survives-its-connection",
        0,
        "who stops lingering early stays in the queue",
        method(Server, "forget", stop_no_linger_timer),
    ),
    Bug(
        "nobody-looks-for-breaks",
        "a-break-is-noticed",
        1003,
        "a connection that waits for a handler is not looked after",
        method(Message, "look_for_break", look_for_nothing),
    ),
    Bug(
        "water-marks-ignored",
        "memory-within-limits",
        0,
        "a peer that does not read is served on and on",
        method(Message, "_may_serve", may_serve_above_the_mark),
    ),
    Bug(
        "cap-ignored",
        "memory-within-limits",
        9,
        "there is no one too many",
        method(Server, "_accept", count_no_connections),
    ),
    Bug(
        "mask-0",
        "no-turn-without-progress",
        8,
        "a paused connection stays in the selector with a mask of 0, and its peer hangs up",
        method(Transport, "_register", register_with_a_mask_of_0),
    ),
    Bug(
        "listener-spins",
        "no-turn-without-progress",
        14,
        "out of descriptors, accept is tried again at once",
        listener_that_never_pauses,
    ),
    Bug(
        "turn-without-end",
        "a-turn-is-bounded",
        100,
        "all who are ready have their turn, however long a handler takes with each",
        turns_without_end,
    ),
    Bug(
        "timers-first",
        "in-time-is-heard",
        78,
        "a server that was stopped runs its timers before it has looked who is ready",
        method(EventLoop, "_look_again", look_once),
    ),
    Bug(
        "idle-closed-at-once",
        "a-drain-keeps-what-can-be-kept",
        1,
        "at SIGTERM an idle connection is closed, though its client may be asking",
        method(Message, "wind_down", Message.drain),
    ),
    Bug("a-row-less", "nothing-fails-inside", 8, "no row says what SIGTERM means to who lingers", a_row_less),
    Bug(
        "listener-never-resumes",
        "others-are-served",
        0,
        "after a pause nobody is accepted any more",
        method(Listener, "_resume", never_resume),
    ),
    Bug(
        "no-cut",
        "the-drain-ends-in-time",
        18,
        "who is still busy at the drain's end is not cut",
        method(Server, "_cut", cut_nobody),
    ),
    Bug(
        "calls-lost",
        "callers-hear-once-and-rightly",
        3,
        "calls of a connection that broke are neither repeated nor failed",
        method(Pool, "_repeatable", repeat_nothing_and_tell_nobody),
    ),
    Bug(
        "unsent-lost",
        "callers-hear-once-and-rightly",
        6,
        "requests that never left don't come back",
        method(Outgoing, "_tell", tell_nothing_of_the_unsent),
    ),
    Bug(
        "replies-mismatched",
        "callers-hear-once-and-rightly",
        3,
        "with several requests in flight a reply goes to another than the oldest",
        method(Outgoing, "_reply", match_the_last),
    ),
    *PUSH_BUGS,
)
