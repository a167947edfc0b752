"""For any header, any content and any way to cut them: it parses, or it is a ProtocolError.

Not here: examples of what parses (test_frames.py, test_connection.py, test_split.py).
"""

from __future__ import annotations

import json
import math

import pytest

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install multiconn[test]")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from protocol import CLIENT, SERVER, Codec, Connection, EndOfInput, Failed, HeaderReceived, Rejected, Request  # noqa: E402
from protocol.content import Reply, decode_json, encode_json, encode_result, text_codec  # noqa: E402
from protocol.errors import AnswerableError, BadHeader, ProtocolError, UnsupportedEncoding  # noqa: E402
from protocol.frames import encode_header, parse_header  # noqa: E402
from protocol.limits import MAX_DEADLINE_MS, MAX_ID_INTEGER  # noqa: E402
from tests.support.wire import framed, message  # noqa: E402

from .feeding import plain, summary  # noqa: E402


def examples(most: int) -> settings:
    """The same examples each time: a test that fails sometimes would be worse than none."""
    return settings(max_examples=most, derandomize=True, database=None, deadline=None)


# --- what is generated -------------------------------------------------------------------------------

#: What is asked for. The handlers are those of the dispatcher's tests; here nobody is called.
ACTIONS = ["echo", "text", "surrogate", "surrogates", "reply", "empty reply", "bad reply", "object", "bytes", "nan"]
ACTIONS += ["deep", "fail", "refuse", "", "confirm", "session fail", "slow"]
TYPES = ["binary/echo", "binary/view", "binary/wide", "binary/gaps", "binary/long", "binary/none", "binary/str"]
TYPES += ["binary/fail", "binary/refuse", "", "binary/slow", "text/json"]

any_text = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates too
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)
encodings = st.sampled_from(["utf-8", "utf-16", "UTF 8", "latin-1", "rot13", "cp037", "utf-7", "hz", "\0"]) | any_json
field_values = {
    "byteorder": any_json,
    "content-type": st.sampled_from(["text/json", "binary/echo", "x/y"]) | any_json,
    "content-encoding": encodings,
    "content-length": st.integers(-2, 30) | any_json,
    "connection": st.sampled_from(["keep-alive", "close"]) | any_json,
    "id": st.integers() | any_json,
    "deadline-ms": st.integers(-1, MAX_DEADLINE_MS + 1) | any_json,
    "event": any_json,
    "x": any_json,
}
fields = st.fixed_dictionaries(
    {name: field_values[name] for name in ("byteorder", "content-type", "content-encoding", "content-length")},
    optional={name: field_values[name] for name in ("connection", "id", "deadline-ms", "event", "x")},
)
headers = fields.map(lambda value: json.dumps(value).encode()) | any_json.map(lambda value: json.dumps(value).encode())
raw_headers = headers | st.binary(max_size=60)
roles = st.sampled_from([SERVER, CLIENT])

requests = st.builds(
    lambda value, action, more: message(json.dumps({**value, **action}), **more),
    st.dictionaries(st.sampled_from(["value", "x"]), any_json, max_size=2),
    st.fixed_dictionaries({}, optional={"action": st.sampled_from(ACTIONS) | any_json}),
    st.fixed_dictionaries(
        {"connection": st.sampled_from(["keep-alive"] * 6 + ["close", "?"])},
        optional={
            "id": st.integers(-MAX_ID_INTEGER, MAX_ID_INTEGER) | any_text,
            "encoding": st.sampled_from(["utf-8"] * 6 + ["UTF-8", "utf-16", "no"]),
            "deadline_ms": st.integers(0, 5),
        },
    ),
)
binaries = st.builds(
    lambda content, kind: message(content, kind, connection="keep-alive"),
    st.binary(max_size=20),
    st.sampled_from(TYPES),
)
streams = st.lists(requests | binaries | raw_headers.map(framed) | st.binary(max_size=9), max_size=6).map(b"".join)


@st.composite
def streams_in_parts(draw: st.DrawFn) -> list[bytes]:
    stream = draw(streams)
    edges = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    return [stream[a:b] for a, b in zip([0, *edges], [*edges, len(stream)], strict=True)]


# --- parses, or a ProtocolError -----------------------------------------------------------------------


@examples(150)
@given(raw_headers, roles)
def test_any_header_parses_or_is_bad(raw, role):
    try:
        header = parse_header(raw, role)
    except BadHeader as error:
        str(error).encode("utf-8", "backslashreplace")
        return
    assert type(header.content_type) is str
    assert type(header.content_length) is int
    assert header.content_length >= 0
    assert header.connection in (None, "keep-alive", "close")
    assert header.id is None or type(header.id) in (int, str)
    assert header.deadline_ms is None or 0 <= header.deadline_ms <= MAX_DEADLINE_MS
    assert header.event is None or type(header.event) is str


@examples(150)
@given(st.binary(max_size=60) | any_json.map(lambda value: json.dumps(value).encode()), encodings)
def test_any_content_decodes_or_is_answerable(data, encoding):
    try:
        decode_json(data, encoding)
    except AnswerableError as error:
        str(error).encode()


@examples(100)
@given(any_text)
def test_any_name_of_an_encoding_is_known_or_unsupported(name):
    try:
        text_codec(name)
    except UnsupportedEncoding as error:
        str(error).encode("ascii")


@examples(80)
@given(streams_in_parts(), roles)
def test_any_stream_gives_events_and_the_same_ones_in_any_pieces(parts, role):
    whole, pieces = Connection(Codec(role)), Connection(Codec(role))
    events = whole.receive_data(b"".join(parts))
    got = [event for part in parts for event in pieces.receive_data(part)]
    assert [plain(e) for e in got] == [plain(e) for e in events]
    assert summary(pieces) == summary(whole)
    for event in events:
        if isinstance(event, (Rejected, Failed)):
            assert isinstance(event.error, ProtocolError)
    assert [isinstance(event, Failed) for event in events[:-1]] == [False] * len(events[:-1])
    [*_, last] = whole.receive_eof()
    assert isinstance(last, EndOfInput)


# --- round trips -----------------------------------------------------------------------------------------


def normal(value: object) -> object:
    """What JSON makes of a value: two halves of a surrogate pair become one character."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, dict):
        return {normal(name): normal(item) for name, item in value.items()}
    return value


@examples(80)
@given(any_json)
def test_a_json_value_comes_back(value):
    assert decode_json(encode_json(value), "utf-8") == normal(value)
    assert decode_json(encode_result(value), "utf-8") == {"result": normal(value)}
    assert encode_result(Reply(result=value)) == encode_result(value)


@examples(20)
@given(
    st.recursive(
        st.sampled_from([math.nan, math.inf, object(), b"", {1}]),
        lambda v: st.lists(v, min_size=1, max_size=3),
        max_leaves=4,
    )
)
def test_a_value_json_cannot_carry_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        encode_json(value)


@examples(100)
@given(
    any_text,
    any_text,
    st.binary(max_size=40),
    st.sampled_from([None, "keep-alive", "close"]),
    st.none() | st.integers(-MAX_ID_INTEGER, MAX_ID_INTEGER) | any_text,
    st.none() | st.integers(0, MAX_DEADLINE_MS),
)
def test_a_header_comes_back(content_type, encoding, content, connection, id, deadline_ms):
    head = encode_header(content_type, encoding, len(content), connection=connection, id=id, deadline_ms=deadline_ms)
    asked = Connection(Codec(SERVER)).receive_data(head + content)
    header = asked[0].header
    assert isinstance(asked[0], HeaderReceived)
    assert (header.content_type, header.content_encoding) == (normal(content_type), normal(encoding))
    assert (header.content_length, header.connection) == (len(content), connection)
    assert (header.id, header.deadline_ms) == (normal(id), deadline_ms)
    if not header.is_json:
        assert asked[1] == Request(header, content)


@examples(60)
@given(any_json, st.none() | st.integers(-MAX_ID_INTEGER, MAX_ID_INTEGER) | any_text, st.booleans())
def test_a_request_and_its_reply_come_back(value, id, keep):
    us, them = Connection(Codec(SERVER)), Connection(Codec(CLIENT))
    frame = them.send_request(
        "text/json", "utf-8", encode_json(value), connection="keep-alive" if keep else None, id=id
    )
    _, asked = us.receive_data(b"".join(frame))
    assert asked.content == normal(value)
    _, reply = them.receive_data(b"".join(us.send_json(asked.header, encode_result(asked.content))))
    assert reply.content == {"result": normal(value)}
    assert reply.header.id == normal(id)
    assert them.can_send is keep
    assert us.in_flight == them.in_flight == 0
