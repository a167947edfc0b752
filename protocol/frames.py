"""How does a message look on the wire?

    +----------------+-----------------------------+---------------------------+
    | 2 bytes        | header: that many bytes     | content: content-length   |
    | big-endian     | of UTF-8 JSON, one object   | bytes                     |
    +----------------+-----------------------------+---------------------------+

`Codec` reads and writes headers for all connections of one endpoint. It holds what they
share: the limits, and bounded caches. Clients repeat their headers byte for byte and replies
repeat their lengths, so most headers are never parsed and few are ever built (what that brings:
docs/understand/performance.md, `header-cache`, `id-cache` and `reply-headers`).

Not here: when a header is expected (`protocol.connection`), contents (`protocol.content`).
"""

from __future__ import annotations

import json
import re
import struct
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .content import (
    JSON_ENCODING,
    JSON_TYPE,
    RESULT_HEAD,
    RESULT_TAIL,
    decode_utf_8,
    quote,
    refuse_constant,
    text_codec,
    to_bytes,
)
from .errors import BadHeader, LocalError, UnsupportedEncoding
from .limits import (
    CACHED_HEADER_LENGTH,
    CACHED_HEADERS,
    CACHED_REPLY_HEADERS,
    MAX_DEADLINE_MS,
    MAX_HEADER_DEPTH,
    MAX_ID_INTEGER,
    MAX_ID_LENGTH,
    WIRE_MAX_HEADER,
    Limits,
)

if TYPE_CHECKING:
    from .encodings import Decode

__all__ = ["CLIENT", "SERVER", "Codec", "Header", "encode_header", "one_whole", "parse_header", "split", "split_each"]

SERVER = "server"
CLIENT = "client"

KEEP_ALIVE = "keep-alive"
CLOSE = "close"

PREFIX_LENGTH = 2

REQUIRED = ("byteorder", "content-type", "content-encoding", "content-length")


class Header:
    """A validated header: what the fields say, in Python's types.

    `content_length` is in bytes. `id` is None when absent (JSON's null is no id). `deadline_ms`
    is only read from requests and `event` only from replies. `is_json`: the content is
    `text/json`; `decode` is its encoding's decoder, None for UTF-8. `is_plain`: there is nothing
    optional that needs a second look (a deadline that is not over at once does not: what is answered
    where it is read is in time); `is_common`: that, and JSON. `is_unreadable`: JSON, in an encoding that nobody
    knows, and otherwise plain.
    """

    __slots__ = (
        "connection",
        "content_encoding",
        "content_length",
        "content_type",
        "deadline_ms",
        "decode",
        "event",
        "id",
        "is_common",
        "is_json",
        "is_plain",
        "is_unreadable",
    )

    def __init__(
        self,
        content_type: str,
        content_encoding: object,
        content_length: int,
        connection: str | None = None,
        id: str | int | None = None,
        deadline_ms: int | None = None,
        event: str | None = None,
    ) -> None:
        self.content_type = content_type
        self.content_encoding = content_encoding
        self.content_length = content_length
        self.connection = connection
        self.id = id
        self.deadline_ms = deadline_ms
        self.event = event
        self.is_json = content_type == JSON_TYPE
        self.is_plain = connection != CLOSE and deadline_ms != 0 and event is None
        self.is_unreadable = False
        self.decode: Decode | None = None
        if self.is_json and content_encoding != JSON_ENCODING:
            try:
                decode = text_codec(content_encoding)
            except UnsupportedEncoding:
                self.is_unreadable = self.is_plain
                self.is_plain = False
            else:
                if decode is not decode_utf_8:  # else: another spelling of it
                    self.decode = decode
        self.is_common = self.is_plain and self.is_json

    def __repr__(self) -> str:
        shown = ((name, getattr(self, name)) for name in self.__slots__)
        return "Header(" + ", ".join(f"{k}={v!r}" for k, v in shown if v is not None) + ")"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Header):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]


# --- reading -------------------------------------------------------------------------

# JSON objects become tuples of pairs, so that repeated names survive to be seen and an object
# can't be confused with an array.
_scan = json.JSONDecoder(object_pairs_hook=tuple, parse_constant=refuse_constant)

#: Digits that are read of an integer with thousands of them.
_DIGITS = 100


def _clamped(digits: str) -> int:
    return int(digits[:_DIGITS])


# Python refuses to read an integer of more than 4,300 digits (CVE-2020-10735). In a header it is
# either ignored or above its limit, and its first hundred digits are enough to say so.
_scan_long = json.JSONDecoder(object_pairs_hook=tuple, parse_constant=refuse_constant, parse_int=_clamped)


def _parse_object(text: str) -> Any:
    try:
        return _scan.decode(text)
    except ValueError:
        return _scan_long.decode(text)  # raises it again, unless only a long number was wrong


def parse_header(raw: bytes, role: str) -> Header:
    """Validate a header as `role` (the receiver's) must. Raises `BadHeader`, whatever the bytes are."""
    try:
        pairs = _parse_object(raw.decode())
    except UnicodeDecodeError:
        raise BadHeader("the header is not UTF-8") from None
    except RecursionError:
        raise BadHeader("the header is nested too deeply") from None
    except ValueError as error:
        raise BadHeader(f"the header is not JSON: {error}") from None
    if pairs.__class__ is not tuple:
        raise BadHeader("the header must be a JSON object")
    fields: dict[str, Any] = dict(pairs)
    if len(fields) != len(pairs):
        _refuse_repeated(pairs)
    for _, value in pairs:  # not `fields`: of a repeated name that holds the last value only
        if value.__class__ in (tuple, list):
            _refuse_deep(value)
    try:
        fields["byteorder"]
        content_type = fields["content-type"]
        content_encoding = fields["content-encoding"]
        content_length = fields["content-length"]
    except KeyError as missing:
        raise BadHeader(f"the header lacks the required field {missing.args[0]!r}") from None
    if content_type.__class__ is not str:
        raise BadHeader("content-type must be a string")
    if content_length.__class__ is not int or content_length < 0:
        raise BadHeader("content-length must be an integer from 0")
    if len(fields) == len(REQUIRED):
        return Header(content_type, content_encoding, content_length)
    return Header(
        content_type,
        content_encoding,
        content_length,
        _connection(fields),
        _id(fields),
        _deadline(fields) if role is SERVER else None,
        _event(fields) if role is CLIENT else None,
    )


def _refuse_repeated(pairs: tuple[tuple[str, object], ...]) -> None:
    names = [name for name, _ in pairs]
    for required in REQUIRED:
        if names.count(required) > 1:
            raise BadHeader(f"the header repeats the required field {required!r}")


def _refuse_deep(value: object) -> None:
    """The header itself is the first level."""
    level, depth = [value], 1
    while level:
        depth += 1
        if depth > MAX_HEADER_DEPTH:
            raise BadHeader(f"the header is nested deeper than {MAX_HEADER_DEPTH}")
        level = [child for item in level for child in _children(item) if child.__class__ in (tuple, list)]


def _children(item: Any) -> list[object]:
    return [value for _, value in item] if item.__class__ is tuple else item


def _connection(fields: dict[str, Any]) -> str | None:
    value = fields.get("connection")
    if value in (KEEP_ALIVE, CLOSE):
        return str(value)
    if value.__class__ is not str and "connection" in fields:
        raise BadHeader("connection must be a string")
    return None


def _id(fields: dict[str, Any]) -> str | int | None:
    if "id" not in fields:
        return None
    value = fields["id"]
    if value.__class__ is str and len(value) <= MAX_ID_LENGTH:
        return str(value)
    if value.__class__ is int and -MAX_ID_INTEGER <= value <= MAX_ID_INTEGER:
        return int(value)
    raise BadHeader(f"id must be a string of at most {MAX_ID_LENGTH} characters or an integer within 2^53")


def _deadline(fields: dict[str, Any]) -> int | None:
    if "deadline-ms" not in fields:
        return None
    value = fields["deadline-ms"]
    if value.__class__ is int and 0 <= value <= MAX_DEADLINE_MS:
        return int(value)
    raise BadHeader(f"deadline-ms must be an integer from 0 to {MAX_DEADLINE_MS}")


def _event(fields: dict[str, Any]) -> str | None:
    if "event" not in fields:
        return None
    value = fields["event"]
    if value.__class__ is str:
        return str(value)
    raise BadHeader("event must be a string")


# --- writing -------------------------------------------------------------------------

_BYTEORDER = f'{{"byteorder": "{sys.byteorder}", "content-type": '


def encode_header(
    content_type: str,
    content_encoding: str,
    content_length: int,
    *,
    connection: str | None = None,
    id: str | int | None = None,
    deadline_ms: int | None = None,
    event: str | None = None,
) -> bytes:
    """Prefix and header, ready to send. Field order and spacing are the tutorial's; ours come last.

    Raises `LocalError` if it would be longer than a prefix can say.
    """
    text = (
        f"{_BYTEORDER}{quote(content_type)}, "
        f'"content-encoding": {quote(content_encoding)}, "content-length": {content_length}'
    )
    if connection is not None:
        text += f', "connection": {quote(connection)}'
    if id is not None:
        text += f', "id": {quote(id) if isinstance(id, str) else id}'
    if deadline_ms is not None:
        text += f', "deadline-ms": {deadline_ms}'
    if event is not None:
        text += f', "event": {quote(event)}'
    raw = to_bytes(text + "}")
    if len(raw) > WIRE_MAX_HEADER:
        raise LocalError(f"a header of {len(raw)} bytes can't be sent: two bytes say its length")
    return _pack_prefix(len(raw)) + raw


#: Splits a header at a member `"id": value` as clients write it: an integer, or printable ASCII
#: that needs no escape. Gives what stands before, the value as written, and what stands behind;
#: the white space between is JSON's own, which is less than `\s`.
_SIMPLE_ID = rb'("[ !#-\[\]-~]{0,64}"|0|-?[1-9][0-9]{0,14})'
_AT_ID = rb'"id"[ \t\n\r]*:[ \t\n\r]*' + _SIMPLE_ID + rb"(?=[ \t\n\r]*[,}])"
#: How most clients write it: a dictionary with the id put in last, as `json.dumps` has it.
_LAST_ID = b'"id": '

#: Of an integer that the pattern takes.
_MOST_DIGITS = 15
_ZERO = ord("0")

_pack_prefix = struct.Struct(">H").pack


class Codec:
    """What all connections of one endpoint share: its role (`SERVER` or `CLIENT`), its limits, and the caches.

    All caches are bounded in entries and in the size of an entry, and are emptied when full: an attacker can make us
    parse, as without them, but not make us grow.
    """

    __slots__ = (
        "around_ids",
        "around_reply_ids",
        "binary_reply_headers",
        "common",
        "headers",
        "is_simple_id",
        "json_reply_headers",
        "json_result_heads",
        "last_ids",
        "limits",
        "max_json",
        "role",
        "split_at_id",
    )

    def __init__(self, role: str, limits: Limits | None = None) -> None:
        self.role = role
        self.limits = limits or Limits()
        #: of a client's replies as much as of any other: what it asked for it waits for
        self.max_json = (
            min(self.limits.max_json, self.limits.max_content) if role is SERVER else self.limits.max_content
        )
        if role == SERVER:
            # Made ready at the start of an endpoint that peers may ask anything, and not at the import: one that
            # asks once needs neither. What lies on the disk can't be had once no descriptor is left.
            from . import encodings  # noqa: F401

            self.split_at_id = re.compile(_AT_ID).split
            self.is_simple_id = re.compile(_SIMPLE_ID).fullmatch
        #: prefix and header as received -> the parsed header
        self.headers: dict[bytes, Header] = {}
        #: of those the common ones: JSON in UTF-8, with nothing that needs a second look -> content length
        self.common: dict[bytes, int] = {}
        #: what stands before and behind the id in a header that is common but for it -> content length
        self.around_ids: dict[tuple[bytes, bytes], int | None] = {}
        #: of those all that stands before `"id": ` if the id is the last field, prefix included -> content length
        self.last_ids: dict[bytes, int] = {}
        #: content length -> prefix and header of a plain `text/json` reply
        self.json_reply_headers: dict[int, bytes] = {}
        #: content type and length -> the same of a plain binary reply
        self.binary_reply_headers: dict[tuple[str, int], bytes] = {}
        #: length of a string's JSON -> the same, and what stands before it in the content
        self.json_result_heads: dict[int, bytes] = {}
        #: one of those, and an id's length -> what stands before and behind such an id in it
        self.around_reply_ids: dict[tuple[bytes, int], tuple[bytes, bytes]] = {}

    def header(self, framed: bytes) -> Header:
        """The header in `framed` (prefix included), from the cache if it was seen. Raises `BadHeader`."""
        header = self.headers.get(framed)
        if header is None:
            header = self._parse(framed[PREFIX_LENGTH:])
            # A header with an id is not likely to come again; the other bounds keep the cache small.
            small = len(framed) <= CACHED_HEADER_LENGTH and header.content_encoding.__class__ is str
            if header.id is None and small:
                if len(self.headers) >= CACHED_HEADERS:
                    self.headers.clear()
                    self.common.clear()
                self.headers[framed] = header
                if header.is_common and header.decode is None:
                    self.common[framed] = header.content_length
        return header

    def new_header(self, framed: bytes) -> Header | None:
        """`header`, of one that was not seen before; None if it is none, or too long."""
        if len(framed) - PREFIX_LENGTH > self.limits.max_header:
            return None
        try:
            return self.header(framed)
        except BadHeader:
            return None

    def _parse(self, raw: bytes) -> Header:
        header = parse_header(raw, self.role)
        if header.content_length > self.content_limit(header):
            header.is_plain = header.is_common = header.is_unreadable = False
        return header

    def content_limit(self, header: Header) -> int:
        """Bytes that a content with this header may have."""
        return self.max_json if header.is_json else self.limits.max_content

    def common_around_id(self, framed: bytes) -> tuple[int | None, bytes]:
        """Of a header that is common but for its `id`: the content's length, and the id as written.

        No length if there is no id here, or not a simple one. Headers with ids never repeat, but
        what stands around the id does. That it does not matter to the rest is shown once for each
        surrounding, by parsing it with another id in its place: if exactly the id changes, then
        the place is the id's, and no other simple id there can mean anything else.
        """
        before, _, tail = framed.rpartition(_LAST_ID)
        known = self.last_ids.get(before)
        if known is not None and tail.endswith(b"}"):
            id = tail[:-1]
            # Most are integers; a zero may stand alone, but not in front.
            if (id.isdigit() and id[0] != _ZERO and len(id) <= _MOST_DIGITS) or self.is_simple_id(id):
                return known, id
        if len(framed) > CACHED_HEADER_LENGTH or len(framed) - PREFIX_LENGTH > self.limits.max_header:
            return None, b""
        parts = self.split_at_id(framed, 1)
        if len(parts) != 3:
            return None, b""
        before, id, behind = parts
        around = (before[PREFIX_LENGTH:], behind)
        try:
            length = self.around_ids[around]
        except KeyError:
            if len(self.around_ids) >= CACHED_HEADERS:
                self.around_ids.clear()
                self.last_ids.clear()
            length = self.around_ids[around] = self._length_without_id(*around)
        if length is not None and framed == before + _LAST_ID + id + b"}":
            if len(self.last_ids) >= CACHED_HEADERS:
                self.last_ids.clear()
            self.last_ids[before] = length
        return length, id

    def _length_without_id(self, before: bytes, behind: bytes) -> int | None:
        try:
            one = self._parse(before + b'"id": "one"' + behind)
            two = self._parse(before + b'"id": 2' + behind)
        except BadHeader:
            return None
        if (one.id, two.id) != ("one", 2):
            return None  # it stands in a nested object, or another id comes behind it
        return one.content_length if one.is_common and one.decode is None else None

    def json_reply_header(self, length: int, id: str | int | None = None) -> bytes:
        """Prefix and header of a `text/json` reply with no optional field but `id`; without one cached by length."""
        if id is not None:
            return encode_header(JSON_TYPE, JSON_ENCODING, length, id=id)
        framed = self.json_reply_headers.get(length)
        if framed is None:
            framed = encode_header(JSON_TYPE, JSON_ENCODING, length)
            if len(self.json_reply_headers) >= CACHED_REPLY_HEADERS:
                self.json_reply_headers.clear()
            self.json_reply_headers[length] = framed
        return framed

    def binary_reply_header(self, content_type: str, length: int, id: str | int | None = None) -> bytes:
        """The same of a binary reply. Raises as `encode_header`."""
        if id is not None:
            return encode_header(content_type, "binary", length, id=id)
        key = content_type, length
        framed = self.binary_reply_headers.get(key)
        if framed is None:
            framed = encode_header(content_type, "binary", length)
            if len(framed) <= CACHED_HEADER_LENGTH:
                if len(self.binary_reply_headers) >= CACHED_REPLY_HEADERS:
                    self.binary_reply_headers.clear()
                self.binary_reply_headers[key] = framed
        return framed

    def json_result_head(self, length: int) -> bytes:
        """All of a plain reply that stands before a result whose JSON has `length` bytes, cached by length.

        `RESULT_TAIL` stands behind it.
        """
        head = self.json_result_heads.get(length)
        if head is None:
            content_length = len(RESULT_HEAD) + length + len(RESULT_TAIL)
            head = encode_header(JSON_TYPE, JSON_ENCODING, content_length) + RESULT_HEAD
            if len(self.json_result_heads) >= CACHED_REPLY_HEADERS:
                self.json_result_heads.clear()
            self.json_result_heads[length] = head
        return head

    def head_with_id(self, head: bytes, id: bytes) -> bytes:
        """A reply's head, as one of the two above gave it, with an id (as written in JSON) at the header's end."""
        key = head, len(id)
        try:
            before, behind = self.around_reply_ids[key]
        except KeyError:
            brace = PREFIX_LENGTH + int.from_bytes(head[:PREFIX_LENGTH], "big") - 1
            fields, behind = head[PREFIX_LENGTH:brace] + b', "id": ', head[brace:]
            before = _pack_prefix(len(fields) + len(id) + 1) + fields
            if len(self.around_reply_ids) >= CACHED_REPLY_HEADERS:
                self.around_reply_ids.clear()
            self.around_reply_ids[key] = before, behind
        return before + id + behind


# --- many at once --------------------------------------------------------------------


#: What `split` finds of many messages: their contents in UTF-8; by number the ids of those that have one, as written
#: in JSON, and the headers of those that are odd; where each ends; the length of the longest content in bytes.
Columns = tuple[list[bytes], dict[int, bytes] | None, dict[int, Header] | None, list[int], int]

#: Stands for the content of a message that is no JSON or can't be read, so that the others can be read with it.
NO_JSON = b"null"


def split(codec: Codec, data: bytes, at: int, most: int) -> Columns:
    """The whole common messages at `at`, and some that are odd, at most so many.

    Odd to a server are those that can't be read. A client reads headers that it has not seen, too, and all that is
    plain: odd to it is what is not among `Codec.common`, bytes and ids among it, because it wants to know the header.
    It stops at the first that is partial, or needs another second look.
    """
    common = codec.common
    available = len(data)
    contents: list[bytes] = []
    ends: list[int] = []
    longest = 0
    ids: dict[int, bytes] | None = None
    odd: dict[int, Header] | None = None
    for _ in range(most):
        try:
            start = at + 2 + data[at + 1]
        except IndexError:
            break  # not even a prefix
        if data[at]:
            start += data[at] << 8
        framed = data[at:start]
        length = common.get(framed)
        if length is None:
            if start > available:
                break
            header = codec.headers.get(framed)
            if header is None and codec.role is SERVER:
                length, id = codec.common_around_id(framed)
                if length is None or start + length > available:
                    break
                if ids is None:
                    ids = {}
                ids[len(contents)] = id
            else:
                if header is None:
                    header = codec.new_header(framed)
                    if header is None:
                        break
                end = start + header.content_length
                if end > available or not (
                    header.is_common or (header.is_unreadable if codec.role is SERVER else header.is_plain)
                ):
                    break
                decode = header.decode
                if decode is not None:
                    try:
                        content = decode(data[start:end], "strict")[0].encode()
                    except Exception:  # a codec may raise what it likes
                        break  # bad content: whoever looks at it alone finds the words for it
                elif header.is_common:  # new, or with an id: else it would be among `common`
                    content = data[start:end]
                else:
                    content = NO_JSON
                if decode is None or codec.role is CLIENT:
                    if odd is None:
                        odd = {}
                    odd[len(contents)] = header
                contents.append(content)
                if len(content) > longest:
                    longest = len(content)
                ends.append(end)
                at = end
                if at == available:
                    break
                continue
        end = start + length
        if end > available:
            break
        contents.append(data[start:end])
        if length > longest:
            longest = length
        ends.append(end)
        at = end
        if at == available:
            break
    return contents, ids, odd, ends, longest


def one_whole(codec: Codec, data: bytes) -> tuple[Header, int] | None:
    """If `data` is one whole message with a remembered header, and nothing else: that, and where its content begins."""
    try:
        start = 2 + (data[0] << 8 | data[1])
    except IndexError:
        return None  # not even a prefix
    header = codec.headers.get(data[:start])
    if header is None or start + header.content_length != len(data):
        return None
    return header, start


def split_each(codec: Codec, reads: Iterable[bytes]) -> tuple[list[bytes], dict[int, bytes] | None, list[int], int]:
    """The same of what came on several connections: of those reads that are one whole common message and nothing else.

    Instead of the ends it gives the numbers of the reads that were taken.
    """
    common = codec.common
    headers = codec.headers
    contents: list[bytes] = []
    ids: dict[int, bytes] | None = None
    numbers: list[int] = []
    number = -1
    longest = 0
    for data in reads:
        number += 1
        try:
            start = 2 + data[1]
        except IndexError:
            continue  # not even a prefix
        if data[0]:
            start += data[0] << 8
        framed = data[:start]
        length = common.get(framed)
        if length is None:
            if start > len(data) or framed in headers:
                continue
            length, id = codec.common_around_id(framed)
            if length is None or start + length != len(data):
                continue
            if ids is None:
                ids = {}
            ids[len(contents)] = id
        elif start + length != len(data):
            continue
        contents.append(data[start:])
        numbers.append(number)
        if length > longest:
            longest = length
    return contents, ids, numbers, longest
