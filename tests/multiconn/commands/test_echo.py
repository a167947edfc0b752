"""`multiconn.commands.echo`: byte for byte, on many raw connections at once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from multiconn.commands import UsageError
from multiconn.commands.client_options import CommandParser
from multiconn.commands.echo import add_arguments, run
from tests.support.scripted import Caller, ScriptedServer, unused_port


def echo(*arguments: str) -> int:
    parser = CommandParser("echo", "test")
    add_arguments(parser)
    return run(parser.parse_intermixed_args(list(arguments)))


def mirror(peer: Caller) -> None:
    while data := peer.sock.recv(4096):
        peer.send(data)


def sending(
    data: bytes, *, after: int, then: Callable[[Caller], object] = lambda peer: None
) -> Callable[[Caller], None]:
    """Reads `after` bytes, sends `data`, and then does `then` before it closes."""

    def behave(peer: Caller) -> None:
        got = b""
        while len(got) < after:
            got += peer.sock.recv(4096)
        peer.send(data)
        then(peer)

    return behave


def until_the_end(peer: Caller) -> None:
    while peer.sock.recv(4096):
        pass


def test_the_tutorials_two_messages_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    received = []

    def note(peer: Caller) -> None:
        while data := peer.sock.recv(4096):
            received.append(data)
            peer.send(data)

    with ScriptedServer(note) as server:
        assert echo(server.target) == 0
    assert b"".join(received) == b"Message 1 from client.Message 2 from client."
    assert capsys.readouterr().out == (
        "connection 1: 2 messages, 44 bytes came back as sent\n"
        "total: 1 connection, 2 messages, 44 of 44 bytes came back, all as sent\n"
    )


def test_many_connections_are_open_at_the_same_time(capsys: pytest.CaptureFixture[str]) -> None:
    everybody = threading.Barrier(20)

    def meet(peer: Caller) -> None:
        everybody.wait(30)
        mirror(peer)

    with ScriptedServer(meet) as server:
        assert echo(f"echo://{server.target}", "-c", "20", "ä", "bb") == 0
        assert server.connections == 20
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "total: 20 connections, 40 messages, 80 of 80 bytes came back, all as sent"


def test_more_than_the_buffers_hold_comes_back() -> None:
    with ScriptedServer(mirror) as server:
        assert echo(server.target, "x" * 3_000_000, "y" * 3_000_000) == 0


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (sending(b"abXd", after=4), "byte 3 came back different: sent b'cd', got b'Xd'"),
        (
            sending(b'\0h{"by', after=4),
            "it answers in messages: use request, or the server's --listen echo://HOST:PORT",
        ),
        (sending(b"HTTP", after=4), "it looks like an HTTP reply"),
        (sending(b"\x15\x03\x03\0", after=4), "it looks like TLS"),
        (sending(b"abcde", after=4), "more came back than was sent: b'e'"),
        (sending(b"ab", after=4), "closed when 2 of 4 bytes had come back"),
        (sending(b"ab", after=4, then=Caller.reset), "of 4 bytes"),
        (sending(b"ab", after=4, then=until_the_end), "2 of 4 bytes came back in time"),
    ],
)
def test_anything_else_is_wrong(
    behaviour: Callable[[Caller], None], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with ScriptedServer(behaviour) as server:
        assert echo(server.target, "abcd", "--timeout", "200ms") == 4
    out, err = capsys.readouterr()
    assert words in out
    assert out.splitlines()[-1].endswith("1 failed")
    assert words in err
    assert len(err.splitlines()) == 1


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert echo(f"127.0.0.1:{unused_port()}", "-c", "2") == 3
    out, err = capsys.readouterr()
    assert out.count("FAILED: nothing listens") == 2
    assert "start the server" in err


def test_an_empty_message_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        echo("127.0.0.1:1", "a", "")


@pytest.mark.parametrize("arguments", [["127.0.0.1:1", "-c", "0"], ["127.0.0.1:1", "-c", "x"], ["unix:/x"], []])
def test_bad_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match="--help"):
        echo(*arguments)


# --- datagrams -----------------------------------------------------------------------------


@contextmanager
def datagrams(answer: Callable[[bytes], list[bytes]]) -> Iterator[str]:
    """A UDP server that sends `answer(datagram)`; gives its target."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]

    def serve() -> None:
        while True:
            data, sender = sock.recvfrom(65536)
            if data == b"stop":
                return
            for reply in answer(data):
                sock.sendto(reply, sender)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"echo+udp://127.0.0.1:{port}"
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stopper:
            stopper.sendto(b"stop", ("127.0.0.1", port))
        thread.join()
        sock.close()


def test_datagrams_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    with datagrams(lambda data: [data]) as target:
        assert echo(target, "-c", "5", "a", "bb") == 0
    assert "5 connections, 10 messages, 15 of 15 bytes" in capsys.readouterr().out


def test_datagrams_may_come_back_in_another_order() -> None:
    held: list[bytes] = []

    def swap(data: bytes) -> list[bytes]:
        held.append(data)
        return list(reversed(held)) if len(held) == 2 else []

    with datagrams(swap) as target:
        assert echo(target, "first", "second") == 0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda data: [data + b"!"], "that was not sent"),
        (lambda data: [data] if data == b"a" else [], "1 datagram did not come back in time"),
    ],
)
def test_changed_and_lost_datagrams_are_wrong(
    answer: Callable[[bytes], list[bytes]], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with datagrams(answer) as target:
        assert echo(target, "a", "b", "--timeout", "200ms") == 4
    assert words in capsys.readouterr().out


def test_no_udp_server(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    assert echo(f"echo+udp://127.0.0.1:{port}", "--timeout", "5s") == 3
    assert "nothing receives datagrams" in capsys.readouterr().out


def test_a_datagram_has_a_largest_size() -> None:
    with pytest.raises(UsageError, match="65507"):
        echo("echo+udp://127.0.0.1:1", "x" * 65508)
