"""Does the restart's harness see every loss, name whose it is, and find none?"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.restart import namespace, proxy
from benchmarks.restart.books import Lost, account
from benchmarks.restart.clients import KEEP_ALIVE, KINDS, ONE_SHOT, PIPELINED, SHAPES, Traffic
from benchmarks.restart.command import table
from benchmarks.restart.run import SETTINGS, Enough, Outcome, cannot, run
from eventloop import EventLoop, parse_address
from libclient.connect import resolve
from tests.support.scripted import Caller, ScriptedServer
from tests.support.wire import error_reply, granting

# --- the books --------------------------------------------------------------------------------------

MS = 1_000_000
ALL = range(100)


def lost(request: int = 1, port: int | None = 5000, made: int = 1000 * MS, ended: int = 1010 * MS) -> Lost:
    return Lost(request, port, made, ended, "reset")


def test_a_connection_that_accept_never_returned_is_the_kernel_s_loss() -> None:
    done = account(10, [lost()], 0, [(5001, 1005 * MS)], [], ALL)
    assert (done.kept_lost, done.kernel_lost) == ([], [lost()])
    assert done.holds


def test_one_that_was_accepted_could_have_been_kept() -> None:
    done = account(10, [lost()], 0, [(5000, 1005 * MS)], [], ALL)
    assert (done.kept_lost, done.kernel_lost) == ([lost()], [])
    assert not done.holds


def test_whoever_had_the_port_before_or_after_it_says_nothing_of_it() -> None:
    done = account(10, [lost()], 0, [(5000, 999 * MS), (5000, 1011 * MS)], [], ALL)
    assert done.kernel_lost == [lost()]


def test_a_connection_that_was_never_open_is_the_kernel_s() -> None:
    assert account(10, [lost(port=None)], 0, [], [], ALL).kernel_lost == [lost(port=None)]


def test_a_request_that_was_carried_out_is_never_the_kernel_s_loss() -> None:
    assert account(10, [lost()], 0, [], [1], ALL).kept_lost == [lost()]


def test_what_was_carried_out_twice_is_counted_beside_what_was_answered_twice() -> None:
    done = account(10, [], 2, [], [1, 1, 2, 1000, 1000], ALL)
    assert done.twice == 3
    assert not done.holds


def test_behind_a_proxy_the_way_is_followed() -> None:
    accepted = [(7000, 1005 * MS)]
    assert account(1, [lost()], 0, accepted, [], ALL, {5000: [(7000, 1001 * MS)]}).kept_lost == [lost()]
    assert account(1, [lost()], 0, accepted, [], ALL, {5000: [(7001, 1001 * MS)]}).kernel_lost == [lost()]
    # The port was another client's before and after: neither way is this one's.
    ways = {5000: [(7000, 100 * MS), (7001, 1001 * MS), (7000, 2000 * MS)]}
    assert account(1, [lost()], 0, accepted, [], ALL, ways).kernel_lost == [lost()]
    assert account(1, [lost()], 0, accepted, [], ALL, {}).kept_lost == [lost()], "the proxy says nothing: ours"


# --- the clients, with a server by script ----------------------------------------------------------------


def traffic(kind: str, port: int, monkeypatch: pytest.MonkeyPatch, until: Callable[[Traffic], bool]) -> Traffic:
    """One connection of that kind, until then, and to its end."""
    monkeypatch.setitem(SHAPES, kind, (1, SHAPES[kind][1]))
    loop = EventLoop()
    try:
        made = Traffic(loop, resolve(parse_address(f"tcp://127.0.0.1:{port}")), kind)
        made.start()
        while not made.settled:
            if until(made):
                made.stop()
            assert loop.run_once(20), "nothing happens any more"
        return made
    finally:
        loop.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_is_read_and_not_answered_is_lost(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(peer: Caller) -> None:
        number = peer.request()["value"]
        if peer.number % 2:  # every second connection is answered
            peer.reply({"result": number}, connection=None)

    with ScriptedServer(serve) as server:
        made = traffic(kind, server.port, monkeypatch, lambda made: bool(made.lost and made.answered))
    assert made.lost
    assert all(one.port is not None and one.made < one.ended for one in made.lost)
    assert made.sent_again == 0


def test_what_stands_behind_a_close_is_sent_again_and_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def serve(peer: Caller) -> None:
        for connection in ("keep-alive", "close"):  # behind the second stands all that came with it
            seen.append(peer.request()["value"])
            peer.reply({"result": seen[-1]}, connection)
        peer.sock.shutdown(socket.SHUT_WR)
        while peer.sock.recv(65536):
            pass

    with ScriptedServer(serve) as server:
        made = traffic(PIPELINED, server.port, monkeypatch, lambda made: made.answered > 5)
    assert made.lost == []
    assert made.sent_again
    assert len(seen) == len(set(seen)) == made.answered


def test_an_error_in_place_of_the_reply_is_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(peer: Caller) -> None:
        peer.request()
        peer.send(error_reply("shutting-down"))

    with ScriptedServer(serve) as server:
        made = traffic(ONE_SHOT, server.port, monkeypatch, lambda made: bool(made.lost))
    assert "shutting-down" in made.lost[0].why
    assert made.answered == 0


def test_a_reply_that_comes_twice_is_no_reply_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(peer: Caller) -> None:
        peer.send(2 * granting(peer.request()["value"]))
        while True:
            peer.request()

    with ScriptedServer(serve) as server:
        made = traffic(KEEP_ALIVE, server.port, monkeypatch, lambda made: bool(made.ends))
    assert made.ends["mismatch"] or made.lost


# --- the whole ----------------------------------------------------------------------------------------


def test_the_table_names_each_kind_and_shows_each_loss() -> None:
    loop = EventLoop()
    kinds = {kind: Traffic(loop, [], kind) for kind in KINDS}
    loop.close()
    accounts = {kind: account(1000, [], 0, [], [], made.numbers) for kind, made in kinds.items()}
    accounts[ONE_SHOT].kept_lost.append(lost())
    lines = table([Outcome("reuse-port", 1.0, 7, accounts, kinds, ["a server ended with 1"])])
    assert [line.split()[1] for line in lines[1:4]] == list(KINDS)
    assert lines[1].split() == ["reuse-port", "keep-alive", "7", "1,000", "0", "0", "0", "0"]
    assert "a server ended with 1" in lines[4]
    assert "one-shot: lost 0.010 s after connecting: reset" in lines[5]


def test_an_unknown_setting_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["restart", "--settings", "nginx"])
    assert "there is no 'nginx'; there are reuse-port, " in capsys.readouterr().err


def test_a_setting_that_cannot_be_tried_is_skipped_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(proxy.shutil, "which", lambda *args, **more: None)
    monkeypatch.setattr(namespace.os, "geteuid", lambda: 1000)
    assert main(["restart", "--settings", "haproxy,reuse-port-migrated"]) == 1, "nothing was tried: nothing holds"
    told = capsys.readouterr().err
    assert "skipped: haproxy: haproxy is not installed" in told
    assert "skipped: reuse-port-migrated: " in told


def test_a_network_of_its_own_migrates_and_nobody_else_s_does() -> None:
    if why := namespace.cannot_migrate():
        pytest.skip(why)
    before = namespace.MIGRATE.read_text()
    inside = Path("/proc/self/ns/net").stat().st_ino
    try:
        with namespace.migrating():
            assert namespace.MIGRATE.read_text().strip() == "1"
            with socket.create_server(("127.0.0.1", 0)) as listening:
                socket.create_connection(listening.getsockname(), timeout=20).close()
    except PermissionError as error:
        pytest.skip(str(error))
    assert namespace.MIGRATE.read_text() == before
    assert Path("/proc/self/ns/net").stat().st_ino == inside


@pytest.mark.parametrize("setting", SETTINGS)
def test_nothing_that_can_be_kept_is_lost_when_one_of_two_servers_is_restarted(setting: str) -> None:
    """A few restarts of each; `python -m benchmarks restart` makes as many as one likes."""
    if why := cannot(setting):
        pytest.skip(why)
    try:
        outcome = run(setting, KINDS, Enough(requests=100, restarts=2, seconds=40), ["--drain-grace", "300ms"])
    except PermissionError as error:  # root in a container may not make a network
        pytest.skip(f"{setting}: {error}")
    assert outcome.holds, "\n".join(table([outcome]))
    assert outcome.restarts >= 2
    assert all(account.requests >= 100 for account in outcome.accounts.values())


def test_a_drain_that_gives_nobody_the_time_to_ask_once_more_loses_and_the_harness_sees_it() -> None:
    outcome = run("reuse-port", [KEEP_ALIVE], Enough(requests=100, restarts=3, seconds=40), ["--drain-grace", "0"])
    assert outcome.accounts[KEEP_ALIVE].kept_lost
    assert not outcome.holds
