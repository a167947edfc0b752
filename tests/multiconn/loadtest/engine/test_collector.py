"""Every reply is verified, however it comes, and counted once."""

from collections import deque

import pytest

from multiconn.commands.load_exit_code import exit_code
from multiconn.loadtest.config import FULL, Config, Size
from multiconn.loadtest.engine.collector import Collector
from multiconn.loadtest.engine.ledgers import Ledgers
from multiconn.loadtest.engine.slot import Slot
from multiconn.loadtest.engine.workload import Prepared
from tests.multiconn.loadtest.runs import occurred, run
from tests.support import scripted
from tests.support.scripted import ScriptedServer


def in_pieces(size):
    def behave(peer):
        while True:
            request = peer.request()
            frame = scripted.written(peer.right(request))
            for at in range(0, len(frame), size):
                peer.send(frame[at : at + size])

    return behave


@pytest.mark.parametrize("size", [1, 7, 64])
def test_replies_that_come_in_pieces_are_counted_all_the_same(size):
    with ScriptedServer(in_pieces(size)) as server:
        outcome = run(server.target, requests=60, connections=2, pipeline=8)
    assert outcome.accounting.ok == 60


def test_a_right_reply_of_other_bytes_than_before_is_right_too():
    def varying(peer):
        while True:
            answer = peer.right(peer.request())
            peer.reply({**answer, "took": peer.served})

    with ScriptedServer(varying) as server:
        outcome = run(server.target, requests=60, connections=2, pipeline=4)
    assert outcome.accounting.ok == 60


@pytest.mark.parametrize("at", [2, 9, 17])
def test_a_wrong_reply_is_found_among_known_ones(at):
    def wrong_at(peer):
        while True:
            answer = peer.right(peer.request())
            peer.reply(answer if peer.served != at else {"result": "other"})

    with ScriptedServer(wrong_at) as server:
        outcome = run(server.target, requests=40, connections=1, pipeline=8)
    assert occurred(outcome) == {"verify_mismatch": 1}
    assert exit_code(outcome) == 4


def test_a_mix_is_counted_by_action():
    with ScriptedServer(scripted.correct) as server:
        outcome = run(
            server.target,
            requests=300,
            connections=3,
            pipeline=4,
            mix=(("search", 2.0), ("echo", 1.0)),
            sizes=(Size(10, 2000),),
        )
    assert outcome.accounting.ok == 300
    counts = outcome.measured.by_action
    assert set(counts) == {"search", "echo"}
    assert sum(sent for sent, _, _ in counts.values()) == 300
    assert counts["search"][0] == counts["search"][1] > counts["echo"][0] > 50


def test_confirm_counts_its_own_among_others():
    def counting(peer):
        confirmed = 0
        while True:
            request = peer.request()
            answer = peer.right(request)
            if request["action"] == "confirm":
                confirmed += 1
                answer["count"] = confirmed
            peer.reply(answer)

    with ScriptedServer(counting) as server:
        outcome = run(server.target, requests=80, connections=2, pipeline=4, mix=(("search", 1.0), ("confirm", 1.0)))
    assert outcome.accounting.ok == 80


@pytest.mark.parametrize(("verify", "failed"), [("full", 20), ("frame", 0), ("off", 0)])
def test_less_verification_lets_wrong_answers_pass(verify, failed):
    with ScriptedServer(scripted.wrong_once_in(1)) as server:
        assert run(server.target, requests=20, connections=1, verify=verify).accounting.failed == failed


@pytest.mark.parametrize(("verify", "failed"), [("frame", 20), ("off", 0)])
def test_error_replies_fail_unless_nothing_is_looked_at(verify, failed):
    with ScriptedServer(scripted.complaining) as server:
        assert run(server.target, requests=20, connections=1, verify=verify).accounting.failed == failed


class Asked:
    """A connection on which requests are in flight."""

    def __init__(self, slot, *contexts):
        self.tag = slot
        self.awaiting = deque((None, context) for context in contexts)

    def replies_taken(self, count):
        for _ in range(count):
            self.awaiting.popleft()


def known(action="echo", frame=b"[right]"):
    """A request whose right reply's bytes are known."""
    prepared = Prepared(action, "x", "x")
    prepared.learn(frame)
    return prepared


def collecting(actions=("echo",), rate=None):
    """A collector at 1,000 ns of which everything is measured, its ledgers, and what it says was answered."""
    ledgers = Ledgers(Config(rate=rate), actions, lambda: 1_000, 0)
    ledgers.measure_from(0)
    answered = []
    return Collector(ledgers, FULL, lambda *told: answered.append(told)), ledgers, answered


def test_known_bytes_are_counted_without_being_decoded_and_a_rest_is_left():
    collector, ledgers, answered = collecting()
    slot, request = Slot(0), known()
    slot.sending(3)
    message = Asked(slot, (request, 400, 400), (request, 400, 400), (request, 700, 700))
    assert collector.take(message, b"[right][right][ri") == 14
    assert (ledgers.measured.ok, slot.out, slot.replies, len(message.awaiting)) == (2, 1, 2, 1)
    assert answered == [(slot, 2, 1_000)]
    assert collector.take(message, b"[right]") == 7
    assert ledgers.measured.take_recent().response.counts == {600: 2, 300: 1}


def test_in_an_open_run_each_has_its_two_latencies_and_its_phase():
    collector, ledgers, _ = collecting(rate=10.0)
    ledgers.measure_from(500)
    message = Asked(Slot(0), (known(), 400, 300), (known(), 900, 600))
    assert collector.take(message, b"[right][right]") == 14
    assert (ledgers.warmup.ok, ledgers.measured.ok) == (1, 1)
    recent = ledgers.measured.take_recent()
    assert (recent.response.max, recent.service.max) == (400, 100)


def test_what_was_taken_is_counted_by_action_where_there_are_several():
    collector, ledgers, _ = collecting(actions=("echo", "search"))
    collector.take(Asked(Slot(0), (known(), 1, 1), (known("search", b"(s)"), 1, 1)), b"[right](s)")
    assert ledgers.measured.by_action == {"echo": [0, 1, 0], "search": [0, 1, 0]}


def test_bytes_that_are_not_the_expected_reply_s_are_not_taken():
    collector, ledgers, answered = collecting()
    assert collector.take(Asked(Slot(0), (known(), 1, 1)), b"[wrong]") == 0
    assert (ledgers.measured.ok, answered) == (0, [])
