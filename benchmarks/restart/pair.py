"""Two servers, of which one is restarted, then the other, and so on.

One is always up: a server is asked to end (SIGTERM), waited for, started anew on its port, and has
said that it listens before the other one's turn comes.

Ports are kept by sockets that are bound and do not listen: while a server is away, no other program gets
its port, neither to listen on nor to connect from.
"""

from __future__ import annotations

import socket
import sys
import threading
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.processes import CannotStart, ServerProcess, cores
from benchmarks.restart.served import ACCEPTED, CARRIED

__all__ = ["HOST", "Pair", "keep_port"]

HOST = "127.0.0.1"
#: Seconds for a server to end: more than its --drain-timeout, after which it cuts by itself.
PATIENCE = 30.0


def keep_port() -> socket.socket:
    """A free port, ours until this is closed. Servers with --reuse-port may listen on it."""
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    keeper.bind((HOST, 0))
    return keeper


class Pair:
    """`ports`: one for both, or one for each. `arguments` are for app_server.py.

    `before` and `after` are called with the number (0 or 1) of the server that is about to be
    ended, and of one that listens again. `restarts` counts; `wrong` says what a server did that it
    should not; `over` once nothing more will happen. Use it as a context: leaving it stops both.
    """

    def __init__(
        self,
        ports: Sequence[int],
        directory: Path,
        arguments: Sequence[str] = (),
        before: Callable[[int], None] = lambda number: None,
        after: Callable[[int], None] = lambda number: None,
        python: str = sys.executable,
    ) -> None:
        self._ports = (ports[0], ports[-1])
        self._directory = directory
        self._arguments = arguments
        self.before = before
        self.after = after
        self._python = python
        self._started = 0
        self._servers: dict[int, ServerProcess] = {}
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._restart_in_turn, name="restarts")
        self.restarts = 0
        self.wrong: list[str] = []

    def __enter__(self) -> Pair:
        try:
            for number in (0, 1):
                self._start(number)
        except BaseException:
            self._stop_all()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop_restarting()
        self._stop_all()

    def begin(self) -> None:
        """From now on one is restarted after the other."""
        self._thread.start()

    @property
    def over(self) -> bool:
        """It got a signal to stop, or could not go on (`wrong` says why)."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def stop_restarting(self) -> None:
        """Finish the restart that is under way; both are up then."""
        self._enough.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _restart_in_turn(self) -> None:
        number = 0
        while not self._enough.is_set():
            try:
                self.before(number)
                self._end(number)
                self._start(number)
                self.after(number)
            except (CannotStart, OSError) as error:
                self.wrong.append(f"a server does not come back: {error}")
                return
            self.restarts += 1
            number = 1 - number

    def _start(self, number: int) -> None:
        self._started += 1
        books = self._directory / f"{self._started}"
        command = [self._python, "-m", "benchmarks.restart.served", str(books), HOST, str(self._ports[number])]
        self._servers[number] = ServerProcess([*command, "--reuse-port", *self._arguments], cores()[0])

    def _end(self, number: int) -> None:
        server = self._servers.pop(number)
        code = server.end(PATIENCE)
        said = server.said()
        if code != 0 or "Traceback" in said or "Cut while" in said:
            self.wrong.append(f"a server ended with {code}: {said.strip()[-500:]}")
        server.stop()

    def _stop_all(self) -> None:
        for number in list(self._servers):
            self._end(number)

    def books(self) -> tuple[list[tuple[int, int]], list[int]]:
        """What all servers accepted and carried out, once they have ended."""
        accepted: list[tuple[int, int]] = []
        carried: list[int] = []
        for number in range(1, self._started + 1):
            pairs = _read(self._directory / f"{number}{ACCEPTED}")
            accepted += zip(pairs[::2], pairs[1::2], strict=True)
            carried += _read(self._directory / f"{number}{CARRIED}")
        return accepted, carried


def _read(path: Path) -> array[int]:
    noted: array[int] = array("q")
    noted.frombytes(path.read_bytes())
    return noted
