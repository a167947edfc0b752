"""What would the server be without one of its tricks?

    python -m benchmarks.tricks NAME HOST PORT [options of app_server.py]

Starts app_server.py with one trick of its hot path taken out and nothing else changed, so that
`benchmarks.ablation` can say what it brings. `nothing` takes out nothing: what the others are
compared with, started in the same way.

Rules:

* A trick is taken out by putting something simpler in place of one function or attribute of the
  real code, before the server starts. Only here: nothing of the product knows of it.
* What is put there is what one would have written first, and costs no more than that: no wrapper
  around a cache that then misses, where building anew is meant.
* The server stays right without any of them: it answers every request as before.
* `TRIED` are the other way round: what the server does not do, put in, because it did not pay.

Not here: measuring (`benchmarks.ablation`).
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import eventloop.listener
import eventloop.transport
import libserver.dispatcher
import libserver.message
import libserver.request_batch
import libserver.server
import multiconn.commands.server
import protocol.connection
import protocol.content
import protocol.frames
from benchmarks.unobserved import blind

__all__ = ["NOTHING", "TRICKS", "TRIED", "Trick"]

#: `setattr`, or what a test undoes afterwards.
Patch = Callable[[Any, str, Any], None]

NOTHING = "nothing"

Message = libserver.message.Message
RequestBatch = libserver.request_batch.RequestBatch
Transport = eventloop.transport.Transport
Codec = protocol.frames.Codec

ORDINARY = ("64x1", "64x1-mixed", "64x16", "64x16-mixed")


@dataclass(frozen=True)
class Trick:
    """`what` it is, how to `remove` it, and the loads on which it should bring something.

    `memory`: what it is for is the memory of an idle connection. `needs`: a module that has to be
    installed.
    """

    name: str
    what: str
    remove: Callable[[Patch], None] = field(repr=False)
    loads: tuple[str, ...] = ORDINARY
    memory: bool = False
    needs: str | None = None

    @property
    def missing(self) -> str | None:
        """Why it can't run here, or None."""
        if self.needs is None or find_spec(self.needs) is not None:
            return None
        return f"{self.name}: {self.needs} is not installed (pip install '.[bench]')"


class Forgetful(dict[Any, Any]):
    """A cache that keeps nothing."""

    def __setitem__(self, key: object, value: object) -> None: ...


def _each_reply_alone(patch: Patch) -> None:
    write = Message.write

    def write_each(self: Any, replies: list[Any], size: int | None = None, last: bool = False) -> None:
        reply: list[Any] = []
        for part in replies:
            if reply and part[:1] in (b"\0", b"\1"):  # a prefix, of a header below 512 bytes
                write(self, reply)
                reply = []
            reply.append(part)
        write(self, reply, last=last)

    patch(Message, "write", write_each)
    for module in (libserver.message, libserver.request_batch):
        patch(module, "JOIN_BELOW", 0)  # small replies don't go around it


def _without_header_cache(patch: Patch) -> None:
    """Without the one for headers with ids too: a server that parses every header does not look for its id first."""
    begin = Codec.__init__

    def forget(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self.headers = Forgetful()
        self.common = Forgetful()

    patch(Codec, "__init__", forget)
    _without_id_cache(patch)


def _without_id_cache(patch: Patch) -> None:
    patch(Codec, "common_around_id", lambda self, framed: (None, b""))


def _without_reply_header_cache(patch: Patch) -> None:
    begin = Codec.__init__

    def forget(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self.json_reply_headers = Forgetful()
        self.json_result_heads = Forgetful()
        self.binary_reply_headers = Forgetful()
        self.around_reply_ids = Forgetful()

    patch(Codec, "__init__", forget)


def _json_by_its_front_door(patch: Patch) -> None:
    """As `json` is used everywhere. `loads` without options: it takes NaN, but makes no new decoder per call."""

    def dumps(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=protocol.content._unencodable)

    _read_each(patch, lambda content: json.loads(content.decode()))
    patch(libserver.dispatcher, "decode_text", lambda text: json.loads(text))
    patch(libserver.dispatcher, "quote", dumps)
    patch(protocol.content, "quote", dumps)
    patch(protocol.content, "_iterencode", lambda value, level: (dumps(value),))


def _read_each_alone(patch: Patch) -> None:
    _read_each(patch, lambda content: protocol.content.decode_text(content.decode()))


def _read_each(patch: Patch, read: Callable[[bytes], Any]) -> None:
    """The batch's contents by `read`, one by one."""

    def read_each(contents: list[bytes], longest: int) -> list[Any]:
        values = []
        for content in contents:
            try:
                values.append(read(content))
            except (ValueError, RecursionError):
                break
        return values

    patch(libserver.dispatcher, "decode_contents", read_each)


def _register_before_sending(patch: Patch) -> None:
    def keep(self: Any, parts: Any) -> None:
        if not self._facts & eventloop.transport._NOT_WRITABLE:
            self._keep(parts)
            self._watch_output()

    patch(Transport, "write", lambda self, data, last=False: keep(self, (data,)))
    patch(Transport, "writelines", keep)


def _answer_where_it_is_read(patch: Patch) -> None:
    patch(RequestBatch, "add", lambda self, message, data: message.write(*message.serve(data)))


def _answer_one_by_one(patch: Patch) -> None:
    """They still wait for each other, and their replies leave together."""
    patch(RequestBatch, "_answer_common", lambda self: None)


def _slow_path_only(patch: Patch) -> None:
    """The dispatcher is asked and takes nothing: what is left of it is a call per read."""
    patch(libserver.dispatcher.Dispatcher, "serve", lambda self, *asked: (0, [], 0))
    _answer_one_by_one(patch)


def _one_accept_per_event(patch: Patch) -> None:
    begin = eventloop.listener.Listener.__init__

    def one(self: Any, *arguments: Any, **more: Any) -> None:
        begin(self, *arguments, **more, budget=1)

    patch(eventloop.listener.Listener, "__init__", one)


def _accept_as_socket_does(patch: Patch) -> None:
    patch(eventloop.listener, "acceptor", lambda listening: lambda: listening.accept())


def _wait_before_reading(patch: Patch) -> None:
    patch(Message, "start", Message.watch)


def _linger_always(patch: Patch) -> None:
    patch(Transport, "nothing_unread", lambda self: False)


def _reply_and_fin_apart(patch: Patch) -> None:
    patch(eventloop.transport, "_MORE", 0)


def _ask_by_reading(patch: Patch) -> None:
    patch(eventloop.transport, "_can_poll", False)


def _sleep_at_once(patch: Patch) -> None:
    patch(libserver.server, "SPIN", 0)


def _receive_all_alike(patch: Patch) -> None:
    """Large contents pass through the buffer that small ones do."""
    for module in (protocol.connection, libserver.message):
        patch(module, "DIRECT_CONTENT", sys.maxsize)


def _join_always(patch: Patch) -> None:
    for module in (libserver.message, libserver.request_batch):
        patch(module, "JOIN_BELOW", sys.maxsize)


def _leave_malloc_alone(patch: Patch) -> None:
    patch(libserver.server, "keep_large_blocks", lambda: None)


def _a_connection_each(patch: Patch) -> None:
    """Each keeps its own `Connection`; what else a busy one needs it still gives back."""

    def keep(self: Any) -> None:
        self.server.receive_timeouts.stop(self)
        pending = self.active
        if pending is not None and pending.empty:
            self.requests = pending.requests

    patch(Message, "_forget_connection", keep)


TRICKS: dict[str, Trick] = {
    trick.name: trick
    for trick in [
        Trick("one-send", "all replies of one read leave in one send", _each_reply_alone),
        Trick("header-cache", "headers seen before are not parsed again", _without_header_cache),
        Trick("reply-headers", "reply headers are remembered by content length", _without_reply_header_cache),
        Trick("prepared-json", "json's C scanner and encoder, prepared once", _json_by_its_front_door),
        Trick("one-scan", "all contents of one read are scanned in one call", _read_each_alone),
        Trick("send-first", "send, and register for writing only what the kernel refused", _register_before_sending),
        Trick(
            "together",
            "what a turn brings on connections at rest is answered when all have been read",
            _answer_where_it_is_read,
            (*ORDINARY, "1000x1"),
        ),
        Trick(
            "one-step",
            "of that, one common request on each connection is answered in one step",
            _answer_one_by_one,
            (*ORDINARY, "1000x1", "64x1-ids"),
        ),
        Trick("batch", "whole requests are cut, read and answered together, without events", _slow_path_only),
        Trick(
            "id-cache",
            "headers that differ by their id alone are parsed once",
            _without_id_cache,
            ("64x1-ids", "64x16-ids"),
        ),
        Trick("accept-batch", "up to 256 connections accepted per event", _one_accept_per_event, ("oneshot", "1000x1")),
        Trick(
            "lean-accept",
            "what kind of socket is accepted is asked once per listener",
            _accept_as_socket_does,
            ("oneshot",),
        ),
        Trick("read-at-accept", "a new connection is read before it is registered", _wait_before_reading, ("oneshot",)),
        Trick("close-at-once", "no lingering where nothing can follow", _linger_always, ("oneshot",)),
        Trick("one-packet", "the last reply waits for the FIN and leaves with it", _reply_and_fin_apart, ("oneshot",)),
        Trick("poll-first", "whether more has come is polled, not read in vain", _ask_by_reading, ("oneshot",)),
        Trick("spin", "asking again some times before sleeping", _sleep_at_once, ("1x1", "1x1-mixed", "64x1")),
        Trick("in-place", "large contents are received into their own buffer", _receive_all_alike, ("echo-1m",)),
        Trick("sendmsg", "large replies are sent in place, not joined", _join_always, ("echo-1m",)),
        Trick("keep-blocks", "malloc keeps the memory of large contents", _leave_malloc_alone, ("echo-1m",)),
        Trick("resting", "an idle connection owns no Connection", _a_connection_each, ("64x1", "64x16"), memory=True),
    ]
}


def _collect_no_garbage(patch: Patch) -> None:
    serve = multiconn.commands.server.main

    def main(argv: Sequence[str] | None = None) -> int:
        gc.disable()
        return serve(argv)

    patch(multiconn.commands.server, "main", main)


def _trace(patch: Patch) -> None:
    """Every connection is traced, to where nothing is kept: what the recording costs, without the disk."""
    original = multiconn.commands.server.main

    def main(argv: Sequence[str] | None = None) -> int:
        return original([*(argv or ()), "--trace", os.devnull])

    patch(multiconn.commands.server, "main", main)


def _receive(size: int) -> Callable[[Patch], None]:
    return lambda patch: patch(eventloop.transport, "RECV_SIZE", size)


def _receive_small_in_place(patch: Patch) -> None:
    """One buffer for all, and what has come copied out of it."""
    space = bytearray(eventloop.transport.RECV_SIZE)
    view = memoryview(space)
    read = Transport.on_readable

    def on_readable(self: Any) -> None:
        facts = self._facts
        if facts & eventloop.transport._NOT_READABLE != eventloop.transport._READING or self._busy is not None:
            read(self)
            return
        try:
            count = self.sock.recv_into(space)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        if not count:
            self._end_of_input()
        elif not facts & eventloop.transport._DISCARDING:
            self.protocol.data_received(bytes(view[:count]))

    patch(Transport, "on_readable", on_readable)


def _own_selector(patch: Patch) -> None:
    """Without what `selectors` does to be general: no count of descriptors, no method per event."""
    if not hasattr(selectors, "EpollSelector"):
        return
    readable, writable = ~selectors.select.EPOLLOUT, ~selectors.select.EPOLLIN  # type: ignore[attr-defined]

    class Lean(selectors.EpollSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            keys = self.get_map()._selector._fd_to_key  # type: ignore[attr-defined]
            try:
                events = self._selector.poll(timeout, 1024)  # type: ignore[attr-defined]
            except InterruptedError:
                return []
            return [
                (keys[fd], (selectors.EVENT_READ if event & readable else 0) | (2 if event & writable else 0))
                for fd, event in events
                if fd in keys
            ]

    patch(selectors, "DefaultSelector", Lean)


def _orjson(patch: Patch) -> None:
    """Read contents with orjson where it gives what json gives, and with json elsewhere.

    That is: an object whose members are all strings, integers of 64 bits, booleans or null. A
    float may be an integer that was too long for it, and inside a list or an object another may
    hide; what it refuses (a lone surrogate, four thousand digits) json may take.
    """
    import orjson  # type: ignore[import-not-found]  # only where it is asked for

    loads, refused, decode_text = orjson.loads, orjson.JSONDecodeError, protocol.content.decode_text
    simple = frozenset({str, int, bool, type(None)}).issuperset

    def read(content: bytes | str) -> Any:
        try:
            value = loads(content)
        except refused:
            value = None
        if value.__class__ is dict and simple(map(type, value.values())):
            return value
        return decode_text(content if isinstance(content, str) else content.decode())

    _read_each(patch, read)
    patch(libserver.dispatcher, "decode_text", read)


TRIED: dict[str, Trick] = {
    trick.name: trick
    for trick in [
        Trick("trace", "every connection is traced", _trace),
        Trick("unobserved", "no observer: no transition asks whether there is one", blind),
        Trick("no-gc", "the garbage collector is off", _collect_no_garbage),
        Trick("recv-16k", "a recv asks for 16 KiB instead of 64", _receive(16 * 1024)),
        Trick("recv-256k", "a recv asks for 256 KiB instead of 64", _receive(256 * 1024)),
        Trick("recv-into", "small requests are received into one buffer for all", _receive_small_in_place),
        Trick("own-selector", "an epoll selector of our own, without what makes selectors general", _own_selector),
        Trick("orjson", "contents are read by orjson where it answers the same", _orjson, needs="orjson"),
    ]
}


def main(argv: Sequence[str]) -> int:
    names = (NOTHING, *TRICKS, *TRIED)
    if not argv or argv[0] not in names:
        print(f"usage: python -m benchmarks.tricks NAME HOST PORT; NAME is one of {', '.join(names)}", file=sys.stderr)
        return 2
    if argv[0] != NOTHING:
        trick = (TRICKS | TRIED)[argv[0]]
        if trick.missing:
            print(trick.missing, file=sys.stderr)
            return 2
        trick.remove(setattr)
    return multiconn.commands.server.main(argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
