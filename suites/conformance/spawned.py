"""How does the suite start a server of its own, for what ends or starves one?

`--command` is a command line without a shell. It prints `Listening on tcp://HOST:PORT` on stdout or
stderr when it accepts. `{port}` in it becomes 0, or the port of a server that has just ended. It
must be the server itself (`exec` in a script): signals go to the process that was started.

Rules:

* A server started here is ended here, however its case ends.
* Its output is read all the time: a full pipe would stop it.

Not here: a server under test that runs already, which is never signalled.
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
from dataclasses import replace
from pathlib import Path

from .case import Failed, Informational, Options
from .peer import Peer
from .targets import CannotReach, Process, ServerRun, ServerTarget, dial

__all__ = ["Spawned", "StartedTarget", "command_line", "connect", "spawn"]

#: Seconds in which it must accept.
START = 10.0

_LISTENING = re.compile(r"tcp://\[?([^\]\s]+?)\]?:(\d+)")


class Spawned:
    """A server of our own. Raises `CannotReach` if it can't be started or does not say where it listens."""

    def __init__(self, argv: list[str]) -> None:
        nothing, told = subprocess.DEVNULL, subprocess.PIPE
        try:
            self.process = subprocess.Popen(
                argv, stdin=nothing, stdout=told, stderr=subprocess.STDOUT, text=True, errors="replace"
            )
        except OSError as error:
            raise CannotReach(f"--command: {argv[0]} can't be started: {error.strerror}") from None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.host, self.port = self._where()
        except BaseException:
            self.end()
            raise

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(None)

    def _where(self) -> tuple[str, int]:
        until, said = time.monotonic() + START, ""
        while (left := until - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                break
            found = _LISTENING.search(line)
            if found:
                return found[1], int(found[2])
            said = line.strip() or said
        raise CannotReach(f"--command did not print 'Listening on tcp://HOST:PORT'; it said {said or 'nothing'!r}")

    def accepts(self) -> bool:
        try:
            dial(self.host, self.port).close()
        except OSError:
            return False
        return True

    def figures(self) -> Process:
        return Process(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, within: float) -> int | None:
        """Its exit code (128 + N if a signal ended it), or None if it still runs."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            return None
        return code if code >= 0 else 128 - code

    def end(self) -> None:
        """At once, if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def command_line(command: str, port: int = 0, descriptors: int | None = None) -> list[str]:
    argv = shlex.split(command.replace("{port}", str(port)))
    if descriptors is not None:
        argv = ["/bin/sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh", *argv]
    return argv


class StartedTarget(ServerTarget):
    """The server under test, started here, with its pid known; ended after the run."""

    def __init__(self, command: str, options: Options) -> None:
        self._server = Spawned(command_line(command))
        try:
            pid = self._server.process.pid if Path("/proc/self/stat").exists() else None
            super().__init__(self._server.host, self._server.port, replace(options, pid=pid))
        except BaseException:
            self._server.end()
            raise

    def close(self) -> None:
        self._server.end()


def spawn(run: ServerRun, port: int = 0, descriptors: int | None = None) -> Spawned:
    """Start one for a case, with so few descriptors if they are given. Raises `Informational` without `--command`."""
    command = run.options.command
    if command is None:
        raise Informational("shown only with --command")
    if port and "{port}" not in command:
        raise Informational("shown only if --command has {port} in it")
    try:
        server = Spawned(command_line(command, port, descriptors))
    except CannotReach as error:
        raise Failed("a server that starts", str(error)) from None
    run.closing(server.end)
    return server


def connect(run: ServerRun, server: Spawned) -> Peer:
    """A connection to it, closed when the case ends."""
    sock = dial(server.host, server.port)
    run.closing(sock.close)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Peer(run, sock)
