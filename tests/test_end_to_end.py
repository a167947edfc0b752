"""Does a thousand simultaneous connections get what each of them asked for?

Our server in a process of its own, against a client made of sockets and a selector here: nothing
of ours on this side, so that both ends can't be wrong together.
"""

from __future__ import annotations

import resource
import selectors
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.peer import PATIENCE
from tests.support.wire import ask, binary, keep, take_reply
from tests.test_app_server import Command, running

CONNECTIONS = 1000
ROUNDS = 3


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Enough of them for the client's side."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + 200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this system allows {hard} descriptors; {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def server() -> Iterator[Command]:
    with running("127.0.0.1", "0", "--drain-timeout", "5s") as command:
        yield command


class Client:
    """One connection: what it asks, and what it must be answered."""

    def __init__(self, number: int, address: tuple[str, int]) -> None:
        self.number = number
        self.received = bytearray()
        self.answered = 0
        self.expected: list[object] = []
        parts = []
        for turn in range(ROUNDS):
            value = [number, turn, "é🐶" * (number % 7)]
            self.expected.append(value)
            parts.append(keep("echo", value))
        self.expected.append({"result": f"Received: {number}", "count": 1})
        parts.append(keep("confirm", number))
        content = number.to_bytes(4, "big") * (1 + number % 50)
        self.expected.append(content)
        parts.append(binary(content))
        self.unsent = memoryview(b"".join(parts))
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.connect_ex(address)

    def on_writable(self) -> bool:
        """Send on; True once all is sent."""
        assert self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        try:
            self.unsent = self.unsent[self.sock.send(self.unsent) :]
        except BlockingIOError:
            pass
        return not self.unsent

    def on_readable(self) -> bool:
        """Verify what has come; True once everything has."""
        data = self.sock.recv(65536)
        assert data, f"connection {self.number}: FIN after {self.answered} replies"
        self.received += data
        while (reply := take_reply(self.received)) is not None:
            expected = self.expected[self.answered]
            if isinstance(expected, bytes):
                assert reply.content == expected
            elif isinstance(expected, dict):
                assert reply.body == expected
            else:
                assert reply.result == expected
            assert reply.connection == ("keep-alive" if self.answered == 0 else None)
            self.answered += 1
        return self.answered == len(self.expected)


def drive(clients: list[Client]) -> None:
    """All of them at once, until each has had every reply."""
    deadline = time.monotonic() + PATIENCE
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, client)
        waiting = len(clients)
        while waiting:
            assert time.monotonic() < deadline, f"{waiting} connections still wait"
            for key, mask in selector.select(1):
                client = key.data
                if mask & selectors.EVENT_WRITE and client.on_writable():
                    selector.modify(client.sock, selectors.EVENT_READ, client)
                if mask & selectors.EVENT_READ and client.on_readable():
                    selector.unregister(client.sock)
                    waiting -= 1


def test_a_thousand_simultaneous_connections_are_each_served_and_verified(descriptors: None, server: Command) -> None:
    address = server.address()
    clients = [Client(number, (address.host, address.port)) for number in range(CONNECTIONS)]
    try:
        drive(clients)
        server.signal(signal.SIGUSR1)  # all of them are open at once
        assert server.line() == f"Open connections: {CONNECTIONS}, accepted: {CONNECTIONS}"
        listed = [server.line() for _ in range(CONNECTIONS)]
        assert all("state=OPEN/PROTOHEADER" in line for line in listed)
        assert len({line.partition(" ")[0] for line in listed}) == CONNECTIONS
        server.signal(signal.SIGTERM)
        for client in clients:
            client.sock.settimeout(PATIENCE)
            assert client.sock.recv(1) == b""  # idle: FIN at once
    finally:
        for client in clients:
            client.sock.close()
    code, lines = server.end()
    assert code == 0
    asked = CONNECTIONS * (ROUNDS + 2)
    served = f"Served: requests {asked}"
    assert lines == ["Draining (SIGTERM)", served, f"Closed: accepted {CONNECTIONS} (shutdown {CONNECTIONS})"]


def test_a_thousand_one_shot_connections_at_once_as_the_tutorials_client_makes_them(
    descriptors: None, server: Command
) -> None:
    address = server.address()
    answers = {"ring": "In the caves beneath the Misty Mountains. 💍", "nothing": "No match for 'nothing'."}
    sockets = []
    try:
        for number in range(CONNECTIONS):
            sock = socket.create_connection((address.host, address.port), timeout=PATIENCE)
            sock.sendall(ask("search", list(answers)[number % 2]))
            sockets.append(sock)
        for number, sock in enumerate(sockets):
            received = bytearray()
            while data := sock.recv(4096):
                received += data
            reply = take_reply(received)
            assert reply is not None
            assert reply.result == list(answers.values())[number % 2]
            assert not received
    finally:
        for sock in sockets:
            sock.close()
    server.signal(signal.SIGTERM)
    code, lines = server.end()
    assert code == 0
    assert lines[-1] == f"Closed: accepted {CONNECTIONS} (served {CONNECTIONS})"
