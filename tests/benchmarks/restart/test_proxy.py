"""Does the proxy take a server out and put it back, and tell which way a connection went?"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.processes import CannotStart
from benchmarks.restart import proxy
from benchmarks.restart.proxy import HAProxy, haproxy
from eventloop import EventLoop
from tests.support.scripted import Caller, ScriptedServer

TURNS = 100


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    made = EventLoop()
    yield made
    made.close()


def naming(number: int) -> ScriptedServer:
    """A server that sends its number, and reads to the end."""

    def serve(peer: Caller) -> None:
        peer.send(b"%d" % number)
        while peer.sock.recv(4096):
            pass

    return ScriptedServer(serve)


def asked(front: HAProxy) -> tuple[int, str]:
    """The port one asked from, and which server answered; None if it did not."""
    with socket.create_connection(("127.0.0.1", front.port), timeout=20) as sock:
        return sock.getsockname()[1], sock.recv(1).decode()


def test_a_server_that_is_taken_out_gets_no_new_connection_and_its_way_is_told(loop: EventLoop, tmp_path: Path) -> None:
    if haproxy() is None:
        pytest.skip("haproxy is not installed")
    with naming(0) as first, naming(1) as second:
        front = HAProxy(loop, [first.port, second.port], tmp_path)
        try:
            for number in (0, 1):
                front.put_back(number)
            assert {asked(front)[1] for _ in range(4)} == {"0", "1"}
            front.take_out(0)
            ports = [asked(front) for _ in range(4)]
            assert [server for _, server in ports] == ["1"] * 4
            front.put_back(0)
            assert {asked(front)[1] for _ in range(4)} == {"0", "1"}
            for _ in range(TURNS):
                if all(port in front.route for port, _ in ports):
                    break
                loop.run_once(0.2)
            for port, _ in ports:
                ((behind, begun),) = front.route[port]
                assert behind != port
                assert begun > 0
        finally:
            front.stop()


def test_without_haproxy_it_is_said_what_to_install(
    loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy.shutil, "which", lambda *args, **more: None)
    with pytest.raises(CannotStart, match="apt-get install haproxy"):
        HAProxy(loop, [1, 2], tmp_path)


def test_a_proxy_that_does_not_start_says_why(loop: EventLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "haproxy"
    program.write_text("#!/bin/sh\necho 'no such option'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(proxy, "haproxy", lambda: str(program))
    with pytest.raises(CannotStart, match="haproxy does not start: no such option"):
        HAProxy(loop, [1, 2], tmp_path)


def test_it_is_found_where_only_root_s_path_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr(proxy.shutil, "which", lambda name, path: looked.append(path))
    monkeypatch.setenv("PATH", "/somewhere")
    assert haproxy() is None
    assert looked == ["/somewhere:/usr/sbin:/usr/local/sbin"]
