"""How does one peer behave on a raw socket?

`Peer` is one connection: it sends bytes as told, and reads what comes as a reply, an event, a FIN, a RST
or silence.

Rules:

* Every wait has an end. What was expected and did not come is `Failed`, with what came instead.
* A reply is judged while it is read: its header's fields, its length, and for an error the form
  of its content. Whatever is legible but not to the letter is noted as a deviation.
* An event is no reply: where one comes instead, that is `Failed`.

Not here: what an event says (`topics`), how a message looks (`wire`), which bytes are sent to whom, and why (the
cases).
"""

from __future__ import annotations

import json
import selectors
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from typing import Any

from .case import SOON, Failed, Run
from .wire import ABSENT, RING, Reply, search, shown, take

__all__ = ["Peer", "exchange"]


class Peer:
    """One connection to the target, seen from its other end."""

    def __init__(self, run: Run, sock: socket.socket) -> None:
        self.run = run
        self.sock = sock
        self.unread = bytearray()
        self.over: str | None = None  # "FIN" or "RST", once it was seen
        self.replies = 0

    # --- sending ---

    def send(self, data: bytes, within: float = SOON * 4) -> None:
        """Send all of it; `Failed` if they reset meanwhile, or stop reading for good."""
        if len(data) < 4096:
            self.run.note(f"sends {len(data)} bytes {shown(data[:60])}")
        else:
            self.run.note(f"sends {len(data)} bytes")
        self.sock.settimeout(within)
        try:
            self.sock.sendall(data)
        except TimeoutError:
            raise Failed(f"{len(data)} bytes to be read", f"they were not in {within:g} s") from None
        except OSError as error:
            raise Failed(f"{len(data)} bytes to be read", f"{error.strerror} while they were sent") from None

    def try_send(self, data: bytes) -> bool:
        """Send all of it, or say that they have gone."""
        self.sock.settimeout(SOON)
        try:
            self.sock.sendall(data)
        except OSError:
            return False
        return True

    def segments(self, parts: Iterable[bytes], pause: float = 0.0) -> None:
        """Each part in a segment of its own (TCP_NODELAY is on), `pause` seconds apart."""
        self.run.note("sends in segments")
        self.sock.settimeout(SOON)
        for index, part in enumerate(parts):
            if index and pause:
                time.sleep(pause)
            try:
                self.sock.sendall(part)
            except OSError as error:
                raise Failed("all segments to be read", f"{error.strerror} at segment {index + 1}") from None

    def byte_by_byte(self, data: bytes) -> None:
        """One byte a segment; the first ones so slowly that each is read alone, which all of them need not be."""
        self.segments((data[at : at + 1] for at in range(20)), pause=0.005)
        self.segments(data[at : at + 1] for at in range(20, len(data)))

    def half_close(self) -> None:
        self.run.note("half-closes (SHUT_WR)")
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise Failed("the connection to be open still", f"{error.strerror} at SHUT_WR") from None

    def reset(self) -> None:
        """Close with a RST."""
        self.run.note("resets (RST)")
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    # --- receiving ---

    def receive(self, until: float, most: int = 1 << 18) -> bool:
        """Take in what comes until then; False if nothing did. Sets `over` at the end of the stream."""
        left = until - time.monotonic()
        if self.over or left <= 0:
            return False
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(most)
        except TimeoutError:
            return False
        except ConnectionResetError:
            self.over = "RST"
            self.run.note("RST")
            return True
        except OSError as error:
            self.over = str(error.strerror)
            return True
        if data:
            self.unread += data
        else:
            self.over = "FIN"
            self.run.note("FIN")
        return True

    def _need(self, count: int, until: float, what: str) -> None:
        while len(self.unread) < count:
            if self.over:
                rest = f" after {len(self.unread)} bytes {shown(bytes(self.unread[:60]))}" if self.unread else ""
                raise Failed(what, f"{self.over}{rest}")
            if not self.receive(until) and time.monotonic() >= until:
                raise Failed(what, f"silence{f' after {len(self.unread)} bytes' if self.unread else ''}")

    def reply(self, within: float = SOON, what: str = "a reply") -> Reply:
        """The next reply. `Failed` if there is none in time, an event comes instead, or it can't be read."""
        answer = self.next_message(within, what)
        if answer.is_event:
            raise Failed(what, str(answer))
        return answer

    def next_message(self, within: float = SOON, what: str = "a reply or an event") -> Reply:
        """What comes next, a reply or an event. `Failed` if there is none in time, or it can't be read."""
        until = time.monotonic() + within
        self._need(2, until, what)
        end = 2 + int.from_bytes(self.unread[:2], "big")
        self._need(end, until, f"{what}: the whole header")
        fields = _header_of(bytes(self.unread[2:end]))
        whole = end + fields["content-length"]
        self._need(whole, until + fields["content-length"] / 4e6, f"{what}: the whole content")
        content = bytes(self.unread[end:whole])
        frame = bytes(self.unread[:whole]) if "event" in fields else b""
        del self.unread[:whole]
        try:
            answer = Reply(fields, content, frame)
        except ValueError as error:
            raise Failed("JSON in a text/json message", f"{shown(content)} ({error})") from None
        if answer.is_event:
            return answer
        self._judge(answer)
        self.replies += 1
        if self.replies <= 3:
            self.run.note(str(answer))
        return answer

    def _judge(self, answer: Reply) -> None:
        """What holds for every reply."""
        fields, content = answer.header, answer.content
        if fields.get("connection", "close") not in ("keep-alive", "close"):
            raise Failed('"keep-alive" or "close" as connection', shown(fields["connection"]))
        if not answer.is_json:
            return
        if fields["content-encoding"] != "utf-8":
            self.run.deviates("content-encoding utf-8 on a JSON reply", shown(fields["content-encoding"]))
        if not isinstance(answer.value, dict) or "result" not in answer.value:
            raise Failed("an object with a result", shown(content))
        if answer.code is not None:
            words = answer.value["error"].get("message")
            if not isinstance(words, str) or not words:
                self.run.deviates("an error with a message", shown(answer.value["error"]))
            if not str(answer.result).startswith("Error: "):
                self.run.deviates('a result that begins with "Error: " beside an error', shown(answer.result))

    # --- expecting ---

    def result(self, result: object, within: float = SOON, id: object = ABSENT) -> Reply:
        """A successful JSON reply with this result, and this id."""
        answer = self.reply(within, f"result {shown(result)}")
        if answer.code is not None or answer.result != result or type(answer.result) is not type(result):
            raise Failed(f"result {shown(result)}", str(answer))
        self._same_id(answer, id)
        return answer

    def content(self, content: bytes, type: str, within: float = SOON, id: object = ABSENT) -> Reply:
        """A binary reply with these bytes."""
        answer = self.reply(within, f"{len(content)} bytes of type {type}")
        if answer.header["content-type"] != type or answer.content != content:
            raise Failed(f"{type} {shown(content)}", str(answer))
        if answer.header["content-encoding"] != "binary":
            self.run.deviates("content-encoding binary", shown(answer.header["content-encoding"]))
        self._same_id(answer, id)
        return answer

    def error(self, *codes: str, within: float = SOON, id: object = ABSENT) -> Reply:
        """An error reply with one of these codes."""
        wanted = " or ".join(codes)
        answer = self.reply(within, f"error {wanted}")
        if answer.code not in codes:
            raise Failed(f"error {wanted}", str(answer))
        self._same_id(answer, id)
        return answer

    def _same_id(self, answer: Reply, id: object) -> None:
        got = answer.header.get("id", ABSENT)
        if got != id or type(got) is not type(id):
            raise Failed(f"id {shown(id)}", shown(got))

    def fin(self, within: float = SOON) -> None:
        """They have nothing more to say: FIN, and not a RST."""
        until = time.monotonic() + within
        while not self.over and not self.unread and time.monotonic() < until:
            self.receive(until)
        if self.unread:
            raise Failed("FIN", f"{len(self.unread)} bytes more: {shown(bytes(self.unread[:80]))}")
        if self.over != "FIN":
            raise Failed("FIN", self.over or f"neither FIN nor bytes in {within:g} s")

    def silence(self, seconds: float) -> None:
        """Nothing comes, not even FIN."""
        self.receive(time.monotonic() + seconds)
        if self.over or self.unread:
            raise Failed("silence", self.over or f"{len(self.unread)} bytes: {shown(bytes(self.unread[:80]))}")

    def end(self, within: float) -> str | None:
        """How it ends: "FIN" or "RST", None if it does not in time. Bytes before it are kept in `unread`."""
        until = time.monotonic() + within
        while not self.over and time.monotonic() < until:
            self.receive(until)
        return self.over

    def refused(self, *codes: str, within: float = SOON, id: object = ABSENT) -> Reply:
        """An error reply, then FIN, while the peer has not closed: a lingering close."""
        answer = self.error(*codes, within=within, id=id)
        self.fin()
        return answer

    def usable(self) -> None:
        """The kept-alive connection still serves."""
        self.send(search("ring", id="still usable"))
        self.result(RING, id="still usable")


def _header_of(raw: bytes) -> dict[str, Any]:
    """A reply's header, judged. Raises `Failed`."""
    try:
        fields = json.loads(raw.decode())
    except ValueError:
        raise Failed("a header of UTF-8 JSON", shown(raw)) from None
    if not isinstance(fields, dict):
        raise Failed("a header that is an object", shown(raw))
    for name in ("byteorder", "content-type", "content-encoding", "content-length"):
        if name not in fields:
            raise Failed(f"a header with {name}", shown(raw))
    length = fields["content-length"]
    if type(length) is not int or length < 0 or not isinstance(fields["content-type"], str):
        raise Failed("a header with a type and a length", shown(raw))
    return fields


def exchange(peers: Sequence[Peer], outgoing: Sequence[bytes], replies: int, within: float) -> list[list[Reply]]:
    """Send to each peer while reading from all, as a client that pipelines does; `replies` from each.

    Raises `Failed` if not all have come in time.
    """
    until = time.monotonic() + within
    got: list[list[Reply]] = [[] for _ in peers]
    left = [memoryview(data) for data in outgoing]
    with selectors.DefaultSelector() as selector:
        for index, peer in enumerate(peers):
            peer.sock.setblocking(False)
            selector.register(peer.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, index)
        waiting = len(peers)
        while waiting:
            ready = selector.select(max(0.0, until - time.monotonic()))
            if not ready:
                raise Failed(f"{replies} replies on each connection", f"{min(map(len, got))} on one in {within:g} s")
            for key, events in ready:
                index = key.data
                peer = peers[index]
                if events & selectors.EVENT_WRITE:
                    try:
                        left[index] = left[index][peer.sock.send(left[index][: 1 << 18]) :]
                    except BlockingIOError:
                        pass
                    except OSError as error:
                        raise Failed("all requests to be read", str(error.strerror)) from None
                    if not left[index]:
                        selector.modify(peer.sock, selectors.EVENT_READ, index)
                if events & selectors.EVENT_READ:
                    try:
                        data = peer.sock.recv(1 << 18)
                    except BlockingIOError:
                        continue
                    except OSError as error:
                        raise Failed(f"{replies} replies", f"{error.strerror} after {len(got[index])}") from None
                    if not data:
                        raise Failed(f"{replies} replies", f"FIN after {len(got[index])}")
                    peer.unread += data
                    while (taken := take(peer.unread, _header_of)) is not None:
                        got[index].append(Reply(taken[1], taken[2]))
                    if len(got[index]) >= replies:
                        selector.unregister(peer.sock)
                        waiting -= 1
    return got
