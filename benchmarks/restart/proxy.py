"""HAProxy in front of two servers: TCP mode, which knows nothing of the protocol.

Its listening socket is made here and handed over, so that no port is guessed. It logs to a socket
of ours, per connection, the client's port, the port that it came from on its behalf, and how long it lasted.

`take_out` is the recipe for a restart in which not even the kernel loses anything: the runtime API
takes a server out first (`set server ... state drain`), so that no new connection is on its way to
it when it ends.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import CannotStart
from benchmarks.restart.pair import HOST
from eventloop import EventLoop
from eventloop.loop import READ

__all__ = ["HAProxy", "haproxy"]

START_SECONDS = 10.0
#: Bytes of lines that wait for our loop to read them (twice what net.core.rmem_max usually allows: it is cut to that).
LOG_BUFFER = 1 << 22
STOP_SECONDS = 5.0

#: A refused connection is tried at the other server: nothing was sent on it. The check finds a server that is away
#: before a client does.
CONFIGURATION = """
global
    maxconn 2000
    nbthread 1
    stats socket {directory}/api.sock mode 600 level admin
    log {host}:{log} format raw local0
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    retries 3
    option redispatch 1
    log global
    log-format "%cp %bp %Tt"
    default-server check inter 200ms fall 1 rise 1
frontend front
    bind fd@{descriptor}
    default_backend pair
backend pair
    balance roundrobin
    server s0 {host}:{ports[0]}
    server s1 {host}:{ports[1]}
"""


def haproxy() -> str | None:
    """Where it is; Debian puts it where only root's PATH looks."""
    return shutil.which("haproxy", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


class HAProxy:
    """Running until `stop`. `port` is its own; `route` is what it told of connections that have ended (`books.Route`).

    Raises `CannotStart`.
    """

    def __init__(self, loop: EventLoop, ports: Sequence[int], directory: Path) -> None:
        program = haproxy()
        if program is None:
            raise CannotStart("haproxy is not installed (Debian: apt-get install haproxy)")
        self._loop = loop
        self._api = directory / "api.sock"
        self.route: dict[int, list[tuple[int, int]]] = defaultdict(list)
        # UDP, not a UNIX socket: of those the kernel keeps ten datagrams (net.unix.max_dgram_qlen) and drops the rest.
        self._log = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._log.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, LOG_BUFFER)
        self._log.bind((HOST, 0))
        self._log.setblocking(False)
        loop.register(self._log, READ, self)
        with socket.create_server((HOST, 0), backlog=1024) as front:
            self.port = front.getsockname()[1]
            configuration = directory / "haproxy.cfg"
            configuration.write_text(
                CONFIGURATION.format(
                    directory=directory,
                    log=self._log.getsockname()[1],
                    descriptor=front.fileno(),
                    host=HOST,
                    ports=ports,
                )
            )
            self._said = (directory / "haproxy.said").open("w+")
            self._process = subprocess.Popen(
                [program, "-db", "-f", str(configuration)],
                pass_fds=[front.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                start_new_session=True,
            )
        try:
            self._wait_until_up(time.monotonic() + START_SECONDS)
        except BaseException:
            self.stop()
            raise

    def _wait_until_up(self, until: float) -> None:
        while self._process.poll() is None and time.monotonic() < until:
            try:
                if self.ask("show servers state").count(" s") >= 2:
                    return
            except OSError:
                time.sleep(0.02)  # it does not listen yet
        self._said.seek(0)
        raise CannotStart(f"haproxy does not start: {self._said.read().strip()[-500:]}")

    def ask(self, command: str) -> str:
        """One command of the runtime API, and its answer."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(STOP_SECONDS)
            sock.connect(str(self._api))
            sock.sendall(f"{command}\n".encode())
            said = b""
            while data := sock.recv(65536):
                said += data
        return said.decode()

    def take_out(self, number: int) -> None:
        """No new connection to this server; those there are stay."""
        self.ask(f"set server pair/s{number} state drain")

    def put_back(self, number: int) -> None:
        """It is back, and the proxy knows it: the run ends the other one only then."""
        self.ask(f"set server pair/s{number} state ready")
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            # Of a server that was never taken out, too, the line says UP only once the check has found it.
            if re.search(rf"^pair,s{number},(?:[^,]*,){{15}}UP,", self.ask("show stat"), re.M):
                return
            time.sleep(0.02)
        raise CannotStart(f"haproxy does not find server {number} within {START_SECONDS:g} s of its start")

    def on_readable(self) -> None:
        """What it logs."""
        for _ in range(256):
            try:
                line = self._log.recv(4096)
            except BlockingIOError:
                return
            if found := re.search(rb"(\d+) (\d+) (\d+)\s*$", line):
                begun = time.monotonic_ns() - int(found[3]) * 1_000_000
                self.route[int(found[1])].append((int(found[2]), begun))

    def on_writable(self) -> None:
        """Never asked for."""

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._loop.register(self._log, 0, self)
        self._log.close()
        self._said.close()
