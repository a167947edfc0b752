"""The load tester against servers that do right and wrong: every request is accounted for, by name.

`run` checks what every run promises: the books balance (or `run` would have raised), errors by name
cover every failed request, and nothing is measured that was not sent.
"""

import socket
import threading
import time

import pytest

from eventloop import Address
from libclient.connect import resolve
from multiconn.commands.load_exit_code import exit_code
from multiconn.loadtest.config import Config
from multiconn.loadtest.engine.runner import GIVE_UP_AFTER, Runner
from multiconn.loadtest.measure.errors import WRONG
from multiconn.loadtest.measure.histogram import Histogram
from multiconn.loadtest.measure.intervals import MEASURED
from tests.multiconn.loadtest.runs import FAST, Told, occurred, run
from tests.support import scripted
from tests.support.scripted import ScriptedServer
from tests.support.wire import KEEP, message

# --- servers that do right -------------------------------------------------------------


@pytest.mark.parametrize(("n", "c", "p"), [(100, 10, 1), (100, 3, 1), (7, 10, 1), (1, 4, 8), (101, 4, 16), (33, 2, 5)])
@pytest.mark.parametrize("behaviour", [scripted.correct, scripted.one_shot], ids=["keep-alive", "one-shot"])
def test_exactly_n_requests_are_made_and_answered(behaviour, n, c, p):
    with ScriptedServer(behaviour) as server:
        outcome = run(server.target, requests=n, connections=c, pipeline=p)
        assert server.requests == n
    assert outcome.accounting == (n, n, n, 0, 0, 0)
    assert outcome.connections.peak == c
    assert occurred(outcome) == {}
    assert exit_code(outcome) == 0


@pytest.mark.parametrize("action", ["search", "echo", "confirm", "mine"])
@pytest.mark.parametrize("value", [None, "\U0001f436", "Error: not"])
def test_each_action_is_verified(action, value):
    with ScriptedServer(scripted.correct) as server:
        outcome = run(server.target, requests=50, connections=3, pipeline=4, action=action, value=value)
    if action == "mine" and value == "Error: not":
        assert occurred(outcome) == {"server_error": 50}
    else:
        assert outcome.accounting.ok == 50


def test_a_one_shot_server_is_reconnected_to_and_every_request_answered():
    with ScriptedServer(scripted.one_shot) as server:
        outcome = run(server.target, requests=40, connections=4, pipeline=8)
    assert outcome.accounting.ok == 40
    assert outcome.connections.peak == 4
    opened = outcome.connections.opened
    assert 40 <= opened < 44  # some may have been on their way when nothing was left to send
    assert outcome.connections.reconnects == opened - 4
    assert outcome.connections.connect.count == opened


def test_a_server_that_says_close_is_reconnected_to():
    with ScriptedServer(scripted.closing_after(5)) as server:
        outcome = run(server.target, requests=50, connections=2)
    assert outcome.accounting.ok == 50
    assert 10 <= outcome.connections.opened <= 11  # one may have been on its way when nothing was left to send


def test_a_duration_ends_the_window_and_the_drain_is_no_part_of_it():
    with ScriptedServer(scripted.correct) as server:
        outcome = run(server.target, duration=0.5, connections=4, pipeline=4)
        assert server.requests == outcome.accounting.sent
    assert outcome.accounting.in_flight_at_end == 0
    assert outcome.duration_s >= 0.5
    assert 0 < outcome.window_ok <= outcome.accounting.ok
    with ScriptedServer(scripted.silent_after(1)) as server:
        began = time.monotonic()
        outcome = run(server.target, duration=0.5, drain=0.5, connections=1)
        assert outcome.duration_s <= time.monotonic() - began - 0.5


def test_the_warm_up_counts_for_nothing():
    with ScriptedServer(scripted.correct) as server:
        outcome = run(server.target, requests=20, warmup=0.5, connections=2)
        assert 20 + outcome.warmup.ok <= server.requests <= 20 + outcome.warmup.sent
    assert outcome.accounting.sent == outcome.accounting.ok == 20
    assert outcome.warmup.ok > 0
    assert outcome.bytes_sent < outcome.warmup.ok * 1000 + 20 * 1000


def test_a_unix_socket_is_loaded_too(tmp_path):
    path = str(tmp_path / "s")
    with ScriptedServer(scripted.correct, path=path) as server:
        assert run(server.target, requests=10, connections=2).accounting.ok == 10


def test_intervals_are_told_as_they_end():
    told = Told()
    with ScriptedServer(scripted.correct) as server:
        outcome = run(
            server.target,
            sinks=[told],
            duration=0.6,
            interval=0.03,
            connections=2,
            warmup=0.1,
        )
    measuring = [interval for interval in told.intervals if interval.phase == "measuring"]
    assert len(measuring) >= 3
    assert {interval.phase for interval in told.intervals} >= {"warm-up", "measuring"}
    assert sum(interval.ok for interval in measuring) == outcome.window_ok
    whole = Histogram()
    for interval in told.intervals:
        if interval.phase in MEASURED:
            whole.merge(interval.response)
    assert whole.counts == outcome.measured.response.counts
    assert sum(interval.sent for interval in told.intervals) == outcome.measured.sent + outcome.warmup.sent


# --- servers that do wrong ---------------------------------------------------------------


def test_a_wrong_answer_is_a_mismatch_and_exit_code_4():
    with ScriptedServer(scripted.wrong_once_in(5)) as server:
        outcome = run(server.target, requests=50, connections=1, pipeline=4)
    assert occurred(outcome) == {"verify_mismatch": 10}
    assert outcome.accounting.ok == 40
    assert outcome.measured.replies == 50
    assert exit_code(outcome) == 4


def test_a_wrong_answer_in_the_warm_up_is_not_counted_and_not_forgiven():
    with ScriptedServer(lambda peer: scripted.wrong_once_in(10**9 if peer.server.requests > 5 else 2)(peer)) as server:
        outcome = run(server.target, requests=1, connections=1, warmup=0.1)
    assert outcome.warmup.errors.counts["verify_mismatch"] > 0
    assert exit_code(outcome) == 4


def test_answers_in_the_wrong_order_are_mismatches():
    def swapped(peer):
        peer.reply(peer.right(peer.request()))
        while True:
            first, second = peer.request(), peer.request()
            peer.reply(peer.right(second))
            peer.reply(peer.right(first))

    with ScriptedServer(swapped) as server:
        outcome = run(server.target, requests=41, connections=1, pipeline=8)
    assert occurred(outcome) == {"verify_mismatch": 40}


GOOD = message(b'{"result": "hi"}', **KEEP)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "eof_before_reply"),
        (GOOD[:1], "eof_mid_message"),
        (GOOD[:20], "eof_mid_message"),
        (GOOD[:-1], "eof_mid_message"),
        (b"\0\0", "bad_prefix"),
        (b"\0\5nojsn", "bad_header"),
        (b"\0\2{}", "bad_header"),
        (message(b"{nonsense", **KEEP), "bad_content"),
        (message(b"[]", **KEEP), "bad_content"),
        (message(b"{}", **KEEP), "bad_content"),
        (message(b"raw", "binary/x", **KEEP), "bad_content"),
        (message(b'{"result": "hello", "error": {"code": "c", "message": "m"}}', **KEEP), "server_error"),
        (message(b'{"result": "hi"}', **KEEP), "verify_mismatch"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(bytes(value[:1] + value[-12:])),
)
@pytest.mark.parametrize("good", [0, 3])
def test_a_bad_reply_has_its_name(data, name, good):
    with ScriptedServer(scripted.raw_after(good, data)) as server:
        outcome = run(server.target, requests=good + 1, connections=1, action="echo")
    assert occurred(outcome) == {name: 1}
    assert outcome.accounting.ok == good
    assert exit_code(outcome) == (4 if name in WRONG or (name == "server_error" and not good) else 0 if good else 3)


def test_a_reply_that_nobody_asked_for_is_a_mismatch():
    def generous(peer):
        answer = peer.right(peer.request())
        peer.send(2 * scripted.written(answer))
        while True:
            peer.request()

    with ScriptedServer(generous) as server:
        outcome = run(server.target, requests=2, connections=1)
    assert set(occurred(outcome)) == {"verify_mismatch"}
    assert outcome.accounting.ok >= 1
    assert exit_code(outcome) == 4


@pytest.mark.parametrize("good", [0, 5])
def test_a_reset_costs_what_was_in_flight(good):
    with ScriptedServer(scripted.reset_after(good)) as server:
        outcome = run(server.target, requests=12, connections=2, pipeline=1)
    failed = occurred(outcome)
    assert set(failed) <= {"reset", "broken_pipe"}
    assert outcome.accounting.failed == sum(failed.values()) >= 1
    assert outcome.accounting.sent == 12


def test_a_server_that_never_answers_is_a_read_timeout():
    with ScriptedServer(scripted.silent_after(2)) as server:
        outcome = run(server.target, requests=6, connections=1, pipeline=4, timeout=0.2)
    assert outcome.accounting == (6, 6, 2, 4, 0, 0)
    assert occurred(outcome) == {"read_timeout": 4}
    assert outcome.measured.failures.min >= 0.15e9


def test_an_overdue_reply_at_the_end_of_a_duration_is_in_flight():
    with ScriptedServer(scripted.silent_after(1)) as server:
        outcome = run(server.target, duration=1.0, connections=2, pipeline=3, drain=0.1)
    assert outcome.accounting == (8, 8, 2, 0, 0, 6)
    assert occurred(outcome) == {}


def test_error_replies_are_the_servers_errors():
    with ScriptedServer(scripted.complaining) as server:
        outcome = run(server.target, requests=20, connections=2, pipeline=2)
    assert occurred(outcome) == {"server_error": 20}
    assert "handler-failed" in outcome.measured.errors.kept["server_error"][0].detail
    assert exit_code(outcome) == 4, "nothing succeeded"


def test_a_refused_connection_is_exit_code_3():
    outcome = run(f"127.0.0.1:{scripted.unused_port()}", requests=10, connections=3)
    assert occurred(outcome) == {"connect_refused": 3}
    assert outcome.accounting == (0, 0, 0, 0, 0, 0)
    assert exit_code(outcome) == 3
    assert not outcome.verdict.valid


def test_a_socket_path_that_is_not_there_is_unreachable(tmp_path):
    outcome = run(f"unix:{tmp_path}/none", requests=1, connections=1)
    assert occurred(outcome) == {"connect_unreachable": 1}


def test_a_backlog_that_is_full_is_a_connect_timeout():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with socket.create_connection(listener.getsockname()):  # the one that fits
            outcome = run(f"127.0.0.1:{listener.getsockname()[1]}", requests=1, connections=3, connect_timeout=0.2)
    assert occurred(outcome).get("connect_timeout", 0) >= 2
    if outcome.listen_overflows is not None:  # Linux
        assert outcome.listen_overflows >= 2
        assert any("accept queue was full (ListenOverflows rose by" in reason for reason in outcome.verdict.reasons)


def test_a_server_that_dies_in_the_middle_leaves_no_request_unaccounted_for():
    def mortal(peer):
        while True:
            peer.reply(peer.right(peer.request()))
            if peer.server.requests > 50:
                peer.server.stop()

    with ScriptedServer(mortal) as server:
        outcome = run(server.target, duration=1.0, connections=8, pipeline=4)
    assert outcome.accounting.ok >= 30
    assert outcome.errors["connect_refused"] > 0
    assert outcome.duration_s >= 1.0


def test_without_a_duration_a_server_that_has_gone_ends_the_run(monkeypatch):
    monkeypatch.setattr("multiconn.loadtest.engine.runner.GIVE_UP_AFTER", 0.3)
    assert GIVE_UP_AFTER >= 1

    def mortal(peer):
        peer.reply(peer.right(peer.request()))
        peer.server.stop()

    with ScriptedServer(mortal) as server:
        outcome = run(server.target, requests=1000, connections=2, interval=0.1)
    assert outcome.accounting.sent < 1000
    assert "given up" in outcome.verdict.reasons[0]


def test_a_server_that_comes_back_is_found_again():
    with ScriptedServer(scripted.reset_after(3)) as server:
        outcome = run(server.target, requests=40, connections=2)
    assert outcome.connections.reconnects >= 4
    assert outcome.accounting.ok >= 12


def test_an_interrupt_ends_the_window_and_keeps_what_there_is():
    config = Config(**{**FAST, "duration": 30.0, "connections": 4})
    with ScriptedServer(scripted.correct) as server:
        address = Address("tcp", "127.0.0.1", server.port)
        runner = Runner(config, address, resolve(address))
        threading.Timer(0.2, runner.interrupt, (2,)).start()
        outcome = runner.run()
    assert outcome.interrupted == 2
    assert 0 < outcome.accounting.ok == outcome.accounting.sent
    assert outcome.duration_s < 10
    assert exit_code(outcome) == 130


def test_the_rate_of_so_many_requests_has_none_of_the_warm_up_s_replies():
    with ScriptedServer(scripted.correct) as server:
        outcome = run(server.target, connections=20, requests=5, warmup=0.5)
        opened = run(server.target, connections=20, requests=5, warmup=0.5, rate=400.0)
    for made in (outcome, opened):
        assert made.accounting.sent == 5
        assert (made.window_ok, made.window_replies) == (5, 5)
        assert made.warmup.ok > 5
