"""Which states exist, what can happen in each, and why?

Three small machines and a counter, never one big machine:

* RECEIVE says which part of a message the next bytes belong to.
* LIFECYCLE says what the connection as a whole is good for.
* DELIVERY says how far one subscription is with what is published to it (push.md).
* the counter (`Connection.in_flight`) says how many requests await their reply.

Everything is a row, and a row carries its reason in words. The run-time lookup, the
diagrams, the state page of the docs and the exhaustive test of every state against every
input are all made from these rows and from nothing else. A pair that no row lists is an
error by design: `UnlistedTransition`, never a silent pass. Where a row may be taken only while
RECEIVE or the counter allows it, it says so in its `Guard`; what that keeps out is shown by
walking through all that the rows allow (tests/protocol/test_guards.py).

Not here: bytes, sockets, clocks. Who drives RECEIVE: `protocol.connection`. Who drives LIFECYCLE:
`libserver.message`, with `libserver.ending`, and `libclient.message`. Who drives DELIVERY: `libserver.subscription`.

The idea of tables that the code runs from is h11's; that each row argues for itself is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

__all__ = [
    "COUPLINGS",
    "DELIVERY",
    "LIFECYCLE",
    "MACHINES",
    "RECEIVE",
    "Coupling",
    "Guard",
    "GuardedTransition",
    "IsolatedObserver",
    "Machine",
    "Observer",
    "Row",
    "UnlistedTransition",
    "advance",
    "begin",
]

# States and inputs are plain strings: they hash fast, compare by `is` when interned, and
# read well in a trace. A state is one word of its machine's `states`.

# --- states of RECEIVE ---------------------------------------------------------------

PROTOHEADER = "PROTOHEADER"
JSONHEADER = "JSONHEADER"
CONTENT = "CONTENT"
FINISHED = "FINISHED"
FAILED = "FAILED"
ENDED = "ENDED"

# --- inputs of RECEIVE ---------------------------------------------------------------

PREFIX_READ = "PREFIX_READ"
HEADER_READ = "HEADER_READ"
CONTENT_READ = "CONTENT_READ"
LAST_CONTENT_READ = "LAST_CONTENT_READ"
FRAMING_LOST = "FRAMING_LOST"
GIVEN_UP = "GIVEN_UP"
EOF_READ = "EOF_READ"

# --- states of LIFECYCLE -------------------------------------------------------------

CONNECTING = "CONNECTING"
OPEN = "OPEN"
DRAINING = "DRAINING"
LINGERING = "LINGERING"
CLOSED = "CLOSED"

# --- inputs of LIFECYCLE -------------------------------------------------------------

CONNECTED = "CONNECTED"
LAST_MESSAGE = "LAST_MESSAGE"
INPUT_FAILED = "INPUT_FAILED"
PEER_EOF = "PEER_EOF"
SHUTDOWN = "SHUTDOWN"
SETTLED = "SETTLED"
SETTLED_AFTER_EOF = "SETTLED_AFTER_EOF"
RELEASED = "RELEASED"
LINGER_EXPIRED = "LINGER_EXPIRED"
LOST = "LOST"
ABORTED = "ABORTED"

# --- states of DELIVERY --------------------------------------------------------------

CURRENT = "CURRENT"
BEHIND = "BEHIND"
DROPPING = "DROPPING"
OVER = "OVER"

# --- inputs of DELIVERY --------------------------------------------------------------

MISSED_SOME = "MISSED_SOME"
REPLY_OWED = "REPLY_OWED"
ABOVE_HIGH = "ABOVE_HIGH"
CAUGHT_UP = "CAUGHT_UP"
QUEUE_FULL = "QUEUE_FULL"
GAPS_SENT = "GAPS_SENT"
OVERRUN = "OVERRUN"
UNSUBSCRIBED = "UNSUBSCRIBED"
CONNECTION_ENDED = "CONNECTION_ENDED"


class Guard(NamedTuple):
    """What must hold of the connection's other facts for a row to be taken.

    `receive`: RECEIVE is in one of these states. `nothing_owed`: every request of the peer's has had its reply, and
    none has begun, as far as bytes were fed. `nothing_expected`: every request of ours has had its reply.
    """

    receive: tuple[str, ...]
    nothing_owed: bool = True
    nothing_expected: bool = False

    def allows(self, receive: str, owed: int, expected: int) -> bool:
        """`owed` replies are ours to give, `expected` ones the peer's."""
        return receive in self.receive and not (self.nothing_owed and owed) and not (self.nothing_expected and expected)

    def __str__(self) -> str:
        needs = [f"RECEIVE in {', '.join(self.receive)}"]
        needs += ["no reply owed"] * self.nothing_owed
        needs += ["no reply expected"] * self.nothing_expected
        return "; ".join(needs)


class Row(NamedTuple):
    """One transition: in `state`, `input` leads to `target`, because of `reason`, if `guard` allows it."""

    state: str
    input: str
    target: str
    reason: str
    guard: Guard | None = None


class Coupling(NamedTuple):
    """When RECEIVE enters `entered`, LIFECYCLE is given `input`, because of `reason`."""

    entered: str
    input: str
    reason: str


class UnlistedTransition(RuntimeError):
    """A state was given an input that no row lists: a bug in the driver, never in the peer."""

    def __init__(self, machine: Machine, state: str, given: str) -> None:
        super().__init__(f"{machine.name}: no row for input {given} in state {state}")
        self.machine = machine
        self.pair = (state, given)


class GuardedTransition(UnlistedTransition):
    """A state was given an input whose row is guarded, and the guard does not hold: a bug in the driver, too."""

    def __init__(self, machine: Machine, row: Row) -> None:
        super().__init__(machine, row.state, row.input)
        self.args = (f"{machine.name}: input {row.input} in state {row.state} needs {row.guard}",)


class Machine:
    """A state machine that is nothing but its rows.

    `initial` lists the states a subject may begin in, `states` and `inputs` come in the
    order of their first mention, `terminal` are the states that no row leaves.
    """

    __slots__ = ("_lookup", "_paths", "initial", "inputs", "name", "rows", "states", "terminal")

    def __init__(self, name: str, initial: tuple[str, ...], rows: tuple[Row, ...]) -> None:
        self.name = name
        self.initial = initial
        self.rows = rows
        self.states = tuple(dict.fromkeys([*initial, *(s for r in rows for s in (r.state, r.target))]))
        self.inputs = tuple(dict.fromkeys(r.input for r in rows))
        left = {r.state for r in rows if r.target != r.state}
        self.terminal = tuple(s for s in self.states if s not in left)
        self._lookup = {(r.state, r.input): r for r in rows}
        self._paths: dict[tuple[str, tuple[str, ...]], str] = {}
        if len(self._lookup) != len(rows):
            raise ValueError(f"{name}: two rows for one pair of state and input")

    def row(self, state: str, given: str) -> Row:
        """The one lookup. Raises `UnlistedTransition` for a pair that no row lists."""
        try:
            return self._lookup[state, given]
        except KeyError:
            raise UnlistedTransition(self, state, given) from None

    def end_of_path(self, state: str, given: tuple[str, ...]) -> str:
        """The state that these inputs lead to, one after the other. Raises as `row`.

        Remembered for each path that was asked for: call it with paths that stand in the code.
        """
        try:
            return self._paths[state, given]
        except KeyError:
            target = state
            for one in given:
                target = self.row(target, one).target
            self._paths[state, given] = target
            return target

    def __repr__(self) -> str:
        return f"<Machine {self.name}: {len(self.states)} states, {len(self.rows)} rows>"


RECEIVE = Machine(
    "RECEIVE",
    (PROTOHEADER,),
    (
        Row(PROTOHEADER, PREFIX_READ, JSONHEADER, "two bytes say how long the JSON header is"),
        Row(PROTOHEADER, FRAMING_LOST, FAILED, "a header of that length is refused before a byte of it is kept"),
        Row(PROTOHEADER, GIVEN_UP, FAILED, "we stopped waiting, or serve no more: later bytes are thrown away"),
        Row(PROTOHEADER, EOF_READ, ENDED, "the peer finished: cleanly if no byte of a message had come"),
        Row(JSONHEADER, HEADER_READ, CONTENT, "the header is whole and valid, and says how long the content is"),
        Row(JSONHEADER, FRAMING_LOST, FAILED, "a header nobody can trust: the next one's beginning is unknown"),
        Row(JSONHEADER, GIVEN_UP, FAILED, "the header did not arrive in time"),
        Row(JSONHEADER, EOF_READ, ENDED, "truncated: the peer finished inside a header"),
        Row(CONTENT, CONTENT_READ, PROTOHEADER, "the message is whole and another may follow"),
        Row(CONTENT, LAST_CONTENT_READ, FINISHED, "the message is whole and by its own word the last"),
        Row(CONTENT, GIVEN_UP, FAILED, "the content did not arrive in time"),
        Row(CONTENT, EOF_READ, ENDED, "truncated: the peer finished inside a content"),
        Row(FINISHED, EOF_READ, ENDED, "the peer finished after its last message"),
        Row(FAILED, EOF_READ, ENDED, "the peer finished; what it sent since the failure was thrown away"),
    ),
)

#: In which states of LIFECYCLE bytes are read, so that RECEIVE moves.
READS = (OPEN, DRAINING, LINGERING)

# --- guards of LIFECYCLE's rows: what would end a connection in the middle of something ---------------

BETWEEN_MESSAGES = Guard((PROTOHEADER,), nothing_expected=True)
ALL_READ = Guard((FINISHED, FAILED))  # else its end would still be read, and LINGERING has no row for LAST_MESSAGE
AFTER_EOF = Guard((ENDED,))  # what a client still expects then never comes
DONE = Guard((PROTOHEADER, JSONHEADER, CONTENT, FINISHED, FAILED), nothing_expected=True)

LIFECYCLE = Machine(
    "LIFECYCLE",
    (CONNECTING, OPEN),
    (
        Row(CONNECTING, CONNECTED, OPEN, "SO_ERROR is 0: the handshake is done"),
        Row(CONNECTING, LOST, CLOSED, "every address refused, or the time was up"),
        Row(CONNECTING, ABORTED, CLOSED, "we no longer want it"),
        Row(OPEN, PEER_EOF, DRAINING, "they are done; we may still owe replies"),
        Row(OPEN, LAST_MESSAGE, DRAINING, "one-shot or close: one more reply, then FIN; what follows is discarded"),
        Row(OPEN, INPUT_FAILED, DRAINING, "earlier replies and the error go out first, then FIN"),
        Row(OPEN, SHUTDOWN, DRAINING, "told to stop: finish what was begun, begin nothing"),
        Row(OPEN, RELEASED, CLOSED, "between messages, nothing owed either way: close at once", BETWEEN_MESSAGES),
        Row(OPEN, LOST, CLOSED, "reset or broken: nothing can be sent or read any more"),
        Row(OPEN, ABORTED, CLOSED, "cut by us: a limit, or a second signal"),
        Row(DRAINING, PEER_EOF, DRAINING, "they finished too; what we owe still goes out"),
        Row(DRAINING, LAST_MESSAGE, DRAINING, "already on the way out"),
        Row(DRAINING, INPUT_FAILED, DRAINING, "already on the way out; an error, if there is one, is the last reply"),
        Row(DRAINING, SHUTDOWN, DRAINING, "already on the way out"),
        Row(
            DRAINING,
            SETTLED,
            LINGERING,
            "every reply has left: FIN, then read on, lest close be a RST",
            ALL_READ,
        ),
        Row(DRAINING, SETTLED_AFTER_EOF, CLOSED, "every reply has left and nothing more can arrive", AFTER_EOF),
        Row(DRAINING, RELEASED, CLOSED, "nothing owed, nothing unread and nothing expected: close at once", DONE),
        Row(DRAINING, LOST, CLOSED, "reset or broken before everything had left"),
        Row(DRAINING, ABORTED, CLOSED, "cut by us: it took too long, or a second signal"),
        Row(LINGERING, PEER_EOF, CLOSED, "they have read to our FIN and finished: a clean close"),
        Row(LINGERING, SHUTDOWN, LINGERING, "already past its last reply"),
        Row(LINGERING, LINGER_EXPIRED, CLOSED, "they had their seconds to read the last reply"),
        Row(LINGERING, LOST, CLOSED, "reset while lingering: they were done with us"),
        Row(LINGERING, ABORTED, CLOSED, "cut by us while lingering"),
    ),
)

DELIVERY = Machine(
    "DELIVERY",
    (CURRENT,),
    (
        Row(CURRENT, MISSED_SOME, BEHIND, "it subscribed again: what it missed comes before anything newer"),
        Row(CURRENT, REPLY_OWED, BEHIND, "its own request may have caused what is published: that reply leaves first"),
        Row(CURRENT, ABOVE_HIGH, BEHIND, "more is kept for it than the high-water mark: messages wait as references"),
        Row(CURRENT, UNSUBSCRIBED, OVER, "it wants no more"),
        Row(CURRENT, CONNECTION_ENDED, OVER, "nothing more can be sent to it"),
        Row(BEHIND, CAUGHT_UP, CURRENT, "its queue is empty: what is published is sent in the same turn again"),
        Row(BEHIND, QUEUE_FULL, DROPPING, "its policy leaves messages out, and a gap stands in their place"),
        Row(BEHIND, OVERRUN, OVER, "cut: its queue is full, or all queues together are and it is the slowest"),
        Row(BEHIND, UNSUBSCRIBED, OVER, "it wants none of what waits, either"),
        Row(BEHIND, CONNECTION_ENDED, OVER, "what waits can't be sent any more; with `since` it can be had again"),
        Row(DROPPING, QUEUE_FULL, DROPPING, "still full: a gap grows, or another one stands"),
        Row(DROPPING, GAPS_SENT, BEHIND, "every gap has left: it knows what it did not get"),
        Row(DROPPING, OVERRUN, OVER, "cut: all queues together are full and it is the slowest"),
        Row(DROPPING, UNSUBSCRIBED, OVER, "it wants neither what waits nor to know what was left out"),
        Row(DROPPING, CONNECTION_ENDED, OVER, "neither what waits nor a gap can be sent any more"),
    ),
)

MACHINES = (RECEIVE, LIFECYCLE, DELIVERY)

COUPLINGS = (
    Coupling(FINISHED, LAST_MESSAGE, "no request follows, so the connection only has replies left to give"),
    Coupling(FAILED, INPUT_FAILED, "no request can be read any more"),
    Coupling(ENDED, PEER_EOF, "no byte can arrive any more"),
)

COUPLED: dict[str, str] = {c.entered: c.input for c in COUPLINGS}


class Observer(Protocol):
    """Is told of every transition. A study tool implements it; without one nothing is called."""

    def transition(self, subject: Subject, machine: Machine, row: Row) -> None:
        """`subject` took `row` of `machine`; its state is already the new one."""


class IsolatedObserver:
    """An observer that is let go when it fails: an instrument must not harm what it measures.

    `failed` is told why, once. `inner` is the observer itself, or None from then on. (trio's rule
    for its instruments.)
    """

    __slots__ = ("_failed", "inner")

    def __init__(self, observer: Observer, failed: Callable[[Exception], None]) -> None:
        self.inner: Observer | None = observer
        self._failed = failed

    def transition(self, subject: Subject, machine: Machine, row: Row) -> None:
        if self.inner is not None:
            try:
                self.inner.transition(subject, machine, row)
            except Exception as error:
                self.inner = None
                self._failed(error)


class Subject(Protocol):
    """Anything that is in a state: it keeps the word in `state`."""

    state: str

    @property
    def observer(self) -> Observer | None: ...


class Facts(Protocol):
    """What guards ask for: a `protocol.Connection`. A client's subject itself knows how many replies it expects."""

    state: str

    @property
    def owed(self) -> int: ...


def _enter(subject: Subject, state: str) -> None:
    """The only place in the project that assigns a state (a test over the syntax tree checks)."""
    subject.state = state


def begin(subject: Subject, machine: Machine, state: str) -> None:
    """Put a new subject into one of its machine's initial states."""
    if state not in machine.initial:
        raise ValueError(f"{machine.name} does not begin in {state}")
    _enter(subject, state)


def advance(subject: Subject, machine: Machine, given: str) -> Row:
    """Let `subject` take the row for `given`, tell the observer, and return the row.

    Raises `UnlistedTransition` and leaves the state alone if no row lists the pair; of a subject that is observed, and
    has a `connection`, also if the row's guard does not hold. (The others' drivers are the same code.)
    """
    row = machine.row(subject.state, given)
    _enter(subject, row.target)
    if subject.observer is not None:
        if row.guard is not None:
            _check(subject, machine, row)
        subject.observer.transition(subject, machine, row)
    return row


def _check(subject: Subject, machine: Machine, row: Row) -> None:
    """Raises `GuardedTransition`, with the subject back in the row's state, if the row's guard does not hold."""
    facts: Facts | None = getattr(subject, "connection", None)
    expected: int = getattr(subject, "expected", 0)  # a server asks nothing
    if facts is not None and row.guard is not None and not row.guard.allows(facts.state, facts.owed, expected):
        _enter(subject, row.state)
        raise GuardedTransition(machine, row)


def advance_through(subject: Subject, machine: Machine, given: tuple[str, ...]) -> None:
    """Let `subject` take a row for each of `given`: an observer is told of each, without one it takes a single step.

    Raises as `advance`; without an observer the state is then the one before all of them.
    """
    if subject.observer is not None:
        for one in given:
            advance(subject, machine, one)
        return
    _enter(subject, machine.end_of_path(subject.state, given))
