"""Idle and hostile peers do what they are named for, beside good traffic and outside its numbers."""

import socket
import threading
import time
from types import SimpleNamespace

import pytest

from eventloop import EventLoop, parse_address
from libclient.connect import resolve
from multiconn.loadtest.config import Config
from multiconn.loadtest.engine.background_peers import KINDS, _Hostile
from multiconn.loadtest.engine.runner import Runner
from tests.multiconn.loadtest.runs import Told, run
from tests.support import scripted
from tests.support.scripted import ScriptedServer


class Witness:
    """Answers nobody, and writes down what became of each connection: its bytes, and how it ended."""

    def __init__(self, patience=0.4):
        self.patience = patience
        self.seen = []

    def __call__(self, peer):
        peer.sock.settimeout(self.patience)
        got, ended = b"", "silent"
        try:
            while True:
                data = peer.sock.recv(65536)
                if not data:
                    ended = "fin"
                    break
                got += data
        except TimeoutError:
            pass
        except ConnectionResetError:
            ended = "reset"
        self.seen.append((got, ended))


def seen_of(kind, seconds=1.0, patience=20.0):
    """Run the load against one port and let another see the hostile peer: their endpoints differ."""
    witness = Witness(patience)
    with ScriptedServer(witness) as theirs, ScriptedServer(scripted.correct) as ours:
        address = parse_address(ours.target)
        config = Config(connections=1, duration=seconds, warmup=0.0, hostile=((kind, 1),), drain=1.0)
        runner = Runner(config, address, resolve(address))
        runner.background_peers.next_endpoints = lambda: resolve(parse_address(theirs.target))
        outcome = runner.run()
    assert outcome.accounting.ok == outcome.accounting.sent > 0
    assert sum(outcome.errors.values()) == 0
    assert outcome.connections.opened == 1
    return witness.seen


def test_connect_only_says_nothing():
    assert {got for got, _ in seen_of("connect-only")} == {b""}


def test_a_trickle_comes_a_byte_at_a_time():
    seen = seen_of("trickle")
    assert 1 <= len(seen[0][0]) < 20  # of a whole second: a request at once has more than a hundred


def test_half_a_request_is_followed_by_a_reset():
    got, ended = seen_of("reset")[0]
    assert ended == "reset"
    assert 20 < len(got) < 200


def test_a_half_close_follows_a_whole_request():
    got, ended = seen_of("half-close")[0]
    assert ended == "fin"
    assert got.endswith(b"}")


def test_garbage_is_no_message():
    got, _ = seen_of("garbage")[0]
    assert len(got) == 512
    assert b"content-length" not in got


def test_a_peer_that_never_reads_sends_more_than_it_takes():
    got, _ = seen_of("never-read")[0]
    assert len(got) > 100_000


def test_idle_connections_are_open_and_silent_and_in_no_number():
    told = Told()
    with ScriptedServer(scripted.correct) as server:
        outcome = run(server.target, sinks=[told], duration=0.3, connections=2, idle=3, interval=0.1)
        assert server.connections == 5
        assert server.requests == outcome.accounting.sent + 3
    assert outcome.connections.peak == 2
    assert told.intervals[-2].idle == 3


def test_all_of_them_at_once_spoil_nothing_of_the_load_s_accounts():
    told = Told()
    with ScriptedServer(scripted.correct) as server:
        outcome = run(
            server.target, sinks=[told], duration=0.5, connections=2, hostile=tuple((kind, 1) for kind in KINDS)
        )
    assert outcome.accounting.ok == outcome.accounting.sent
    assert max(interval.hostile for interval in told.intervals) >= 2


def test_who_is_thrown_out_comes_back():
    assert len(seen_of("connect-only", seconds=1.5, patience=0.05)) >= 2


@pytest.mark.parametrize("kind", ["trickle", "never-read", "reset"])
def test_nobody_stays_when_the_run_is_over(kind):
    before = threading.active_count()
    with ScriptedServer(scripted.silent_after(0)) as server:
        began = time.monotonic()
        run(server.target, duration=0.05, connections=1, drain=0.05, hostile=((kind, 2),))
        assert time.monotonic() - began < 5
    assert threading.active_count() <= before


def test_a_connection_that_the_server_closed_in_the_same_turn_is_not_reset_any_more():
    loop = EventLoop()
    opened = []
    all = SimpleNamespace(frame=b"0123456789", loop=loop, count_hostile=opened.append, back_later=lambda peer: None)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        peer = _Hostile(all, "reset")
        peer._connected(ours)
        assert theirs.recv(100) == b"01234"
        peer.eof_received()
        peer._reset()  # its timer was due in that turn too
        loop.run_once(0)
    loop.close()
    assert opened == [1, -1]


def test_idle_and_hostile_connections_take_turns_among_the_source_addresses_too():
    came_from = []

    def note(peer):
        came_from.append(peer.sock.getpeername()[0])
        scripted.correct(peer)

    with ScriptedServer(note) as server:
        address = parse_address(server.target)
        config = Config(
            connections=1, duration=0.3, warmup=0.0, idle=4, source_ips=("127.0.0.2", "127.0.0.3"), connect_rate=1e6
        )
        Runner(config, address, resolve(address)).run()
    assert sorted(came_from) == ["127.0.0.2"] * 3 + ["127.0.0.3"] * 2
