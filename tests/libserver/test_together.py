"""What is read of many in one turn is answered together: who waits, for how long, and that nothing of it is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventloop import Transport
from libserver import Actions, CloseReason, Message, Server
from libserver.together import TOGETHER, WITHIN, Together
from protocol.batch import PARTS
from tests.libserver.harness import Peer, Turned, arrived, ask, binary, keep, turned


@pytest.fixture
def actions() -> Actions:
    return Actions()


@pytest.fixture
def home(actions: Actions) -> Iterator[Turned]:
    with turned(actions) as house:
        yield house


@pytest.fixture
def sends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many replies left right after each other, each time."""
    seen: list[int] = []
    send = Together._send

    def noted(together: Together) -> None:
        if together._replies:
            seen.append(len(together._replies))
        send(together)

    monkeypatch.setattr(Together, "_send", noted)
    return seen


def at_rest(home: Turned, count: int) -> list[Peer]:
    peers = [home.peer() for _ in range(count)]
    for peer in peers:
        peer.send(keep("echo", "first"))
        assert peer.reply().result == "first"
    return peers


def bring(home: Turned, requests: dict[Peer, bytes]) -> None:
    """All of it has arrived; the server's next turn finds it. The headers were seen before."""
    for data in requests.values():
        home.server.codec.header(data[: 2 + int.from_bytes(data[:2], "big")])
    ours = {message.transport.sock.getpeername(): message.transport.sock for message in home.server.connections}
    for peer, data in requests.items():
        peer.sock.sendall(data)
        arrived(ours[peer.sock.getsockname()], len(data))


def turn(home: Turned) -> None:
    home.server.loop.run_once(0)


def results(peer: Peer, count: int) -> list[Any]:
    return [reply.result for reply in peer.replies(count)]


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


def test_the_first_of_many_does_not_wait_for_the_last(home: Turned, sends: list[int]) -> None:
    peers = at_rest(home, TOGETHER + 3)
    bring(home, {peer: keep("echo", number) for number, peer in enumerate(peers)})
    turn(home)
    assert sends == [TOGETHER, 3]
    assert [peer.reply().result for peer in peers] == [*range(TOGETHER + 3)]


@pytest.mark.parametrize("times", [1, 2], ids=["in one step", "one by one"])
def test_nobody_waits_for_one_slow_handler_after_another(
    home: Turned, sends: list[int], actions: Actions, times: int
) -> None:
    actions.add("slow")(lambda request: home.clock.advance(WITHIN * 1.1))
    peers = at_rest(home, 6)
    kinds = ["echo", "slow", "slow", "echo", "echo", "echo"]
    bring(home, {peer: keep(kind, kind) * times for peer, kind in zip(peers, kinds, strict=True)})
    turn(home)
    assert len(sends) == 3
    assert sum(sends) == 6
    assert max(sends) == 3
    for peer, kind in zip(peers, kinds, strict=True):
        assert results(peer, times) == [None if kind == "slow" else "echo"] * times


def test_who_is_read_behind_a_slow_read_finds_the_others_answered(home: Turned) -> None:
    """A connection that is not at rest is served where it is read, and may take long."""
    peers = at_rest(home, 3)
    messages = [*home.server.connections]
    home.server.loop.ready = 3
    messages[0].data_received(keep("echo", 0))  # type: ignore[union-attr]
    home.clock.advance(WITHIN * 1.1)
    messages[1].data_received(keep("echo", 1))  # type: ignore[union-attr]
    assert len(home.server.together) == 0
    messages[2].data_received(keep("echo", 2))  # type: ignore[union-attr]
    assert len(home.server.together) == 1
    assert [peer.reply().result for peer in peers] == [0, 1, 2]


@pytest.mark.parametrize("where", ["failure", "answer", "write"])
def test_a_bug_met_on_one_costs_no_other(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    actions = Actions()
    actions.add("fails")(lambda request: 1 / 0)
    with turned(actions, internal_errors=1) as home:
        victim, *others = peers = at_rest(home, 4)
        messages = dict(zip(peers, home.server.connections, strict=True))
        the_one = messages[victim]

        def broken(self: Any, *args: Any) -> Any:
            if where == "failure" or self is the_one:
                raise RuntimeError("a bug")
            return original(self, *args)

        kind = Server if where == "failure" else Message
        original: Callable[..., Any] = getattr(kind, where)
        with monkeypatch.context() as patch:
            patch.setattr(kind, where, broken)
            request = keep("fails") if where == "failure" else keep("echo", 0) * (2 if where == "answer" else 1)
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


@pytest.mark.parametrize("times", [1, 2], ids=["in one step", "one by one"])
def test_an_interrupt_costs_the_one_whose_handler_it_hit(home: Turned, actions: Actions, times: int) -> None:
    def interrupt(request: Any) -> None:
        raise KeyboardInterrupt

    actions.add("interrupt")(interrupt)
    peers = at_rest(home, 4)
    kinds = ["echo", "interrupt", "echo", "echo"]
    bring(home, {peer: keep(kind, kind) * times for peer, kind in zip(peers, kinds, strict=True)})
    with pytest.raises(KeyboardInterrupt):
        turn(home)
    for peer, kind in zip(peers, kinds, strict=True):
        if kind == "echo":
            assert results(peer, times) == ["echo"] * times


def test_an_interrupt_while_they_are_sent_costs_no_other_reply(home: Turned, monkeypatch: pytest.MonkeyPatch) -> None:
    peers = at_rest(home, 3)
    written: list[Message] = []
    write = Message.write

    def interrupted(self: Message, *args: Any) -> None:
        written.append(self)
        if len(written) == 2:
            raise KeyboardInterrupt
        write(self, *args)

    bring(home, {peer: keep("echo", number) for number, peer in enumerate(peers)})
    monkeypatch.setattr(Message, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        turn(home)
    home.until(lambda: len(written) == 3)
    assert len({*written}) == 3
    replied: set[Peer] = set()
    home.until(lambda: replied.update(peer for peer in peers if peer.read()) or len(replied) == 2)


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
    assert home.ended() == {"shutdown": 3}


def test_what_is_cut_meanwhile_is_not_answered(home: Turned) -> None:
    peers = at_rest(home, 3)
    home.server.stop()
    bring(home, {peer: keep("echo", number) * (number + 1) for number, peer in enumerate(peers)})
    turn(home)
    for peer in peers:
        peer.gone()
    assert home.ended() == {"cut": 3}


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
