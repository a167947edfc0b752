"""What does a chat client ask, and what does it hear?

`ChatRoom` is one person in one room at a time, over one connection that is opened again (`libclient.channel`). It takes
lines as they are typed and shows events: dictionaries with `event`, which `chat_view` turns into text or JSON. Their
members stand in docs/do/chat.md.

Rules:

* A line is sent once, in the order typed, and only while this person is in the room. One that had begun to leave when
  the connection ended may have been said: the person is told so. All others wait for the next connection.
* The token makes it the same person on each connection: the server hands over the name, and `since` brings what was
  missed. If another person took the name (the server was started again), it asks for `NAME_PATIENCE` seconds.
* The first connection must succeed. After that it is opened again without an end.
* It trusts no field of what the server sends: what is not as it should be is not shown.

Not here: what a line means (`chat_commands`), reading lines (`chat_lines`), showing (`chat_view`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from eventloop import Address, Endpoint
from libclient import ErrorReply, Shared, json_request
from libclient.call import Backoff
from libclient.channel import Channel
from libclient.connect import resolve
from protocol import Notification
from protocol.push import Gap, read_event

from . import DONE, ERROR_REPLY, USAGE
from .chat_commands import HELP, Unusable, parse

__all__ = ["ChatRoom"]

#: Lines that may await their replies.
MAX_IN_FLIGHT = 64

#: Seconds without a word from the server after which it is asked for one.
HEARTBEAT = 15.0

#: Seconds for which a name is asked for again that another person took meanwhile, and the pause between two times.
NAME_PATIENCE = 10.0
NAME_PAUSE = 1.0

#: What is published, by its kind, and the event that it becomes.
EVENTS = {"say": "message", "me": "me", "tell": "private", "join": "join", "leave": "leave"}

#: The topics that a person listens to, in the order of the server's reply.
TOPICS = ("room", "presence", "private")

#: What reading a reply raises that is not as it should be.
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, OverflowError)

Show = Callable[[dict[str, Any]], object]


class ChatRoom:
    """One person named `name`, first in `room`. `show` gets the events.

    `over`: there is nothing more to do; then `error` says why if it had to end. `code` is the exit code that its lines
    have earned.
    """

    def __init__(
        self,
        shared: Shared,
        address: Address,
        name: str,
        room: str,
        show: Show,
        *,
        heartbeat: float = HEARTBEAT,
        backoff: Backoff | None = None,
        resolve: Callable[[Address], list[Endpoint]] = resolve,
    ) -> None:
        self.name = name
        self.room = room
        self.joined = False
        self.over = False
        self.error: Exception | None = None
        self.last_error: Exception | None = None  # of a connection
        self.code = DONE
        self._loop = shared.loop
        self._show = show
        self._token = os.urandom(16).hex()
        self._wanted = room  # where to go
        self._placed = False  # this connection is in `room`
        self._has_been_here = False  # some connection was
        self._max_line = 0
        self._topics: dict[str, str] = {}  # what a topic is for: one of TOPICS
        self._epochs: dict[str, str] = {}
        self._since: dict[str, dict[str, Any]] = {}  # by topic, as far as was shown
        self._lines: list[tuple[int, str]] = []  # that wait to be sent, with their numbers
        self._count = 0
        self._in_flight = 0
        self.finishing = False  # no line comes any more
        self._name_lost_at: float | None = None
        self._channel = Channel(
            shared,
            address,
            opened=self._opened,
            notified=self._notified,
            lost=self._lost,
            backoff=backoff,
            heartbeat=heartbeat,
            resolve=resolve,
        )

    @property
    def has_room(self) -> bool:
        """May more lines come?"""
        return len(self._lines) + self._in_flight < MAX_IN_FLIGHT

    @property
    def settled(self) -> bool:
        """Its connection is closed."""
        return self._channel.settled

    def open(self) -> None:
        """Connect, and join."""
        self._channel.open()

    def close(self) -> None:
        """Leave."""
        self._channel.close()

    def finish(self) -> None:
        """No line comes any more: it is over once all are sent, answered, and what they caused is shown."""
        self.finishing = True
        self._send_lines()

    def give_up(self) -> None:
        """It is over, although lines may be left, or replies be missing: then `error` says so."""
        self.over = True
        if self._lines or self._in_flight:
            self.error = self.last_error

    # --- joining -------------------------------------------------------------------------

    def _opened(self) -> None:
        self._join(self._wanted)

    def _join(self, room: str) -> None:
        self.joined = False
        self._wanted = room
        fields = {"action": "chat-join", "name": self.name, "room": room, "token": self._token, "since": self._since}
        self._channel.send(
            json_request(fields), lambda value, error: self._join_answered(room, value, error), here=True
        )

    def _join_answered(self, room: str, value: Any, error: Exception | None) -> None:
        if error is None:
            try:
                self._arrived(value["result"])
            except UNREADABLE:
                self._end(self._no_chat_room())
                return
            self._send_lines()
        elif not isinstance(error, ErrorReply) or error.code == "shutting-down":
            pass  # the connection has ended, or is about to
        elif self._has_been_here and room != self.room:
            self._refused(error)
            self._stay()
        elif self._has_been_here and error.code == "name-taken" and self._is_patient(error):
            self._loop.call_later(NAME_PAUSE, self._join_again)
        else:
            self._end(self._no_chat_room() if error.code == "unknown-action" else error)

    def _no_chat_room(self) -> ErrorReply:
        words = f"{self._channel.address.endpoint} has none; app_server.py has, and a program of yours with add_chat"
        return ErrorReply("no-chat-room", words)

    def _stay(self) -> None:
        """There is no way to the room that is wanted."""
        if not self._placed:
            self._join(self.room)
            return
        self._wanted = self.room
        self.joined = True
        self._send_lines()

    def _is_patient(self, error: ErrorReply) -> bool:
        if self._name_lost_at is None:
            self._name_lost_at = self._loop.clock()
            self._refused(error)
        return self._loop.clock() < self._name_lost_at + NAME_PATIENCE

    def _join_again(self) -> None:
        if self._channel.connected and not self.joined:
            self._join(self.room)

    def _arrived(self, result: dict[str, Any]) -> None:
        """Raises one of `UNREADABLE` if that is no answer to `chat-join`."""
        room, name, people = str(result["room"]), str(result["name"]), int(result["people"])
        max_line, history = int(result["max_line"]), [*result["history"]]
        places = {str(one["topic"]): one for one in result["subscriptions"]}
        again = self._has_been_here and set(places) == set(self._topics)
        self._topics = dict(zip(places, TOPICS, strict=True))
        self._epochs = {topic: str(one["epoch"]) for topic, one in places.items()}
        # Where it was before: until what was missed has come, that is where it is.
        starts = {topic: {"epoch": one["epoch"], "seq": one["seq"]} for topic, one in places.items()}
        self._since = {topic: self._since.get(topic, start) for topic, start in starts.items()}
        self.room, self.name, self._max_line = room, name, max_line
        self._wanted = room
        self.joined = self._placed = self._has_been_here = True
        self._name_lost_at = None
        if again:
            missed = [places[topic]["missed"] for topic, place in self._topics.items() if place != "presence"]
            self._show({"event": "back", "room": room, "missed": None if None in missed else sum(missed)})
            return
        self._show_history(history)
        self._show({"event": "joined", "room": room, "name": name, "people": people})

    def _lost(self, error: Exception, final: bool) -> None:
        was_here, self._placed, self.joined = self._placed, False, False
        self.last_error = error
        if final or not self._has_been_here:
            self._end(error)
        elif was_here:
            self._show({"event": "lost", "why": str(error)})

    def _end(self, error: Exception) -> None:
        self.error = error
        self.over = True

    # --- lines ---------------------------------------------------------------------------

    def line(self, text: str) -> None:
        """A line was typed."""
        text = text.rstrip("\r\n")
        if not text.strip() or self.finishing:
            return
        if text.rstrip() == "/help":
            self._show({"event": "help", "text": HELP})
        elif text.rstrip() == "/quit":
            self.finish()
        else:
            self._count += 1
            self._lines.append((self._count, text))
            if not self._placed and self._has_been_here:
                self._show({"event": "held", "text": text})
            self._send_lines()

    def _send_lines(self) -> None:
        while self.joined and self._lines and self._in_flight < MAX_IN_FLIGHT:
            number, line = self._lines.pop(0)
            try:
                self._send(number, line)
            except Unusable as error:
                self._refuse("usage", f"not sent: {error}")
        if self.finishing and self.joined and not (self._lines or self._in_flight or self.over):
            # The events that a line has caused leave behind its reply, and before this one's. And the name is free
            # when the command ends: who starts it again at once gets it.
            self._ask({"action": "chat-leave"}, lambda value, error: self._done())

    def _done(self) -> None:
        self.over = True

    def _send(self, number: int, line: str) -> None:
        command = parse(line, next(iter(self._topics)), self._max_line)
        if command.kind == "join":
            self._join(command.text)
            return

        def show_sent(result: Any) -> None:
            self._show({"event": "sent", "to": str(result["to"]), "text": command.text})

        use = {
            "say": lambda result: None,
            "tell": show_sent,
            "who": self._show_who,
            "rooms": self._show_rooms,
            "history": lambda result: self._show_history(result["messages"]),
        }
        self._ask(command.request, self._asked(number, line, use[command.kind]))

    def _ask(self, request: dict[str, Any], done: Callable[[Any, Exception | None], object]) -> None:
        self._in_flight += 1

        def answered(value: Any, error: Exception | None) -> None:
            self._in_flight -= 1
            done(value, error)

        self._channel.send(json_request(request), answered)

    def _asked(self, number: int, line: str, use: Callable[[Any], object]) -> Callable[[Any, Exception | None], object]:
        """What is done with the reply to a line."""

        def done(value: Any, error: Exception | None) -> None:
            if error is None:
                try:
                    use(value["result"])
                except UNREADABLE:
                    self._refuse("bad-reply", "the server's answer can't be read")
            elif isinstance(error, ErrorReply) and self._comes_again(error):
                self._lines = sorted([*self._lines, (number, line)])
            elif isinstance(error, ErrorReply):
                self._refused(error)
            else:
                self._refuse("lost", f"the connection ended: this may have been sent, or not: {line}")
            self._send_lines()

        return done

    def _comes_again(self, error: ErrorReply) -> bool:
        """Was the line certainly not said, and is there another connection or another try at the name to come?"""
        if error.code == "shutting-down":
            self.joined = False  # the connection ends behind this reply
        return error.code == "shutting-down" or (error.code == "not-joined" and not self.joined)

    def _refused(self, error: ErrorReply) -> None:
        self.code = self.code or ERROR_REPLY
        self._show({"event": "error", "code": error.code, "message": error.message})

    def _refuse(self, code: str, message: str) -> None:
        self.code = self.code or (USAGE if code == "usage" else ERROR_REPLY)
        self._show({"event": "error", "code": code, "message": message})

    # --- showing -------------------------------------------------------------------------

    def _notified(self, notification: Notification) -> None:
        event = read_event(notification)
        if event is None or event.topic not in self._topics:
            return
        place = self._topics[event.topic]
        seq = event.last if isinstance(event, Gap) else event.seq
        self._since[event.topic] = {"epoch": self._epochs[event.topic], "seq": seq}
        if isinstance(event, Gap):
            self._show({"event": "gap", "topic": place, "dropped": event.dropped})
        else:
            self._show_said(event.value, event.sender, {})

    def _show_said(self, value: Any, sender: Any, more: dict[str, Any]) -> None:
        if not isinstance(value, dict) or not isinstance(sender, str) or value.get("kind") not in EVENTS:
            return
        name, text, when = EVENTS[value["kind"]], value.get("text"), value.get("time")
        if name not in ("join", "leave"):
            if not isinstance(text, str):
                return
            more = {"text": text, **more}
        when = when if isinstance(when, (int, float)) and not isinstance(when, bool) else None
        self._show({"event": name, "room": self.room, "from": sender, "time": when, **more})

    def _show_history(self, messages: list[Any]) -> None:
        for message in messages:
            self._show_said(message["value"], message.get("from"), {"history": True})

    def _show_who(self, result: dict[str, Any]) -> None:
        names = sorted({str(name) for name in result["names"]}, key=str.casefold)
        self._show({"event": "who", "room": self.room, "names": names})

    def _show_rooms(self, result: list[Any]) -> None:
        rooms = [{"room": str(one["room"]), "people": int(one["people"])} for one in result]
        self._show({"event": "rooms", "rooms": rooms})
