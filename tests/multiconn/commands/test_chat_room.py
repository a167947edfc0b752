"""`multiconn.commands.chat_room`: what a chat client asks and hears; on fakes, with a server played by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from eventloop import Address
from libclient import Backoff, ConnectionFailed, ErrorReply
from multiconn.commands.chat_room import MAX_IN_FLIGHT, NAME_PATIENCE, ChatRoom
from tests.fakes.faulty_socket import RESET
from tests.libclient.bench import FakeNetwork
from tests.support.wire import error_reply, granting, json_message, reply

ADDRESS = Address("tcp", "192.0.2.1", 80)
TOPICS = {"room": "chat/room/{}", "presence": "chat/presence/{}", "private": "chat/private/0"}


class RoomBench(FakeNetwork):
    """Ann in the lobby. `events` is all that was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self.room = ChatRoom(
            self.shared,
            ADDRESS,
            "ann",
            "lobby",
            self.events.append,
            backoff=Backoff(1.0, 8.0, lambda: 1.0),
            heartbeat=0.0,
            resolve=self.resolve,
        )

    def take(self) -> list[dict[str, Any]]:
        events = [*self.events]
        self.events.clear()
        return events

    def open(self) -> None:
        self.room.open()
        self.turn()

    def line(self, *lines: str) -> None:
        for line in lines:
            self.room.line(line)
        self.turn()

    def admit(self, room: str = "lobby", epoch: str = "e1", missed: Any = 0, **more: Any) -> None:
        """The reply to `chat-join`."""
        topics = [topic.format(room) for topic in TOPICS.values()]
        places = [{"topic": topic, "epoch": epoch, "seq": 5, "missed": missed} for topic in topics]
        result = {"room": room, "name": "ann", "people": 2, "token": "t", "max_line": 16, "history": []}
        self.feed(granting({**result, "subscriptions": places, **more}))

    def come(self) -> None:
        self.open()
        self.admit()
        self.take()

    def sent(self) -> list[dict[str, Any]]:
        """What was asked on this connection behind `chat-join`."""
        return self.asked()[1:]

    def says(self, kind: str, text: str | None = None, seq: int = 6, place: str = "room", sender: Any = "bob") -> None:
        value = {"kind": kind, "time": 1.5, **({} if text is None else {"text": text})}
        topic = TOPICS[place].format("lobby")
        self.feed(json_message({"topic": topic, "seq": seq, "value": value, "from": sender}, event="message"))

    def again(self, **more: Any) -> None:
        """The connection ends, another is opened."""
        self.end(fault=RESET)
        self.wait(1.1)
        self.admit(**more)


@pytest.fixture
def bench() -> Iterator[RoomBench]:
    bench = RoomBench()
    yield bench
    bench.room.close()
    bench.turn()
    assert bench.room.settled
    bench.loop.close()


# --- coming ------------------------------------------------------------------------------


def test_it_joins_and_shows_what_was_said_before(bench: RoomBench) -> None:
    bench.open()
    (asked,) = bench.asked()
    assert (asked.pop("token") + "x").isalnum()
    assert asked == {"action": "chat-join", "name": "ann", "room": "lobby", "since": {}}
    bench.admit(history=[{"seq": 1, "value": {"kind": "say", "time": 1, "text": "old"}, "from": "bob"}])
    assert bench.take() == [
        {"event": "message", "room": "lobby", "from": "bob", "time": 1, "text": "old", "history": True},
        {"event": "joined", "room": "lobby", "name": "ann", "people": 2},
    ]


def test_what_comes_is_shown(bench: RoomBench) -> None:
    bench.come()
    bench.says("say", "hi")
    bench.says("me", "waves", 7)
    bench.says("join", seq=6, place="presence", sender="zoe")
    bench.says("leave", seq=7, place="presence", sender="zoe")
    bench.says("tell", "psst", place="private")
    assert [(e["event"], e["from"], e.get("text")) for e in bench.take()] == [
        ("message", "bob", "hi"),
        ("me", "bob", "waves"),
        ("join", "zoe", None),
        ("leave", "zoe", None),
        ("private", "bob", "psst"),
    ]


@pytest.mark.parametrize(
    ("code", "shown"),
    [("name-taken", "name-taken"), ("bad-request", "bad-request"), ("unknown-action", "no-chat-room")],
)
def test_who_is_not_let_in_the_first_time_is_told_why(bench: RoomBench, code: str, shown: str) -> None:
    bench.open()
    bench.feed(error_reply(code, connection="keep-alive"))
    assert bench.room.over
    assert isinstance(bench.room.error, ErrorReply)
    assert bench.room.error.code == shown


@pytest.mark.parametrize("result", ["hello", 7, None, [], {}, {"room": "lobby"}, {"people": float("1e308")}])
def test_a_server_that_answers_anything_else_has_no_chat_room(bench: RoomBench, result: Any) -> None:
    bench.open()
    bench.feed(granting(result))
    assert isinstance(bench.room.error, ErrorReply)
    assert bench.room.error.code == "no-chat-room"


def test_the_first_connection_must_succeed(bench: RoomBench) -> None:
    bench.refuse = 1
    bench.open()
    assert bench.room.over
    assert isinstance(bench.room.error, ConnectionFailed)


# --- lines -------------------------------------------------------------------------------


def test_a_line_is_a_request_in_this_room(bench: RoomBench) -> None:
    bench.come()
    bench.line("hello\r\n", "/who")
    assert bench.sent() == [
        {"action": "chat-say", "text": "hello"},
        {"action": "members", "topic": "chat/room/lobby"},
    ]
    assert bench.take() == []


def test_a_line_that_means_nothing_is_not_sent(bench: RoomBench) -> None:
    bench.come()
    bench.line("seventeen letters", "/nope")
    assert bench.sent() == []
    long, unknown = bench.take()
    words = "not sent: a line has at most 16 bytes, and this one has 17: say it in several"
    assert long == {"event": "error", "code": "usage", "message": words}
    assert unknown["message"].startswith("not sent: there is no /nope")
    assert bench.room.code == 2


@pytest.mark.parametrize("line", ["", "  ", "\n", "\t\r\n"])
def test_an_empty_line_is_none(bench: RoomBench, line: str) -> None:
    bench.come()
    bench.line(line)
    assert (bench.sent(), bench.take()) == ([], [])


def test_answers_are_shown(bench: RoomBench) -> None:
    bench.come()
    bench.line("/who", "/rooms", "/msg bob psst", "/help", "/msg zoe psst")
    bench.feed(reply({"count": 3, "names": ["bob", "Ann", "bob"]}))
    bench.feed(reply([{"room": "lobby", "people": 2}]))
    bench.feed(reply({"to": "Bob"}))
    bench.feed(error_reply("no-such-name"))
    shown = bench.take()
    assert shown.pop(0)["event"] == "help"
    assert shown == [
        {"event": "who", "room": "lobby", "names": ["Ann", "bob"]},
        {"event": "rooms", "rooms": [{"room": "lobby", "people": 2}]},
        {"event": "sent", "to": "Bob", "text": "psst"},
        {"event": "error", "code": "no-such-name", "message": "about no-such-name"},
    ]
    assert bench.room.code == 4


@pytest.mark.parametrize("line", ["/who", "/rooms", "/history", "/msg bob hi"])
@pytest.mark.parametrize("result", [None, 7, [7], {"names": 7}, {"messages": [7]}, [{"room": "x", "people": "many"}]])
def test_an_answer_that_can_not_be_read_is_an_error_of_the_line_alone(bench: RoomBench, line: str, result: Any) -> None:
    bench.come()
    bench.line(line)
    bench.feed(reply(result))
    (shown,) = bench.take()
    assert (shown["event"], shown["code"]) == ("error", "bad-reply")
    assert not bench.room.over


def test_so_many_lines_are_on_their_way_and_no_more(bench: RoomBench) -> None:
    bench.come()
    bench.line(*(str(n) for n in range(MAX_IN_FLIGHT)))
    assert not bench.room.has_room
    bench.line("more")
    assert len(bench.sent()) == MAX_IN_FLIGHT
    bench.feed(reply({"seq": 1}))
    assert bench.sent()[-1]["text"] == "more"
    assert not bench.room.has_room
    bench.feed(reply({"seq": 2}))
    assert bench.room.has_room


# --- another room ---------------------------------------------------------------------------


def test_lines_behind_a_move_are_said_in_the_other_room(bench: RoomBench) -> None:
    bench.come()
    bench.line("/join garden", "/who")
    (asked,) = bench.sent()
    assert (asked["action"], asked["room"]) == ("chat-join", "garden")
    bench.admit("garden")
    assert bench.take() == [{"event": "joined", "room": "garden", "name": "ann", "people": 2}]
    assert bench.sent()[1:] == [{"action": "members", "topic": "chat/room/garden"}]


def test_who_is_not_let_into_another_room_stays(bench: RoomBench) -> None:
    bench.come()
    bench.line("/join garden", "hello")
    bench.feed(error_reply("name-taken"))
    assert [shown["code"] for shown in bench.take()] == ["name-taken"]
    assert bench.sent()[1:] == [{"action": "chat-say", "text": "hello"}]


def test_a_move_survives_the_connection_and_so_does_its_refusal(bench: RoomBench) -> None:
    bench.come()
    bench.line("/join garden")
    bench.end(fault=RESET)
    bench.wait(1.1)
    assert [asked["room"] for asked in bench.asked()] == ["garden"]
    bench.feed(error_reply("name-taken", connection="keep-alive"))
    assert [asked["room"] for asked in bench.asked()] == ["garden", "lobby"]
    bench.admit()
    assert [shown["event"] for shown in bench.take()] == ["lost", "error", "back"]
    assert bench.room.room == "lobby"


# --- away and back -----------------------------------------------------------------------------


def test_on_another_connection_it_is_the_same_person_and_asks_for_what_it_missed(bench: RoomBench) -> None:
    bench.come()
    token = bench.asked()[0]["token"]
    bench.says("say", "hi", seq=9)
    bench.take()
    bench.end(fault=RESET)
    bench.wait(1.1)
    (asked,) = bench.asked()
    since = {topic.format("lobby"): {"epoch": "e1", "seq": 5} for topic in TOPICS.values()}
    since["chat/room/lobby"]["seq"] = 9
    assert asked == {"action": "chat-join", "name": "ann", "room": "lobby", "token": token, "since": since}
    bench.admit(missed=2)
    assert [shown["event"] for shown in bench.events] == ["lost", "back"]
    assert bench.take()[1] == {"event": "back", "room": "lobby", "missed": 4}


def test_after_a_restart_the_positions_are_of_the_new_epoch_once_something_came(bench: RoomBench) -> None:
    bench.come()
    bench.again(epoch="e2", missed=None)
    assert bench.take()[-1] == {"event": "back", "room": "lobby", "missed": None}
    gap = {"topic": "chat/room/lobby", "from": 1, "to": 3, "dropped": None}
    bench.feed(json_message(gap, event="gap"))
    assert bench.take() == [{"event": "gap", "topic": "room", "dropped": None}]
    bench.again(epoch="e2")
    since = bench.asked()[0]["since"]
    assert since["chat/room/lobby"] == {"epoch": "e2", "seq": 3}
    assert since["chat/private/0"] == {"epoch": "e1", "seq": 5}, "nothing came: it is where it was"


def test_a_connection_that_can_not_be_had_is_told_once(bench: RoomBench) -> None:
    bench.come()
    bench.refuse = 3
    bench.end(fault=RESET)
    for _ in range(4):
        bench.wait(8.1)
    assert [shown["event"] for shown in bench.take()] == ["lost"]
    assert not bench.room.over


def test_a_line_that_was_typed_meanwhile_is_said_on_the_next_connection(bench: RoomBench) -> None:
    bench.come()
    bench.end(fault=RESET)
    bench.line("one", "two")
    assert [shown.get("text") for shown in bench.take()[1:]] == ["one", "two"]
    bench.wait(1.1)
    assert bench.sent() == []
    bench.admit()
    assert [asked["text"] for asked in bench.sent()] == ["one", "two"]


def test_only_so_many_lines_are_kept_while_there_is_no_connection(bench: RoomBench) -> None:
    bench.come()
    bench.end(fault=RESET)
    bench.line(*(str(n) for n in range(MAX_IN_FLIGHT - 1)))
    assert bench.room.has_room
    bench.line("more")
    assert not bench.room.has_room


def test_a_line_that_had_left_may_have_been_said_and_the_person_is_told(bench: RoomBench) -> None:
    bench.come()
    bench.line("one")
    bench.again()
    shown = bench.take()
    assert [one["event"] for one in shown] == ["error", "lost", "back"]
    assert shown[0]["message"] == "the connection ended: this may have been sent, or not: one"
    assert bench.sent() == []


def test_a_line_that_a_server_refused_since_it_ends_is_said_to_the_next(bench: RoomBench) -> None:
    bench.come()
    bench.line("one", "two")
    bench.feed(error_reply("shutting-down"))
    bench.again()
    shown = [one["event"] for one in bench.take()]
    assert shown == ["error", "lost", "back"], "two was behind it, and may have been said"
    assert [asked["text"] for asked in bench.sent()] == ["one"]


def test_a_name_that_another_person_took_meanwhile_is_asked_for_again(bench: RoomBench) -> None:
    bench.come()
    bench.end(fault=RESET)
    bench.line("early")
    bench.take()
    bench.wait(1.1)
    bench.feed(error_reply("name-taken", connection="keep-alive"))
    assert [shown["code"] for shown in bench.take()] == ["name-taken"]
    bench.wait(1.1)
    bench.feed(error_reply("name-taken"))
    assert bench.take() == [], "once is enough"
    bench.wait(1.1)
    assert [asked["action"] for asked in bench.asked()] == ["chat-join"] * 3
    bench.admit()
    assert bench.take()[0]["event"] == "back"
    assert bench.asked()[-1]["text"] == "early"


def test_a_name_that_stays_taken_ends_it(bench: RoomBench) -> None:
    bench.come()
    bench.end(fault=RESET)
    bench.wait(1.1)
    bench.feed(error_reply("name-taken", connection="keep-alive"))
    for _ in range(int(NAME_PATIENCE) + 1):
        assert not bench.room.over
        bench.wait(1.01)
        bench.feed(error_reply("name-taken"))
        if bench.room.over:
            break
    assert isinstance(bench.room.error, ErrorReply)
    assert bench.room.error.code == "name-taken"


# --- the end ----------------------------------------------------------------------------------


def test_at_the_end_all_is_sent_answered_and_shown_first(bench: RoomBench) -> None:
    bench.come()
    bench.line("one", "/quit", "ignored")
    assert bench.room.finishing
    assert [asked.get("text") for asked in bench.sent()] == ["one"]
    bench.feed(reply({"seq": 6}))
    assert bench.sent()[-1] == {"action": "chat-leave"}
    assert not bench.room.over
    bench.says("say", "one", sender="ann")
    bench.feed(reply({"room": "lobby"}))
    assert bench.room.over
    assert bench.room.error is None
    assert [shown["text"] for shown in bench.take()] == ["one"]


@pytest.mark.parametrize("typed", [True, False])
def test_who_gives_up_has_lost_something_only_if_something_was_left(bench: RoomBench, typed: bool) -> None:
    bench.come()
    bench.end(fault=RESET)
    if typed:
        bench.line("one")
    bench.room.finish()
    bench.room.give_up()
    assert bench.room.over
    assert isinstance(bench.room.error, ConnectionFailed) is typed


# --- what a server should not say -----------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        {"topic": "chat/room/garden", "seq": 1, "value": {"kind": "say", "text": "x"}, "from": "bob"},
        {"topic": "chat/room/lobby", "seq": 1, "value": "x", "from": "bob"},
        {"topic": "chat/room/lobby", "seq": 1, "value": {"kind": "say", "text": 7}, "from": "bob"},
        {"topic": "chat/room/lobby", "seq": 1, "value": {"kind": "shout", "text": "x"}, "from": "bob"},
        {"topic": "chat/room/lobby", "seq": 1, "value": {"kind": "say", "text": "x"}},
        {"nonsense": 1},
    ],
)
def test_an_event_that_is_not_as_it_should_be_is_not_shown(bench: RoomBench, content: Any) -> None:
    bench.come()
    bench.feed(json_message(content, event="message"))
    assert bench.take() == []


@pytest.mark.parametrize("time", ["now", None, True, [1]])
def test_a_time_that_is_none_is_not_shown(bench: RoomBench, time: Any) -> None:
    bench.come()
    value = {"kind": "say", "text": "x", "time": time}
    bench.feed(json_message({"topic": "chat/room/lobby", "seq": 1, "value": value, "from": "bob"}, event="message"))
    assert bench.take()[0]["time"] is None
