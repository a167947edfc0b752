"""Does the simulated selector tell what the real one tells?"""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest

from tests.suites.simulation.machines import (
    BOTH,
    READ,
    WRITE,
    connected,
    fill,
    ready,
    reset,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux' sockets are what is simulated")


def test_only_what_was_asked_for_is_told(machine: Any) -> None:
    client, server = connected(machine)
    server.send(b"x")
    machine.until(lambda: ready(machine, client, READ) == READ, "data")
    assert ready(machine, client, WRITE) == WRITE
    assert ready(machine, client) == BOTH


def test_a_reset_connection_is_ready_for_everything_that_was_asked(machine: Any) -> None:
    client, server = connected(machine)
    reset(client)
    machine.until(lambda: ready(machine, server, READ) == READ, "RST")
    assert ready(machine, server, WRITE) == WRITE
    assert ready(machine, server) == BOTH


def test_closed_in_both_directions_is_a_hang_up(machine: Any) -> None:
    client, server = connected(machine)
    client.shutdown(socket.SHUT_WR)
    server.shutdown(socket.SHUT_WR)
    machine.until(lambda: ready(machine, server, READ) == READ, "FIN")
    machine.settle()
    assert ready(machine, server, WRITE) == WRITE
    assert server.recv(1) == b""


def test_a_mask_of_0_can_only_be_modified_to_and_is_woken_by_a_hang_up_for_ever(machine: Any) -> None:
    client, server = connected(machine)
    selector = machine.selector()
    with pytest.raises(ValueError, match="Invalid events"):
        selector.register(server, 0)
    selector.register(server, READ, "data")
    selector.modify(server, 0, "data")
    client.send(b"x")
    machine.settle()
    assert selector.select(0) == []
    reset(client)
    machine.settle()
    for _ in range(3):
        ((key, events),) = selector.select(0)
        assert (key.data, events) == ("data", 0)  # woken, for nothing: the spin that `EventLoop.register` avoids


def test_a_half_closed_connection_wakes_who_reads_and_nobody_else(machine: Any) -> None:
    client, server = connected(machine)
    fill(machine, server)
    client.shutdown(socket.SHUT_WR)
    machine.until(lambda: ready(machine, server, READ) == READ, "FIN")
    machine.until(lambda: ready(machine, server, WRITE) == 0, "no room")


def test_a_descriptor_closed_while_registered_is_silent_and_can_still_be_unregistered(machine: Any) -> None:
    client, server = connected(machine)
    selector = machine.selector()
    selector.register(server, READ)
    client.send(b"x")
    machine.settle()
    server.close()
    assert selector.select(0) == []
    assert len(selector.get_map()) == 1
    selector.unregister(server)
    assert len(selector.get_map()) == 0


def test_registering_is_refused_twice_for_a_number_and_once_for_a_closed_one(machine: Any) -> None:
    client, server = connected(machine)
    selector = machine.selector()
    selector.register(server, READ)
    with pytest.raises(KeyError):
        selector.register(server, WRITE)
    client.close()
    with pytest.raises(ValueError, match="Invalid file"):
        selector.register(client, READ)
    for forgotten in (selector.unregister, lambda sock: selector.modify(sock, READ)):
        with pytest.raises((KeyError, ValueError)):
            forgotten(client)


def test_the_map_knows_sockets_by_object_and_by_number_until_the_selector_is_closed(machine: Any) -> None:
    _, server = connected(machine)
    selector = machine.selector()
    key = selector.register(server, READ, "data")
    assert selector.get_map()[server] == selector.get_map()[server.fileno()] == key
    assert selector.get_map().get(10**6) is None
    assert selector.modify(server, BOTH, "more") == (server, server.fileno(), BOTH, "more")
    selector.close()
    assert selector.get_map() is None
