"""Do descriptors, listeners and the accept queue behave in the simulation as they do in life?"""

from __future__ import annotations

import errno
import socket
import sys
from typing import Any

import pytest

from tests.suites.simulation.machines import (
    BOTH,
    READ,
    WRITE,
    connected,
    listening,
    no_descriptors,
    number_of,
    ready,
    received,
    reset,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux' sockets are what is simulated")


def test_a_number_that_is_free_again_is_given_out_again(machine: Any) -> None:
    one, other = connected(machine)
    number = one.fileno()
    assert number < other.fileno() or other.fileno() < number
    one.close()
    reused = machine.socket()
    assert reused.fileno() == number


def test_without_a_free_number_accept_says_EMFILE_and_the_connection_waits(machine: Any) -> None:
    listener = listening(machine)
    client = machine.socket()
    client.connect_ex(listener.getsockname())
    machine.until(lambda: ready(machine, listener, READ) == READ, "a connection")
    with no_descriptors(machine):
        assert number_of(listener.accept) == errno.EMFILE
    assert number_of(lambda: machine.adopt(listener.accept()[0]).recv(1)) == errno.EAGAIN


def test_accept_without_anybody_waiting_is_EAGAIN(machine: Any) -> None:
    listener = listening(machine)
    assert number_of(listener.accept) == errno.EAGAIN
    assert ready(machine, listener, READ) == 0


def test_a_listener_is_readable_while_somebody_waits(machine: Any) -> None:
    listener = listening(machine)
    client = machine.socket()
    client.connect_ex(listener.getsockname())
    machine.until(lambda: ready(machine, listener, READ) == READ, "a connection")
    machine.adopt(listener.accept()[0])
    assert ready(machine, listener, READ) == 0


def test_both_ends_know_each_others_names(machine: Any) -> None:
    listener = listening(machine)
    client, server = connected(machine, listener)
    assert client.getpeername() == server.getsockname() == listener.getsockname()
    assert server.getpeername() == client.getsockname()


def test_port_0_is_a_port_of_its_own(machine: Any) -> None:
    one, other = listening(machine).getsockname(), listening(machine).getsockname()
    assert one[1] != 0
    assert one != other


def test_what_was_sent_before_the_accept_is_there_after_it(machine: Any) -> None:
    listener = listening(machine)
    client = machine.socket()
    client.connect_ex(listener.getsockname())
    machine.until(lambda: ready(machine, client, WRITE) == WRITE, "connected")
    client.send(b"early")
    machine.settle()
    server = machine.adopt(listener.accept()[0])
    assert received(machine, server, 5) == b"early"


def test_a_connection_reset_before_the_accept_is_accepted_and_then_says_so(machine: Any) -> None:
    listener = listening(machine)
    client = machine.socket()
    client.connect_ex(listener.getsockname())
    machine.until(lambda: ready(machine, client, WRITE) == WRITE, "connected")
    machine.until(lambda: ready(machine, listener, READ) == READ, "a connection")
    reset(client)
    machine.settle()
    server = machine.adopt(listener.accept()[0])
    assert number_of(lambda: server.recv(1)) == errno.ECONNRESET


def test_connecting_where_nobody_listens_ends_readable_writable_and_ECONNREFUSED(machine: Any) -> None:
    gone = listening(machine)
    address = gone.getsockname()
    gone.close()
    client = machine.socket()
    assert client.connect_ex(address) == errno.EINPROGRESS
    machine.until(lambda: ready(machine, client) == BOTH, "the refusal")
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_what_waits_in_the_queue_of_a_listener_that_closes_is_reset(machine: Any) -> None:
    listener = listening(machine)
    client = machine.socket()
    client.connect_ex(listener.getsockname())
    machine.until(lambda: ready(machine, client, WRITE) == WRITE, "connected")
    listener.close()
    machine.until(lambda: ready(machine, client) == BOTH, "RST")
    assert number_of(lambda: client.recv(1)) == errno.ECONNRESET
