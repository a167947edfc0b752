"""Which mistakes do servers make when they read a message?

Not here: what they make of it (`replies`), when and for how long (`flow`).
"""

from __future__ import annotations

import json
from typing import Any

from libserver import message
from protocol import connection, content, frames
from protocol.errors import BadHeader, FatalError, UnsupportedEncoding
from protocol.events import Event, Rejected
from protocol.states import CONTENT_READ, HEADER_READ, JSONHEADER, PREFIX_READ, RECEIVE, advance

from .registry import broken, replace, slow_path_only

BOM = b"\xef\xbb\xbf"


def coerce_fields(convert: Any) -> None:
    """Have `convert(name, value)` see every top-level field of a header before it is validated."""
    parse = frames._parse_object

    def lenient(text: str) -> Any:
        pairs = parse(text)
        return tuple((n, convert(n, v)) for n, v in pairs) if isinstance(pairs, tuple) else pairs

    replace(parse, lenient)


@broken(
    "duplicates-accepted",
    "of a required field that comes twice, the last one counts",
    "every parser into a dictionary; two parsers that disagree are how HTTP requests get smuggled",
    "HV4",
)
def duplicates_accepted() -> None:
    replace(frames._refuse_repeated, lambda pairs: None)


@broken(
    "length-true", "content-length true is taken for 1", "isinstance(value, int), which a bool passes in Python", "HV6"
)
def length_true() -> None:
    coerce_fields(lambda name, value: int(value) if name == "content-length" and value is True else value)


@broken("length-float", "content-length 5.0 is taken for 5", "numbers that are all floats, as in JavaScript", "HV7.2")
def length_float() -> None:
    coerce_fields(lambda name, value: int(value) if name == "content-length" and value.__class__ is float else value)


@broken("length-text", 'content-length "5" is taken for 5', 'int(header["content-length"])', "HV7")
def length_text() -> None:
    coerce_fields(lambda name, value: int(value) if name == "content-length" and value.__class__ is str else value)


@broken(
    "length-negative",
    "a negative content-length is taken for none",
    "data[:length] in Python, unsigned lengths elsewhere",
    "HV5",
)
def length_negative() -> None:
    coerce_fields(lambda name, value: max(value, 0) if name == "content-length" and type(value) is int else value)


@broken("nan-in-header", "NaN is accepted in a header", "Python's json, which reads and writes it by default", "HV9")
def nan_in_header() -> None:
    frames._scan = json.JSONDecoder(object_pairs_hook=tuple)


@broken("nan-in-content", "NaN is accepted in a content", "Python's json, which reads it by default", "EN6.5")
def nan_in_content() -> None:
    slow_path_only()
    content._decoder = json.JSONDecoder()
    content.scan_once = vars(content._decoder)["scan_once"]


@broken("bom-accepted", "a header may start with a BOM", "decoders that are asked for utf-8-sig to be kind", "HV11.5")
def bom_accepted() -> None:
    parse = frames.parse_header
    replace(parse, lambda raw, role: parse(raw.removeprefix(BOM), role))


@broken(
    "trailing-bytes-accepted",
    "what follows the header's JSON inside its length is ignored",
    "streaming JSON parsers, which stop at the value's end (Go's json.Decoder)",
    "HV12",
)
def trailing_accepted() -> None:
    frames._parse_object = lambda text: frames._scan.raw_decode(text.lstrip())[0]


@broken("deep-header-accepted", "a header may nest as deep as it likes", "parsers without a depth limit", "HV10.2")
def deep_accepted() -> None:
    replace(frames._refuse_deep, lambda value: None)


@broken("utf-16-refused", "only utf-8 contents are read", "servers that never look at content-encoding", "EN8")
def utf_16_refused() -> None:
    text_codec = content.text_codec

    def utf_8_alone(name: object) -> Any:
        if name != "utf-8":
            raise UnsupportedEncoding("only utf-8 is known here")
        return text_codec(name)

    replace(text_codec, utf_8_alone)


@broken(
    "zlib-decodes",
    "a content-encoding that is not text is decoded all the same",
    "bytes.decode's bigger sister codecs.decode, which takes zlib_codec: a decompression bomb",
    "EN5",
)
def zlib_decodes() -> None:
    text_codec = content.text_codec
    replace(text_codec, lambda name: text_codec("utf-8" if name in ("zlib_codec", "rot13") else name))


@broken(
    "waits-for-no-header",
    "what can't become a header is waited for until its length has come",
    "servers that look at a header when they have it; HTTP's `GE` is 18,245 bytes",
    "HV26",
)
def waits_for_no_header() -> None:
    connection.Connection._look_at_beginning = lambda self, buffer, end: None  # type: ignore[method-assign]


@broken(
    "buffers-before-deciding",
    "a content that is too large is refused only once it has come",
    "servers that read the body first and check its size afterwards",
    "LM2",
)
def buffers_before_deciding() -> None:
    read_header = connection.Connection._read_header

    def wait_for_content(self: connection.Connection) -> Event | None:
        buffer = self._buffer
        assert buffer is not None
        end = 2 + int.from_bytes(buffer[:2], "big")
        try:
            header = self.codec.header(bytes(buffer[:end])) if len(buffer) >= end else None
        except BadHeader:
            header = None
        if header is not None and len(buffer) - end < header.content_length > self.codec.limits.max_content:
            return None
        return read_header(self)

    connection._PARSERS[JSONHEADER] = wait_for_content


@broken(
    "serves-after-broken-framing",
    "a header that can't be trusted is answered with an error and skipped by its length",
    "servers that treat every error alike; whoever wrote the broken header chooses where the next begins",
    "PL4",
)
def serves_after_broken_framing() -> None:
    def skip(self: connection.Connection, error: FatalError, header: Any = None) -> Event:
        buffer = self._buffer
        assert buffer is not None
        self._take(min(len(buffer), 2 + int.from_bytes(buffer[:2], "big")))
        for given in (PREFIX_READ, HEADER_READ, CONTENT_READ)[self.state is JSONHEADER :]:
            advance(self, RECEIVE, given)
        self.in_flight += 1
        return Rejected(frames.Header("text/json", "utf-8", 0), error)

    connection.Connection._lose_framing = skip  # type: ignore[method-assign]


@broken(
    "drops-the-half",
    "what stands behind a whole request in the same read, but for whole ones, is forgotten",
    "servers that take one recv for one message and empty the buffer after it",
    "PL3",
)
def drops_the_half() -> None:
    dispatch = message.Message._dispatch

    def all_taken(self: message.Message, data: bytes, most: int) -> Any:
        taken, replies, size = dispatch(self, data, most)
        return len(data) if taken else 0, replies, size

    message.Message._dispatch = all_taken  # type: ignore[method-assign]


@broken(
    "waits-for-whole-reads",
    "while a second request is incomplete, the first one waits",
    "servers that serve only when their buffer ends with a whole message",
    "PL3",
)
def waits_for_whole_reads() -> None:
    data_received = message.Message.data_received
    held: dict[message.Message, bytes] = {}

    def whole(data: bytes) -> bool:
        """Does it end where a message ends, as far as one can tell?"""
        while data:
            end = 2 + int.from_bytes(data[:2], "big")
            if len(data) < end:
                return False
            try:
                end += int(json.loads(data[2:end])["content-length"])
            except (ValueError, TypeError, KeyError):
                return True
            if len(data) < end:
                return False
            data = data[end:]
        return True

    def collect(self: message.Message, data: bytes) -> None:
        data = held.pop(self, b"") + data
        if whole(data):
            data_received(self, data)
        else:
            held[self] = data

    message.Message.data_received = collect  # type: ignore[method-assign]


@broken(
    "decodes-each-read",
    "what one recv returned is decoded as text at once, so a character cut in two is lost",
    "sock.recv(...).decode(), in tutorials and in production",
    "EN13",
)
def decodes_each_read() -> None:
    feed = connection.Connection.feed

    def as_text(self: connection.Connection, data: Any) -> None:
        feed(self, bytes(data).decode("utf-8", "ignore").encode())

    connection.Connection.feed = as_text  # type: ignore[method-assign]
