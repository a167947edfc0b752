"""How does a server run just for this load test, and surely end with it?

With no target the bundled server is started as a child process on a free port of loopback, and
stopped afterwards: SIGTERM, and SIGKILL if it has not drained soon.

Rules:

* It gets a session of its own, so that Ctrl-C in the terminal reaches the load tester alone,
  which still wants replies while it drains.
* Its stderr is read to the end by a thread: a full pipe would stop a server that logs. The last
  lines are kept, to be shown if it dies.
* It runs under `process.child_main`, whose standard input is a pipe that we hold: if we are killed, it
  ends too.
* `stop` may be called at any time and more than once. `with ChildServer() as address:` is the use.

Not here: what the server does (`app_server.py`).
"""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from eventloop import Address, parse_address
from protocol.printable import printable

__all__ = ["ChildError", "ChildServer", "server_command"]

LISTENING = "Listening on "

#: Seconds for the child to listen: an interpreter on a busy machine takes one or two.
START_TIMEOUT = 15.0
#: Seconds between SIGTERM and SIGKILL. With our own connections gone it has nothing to drain.
STOP_TIMEOUT = 5.0
#: Lines of the child's stderr that are kept.
KEPT_LINES = 20


class ChildError(Exception):
    """The bundled server could not be started; the sentence has its last words."""


def server_command(connections: int) -> list[str]:
    """How to start the bundled server on a free port of loopback, with room for so many connections.

    `app_server.py` lies beside the packages in a clone as in an installation.
    """
    here = Path(__file__).resolve()
    command = [sys.executable, str(here.with_name("child_main.py")), str(here.parents[3] / "app_server.py")]
    # Its own default of --max-connections is 10,000; a little room for those about to be replaced.
    room = ["--max-connections", str(connections + 1000)] if connections > 9000 else []
    return [*command, "127.0.0.1", "0", *room]


class ChildServer:
    """A server process and the address it listens on.

    Raises `ChildError` from `start` if it ends, or says no address, within `START_TIMEOUT`.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self.process: subprocess.Popen[str] | None = None
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._reader: threading.Thread | None = None
        self._announced: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def start(self) -> Address:
        """Start it and wait until it says where it listens."""
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name="child-stderr", daemon=True)
        self._reader.start()
        try:
            announced = self._announced.get(timeout=START_TIMEOUT)
        except queue.Empty:
            self.stop()
            raise ChildError(f"the bundled server said no address within {START_TIMEOUT:g} s{self._words()}") from None
        except BaseException:  # Ctrl-C: `with` would not call __exit__ for a start that failed
            self.stop(timeout=0)
            raise
        if announced is None:
            self.stop()
            raise ChildError(f"the bundled server ended with exit code {self.process.returncode}{self._words()}")
        return parse_address(announced)

    def _read(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(printable(line.rstrip()))
            _, said, address = line.partition(LISTENING)
            if said:
                self._announced.put(address.split()[0])
        self._announced.put(None)

    def _words(self) -> str:
        return ":\n  " + "\n  ".join(self.lines) if self.lines else " and said nothing"

    @property
    def died(self) -> str | None:
        """A sentence, with its last lines, if it has ended by itself; None while it runs."""
        if self.process is None or self.process.poll() is None:
            return None
        return f"the bundled server ended by itself with exit code {self.process.returncode}{self._words()}"

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """End the process and wait for it: SIGTERM, then SIGKILL. A timeout of 0 kills at once."""
        process = self.process
        if process is None:
            return
        try:
            if process.poll() is None and timeout:
                process.terminate()
                process.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        finally:  # also when a signal interrupts the wait
            if process.poll() is None:
                process.kill()
            process.wait()
            if self._reader is not None:
                self._reader.join()
            for pipe in (process.stdin, process.stderr):
                if pipe is not None:
                    pipe.close()

    def __enter__(self) -> Address:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()
