"""Does every peer that can run here serve the wire, and every load's requests rightly?"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.loads import LOADS, Load
from benchmarks.peers import PEERS, chosen
from benchmarks.processes import ServerProcess
from benchmarks.requests import Variant, mixed, odd, repeated, varied, with_ids
from tests.support.peer import dialled
from tests.support.wire import Reply

Start = Callable[[str], ServerProcess]

UNDERSTANDING = [name for name, peer in PEERS.items() if not peer.fixed_only]


def right(reply: Reply, variant: Variant) -> bool:
    return reply.content == variant.content and variant.header_text in reply.head


def different_loads(name: str) -> list[Load]:
    """One load of each kind of requests: how many connections ask them makes no difference here."""
    kinds = {load.name.partition("-")[2] or load.oneshot: load for load in LOADS.values() if PEERS[name].takes(load)}
    return list(kinds.values())


@pytest.mark.parametrize("name", PEERS)
def test_answers_every_loads_requests_rightly(start: Start, name: str) -> None:
    port = start(name).port
    for load in different_loads(name):
        variants = load.variants()
        if load.oneshot:
            for variant in variants:
                with dialled(port) as client:
                    assert right(client.ask(variant.request), variant)
                    client.eof()
            continue
        with dialled(port) as client:
            for number, variant in enumerate([*variants, variants[0]]):
                reply = client.ask(variant.request)
                assert right(reply, variant), (load.name, variant)
                assert reply.header.get("connection") == (None if number else "keep-alive")


@pytest.mark.parametrize("name", UNDERSTANDING)
@pytest.mark.parametrize("variants", [mixed, varied, with_ids])
def test_answers_pipelined_requests_in_order(start: Start, name: str, variants: Callable[[], list[Variant]]) -> None:
    asked = variants()
    with dialled(start(name).port) as client:
        assert right(client.ask(asked[0].request), asked[0])
        client.send(b"".join(variant.request for variant in asked))
        for variant in asked:
            assert right(client.reply(), variant), variant


@pytest.mark.parametrize("name", UNDERSTANDING)
def test_answers_requests_that_come_in_pieces(start: Start, name: str) -> None:
    asked = varied(4)
    stream = b"".join(variant.request for variant in asked)
    with dialled(start(name).port) as client:
        for at in range(0, len(stream), 7):
            client.send(stream[at : at + 7])
        for variant in asked:
            assert right(client.reply(), variant), variant


def test_the_ceiling_counts_requests_that_come_together(start: Start) -> None:
    variant = repeated()[0]
    with dialled(start("ceiling").port) as client:
        client.ask(variant.request)
        client.send(variant.request * 5 + variant.request[:10])
        for _ in range(5):
            assert right(client.reply(), variant)
        client.send(variant.request[10:])
        assert right(client.reply(), variant)


@pytest.mark.parametrize("name", ["message-asyncio", "message-uvloop", "uvloop", "asyncio", "c"])
def test_sends_the_bytes_that_our_server_sends(start: Start, name: str) -> None:
    ours, other = start("ours"), start(name)
    kinds = [repeated, mixed, varied, with_ids] + [odd] * PEERS[name].takes(LOADS["64x16-odd"])
    for variants in kinds:
        with dialled(ours.port) as here, dialled(other.port) as there:
            for variant in variants():
                expected, got = here.ask(variant.request), there.ask(variant.request)
                assert (got.head, got.content) == (expected.head, expected.content)


def test_no_names_are_all_names() -> None:
    assert chosen(None, {"a": 1, "b": 2}, "thing") == [1, 2]
    assert chosen("b, a", {"a": 1, "b": 2}, "thing") == [2, 1]
