"""Tests of a chat room on two servers with one Redis behind them: names, what is said, coming back elsewhere."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from eventloop import EventLoop
from libclient import ErrorReply, json_request
from libclient.channel import Channel
from libclient.connect import parse_target
from libclient.owner import Shared
from libserver import Actions, Server, Topics, add_chat
from libserver.redis_backplane import Located
from protocol import Notification
from protocol.push import Gap, Published, read_event
from tests.libserver.test_redis_backplane import Site, wait_for
from tests.libserver.test_sharing import FakeBackplane
from tests.support.peer import PATIENCE
from tests.support.redis import redis_here
from tests.support.server import caught, turned
from tests.support.wire import keep, request

TOKEN = "0123456789abcdef"


class Guest:
    """One connection to a server, with what it hears."""

    def __init__(self, server: Server, stack: ExitStack) -> None:
        self.loop = EventLoop()
        self.heard: list[tuple[Any, ...]] = []
        address = parse_target(f"127.0.0.1:{server.addresses[0].port}")
        shared = Shared(self.loop, timeout=PATIENCE)
        self.channel = Channel(shared, address, opened=lambda: None, notified=self._notified, heartbeat=0.0)
        self.channel.open()
        stack.callback(self.close)

    def _notified(self, event: Notification) -> None:
        said = read_event(event)
        if isinstance(said, Gap):
            self.heard.append(("gap",))
            return
        assert isinstance(said, Published)
        assert isinstance(said.value, dict)
        self.heard.append((said.sender, said.value["kind"], said.value.get("text")))

    def does(self, action: str, **fields: Any) -> Any:
        outcome: list[tuple[Any, Exception | None]] = []
        request = json_request({"action": action, **fields})
        self.channel.send(request, lambda value, error: outcome.append((value, error)))
        self.until(lambda: outcome)
        value, error = outcome[0]
        if error is not None:
            raise error
        return value["result"]

    def until(self, done: Any) -> None:
        deadline = self.loop.clock() + PATIENCE
        while not done():
            assert self.loop.clock() < deadline, self.heard
            self.loop.run_once(0.05)

    def hears(self, *events: tuple[Any, ...]) -> None:
        self.until(lambda: len(self.heard) >= len(events))
        heard, self.heard = self.heard, []
        assert sorted(map(str, heard)) == sorted(map(str, events))

    def close(self) -> None:
        self.channel.close()
        self.until(lambda: self.channel.settled)
        self.loop.close()

    def vanishes(self) -> None:
        """With a RST."""
        message = self.channel._message
        assert message is not None
        assert message.transport is not None
        message.transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.goes()

    def goes(self) -> None:
        self.channel.close()
        self.until(lambda: self.channel.settled)


class Rooms(Site):
    """Two servers with the chat room."""

    def guest(self, server: Server) -> Guest:
        return Guest(server, self._stack)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Rooms]:
    with redis_here(tmp_path) as redis, caught(), ExitStack() as stack:
        yield Rooms(redis, stack)


def test_two_on_two_servers_talk_in_one_room(site: Rooms) -> None:
    one, other = site.server(chat=True), site.server(chat=True)
    ann, bob = site.guest(one), site.guest(other)
    ann.does("chat-join", name="ann", token=TOKEN)
    assert ann.does("chat-say", text="is anybody there?")["seq"]
    told = bob.does("chat-join", name="bob")
    assert [said["value"]["text"] for said in told["history"]] == ["is anybody there?"]
    bob.does("chat-say", text="yes")
    bob.does("chat-say", kind="me", text="waves")
    bob.does("chat-tell", to="ANN", text="a word")
    said = [("bob", "say", "yes"), ("bob", "me", "waves")]
    ann.hears(
        ("ann", "join", None),
        ("ann", "say", "is anybody there?"),
        ("bob", "join", None),
        *said,
        ("bob", "tell", "a word"),
    )
    bob.hears(("bob", "join", None), *said)


def test_a_name_is_taken_on_all_servers_until_its_owner_goes(site: Rooms) -> None:
    one, other = site.server(chat=True), site.server(chat=True)
    ann, second = site.guest(one), site.guest(other)
    ann.does("chat-join", name="ann", token=TOKEN)
    with pytest.raises(ErrorReply, match="Ann is in lobby already"):
        second.does("chat-join", name="Ann")
    with pytest.raises(ErrorReply, match="you are in no room"):
        second.does("chat-say", text="hello")
    ann.does("chat-leave")
    wait_for(lambda: joins(second, "ann"))


def joins(guest: Guest, name: str) -> bool:
    try:
        guest.does("chat-join", name=name)
    except ErrorReply as error:
        if error.code != "name-taken":
            raise
        return False
    return True


def test_the_same_person_takes_over_at_another_server_and_nobody_hears_of_it(site: Rooms) -> None:
    one, other = site.server(chat=True), site.server(chat=True)
    ann, bob, again = site.guest(one), site.guest(other), site.guest(other)
    ann.does("chat-join", name="ann", token=TOKEN)
    bob.does("chat-join", name="bob")
    again.does("chat-join", name="ann", token=TOKEN)
    ann.goes()
    bob.does("chat-tell", to="ann", text="still you?")
    again.until(lambda: ("bob", "tell", "still you?") in again.heard)
    assert ("ann", "leave", None) not in bob.heard
    again.goes()
    bob.until(lambda: ("ann", "leave", None) in bob.heard)


def test_one_who_is_not_there_can_not_be_told_anything(site: Rooms) -> None:
    ann = site.guest(site.server(chat=True))
    ann.does("chat-join", name="ann")
    with pytest.raises(ErrorReply, match="there is no bob in lobby"):
        ann.does("chat-tell", to="bob", text="hello")


def test_while_redis_is_away_nobody_comes_in_and_the_name_is_kept_over_that(site: Rooms) -> None:
    server, other = site.server(chat=True), site.server(chat=True)
    ann, bob = site.guest(server), site.guest(other)
    ann.does("chat-join", name="ann", token=TOKEN)
    site.redis.stop(forget=True)
    for topics in (server.topics, other.topics):
        assert topics is not None
        wait_for(lambda topics=topics: not topics._backplane.available)
    for guest, action, fields in ((bob, "chat-join", {"name": "bob"}), (ann, "chat-say", {"text": "x"})):
        with pytest.raises(ErrorReply) as refused:
            guest.does(action, **fields)
        assert refused.value.code == "unavailable"
    site.redis.start()
    for topics in (server.topics, other.topics):
        assert topics is not None
        wait_for(lambda topics=topics: topics._backplane.available)
    with pytest.raises(ErrorReply, match="already"):
        bob.does("chat-join", name="ann")
    bob.does("chat-join", name="bob")
    ann.does("chat-say", text="we are back")
    bob.until(lambda: ("ann", "say", "we are back") in bob.heard)


def test_a_server_that_believes_in_an_old_connection_does_not_take_the_name_back(site: Rooms) -> None:
    one, other = site.server(chat=True), site.server(chat=True)
    ann, bob, again = site.guest(one), site.guest(other), site.guest(other)
    ann.does("chat-join", name="ann", token=TOKEN)
    bob.does("chat-join", name="bob")
    again.does("chat-join", name="ann", token=TOKEN)
    topics = one.topics
    assert topics is not None
    assert topics._backplane is not None
    one.loop.call_soon_threadsafe(topics._backplane._renew)
    ann.does("publish", topic="t", value="Redis has that behind it")
    again.goes()
    bob.until(lambda: ("ann", "leave", None) in bob.heard)


def asks(guest: Guest, action: str, **fields: Any) -> list[Any]:
    """Send that; the list gets what it came to: the result, or the error's code, and what had been heard by then."""
    outcome: list[Any] = []

    def done(value: Any, error: Any) -> None:
        outcome.append((error.code if error is not None else value["result"], [*guest.heard]))

    guest.channel.send(json_request({"action": action, **fields}), done)
    return outcome


@pytest.mark.parametrize("before", [False, True])
def test_one_who_goes_while_coming_in_is_nowhere(site: Rooms, before: bool) -> None:
    server, other = site.server(chat=True), site.server(chat=True)
    ann, bob = site.guest(server), site.guest(other)
    ann.does("chat-join", name="ann", room="attic") if before else ann.does("ping")
    with site.redis.stopped():
        asks(ann, "chat-join", name="ann", room="garden")
        ann.loop.run_once(0)
        ann.vanishes()
        wait_for(lambda: not server.connections)
    for room in ("attic", "garden"):
        wait_for(lambda room=room: comes(bob, room))
    assert site.guest(server).does("chat-rooms") == []


def comes(guest: Guest, room: str) -> bool:
    try:
        guest.does("chat-join", name="ann", room=room)
    except ErrorReply:
        return False
    return True


def test_one_comes_into_one_room_at_a_time(site: Rooms) -> None:
    server = site.server(chat=True)
    ann = site.guest(server)
    ann.does("ping")
    with site.redis.stopped():
        outcomes = [asks(ann, "chat-join", name="ann", room=room) for room in ("attic", "garden")]
        ann.loop.run_once(0)
    ann.until(lambda: all(outcomes))
    (first, _), (second, _) = (outcome for (outcome,) in outcomes)
    assert (first["room"], second) == ("attic", "bad-request")
    assert ann.does("chat-rooms") == [{"room": "attic", "people": 1}]
    assert ann.does("chat-join", name="ann", room="garden")["people"] == 1
    assert ann.does("chat-rooms") == [{"room": "garden", "people": 1}]


def test_one_may_leave_while_coming_into_another_room(site: Rooms) -> None:
    server = site.server(chat=True)
    ann = site.guest(server)
    ann.does("chat-join", name="ann", room="attic")
    with site.redis.stopped():
        left, came = asks(ann, "chat-join", name="ann", room="garden"), asks(ann, "chat-leave")
        ann.loop.run_once(0)
    ann.until(lambda: left and came)
    assert ann.does("chat-rooms") == [{"room": "garden", "people": 1}]


def test_what_was_missed_comes_behind_the_reply(site: Rooms) -> None:
    server = site.server(chat=True)
    ann, bob, again = site.guest(server), site.guest(server), site.guest(server)
    told = ann.does("chat-join", name="ann", token=TOKEN)
    since = {one["topic"]: {"epoch": one["epoch"], "seq": one["seq"]} for one in told["subscriptions"]}
    ann.goes()
    bob.does("chat-join", name="bob")
    for number in range(5):
        bob.does("chat-say", text=f"{number}")
    outcome = asks(again, "chat-join", name="ann", token=TOKEN, since=since)
    again.until(lambda: len([one for one in again.heard if one[1] == "say"]) == 5)
    ((_, heard),) = outcome
    assert heard == []


class Names(FakeBackplane):
    """With names that can be taken."""

    def claim(self, name: str, who: str, connection: str, done: Any) -> None:
        self._ask("claim", name, done)

    def release(self, name: str, who: str, connection: str, done: Any) -> None:
        self._ask("release", name, done)

    def answer(self) -> list[tuple[Any, ...]]:
        """Say yes to all that it was asked; what that was."""
        asked, self.asked = self.asked, []
        results = {"locate": Located("e", "0-0", 0, []), "history": [], "publish": "1-0"}
        for word, *_, done in asked:
            done(results.get(word, True), None)
        return [what[:2] for what in asked]


def test_one_who_goes_between_the_claim_and_the_reply_is_in_no_room() -> None:
    backplane = Names()
    actions = Actions(topics=Topics(backplane=backplane))  # type: ignore[arg-type]
    add_chat(actions)
    with turned(actions) as home:
        ann = home.peer()
        ann.send(request({"action": "chat-join", "name": "ann", "room": "attic"}, connection="keep-alive"))
        home.until(lambda: backplane.answer() == [("claim", "attic/ann")])
        backplane.answer()
        assert ann.reply().result["people"] == 1
        backplane.asked.clear()
        ann.send(request({"action": "chat-join", "name": "ann", "room": "garden"}, connection="keep-alive"))
        home.until(lambda: backplane.answer() == [("claim", "garden/ann")])
        ann.reset()
        home.until(lambda: not home.server.connections)
        backplane.answer()
        assert home.peer().ask(keep("chat-rooms")).result == []
        assert set(backplane.answer()) >= {("release", "garden/ann")}
