"""Which Redis does a test have? A real one of its own, in a temporary directory; skipped where there is none.

It can be stopped and started again, with what it had (an append-only file) or without.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventloop import Endpoint
from tests.support.peer import PATIENCE
from tests.support.scripted import unused_port

__all__ = ["Redis", "redis_here"]


class Redis:
    """A `redis-server`, started and stopped by the test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = unused_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoints(self) -> list[Endpoint]:
        return [Endpoint(socket.AF_INET, ("127.0.0.1", self.port))]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while self._says(b"PING\r\n") != b"+PONG\r\n":
            assert time.monotonic() < deadline, "redis-server does not start"
            assert self._process.poll() is None, "redis-server has ended"
            time.sleep(0.02)

    def _says(self, line: bytes) -> bytes:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0) as sock:
            sock.settimeout(5.0)
            sock.sendall(line)
            return sock.recv(4096)
        return b""

    def do(self, *words: str | int) -> bytes:
        """One command, and how its reply begins."""
        parts = [str(word).encode() for word in words]
        return self._says(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))

    def milliseconds(self) -> int:
        """Its time of day."""
        _, _, seconds, _, microseconds, *_ = self.do("TIME").split(b"\r\n")
        return int(seconds) * 1000 + int(microseconds) // 1000

    def stop(self, forget: bool = False) -> None:
        """End it; `forget`: with all that it had."""
        process, self._process = self._process, None
        if process is not None:
            process.kill() if forget else process.terminate()
            process.wait()
        if forget:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory.mkdir()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """It answers nothing meanwhile, and then everything."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def cut_clients(self) -> None:
        """Every connection to it ends."""
        assert self.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").startswith(b":")


@contextlib.contextmanager
def redis_here(tmp_path: Path) -> Iterator[Redis]:
    """A Redis that runs."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (Debian: redis-server)")
    pytest.importorskip("hiredis", reason="hiredis is not installed (pip install '.[redis]')")
    directory = tmp_path / "redis"
    directory.mkdir()
    redis = Redis(directory)
    redis.start()
    try:
        yield redis
    finally:
        redis.stop()
