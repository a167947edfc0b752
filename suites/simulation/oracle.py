"""What must the server answer to these bytes?

A second, slow and simple reading of wire.md that shares nothing with `protocol`: it takes what the
server's socket received, frame by frame, and foretells the reply to each request; and it takes what the
server sent, and compares. A reply that no request explains, one that is wrong, one that comes too early
or twice is told at the byte at which it happened.

`Conversation` is the tap of one accepted socket. What it foretells is exact but for time: a request with
`deadline-ms` may be answered `deadline-exceeded`, and one error out of `LAST_WORDS` may end the
conversation where no whole request awaits its reply before it, or `shutting-down` in the place of the
oldest that does, if the connection is then cut.

Not here: what must hold beyond one conversation (`invariants`), what is said about topics (`listening`).
"""

from __future__ import annotations

import codecs
import json
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from protocol import Limits
from protocol.states import ENDED, FAILED, FINISHED, OPEN

from .listening import ACTIONS, PLACE, Asked, Listening

__all__ = ["AS_ASKED", "BIG", "Conversation", "EchoConversation", "Expected"]

ENTRIES = {
    "morpheus": "Follow the white rabbit. 🐰",
    "ring": "In the caves beneath the Misty Mountains. 💍",
    "🐶": "🐾 Playing ball! 🏐",
}

#: Errors that answer no whole request and end a connection.
LAST_WORDS = ("timeout", "overloaded", "shutting-down")
#: Levels of arrays and objects in a content.
DEEPEST = 128
#: The most characters that the action `big` returns.
BIG = 1000
#: What the action `boom` says of its failure.
AS_ASKED = "as asked"


class Expected(NamedTuple):
    """The reply to one request: its JSON fields, or bytes, or an error's code."""

    id: object
    fields: dict[str, Any] | None = None
    content: bytes | None = None
    code: str | None = None
    deadline: bool = False
    last: bool = False  #: nothing is served after it
    begun: bool = True  #: its first byte was read before the drain
    asked: Asked | None = None  #: it is about topics: what its reply may say depends on what was there before it

    def complaint(self, header: dict[str, Any], content: bytes) -> str | None:
        """What is wrong with a reply; None if nothing is."""
        if header.get("id") != self.id:
            return f"has the id {header.get('id')!r} where {self.id!r} is right"
        if self.content is not None and header["content-type"] != "text/json":
            return None if content == self.content else f"says {content[:60]!r}, not {self.content[:60]!r}"
        body = json.loads(content)
        code = body["error"]["code"] if "error" in body else None
        if code == "deadline-exceeded" and self.deadline:
            return None
        if self.asked is not None:
            return self.asked.complaint(code, body.get("result"), self.last)
        if code != self.code:
            return f"has the code {code} where {self.code} is right"
        if self.code is None and body != self.fields:
            return f"says {str(body)[:80]!r}, not {str(self.fields)[:80]!r}"
        return None


def _echo(request: dict[str, Any]) -> dict[str, Any]:
    return {"result": request.get("value")}


def _search(request: dict[str, Any]) -> dict[str, Any]:
    value = request.get("value")
    return {"result": (ENTRIES.get(value) if isinstance(value, str) else None) or f"No match for '{value}'."}


_ANSWERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "echo": _echo,
    "slow": _echo,
    "stall": _echo,
    "search": _search,
    "big": lambda request: {"result": "x" * min(BIG, request["value"])},
}


class EchoConversation:
    """What a connection of the raw echo listener read and wrote: the same, as far as it came."""

    def __init__(self, wrong: Callable[[str], None]) -> None:
        self.wrong = wrong
        self.sock: Any = None
        self.broken = False  # reset, by whoever it was
        self.rude = False  # the server closed it with a RST
        self.accepted_at = self.closed_at = 0.0
        self.unheard: Callable[[Any], int] = lambda sock: 0  # bytes that had come and were not looked for
        self.unheard_at_end = 0  # when it was told of a timeout, or closed
        self.too_late: Callable[[], None] = lambda: None  # is told of bytes that came after the close
        self._unanswered = bytearray()

    def accepted(self, sock: Any) -> None:
        self.sock = sock
        self.accepted_at = sock.kernel.clock.now

    def closed(self, rude: bool) -> None:
        self.rude = rude
        if self.sock is not None:
            self.closed_at = self.sock.kernel.clock.now
            self._note_unheard()

    def _note_unheard(self) -> None:
        self.unheard_at_end = self.unheard_at_end or self.unheard(self.sock)

    def was_reset(self) -> None:
        self.broken = True

    def came_too_late(self) -> None:
        self.too_late()

    def received(self, data: bytes) -> None:
        self._unanswered += data

    def sent(self, data: bytes) -> None:
        if not self._unanswered.startswith(data):
            self.wrong(f"echoes {data[:40]!r} where {bytes(self._unanswered[:40])!r} is right")
        del self._unanswered[: len(data)]


class Conversation(EchoConversation):
    """What one accepted connection's program read and wrote."""

    def __init__(self, limits: Limits, wrong: Callable[[str], None], listening: Listening | None = None) -> None:
        super().__init__(wrong)
        self.listening = listening  # None: the server has no topics
        if listening is not None:
            listening.closing = lambda: self.message is None or self.message.state is not OPEN
        self.max_header = limits.max_header
        self.max_content = limits.max_content
        self.max_json = min(limits.max_json, limits.max_content)
        self.message: Any = None  # the server's, once it has one
        self.last: str | None = None  # the reply after which none may follow
        self.told_of_cut = False  # `shutting-down` stood for a reply that was owed
        self.told_slow = False  # `overloaded`, after it had subscribed
        self.answered = 0
        self.largest = 0  # content that it received
        self.expected: deque[Expected] = deque()
        self._in = bytearray()
        self._out = bytearray()
        self._deaf = False  # what comes from here on is not served
        self._persistent = False
        self._confirmed = 0
        self._fence = False  # bytes that come from here on come after the drain
        self._begun = True  # the first byte of what is in `_in` came before it

    # --- what the socket tells -------------------------------------------------------------

    def received(self, data: bytes) -> None:
        if self.message is not None:
            connection = self.message.connection
            if connection is not None and connection.state in (FINISHED, FAILED, ENDED):
                return  # it says itself that this is thrown away; its last words must have said so too
            self._fence = connection is not None and connection.closing and not connection.winding_down
        if self._deaf or not data:
            return
        if not self._in:
            self._begun = not self._fence
        self._in += data
        while not self._deaf and self._take_request():
            self._begun = not self._fence

    def sent(self, data: bytes) -> None:
        self._out += data
        try:
            while (frame := self._take_reply()) is not None:
                self._check(*frame)
        except (ValueError, KeyError, TypeError) as error:
            self._out.clear()
            words = f"what it sends is no message as wire.md has it ({type(error).__name__}: {error})"
            if self.listening is not None and self.listening.ever:
                self.listening.complain(PLACE, words)  # an event in the midst of a reply, or the other way about
            else:
                self.wrong(words)

    # --- requests --------------------------------------------------------------------------

    def _take_request(self) -> bool:
        data = self._in
        if len(data) < 2:
            return False
        length = int.from_bytes(data[:2], "big")
        if length == 0 or length > self.max_header:
            return self._framing_lost("header-too-large" if length else "bad-header", None)
        if bytes(data[2 : 2 + length]).lstrip(b" \t\r\n")[:1] not in (b"", b"{"):
            return self._framing_lost("bad-header", None)  # at once: it can't become an object
        if len(data) < 2 + length:
            return False
        header = _header(bytes(data[2 : 2 + length]))
        if header is None:
            return self._framing_lost("bad-header", None)
        most = self.max_json if header["content-type"] == "text/json" else self.max_content
        if header["content-length"] > most:
            return self._framing_lost("content-too-large", header.get("id"))
        end = 2 + length + header["content-length"]
        if len(data) < end:
            return False
        content = bytes(data[2 + length : end])
        del data[:end]
        self.largest = max(self.largest, len(content))
        word = header.get("connection")
        self._persistent = self._persistent or word == "keep-alive"
        last = word == "close" or not self._persistent
        self.expected.append(self._answer(header, content)._replace(last=last, begun=self._begun))
        self._deaf = last
        return True

    def _framing_lost(self, code: str, id: object) -> bool:
        self.expected.append(Expected(id, code=code, last=True, begun=self._begun))
        self._deaf = True
        return False

    def _answer(self, header: dict[str, Any], content: bytes) -> Expected:
        right = Expected(header.get("id"), deadline="deadline-ms" in header)
        if header["content-type"] != "text/json":
            kind = header["content-type"]
            if kind in ("binary/echo", "binary/slow"):
                return right._replace(content=content)
            return right._replace(content=b"First 10 bytes of request: " + content[:10])
        try:
            info = codecs.lookup(header["content-encoding"])
        except (LookupError, TypeError):
            return right._replace(code="unsupported-encoding")
        if info.name == "zlib":
            return right._replace(code="unsupported-encoding")
        try:
            text = content.decode(info.name)
            if _depth(text) > DEEPEST:
                return right._replace(code="bad-content")
            request = json.loads(text)
        except ValueError:
            return right._replace(code="bad-content")
        action = request.get("action") if isinstance(request, dict) else None
        if not isinstance(action, str):
            return right._replace(code="bad-request")
        if action == "boom":
            return right._replace(code="handler-failed")
        if action == "confirm":
            self._confirmed += 1
            return right._replace(fields={"result": f"Received: {request['value']}", "count": self._confirmed})
        if self.listening is not None and action in ACTIONS:
            self.largest = max(self.largest, self.listening.most_told(request))
            return right._replace(asked=self.listening.asked(request))
        answer = _ANSWERS.get(action)
        return right._replace(code="unknown-action") if answer is None else right._replace(fields=answer(request))

    # --- replies ---------------------------------------------------------------------------

    def _take_reply(self) -> tuple[dict[str, Any], bytes] | None:
        data = self._out
        if len(data) < 2:
            return None
        length = int.from_bytes(data[:2], "big")
        if len(data) < 2 + length:
            return None
        header = json.loads(data[2 : 2 + length])
        end = 2 + length + header["content-length"]
        if len(data) < end:
            return None
        content = bytes(data[2 + length : end])
        del data[:end]
        return header, content

    @property
    def asked(self) -> list[Asked]:
        """The requests about topics that await their reply."""
        return [expected.asked for expected in self.expected if expected.asked is not None]

    def _check(self, header: dict[str, Any], content: bytes) -> None:
        if self.listening is not None and "event" in header:
            self.listening.event(header, content, self.asked, self.last)
            return
        if self.last is not None:
            self.wrong(f"a reply follows the last one ({self.last}): {content[:80]!r}")
            return
        code = _code(header, content)
        if code in LAST_WORDS and not self._is_refusal(code, header):
            self._check_last_words(code, header)
            return
        if not self.expected:
            self.wrong(f"a reply answers nothing: {content[:80]!r}")
            return
        expected = self.expected.popleft()
        complaint = expected.complaint(header, content)
        if complaint is not None:
            self.wrong(f"reply {self.answered + 1} {complaint}")
        self.answered += 1
        if expected.last or header.get("connection") == "close":
            self.last = code or header.get("connection") or "one-shot"

    def _is_refusal(self, code: str | None, header: dict[str, Any]) -> bool:
        """Is it about one topic too many, and the connection goes on? Requests about topics have ids of their own."""
        first = self.expected[0] if self.expected else None
        return code == "overloaded" and first is not None and first.asked is not None and first.id == header.get("id")

    def _check_last_words(self, code: str, header: dict[str, Any]) -> None:
        before = [e for e in self.expected if e.begun or code != "shutting-down"]
        if code == "overloaded" and self.listening is not None and self.listening.ever:
            self.told_slow = True  # what it had asked behind that is not served
        elif code == "overloaded":
            if self.answered:
                self.wrong("overloaded, after it was served")
        elif before and code == "shutting-down" and header.get("id") == before[0].id:
            self.told_of_cut = True
        elif before:
            self.wrong(f"{code} overtakes the reply to request {self.answered + 1}")
        self.last = code
        self.expected.clear()
        if code == "timeout":
            self._note_unheard()

    # --- the end ---------------------------------------------------------------------------

    @property
    def owed(self) -> int:
        """Whole requests that were read and not answered, with nothing said that would explain it."""
        return 0 if self.last is not None and not self._out else len(self.expected) + bool(self._out)


def _code(header: dict[str, Any], content: bytes) -> str | None:
    if header["content-type"] != "text/json" or b'"error"' not in content:
        return None
    body = json.loads(content)
    return body["error"]["code"] if isinstance(body.get("error"), dict) else None


def _depth(text: str) -> int:
    """How many arrays and objects are open at once, at the most; of JSON."""
    depth = deepest = 0
    at = 0
    while at < len(text):
        character = text[at]
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
        elif character == '"':
            at += 1
            while at < len(text) and text[at] != '"':
                at += 2 if text[at] == "\\" else 1
        at += 1
    return deepest


def _header(raw: bytes) -> dict[str, Any] | None:
    """The header if it is one; None for `bad-header`. As exact as what our peers send needs."""
    try:
        header = json.loads(raw.decode())
    except ValueError:
        return None
    needed = ("byteorder", "content-type", "content-encoding", "content-length")
    if not isinstance(header, dict) or any(name not in header for name in needed):
        return None
    length = header["content-length"]
    if type(length) is not int or length < 0 or not isinstance(header["content-type"], str):
        return None
    return header
