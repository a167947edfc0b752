"""Do the library's clients keep their word in the world, and is it seen when one does not?"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from libclient import EndReason
from libclient.call import Call
from suites.simulation.clients import (
    ANY_TIME,
    NAME,
    BlockingClient,
    MessageClient,
    PoolClient,
    any_request,
    complaint,
)
from suites.simulation.happenings import Terminate
from suites.simulation.plan import Plan
from suites.simulation.world import World

KINDS = (PoolClient, MessageClient, BlockingClient)


def world_with(kind: type[Any], seed: int = 1) -> World:
    return World(Plan(seed=seed, length=20.0, clients=(("client0", kind),), end=Terminate(60.0)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_every_call_is_answered_where_nothing_goes_wrong(kind: type[Any], seed: int) -> None:
    world = world_with(kind, seed)
    world.run()
    assert world.violations == []
    (client,) = world.clients
    assert client.over
    assert world.report.connections > 0


@pytest.mark.parametrize(
    ("value", "right", "wrong"),
    [
        ({"result": 1}, 1, None),
        (b"bytes", b"bytes", None),
        ({"error": {"code": sorted(ANY_TIME)[0], "message": "m"}}, 1, None),
        ({"result": 2}, 1, "{'result': 2} where 1 is right"),
        (b"other", b"bytes", "b'other' where b'bytes' is right"),
        ({"error": {"code": "unknown-action", "message": "m"}}, 1, "the error unknown-action"),
        ([1], 1, "[1] is no reply"),
        ({}, 1, "{} where 1 is right"),
    ],
)
def test_an_answer_is_right_or_is_told_to_be_wrong(value: object, right: object, wrong: str | None) -> None:
    assert complaint(value, right) == wrong


def test_every_kind_of_request_is_asked() -> None:
    random = Random(1)
    asked = [any_request(random, number) for number in range(200)]
    assert {type(right) for _, right in asked} == {bytes, str}
    assert any(right == "x" * 700 for _, right in asked)
    assert len({str(right) for _, right in asked}) > 100, "a mix-up of two replies would show"


def told(world: World) -> list[str]:
    return [words for name, words in world.violations if name == NAME]


def test_a_call_that_is_done_twice_is_told() -> None:
    world = world_with(PoolClient)
    client: Any = world.clients[0]
    call = Call(any_request(Random(1), 1)[0])
    client.right[call], client.done[call] = 1, 1
    call.done, call.value = True, {"result": 1}
    client._done(call)
    assert told(world) == ["client0: a call is done for the 2th time"]
    world.close()


def test_a_call_that_is_never_done_is_told() -> None:
    world = world_with(PoolClient)
    client: Any = world.clients[0]
    client.right[Call(any_request(Random(1), 1)[0])] = 1
    client.finish()
    client.check_over()
    assert "client0: 1 calls were never done" in told(world)
    world.close()


def test_a_message_that_hears_something_after_its_end_or_loses_a_request_is_told() -> None:
    world = world_with(MessageClient)
    client: Any = world.clients[0]
    client._open()
    (message,) = client.messages
    client.messages[message] = True
    client.opened(message)
    assert "client0 is told opened after the end" in told(world)
    client.sent += 1
    client.check_over()
    assert any("sent, 0 answered, 0 came back" in words for words in told(world))
    world.close()


@pytest.mark.parametrize("reason", [EndReason.MISMATCH, EndReason.BAD_FRAMING])
def test_a_reply_that_our_server_would_not_send_is_told(reason: EndReason) -> None:
    world = world_with(MessageClient)
    client: Any = world.clients[0]
    client._open()
    (message,) = client.messages
    ending = type("Ending", (), {"reason": reason, "unanswered": [], "unsent": [], "errors": ["why"]})()
    client.closed(message, ending)
    assert told(world) == [f"client0: {reason.value}: ['why']"]
    world.close()


def test_what_escapes_a_blocking_client_is_told() -> None:
    world = world_with(BlockingClient)
    client: Any = world.clients[0]
    client.escaped = ValueError("out")
    client.check_over()
    assert told(world) == ["client0 never returned", "client0: ValueError: out"]
    world.close()
