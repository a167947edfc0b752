"""Requests of many connections answered in one step: each as it would be on its own."""

from __future__ import annotations

import random

import pytest

from libserver.actions import Actions
from libserver.dispatcher import PARTS, Dispatcher
from protocol import SERVER, Codec, Connection, Limits
from protocol.errors import HandlerFailed, ProtocolError
from tests.support.wire import message, request

from .test_dispatcher import ECHO, KEPT, LEFT, ODD, ORDINARY
from .walking import ACTIONS, Endpoint

NEVER = float("inf")


class Asks(Endpoint):
    def failure(self, error: BaseException, asked: object) -> ProtocolError:
        return HandlerFailed(f"the handler failed: {error}")


def kept_alive(codec: Codec, actions: Actions = ACTIONS, kind: type[Endpoint] = Asks) -> Endpoint:
    endpoint = kind(codec, actions)
    endpoint.connection = Connection.kept_alive(codec)
    return endpoint


def each(codec, requests, clock=lambda: 0.0, until=NEVER) -> tuple[list[int], dict[int, bytes]]:
    """Which were taken, and the reply to each that was answered."""
    taken: list[int] = []
    replies: list = []
    askers = [kept_alive(codec) for _ in requests]
    dispatcher = Dispatcher(codec, ACTIONS, lambda error: None, clock)
    dispatcher.serve_each(askers, requests, taken, replies, until)
    return taken, replies_by_number(taken, replies)


def replies_by_number(taken, replies) -> dict[int, bytes]:
    assert len(replies) % PARTS == 0
    whole = [b"".join(replies[at : at + PARTS]) for at in range(0, len(replies), PARTS)]
    assert len(whole) <= len(taken)
    return dict(zip(taken, whole, strict=False))


def alone(codec, data) -> bytes | None:
    """The replies on a connection of its own; None if the dispatcher does not take all."""
    endpoint = kept_alive(codec)
    taken, replies, _ = endpoint.dispatcher.serve(endpoint, data, 1000, 2**30)
    return b"".join(replies) if taken == len(data) else None


def test_each_is_answered_as_on_a_connection_of_its_own():
    """Whatever comes together: ordinary and not, whole, in part, and several in one read."""
    chance = random.Random(11)
    good = [data for data in ORDINARY.values() if len(data) < 2000]
    pool = good + [data for data in (ODD | LEFT).values() if len(data) < 2000]
    codec = Codec(SERVER)
    for data in good:
        alone(codec, data)
    answered = unanswered = 0
    for _ in range(400):
        requests = []
        for _ in range(chance.randrange(1, 12)):
            data = chance.choice(chance.choice((pool, good, good, good)))
            match chance.randrange(12):
                case 0:
                    data = data[: chance.randrange(1, len(data))]
                case 1:
                    data += chance.choice(pool)
                case 2:
                    data += data[: chance.randrange(1, len(data))]
                case 3:
                    data = ECHO
            requests.append(data)
        taken, replies = each(codec, requests)
        assert taken == sorted(set(taken))
        for number, reply in replies.items():
            assert reply == alone(codec, requests[number]), requests[number]
        answered += len(replies)
        unanswered += len(requests) - len(replies)
        if len(replies) < len(taken):  # the first that is not answered has a bad content, or is for a thread
            reply = alone(codec, requests[taken[len(replies)]])
            assert reply is None or b"bad-content" in reply or b'"slow"' in reply
    assert answered > 500
    assert unanswered > 500


def test_one_whole_common_request_is_taken_and_nothing_else():
    codec = Codec(SERVER)
    with_id = request({"action": "echo", "value": 2}, id=5, **KEPT)
    odd = ORDINARY["another encoding"]
    others = [b"", b"\0", ECHO[:-1], ECHO[:40], ECHO * 2, ECHO + b"\0", odd, message(b"x", "x/y", **KEPT)]
    others += [LEFT["close"], LEFT["a broken header"], ORDINARY["two ids"], with_id + b"\0", with_id[:-1]]
    assert each(codec, [ECHO]) == ([], {})  # not seen before
    for data in (ECHO, odd):
        alone(codec, data)
    taken, replies = each(codec, [*others, ECHO, with_id, *others, with_id, ECHO])
    first = len(others)
    assert taken == [first, first + 1, 2 * first + 2, 2 * first + 3]
    assert [*replies] == taken
    assert replies[first + 1] == alone(codec, with_id)
    assert b'"id": 5' in replies[first + 1]


def test_contents_that_are_whole_only_together_are_answered_by_none():
    codec = Codec(SERVER)
    halves = [message(text, **KEPT) for text in ('{"action": "echo", "value": 1', '"x": 2}')]
    for data in halves:
        codec.header(data[: 2 + data[1]])
    assert each(codec, [ECHO, *halves, ECHO])[1] == {}  # ECHO's header is new
    alone(codec, ECHO)
    taken, replies = each(codec, [ECHO, *halves, ECHO])
    assert taken == [0, 1, 2, 3]
    assert [*replies] == [0]


@pytest.mark.parametrize(
    ("data", "answered"),
    [
        (request({"action": "confirm"}, **KEPT), [0, 1, 2]),
        (request({"action": "?"}, **KEPT), [0, 1, 2]),
        (request({"action": "slow"}, **KEPT), [0]),
        (message("{", **KEPT), [0]),
    ],
)
def test_from_one_on_that_is_not_for_it_nothing_is_answered(data, answered):
    codec = Codec(SERVER)
    for one in (ECHO, data):
        codec.header(one[: 2 + one[1]])
    taken, replies = each(codec, [ECHO, data, ECHO])
    assert taken == [0, 1, 2]
    assert [*replies] == answered


def test_each_asks_for_its_own_session_and_is_told_of_its_own_failure():
    codec = Codec(SERVER)
    data = [request({"action": "confirm"}, **KEPT), request({"action": "fail"}, **KEPT)]
    for one in data:
        codec.header(one[: 2 + one[1]])
    askers = [kept_alive(codec, kind=Endpoint) for _ in range(4)]
    replies: list = []
    askers[0].dispatcher.serve_each(askers, [data[0], data[1], b"", data[0]], [], replies, NEVER)
    assert [asker.session() for asker in askers] == [{"confirmed": 1}, {}, {}, {"confirmed": 1}]
    assert [asker.outcome.failures for asker in askers] == [[], [("RuntimeError", {"action": "fail"})], [], []]


def test_none_is_begun_when_it_is_late():
    codec = Codec(SERVER)
    alone(codec, ECHO)
    times = iter([1.0, 2.0, 3.1, 4.0])
    taken, replies = each(codec, [ECHO] * 5, clock=lambda: next(times), until=3.0)
    assert taken == [0, 1, 2, 3, 4]
    assert [*replies] == [0, 1, 2]


def test_an_interrupt_leaves_the_replies_of_those_before_it():
    codec = Codec(SERVER)
    calls = []

    def echo(value):
        calls.append(value["value"])
        return "reply" if value["value"] != 3 else 1 / 0

    class Interrupted(Endpoint):
        def failure(self, error, asked):
            raise KeyboardInterrupt

    actions = Actions(builtin=False)
    actions.add("echo")(echo)
    requests = [request({"action": "echo", "value": number}, id=number, **KEPT) for number in range(5)]
    taken: list[int] = []
    replies: list = []
    askers = [kept_alive(codec, actions, Interrupted) for _ in requests]
    with pytest.raises(KeyboardInterrupt):
        askers[0].dispatcher.serve_each(askers, requests, taken, replies, NEVER)
    assert calls == [0, 1, 2, 3]
    found = replies_by_number(taken, replies)
    assert [*found] == [0, 1, 2]
    for number, reply in found.items():
        assert b'"id": %d' % number in reply


def test_a_header_above_the_limit_is_not_taken():
    data = request({"action": "echo"}, id=1, **KEPT)
    assert each(Codec(SERVER), [data])[0] == [0]
    assert each(Codec(SERVER, Limits(max_header=50)), [data])[0] == []
