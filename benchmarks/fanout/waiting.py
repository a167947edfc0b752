"""What does our server hold in memory for subscribers that do not read?

Thousands subscribe to one topic and do not read, and one does. The server's resident memory (VmRSS) is read when all
have subscribed, and again when all messages are published. The difference belongs to the messages that wait: those that
the kernel has taken, on either side of a connection, do not, and are subtracted (`benchmarks.kernel.unread_bytes`).

Then some of those that did not read are read to the end: what was held must be all that is missing, in order.

Not here: connections that idle (`benchmarks.memory`), other servers. Redis copies each message for each subscriber, and
ten thousand times a mebibyte is more than most machines have.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from benchmarks.fanout.drive import Row, driver
from benchmarks.fanout.servers import OURS, PEERS
from benchmarks.kernel import unread_bytes
from benchmarks.processes import on_core, resident_bytes

__all__ = ["Held", "WaitingFailed", "measure"]

#: Of those that do not read, how many are read to the end.
CHECKED = 100
#: Messages in flight to the one that reads.
IN_FLIGHT = 16
#: The default minute without progress would end the subscribers of a slow run before they are looked at.
OPTIONS = ("--send-timeout", "3600s")


class WaitingFailed(Exception):
    """The text says what the driver said."""


@dataclass(frozen=True)
class Held:
    """Bytes of the server: with `stalled` subscribers that are idle, and when `messages` were published.

    `frame`: bytes of an event, on average. `unread`: bytes that the kernel took.
    """

    stalled: int
    messages: int
    frame: float
    idle: int
    held: int
    unread: int
    broken: str = ""

    @property
    def waiting(self) -> float:
        """Messages, of all subscribers together."""
        return self.stalled * self.messages - self.unread / self.frame if self.frame else 0.0

    @property
    def per_message(self) -> float:
        """Bytes for one subscriber and one message that waits."""
        return (self.held - self.idle) / self.waiting if self.waiting else 0.0


def measure(
    stalled: int, messages: int, size: int, settle: float, cores: tuple[int, int], say: Callable[[str], None]
) -> Held:
    """`cores`: the server's, the driver's. `settle`: seconds before each reading. Raises `CannotStart`,
    `CannotCompile`, `WaitingFailed`."""
    peer = PEERS[OURS]
    row = Row(1, IN_FLIGHT, stalled)
    with peer.start(1 + stalled, cores[0], *OPTIONS) as server:
        command = driver(
            peer, server.port, row, "--size", str(size), "--messages", str(messages), "--check", str(CHECKED)
        )
        with on_core(cores[1]):
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            say(f"{stalled} subscribe")
            _reached(process, "subscribed")
            time.sleep(settle)
            idle = resident_bytes(server.pid)
            say(f"{messages} messages are published")
            _go_on(process.stdin)
            _reached(process, "published")
            time.sleep(settle)
            held, unread = resident_bytes(server.pid), unread_bytes(server.port)
            say(f"{min(CHECKED, stalled)} of them are read")
            _go_on(process.stdin)
            told = json.loads(process.stdout.readline() or "{}")
        finally:
            process.kill()
            _, complaint = process.communicate()
    if not told:
        raise WaitingFailed(complaint.strip() or "the driver ended")
    wrong = [f"{count} {name}" for name, count in told["errors"].items() if count]
    if told["cut"]:
        wrong.append(f"{told['cut']} subscribers were cut")
    return Held(stalled, messages, told["frame_bytes"], idle, held, unread, ", ".join(wrong))


def _reached(process: subprocess.Popen[str], where: str) -> None:
    assert process.stdout is not None
    assert process.stderr is not None
    if process.stdout.readline() != f"{where}\n":
        raise WaitingFailed(process.stderr.read().strip() or f"the driver ended before all was {where}")


def _go_on(stdin: IO[str]) -> None:
    stdin.write("\n")
    stdin.flush()
