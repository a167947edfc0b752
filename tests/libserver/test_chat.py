"""`libserver.chat`: the chat room, through a real server and real sockets, turned by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from libserver import Actions, Topics, add_chat
from libserver.chat import MAX_LINE, MAX_NAME
from protocol.push import Gap, Published
from tests.libserver.events import as_event
from tests.support.peer import Peer
from tests.support.server import Turned, turned
from tests.support.wire import Reply, request

TOKEN = "0123456789abcdef"
NOON = 1_700_000_000.0
ROOM, PRESENCE = "chat/room/lobby", "chat/presence/lobby"


@contextmanager
def house(actions: Actions | None = None, **limits: Any) -> Iterator[Turned]:
    actions = actions or Actions(topics=Topics())
    add_chat(actions, lambda: NOON)
    with turned(actions, **limits) as home:
        yield home


def does(peer: Peer, action: str, **fields: Any) -> Reply:
    return peer.ask(request({"action": action, **fields}, connection="keep-alive"))


def joined(home: Turned, name: str, room: str = "lobby", **fields: Any) -> Peer:
    """Somebody who has joined, and has heard of that."""
    peer = home.peer()
    reply = does(peer, "chat-join", name=name, room=room, **fields)
    assert reply.code is None, reply.body
    assert heard(peer) == (name, "join")
    return peer


def event(peer: Peer) -> Published | Gap:
    return as_event(peer.reply())


def heard(peer: Peer) -> tuple[Any, ...]:
    """The next event: from whom, of which kind, and the text if there is one."""
    said = event(peer)
    assert isinstance(said, Published)
    value = said.value
    assert isinstance(value, dict)
    assert value.pop("time") == NOON
    return said.sender, *value.values()


# --- one room -----------------------------------------------------------------------------


def test_a_room_needs_topics() -> None:
    with pytest.raises(ValueError, match="needs topics"):
        add_chat(Actions())


def test_who_comes_is_told_where_they_are_and_everyone_hears_of_them() -> None:
    with house() as home:
        ann = home.peer()
        told = does(ann, "chat-join", name="Ann", token=TOKEN).result
        assert [one["topic"] for one in told.pop("subscriptions")][:2] == [ROOM, PRESENCE]
        assert told == {
            "room": "lobby", "name": "Ann", "people": 1, "token": TOKEN, "max_line": 4096, "history": [],
        }  # fmt: skip
        assert heard(ann) == ("Ann", "join")
        bob = home.peer()
        told = does(bob, "chat-join", name="bob").result
        assert (told["people"], len(told["token"])) == (2, 32)
        assert [heard(peer) for peer in (ann, bob)] == [("bob", "join")] * 2
        assert does(ann, "members", topic=ROOM).result == {"count": 2, "names": ["Ann", "bob"]}


def test_what_is_said_reaches_all_and_the_one_who_said_it_behind_their_reply() -> None:
    with house() as home:
        ann, bob = joined(home, "ann"), joined(home, "bob")
        heard(ann)
        assert does(ann, "chat-say", text="hello").result == {"seq": 1}
        for peer in (ann, bob):
            assert heard(peer) == ("ann", "say", "hello")
        assert does(bob, "chat-say", text="waves", kind="me").result == {"seq": 2}
        for peer in (ann, bob):
            assert heard(peer) == ("bob", "me", "waves")


def test_who_goes_is_told_and_the_name_is_free_again() -> None:
    with house() as home:
        ann, bob = joined(home, "ann"), joined(home, "bob")
        heard(ann)
        bob.close()
        assert heard(ann) == ("bob", "leave")
        joined(home, "bob")
        assert heard(ann) == ("bob", "join")


def test_who_leaves_is_gone_when_the_reply_comes_and_may_come_back() -> None:
    with house() as home:
        ann, bob = joined(home, "ann"), joined(home, "bob")
        heard(ann)
        assert does(bob, "chat-leave").result == {"room": "lobby"}
        assert heard(ann) == ("bob", "leave")
        assert does(ann, "members", topic=ROOM).result["names"] == ["ann"]
        for action in ("chat-leave", "chat-say"):
            assert does(bob, action, text="hi").code == "not-joined"
        assert does(bob, "subscribe", topic=ROOM).code == "forbidden"
        assert does(bob, "chat-join", name="bob").result["people"] == 2
        assert [heard(peer) for peer in (ann, bob)] == [("bob", "join")] * 2
        bob.close()
        assert heard(ann) == ("bob", "leave")
        ann.silent()


def test_a_server_that_ends_does_not_tell_each_who_else_goes() -> None:
    with house() as home:
        joined(home, "ann"), joined(home, "bob")
        topics = home.server.topics
        assert topics is not None
        home.server.drain()
        home.ended()
        kinds = [message["value"]["kind"] for message in topics.history(PRESENCE)["messages"]]
        assert kinds == ["join", "join"]


def test_a_newcomer_is_shown_the_last_50_messages_however_many_come_and_go() -> None:
    with house() as home:
        ann = joined(home, "ann")
        for n in range(60):
            assert does(ann, "chat-say", text=f"line {n}").code is None
            heard(ann)
        for n in range(120):
            joined(home, f"guest{n}").close()
        told = does(home.peer(), "chat-join", name="bob").result["history"]
        assert [message["value"]["text"] for message in told] == [f"line {n}" for n in range(10, 60)]
        assert {message["from"] for message in told} == {"ann"}


# --- names --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ann", "ANN", "Ann"])
def test_a_name_that_is_taken_is_refused_with_what_to_do(name: str) -> None:
    with house() as home:
        joined(home, "Ann")
        reply = does(home.peer(), "chat-join", name=name)
        assert reply.code == "name-taken"
        assert reply.body["error"]["message"] == "Ann is in lobby already: take another name"
        joined(home, name, room="another")


@pytest.mark.parametrize(
    "name",
    ["", "two words", "a/b", "a\tb", "\x1b[2J", "\u202eevil", "a\u00a0b", "a" * (MAX_NAME + 1), 7, None, "\ud800"],
)
def test_a_name_or_a_room_that_could_not_be_shown_or_written_is_refused(name: object) -> None:
    with house() as home:
        peer = home.peer()
        assert does(peer, "chat-join", name=name).code == "bad-request"
        assert does(peer, "chat-join", name="ann", room=name).code == "bad-request"
        joined(home, "ann")
        assert does(peer, "chat-tell", to=name, text="hi").code == "not-joined"


@pytest.mark.parametrize("room", ["*", "**"])
def test_a_room_is_no_pattern(room: str) -> None:
    with house() as home:
        assert does(home.peer(), "chat-join", name="ann", room=room).code == "bad-request"


@pytest.mark.parametrize("name", ["a", "\N{DOG FACE}", "Zoë", "*", "a" * MAX_NAME])
def test_other_names_are_fine(name: str) -> None:
    with house() as home:
        joined(home, name)


def test_a_room_is_the_same_whatever_the_case_of_its_letters() -> None:
    with house() as home:
        joined(home, "ann", room="Lobby")
        assert does(home.peer(), "chat-join", name="ann", room="LOBBY").code == "name-taken"


# --- rooms --------------------------------------------------------------------------------


def test_who_joins_another_room_leaves_the_first() -> None:
    with house() as home:
        ann, bob = joined(home, "ann"), joined(home, "bob")
        heard(ann)
        assert does(bob, "chat-join", name="bob", room="garden").result["people"] == 1
        assert heard(bob) == ("bob", "join")
        assert heard(ann) == ("bob", "leave")
        assert does(ann, "chat-rooms").result == [{"room": "garden", "people": 1}, {"room": "lobby", "people": 1}]
        does(ann, "chat-say", text="alone")
        assert heard(ann) == ("ann", "say", "alone")
        bob.silent()


def test_who_takes_another_name_leaves_under_the_old_one() -> None:
    with house() as home:
        ann, bob = joined(home, "ann"), joined(home, "bob")
        heard(ann)
        assert does(bob, "chat-join", name="rob").code is None
        for peer in (ann, bob):
            assert [heard(peer), heard(peer)] == [("bob", "leave"), ("rob", "join")]
        assert does(ann, "members", topic=ROOM).result["names"] == ["ann", "rob"]


def test_who_can_not_go_to_another_room_stays_where_they_are() -> None:
    with house(max_subscriptions=3) as home:
        ann, _ = joined(home, "ann"), joined(home, "ann", room="garden")
        assert does(ann, "chat-join", name="ann", room="garden").code == "name-taken"
        assert does(ann, "chat-join", name="ann", room="attic").code == "overloaded"
        assert does(ann, "chat-rooms").result == [{"room": "garden", "people": 1}, {"room": "lobby", "people": 1}]
        does(ann, "chat-say", text="here")
        assert heard(ann) == ("ann", "say", "here")
        assert does(ann, "members", topic=ROOM).result["names"] == ["ann"]


def test_who_could_not_join_is_nowhere() -> None:
    with house(max_subscriptions=1) as home:
        ann = home.peer()
        assert does(ann, "chat-join", name="ann").code == "overloaded"
        assert does(ann, "chat-say", text="hi").code == "not-joined"
        assert does(ann, "subscribe", topic=ROOM).code == "forbidden"
        assert does(ann, "topics").result == []


def test_a_connection_for_one_request_can_not_join() -> None:
    with house() as home:
        peer = home.peer()
        peer.send(request({"action": "chat-join", "name": "ann"}))
        assert peer.reply().code == "bad-request"


# --- lines --------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["chat-say", "chat-tell"])
def test_a_line_has_at_most_4_kib(action: str) -> None:
    with house() as home:
        ann = joined(home, "ann")
        for text in ("a" * MAX_LINE, "é" * (MAX_LINE // 2)):
            assert does(ann, action, to="ann", text=text).code is None
            assert heard(ann)[2] == text
        for text in ("a" * (MAX_LINE + 1), "é" * (MAX_LINE // 2 + 1)):
            assert does(ann, action, to="ann", text=text).code == "line-too-long"
        for text in ("", None, 7, ["a"]):
            assert does(ann, action, to="ann", text=text).code == "bad-request"
        ann.silent()


def test_a_line_of_an_unknown_kind_is_refused() -> None:
    with house() as home:
        ann = joined(home, "ann")
        for kind in ("join", "leave", "tell", 1, None):
            assert does(ann, "chat-say", text="hi", kind=kind).code == "bad-request"
        ann.silent()


# --- for one alone ----------------------------------------------------------------------------


def test_what_is_told_to_one_is_heard_by_no_other() -> None:
    with house() as home:
        ann, bob, eve = (joined(home, name) for name in ("ann", "bob", "eve"))
        for peer, count in ((ann, 2), (bob, 1)):
            for _ in range(count):
                heard(peer)
        assert does(ann, "chat-tell", to="BOB", text="psst").result == {"to": "bob"}
        assert heard(bob) == ("ann", "tell", "psst")
        for peer in (ann, eve):
            peer.silent()
        reply = does(ann, "chat-tell", to="zoe", text="psst")
        assert (reply.code, reply.body["error"]["message"]) == ("no-such-name", "there is no zoe in lobby")


def test_no_client_gets_at_these_topics_but_by_joining() -> None:
    with house() as home:
        bob = home.peer()
        told = does(bob, "chat-join", name="bob").result
        private = told["subscriptions"][2]["topic"]
        heard(bob)
        eve = home.peer()
        secrets = [ROOM, PRESENCE, private, "chat/*", "chat/**", "chat/room/*", "chat/private/*", "chat/private/**"]
        for joined_too in (False, True):
            if joined_too:
                does(eve, "chat-join", name="eve", room="attic")
                heard(eve)
            for topic in secrets:
                for action in ("subscribe", "publish", "history", "members"):
                    assert does(eve, action, topic=topic, value="forged").code == "forbidden", (action, topic)
            for pattern in ("*", "**"):
                assert does(eve, "subscribe", topic=pattern).code == "bad-request"
        listed = does(eve, "topics").result
        assert [one["topic"] for one in listed if "private" not in one["topic"]] == [
            "chat/presence/attic",
            "chat/room/attic",
        ]
        assert private not in str(listed)
        assert does(bob, "publish", topic=private, value="forged").code == "forbidden"
        assert does(bob, "publish", topic=ROOM, value="forged").code == "forbidden"
        bob.silent()


def test_a_name_that_is_free_again_has_nothing_of_who_had_it_before() -> None:
    with house() as home:
        ann, bob = joined(home, "ann"), joined(home, "bob")
        heard(ann)
        does(ann, "chat-tell", to="bob", text="secret")
        heard(bob)
        bob.close()
        heard(ann)
        eve = home.peer()
        told = does(eve, "chat-join", name="bob").result
        heard(eve)
        private = told["subscriptions"][2]["topic"]
        assert does(eve, "history", topic=private).result["messages"] == []
        eve.silent()


# --- the same person again -------------------------------------------------------------------


def test_who_shows_the_same_token_takes_the_name_over_and_nobody_goes_or_comes() -> None:
    with house() as home:
        ann, old = joined(home, "ann"), joined(home, "bob", token=TOKEN)
        heard(ann)
        new = home.peer()
        assert does(new, "chat-join", name="bob", token=TOKEN).result["people"] == 2
        does(ann, "chat-say", text="hello")
        for peer in (ann, new):
            assert heard(peer) == ("ann", "say", "hello")
        assert does(old, "chat-say", text="hi").code == "not-joined"
        old.close()
        home.quiet()
        assert does(ann, "members", topic=ROOM).result["names"] == ["ann", "bob"]
        for peer in (ann, new):
            peer.silent()
        assert does(home.peer(), "chat-join", name="bob", token=TOKEN[::-1]).code == "name-taken"


def test_what_was_missed_comes_after_who_was_away() -> None:
    with house() as home:
        ann, bob = joined(home, "ann"), home.peer()
        told = does(bob, "chat-join", name="bob", token=TOKEN).result
        heard(bob), heard(ann)
        since = {one["topic"]: {"epoch": one["epoch"], "seq": one["seq"]} for one in told["subscriptions"]}
        does(ann, "chat-say", text="one")
        does(ann, "chat-tell", to="bob", text="two")
        bob.close()
        back = home.peer()
        told = does(back, "chat-join", name="bob", token=TOKEN, since=since).result
        assert [one["missed"] for one in told["subscriptions"]] == [1, 2, 1]
        assert told["history"] == []
        came = [heard(back) for _ in range(5)]
        assert ("ann", "say", "one") in came
        assert ("ann", "tell", "two") in came
        assert [said for said in came if len(said) == 2] == [("bob", "join"), ("bob", "leave"), ("bob", "join")]


def test_after_a_restart_a_gap_stands_for_what_nobody_knows() -> None:
    with house() as home:
        bob = home.peer()
        told = does(bob, "chat-join", name="bob", token=TOKEN, since={ROOM: {"epoch": "before", "seq": 7}}).result
        assert told["subscriptions"][0]["missed"] is None
        came = [event(bob), event(bob)]
        assert [said for said in came if isinstance(said, Gap)] == [Gap(ROOM, 1, 0, None)]


def test_who_joins_again_on_the_same_connection_is_the_same() -> None:
    with house() as home:
        ann = joined(home, "ann")
        told = does(ann, "chat-join", name="ann").result
        assert (told["people"], told["token"]) == (1, None)
        ann.silent()
        ann.close()
        home.ended()
        assert does(home.peer(), "chat-join", name="ann").result["people"] == 1


@pytest.mark.parametrize(
    "fields",
    [
        *({"token": token} for token in ("short", "x" * 65, 7, "a/../../../../../b")),
        *({"since": since} for since in (7, {ROOM: 7}, {ROOM: {"epoch": 1}})),
    ],
)
def test_a_token_or_a_position_that_is_none_is_refused(fields: dict[str, Any]) -> None:
    with house() as home:
        peer = home.peer()
        assert does(peer, "chat-join", name="ann", **fields).code == "bad-request"
        assert does(peer, "chat-say", text="hi").code == "not-joined"
        joined(home, "ann")


def test_a_program_may_have_a_say_of_its_own() -> None:
    actions = Actions(topics=Topics())
    add_chat(actions)
    actions.add("chat-rooms")(lambda request: ["mine"])
    with turned(actions) as home:
        assert does(home.peer(), "chat-rooms").result == ["mine"]


def test_a_name_and_a_room_are_the_same_however_their_accents_are_written() -> None:
    with house() as home:
        joined(home, "ren\u00e9", room="caf\u00e9")
        reply = does(home.peer(), "chat-join", name="rene\u0301", room="cafe\u0301")
        assert reply.code == "name-taken"
