"""A turn of the loop has a bound in time: what costs much waits until the others had theirs, and none is lost."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from libserver import Actions
from libserver.limits import LIGHT, STALLED, TURN
from libserver.request_batch import BATCH, HEAVY
from protocol.limits import DIRECT_CONTENT
from tests.libserver.conftest import OpenHouse
from tests.libserver.test_request_batch import at_rest, bring, deliver, turn
from tests.support.peer import Peer
from tests.support.server import Turned, turned
from tests.support.wire import binary, keep, message


class Costs:
    """Actions that take time on the loop's clock, and say who was answered in which order."""

    def __init__(self) -> None:
        self.actions = Actions()
        self.answered: list[Any] = []
        self.seconds = 0.0
        self.home: Turned
        self.actions.add("cost")(self.cost)
        self.actions.add_binary("binary/cost")(lambda content: self.cost({"value": [bytes(content[:1]).decode()]}))

    def cost(self, request: Any) -> Any:
        name, *_ = request["value"]
        self.answered.append(name)
        if name.isupper():
            self.home.clock.advance(self.seconds)
        return name.encode() if "action" not in request else name


class InOrder:
    """Who is ready comes in the order of acceptance, not as the kernel has it."""

    def __init__(self, spinning: Any) -> None:
        self.spinning = spinning

    def select(self, timeout: float | None) -> Any:
        return sorted(self.spinning.select(timeout), key=lambda ready: ready[0].fd)


@pytest.fixture
def costs() -> Iterator[Costs]:
    made = Costs()
    with turned(made.actions) as made.home:
        loop: Any = made.home.server.loop
        loop._busy_poller = InOrder(loop._busy_poller)
        yield made


def asks(name: str, size: int) -> bytes:
    """A request of so many bytes; in capitals it takes its time."""
    empty = len(keep("cost", [name, ""]))
    return keep("cost", [name, "x" * (size - empty)])


def large(name: str, size: int = DIRECT_CONTENT) -> bytes:
    return keep("cost", [name, "x" * size])


def test_when_the_turn_is_over_the_small_come_first_and_the_others_by_size(costs: Costs) -> None:
    home = costs.home
    costs.seconds = TURN * 1.1
    peers = at_rest(home, 6)
    sizes = {"A": 250, "huge": 60_000, "large": 5000, "medium": 2 * LIGHT, "small": 300, "tiny": 200}
    bring(home, {peer: asks(*one) for peer, one in zip(peers, sizes.items(), strict=True)})
    turn(home)
    assert costs.answered == ["A", "small", "tiny", "medium", "large", "huge"]


def test_who_asks_while_the_large_wait_is_served_before_all_that_have_not_had_their_turn(costs: Costs) -> None:
    home = costs.home
    costs.seconds = TURN * 1.1
    peers = at_rest(home, 6)
    bring(home, {peer: asks(name, 20_000) for peer, name in zip(peers[:5], "ABCDE", strict=True)})
    turn(home)
    assert costs.answered == ["A", "B", "C"]  # B as there was time, C as it has waited longest
    bring(home, {peers[5]: asks("good", 200)})
    turn(home)
    assert costs.answered == ["A", "B", "C", "good", "D", "E"]


def test_one_that_waits_longest_has_a_turn_beside_any_number_of_smaller_ones(costs: Costs) -> None:
    home = costs.home
    costs.seconds = TURN * 1.1
    slow, *others = at_rest(home, 4)
    bring(home, {others[0]: asks("A", 20_000), slow: asks("OLD", 60_000), others[1]: asks("B", 2000)})
    for round_ in range(3):
        turn(home)
        for peer in others:
            peer.read()
        bring(home, {others[round_ % 3]: asks("MORE", 2000)})
    assert "OLD" in costs.answered[:4]


def test_large_contents_that_nobody_decodes_are_served_before_those_who_wait_but_not_for_long(costs: Costs) -> None:
    home = costs.home
    costs.seconds = 0.0019  # `WITHIN` is 0.005
    small, *others = at_rest(home, 10)
    names = dict(zip(others, "ABCDEFGHI", strict=True))
    contents = {peer: binary((name * 70_000).encode(), "binary/cost") for peer, name in names.items()}
    deliver(home, {peer: data[:-10] for peer, data in contents.items()})
    home.quiet()
    deliver(home, {small: asks("small", 200), **{peer: data[-10:] for peer, data in contents.items()}})
    turn(home)
    assert costs.answered == ["A", "B", "C", "small", "D", "E", "F", "G", "H", "I"]


@pytest.mark.parametrize("rest", [True, False], ids=["kept alive", "first requests"])
def test_a_second_large_json_content_is_not_decoded_in_one_turn(costs: Costs, rest: bool) -> None:
    home = costs.home
    peers = at_rest(home, 4) if rest else [home.peer() for _ in range(4)]
    for peer, name in zip(peers, "abcd", strict=True):
        peer.send(large(name)[:-1])
    home.quiet()
    for peer in peers:
        peer.sock.sendall(b"}")
    home.until(lambda: costs.answered)
    while len(costs.answered) < 4:
        before = len(costs.answered)
        turn(home)
        assert len(costs.answered) <= before + 1
    assert sorted(peer.reply().result for peer in peers) == ["a", "b", "c", "d"]


def test_handlers_that_hold_up_the_loop_do_not_all_have_their_turn_in_one(costs: Costs) -> None:
    """First requests, and small: what they ask takes long, and nothing tells that beforehand."""
    home = costs.home
    costs.seconds = STALLED * 1.1
    peers = [home.peer() for _ in range(20)]
    home.quiet()
    bring(home, {peer: asks(name, 200) for peer, name in zip(peers, "ABCDEFGHIJKLMNOPQRST", strict=True)})
    turns = 0
    while len(costs.answered) < 20:
        before = len(costs.answered)
        turn(home)
        turns += 1
        assert len(costs.answered) <= before + 3
    assert turns >= 7
    assert costs.answered == sorted(costs.answered)
    assert [peer.reply().result for peer in peers] == sorted(costs.answered)


def test_large_contents_that_are_no_json_need_not_wait_for_each_other(costs: Costs) -> None:
    home = costs.home
    peers = at_rest(home, 3)
    requests = [binary(n.encode() + bytes(DIRECT_CONTENT), "binary/cost", connection="keep-alive") for n in "abc"]
    for peer, request in zip(peers, requests, strict=True):
        peer.send(request[:-1])
    home.quiet()
    for peer in peers:
        peer.sock.sendall(b"\0")
    home.until(lambda: len(costs.answered) == 3)


def test_a_large_content_is_decoded_answered_and_freed_without_a_collection(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    seen: list[str] = []
    for size in (DIRECT_CONTENT, HEAVY):
        content = b'{"action": "search", "value": [' + b"[]," * (size // 3) + b"1]}"
        peer.send(message(content, "text/json", "utf-8", connection="keep-alive")[:-1])
        home.quiet()
        gc.collect()
        gc.callbacks.append(lambda phase, info: seen.append(phase))
        try:
            peer.sock.sendall(b"}")
            home.until(lambda: home.only.requests and not home.only.mid_message)
        finally:
            gc.callbacks.pop()
        assert gc.isenabled()
        assert peer.reply().result.startswith("No match for '[[]")
    assert seen == []


def test_a_hundred_requests_in_slow_handlers_do_not_keep_a_newcomer_from_being_heard(costs: Costs) -> None:
    home = costs.home
    costs.seconds = TURN / 4
    crowd = at_rest(home, 2 * BATCH)
    bring(home, {peer: asks("SLOW", 200) for peer in crowd})
    begun = home.clock.now
    turn(home)
    assert home.clock.now - begun < 3 * TURN
    newcomer = home.peer()
    newcomer.send(asks("new", 200))
    home.until(lambda: len(home.server.connections) == len(crowd) + 1)
    assert costs.answered.count("SLOW") < len(crowd) / 2
    assert newcomer.reply().result == "new"
    assert costs.answered == ["SLOW"] * len(crowd) + ["new"], "who came first is first"


def test_what_was_put_off_has_begun_when_the_server_drains(costs: Costs) -> None:
    home = costs.home
    costs.seconds = TURN * 1.1
    peers = at_rest(home, 4)
    bring(home, {peer: asks(name, 20_000) for peer, name in zip(peers, "ABCD", strict=True)})
    turn(home)
    assert len(costs.answered) < 4
    home.server.drain()
    home.quiet()
    assert [peer.reply().result for peer in peers] == ["A", "B", "C", "D"]
    for peer in peers:
        peer.eof()


def test_no_handler_is_called_for_one_that_is_gone_before_its_turn(costs: Costs) -> None:
    home = costs.home
    costs.seconds = TURN * 1.1
    peers = at_rest(home, 5)
    bring(home, {peer: asks(name, 20_000) for peer, name in zip(peers, "ABCDE", strict=True)})
    turn(home)
    assert costs.answered == ["A", "B", "C"]
    peers[3].reset()
    home.quiet()
    assert costs.answered == ["A", "B", "C", "E"]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_put_off_each_connection_gets_its_replies_in_order(seed: int) -> None:
    chance = random.Random(seed)
    costs = Costs()
    with ExitStack() as stack:
        limits = {"requests_per_event": chance.choice([2, 1024]), "write_high": chance.choice([2000, 256 * 1024])}
        patient = {"header_timeout": 0, "content_timeout": 0, "min_data_rate": 0, "idle_timeout": 0}
        costs.home = home = stack.enter_context(turned(costs.actions, **limits, **patient, write_low=1000))
        peers = [home.peer() for _ in range(7)]
        streams: dict[Peer, bytearray] = {}
        expected: dict[Peer, list[str]] = {}
        for at, peer in enumerate(peers):
            names = [f"{chance.choice('aAb')}{at}-{n}" for n in range(chance.randrange(1, 25))]
            expected[peer] = [name.upper() if name[0] == "A" else name for name in names]
            streams[peer] = bytearray()
            for name in expected[peer]:
                streams[peer] += asks(name, chance.choice([200, 300, 2000, 9000, 70_000]))
        left = [*peers]
        while left:
            costs.seconds = chance.choice([0, TURN / 3, TURN * 2])
            for peer in chance.sample(left, chance.randrange(1, len(left) + 1)):
                stream = streams[peer]
                part = chance.choice([1, 150, 1000, 5000, 65_536, 100_000])
                peer.send(bytes(stream[:part]))
                del stream[:part]
                if not stream:
                    left.remove(peer)
                    if chance.random() < 0.5:
                        peer.finish()
            for _ in range(chance.randrange(3)):
                home.turn()
        for peer in peers:
            assert [reply.result for reply in peer.replies(len(expected[peer]))] == expected[peer]
    assert gc.isenabled()
