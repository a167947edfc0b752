"""Does every server that can run here deliver, and does what is missing say what to install?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.fanout.drive import Row, drive
from benchmarks.fanout.servers import BASE, OURS, PEERS
from benchmarks.visit import Settings


@pytest.mark.parametrize("name", PEERS)
def test_delivers_every_message_to_every_subscriber_once_and_in_order(name: str, settings: Settings) -> None:
    peer = PEERS[name]
    if missing := peer.missing():
        pytest.skip(missing)
    with peer.start(70, settings.server_core) as server:  # more than are opened at once
        for row in (Row(70, 1), Row(3, 16)):
            visit, cut = drive(server, peer, row, 0, replace(settings, seconds=0.3))
            assert visit.broken == ""
            assert visit.requests > 0  # each was looked at on its way; how many there are is the machine's affair
            assert cut == 0


def test_a_program_that_is_not_installed_says_how_to_install_it() -> None:
    absent = replace(PEERS["nats"], program="nats-server-of-another-world")
    assert absent.missing() == (
        "nats-server-of-another-world is not installed (Debian: apt-get install nats-server-of-another-world)"
    )


def test_a_package_that_is_not_installed_says_so() -> None:
    absent = replace(PEERS["websockets"], needs=("websockets_of_another_world",))
    assert "websockets_of_another_world is not installed" in (absent.missing() or "")


def test_versions_are_told_of_what_is_not_ours() -> None:
    assert PEERS[OURS].version() == ""
    assert PEERS["bare"].version() == ""
    if PEERS[BASE].missing() is None:
        assert PEERS[BASE].version()[0].isdigit()
    if PEERS["websockets"].missing() is None:
        assert PEERS["websockets"].version().startswith("websockets ")


def test_each_server_has_room_for_its_subscribers() -> None:
    assert "--max-connections 12100" in " ".join(PEERS[OURS].command_line(12_000))
    assert "--maxclients 12100" in " ".join(PEERS[BASE].command_line(12_000))
