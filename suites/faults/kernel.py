"""What if this system call, of all calls, failed?

`Faults` holds the plan: the `nth` call of `call` fails with `error`, once (or, with `stays`, it and
all that follow). It counts the calls of the victim's sockets alone, and only while it is `armed`,
so that those who stand by are never hit:

* a socket that is opened or accepted while it is armed is the victim's;
* a listening socket's `accept`, and what epoll is told of it, count too.

The sockets are real ones (a subclass of `socket.socket` that fails before it asks the kernel), and
so is epoll: the object under `selectors.EpollSelector` is wrapped, so that the standard library's
own handling of its errors is exercised as well. Three calls do their work although they fail, as
they do on Linux: `close` gives the descriptor back whatever it returns, `connect` goes on after
EINPROGRESS and EINTR, and EPOLL_CTL_DEL takes out.

`Jumping` is a selector whose sleep moves a `FakeClock`: timers fire at once in real time, and a
sleep that nothing would end is an error instead of a hang.

Not here: which errors there are (`suites.faults.errnos`), what is done meanwhile (`suites.faults.scenarios`).
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections import Counter
from typing import Any
from unittest import mock

import libserver.server
from libserver import Server
from suites.faults.errnos import number
from tests.fakes.clock import FakeClock

__all__ = ["Faults", "Jumping", "SleepsForEver", "quick_server"]

#: Polls after which a run that has not ended never will. The longest takes about 150.
MOST_POLLS = 1000

_GOES_ON = {errno.EINPROGRESS, errno.EINTR}


class SleepsForEver(BaseException):
    """`select` was called with nothing under way and no timer. Not an Exception, which a loop would survive."""


def quick_server(*args: Any, **options: Any) -> Server:
    """A `Server`, without the large block that it has malloc adjust to: that costs more than a whole run."""
    with mock.patch.object(libserver.server, "keep_large_blocks"):
        return Server(*args, **options)


class Faults:
    """The plan, and what was met on the way. `most`: bytes that one send takes, as a full buffer has it."""

    def __init__(self, call: str = "", error: str = "", nth: int = 0, stays: bool = False, most: int = 1 << 30) -> None:
        self.call = call
        self.error = number(error) if error else 0
        self.nth = nth
        self.stays = stays
        self.most = most
        self.armed = False
        self.fired = 0
        self.counts: Counter[str] = Counter()
        self.watched: set[int] = set()  # descriptors whose epoll_ctl counts
        self.socket = type("Socket", (_Socket,), {"faults": self})

    def code(self, call: str) -> int:
        """Count this call; the errno to fail with, or 0."""
        if not self.armed:
            return 0
        self.counts[call] += 1
        if call != self.call or not (self.counts[call] == self.nth or (self.stays and self.counts[call] > self.nth)):
            return 0
        self.fired += 1
        return self.error

    def meet(self, call: str) -> None:
        code = self.code(call)
        if code:
            raise OSError(code, os.strerror(code))

    @property
    def module(self) -> Any:
        """What stands where a module under test has imported `socket`."""
        return _SocketModule(self.socket)


class _SocketModule:
    def __init__(self, kind: type) -> None:
        self.socket = kind

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)


class _Socket(socket.socket):
    """A real socket that fails as planned."""

    faults: Faults
    victim = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "fileno" not in kwargs:
            self.faults.meet("socket")
        super().__init__(*args, **kwargs)
        if self.faults.armed:
            self.victim = True
            self.faults.watched.add(self.fileno())

    def _meet(self, call: str) -> None:
        if self.victim:
            self.faults.meet(call)

    def bind(self, address: Any) -> None:
        self._meet("bind")
        super().bind(address)

    def listen(self, *backlog: int) -> None:
        self._meet("listen")
        super().listen(*backlog)
        self.faults.watched.add(self.fileno())

    def accept(self) -> tuple[socket.socket, Any]:
        self.faults.meet("accept")
        number, address = self._accept()  # type: ignore[attr-defined]
        return type(self)(self.family, self.type, self.proto, fileno=number), address

    def connect(self, address: Any) -> None:
        self._meet("connect")
        super().connect(address)

    def connect_ex(self, address: Any) -> int:
        code = self.faults.code("connect") if self.victim else 0
        if code and code not in _GOES_ON:
            return code
        done = super().connect_ex(address)
        return code if code and done == errno.EINPROGRESS else done

    def getsockopt(self, *args: Any) -> Any:
        self._meet("getsockopt")
        if self.victim and args[:2] == (socket.SOL_SOCKET, socket.SO_ERROR):
            code = self.faults.code("SO_ERROR")
            if code:
                return code
        return super().getsockopt(*args)

    def setsockopt(self, *args: Any) -> None:
        self._meet("setsockopt")
        super().setsockopt(*args)

    def recv(self, size: int, flags: int = 0) -> bytes:
        self._meet("recv")
        return super().recv(size, flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self._meet("recv_into")
        return super().recv_into(buffer, nbytes, flags)

    def send(self, data: Any, flags: int = 0) -> int:
        self._meet("send")
        return super().send(memoryview(data)[: self.faults.most] if self.victim else data, flags)

    def sendmsg(self, buffers: Any, *args: Any) -> int:
        self._meet("sendmsg")
        if self.victim:
            return super().send(memoryview(b"".join(buffers))[: self.faults.most])
        return super().sendmsg(buffers, *args)

    def shutdown(self, how: int) -> None:
        self._meet("shutdown")
        super().shutdown(how)

    def getpeername(self) -> Any:
        self._meet("getpeername")
        return super().getpeername()

    def getsockname(self) -> Any:
        self._meet("getsockname")
        return super().getsockname()

    def close(self) -> None:
        if self.fileno() < 0:
            return  # no system call
        self.faults.watched.discard(self.fileno())
        super().close()
        self._meet("close")


class _Epoll:
    """What `selectors.EpollSelector` asks."""

    def __init__(self, real: Any, faults: Faults) -> None:
        self._real = real
        self._faults = faults

    def _meet(self, call: str, fd: int) -> None:
        if fd in self._faults.watched:
            self._faults.meet(call)

    def register(self, fd: int, events: int) -> None:
        self._meet("epoll_ctl ADD", fd)
        self._real.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        self._meet("epoll_ctl MOD", fd)
        self._real.modify(fd, events)

    def unregister(self, fd: int) -> None:
        self._real.unregister(fd)
        self._meet("epoll_ctl DEL", fd)

    def poll(self, *args: Any) -> Any:
        self._faults.meet("epoll_wait")
        return self._real.poll(*args)

    def close(self) -> None:
        self._real.close()

    def fileno(self) -> int:
        number: int = self._real.fileno()
        return number


class Jumping(selectors.EpollSelector):
    """Real readiness, imagined sleep. `polls` counts the turns."""

    def __init__(self, clock: FakeClock, faults: Faults) -> None:
        super().__init__()
        self.clock = clock
        self.polls = 0
        self._selector: Any = _Epoll(self._selector, faults)

    def select(self, timeout: float | None = None) -> Any:
        self.polls += 1
        if self.polls > MOST_POLLS:
            raise SleepsForEver("the loop spins, or waits for what will not come")
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        ready = super().select(0.001)  # what is under way on the loopback arrives within that
        if ready:
            return ready
        if timeout is None:
            raise SleepsForEver("nothing would ever end this sleep")
        self.clock.advance(timeout)
        return ready
