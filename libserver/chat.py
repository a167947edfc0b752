"""How is a chat room built from topics?

    actions = Actions(topics=Topics())
    add_chat(actions)

A room is a topic, and the people in it subscribe to that. A second one has who comes and goes, so that a hundred
guests do not push the talk out of the history. Each person has a third, for what is said to them alone.
`app_client.py chat` is the client.

Its actions (`chat-join`, `chat-leave`, `chat-say`, `chat-tell`, `chat-rooms`) stand in docs/look-up/push.md. `members`
and `history` tell who is there, and what was said, as of any topic.

Rules:

* A connection is in one room at a time. A name is unique in its room, whatever the case of its letters.
* `token` is a secret of the person's. It makes them the same person on another connection: that takes over the name at
  once, while the server may still believe in the old connection; and what was said to them alone comes after them.
* `since` is where a topic's last event left off: what was missed follows as events. Without one the reply has the
  `history`.
* No client publishes to these topics, or subscribes to them, but through these actions.
* With a backplane a room is that of all servers: a name is taken there (`Topics.claim`), and what needs it is answered
  later. How many people are in a room, and which rooms there are, is as this server sees it.

Not here: topics (`libserver.topics`), what a client shows (`multiconn.commands.chat_view`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Protocol

from protocol.errors import AnswerableError, BadRequest
from protocol.push import is_topic
from protocol.shown import shown

from .action_error import ActionError
from .actions import Actions
from .reasons import CloseReason
from .session import Session
from .topics import DEFAULT_LIMIT, PUBLISH, Receipt, Topics

__all__ = ["add_chat"]

LOBBY = "lobby"

#: Characters of a name or a room, at most.
MAX_NAME = 32

#: Bytes of a line, at most.
MAX_LINE = 4096

#: Messages that a newcomer is shown, and rooms that are listed: those with the most people.
SHOWN = 50

#: Where a session keeps its person, and the one that it is about to be.
PERSON = "chat-person"
JOINING = "chat-joining"

#: Ends of connections that are the server's own end: the others go as well.
SERVER_ENDS = (CloseReason.SHUTDOWN.value, CloseReason.CUT.value)


class Answer(Protocol):
    """Hears the result of an action, or the error in its place."""

    def __call__(self, result: object = None, error: Exception | None = None) -> None: ...


class Person:
    """A person in a room, on one connection. `private` is the topic that is theirs alone.

    `connection` tells this one from others of theirs, on whatever server.
    """

    __slots__ = ("connection", "name", "private", "room", "session")

    def __init__(self, name: str, room: str, private: str, session: Session) -> None:
        self.name = name
        self.room = room
        self.private = private
        self.session = session
        self.connection = os.urandom(6).hex()

    @property
    def claim(self) -> str:
        """What is taken on all servers."""
        return f"{self.room}/{self.key}"

    @property
    def key(self) -> str:
        """Two names with the same key are the same name."""
        return self.name.casefold()

    @property
    def topics(self) -> tuple[str, str, str]:
        """What they listen to: the room, who comes and goes there, and their own."""
        return f"chat/room/{self.room}", f"chat/presence/{self.room}", self.private


def add_chat(actions: Actions, clock: Callable[[], float] = time.time) -> None:
    """Add the chat room's actions to `actions`, which must have topics. `clock`: seconds since 1970, for the messages.

    Raises `ValueError` for actions without topics.
    """
    if actions.topics is None:
        raise ValueError("a chat room needs topics: Actions(topics=Topics())")
    chat = Chat(actions.topics, clock)
    actions.topics.restrict("chat/**", chat.may)
    shared = actions.topics.shared
    for name, function in (
        ("chat-join", chat.join_later if shared else chat.join),
        ("chat-say", chat.say_later if shared else chat.say),
        ("chat-tell", chat.tell_later if shared else chat.tell),
    ):
        actions.add(name, builtin=True, deferred=shared)(function)
    actions.add("chat-leave", builtin=True)(chat.leave)
    actions.add("chat-rooms", builtin=True)(chat.list_rooms)


class Asked(NamedTuple):
    """What a join asks for: to be `person`, after having been `before` on this connection."""

    person: Person
    token: str | None
    before: Person | None
    since: dict[str, Any]

    @property
    def wants_history(self) -> bool:
        """Not where what was missed follows."""
        return self.person.topics[0] not in self.since


class Chat:
    """All rooms of a server."""

    def __init__(self, topics: Topics, clock: Callable[[], float]) -> None:
        self._topics = topics
        self._clock = clock
        self._rooms: dict[str, dict[str, Person]] = {}  # by room, then by the key of a name

    def may(self, session: Session, verb: str, topic: str) -> bool:
        """A person may subscribe to their own three topics, and read their history."""
        people = (session.get(PERSON), session.get(JOINING))
        return verb != PUBLISH and any(person is not None and topic in person.topics for person in people)

    # --- coming and going ----------------------------------------------------------------

    def join(self, request: dict[str, Any], session: Session) -> dict[str, Any]:
        asked = self._asked(request, session)
        topic = asked.person.topics[0]
        history = self._topics.history(topic, SHOWN)["messages"] if asked.wants_history else []
        return self._enter(asked, self._subscribe(asked), history)

    def _asked(self, request: dict[str, Any], session: Session) -> Asked:
        """What a join asks for, if it may have it as far as this server knows."""
        before: Person | None = session.get(PERSON)
        token, private = _identity(request, before)
        person = Person(_name(request, "name"), _name(request, "room", LOBBY).casefold(), private, session)
        if not is_topic(person.topics[0]):
            raise BadRequest("a room can't be called so")
        holder = self._holder(person)
        if holder is not None and holder.private != private:
            raise _taken(holder.name, person.room)
        since = request.get("since", {})
        if not isinstance(since, dict):
            raise BadRequest("`since` has for each topic its epoch and seq")
        return Asked(person, token, before, since)

    def _holder(self, person: Person) -> Person | None:
        """Who has that name in that room."""
        return self._rooms.get(person.room, {}).get(person.key)

    def _enter(self, asked: Asked, subscriptions: list[dict[str, Any]], history: list[Any]) -> dict[str, Any]:
        """All is there: the person comes in. The reply's result."""
        person, token, before, _ = asked
        session = person.session
        holder = self._holder(person)
        if holder is not None and holder.session is not session:  # the same person's connection before this one
            del holder.session[PERSON]
            holder.session.name = None
            _unsubscribe(holder.session, holder.topics)
        if before is not None and before is not holder:
            self._leave(before)
        if before is not None:
            _unsubscribe(session, set(before.topics) - set(person.topics))
        self._rooms.setdefault(person.room, {})[person.key] = person
        session.name = person.name
        if before is None:
            session.on_close(self._gone)
        if holder is None:
            self._publish(person, person.topics[1], "join")
        return {
            "room": person.room,
            "name": person.name,
            "people": len(self._rooms[person.room]),
            "token": token,
            "max_line": MAX_LINE,
            "subscriptions": subscriptions,
            "history": history,
        }

    def _subscribe(self, asked: Asked) -> list[dict[str, Any]]:
        """To the room and to what is theirs alone; if that fails, all is as before."""
        session = asked.person.session
        session[PERSON] = asked.person  # `may` looks there
        try:
            topics = asked.person.topics
            return [session.subscribe(topic, slow="oldest", since=_position(asked.since, topic)) for topic in topics]
        except Exception:
            _undo(asked)
            raise

    def join_later(self, request: dict[str, Any], session: Session, answer: Answer) -> None:
        """`join`, where the room is that of several servers. Until all is there the session stays who it was."""
        if JOINING in session:
            raise BadRequest("your chat-join before this one is not answered yet")
        asked = self._asked(request, session)
        person = asked.person
        if asked.before is not None and (asked.before.claim, asked.before.private) == (person.claim, person.private):
            person.connection = asked.before.connection  # the claim is the same
        results: dict[str, Any] = {}

        def fail(error: Exception) -> None:
            session.pop(JOINING, None)
            here: Person | None = session.get(PERSON)
            if not session.closed:
                _unsubscribe(session, set(person.topics) - set(here.topics if here is not None else ()))
            if here is None or here.claim != person.claim:
                with suppress(ActionError):
                    self._topics.release(person.claim, person.private, person.connection, lambda ours, error: None)
            answer(None, error)

        def came(what: str, result: Any, error: Exception | None) -> None:
            results[what] = error or result
            if len(results) < len(person.topics) + 1:
                return
            for one in results.values():
                if isinstance(one, Exception):
                    fail(one)
                    return
            if session.closed:
                fail(ActionError("not-joined", "you have gone meanwhile"))
                return
            now = asked._replace(before=session.get(PERSON))  # it may have left meanwhile
            del session[JOINING]
            session[PERSON] = person
            answer(self._enter(now, [results[topic] for topic in person.topics], results["history"]["messages"]))

        def claimed(taken: Any, error: Exception | None) -> None:
            if session.closed or not taken:
                fail(error or _taken(person.name, person.room))
                return
            for topic in person.topics:
                try:
                    since = _position(asked.since, topic)
                    options: dict[str, Any] = {"slow": "oldest", "key": None, "limit": DEFAULT_LIMIT, "since": since}
                    session.subscribe_later(partial(came, topic), topic, **options)
                except AnswerableError as refused:
                    came(topic, None, refused)
            if not asked.wants_history:
                came("history", {"messages": []}, None)
                return
            try:
                self._topics.history_later(person.topics[0], SHOWN, partial(came, "history"))
            except AnswerableError as refused:
                came("history", None, refused)

        self._topics.claim(person.claim, person.private, person.connection, claimed)
        session[JOINING] = person

    def leave(self, request: dict[str, Any], session: Session) -> dict[str, Any]:
        person = _person(session)
        del session[PERSON]
        session.name = None
        _unsubscribe(session, person.topics)
        self._leave(person)
        return {"room": person.room}

    def _gone(self, session: Session, reason: str) -> None:
        """The connection has ended."""
        person = session.pop(PERSON, None)
        if person is not None:
            self._leave(person, silently=reason in SERVER_ENDS)

    def _leave(self, person: Person, silently: bool = False) -> None:
        people = self._rooms[person.room]
        del people[person.key]
        if not people:
            del self._rooms[person.room]
        if silently:
            return  # a name that is known on all servers stays theirs for as long as it is kept

        def leave(ours: Any = True, error: Exception | None = None) -> None:
            if ours:  # else they are there on another server
                with suppress(ActionError):  # one topic too many (--max-topics)
                    self._publish(person, person.topics[1], "leave")

        if self._topics.shared:
            with suppress(ActionError):
                self._topics.release(person.claim, person.private, person.connection, leave)
        else:
            leave()

    # --- talking -------------------------------------------------------------------------

    def say(self, request: dict[str, Any], session: Session) -> dict[str, Any]:
        person = _person(session)
        receipt = self._publish(person, person.topics[0], _kind(request), _text(request))
        assert receipt is not None  # these handlers run on the loop
        return {"seq": receipt.seq}

    def say_later(self, request: dict[str, Any], session: Session, answer: Answer) -> None:
        """`say`, with a backplane."""
        person = _person(session)
        value = self._value(_kind(request), _text(request))
        self._topics.publish_later(person.topics[0], value, person.name, partial(_answer_seq, answer))

    def tell(self, request: dict[str, Any], session: Session) -> dict[str, Any]:
        person = _person(session)
        name = _name(request, "to")
        to = self._rooms[person.room].get(name.casefold())
        if to is None:
            raise _no_such(name, person.room)
        self._publish(person, to.private, "tell", _text(request))
        return {"to": to.name}

    def tell_later(self, request: dict[str, Any], session: Session, answer: Answer) -> None:
        """`tell`, to whoever has that name on one of the servers."""
        person = _person(session)
        name, text = _name(request, "to"), _text(request)

        def found(private: str | None, error: Exception | None) -> None:
            if private is None:
                answer(None, error or _no_such(name, person.room))
                return
            try:
                self._publish(person, private, "tell", text)
            except ActionError as refused:
                answer(None, refused)
            else:
                answer({"to": name})

        self._topics.claimed_by(f"{person.room}/{name.casefold()}", found)

    def list_rooms(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        most = sorted(self._rooms, key=lambda room: (-len(self._rooms[room]), room))[:SHOWN]
        return [{"room": room, "people": len(self._rooms[room])} for room in most]

    def _publish(self, person: Person, topic: str, kind: str, text: str | None = None) -> Receipt | None:
        return self._topics.publish(topic, self._value(kind, text), person.name)

    def _value(self, kind: str, text: str | None = None) -> dict[str, Any]:
        value: dict[str, Any] = {"kind": kind, "time": round(self._clock(), 3)}
        return value if text is None else {**value, "text": text}


# --- what a request says -------------------------------------------------------------------


def _person(session: Session) -> Person:
    person: Person | None = session.get(PERSON)
    if person is None:
        raise ActionError("not-joined", "you are in no room: chat-join comes first")
    return person


def _name(request: dict[str, Any], field: str, default: str | None = None) -> str:
    name = request.get(field, default)
    if not (isinstance(name, str) and 1 <= len(name) <= MAX_NAME and name.isprintable() and not set(name) & {" ", "/"}):
        raise BadRequest(f"`{field}` has 1 to {MAX_NAME} printable characters, and neither a space nor /")
    if name.isascii():
        return name
    from unicodedata import normalize  # here: most servers have no guests

    # A letter with its accent, or the two behind each other (macOS): they look the same, and are one name, one room.
    return normalize("NFC", name)


def _text(request: dict[str, Any]) -> str:
    text = request.get("text")
    if not isinstance(text, str) or not text:
        raise BadRequest("`text` is what you have to say")
    if len(text) > MAX_LINE or len(text.encode("utf-8", "surrogatepass")) > MAX_LINE:
        raise ActionError("line-too-long", f"a line has at most {MAX_LINE} bytes: say it in several")
    return text


def _identity(request: dict[str, Any], before: Person | None) -> tuple[str | None, str]:
    """The token that the reply tells, and the topic that goes with it."""
    token = request.get("token")
    if token is None and before is not None:
        return None, before.private
    if token is None:
        token = os.urandom(16).hex()
    if not (isinstance(token, str) and 16 <= len(token) <= 64 and token.isascii() and token.isalnum()):
        raise BadRequest("`token` is a secret of your own: 16 to 64 letters and digits")
    from hashlib import sha256  # here: most servers have no guests

    # Not the token itself: a topic's name gets into the log.
    return token, f"chat/private/{sha256(token.encode()).hexdigest()[:32]}"


def _kind(request: dict[str, Any]) -> str:
    kind = request.get("kind", "say")
    if kind not in ("say", "me"):
        raise BadRequest("`kind` is say or me")
    return str(kind)


def _taken(name: str, room: str) -> ActionError:
    return ActionError("name-taken", f"{shown(name)} is in {shown(room)} already: take another name")


def _no_such(name: str, room: str) -> ActionError:
    return ActionError("no-such-name", f"there is no {shown(name)} in {shown(room)}")


def _answer_seq(answer: Answer, receipt: Any, error: Exception | None) -> None:
    answer(None if error is not None else {"seq": receipt["seq"]}, error)


def _undo(asked: Asked) -> None:
    """The join has failed: the connection is as before."""
    session, before = asked.person.session, asked.before
    _unsubscribe(session, set(asked.person.topics) - set(before.topics if before is not None else ()))
    if before is None:
        session.pop(PERSON, None)
    else:
        session[PERSON] = before


def _position(since: dict[str, Any], topic: str) -> tuple[Any, Any] | None:
    position = since.get(topic)
    if position is None:
        return None
    return (position.get("epoch"), position.get("seq")) if isinstance(position, dict) else (None, None)


def _unsubscribe(session: Session, topics: Iterable[str]) -> None:
    for topic in topics:
        with suppress(AnswerableError):  # it has done so itself
            session.unsubscribe(topic)
