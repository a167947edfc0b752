"""Does a listener's account see what is wrong with events, and take what is right?

Not here: whole cases against broken servers (`suites/detection/`).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from suites.conformance.case import Case, Failed, Informational, Options
from suites.conformance.peer import Peer
from suites.conformance.targets import ServerRun
from suites.conformance.topics import GAP, Listener, call, fresh, publish
from suites.conformance.wire import take
from tests.support.wire import error_reply, message, reply, request

BEGUN = {"topic": "t", "epoch": "e", "seq": 3, "missed": 0}


class Played(ServerRun):
    """A run whose server has sent all that it will."""

    def __init__(self) -> None:
        case = Case("T1", "a title", "a mechanism", "a section", "what is expected", lambda run: None)
        super().__init__(case, Options(), None)  # type: ignore[arg-type]
        self.ours, self.theirs = socket.socketpair()
        self.closing(self.ours.close)
        self.closing(self.theirs.close)

    def kept(self, receive_buffer: int | None = None) -> Peer:
        return Peer(self, self.ours)

    def sends(self, *data: bytes) -> None:
        self.theirs.sendall(b"".join(data))

    def listener(self, *data: bytes, topic: str = "t", begun: dict[str, Any] | None = None, **fields: Any) -> Listener:
        self.sends(reply({**BEGUN, "topic": topic, **(begun or {})}), *data)
        return Listener(self, topic, **fields)


@pytest.fixture
def run() -> Iterator[Played]:
    run = Played()
    yield run
    run.close()


def said(seq: object, value: object = "v", topic: str = "t", event: str = "message", **more: Any) -> bytes:
    return request({"topic": topic, "seq": seq, "value": value}, event=event, **more)


def gap(first: object, last: object, dropped: object, topic: str = "t") -> bytes:
    return request({"topic": topic, "from": first, "to": last, "dropped": dropped}, event="gap")


def fails(act: Callable[[], object], *words: str) -> None:
    with pytest.raises(Failed) as failed:
        act()
    assert [word for word in words if word not in str(failed.value)] == []


# --- requests ------------------------------------------------------------------------------------


def test_a_request_has_the_fields_that_are_given_and_a_lone_surrogate_is_escaped() -> None:
    taken = take(bytearray(call("publish", "t", value="\ud800 \u00e9", header={"id": 7})))
    assert taken is not None
    assert taken[1]["id"] == 7
    assert json.loads(taken[2]) == {"action": "publish", "topic": "t", "value": "\ud800 \u00e9"}
    assert b"\\ud800 \xc3\xa9" in taken[2]


def test_each_topic_is_a_new_one(run: Played) -> None:
    assert fresh(run) != fresh(run)
    assert fresh(run, "a", "b").endswith("/a/b")


def test_what_is_published_has_its_numbers_and_a_receipt_is_judged(run: Played) -> None:
    run.sends(*(reply({"seq": seq, "subscribers": 0}) for seq in (1, 2)))
    assert publish(run.kept(), "t", "a", "b") == [1, 2]
    for wrong in ({"seq": 0, "subscribers": 0}, {"seq": 1}, {"seq": True, "subscribers": 0}, [1]):
        run.sends(reply(wrong))
        fails(lambda: publish(run.kept(), "t", "a"))


def test_what_a_server_forbids_is_not_judged_and_an_error_is_failed(run: Played) -> None:
    run.sends(error_reply("forbidden"))
    with pytest.raises(Informational, match="forbids subscribe"):
        Listener(run, "t")
    run.sends(error_reply("overloaded"))
    fails(lambda: Listener(run, "t"), "overloaded")


# --- the account ---------------------------------------------------------------------------------


def test_messages_in_order_and_gaps_that_cover_exactly_what_did_not_come_are_right(run: Played) -> None:
    listener = run.listener(said(4, "a"), gap(5, 7, 3), said(8, "b"))
    listener.hears("a")
    assert [one.kind for one in listener.hears_to(8)] == [GAP, "message"]
    assert listener.position == {"epoch": "e", "seq": 8}
    assert [one.value for one in listener.messages()] == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (said(5), "message 4, or a gap from there"),
        (said(3), "message 4"),
        (gap(4, 6, 2), "how many it covers, 3"),
        (gap(4, 6, None), "how many it covers, 3"),
        (gap(5, 6, 2), "message 4"),
        (gap(4, 4, 0), "from 1 as dropped"),
        (said(4, topic="u"), "events of t alone"),
        (said(4, event="weather"), "a message or a gap"),
        (said(4, id=1), "an event without id"),
        (said(4, connection="keep-alive"), "an event without connection"),
        (said(True), "from 1 as seq"),
        (request({"topic": "t", "seq": 4}, event="message"), '"value"'),
        (request({"topic": "t", "seq": 4, "value": 1, "from": 7}, event="message"), '"from"'),
        (request({"topic": "t", "from": 4, "dropped": 1}, event="gap"), "as to"),
        (request({"topic": "t", "from": 4, "to": 4}, event="gap"), '"dropped"'),
        (request([], event="message"), "an event with its topic"),
        (message(b"{}", "binary/x", "binary", event="message"), "text/json in utf-8"),
        (reply("v"), "reply"),
        (b"", "silence"),
    ],
)
def test_anything_else_is_failed_with_what_came(run: Played, data: bytes, words: str) -> None:
    listener = run.listener(data)
    fails(lambda: listener.next(within=0.05), words)


def test_numbers_that_are_text_are_not_judged(run: Played) -> None:
    listener = run.listener(said("1700-0"))
    with pytest.raises(Informational, match="with a backplane"):
        listener.next()


def test_values_are_told_apart_as_json_tells_them(run: Played) -> None:
    listener = run.listener(said(4, 1))
    fails(lambda: listener.hears(True), "True")


def test_an_account_goes_on_behind_its_since_and_what_comes_before_a_reply_counts(run: Played) -> None:
    listener = run.listener(said(2), reply("a reply"), said(3), since={"epoch": "e", "seq": 1})
    assert listener.reply().result == "a reply"
    assert listener.position["seq"] == 2
    listener.hears("v")


def test_of_another_epoch_a_gap_of_unknown_size_comes_first(run: Played) -> None:
    listener = run.listener(gap(1, 2, None), said(3), since={"epoch": "old", "seq": 90})
    assert [one.kind for one in listener.hears_to(3)] == [GAP, "message"]
    for wrong in (said(91), gap(1, 2, 2)):
        listener = run.listener(wrong, since={"epoch": "old", "seq": 90})
        fails(listener.next, "a gap with dropped null")


def test_each_topic_of_a_pattern_has_an_account_of_its_own(run: Played) -> None:
    listener = run.listener(
        *(said(1, topic="a/x"), said(1, topic="a/y"), said(5, topic="a/old"), said(3, topic="a/x")), topic="a/*"
    )
    listener.begins_behind({"a/old": 4})
    for topic in ("a/x", "a/y", "a/old"):
        listener.hears("v", topic=topic)
    assert listener.following("a/x") == 2
    fails(listener.next, "message 2, or a gap from there, of a/x")


@pytest.mark.parametrize("begun", [{"topic": "u"}, {"epoch": None}, {"seq": -1}])
def test_a_subscription_is_granted_rightly(run: Played, begun: dict[str, Any]) -> None:
    run.sends(reply({**BEGUN, **begun}))
    fails(lambda: Listener(run, "t"))


def test_one_that_hears_no_more_is_answered_and_sent_nothing(run: Played) -> None:
    answered = reply("In the caves beneath the Misty Mountains. \N{RING}", id="still usable")
    listener = run.listener(answered)
    listener.hears_no_more()
    run.sends(answered, said(4))
    fails(listener.hears_no_more, "silence")
    listener.peer.unread.clear()
    run.sends(said(4), answered)
    fails(listener.hears_no_more, "event")
