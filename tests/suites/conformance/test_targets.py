"""Is a server looked after once a case is over, and what can't be seen never guessed?"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator

import pytest

from suites.conformance import targets
from suites.conformance.case import ALONE, TOGETHER, TOPICS, Case, Failed, Informational, Options, Unimplemented
from suites.conformance.targets import CannotReach, Process, ServerRun, ServerTarget, dial
from suites.conformance.wire import RING, search
from tests.support.scripted import Caller, ScriptedServer
from tests.support.wire import error_reply

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux'")


def answering(peer: Caller) -> None:
    while True:
        peer.reply(peer.right(peer.request()), peer.header.get("connection"))
        if "connection" not in peer.header:
            return


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(answering) as made:
        yield made


def a_case(phase: str = TOGETHER) -> Case:
    return Case("T1", "t", "m", "s", "e", lambda run: None, phase=phase)


def run_against(behave: ScriptedServer, **options: object) -> ServerRun:
    target = ServerTarget("127.0.0.1", behave.port, Options(**options))  # type: ignore[arg-type]
    return target.begin(a_case())


def test_where_nobody_accepts_there_is_no_target() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(CannotReach, match=r"nothing accepts at 127\.0\.0\.1"):
            ServerTarget("127.0.0.1", bound.getsockname()[1], Options())


def test_a_connection_to_oneself_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that nobody listens on may be the one that we call from: TCP then connects both ends of one socket."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        own.connect(own.getsockname())
        monkeypatch.setattr(socket, "create_connection", lambda *arguments: own)
        with pytest.raises(ConnectionRefusedError, match="connected to itself"):
            dial("127.0.0.1", 1)
        assert own.fileno() == -1


def test_few_connections_are_few_cases_side_by_side(server: ScriptedServer) -> None:
    jobs = [ServerTarget("127.0.0.1", server.port, Options(max_connections=most)).jobs for most in (1, 100, 10_000)]
    assert jobs == [1, 5, targets.JOBS]


def test_a_whole_server_serves_a_fresh_connection_after_a_case(server: ScriptedServer) -> None:
    run = run_against(server)
    run.target.after(run)
    assert server.requests == 1


@pytest.mark.parametrize("known", ["topics", "subscribe", None])
def test_a_part_is_there_if_one_of_its_actions_is_known_and_is_asked_for_once(known: str | None) -> None:
    def behave(peer: Caller) -> None:
        code = "bad-request" if peer.request()["action"] == known else "unknown-action"
        peer.send(error_reply(code))

    with ScriptedServer(behave) as server:
        run = run_against(server)
        case = Case("T1", "t", "m", "s", "e", lambda run: None, part=TOPICS)
        for _ in range(2):
            if known is None:
                with pytest.raises(Unimplemented, match="no topics: it answers unknown-action to subscribe, "):
                    run.target.begin(case).check_part()
            else:
                run.target.begin(case).check_part()
        asked = server.requests
        run.check_part()
        assert server.requests == asked <= 6, "its case is about no part"


def test_a_server_that_serves_nobody_any_more_is_told() -> None:
    with ScriptedServer(lambda peer: None) as dead:
        run = run_against(dead)
        with pytest.raises(Failed) as failed:
            run.target.after(run)
    assert failed.value.expected.startswith("a fresh connection to be served after the case")


def test_a_kept_connection_was_granted(server: ScriptedServer) -> None:
    run = run_against(server)
    peer = run.kept()
    peer.send(search("ring", connection="keep-alive"))
    peer.result(RING)
    run.close()
    with ScriptedServer(lambda peer: peer.reply(peer.right(peer.request()), None)) as ungranting:
        run = run_against(ungranting)
        with pytest.raises(Failed, match="a reply without it"):
            run.kept()
        run.close()


def test_without_a_pid_what_proc_tells_is_not_judged(server: ScriptedServer) -> None:
    run = run_against(server)
    with pytest.raises(Informational, match="only with --pid"):
        _ = run.process
    run.quiet("after the case")
    run.descriptors_back()


@linux
def test_a_process_that_is_not_there_is_refused() -> None:
    with pytest.raises(CannotReach, match="give the pid of the server"):
        Process(2**22 + 1)


@linux
def test_a_process_s_figures_are_its_own() -> None:
    process = Process(os.getpid())
    before, used = process.descriptors(), process.cpu()
    with open(os.devnull):
        assert process.descriptors() == before + 1
    for _ in range(1000):  # the scheduler counts now and then
        sum(range(200_000))
        if process.cpu() > used:
            break
    assert process.cpu() > used
    assert process._ran() > 0
    assert process.memory() > 1 << 20


@linux
def test_one_that_spins_or_keeps_what_it_needed_is_told(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "QUIET_WATCH", 0.0)
    target = ServerTarget("127.0.0.1", server.port, Options(pid=os.getpid()))
    run = target.begin(a_case(ALONE))
    monkeypatch.setattr(Process, "busy", lambda self: 0.9)
    with pytest.raises(Failed, match="90% of a processor used"):
        run.quiet("now")
    target.base_descriptors = -100
    monkeypatch.setattr(ServerRun, "until", staticmethod(lambda holds, seconds: holds()))
    with pytest.raises(Failed, match="about -100 descriptors"):
        run.descriptors_back()
    with pytest.raises(Failed, match="MiB more"):
        run.memory_back(0, allowed=1 << 20)


def test_a_server_that_reads_on_although_nobody_takes_its_replies_is_told() -> None:
    def greedy(peer: Caller) -> None:
        while peer.sock.recv(1 << 20):
            pass

    with ScriptedServer(greedy) as server:
        run = run_against(server)
        with pytest.raises(Failed, match="MiB were read, with no reply taken"):
            run.stuff(run.connect(), b"x" * 65536, 2 << 20)
        run.close()
