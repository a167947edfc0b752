"""Is a delivery that is lost, comes twice or comes too early noticed, and is nothing else?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmarks.fanout.drive import Row, drive
from benchmarks.fanout.servers import OURS, PEERS, Peer
from benchmarks.visit import Settings


def long_enough(settings: Settings) -> Settings:
    """For a few times twenty messages, also on a busy machine."""
    return replace(settings, seconds=0.5)


@pytest.mark.parametrize("name", [OURS, "bare"])
@pytest.mark.parametrize("row", [Row(5, 1), Row(40, 16)], ids=lambda row: row.name)
def test_a_visit_has_all_its_figures(name: str, row: Row, settings: Settings) -> None:
    with PEERS[name].start(50, settings.server_core) as server:
        visit, _ = drive(server, PEERS[name], row, 3, settings)
    assert (visit.load, visit.peer, visit.round, visit.broken) == (row.name, name, 3, "")
    assert visit.requests > 0
    assert visit.rate > 0
    assert visit.cpu_us > 0
    assert 0 < visit.p50_us <= visit.p99_us <= visit.max_us


@pytest.mark.parametrize(
    ("fault", "noticed"),
    [
        ("lose", "lost"),
        ("repeat", "twice"),
        ("swap", "1 lost, 1 twice"),
        ("invent", "unknown"),
        ("shorten", "the server sent: "),
        ("cut", "1 closed"),
    ],
)
def test_a_fault_is_noticed(fault: str, noticed: str, faulty: Callable[[str], Peer], settings: Settings) -> None:
    peer = faulty(fault)
    row = Row(3, 1)
    if fault == "swap":
        row = Row(3, 2)
    with peer.start(3, settings.server_core) as server:
        visit, _ = drive(server, peer, row, 0, long_enough(settings))
    if fault == "swap":
        lost, twice = (part.split() for part in visit.broken.split(", "))
        assert (lost[1], twice[1]) == ("lost", "twice")
        assert lost[0] == twice[0]
    else:
        assert noticed in visit.broken


def test_those_that_do_not_read_are_counted_where_the_server_cuts_them(settings: Settings) -> None:
    peer = PEERS["bare"]
    with peer.start(10, settings.server_core) as server:
        visit, cut = drive(server, peer, Row(5, 4, stalled=2), 0, settings)
    assert (visit.load, visit.broken, cut) == ("5x4+2", "", 2)


def test_our_server_goes_on_delivering_beside_those_that_do_not_read(settings: Settings) -> None:
    peer = PEERS[OURS]
    with peer.start(10, settings.server_core) as server:
        visit, cut = drive(server, peer, Row(5, 4, stalled=2), 0, settings)
    assert (visit.broken, cut) == ("", 0)


def test_a_server_that_has_ended_is_no_figure(settings: Settings) -> None:
    peer = PEERS["bare"]
    with peer.start(10, settings.server_core) as server:
        server.end()
        visit, _ = drive(server, peer, Row(1, 1), 0, settings)
    assert visit.broken.startswith("the server ended")
