"""How is a server reached, and is it whole after a case?

`ServerTarget` is the server under test: an address, and its process if `--pid` names it.
`ServerRun` is what a case gets to play with: connections, and the process's figures.

Rules:

* After every case a fresh connection is served. After one that ran alone, with `--pid`, also: the
  process is quiet, and its descriptors and memory have come back.
* A part that the server need not have is looked for once, by its actions.
* What /proc can't tell (another system, no `--pid`) is `Informational`, never a guess.

Not here: what is sent (`wire`, `peer`, the cases), the order of the cases (`runner`).
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable

from .case import ALONE, SOON, TOPICS, Case, Failed, Informational, Options, Run, Unimplemented
from .peer import Peer
from .wire import RING, action, search

__all__ = ["CannotReach", "Process", "ServerRun", "ServerTarget"]

#: Part of one processor that a server with nothing to do may use, and the seconds it is watched for.
QUIET_PART = 0.3
QUIET_WATCH = 0.3
#: Bytes a server may keep of what it needed: allocators do not give everything back.
KEPT_MEMORY = 96 * 1024 * 1024
#: Descriptors it may have come to hold by itself (a log, a pool's pipe).
KEPT_DESCRIPTORS = 4


#: Cases side by side (most of them wait most of the time), and how many connections that takes:
#: a case has few, some have a hundred, and the server may see a close later than we do.
JOBS = 64
CONNECTIONS_PER_JOB = 20


#: The actions of a part that a server need not have: it has all of them, or answers each `unknown-action`.
PARTS = {TOPICS: ("subscribe", "unsubscribe", "publish", "history", "members", "topics")}


class CannotReach(Exception):
    """There is no server at that address, or no process with that pid."""


class Process:
    """A process' figures, out of /proc. Raises `CannotReach` if there is no such process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._tick = os.sysconf("SC_CLK_TCK")
        try:
            self.descriptors()
            self.cpu()
        except OSError as error:
            why = f"/proc/{pid} can't be read ({error.strerror}); give the pid of the server, on this machine"
            raise CannotReach(why) from None

    def cpu(self) -> float:
        """Seconds for which its threads ran, or were ready to, so far.

        Ready counts: where others compete for the processors, one that spins mostly waits for its turn.
        """
        try:
            return sum(map(self._ran_or_ready, os.listdir(f"/proc/{self.pid}/task")))
        except FileNotFoundError:  # a kernel without scheduler statistics
            return self._ran()

    def _ran_or_ready(self, thread: str) -> float:
        with open(f"/proc/{self.pid}/task/{thread}/schedstat", encoding="ascii") as file:
            ran, waited, _ = file.read().split()
        return (int(ran) + int(waited)) / 1e9

    def _ran(self) -> float:
        with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / self._tick

    def memory(self) -> int:
        """Resident bytes."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def busy(self, seconds: float = QUIET_WATCH) -> float:
        """Part of one processor used over so many seconds from now."""
        begun, used = time.monotonic(), self.cpu()
        time.sleep(seconds)
        return (self.cpu() - used) / (time.monotonic() - begun)


def dial(host: str, port: int) -> socket.socket:
    """A connection to whoever accepts there. Raises `OSError`, also if that is only we ourselves (RFC 9293 3.5)."""
    sock = socket.create_connection((host, port), SOON)
    if sock.getsockname() == sock.getpeername():
        sock.close()
        raise ConnectionRefusedError(errno.ECONNREFUSED, "connected to itself: nobody listens")
    return sock


class ServerTarget:
    """The server at `host`, `port`. Raises `CannotReach` if it does not accept."""

    def __init__(self, host: str, port: int, options: Options) -> None:
        self.host, self.port, self.options = host, port, options
        self.jobs = max(1, min(JOBS, options.max_connections // CONNECTIONS_PER_JOB))
        self.name = f"server {host}:{port}"
        try:
            dial(host, port).close()
        except OSError as error:
            raise CannotReach(f"nothing accepts at {host}:{port} ({error.strerror or error})") from None
        self._has: dict[str, bool] = {}
        self._asking = threading.Lock()
        self.process: Process | None = None
        if options.pid is not None:
            self.process = Process(options.pid)
            time.sleep(QUIET_WATCH)  # the connection just closed is not part of the base
            self.base_descriptors = self.process.descriptors()
            self.base_memory = self.process.memory()

    def begin(self, case: Case) -> ServerRun:
        return ServerRun(case, self.options, self)

    def has(self, part: str) -> bool:
        """Does it know an action of this part? It is asked once. Raises `Failed` if it does not answer."""
        with self._asking:
            if part not in self._has:
                self._has[part] = any(self.knows(name) for name in PARTS[part])
            return self._has[part]

    def knows(self, name: str) -> bool:
        """Is there such an action? Raises `Failed` if it does not answer."""
        check = ServerRun(Case("", "", "", "", "", lambda run: None), self.options, self)
        try:
            peer = check.connect()
            peer.send(action(name))
            return peer.reply(what=f"a reply to {name}").code != "unknown-action"
        finally:
            check.close()

    def after(self, run: ServerRun) -> None:
        """Is it whole? Raises `Failed`."""
        check = ServerRun(run.case, self.options, self)
        try:
            peer = check.connect()
            peer.send(search("ring"))
            peer.result(RING)
        except Failed as failure:
            raise Failed(f"a fresh connection to be served after the case ({failure.expected})", failure.came) from None
        finally:
            check.close()
        if self.process is not None and run.case.phase == ALONE:
            check.quiet("after the case")
            check.descriptors_back()

    def close(self) -> None:
        """It is not ours to end."""


class ServerRun(Run):
    """One case against a server."""

    def __init__(self, case: Case, options: Options, target: ServerTarget) -> None:
        super().__init__(case, options)
        self.target = target

    def check_part(self) -> None:
        part = self.case.part
        if part is not None and not self.target.has(part):
            raise Unimplemented(f"the server has no {part}: it answers unknown-action to {', '.join(PARTS[part])}")

    @property
    def patience(self) -> float:
        return self.options.patience

    def connect(self, receive_buffer: int | None = None) -> Peer:
        """A fresh connection, closed when the case ends. `receive_buffer` makes the window small."""
        family = socket.AF_INET6 if ":" in self.target.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        self.closing(sock.close)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(SOON)
        try:
            sock.connect((self.target.host, self.target.port))
        except OSError as error:
            raise Failed("the connection to be accepted", str(error.strerror or error)) from None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Peer(self, sock)

    def kept(self, receive_buffer: int | None = None) -> Peer:
        """A connection for which keep-alive was granted. `Failed` if it is not."""
        peer = self.connect(receive_buffer)
        peer.send(search("ring", connection="keep-alive"))
        if peer.result(RING).header.get("connection") != "keep-alive":
            raise Failed('"connection": "keep-alive" on the first reply', "a reply without it")
        return peer

    def stuff(self, peer: Peer, request: bytes, most: int) -> None:
        """Send requests and read nothing until the server stops reading; `Failed` if it reads `most` bytes.

        That it only was busy is ruled out: it has stopped if it serves another and still reads none of it.
        """
        peer.sock.settimeout(0.2)
        sent = stalls = 0
        while sent < most:
            try:
                sent += peer.sock.send(request)
                stalls = 0
            except TimeoutError:
                stalls += 1
                if stalls > 2:
                    self.note(f"the server stopped reading after {sent >> 10} KiB")
                    return
                other = self.connect()
                other.send(search("ring"))
                other.result(RING)
                other.close()
            except OSError as error:
                if stalls:
                    self.note(f"the server stopped reading after {sent >> 10} KiB, and has cut the connection since")
                    peer.over = "RST"
                    return
                raise Failed("its requests to wait", f"{error.strerror} after {sent >> 10} KiB") from None
        raise Failed("its requests to wait", f"{sent >> 20} MiB were read, with no reply taken")

    @property
    def process(self) -> Process:
        """The server's. Raises `Informational` without `--pid`."""
        if self.target.process is None:
            raise Informational("shown only with --pid")
        return self.target.process

    def quiet(self, when: str) -> None:
        """It does not spin: with `--pid`, its processor time stands still. A busy moment is given time to pass."""
        if self.target.process is None:
            return
        busy = 1.0
        for _ in range(10):
            busy = self.target.process.busy()
            if busy < QUIET_PART:
                return
        raise Failed(f"the process to be quiet {when}", f"{busy:.0%} of a processor used, for seconds: it spins")

    def descriptors_back(self, allowed: int = KEPT_DESCRIPTORS) -> None:
        if self.target.process is None:
            return
        base = self.target.base_descriptors
        back = self.until(lambda: self.process.descriptors() <= base + allowed, SOON + 2)
        if not back:
            raise Failed(f"about {base} descriptors, as at first", f"{self.process.descriptors()}")

    def memory_back(self, base: int, allowed: int = KEPT_MEMORY) -> None:
        """Resident memory is about what it was. Only for cases that run alone."""
        if not self.until(lambda: self.process.memory() <= base + allowed, SOON):
            grown = (self.process.memory() - base) >> 20
            raise Failed(f"memory to grow by less than {allowed >> 20} MiB", f"{grown} MiB more")

    @staticmethod
    def until(holds: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() >= end:
                return False
            time.sleep(0.02)
        return True
