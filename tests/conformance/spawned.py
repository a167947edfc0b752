"""How does the suite start a server of its own, for what ends or starves one?

`--command` is a command line without a shell. It prints `Listening on tcp://HOST:PORT` on stdout or
stderr when it accepts. `{port}` in it becomes 0, or the port of a server that has just ended. It
must be the server itself (`exec` in a script): signals go to the process that was started.

Rules:

* A server started here is ended here, however its case ends.
* Its output is read all the time: a full pipe would stop it.

Not here: the server under test, which is never signalled.
"""

from __future__ import annotations

import queue
import re
import shlex
import signal
import socket
import subprocess
import threading
import time

from .case import SOON, Failed, Informational
from .targets import Process, ServerRun
from .wire import Peer

__all__ = ["Spawned", "spawn"]

#: Seconds in which it must accept.
START = 10.0

_LISTENING = re.compile(r"tcp://\[?([^\]\s]+?)\]?:(\d+)")


class Spawned:
    """A server of our own. Raises `Failed` if it does not say where it listens."""

    def __init__(self, run: ServerRun, argv: list[str]) -> None:
        self.run = run
        nothing, told = subprocess.DEVNULL, subprocess.PIPE
        self.process = subprocess.Popen(
            argv, stdin=nothing, stdout=told, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        run.closing(self._end)
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        self.host, self.port = self._where()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def _where(self) -> tuple[str, int]:
        until, said = time.monotonic() + START, ""
        while (left := until - time.monotonic()) > 0:
            try:
                line = self.lines.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                break
            found = _LISTENING.search(line)
            if found:
                return found[1], int(found[2])
            said = line.strip()
        raise Failed("'Listening on tcp://HOST:PORT' from --command", said or "nothing")

    def connect(self) -> Peer:
        sock = socket.create_connection((self.host, self.port), SOON)
        self.run.closing(sock.close)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Peer(self.run, sock)

    def accepts(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), SOON).close()
        except OSError:
            return False
        return True

    def figures(self) -> Process:
        return Process(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        self.run.note(f"sends it {number.name}")
        self.process.send_signal(number)

    def ended(self, within: float) -> int | None:
        """Its exit code (128 + N if a signal ended it), or None if it still runs."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            return None
        self.run.note(f"it ended with exit code {code}")
        return code if code >= 0 else 128 - code

    def _end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def spawn(run: ServerRun, port: int = 0, descriptors: int | None = None) -> Spawned:
    """Start one, with so few descriptors if they are given. Raises `Informational` without `--command`."""
    command = run.options.command
    if command is None:
        raise Informational("shown only with --command")
    if port and "{port}" not in command:
        raise Informational("shown only if --command has {port} in it")
    argv = shlex.split(command.replace("{port}", str(port)))
    if descriptors is not None:
        argv = ["/bin/sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh", *argv]
    return Spawned(run, argv)
