"""Which system calls did a connection make, and what did they return?

`TracedSocket` and `TracedSelector` stand in place of a socket and a selector: each passes every call
on, returns its result, and calls the connection's `Notes` afterwards.

Rules:

* The call comes first, and the caller gets its result or error whatever the note does.
* Methods not named here go straight through.
* It notes a wake when its connection acts: the event may be stale by then.

Not here: the records (`study.recorder`).
"""

from __future__ import annotations

import errno
import selectors
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

__all__ = ["Notebook", "Notes", "TracedSelector", "TracedSocket", "in_words"]


class Notes(Protocol):
    """What a traced socket and selector tell of one connection (`study.recorder.Trail`)."""

    @property
    def recorder(self) -> Notebook: ...
    def opened(self, sock: Any) -> None: ...
    def syscall(self, call: str, result: int | str, **data: Any) -> None: ...
    def bytes(self, call: str, direction: str, asked: int, chunks: Iterable[Any], count: int) -> None: ...
    def masked(self, mask: int) -> None: ...
    def wake(self, mask: int) -> None: ...


class Notebook(Protocol):
    """Where the notes go (`study.recorder.Recorder`). `trails`: the notes of open connections, by descriptor."""

    on: bool
    trails: dict[int, Notes]

    def end_turn(self) -> None: ...
    def fail(self, error: Exception) -> None: ...


def in_words(name: Any) -> str:
    """A socket's name as `getsockname` gives it, in words."""
    if not isinstance(name, tuple):
        return "unix"
    host = name[0]
    if len(name) == 4 and name[3] and "%" not in host:  # a link-local address means something in its zone only
        host += f"%{name[3]}"
    return f"[{host}]:{name[1]}" if ":" in host else f"{host}:{name[1]}"


class TracedSocket:
    """A socket that notes its calls. Other methods go straight through."""

    __slots__ = ("_sock", "_trail")

    def __init__(self, sock: Any, trail: Notes) -> None:
        self._sock = sock
        self._trail = trail
        self._tell(lambda: trail.recorder.trails.__setitem__(sock.fileno(), trail))
        self._tell(lambda: trail.opened(sock))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def fileno(self) -> int:
        number: int = self._sock.fileno()
        return number

    def _tell(self, what: Callable[[], None]) -> None:
        if self._trail.recorder.on:
            try:
                what()
            except Exception as error:
                self._trail.recorder.fail(error)

    def _failed(self, call: str, error: OSError, **data: Any) -> None:
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        self._tell(lambda: self._trail.syscall(call, name, **data))

    def recv(self, size: int) -> bytes:
        try:
            data: bytes = self._sock.recv(size)
        except OSError as error:
            self._failed("recv", error, asked=size, direction="in")
            raise
        self._tell(lambda: self._trail.bytes("recv", "in", size, (data,), len(data)))
        return data

    def recv_into(self, space: Any) -> int:
        size = len(space)
        try:
            count: int = self._sock.recv_into(space)
        except OSError as error:
            self._failed("recv_into", error, asked=size, direction="in")
            raise
        self._tell(lambda: self._trail.bytes("recv_into", "in", size, (space,), count))
        return count

    def send(self, data: Any, flags: int = 0) -> int:
        try:
            count: int = self._sock.send(data, flags)
        except OSError as error:
            self._failed("send", error, asked=len(data), direction="out")
            raise
        self._tell(lambda: self._trail.bytes("send", "out", len(data), (data,), count))
        return count

    def sendmsg(self, buffers: list[Any]) -> int:
        size = sum(map(len, buffers))
        try:
            count: int = self._sock.sendmsg(buffers)
        except OSError as error:
            self._failed("sendmsg", error, asked=size, direction="out")
            raise
        self._tell(lambda: self._trail.bytes("sendmsg", "out", size, buffers, count))
        return count

    def connect_ex(self, address: Any) -> int:
        code: int = self._sock.connect_ex(address)
        words = errno.errorcode.get(code, str(code)) if code else 0
        self._tell(lambda: self._trail.syscall("connect", words, to=in_words(address)))
        if not code:
            self._tell(lambda: self._trail.opened(self._sock))
        return code

    def getsockopt(self, level: int, option: int, *size: int) -> Any:
        value = self._sock.getsockopt(level, option, *size)
        words = errno.errorcode.get(value, value) if isinstance(value, int) else "?"
        self._tell(lambda: self._trail.syscall("getsockopt", words, option="SO_ERROR"))
        if value == 0:
            self._tell(lambda: self._trail.opened(self._sock))  # its addresses are known only now
        return value

    def shutdown(self, how: int) -> None:
        try:
            self._sock.shutdown(how)
        except OSError as error:
            self._failed("shutdown", error)
            raise
        self._tell(lambda: self._trail.syscall("shutdown", 0))

    def close(self) -> None:
        number = self._sock.fileno()
        self._sock.close()
        self._tell(lambda: self._trail.syscall("close", 0))
        if self._trail.recorder.trails.get(number) is self._trail:
            del self._trail.recorder.trails[number]


class TracedSelector(selectors.BaseSelector):
    """A selector that notes wakes and masks, and passes everything on."""

    def __init__(self, recorder: Notebook, inner: selectors.BaseSelector) -> None:
        self._recorder = recorder
        self._inner = inner

    def _mask(self, fileobj: Any, mask: int) -> None:
        if self._recorder.on:
            try:
                trail = self._recorder.trails.get(fileobj if isinstance(fileobj, int) else fileobj.fileno())
                if trail is not None:
                    trail.masked(mask)
            except Exception as error:
                self._recorder.fail(error)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._inner.register(fileobj, events, data)
        self._mask(fileobj, events)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = self._inner.unregister(fileobj)
        self._mask(fileobj, 0)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._inner.modify(fileobj, events, data)
        self._mask(fileobj, events)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        recorder = self._recorder
        if recorder.on:
            recorder.end_turn()
        ready = self._inner.select(timeout)
        if recorder.on:
            trails = recorder.trails
            for key, mask in ready:
                trail = trails.get(key.fd)
                if trail is not None:
                    trail.wake(mask)
        return ready

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.get_key(fileobj)

    def close(self) -> None:
        self._inner.close()
