"""What does the machine do with bytes given by hand?

    python -m study step [--role server|client] [SCRIPT]

An interactive session, or a script of the same lines. Bytes are written first, and then sent as
far as you like: `frame search morpheus`, then `send 1`, `send 10`, `send`. After each the machine
says which rows it took and why, and what it holds.

Rules:

* It is the real thing: `protocol.Connection` and the rows of `protocol.states`. As in `Message`, the
  couplings and the owed replies drive LIFECYCLE.
* `expect` makes a script a test: `expect JSONHEADER`, `expect in-flight 1`, `expect said TEXT`.
  The first that fails ends it with exit code 1 and says the line.
* Each connection (`on 2`) has machines of its own; all share the endpoint that acts.
* A subscription is driven by its inputs alone (`deliver ABOVE_HIGH`), as its owner would. There is no publisher and no
  queue: what they would decide, the user does.
* A line without a meaning gets an answer, not an error: nothing has moved.

Not here: which bytes a line stands for (`study.typed`); a socket, a clock. The user acts for the
timers: `give up`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator

from protocol import (
    CLIENT,
    JSON_ENCODING,
    JSON_TYPE,
    SERVER,
    Codec,
    Connection,
    EndOfInput,
    Event,
    Failed,
    Header,
    HeaderReceived,
    LocalError,
    Notification,
    Rejected,
    encode_json,
)
from protocol.printable import printable
from protocol.states import (
    CLOSED,
    CONNECTION_ENDED,
    COUPLED,
    CURRENT,
    DELIVERY,
    DRAINING,
    ENDED,
    FAILED,
    FINISHED,
    LIFECYCLE,
    OPEN,
    OVER,
    RECEIVE,
    SETTLED,
    SETTLED_AFTER_EOF,
    Machine,
    Row,
    UnlistedTransition,
    advance,
    begin,
)

from . import typed
from .frame_parts import LOST, Splitter
from .push import named

__all__ = ["HELP", "Session", "Unexpected", "run_script"]

HELP = """\
write bytes (they wait in the pipe until they are sent)
  text HELLO                  as UTF-8
  hex 00 02 7b 7d             as hexadecimal
  frame ACTION VALUE [F=V]    a whole JSON message; F=V adds header fields: connection=keep-alive, id=7
  binary TYPE TEXT [F=V]      a whole message of another content type
send them
  send [N]                    the next N bytes, or all
  each                        all, byte by byte
  eof                         the peer has finished sending
act for the endpoint
  reply [VALUE]               answer the oldest request (role server)
  ask ACTION VALUE            send a request, so that a reply is expected (role client)
  give up                     a timer expired: wait no longer
  life INPUT                  an input of LIFECYCLE that its owner decides: LOST, SHUTDOWN, LINGER_EXPIRED ...
  pause, resume               above the high-water mark what arrives is kept and not looked at; at the low one it is
  subscribe TOPIC             a subscription of this connection, or back to one that there is (role server)
  deliver INPUT               an input of its DELIVERY: ABOVE_HIGH, QUEUE_FULL, CAUGHT_UP, UNSUBSCRIBED ...
  on N                        another connection, with a machine of its own: 2, 3, and back to 1
look
  state                       where the machines are, and what is held
  rows                        what can happen from here
  pipe                        the bytes that wait, by the parts of their frames
  expect STATE | in-flight N | held N | said TEXT        (in a script: or end with 1)
  help, reset, quit"""


#: Connections of one session, and subscriptions of one connection: a finger may slip.
MOST_CONNECTIONS = 99
MOST_SUBSCRIPTIONS = 99


class Unexpected(Exception):
    """An `expect` did not hold; the text says what holds instead."""


class _Life:
    """A subject for LIFECYCLE, and the observer of both machines."""

    state: str

    def __init__(self, role: str, say: Callable[[str], None]) -> None:
        self._say = say
        self.connection = Connection(Codec(role), self)
        self.expected = 0  # replies, by a client
        begin(self, LIFECYCLE, OPEN)

    def count(self, change: int) -> None:
        """A client has asked, or has its reply."""
        self.expected += change

    @property
    def observer(self) -> _Life:
        return self

    def transition(self, subject: object, machine: Machine, row: Row) -> None:
        change = f"stays {row.state}" if row.state == row.target else f"{row.state} -> {row.target}"
        self._say(f"{machine.name}: {change}  on {row.input}: {row.reason}")
        if machine is RECEIVE and row.target in COUPLED and row.state != row.target:
            advance(self, LIFECYCLE, COUPLED[row.target])


class _Subscription:
    """A subject for DELIVERY, and its observer."""

    state: str

    def __init__(self, topic: str, say: Callable[[str], None]) -> None:
        self.topic = topic
        self._say = say
        begin(self, DELIVERY, CURRENT)

    @property
    def observer(self) -> _Subscription:
        return self

    def transition(self, subject: object, machine: Machine, row: Row) -> None:
        change = f"stays {row.state}" if row.state == row.target else f"{row.state} -> {row.target}"
        self._say(f"{machine.name} of {named(self.topic)}: {change}  on {row.input}: {row.reason}")


class _End:
    """One connection: its machines, the bytes on their way to it, what it owes, and its subscriptions."""

    def __init__(self, role: str, say: Callable[[str], None]) -> None:
        self.life = _Life(role, say)
        self.connection = self.life.connection
        self.pipe = bytearray()
        self.owed: list[Header | None] = []  # by a server
        self.paused = False
        self.subscriptions: dict[str, _Subscription] = {}
        self.subscription: _Subscription | None = None  # the one that `deliver` is for

    @property
    def in_flight(self) -> int:
        """Requests that await their reply."""
        return self.connection.in_flight or self.life.expected


class Session:
    """One connection, or more. `do(line)` gives what there is to say; raises `Unexpected`, on quit `StopIteration`."""

    def __init__(self, role: str = SERVER) -> None:
        self.role = role
        self._lines: list[str] = []
        self._said: list[str] = []
        self._number = 1
        self._ends: dict[int, _End] = {}
        self._reset()

    def _reset(self) -> None:
        self._ends[self._number] = _End(self.role, self._lines.append)

    @property
    def _end(self) -> _End:
        return self._ends[self._number]

    @property
    def connection(self) -> Connection:
        return self._end.connection

    @property
    def _life(self) -> _Life:
        return self._end.life

    @property
    def _pipe(self) -> bytearray:
        return self._end.pipe

    @property
    def _owed(self) -> list[Header | None]:
        return self._end.owed

    def do(self, line: str) -> list[str]:
        """Carry out one line."""
        self._lines.clear()
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            return [f"{error}: quotation marks come in pairs"]
        if words:
            if words[0] != "expect":
                self._said.clear()
            command = _COMMANDS.get(words[0])
            if command is None:
                self._lines.append(f"{words[0]!r} means nothing here; help tells what does")
            else:
                try:
                    command(self, words[1:])
                except (ValueError, LocalError, UnlistedTransition) as error:
                    self._lines.append(f"no: {error}")
            if self._life.state == CLOSED:
                self._end_subscriptions()
        if words and words[0] != "expect":
            self._said = list(self._lines)
        return list(self._lines)

    # --- writing ---------------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        self._end.pipe += data
        self._lines.append(f"{len(data)} bytes written; {len(self._pipe)} wait in the pipe")

    def _text(self, words: list[str]) -> None:
        self._write(typed.text(words))

    def _hex(self, words: list[str]) -> None:
        self._write(typed.hexadecimal(words))

    def _frame(self, words: list[str]) -> None:
        self._write(typed.frame(words, self.role))

    def _binary(self, words: list[str]) -> None:
        self._write(typed.binary(words))

    # --- sending ---------------------------------------------------------------------------------

    def _send(self, words: list[str]) -> None:
        count = len(self._pipe)
        if words:
            if not words[0].isdigit():
                raise ValueError("write send N, with N a number of bytes")
            count = min(int(words[0]), count)
        if not count:
            raise ValueError("the pipe is empty: write something first (frame search morpheus)")
        data = bytes(self._pipe[:count])
        del self._pipe[:count]
        self.connection.feed(data)
        self._lines.append(_arrive(count) + (f"; {len(self._pipe)} still wait" if self._pipe else ""))
        self._take()

    def _each(self, words: list[str]) -> None:
        quiet = 0  # bytes in a row that moved nothing
        while self._pipe:
            begun = len(self._lines)
            self._send(["1"])
            if self._lines[begun + 1].startswith(("still", "paused")):
                del self._lines[begun:]
                quiet += 1
            elif quiet:
                self._lines.insert(begun, _in_vain(quiet))
                quiet = 0
        if quiet:
            self._lines.append(_in_vain(quiet))

    def _eof(self, words: list[str]) -> None:
        self.connection.feed_eof()
        self._take()

    def _take(self) -> None:
        if self._end.paused:
            self._lines.append(f"paused: {_bytes(self.connection.buffered)} held, and not looked at")
            return
        before = (self.connection.state, len(self._lines))
        while (event := self.connection.next_event()) is not None:
            self._lines.append("event: " + self._happened(event))
        if (self.connection.state, len(self._lines)) == before:
            self._lines.append(f"still {self.connection.state}: {self._waiting_for()}")
        self._settle()

    def _happened(self, event: Event) -> str:
        if isinstance(event, EndOfInput):
            return "the input has ended" + (" in the middle of a message" if event.truncated else "")
        if isinstance(event, Failed):
            self._owed.append(event.header)
            return f"failed: {event.error.code}: {event.error}"
        if isinstance(event, HeaderReceived):
            return f"header: {event.header.content_type}, content of {event.header.content_length} bytes"
        if isinstance(event, Notification):
            return f"notification {event.header.event!r}: answers no request"
        self._count(event.header)
        if isinstance(event, Rejected):
            return f"rejected: {event.error.code}: {event.error}"
        return f"{type(event).__name__.lower()}: {event.content!r}"

    def _count(self, header: Header) -> None:
        """A request has come, or a reply."""
        if self.role == SERVER:
            self._owed.append(header)
        elif self._life.expected:
            self._life.count(-1)

    def _waiting_for(self) -> str:
        held = self.connection.buffered
        return f"{_bytes(held)} held, and more are needed" if held else "nothing is held"

    # --- acting ----------------------------------------------------------------------------------

    def _reply(self, words: list[str]) -> None:
        if self.role != SERVER:
            raise ValueError("a client does not reply; ask ACTION VALUE sends a request")
        if not self._owed:
            raise ValueError("no request awaits a reply")
        frame = self.connection.send_json(self._owed.pop(0), encode_json({"result": " ".join(words)}))
        header = json.loads(frame[0][2:])
        says = f", which says connection {header['connection']}" if "connection" in header else ""
        self._lines.append(f"a reply of {sum(map(len, frame))} bytes leaves{says}")
        self._settle()

    def _ask(self, words: list[str]) -> None:
        if self.role != CLIENT or not words:
            raise ValueError("ask ACTION VALUE is for --role client")
        content = encode_json({"action": words[0], "value": " ".join(words[1:])})
        frame = self.connection.send_request(JSON_TYPE, JSON_ENCODING, content)
        self._life.count(+1)
        self._lines.append(f"a request of {sum(map(len, frame))} bytes leaves; {self._end.in_flight} in flight")

    def _give_up(self, words: list[str]) -> None:
        if words != ["up"]:
            raise ValueError("write give up")
        self.connection.give_up()
        self._settle()

    def _live(self, words: list[str]) -> None:
        if len(words) != 1 or words[0] not in LIFECYCLE.inputs:
            raise ValueError(f"write life INPUT, one of {', '.join(LIFECYCLE.inputs)}")
        if words[0] in COUPLED.values() and words[0] != "PEER_EOF":
            raise ValueError(f"{words[0]} comes from RECEIVE, by a coupling")
        advance(self._life, LIFECYCLE, words[0])

    def _pause(self, words: list[str]) -> None:
        self._end.paused = True
        self._lines.append("paused: reading stops, and what still arrives is kept")

    def _resume(self, words: list[str]) -> None:
        if not self._end.paused:
            raise ValueError("it is not paused")
        self._end.paused = False
        self._take()

    def _on(self, words: list[str]) -> None:
        if len(words) != 1 or not words[0].isdigit() or not 1 <= int(words[0]) <= MOST_CONNECTIONS:
            raise ValueError(f"write on N, with N from 1 to {MOST_CONNECTIONS}")
        self._number = int(words[0])
        new = self._number not in self._ends
        if new:
            self._reset()
        self._lines.append(f"{'a new connection' if new else 'connection'}, number {self._number}")

    def _subscribe(self, words: list[str]) -> None:
        end = self._end
        topic = " ".join(words)
        if self.role != SERVER or not topic:
            raise ValueError("subscribe TOPIC, such as subscribe room/lobby, is for --role server: it delivers")
        known = end.subscriptions.get(topic)
        if known is None or known.state == OVER:
            if self._life.state != OPEN:
                raise ValueError("only a connection that is OPEN can subscribe")
            if len(end.subscriptions) >= MOST_SUBSCRIPTIONS:
                raise ValueError(f"that would be more than {MOST_SUBSCRIPTIONS} subscriptions")
            known = end.subscriptions[topic] = _Subscription(topic, self._lines.append)
        end.subscription = known
        self._lines.append(f"the subscription to {named(topic)} is {known.state}")

    def _deliver(self, words: list[str]) -> None:
        if len(words) != 1 or words[0] not in DELIVERY.inputs:
            raise ValueError(f"write deliver INPUT, one of {', '.join(DELIVERY.inputs)}")
        subscription = self._end.subscription
        if subscription is None:
            raise ValueError("there is no subscription: write subscribe TOPIC")
        advance(subscription, DELIVERY, words[0])

    def _end_subscriptions(self) -> None:
        """What `Message` does when it is closed."""
        for subscription in self._end.subscriptions.values():
            if subscription.state != OVER:
                advance(subscription, DELIVERY, CONNECTION_ENDED)

    def _settle(self) -> None:
        """What `Message` does once everything owed has left."""
        connection = self.connection
        if self._life.state != DRAINING or self._owed or self._life.expected:
            return
        if connection.state == ENDED:
            advance(self._life, LIFECYCLE, SETTLED_AFTER_EOF)
        elif connection.state in (FINISHED, FAILED):
            advance(self._life, LIFECYCLE, SETTLED)

    # --- looking -----------------------------------------------------------------------------------

    def _state(self, words: list[str]) -> None:
        connection = self.connection
        self._lines += [
            f"RECEIVE {connection.state}, LIFECYCLE {self._life.state}",
            f"{connection.buffered} bytes held, {self._end.in_flight} in flight, "
            f"{'kept alive' if connection.persistent else 'one-shot'}",
            *(f"DELIVERY of {named(it.topic)} {it.state}" for it in self._end.subscriptions.values()),
        ]

    def _rows(self, words: list[str]) -> None:
        machines = [(RECEIVE, self.connection.state), (LIFECYCLE, self._life.state)]
        if self._end.subscription is not None:
            machines.append((DELIVERY, self._end.subscription.state))
        for machine, state in machines:
            rows = [row for row in machine.rows if row.state == state]
            self._lines.append(f"{machine.name} in {state}" + (":" if rows else " is at its end"))
            for row in rows:
                needs = f" (needs {row.guard})" if row.guard is not None else ""
                self._lines.append(f"  {row.input} -> {row.target}: {row.reason}{needs}")

    def _show_pipe(self, words: list[str]) -> None:
        splitter = Splitter()
        for part in splitter.feed(self._pipe):
            shown = bytes(self._pipe[part.offset : part.offset + part.length])
            self._lines.append(f"{part.kind:8} {part.length:5} bytes  {_shown(shown)}")
        if splitter.reading == LOST:
            self._lines.append("what follows can't be a message")
        if not self._pipe:
            self._lines.append("empty")

    def _expect(self, words: list[str]) -> None:
        connection = self.connection
        kind = words[0] if words else ""
        rest = " ".join(words[1:])
        if kind == "said" and rest:
            held, actual = any(rest in line for line in self._said), " / ".join(self._said)
        elif kind in ("in-flight", "held") and rest.isdigit():
            number = self._end.in_flight if kind == "in-flight" else connection.buffered
            held, actual = number == int(rest), str(number)
        elif kind in (*RECEIVE.states, *LIFECYCLE.states, *DELIVERY.states) and not rest:
            held, actual = kind in self._states, " and ".join(self._states)
        else:
            raise ValueError("write expect STATE, expect in-flight N, expect held N or expect said TEXT")
        if not held:
            raise Unexpected(f"expected {' '.join(words)}; it is {actual}")
        self._lines.append("as expected")

    def _help(self, words: list[str]) -> None:
        self._lines += HELP.splitlines()

    def _start_over(self, words: list[str]) -> None:
        self._reset()
        self._lines.append("a new connection")

    def _quit(self, words: list[str]) -> None:
        raise StopIteration

    @property
    def _states(self) -> list[str]:
        """Of the connection's machines, and of its subscription that `deliver` is for."""
        subscription = self._end.subscription
        return [self.connection.state, self._life.state, *([subscription.state] if subscription is not None else [])]

    @property
    def prompt(self) -> str:
        ended = " (ended)" if self._life.state == CLOSED else ""
        number = f"{self._number}: " if len(self._ends) > 1 else ""
        return f"{number}{'/'.join(self._states)}{ended}> "


_COMMANDS: dict[str, Callable[[Session, list[str]], None]] = {
    "text": Session._text,
    "hex": Session._hex,
    "frame": Session._frame,
    "binary": Session._binary,
    "send": Session._send,
    "each": Session._each,
    "eof": Session._eof,
    "reply": Session._reply,
    "ask": Session._ask,
    "give": Session._give_up,
    "life": Session._live,
    "pause": Session._pause,
    "resume": Session._resume,
    "subscribe": Session._subscribe,
    "deliver": Session._deliver,
    "on": Session._on,
    "state": Session._state,
    "rows": Session._rows,
    "pipe": Session._show_pipe,
    "expect": Session._expect,
    "help": Session._help,
    "reset": Session._start_over,
    "quit": Session._quit,
}


def _arrive(count: int) -> str:
    return _bytes(count) + (" arrives" if count == 1 else " arrive")


def _in_vain(count: int) -> str:
    return _arrive(count) + (", one by one" if count > 1 else "") + ", and nothing moves"


def _bytes(count: int) -> str:
    return "1 byte" if count == 1 else f"{count} bytes"


def _shown(data: bytes, most: int = 60) -> str:
    text = data[: most + 1].decode("utf-8", "backslashreplace")  # one more: so that it is known to be cut
    return printable(text, most)


def run_script(lines: Iterator[str], role: str) -> Iterator[str]:
    """Each line and what it makes the machine say. Raises `Unexpected`, with the line's number."""
    session = Session(role)
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\n")
        if line.strip():
            yield line if line.startswith("#") else f"{session.prompt}{line}"
        try:
            yield from ("  " + said for said in session.do(line))
        except StopIteration:
            return
        except Unexpected as failed:
            raise Unexpected(f"line {number}: {failed}") from None
