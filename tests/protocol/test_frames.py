"""Every rule that wire.md has for a header, and caches that are bounded and never wrong."""

from __future__ import annotations

import json
import random
import sys

import pytest

from protocol import CLIENT, SERVER, Codec, Connection, Failed, HeaderReceived, Limits, LocalError
from protocol.content import RESULT_HEAD, RESULT_TAIL
from protocol.errors import BadHeader
from protocol.frames import Header, encode_header, parse_header
from protocol.limits import CACHED_HEADER_LENGTH, CACHED_HEADERS, CACHED_REPLY_HEADERS
from tests.support.wire import framed, header, request

from .feeding import every_way

FIELDS = {"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8", "content-length": 5}


def with_fields(**more: object) -> bytes:
    return json.dumps({**FIELDS, **{name.replace("_", "-"): value for name, value in more.items()}}).encode()


def with_text(name: str, value: str) -> bytes:
    """The required fields, one of them (or one more) with a value written out by hand."""
    return with_fields(**{name: "@@"}).replace(b'"@@"', value.encode())


# --- good headers --------------------------------------------------------------------------------

GOOD = {
    "the tutorial's": (with_fields(), Header("text/json", "utf-8", 5)),
    "reordered": (
        b'{"content-length": 5, "content-encoding": "utf-8", "byteorder": "little", "content-type": "text/json"}',
        Header("text/json", "utf-8", 5),
    ),
    "any JSON whitespace": (
        b'\n\t {\r\n"byteorder"\t:"little",\n\n"content-type" :"text/json","content-encoding":"utf-8",'
        b'"content-length":5\r}\n ',
        Header("text/json", "utf-8", 5),
    ),
    "no whitespace": (with_fields().replace(b" ", b""), Header("text/json", "utf-8", 5)),
    "extra fields": (with_fields(x=1, y=[None], content=2.5), Header("text/json", "utf-8", 5)),
    "an empty name": (with_fields(**{"": 1}), Header("text/json", "utf-8", 5)),
    "an extra field twice": (with_fields(x="@").replace(b'"x"', b'"x": 1, "x"'), Header("text/json", "utf-8", 5)),
    "escaped names and values": (
        with_fields().replace(b"byteorder", b"b\\u0079teorder").replace(b"text/json", b"text\\/json"),
        Header("text/json", "utf-8", 5),
    ),
    "byteorder is never looked at": (with_fields(byteorder=None), Header("text/json", "utf-8", 5)),
    "byteorder of any type": (with_fields(byteorder={"a": [1]}), Header("text/json", "utf-8", 5)),
    "length 0": (with_fields(content_length=0), Header("text/json", "utf-8", 0)),
    "length -0, which is 0": (with_text("content-length", "-0"), Header("text/json", "utf-8", 0)),
    "length 10**30": (with_fields(content_length=10**30), Header("text/json", "utf-8", 10**30)),
    "an empty type": (with_fields(content_type=""), Header("", "utf-8", 5)),
    "TEXT/JSON is another type": (with_fields(content_type="TEXT/JSON"), Header("TEXT/JSON", "utf-8", 5)),
    "a type with a lone surrogate": (with_fields(content_type="\ud800"), Header("\ud800", "utf-8", 5)),
    "the encoding is judged with the content": (with_fields(content_encoding=None), Header("text/json", None, 5)),
    "keep-alive": (with_fields(connection="keep-alive"), Header("text/json", "utf-8", 5, "keep-alive")),
    "close": (with_fields(connection="close"), Header("text/json", "utf-8", 5, "close")),
    "an unknown connection is ignored": (with_fields(connection="upgrade"), Header("text/json", "utf-8", 5)),
    "Keep-Alive is unknown": (with_fields(connection="Keep-Alive"), Header("text/json", "utf-8", 5)),
    "an empty connection is unknown": (with_fields(connection=""), Header("text/json", "utf-8", 5)),
    "id of a string": (with_fields(id="a"), Header("text/json", "utf-8", 5, id="a")),
    "id of an empty string": (with_fields(id=""), Header("text/json", "utf-8", 5, id="")),
    "id of 64 characters": (with_fields(id="🐶" * 64), Header("text/json", "utf-8", 5, id="🐶" * 64)),
    "id 0": (with_fields(id=0), Header("text/json", "utf-8", 5, id=0)),
    "id 2**53": (with_fields(id=2**53), Header("text/json", "utf-8", 5, id=2**53)),
    "id -2**53": (with_fields(id=-(2**53)), Header("text/json", "utf-8", 5, id=-(2**53))),
    "nested 32 levels deep": (with_text("x", "[" * 31 + "]" * 31), Header("text/json", "utf-8", 5)),
    "objects nested 32 levels deep": (with_text("x", '{"a":' * 31 + "1" + "}" * 31), Header("text/json", "utf-8", 5)),
    "wide": (with_text("x", "[" + "[]," * 9999 + "{}]"), Header("text/json", "utf-8", 5)),
    "a number beyond floats is a number": (with_text("x", "1e999"), Header("text/json", "utf-8", 5)),
    "NaN in a string": (with_fields(x="NaN"), Header("text/json", "utf-8", 5)),
}


@pytest.mark.parametrize("role", [SERVER, CLIENT])
@pytest.mark.parametrize("name", GOOD)
def test_a_good_header_says_what_its_fields_say(name, role):
    raw, expected = GOOD[name]
    assert parse_header(raw, role) == expected


@pytest.mark.parametrize("name", GOOD)
def test_a_good_header_is_read_however_it_arrives(name):
    raw, expected = GOOD[name]
    if len(raw) > 1000:  # every cut of a long header would take long: whole and byte by byte
        for parts in ([framed(raw)], [bytes([byte]) for byte in framed(raw)]):
            connection = Connection(Codec(SERVER))
            assert [e for part in parts for e in connection.receive_data(part)] == [HeaderReceived(expected)]
    elif expected.content_length > 5:
        [event], _ = every_way(framed(raw))
        assert isinstance(event, Failed)
        assert event.error.code == "content-too-large"
        assert event.header is not None
        assert event.header.content_length == expected.content_length
    else:
        events, _ = every_way(framed(raw))
        assert events[0] == HeaderReceived(expected)


def test_a_deadline_is_read_from_requests_only():
    for value in (0, 1, 86_400_000):
        assert parse_header(with_fields(deadline_ms=value), SERVER).deadline_ms == value
    for value in (5, -1, "x", None):
        assert parse_header(with_fields(deadline_ms=value), CLIENT).deadline_ms is None


def test_an_event_is_read_from_replies_only():
    for value in ("joined", ""):
        assert parse_header(with_fields(event=value), CLIENT).event == value
    for value in ("joined", 5, None):
        assert parse_header(with_fields(event=value), SERVER).event is None


# --- bad headers -----------------------------------------------------------------------------------

REQUIRED = ("byteorder", "content-type", "content-encoding", "content-length")


def without(name: str) -> bytes:
    return json.dumps({k: v for k, v in FIELDS.items() if k != name}).encode()


def repeated(name: str, spelling: str) -> bytes:
    raw = with_fields().decode()
    return (raw[:-1] + f', "{spelling}": {json.dumps(FIELDS[name])}}}').encode()


def escaped(name: str) -> str:
    return f"\\u{ord(name[0]):04x}{name[1:]}"


BAD = {
    "not UTF-8": b"\xff" + with_fields(),
    "not UTF-8 inside a string": with_text("x", '"@"').replace(b"@", b"\xe9"),
    "a surrogate in UTF-8": with_text("x", '"@"').replace(b"@", b"\xed\xa0\x80"),
    "overlong UTF-8": with_text("x", '"@"').replace(b"@", b"\xc0\xaf"),
    "UTF-16": with_fields().decode().encode("utf-16"),
    "UTF-16 without a mark": with_fields().decode().encode("utf-16-le"),
    "a byte-order mark": b"\xef\xbb\xbf" + with_fields(),
    "trailing bytes": with_fields() + b"x",
    "a trailing NUL": with_fields() + b"\0",
    "two objects": with_fields() + with_fields(),
    "a trailing byte-order mark": with_fields() + b"\xef\xbb\xbf",
    "cut short": with_fields()[:-1],
    "white space alone": b"  ",
    "white space that is not JSON's": b"\xc2\xa0" + with_fields(),
    "an array": b"[]",
    "an array of pairs": json.dumps([[k, v] for k, v in FIELDS.items()]).encode(),
    "a number": b"0",
    "a string": b'"x"',
    "null": b"null",
    "true": b"true",
    "an empty object": b"{}",
    "single quotes": with_fields().replace(b'"', b"'"),
    "a trailing comma": with_fields()[:-1] + b",}",
    "a comment": with_fields() + b"//",
    "a control character in a string": with_fields(x="@").replace(b"@", b"\n"),
    "NaN": with_text("x", "NaN"),
    "Infinity": with_text("x", "Infinity"),
    "-Infinity": with_text("x", "-Infinity"),
    "NaN inside": with_text("x", '[{"a": NaN}]'),
    "NaN for byteorder": with_text("byteorder", "NaN"),
    "nested 33 levels deep": with_text("x", "[" * 32 + "]" * 32),
    "objects nested 33 levels deep": with_text("x", '{"a":' * 32 + "1" + "}" * 32),
    "a mixture nested 33 levels deep": with_text("x", '[{"a":' * 16 + "1" + "}]" * 16),
    "byteorder nested 33 levels deep": with_text("byteorder", "[" * 32 + "]" * 32),
    "deep in the former of two equal names": with_text("x", "[" * 32 + "]" * 32 + ', "x": 1'),
    "deep beside something wide": with_text("x", "[1, {}, [], " + "[" * 31 + "]" * 31 + "]"),
    "nested as deep as its length allows": with_text("x", "[" * 30_000 + "]" * 30_000),
    "nested too deeply and never closed": b"[" * 60_000,
    "objects nested as deep as the length allows": with_text("x", '{"":' * 12_000 + "1" + "}" * 12_000),
    "an HTTP request": b"GET / HTTP/1.1\r\n\r\n",
    **{f"without {name}": without(name) for name in REQUIRED},
    **{f"{name} twice": repeated(name, name) for name in REQUIRED},
    **{f"{name} twice, once escaped": repeated(name, escaped(name)) for name in REQUIRED},
    **{
        f"content-type {value}": with_text("content-type", value)
        for value in ("null", "1", "true", '["text/json"]', '{"a": 1}')
    },
    **{
        f"content-length {value}": with_text("content-length", value)
        for value in ("-1", "-3", "true", "false", "5.0", "5e0", "1e999", '"5"', "null", "[5]", '{"a": 5}', "NaN", "05")
    },
    "content-length -(10**30)": with_fields(content_length=-(10**30)),
    "content-length of minus 5000 digits": with_text("content-length", "-" + "1" * 5000),
    "an id of 5000 digits": with_text("id", "1" * 5000),
    **{f"connection {value}": with_text("connection", value) for value in ("null", "true", "1", '["close"]', "{}")},
    **{
        f"id {value}": with_text("id", value)
        for value in ("null", "true", "1.0", "[]", "{}", str(2**53 + 1), str(-(2**53) - 1), f'"{"x" * 65}"')
    },
}
BAD_FOR_A_SERVER = {
    f"deadline-ms {value}": with_text("deadline-ms", value)
    for value in ("-1", "86400001", "1.0", "true", '"5"', "null", "[]", "{}")
}
BAD_FOR_A_CLIENT = {f"event {value}": with_text("event", value) for value in ("null", "1", "true", "[]", "{}")}

BAD_BY_ROLE = [
    *(pytest.param(role, raw, id=f"{role}-{name}") for role in (SERVER, CLIENT) for name, raw in BAD.items()),
    *(pytest.param(SERVER, raw, id=name) for name, raw in BAD_FOR_A_SERVER.items()),
    *(pytest.param(CLIENT, raw, id=name) for name, raw in BAD_FOR_A_CLIENT.items()),
]


@pytest.mark.parametrize(("role", "raw"), BAD_BY_ROLE)
def test_a_bad_header_is_refused_with_a_sentence(role, raw):
    with pytest.raises(BadHeader) as caught:
        parse_header(raw, role)
    assert "header" in str(caught.value) or "must be" in str(caught.value)
    assert len(str(caught.value)) < 200
    assert "sys." not in str(caught.value)


@pytest.mark.parametrize(("role", "raw"), BAD_BY_ROLE)
def test_a_bad_header_ends_the_input_however_it_arrives(role, raw):
    if len(raw) > 1000:
        connection = Connection(Codec(role))
        [event] = connection.receive_data(framed(raw) + request({}))
    else:
        [event], connection = every_way(framed(raw), role, tail=request({}))
    assert isinstance(event, Failed)
    assert event.error.code == "bad-header"
    assert event.header is None
    assert connection.state == "FAILED"
    assert connection.buffered == 0


def test_a_number_of_thousands_of_digits_is_ignored_or_above_the_limit():
    assert parse_header(with_text("x", "9" * 60_000), SERVER) == parse_header(with_fields(), SERVER)
    connection = Connection(Codec(SERVER))
    [event] = connection.receive_data(framed(with_text("content-length", "1" * 5000)))
    assert isinstance(event, Failed)
    assert event.error.code == "content-too-large"
    assert event.header is not None


def test_a_header_of_no_bytes_is_bad():
    [event], _ = every_way(b"\0\0", tail=request({}))
    assert isinstance(event, Failed)
    assert event.error.code == "bad-header"
    with pytest.raises(BadHeader):
        parse_header(b"", SERVER)


# --- Header ----------------------------------------------------------------------------------------


def test_a_header_shows_only_what_was_said():
    assert repr(Header("a/b", "binary", 5, id=1)) == (
        "Header(content_encoding='binary', content_length=5, content_type='a/b', id=1, "
        "is_common=False, is_json=False, is_plain=True, is_unreadable=False)"
    )


def test_headers_compare_by_their_fields_and_cannot_be_hashed():
    assert Header("a/b", "binary", 5) == Header("a/b", "binary", 5)
    assert Header("a/b", "binary", 5) != Header("a/b", "binary", 6)
    assert Header("a/b", "binary", 5) != "a/b"
    with pytest.raises(TypeError):
        hash(Header("a/b", "binary", 5))


@pytest.mark.parametrize(
    ("is_plain", "made"),
    [
        (True, Header("text/json", "utf-8", 5)),
        (True, Header("text/json", "utf-8", 5, connection="keep-alive", id=1)),
        (True, Header("a/b", None, 5)),
        (True, Header("text/json", "UTF-8", 5)),
        (True, Header("text/json", "utf-16", 5)),
        (False, Header("text/json", "rot13", 5)),
        (False, Header("text/json", None, 5)),
        (False, Header("text/json", "utf-8", 5, connection="close")),
        (False, Header("a/b", "binary", 5, connection="close")),
        (True, Header("text/json", "utf-8", 5, deadline_ms=1)),
        (False, Header("text/json", "utf-8", 5, deadline_ms=0)),
        (False, Header("text/json", "utf-8", 5, event="")),
    ],
)
def test_only_a_header_that_needs_no_second_look_is_plain(is_plain, made):
    assert made.is_plain is is_plain


def test_headers_of_binary_replies_are_remembered_by_type_and_length_within_bounds():
    codec = Codec(SERVER)
    for _ in range(2):
        assert codec.binary_reply_header("a/é", 5) == encode_header("a/é", "binary", 5)
        assert codec.binary_reply_header("x" * 1000, 5) == encode_header("x" * 1000, "binary", 5)
    assert [*codec.binary_reply_headers] == [("a/é", 5)]  # a long one is made anew
    for length in range(CACHED_REPLY_HEADERS + 3):
        codec.binary_reply_header("a/b", length)
    assert 0 < len(codec.binary_reply_headers) <= CACHED_REPLY_HEADERS


@pytest.mark.parametrize(
    ("is_unreadable", "made"),
    [
        (True, Header("text/json", "rot13", 5)),
        (True, Header("text/json", None, 5, id=1, deadline_ms=1)),
        (False, Header("text/json", "rot13", 5, connection="close")),
        (False, Header("text/json", "rot13", 5, deadline_ms=0)),
        (False, Header("text/json", "utf-16", 5)),
        (False, Header("a/b", "rot13", 5)),
    ],
)
def test_a_json_content_in_an_unknown_encoding_is_unreadable_unless_more_is_odd(is_unreadable, made):
    assert made.is_unreadable is is_unreadable


# --- writing -----------------------------------------------------------------------------------------


def test_a_header_is_written_as_the_tutorial_writes_it():
    raw = json.dumps({**FIELDS, "byteorder": sys.byteorder}, ensure_ascii=False).encode()
    assert encode_header("text/json", "utf-8", 5) == framed(raw)


def test_optional_fields_come_last_and_only_if_given():
    raw = encode_header("a/é", "binary", 0, connection="close", id="é", deadline_ms=0)[2:]
    assert raw.endswith('"content-length": 0, "connection": "close", "id": "é", "deadline-ms": 0}'.encode())
    assert encode_header("a/b", "binary", 0, id=0)[2:].endswith(b', "id": 0}')
    assert encode_header("a/b", "binary", 0, id="")[2:].endswith(b', "id": ""}')


@pytest.mark.parametrize("text", ["", '"', "\\", "\n\0\x7f", "é🐶", "\ud800", '", "id": 5, "x": "'])
def test_a_written_header_reads_back_whatever_its_texts_hold(text):
    framed_header = encode_header(text, text, 7, id=text, deadline_ms=3)
    assert int.from_bytes(framed_header[:2], "big") == len(framed_header) - 2
    assert parse_header(framed_header[2:], SERVER) == Header(text, text, 7, id=text, deadline_ms=3)


def test_a_header_longer_than_a_prefix_can_say_is_our_own_mistake():
    spare = 65535 - len(encode_header("", "binary", 0)) + 2
    assert encode_header("x" * spare, "binary", 0)[:2] == b"\xff\xff"
    with pytest.raises(LocalError, match="a header of 65536 bytes can't be sent"):
        encode_header("x" * (spare + 1), "binary", 0)


# --- the header cache --------------------------------------------------------------------------------


def numbered(i: int) -> bytes:
    return header(0, x=f"{i:06}")


def test_a_header_seen_before_is_not_parsed_again():
    codec = Codec(SERVER)
    assert codec.header(header(5)) is codec.header(header(5))


@pytest.mark.parametrize("spelling", ["UTF-8", "utf8", "U8", "cp65001"])
def test_another_spelling_of_utf_8_is_read_as_utf_8_is(spelling):
    codec = Codec(SERVER)
    framed_header = header(5, encoding=spelling)
    assert codec.header(framed_header).decode is None
    assert codec.common[framed_header] == 5


@pytest.mark.parametrize("other", ["utf-8-sig", "ascii", "utf-16"])
def test_what_is_nearly_utf_8_has_a_decoder_of_its_own(other):
    codec = Codec(SERVER)
    assert codec.header(header(5, encoding=other)).decode is not None
    assert codec.common == {}


def test_the_header_cache_is_bounded_in_entries():
    codec = Codec(SERVER)
    for i in range(CACHED_HEADERS * 3):
        codec.header(numbered(i))
        assert len(codec.headers) <= CACHED_HEADERS
    assert codec.header(numbered(0)) == codec.header(header(0))


def test_the_header_cache_is_bounded_in_the_size_of_an_entry():
    codec = Codec(SERVER)
    longest = header(0, x="x" * (CACHED_HEADER_LENGTH - len(header(0, x=""))))
    assert len(longest) == CACHED_HEADER_LENGTH
    codec.header(longest)
    codec.header(header(0, x="x" * 10_000))
    codec.header(longest.replace(b'"x": "', b'"x": "x').replace(longest[:2], framed(b"x" * (len(longest) - 1))[:2]))
    assert list(codec.headers) == [longest]


def test_a_header_with_an_id_is_not_cached():
    codec = Codec(SERVER)
    for id in (0, "", "a"):
        codec.header(header(0, id=id))
    assert codec.headers == {}


def test_a_bad_header_is_not_cached_and_stays_bad():
    codec = Codec(SERVER)
    for _ in range(2):
        with pytest.raises(BadHeader):
            codec.header(framed(b"[]"))
    assert codec.headers == {}


@pytest.mark.parametrize("role", [SERVER, CLIENT])
def test_each_role_caches_its_own_reading_of_the_same_bytes(role):
    both = header(0, event="e", deadline_ms=5)
    codec = Codec(role)
    for _ in range(2):
        assert codec.header(both).event == ("e" if role is CLIENT else None)
        assert codec.header(both).deadline_ms == (5 if role is SERVER else None)


def test_a_cached_header_is_still_held_to_the_limit():
    codec = Codec(SERVER, Limits(max_content=10))
    for length, refused in ((10, False), (11, True)):
        for _ in range(3):
            event = Connection(codec).receive_data(header(length))[0]
            assert isinstance(event, Failed) is refused
    assert codec.headers[header(10)].is_plain
    assert not codec.headers[header(11)].is_plain


def test_a_json_header_above_its_own_limit_is_neither_plain_nor_common_however_often_it_comes():
    codec = Codec(SERVER, Limits(max_json=10))
    for _ in range(3):
        assert not codec.header(header(11)).is_plain
        assert codec.header(header(11, "x/y")).is_plain
        assert codec.common_around_id(header(11, id=1))[0] is None
        assert codec.common_around_id(header(10, id=1))[0] == 10
    assert list(codec.common) == []


def test_no_split_of_a_stream_lets_a_short_tail_match_a_longer_header():
    """Whatever part of a stream is at hand, a header is found under its own prefix or not at all."""
    chance = random.Random(1)
    codec = Codec(SERVER)
    pool = [request({"n": i}, connection="keep-alive", x="y" * i) for i in range(40)]
    for _ in range(300):
        stream = b"".join(chance.choices(pool, k=6))
        plain_walk = Connection(Codec(SERVER)).receive_data(stream)
        connection, at, events = Connection(codec), 0, []
        while at < len(stream):
            step = chance.choice([1, 2, 3, chance.randrange(1, 400)])
            events += connection.receive_data(stream[at : at + step])
            at += step
        assert events == plain_walk
    for cached in codec.headers:
        assert len(cached) == 2 + int.from_bytes(cached[:2], "big")


# --- the reply header cache --------------------------------------------------------------------------


def test_a_reply_header_is_made_once_for_each_length():
    codec = Codec(SERVER)
    assert codec.json_reply_header(5) is codec.json_reply_header(5)
    assert codec.json_reply_header(5) == encode_header("text/json", "utf-8", 5)
    assert codec.json_reply_header(6) == encode_header("text/json", "utf-8", 6)


def test_a_replys_head_is_its_header_and_what_stands_before_the_result():
    codec = Codec(SERVER)
    assert codec.json_result_head(5) is codec.json_result_head(5)
    for json_of_result in (b'""', b'"abc"', b'"' + b"x" * 1000 + b'"'):
        content = RESULT_HEAD + json_of_result + RESULT_TAIL
        head = codec.json_result_head(len(json_of_result))
        assert head + json_of_result + RESULT_TAIL == encode_header("text/json", "utf-8", len(content)) + content


@pytest.mark.parametrize("id", [0, -5, 2**53, "text", ""])
def test_a_head_with_an_id_is_what_would_have_been_encoded(id):
    codec = Codec(SERVER)
    expected = encode_header("text/json", "utf-8", 20, id=id)
    written = json.dumps(id).encode()
    for _ in range(2):
        assert codec.head_with_id(codec.json_reply_header(20), written) == expected
        head = codec.json_result_head(20 - len(RESULT_HEAD + RESULT_TAIL))
        assert codec.head_with_id(head, written) == expected + RESULT_HEAD


def test_the_caches_of_heads_are_bounded():
    codec = Codec(SERVER)
    for length in range(CACHED_REPLY_HEADERS * 2 + 10):
        assert f'"content-length": {length + 12}, "id": 1}}'.encode() in codec.head_with_id(
            codec.json_result_head(length), b"1"
        )
        assert len(codec.json_result_heads) <= CACHED_REPLY_HEADERS
        assert len(codec.around_reply_ids) <= CACHED_REPLY_HEADERS


def test_the_reply_header_cache_is_bounded():
    codec = Codec(SERVER)
    for length in range(CACHED_REPLY_HEADERS * 2 + 10):
        assert f'"content-length": {length}}}'.encode() in codec.json_reply_header(length)
        assert len(codec.json_reply_headers) <= CACHED_REPLY_HEADERS
    assert codec.json_reply_header(3) == encode_header("text/json", "utf-8", 3)


def test_a_codec_without_limits_has_the_defaults():
    assert Codec(CLIENT).limits == Limits()
    assert Codec(CLIENT, Limits(max_header=9)).limits.max_header == 9
