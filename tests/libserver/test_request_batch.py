"""What is read of many in one turn is answered together: who waits, for how long, and that nothing of it is lost."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import FrameType
from typing import Any

import pytest

from eventloop import Transport
from eventloop.transport import RECV_SIZE
from libserver import Actions, CloseReason, Message, request_batch
from libserver.dispatcher import PARTS, Dispatcher
from libserver.request_batch import BATCH, WITHIN, RequestBatch
from protocol import Codec, Limits
from tests.support.peer import Peer, arrived, small_buffers
from tests.support.server import Turned, turned
from tests.support.wire import ask, binary, keep


@pytest.fixture
def actions() -> Actions:
    return Actions()


@pytest.fixture
def home(actions: Actions) -> Iterator[Turned]:
    with turned(actions) as house:
        yield house


HouseOf = Callable[..., Turned]


@pytest.fixture
def house_of() -> Iterator[HouseOf]:
    """A server with limits of its own."""
    with ExitStack() as stack:
        yield lambda **limits: stack.enter_context(turned(**limits))


@pytest.fixture
def sends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many replies left right after each other, each time."""
    seen: list[int] = []
    send = RequestBatch._send

    def noted(batch: RequestBatch) -> None:
        if batch.unsent:
            seen.append(len(batch.unsent))
        send(batch)

    monkeypatch.setattr(RequestBatch, "_send", noted)
    return seen


@pytest.fixture
def interrupted(home: Turned, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C comes while a handler's failure is noted: behind the handler, where it is nobody's failure."""

    def failure(*failed: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(home.server, "failure", failure)


def at_rest(home: Turned, count: int) -> list[Peer]:
    peers = [home.peer() for _ in range(count)]
    for peer in peers:
        peer.send(keep("echo", "first"))
        assert peer.reply().result == "first"
    return peers


def seen_before(home: Turned, request: bytes) -> None:
    """The header of `request`: it is common from now on."""
    home.server.codec.header(request[: 2 + int.from_bytes(request[:2], "big")])


def bring(home: Turned, requests: dict[Peer, bytes]) -> None:
    """All of it has arrived; the server's next turn finds it. The headers were seen before."""
    for data in requests.values():
        seen_before(home, data)
    deliver(home, requests)


def deliver(home: Turned, requests: dict[Peer, bytes]) -> None:
    """Bytes of any kind have arrived, from each in this order."""
    socks = [message.transport.sock for message in home.server.connections if not message.transport.closed]
    ours = {sock.getpeername(): sock for sock in socks}
    for peer, data in requests.items():
        peer.sock.sendall(data)
        arrived(ours[peer.sock.getsockname()], len(data))


def turn(home: Turned) -> None:
    home.server.loop.run_once(0)


def results(peer: Peer, count: int) -> list[Any]:
    return [reply.result for reply in peer.replies(count)]


def test_no_more_bytes_than_a_batch_may_have_wait_for_each_other(
    home: Turned, sends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_batch, "BYTES", 4000)
    peers = at_rest(home, 4)
    bring(home, {peer: keep("echo", "x" * 1500) for peer in peers})
    turn(home)
    assert sends == [3, 1]
    for peer in peers:
        assert peer.reply().result == "x" * 1500


def test_the_replies_of_one_turn_leave_when_all_have_been_read(home: Turned, sends: list[int]) -> None:
    peers = at_rest(home, 5)
    bring(home, {peer: keep("echo", number) for number, peer in enumerate(peers)})
    turn(home)
    assert sends == [5]
    assert [peer.reply().result for peer in peers] == [0, 1, 2, 3, 4]


def test_whatever_they_ask_each_is_answered_in_its_order(home: Turned, sends: list[int], actions: Actions) -> None:
    actions.add("fails")(lambda request: 1 / 0)
    actions.add_binary("binary/twice")(lambda content: bytes(content) * 2)
    peers = at_rest(home, 9)
    asked = {
        peers[0]: keep("echo", 0),
        peers[1]: keep("echo", 1, id="one"),
        peers[2]: keep("echo", 2) * 16,
        peers[3]: keep("confirm", 3),
        peers[4]: keep("fails"),
        peers[5]: keep("echo", 5) + keep("echo", "behind")[:-4],
        peers[6]: binary(b"six", "binary/twice", connection="keep-alive"),
        peers[7]: keep("echo", "x" * 3000, deadline_ms=60_000),
        peers[8]: ask("echo", 8, connection="close"),
    }
    bring(home, asked)
    turn(home)
    assert peers[0].reply().result == 0
    assert peers[1].reply().header["id"] == "one"
    assert results(peers[2], 16) == [2] * 16
    assert peers[3].reply().body == {"result": "Received: 3", "count": 1}
    assert peers[4].reply().code == "handler-failed"
    assert peers[5].reply().result == 5
    assert peers[6].reply().content == b"sixsix"
    assert peers[7].reply().result == "x" * 3000
    assert peers[8].reply().connection == "close"
    peers[8].eof()
    peers[5].send(keep("echo", "behind")[-4:])
    assert peers[5].reply().result == "behind"


def test_who_is_alone_in_a_turn_does_not_wait(home: Turned, sends: list[int]) -> None:
    (peer,) = at_rest(home, 1)
    bring(home, {peer: keep("echo", 1)})
    turn(home)
    assert peer.reply().result == 1
    assert sends == []


@pytest.mark.parametrize("cut", [1, 100, 140, 1000])
def test_who_is_read_twice_before_it_is_answered_is_read_on_in_its_order(home: Turned, cut: int) -> None:
    """As other loops may do it: after the first part of a message the connection is at rest no more."""
    (peer,) = at_rest(home, 1)
    (message,) = home.server.connections
    home.server.loop.ready = 2
    requests = keep("echo", "x" * 2000) + keep("echo", 2) + keep("echo", 3)
    message.data_received(requests[:cut])  # type: ignore[union-attr]
    message.data_received(requests[cut:])  # type: ignore[union-attr]
    assert results(peer, 3) == ["x" * 2000, 2, 3]
    assert message.idle


def test_of_who_is_read_twice_no_part_of_a_content_is_taken_for_a_request(home: Turned) -> None:
    (peer,) = at_rest(home, 1)
    (message,) = home.server.connections
    home.server.loop.ready = 2
    inside = keep("echo", "inside")
    seen_before(home, inside)
    request = binary(b"A" * 100 + inside, connection="keep-alive")
    message.data_received(request[: -len(inside)])  # type: ignore[union-attr]
    message.data_received(inside)  # type: ignore[union-attr]
    assert peer.reply().content == b"A" * 100 + inside
    assert message.idle


def test_the_first_of_many_does_not_wait_for_the_last(home: Turned, sends: list[int]) -> None:
    peers = at_rest(home, BATCH + 3)
    bring(home, {peer: keep("echo", number) for number, peer in enumerate(peers)})
    turn(home)
    assert sends == [BATCH, 3]
    assert [peer.reply().result for peer in peers] == [*range(BATCH + 3)]


@pytest.mark.parametrize("times", [1, 2], ids=["in one step", "one by one"])
def test_nobody_waits_for_one_slow_handler_after_another(
    home: Turned, sends: list[int], actions: Actions, times: int
) -> None:
    actions.add("slow")(lambda request: home.clock.advance(WITHIN * 1.1))
    peers = at_rest(home, 6)
    kinds = ["echo", "slow", "slow", "echo", "echo", "echo"]
    bring(home, {peer: keep(kind, kind) * times for peer, kind in zip(peers, kinds, strict=True)})
    turn(home)
    turn(home)  # four slow handlers are longer than a turn
    assert len(sends) == 3
    assert sum(sends) == 6
    assert max(sends) == 3
    for peer, kind in zip(peers, kinds, strict=True):
        assert results(peer, times) == [None if kind == "slow" else "echo"] * times


@pytest.mark.parametrize(("where", "logged"), [("failure", 2), ("serve", 1), ("write", 1)])
def test_a_bug_met_on_one_costs_no_other(where: str, logged: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the one step nobody knows whose it is: that is found out one by one."""
    actions = Actions()
    actions.add("fails")(lambda request: 1 / 0)
    with turned(actions, internal_errors=logged) as home:
        victim, *others = peers = at_rest(home, 4)
        messages = dict(zip(peers, home.server.connections, strict=True))
        the_one = messages[victim]

        def broken(self: Any, *args: Any) -> Any:
            if where == "failure" or self in (the_one, the_one.transport):
                raise RuntimeError("a bug")
            return original(self, *args)

        kind = Transport if where == "write" else Message
        original: Callable[..., Any] = getattr(kind, where)
        with monkeypatch.context() as patch:
            patch.setattr(kind, where, broken)
            request = keep("fails") if where == "failure" else keep("echo", 0) * (2 if where == "serve" else 1)
            asked = {peer: keep("echo", number) for number, peer in enumerate(others)}
            bring(home, {others[0]: asked.pop(others[0]), victim: request, **asked})
            turn(home)
            home.quiet()
        victim.gone()
        assert [peer.reply().result for peer in others] == [0, 1, 2]
        for peer in others:
            peer.send(keep("echo", "again"))
            assert peer.reply().result == "again"
        assert home.reasons == {CloseReason.INTERNAL_ERROR.value: 1}


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_bug_met_while_looking_costs_the_one_that_was_looked_at(victim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with turned(internal_errors=2) as home:
        peers = at_rest(home, 3)
        bring(home, {peer: keep("echo", n, id="boom" if n == victim else n) for n, peer in enumerate(peers)})
        original = Codec.common_around_id

        def broken(self: Codec, framed: bytes) -> Any:
            if b"boom" in framed:
                raise RuntimeError("a bug")
            return original(self, framed)

        home.server.codec.headers.clear()
        monkeypatch.setattr(Codec, "common_around_id", broken)
        turn(home)
        home.quiet()
        for number, peer in enumerate(peers):
            if number == victim:
                peer.gone()
            else:
                assert peer.reply().result == number


@pytest.mark.parametrize("hit", [0, 1, 3], ids=["the first", "the second", "the last"])
@pytest.mark.parametrize("times", [1, 2], ids=["in one step", "one by one"])
def test_an_interrupt_costs_the_one_that_it_hit(
    home: Turned, actions: Actions, interrupted: None, times: int, hit: int
) -> None:
    called: list[int] = []
    actions.add("interrupt")(lambda request: 1 / 0)
    actions.add("noted")(lambda request: called.append(request["value"]))
    peers = at_rest(home, 4)
    bring(home, {p: keep("interrupt" if n == hit else "noted", n) * times for n, p in enumerate(peers)})
    with pytest.raises(KeyboardInterrupt):
        turn(home)
    home.quiet()
    for number, peer in enumerate(peers):
        if number == hit:
            peer.gone()
        else:
            assert results(peer, times) == [None] * times
    assert sorted(called) == sorted([number for number in range(4) if number != hit] * times)


def test_an_interrupt_behind_the_last_handler_calls_none_again(
    home: Turned, actions: Actions, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[int] = []
    actions.add("noted")(lambda request: called.append(request["value"]))
    peers = at_rest(home, 3)
    bring(home, {peer: keep("noted", number) for number, peer in enumerate(peers)})

    serve_each = Dispatcher.serve_each

    def interrupted(*args: Any) -> None:
        serve_each(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Dispatcher, "serve_each", interrupted)
        with pytest.raises(KeyboardInterrupt):
            turn(home)
    for peer in peers:
        assert peer.reply().result is None
    assert sorted(called) == [0, 1, 2]


def test_an_interrupt_at_a_binary_request_leaves_nothing_behind_for_the_others(
    home: Turned, actions: Actions, interrupted: None
) -> None:
    actions.add_binary("binary/interrupt")(lambda content: 1 / 0)
    victim, *others = at_rest(home, 3)
    request = binary(b"", "binary/interrupt", connection="keep-alive")
    home.server.loop.ready = 2
    message = next(iter(home.server.connections))
    message.data_received(request)  # type: ignore[union-attr]
    with pytest.raises(KeyboardInterrupt):
        turn(home)
    assert sum(message.idle for message in home.server.connections) == len(others)
    victim.gone()


def test_after_an_interrupt_each_is_answered_in_its_order(home: Turned, actions: Actions, interrupted: None) -> None:
    actions.add("interrupt")(lambda request: 1 / 0)
    peers = at_rest(home, 3)
    home.server.loop.ready = 3
    asked = [keep("interrupt"), keep("echo", 1), keep("echo", 2)]
    for message, data in zip([*home.server.connections], asked, strict=True):
        seen_before(home, data)
        message.data_received(data)  # type: ignore[union-attr]
    with pytest.raises(KeyboardInterrupt):
        turn(home)
    assert len(home.server.batch) == 2
    bring(home, {peers[1]: keep("echo", 3)})
    peers[2].sock.shutdown(socket.SHUT_WR)
    home.quiet()
    assert results(peers[1], 2) == [1, 3]
    assert peers[2].reply().result == 2
    peers[2].eof()


def test_an_interrupt_while_they_are_sent_costs_no_other_reply(home: Turned, monkeypatch: pytest.MonkeyPatch) -> None:
    peers = at_rest(home, 3)
    written: list[Transport] = []
    write = Transport.write

    def interrupted(self: Transport, *args: Any) -> None:
        written.append(self)
        if len(written) == 2:
            raise KeyboardInterrupt
        write(self, *args)

    bring(home, {peer: keep("echo", number) for number, peer in enumerate(peers)})
    monkeypatch.setattr(Transport, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        turn(home)
    home.until(lambda: len(written) == 3)
    assert len({*written}) == 3
    assert home.server.closed_by == {CloseReason.INTERNAL_ERROR: 1}
    for peer in peers:
        home.until(lambda peer=peer: peer.read() or peer.ended)
    assert sum(peer.ended for peer in peers) == 1


def test_a_drain_answers_first_what_was_read(home: Turned) -> None:
    """The callback of the drain may stand before ours in the same turn."""
    peers = at_rest(home, 3)
    home.server.drain()
    bring(home, {peer: keep("echo", number) for number, peer in enumerate(peers)})
    turn(home)
    answered_and_closed(home, peers)


def test_a_drain_answers_what_it_reads(home: Turned) -> None:
    peers = at_rest(home, 3)
    bring(home, {peer: keep("echo", number) for number, peer in enumerate(peers)})
    home.server.loop.ready = 2
    home.server._drain()
    answered_and_closed(home, peers)


def answered_and_closed(home: Turned, peers: list[Peer]) -> None:
    for number, peer in enumerate(peers):
        assert peer.reply().result == number
        peer.eof()
        peer.finish()
    assert home.ended() == {"shutdown": 3}


def test_a_drain_reads_on_where_a_request_waits(home: Turned) -> None:
    """More has come of the same connection, and its end: each reply leaves, in the order of the requests."""
    peers = at_rest(home, 2)
    home.server.drain()
    requests = b"".join(keep("echo", f"{number:05d}" + "x" * 900) for number in range(100))
    bring(home, {peers[0]: requests, peers[1]: keep("echo", 1)})
    peers[0].sock.shutdown(socket.SHUT_WR)
    turn(home)
    answered = []
    while (reply := peers[0].reply()).code is None:
        answered.append(int(reply.result[:5]))
        if reply.connection == "close" or len(answered) == 100:
            break
    assert answered == [*range(len(answered))]
    assert len(answered) >= 65_536 // 1100
    reply = peers[1].reply()
    assert (reply.result, reply.connection) == (1, "close")
    peers[1].finish()
    home.ended()


def test_a_drain_takes_no_part_of_a_content_for_a_request(home: Turned, actions: Actions) -> None:
    called: list[Any] = []
    actions.add("secret")(called.append)
    inside = keep("secret")
    content = bytes(RECV_SIZE - len(binary(b"x" * RECV_SIZE, connection="keep-alive")) + RECV_SIZE) + inside
    peers = at_rest(home, 2)
    for peer in peers:
        peer.send(inside)  # its header was seen before
        peer.reply()
    del called[:]
    home.server.drain()
    request = binary(content, connection="keep-alive")
    assert len(request) - len(inside) == RECV_SIZE
    bring(home, {peers[0]: request, peers[1]: keep("echo", 1)})
    turn(home)
    assert peers[0].reply().content == content
    assert called == []


def test_a_drain_finishes_what_has_begun_on_a_connection_that_keeps_output(house_of: HouseOf) -> None:
    home = house_of(sizes=Limits(max_json=8 * 1024 * 1024), write_high=8 * 1024 * 1024, write_low=1024)
    peer, other = home.peer(small_buffers), home.peer()
    for one in (peer, other):
        one.send(keep("echo", 0))
        assert one.reply().result == 0
    socks = [message.transport.sock for message in home.server.connections]
    (sock,) = (one for one in socks if one.getpeername() == peer.sock.getsockname())
    peer.send(keep("echo", "x" * 4_000_000))
    home.until(lambda: any(message.transport.queued for message in home.server.connections))
    half = keep("echo", "begun")
    home.server.drain()
    peer.sock.sendall(half[:50])
    arrived(sock, 50)
    home.server.loop.ready = 2
    turn(home)
    peer.send(half[50:])
    assert len(peer.reply().result) == 4_000_000
    last = peer.reply()
    assert (last.result, last.connection) == ("begun", "close")


def test_what_is_cut_meanwhile_is_not_asked_of_a_handler(home: Turned, actions: Actions) -> None:
    called: list[Any] = []
    actions.add("noted")(called.append)
    peers = at_rest(home, 3)
    home.server.stop()
    bring(home, {peer: keep("noted", number) * (number + 1) for number, peer in enumerate(peers)})
    turn(home)
    assert home.ended() == {"cut": 3}
    home.quiet()
    assert called == []


def test_who_came_first_is_served_first_new_or_at_rest(home: Turned, actions: Actions) -> None:
    answered: list[tuple[str, float]] = []

    def slow(request: Any) -> None:
        home.clock.advance(1.0)
        answered.append(("slow", home.clock.now - begun))

    actions.add("slow")(slow)
    actions.add("noted")(lambda request: answered.append(("at rest", home.clock.now - begun)))
    at_rest(home, 1)
    (first,) = home.server.connections
    bring(home, {home.peer(): keep("slow") for _ in range(3)})
    begun = home.clock.now
    home.server.loop.ready = 2
    first.data_received(keep("noted"))  # type: ignore[union-attr]
    home.quiet()
    assert answered == [("at rest", 0.0), ("slow", 1.0), ("slow", 2.0), ("slow", 3.0)]


def test_those_that_are_late_and_take_the_walk_are_answered_one_behind_the_other(
    home: Turned, actions: Actions
) -> None:
    """Each of them asks whether somebody waits: not from within the answer to another."""
    depths: list[int] = []

    def slow(request: Any) -> None:
        home.clock.advance(WITHIN * 2)
        frame: FrameType | None = sys._getframe()
        depths.append(0)
        while frame is not None:
            depths[-1] += 1
            frame = frame.f_back

    actions.add("slow")(slow)
    peers = at_rest(home, 5)
    bring(home, {peer: keep("slow") + keep("echo", 1)[:-1] for peer in peers})
    home.quiet()
    assert len(depths) == 5
    assert len({*depths}) == 1
    for peer in peers:
        assert peer.reply().result is None


def test_a_large_reply_is_sent_in_place(home: Turned, actions: Actions, monkeypatch: pytest.MonkeyPatch) -> None:
    actions.add("large")(lambda request: "x" * 100_000)
    peers = at_rest(home, 2)
    calls: list[int] = []
    writelines = Transport.writelines

    def noted(self: Transport, parts: list[Any]) -> None:
        calls.append(len(parts))
        writelines(self, parts)

    monkeypatch.setattr(Transport, "writelines", noted)
    bring(home, {peers[0]: keep("large"), peers[1]: keep("echo", 1)})
    turn(home)
    assert calls == [PARTS]
    assert len(peers[0].reply().result) == 100_000
    assert peers[1].reply().result == 1
