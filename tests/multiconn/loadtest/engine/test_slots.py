"""Connections: when they are opened, replaced, and where from."""

import select

import pytest

from multiconn.loadtest.profile import Stage
from tests.multiconn.loadtest.runs import Told, occurred, run
from tests.support import scripted
from tests.support.scripted import ScriptedServer


@pytest.mark.parametrize(("every", "pipeline"), [(1, 1), (1, 4), (5, 1), (2, 4)])
@pytest.mark.parametrize("rate", [None, 2000.0])
def test_a_connection_has_no_more_requests_than_asked_for(every, pipeline, rate):
    served = []

    def counting(peer):
        try:
            while True:
                request = peer.request()
                # Not ours to close: the client does, if the server does not understand "close".
                peer.reply(peer.right(request))
        finally:
            served.append(peer.served)

    with ScriptedServer(counting) as server:
        outcome = run(server.target, requests=40, connections=3, pipeline=pipeline, reconnect_every=every, rate=rate)
    assert outcome.accounting.ok == 40
    assert occurred(outcome) == {}
    assert max(served) == every
    assert sum(served) == 40
    assert outcome.connections.opened >= 40 / every


def test_the_last_request_of_a_connection_says_close_so_that_the_server_closes_first():
    with ScriptedServer(scripted.closing_after(3)) as server:
        outcome = run(server.target, requests=30, connections=2, reconnect_every=3)
    assert outcome.accounting.ok == 30
    assert outcome.connections.closed_by_peer >= 9


def test_without_reconnect_on_error_a_slot_stays_empty_and_the_run_says_why_it_ended():
    with ScriptedServer(scripted.reset_after(5)) as server:
        outcome = run(server.target, duration=30.0, connections=3, reconnect_on_error=False)
        assert server.connections == 3
    assert outcome.accounting.ok == 15
    assert outcome.duration_s < 20
    assert "--no-reconnect-on-error" in outcome.verdict.reasons[0]


def test_stages_without_a_rate_change_the_number_of_connections():
    told = Told()
    with ScriptedServer(scripted.correct) as server:
        outcome = run(
            server.target,
            sinks=[told],
            duration=2.2,
            connections=1,
            interval=0.05,
            think=(0.005, 0.005),
            stages=(Stage(1.2, 8), Stage(0.2, 8), Stage(0.4, 2)),
        )
    measuring = [i.open for i in told.intervals if i.phase == "measuring"]
    assert measuring[0] < 4
    assert max(measuring) == 8 == outcome.connections.peak
    assert (outcome.connections.opened, outcome.connections.reconnects) == (8, 0)  # each of them is its slot's first
    assert measuring[-1] == 2
    assert outcome.accounting.failed == 0
    assert outcome.accounting.ok == outcome.accounting.sent


def test_think_time_passes_between_a_reply_and_the_next_request():
    with ScriptedServer(scripted.correct) as server:
        outcome = run(server.target, duration=0.5, connections=2, think=(0.05, 0.05))
    assert 2 <= outcome.accounting.ok <= 2 * 11
    with ScriptedServer(scripted.correct) as server:
        outcome = run(server.target, requests=40, connections=2, pipeline=4, think=(0.0, 0.004))
    assert outcome.accounting.ok == 40


def impatient(patience):
    """Closes who is silent while so many that came later have spoken: a header timeout, and no clock."""
    spoken = set()

    def behave(peer):
        while not has_come(peer.sock, 0.02):
            overtaken = sum(number > peer.number for number in [*spoken]) >= patience
            if overtaken and not has_come(peer.sock, 0):
                return
        while True:
            request = peer.request()
            spoken.add(peer.number)
            peer.reply(peer.right(request))

    return behave


def has_come(sock, seconds):
    return bool(select.select([sock], [], [], seconds)[0])


@pytest.mark.parametrize("rate", [None, 200.0])
def test_connections_that_take_long_to_open_speak_as_they_open(monkeypatch, rate):
    monkeypatch.setattr("multiconn.loadtest.engine.runner.SPEAK_FROM", 0.1)
    with ScriptedServer(impatient(3)) as server:
        outcome = run(server.target, requests=30, connections=15, connect_rate=30.0, rate=rate)
    assert outcome.warmup.sent == 14  # with the last one the load begins
    assert occurred(outcome) == {}
    assert outcome.connections.opened == 15
    assert outcome.accounting.scheduled == 30


def test_connections_that_open_at_once_say_nothing_beforehand():
    with ScriptedServer(scripted.correct) as server:
        run(server.target, requests=10, connections=5, connect_rate=1000.0)
        assert server.requests == 10


# --- replies known by their bytes ------------------------------------------------------------
