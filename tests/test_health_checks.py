"""The recipes of docs/do/health-checks.md, with the real HAProxy and nginx where they are installed."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.peer import PATIENCE, connected
from tests.support.server import serving
from tests.support.wire import ask, take_reply
from tests.test_app_server import Command
from tests.test_app_server import running as server

PAGE = (Path(__file__).parents[1] / "docs" / "do" / "health-checks.md").read_text()
MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


def recipe(kind: str) -> str:
    (found,) = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.S)
    return str(found)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def answered(port: int) -> bool:
    """Is a request answered through the proxy?"""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
            sock.sendall(ask("ping"))
            received = bytearray()
            while data := sock.recv(4096):
                received += data
    except OSError:
        return False
    reply = take_reply(received)
    return reply is not None and reply.result == "pong"


def until_answered(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while not answered(port):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def two_servers(stack: contextlib.ExitStack) -> tuple[list[Command], list[int]]:
    commands = [stack.enter_context(server("127.0.0.1", "0")) for _ in range(2)]
    return commands, [command.address().port for command in commands]


def with_ports(text: str, ports: list[int]) -> str:
    for placeholder, port in zip(("65432", "65433"), ports, strict=True):
        text = text.replace(f"127.0.0.1:{placeholder}", f"127.0.0.1:{port}")
    return text


def test_the_bytes_in_the_recipe_are_a_ping() -> None:
    (digits,) = re.findall(r"send-binary ([0-9a-f]+)", recipe("haproxy"))
    with serving() as house, contextlib.closing(connected(house.server.addresses[0])) as sock:
        sock.sendall(bytes.fromhex(digits))
        received = bytearray()
        while data := sock.recv(4096):
            received += data
    reply = take_reply(received)
    assert reply is not None
    assert reply.result == "pong"


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_haproxy_knows_by_ping_who_serves(tmp_path: Path) -> None:
    port = free_port()
    with contextlib.ExitStack() as stack:
        commands, ports = two_servers(stack)
        backend = with_ports(recipe("haproxy").replace("inter 2s", "inter 100ms rise 1 fall 1"), ports)
        config = tmp_path / "haproxy.cfg"
        front = f"frontend f\n    mode tcp\n    timeout client 1m\n    bind 127.0.0.1:{port}\n    default_backend app\n"
        config.write_text(front + backend)
        with running("haproxy", "-db", "-f", str(config)):
            until_answered(port)
            for command in commands:
                until_checked(command)
            commands[0].signal(signal.SIGTERM)
            code, lines = commands[0].end()
            until_answered(port)
    assert code == 0
    assert re.fullmatch(r"Closed: accepted \d+ \((served|shutdown|silent|[ ,]|\d)+\)", lines[-1]), "a check is no reset"


def until_checked(command: Command) -> None:
    """Its list of connections says that some have come and gone."""
    deadline = time.monotonic() + PATIENCE
    while True:
        command.signal(signal.SIGUSR1)
        accepted = int(command.line_with("Open connections: ").rpartition(" ")[2])
        if accepted > 3:
            return
        assert time.monotonic() < deadline, "nobody checks it"
        time.sleep(0.05)


@pytest.mark.skipif(
    shutil.which("nginx") is None or not MODULE.exists(), reason="nginx with its stream module is not installed"
)
def test_nginx_goes_to_the_next_server_when_one_refuses(tmp_path: Path) -> None:
    port = free_port()
    with contextlib.ExitStack() as stack:
        commands, ports = two_servers(stack)
        stream = with_ports(recipe("nginx").replace("65430", str(port)), ports)
        config = tmp_path / "nginx.conf"
        own = f"load_module {MODULE};\ndaemon off;\nmaster_process off;\npid {tmp_path}/pid;\nerror_log stderr;\n"
        config.write_text(f"{own}events {{}}\nstream {{\n{stream}}}\n")
        with running("nginx", "-p", str(tmp_path), "-c", str(config)):
            until_answered(port)
            commands[0].signal(signal.SIGTERM)
            assert commands[0].end()[0] == 0
            assert [answered(port) for _ in range(4)] == [True] * 4
