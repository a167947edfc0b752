"""What bytes mean, however they are cut, and what replies and requests say of the connection."""

from __future__ import annotations

import json

import pytest

from protocol import (
    CLIENT,
    SERVER,
    Codec,
    Connection,
    EndOfInput,
    Failed,
    Header,
    HeaderReceived,
    Limits,
    LocalError,
    Notification,
    Rejected,
    Request,
    Response,
)
from protocol.errors import BadContent, BadRequest, Overloaded, TimedOut
from protocol.limits import DIRECT_CONTENT
from tests.support.wire import framed, header, message, request

from .feeding import client, every_way, plain, server, summary

NEXT = request({"action": "next"}, connection="keep-alive")


def kinds(events: list) -> list[str]:
    return [type(event).__name__ for event in events]


# --- one message of each kind, fed in every way --------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [{"action": "search", "value": "🐶"}, {}, [], 0, "", None, False, True, -1.5, [[{}]], "\ud800", {"a": "é" * 40}],
    ids=repr,
)
def test_a_json_request_is_its_header_and_its_value(value):
    events, connection = every_way(request(value, connection="keep-alive"), tail=NEXT)
    assert kinds(events) == ["HeaderReceived", "Request", "HeaderReceived", "Request"]
    assert events[1] == Request(events[0].header, value)
    assert connection.in_flight == 2


@pytest.mark.parametrize("content", ["{}", "[]", "0", '""', "null", "false"])
def test_contents_the_tutorials_server_never_answers_are_requests(content):
    events, _ = every_way(message(content))
    assert events[-1] == Request(events[0].header, json.loads(content))


@pytest.mark.parametrize("content", [b"", b"\0", b"\xff" * 200, b"First", b"{}"], ids=repr)
@pytest.mark.parametrize("encoding", ["binary", "utf-8", None, 5, "no such"])
def test_a_binary_request_is_its_bytes_and_its_encoding_is_not_looked_at(content, encoding):
    data = message(content, "binary/x", encoding=encoding, connection="keep-alive")
    events, _ = every_way(data, tail=NEXT)
    assert events[1] == Request(events[0].header, content)
    assert isinstance(events[1].content, bytes)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32", "UTF 8", "latin-1", "cp037", "U8"])
def test_a_request_in_any_text_encoding_is_decoded(encoding):
    value = {"action": "search", "value": "ring"}
    events, _ = every_way(message(json.dumps(value).encode(encoding), encoding=encoding, connection="keep-alive"))
    assert events[-1].content == value


@pytest.mark.parametrize(
    ("content", "encoding", "code"),
    [
        (b"\xff", "utf-8", "bad-content"),
        (b"{", "utf-8", "bad-content"),
        (b"", "utf-8", "bad-content"),
        (b"[NaN]", "utf-8", "bad-content"),
        (b"-Infinity", "utf-8", "bad-content"),
        (b"1" * 5000, "utf-8", "bad-content"),
        (b"\xef\xbb\xbf{}", "utf-8", "bad-content"),
        (b"{}", "utf-16", "bad-content"),
        (b"{}", "rot13", "unsupported-encoding"),
        (b"{}", "zlib_codec", "unsupported-encoding"),
        (b"{}", "utf-8\0", "unsupported-encoding"),
        (b"{}", None, "unsupported-encoding"),
        (b"{}", ["utf-8"], "unsupported-encoding"),
        (b"{}", "no such", "unsupported-encoding"),
    ],
)
def test_content_that_cannot_be_decoded_is_rejected_and_the_next_is_served(content, encoding, code):
    events, connection = every_way(
        message(content, encoding=encoding, connection="keep-alive", id=7), tail=request({"action": "x"})
    )
    assert kinds(events) == ["HeaderReceived", "Rejected", "HeaderReceived", "Request"]
    assert events[1].error.code == code
    assert events[1].header.id == 7
    assert connection.state == "PROTOHEADER"


def test_content_nested_too_deeply_is_rejected_and_framing_holds():
    connection = server()
    events = connection.receive_data(message("[" * 100_000, connection="keep-alive") + NEXT)
    assert kinds(events) == ["HeaderReceived", "Rejected", "HeaderReceived", "Request"]
    assert isinstance(events[1].error, BadContent)


def test_content_of_a_large_json_request_is_decoded_from_its_own_buffer():
    value = {"action": "echo", "value": "é" * (DIRECT_CONTENT // 6)}  # each is six bytes
    events, _ = every_way(request(value, connection="keep-alive"), tail=NEXT)
    assert events[1].content == value


@pytest.mark.parametrize("role", [SERVER, CLIENT])
@pytest.mark.parametrize("rest", [b"", NEXT, b"\0\0"])
def test_nothing_behind_the_last_message_is_served(role, rest):
    for last in (request({}), request({}, connection="close"), message(b"", "x/y"), request({}, connection="other")):
        events, connection = every_way(last, role, tail=rest)
        assert kinds(events) == ["HeaderReceived", "Request" if role is SERVER else "Response"]
        assert connection.state == "FINISHED"
        assert connection.buffered == 0
    events, connection = every_way(request({}, connection="close"), role, persistent=True, tail=rest)
    assert len(events) == 2
    assert connection.state == "FINISHED"


def test_a_one_shot_request_that_is_rejected_is_the_last_too():
    events, connection = every_way(message("{"), tail=NEXT)
    assert kinds(events) == ["HeaderReceived", "Rejected"]
    assert connection.state == "FINISHED"


def test_keep_alive_sticks_until_close():
    data = NEXT + request(1) + message(b"", "x/y") + request(2, connection="unknown") + request(3, connection="close")
    events, connection = every_way(data, tail=NEXT)
    assert [e.content for e in events if isinstance(e, Request)] == [{"action": "next"}, 1, b"", 2, 3]
    assert connection.state == "FINISHED"
    assert connection.in_flight == 5


def test_a_thousand_pipelined_requests_are_read_in_order():
    data = b"".join(request(i, connection="keep-alive") for i in range(1000))
    connection = server()
    events = connection.receive_data(data)
    assert [e.content for e in events if isinstance(e, Request)] == list(range(1000))
    assert connection.in_flight == 1000


@pytest.mark.parametrize("id", [0, "", "a", "🐶" * 64, "\ud800", 2**53, -(2**53)])
@pytest.mark.parametrize("role", [SERVER, CLIENT])
def test_an_id_comes_with_every_event_of_its_message(role, id):
    events, _ = every_way(request({}, id=id, connection="keep-alive"), role, tail=NEXT)
    assert events[0].header.id == events[1].header.id == id
    assert events[3].header.id is None


def test_a_deadline_comes_with_the_complete_header_before_any_content():
    connection = server()
    data = request({"action": "x"}, deadline_ms=250)
    [event] = connection.receive_data(data[:-15])
    assert event == HeaderReceived(Header("text/json", "utf-8", 15, deadline_ms=250))
    events, _ = every_way(data)
    assert events[1].header.deadline_ms == 250


# --- errors that end the input ------------------------------------------------------------------------


@pytest.mark.parametrize("role", [SERVER, CLIENT])
@pytest.mark.parametrize(
    ("data", "code", "limits"),
    [
        (b"\0\0", "bad-header", {}),
        (framed(b"[]"), "bad-header", {}),
        (b"\0\x65", "header-too-large", {"max_header": 100}),
        (b"\xff\xff", "header-too-large", {"max_header": 65534}),
        (header(11, id="x"), "content-too-large", {"max_content": 10}),
        (header(10**30, id="x"), "content-too-large", {}),
        (header(64 * 2**20 + 1, id="x"), "content-too-large", {}),
    ],
)
def test_lost_framing_is_told_at_once_and_nothing_behind_it_is_served(role, data, code, limits):
    events, connection = every_way(data, role, tail=NEXT, **limits)
    [event] = events
    assert isinstance(event, Failed)
    assert event.error.code == code
    assert connection.state == "FAILED"
    assert connection.buffered == 0
    assert connection.in_flight == (1 if role is SERVER else 0)  # the error is a reply like another
    if code == "content-too-large":
        assert event.header is not None
        assert event.header.id == "x"
    else:
        assert event.header is None


@pytest.mark.parametrize("role", [SERVER, CLIENT])
@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"GET / HTTP/1.1\r\n", "an HTTP request"),
        (b"HTTP/1.1 400 Bad Request\r\n", "an HTTP reply"),
        (b"\x16\x03\x01\x06\xc0\x01", "TLS"),
        (b"PROXY TCP4 ", "a PROXY header"),
        (b"\r\n\r\n\0\r\nQUIT\n", "a PROXY header"),
        (b"Message 1 from client.", "raw text"),
        (b"\x10\0\xff\xfe", None),
        (b"\x10\0[1, 2]", None),
        (b"\x10\0\xef\xbb\xbf{", None),  # a byte order mark
        (b"\x10\0 \t\r\n\0", None),
        (b"\x10\0\x0b{", None),  # white space, but not JSON's
    ],
)
def test_a_header_that_does_not_begin_as_an_object_is_refused_at_its_first_byte(role, data, name):
    enough = len(data) - len(data[2:].lstrip(b" \t\r\n")) + 1
    connection = (server if role is SERVER else client)()
    for byte in data[: enough - 1]:
        assert connection.receive_data(bytes([byte])) == []
    [event] = connection.receive_data(data[enough - 1 : enough])
    assert event.error.code == "bad-header"
    assert event.error.looks_like == name
    assert "must be a JSON object" in str(event.error)
    assert event.error.with_guess() == str(event.error) + (f"; it looks like {name}" if name else "")
    assert (connection.state, connection.buffered) == ("FAILED", 0)


@pytest.mark.parametrize("data", [framed(b"[]"), framed(b"\xff\xfe"), framed(b" \n0 "), framed(b"nonsense" * 100)])
def test_what_is_said_of_it_does_not_depend_on_how_it_came(data):
    [whole] = server().receive_data(data)
    [cut] = server().receive_data(data[:-1])
    assert str(whole.error) == str(cut.error)
    assert "must be a JSON object, and so begin with '{'" in str(cut.error)


def test_what_is_too_large_a_header_is_told_for_what_it_looks_like_too():
    [event] = server(max_header=1000).receive_data(b"GET / HTTP/1.1\r\n")
    assert (event.error.code, event.error.looks_like) == ("header-too-large", "an HTTP request")


def test_white_space_before_a_header_is_looked_at_once(monkeypatch):
    """A peer may send 64 KiB of it, byte by byte."""
    looked = []
    real = Connection._look_at_beginning

    def look(self, buffer, end):
        looked.append(len(buffer) - self._white)
        return real(self, buffer, end)

    monkeypatch.setattr(Connection, "_look_at_beginning", look)
    raw = b" " * 500 + header()[2:]
    connection = server()
    events = [event for byte in framed(raw) for event in connection.receive_data(bytes([byte]))]
    assert kinds(events) == ["HeaderReceived", "Rejected"]  # no bytes are no JSON
    assert looked == [1] * 501


def test_requests_before_the_broken_one_are_served_first():
    events, connection = every_way(NEXT + NEXT + b"\0\0", tail=NEXT)
    assert kinds(events)[-3:] == ["HeaderReceived", "Request", "Failed"]
    assert connection.in_flight == 3


def test_a_header_of_exactly_the_limit_is_read():
    data = request({})
    length = int.from_bytes(data[:2], "big")
    assert kinds(every_way(data, max_header=length)[0]) == ["HeaderReceived", "Request"]
    assert kinds(every_way(data, max_header=length - 1)[0]) == ["Failed"]


def test_a_content_of_exactly_the_limit_is_read():
    assert kinds(every_way(message(b"x" * 100, "x/y"), max_content=100)[0]) == ["HeaderReceived", "Request"]
    assert kinds(every_way(message(b"x" * 101, "x/y"), max_content=100)[0]) == ["Failed"]


def test_a_json_content_has_a_lower_limit_on_a_server_and_bytes_have_not():
    limits = {"max_json": 100, "max_content": 200}
    for data, kind in (
        (message(b"1" + b" " * 99), "Request"),
        (message(b"1" + b" " * 100), "Failed"),
        (message(b"1" + b" " * 100, connection="keep-alive"), "Failed"),
        (message(b"1" + b" " * 100, id=1), "Failed"),
        (message(b"1" + b" " * 100, encoding="rot13"), "Failed"),
        (message(b"x" * 200, "x/y"), "Request"),
        (message(b"x" * 201, "x/y"), "Failed"),
    ):
        assert kinds(every_way(data, **limits)[0])[-1] == kind
    assert kinds(every_way(message(b"1" + b" " * 199), CLIENT, **limits)[0])[-1] == "Response"
    assert kinds(every_way(message(b"1" + b" " * 150), max_json=300, max_content=100)[0]) == ["Failed"]


def test_an_error_about_a_huge_length_is_short():
    [event] = server().receive_data(header(10**4000))
    assert isinstance(event, Failed)
    assert len(str(event.error)) < 100


# --- the end of input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [SERVER, CLIENT])
@pytest.mark.parametrize(
    ("data", "truncated"),
    [
        (b"", False),
        (NEXT, False),
        (NEXT + NEXT[:1], True),
        (NEXT + NEXT[:2], True),
        (NEXT + NEXT[:50], True),
        (NEXT[:-1], True),
        (header(5), True),
        (header(5) + b"1234", True),
        (request({}), False),
        (request({}) + NEXT[:5], False),
        (b"\0\0" + NEXT, False),
        (header(2 * DIRECT_CONTENT, "x/y") + b"x" * 1000, True),
    ],
)
def test_the_end_of_input_says_whether_a_message_was_cut(role, data, truncated):
    events, connection = every_way(data, role, eof=True)
    assert events[-1] == EndOfInput(truncated)
    assert kinds(events).count("EndOfInput") == 1
    assert connection.state == "ENDED"
    assert summary(connection)["buffered"] == 0
    assert not connection.mid_message
    assert connection.receive_eof() == []
    assert connection.receive_data(NEXT) == []
    assert connection.buffered == 0


def test_what_was_sent_before_the_end_is_served_before_it():
    connection = server()
    connection.feed(NEXT + NEXT)
    connection.feed_eof()
    assert [type(connection.next_event()).__name__ for _ in range(6)] == [
        *("HeaderReceived", "Request") * 2,
        "EndOfInput",
        "NoneType",
    ]


def test_an_empty_read_is_not_the_beginning_of_a_message():
    connection = server()
    assert connection.receive_data(b"") == []
    assert not connection.mid_message
    assert connection.receive_eof() == [EndOfInput(False)]


def test_mid_message_is_from_the_first_byte_to_the_last():
    data = NEXT + NEXT
    connection = server()
    for i in range(len(data)):
        assert connection.mid_message is (i not in (0, len(NEXT)))
        connection.receive_data(data[i : i + 1])
    assert not connection.mid_message


def test_buffered_counts_the_bytes_that_belong_to_no_event_yet():
    connection = server()
    connection.feed(NEXT + b"\0")
    assert connection.buffered == len(NEXT) + 1
    connection.next_event()
    assert connection.buffered == len(NEXT) + 1 - len(header(18, connection="keep-alive"))
    connection.next_event()
    assert connection.buffered == 1


def test_undecoded_is_what_the_next_event_may_decode():
    connection = server()
    assert connection.undecoded == 0
    connection.feed(NEXT + NEXT[:7])
    assert connection.undecoded == len(NEXT) + 7
    connection.next_event()
    connection.next_event()
    assert connection.undecoded == 7


@pytest.mark.parametrize(("content_type", "decoded"), [("text/json", True), ("x/y", False)])
def test_of_a_large_content_nothing_is_undecoded_before_it_is_whole_nor_if_it_is_bytes(content_type, decoded):
    connection = server()
    connection.receive_data(header(DIRECT_CONTENT, content_type, connection="keep-alive"))
    assert connection.undecoded == 0
    connection.feed(b'"' + b"a" * (DIRECT_CONTENT - 2))
    assert connection.next_event() is None
    assert (connection.buffered, connection.undecoded) == (DIRECT_CONTENT - 1, 0)
    connection.feed(b'"')
    assert connection.undecoded == (DIRECT_CONTENT if decoded else 0)
    assert kinds([connection.next_event()]) == ["Request"]
    assert connection.undecoded == 0


def test_giving_up_throws_away_what_is_here_and_what_comes():
    for begun in (b"", NEXT[:1], NEXT[:50], header(5) + b"1", header(DIRECT_CONTENT, "x/y") + b"1"):
        connection = server()
        connection.receive_data(begun)
        connection.give_up()
        assert connection.state == "FAILED"
        assert connection.buffered == 0
        assert connection.get_buffer() is None
        assert connection.receive_data(NEXT) == []
        assert connection.buffered == 0
        assert connection.receive_eof() == [EndOfInput(False)]


def test_the_header_of_the_message_being_read_can_be_asked_for():
    connection = server()
    assert connection.header is None
    [event] = connection.receive_data(header(5, id="x"))
    assert connection.header is event.header
    connection.receive_data(b"12345")
    assert connection.header is None


def test_part_by_part_no_byte_of_the_next_message_is_taken():
    connection = server()
    first, rest = connection.receive_part(NEXT + NEXT[:7])
    assert (kinds([first]), rest) == (["HeaderReceived"], NEXT[2 + int.from_bytes(NEXT[:2], "big") :] + NEXT[:7])
    second, rest = connection.receive_part(rest)
    assert (kinds([second]), rest) == (["Request"], NEXT[:7])
    assert connection.between_messages
    assert connection.receive_part(rest) == (None, b"")
    assert connection.buffered == 7
    assert kinds([connection.receive_part(NEXT[7:])[0]]) == ["HeaderReceived"]


def test_part_by_part_the_end_comes_behind_all_that_was_sent():
    connection = server()
    connection.feed_eof()
    events, rest = [], NEXT + NEXT[:7]
    while True:
        event, rest = connection.receive_part(rest)
        if event is None:
            break
        events.append(event)
    assert kinds(events) == ["HeaderReceived", "Request", "EndOfInput"]
    assert events[-1].truncated


@pytest.mark.parametrize("limits", [{}, {"max_header": 64}], ids=["header", "prefix"])
def test_part_by_part_what_is_no_message_is_named_by_all_that_has_come(limits: dict):
    data = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    event, _ = server(**limits).receive_part(data)
    assert kinds([event]) == ["Failed"]
    assert event.error.looks_like is not None
    assert event.error.looks_like == server(**limits).receive_data(data)[0].error.looks_like


def test_behind_the_last_message_part_by_part_nothing_is_taken():
    connection = server()
    rest = request({"action": "last"}, connection="close") + NEXT
    while connection.state != "FINISHED":
        _, rest = connection.receive_part(rest)
    assert connection.receive_part(rest) == (None, rest)


def test_part_by_part_a_byte_that_moves_nothing_is_kept():
    connection = server()
    assert connection.receive_part(NEXT[:1]) == (None, b"")
    assert connection.receive_part(NEXT[1:5]) == (None, b"")
    assert (connection.state, connection.buffered) == ("JSONHEADER", 5)
    connection.feed_eof()
    event, _ = connection.receive_part(b"")
    assert kinds([event]) == ["EndOfInput"]


@pytest.mark.parametrize("fields", [{"connection": "keep-alive"}, {}, {"connection": "close"}])
@pytest.mark.parametrize("drained", [False, True])
def test_a_request_that_was_taken_whole_is_accounted_for_as_one_that_was_read(fields: dict, drained: bool):
    data = request({"action": "echo"}, **fields)
    by_event, whole = server(), server()
    for connection in (by_event, whole):
        assert connection.needs_input
        if drained:
            connection.start_drain(unread=len(data))
    (_, event) = by_event.receive_data(data)
    whole.take_whole(event.header, len(data))
    assert summary(whole) == summary(by_event)
    assert whole.all_begun_read == by_event.all_begun_read
    assert whole.needs_input == by_event.needs_input == (whole.state == "PROTOHEADER")


def test_a_large_content_is_filled_when_all_of_it_has_come():
    connection = server()
    data = message(bytes(DIRECT_CONTENT), "x/y", encoding="binary", connection="keep-alive")
    event, rest = connection.receive_part(data[:-1])
    assert (kinds([event]), connection.content_filled) == (["HeaderReceived"], False)
    assert connection.receive_part(rest) == (None, b"")
    assert not connection.content_filled
    space = connection.get_buffer()
    assert space is not None
    space[:1] = data[-1:]
    space.release()
    connection.buffer_updated(1)
    assert connection.content_filled
    event, _ = connection.receive_part(b"")
    assert kinds([event]) == ["Request"]
    assert not connection.content_filled


# --- large contents ---------------------------------------------------------------------------------------

SIZES = [DIRECT_CONTENT - 1, DIRECT_CONTENT, DIRECT_CONTENT + 1, 4 * DIRECT_CONTENT + 1]


def noise(size: int) -> bytes:
    return bytes(i * 7 % 251 for i in range(251)) * (size // 251 + 1)


@pytest.mark.parametrize("size", SIZES)
def test_a_large_content_is_the_same_however_it_is_fed(size):
    content = noise(size)[:size]
    events, _ = every_way(message(content, "x/y", connection="keep-alive"), tail=NEXT)
    assert events[1].content == content
    assert isinstance(events[1].content, bytearray) is (size >= DIRECT_CONTENT)
    assert events[3].content == {"action": "next"}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [1000, 65536, 10**6])
@pytest.mark.parametrize("begun", [0, 1, 65000])
def test_a_large_content_can_be_received_straight_into_its_place(size, step, begun):
    content = noise(size)[:size]
    connection = server()
    connection.receive_data(header(size, "x/y", connection="keep-alive") + content[:begun])
    at = begun
    events = []
    while (space := connection.get_buffer()) is not None:
        part = content[at : at + min(step, len(space))]
        space[: len(part)] = part
        space.release()
        connection.buffer_updated(len(part))
        at += len(part)
        assert connection.mid_message
        if at < size:
            assert connection.next_event() is None
    if size < DIRECT_CONTENT:
        assert at == begun  # too small for a place of its own
        events += connection.receive_data(content[at:])
    events += connection.receive_data(NEXT)
    assert kinds(events) == ["Request", "HeaderReceived", "Request"]
    assert events[0].content == content
    assert connection.buffered == 0


def test_received_in_place_and_fed_may_alternate():
    size = 3 * DIRECT_CONTENT
    content = noise(size)[:size]
    connection = server()
    connection.receive_data(header(size, "x/y") + content[:10])
    at = 10
    while at < size:
        with connection.get_buffer() as space:
            part = content[at : at + min(777, len(space))]
            space[: len(part)] = part
        connection.buffer_updated(len(part))
        at += len(part)
        [*events] = connection.receive_data(content[at : at + 5000])
        at += 5000
    assert events[-1].content == content


def test_the_place_for_a_large_content_never_reaches_beyond_it():
    size = DIRECT_CONTENT + 5
    connection = server()
    connection.receive_data(header(size, "x/y"))
    assert len(connection.get_buffer()) == DIRECT_CONTENT
    connection.receive_data(b"x" * DIRECT_CONTENT)
    assert len(connection.get_buffer()) == 5
    connection.receive_data(b"x" * 4)
    assert len(connection.get_buffer()) == 1


def test_a_large_announcement_alone_makes_us_hold_little():
    connection = server()
    connection.receive_data(header(64 * 2**20, "x/y"))
    for sent in (0, DIRECT_CONTENT // 2, DIRECT_CONTENT - 1, DIRECT_CONTENT, 15 * DIRECT_CONTENT, 2**24):
        connection.receive_data(b"x" * (sent - connection.buffered))
        with connection.get_buffer() as space:
            assert connection.buffered + len(space) <= max(DIRECT_CONTENT, 32 * sent)
            assert len(space) >= min(sent, 64 * 2**20 - sent) // 2  # and no dribbling into a nearly full buffer


def test_a_connection_kept_alive_between_messages_is_at_rest_and_like_any_other():
    connection = server()
    assert not connection.at_rest  # nothing was granted
    [asked] = requests_of(connection, NEXT)
    assert not connection.at_rest  # a reply is owed
    connection.send_json(asked.header, RESULT)
    assert connection.at_rest
    assert summary(connection) == summary(Connection.kept_alive(connection.codec))
    assert Connection.kept_alive(connection.codec).at_rest
    connection.feed(b"\0")
    assert not connection.at_rest  # a message has begun


def test_a_connection_that_ends_is_not_at_rest():
    drained, ended = (Connection.kept_alive(Codec(SERVER)) for _ in range(2))
    drained.start_drain()
    assert not drained.at_rest
    ended.feed_eof()
    assert not ended.at_rest
    given_up = Connection.kept_alive(Codec(SERVER))
    given_up.give_up()
    assert not given_up.at_rest


def test_a_connection_made_at_rest_serves_without_granting_again():
    connection = Connection.kept_alive(Codec(SERVER))
    [asked] = requests_of(connection, request({}))
    assert says(connection.send_json(asked.header, RESULT)) is None
    assert connection.at_rest


@pytest.mark.parametrize("step", [1000, 65536, 10**6])
def test_a_peer_has_us_hold_at_most_32_times_what_it_sent_and_never_more_than_it_announced(step):
    """Announcing alone costs 64 KiB (docs/understand/security.md)."""
    size = 64 * 1024 * 1024
    connection = server()
    connection.receive_data(header(size, "x/y"))
    sent = 0
    places = []
    while sent < size // 7:
        with connection.get_buffer() as space:
            places.append(sent + len(space))
            count = min(step, len(space))
        assert places[-1] <= min(size, max(DIRECT_CONTENT, 32 * sent))
        connection.buffer_updated(count)
        sent += count
    assert places[0] == DIRECT_CONTENT
    assert places[-1] == size


def test_there_is_no_place_for_a_content_that_is_not_large_or_not_begun():
    connection = server()
    assert connection.get_buffer() is None
    connection.receive_data(header(5))
    assert connection.get_buffer() is None


def test_bytes_behind_a_large_content_wait_until_it_is_taken():
    content = b"x" * DIRECT_CONTENT
    connection = server()
    connection.feed(header(DIRECT_CONTENT, "x/y", connection="keep-alive"))
    connection.next_event()
    connection.feed(content + NEXT[:3])
    assert connection.get_buffer() is None  # it is whole
    connection.feed(NEXT[3:])
    assert connection.buffered == len(content) + len(NEXT)
    assert kinds(connection.receive_data(b"")) == ["Request", "HeaderReceived", "Request"]


# --- what replies say of the connection -----------------------------------------------------------------

RESULT = b'{"result": 1}'


def sent(frame: tuple) -> tuple[dict, bytes]:
    """A frame's header fields and its content."""
    head, content = frame
    assert int.from_bytes(head[:2], "big") == len(head) - 2
    fields = json.loads(head[2:])
    assert fields["content-length"] == len(content)
    return fields, bytes(content)


def says(frame: tuple) -> str | None:
    return sent(frame)[0].get("connection")


def requests_of(connection: Connection, data: bytes) -> list:
    return [e for e in connection.receive_data(data) if not isinstance(e, HeaderReceived)]


def test_a_one_shot_reply_says_nothing_and_is_the_tutorials():
    connection = server()
    [asked] = requests_of(connection, request({}))
    head, content = connection.send_json(asked.header, RESULT)
    assert list(json.loads(head[2:])) == ["byteorder", "content-type", "content-encoding", "content-length"]
    assert content is RESULT
    assert connection.in_flight == 0


def test_the_first_reply_after_keep_alive_says_so_and_later_ones_say_nothing():
    connection = server()
    for expected in ("keep-alive", None, None):
        [asked] = requests_of(connection, NEXT)
        assert says(connection.send_json(asked.header, RESULT)) == expected


def test_pipelined_requests_are_granted_keep_alive_once():
    connection = server()
    asked = requests_of(connection, NEXT * 3)
    assert [says(connection.send_json(a.header, RESULT)) for a in asked] == ["keep-alive", None, None]


def test_keep_alive_asked_for_by_a_later_pipelined_request_is_not_asked_for():
    connection = server()
    assert len(requests_of(connection, request({}) + NEXT)) == 1
    assert not connection.persistent


def test_the_last_reply_of_a_kept_alive_connection_says_close():
    connection = server()
    asked = requests_of(connection, NEXT * 2 + request({}, connection="close") + NEXT)
    assert [says(connection.send_json(a.header, RESULT)) for a in asked] == ["keep-alive", None, "close"]


def test_close_without_keep_alive_before_is_one_shot_and_says_nothing():
    connection = server()
    [asked] = requests_of(connection, request({}, connection="close"))
    assert says(connection.send_json(asked.header, RESULT)) is None


def test_close_takes_the_place_of_keep_alive_when_the_first_reply_is_the_last():
    connection = server()
    [asked] = requests_of(connection, NEXT)
    connection.receive_eof()
    assert says(connection.send_json(asked.header, RESULT)) == "close"


def test_after_the_peers_end_the_last_of_the_replies_owed_says_close():
    connection = server()
    asked = requests_of(connection, NEXT * 3)
    connection.receive_eof()
    assert [says(connection.send_json(a.header, RESULT)) for a in asked] == ["keep-alive", None, "close"]


def test_lost_framing_is_answered_after_the_replies_before_it_and_says_close():
    connection = server()
    *asked, failed = requests_of(connection, NEXT * 2 + b"\0\0")
    assert [says(connection.send_json(a.header, RESULT)) for a in asked] == ["keep-alive", None]
    fields, content = sent(connection.send_error(failed.header, failed.error))
    assert fields["connection"] == "close"
    assert json.loads(content)["error"]["code"] == "bad-header"


def test_lost_framing_on_a_connection_never_kept_alive_says_nothing():
    connection = server()
    [failed] = requests_of(connection, b"\0\0")
    assert says(connection.send_error(None, failed.error)) is None


def test_a_content_too_large_is_answered_with_its_id():
    connection = server(max_content=5)
    [failed] = requests_of(connection, header(6, id="x"))
    assert sent(connection.send_error(failed.header, failed.error))[0]["id"] == "x"


def test_an_error_reply_that_stays_open_grants_keep_alive_like_another():
    connection = server()
    [rejected] = requests_of(connection, message("{", connection="keep-alive", id=5))
    assert isinstance(rejected, Rejected)
    fields, _ = sent(connection.send_error(rejected.header, rejected.error))
    assert (fields["connection"], fields["id"]) == ("keep-alive", 5)
    [asked] = requests_of(connection, NEXT)
    assert says(connection.send_error(asked.header, BadRequest("no"))) is None


def test_a_timeout_owes_one_reply_more_than_there_were_requests():
    connection = server()
    [asked] = requests_of(connection, NEXT + NEXT[:9])
    connection.give_up()
    connection.owe_error()
    assert says(connection.send_json(asked.header, RESULT)) == "keep-alive"
    fields, content = sent(connection.send_error(None, TimedOut("too slow")))
    assert fields["connection"] == "close"
    assert json.loads(content)["error"]["code"] == "timeout"
    assert connection.in_flight == 0


def test_an_error_before_any_request_can_be_sent():
    connection = server()
    connection.give_up()
    connection.owe_error()
    fields, content = sent(connection.send_error(None, Overloaded("full")))
    assert "connection" not in fields
    assert json.loads(content)["error"]["code"] == "overloaded"


def test_a_reply_to_no_request_is_our_own_mistake_and_changes_nothing():
    connection = server()
    for send in (
        lambda: connection.send_json(None, RESULT),
        lambda: connection.send_error(None, TimedOut("x")),
        lambda: connection.send_binary(Header("x/y", "binary", 0), "x/y", b""),
    ):
        with pytest.raises(LocalError, match="no request awaits a reply"):
            send()
        assert connection.in_flight == 0


@pytest.mark.parametrize("id", [0, "", "a", "\ud800", 'say "hi"', 2**53, None])
def test_every_kind_of_reply_carries_the_requests_id_back(id):
    connection = server()
    more = {} if id is None else {"id": id}
    asked = requests_of(connection, request({}, connection="keep-alive", **more) * 3)
    frames = [
        connection.send_json(asked[0].header, RESULT),
        connection.send_binary(asked[1].header, "x/y", b"123"),
        connection.send_error(asked[2].header, BadRequest("no")),
    ]
    for frame in frames:
        fields, _ = sent(frame)
        assert fields.get("id") == id
        assert ("id" in fields) is (id is not None)


@pytest.mark.parametrize("content", [b"abc", bytearray(b"abc"), memoryview(b"abc"), b""])
def test_a_binary_reply_has_its_type_and_its_content_uncopied(content):
    connection = server()
    asked = requests_of(connection, NEXT * 2)
    for expected in ("keep-alive", None):
        frame = connection.send_binary(asked.pop().header, "binary/x", content)
        fields, _ = sent(frame)
        assert fields["content-type"] == "binary/x"
        assert fields["content-encoding"] == "binary"
        assert fields.get("connection") == expected
        assert frame[1] is content


@pytest.mark.parametrize("content_type", ["x" * 1025, "x" * 70_000, None, 5, b"x/y"])
def test_a_binary_reply_of_an_impossible_type_is_refused_and_still_owed(content_type):
    connection = server()
    [asked] = requests_of(connection, NEXT)
    with pytest.raises(LocalError, match="a content type is a string"):
        connection.send_binary(asked.header, content_type, b"")
    assert connection.in_flight == 1
    assert says(connection.send_error(asked.header, BadRequest("no"))) == "keep-alive"


@pytest.mark.parametrize("letter", ["x", "\0", "\ud800", "🐶", '"'])
def test_the_longest_type_and_id_fit_a_header_whatever_their_letters(letter):
    connection = server()
    [asked] = requests_of(connection, request({}, id=letter * 64, connection="keep-alive"))
    fields, _ = sent(connection.send_binary(asked.header, letter * 1024, b""))
    assert fields["content-type"] == letter * 1024
    assert fields["id"] == letter * 64


def test_replies_are_read_by_a_client_as_they_were_meant():
    us, them = server(), client()
    asked = requests_of(us, NEXT * 3 + request({}, connection="close", id=9))
    data = b"".join(
        b"".join(frame)
        for frame in (
            us.send_json(asked[0].header, RESULT),
            us.send_binary(asked[1].header, "x/y", b"\xff"),
            us.send_error(asked[2].header, BadRequest("no")),
            us.send_json(asked[3].header, b'{"result": "\xc3\xa9"}'),
        )
    )
    events, after = every_way(data, CLIENT)
    answers = [e for e in events if isinstance(e, Response)]
    assert [a.content for a in answers[:2]] == [{"result": 1}, b"\xff"]
    assert answers[2].content["error"]["code"] == "bad-request"
    assert (answers[3].content, answers[3].header.id) == ({"result": "é"}, 9)
    assert after.state == "FINISHED"
    assert [plain(e) for e in them.receive_data(data)] == [plain(e) for e in events]


# --- finishing what was begun (a drain) -------------------------------------------------------------------


def test_a_drain_between_messages_finds_all_begun_read():
    connection = server()
    assert not connection.all_begun_read  # nobody asked
    connection.start_drain()
    assert connection.all_begun_read
    connection.receive_data(NEXT[:5])
    assert connection.state == "JSONHEADER"
    assert connection.all_begun_read  # that one began later


@pytest.mark.parametrize("content", [b"x" * 10, b"x" * (DIRECT_CONTENT + 10)], ids=["small", "large"])
@pytest.mark.parametrize("behind", [b"", NEXT[:1], NEXT[:30], NEXT], ids=len)
@pytest.mark.parametrize("looked_at", [False, True])
def test_a_drain_serves_every_message_of_which_a_byte_was_there(content, behind, looked_at):
    first = message(content, "x/y", connection="keep-alive")
    for place in (1, 2, 50, len(first) - len(content), len(first) - 1, len(first)):
        if place < len(first) and behind:
            continue  # bytes behind it can only be there when it is whole
        connection = server()
        connection.feed(first[:place])
        events = [connection.next_event()] if looked_at else []
        connection.feed(behind)
        connection.start_drain()
        begun = 2 if behind else 1
        connection.feed(first[place:])
        connection.feed((NEXT[len(behind) :] if behind else b"") + NEXT)
        while connection.in_flight < begun:
            assert not connection.all_begun_read
            events.append(connection.next_event())
        assert connection.all_begun_read
        assert kinds(events).count("Request") == begun
        asked = [e for e in events if isinstance(e, Request)]
        words = [says(connection.send_json(a.header, RESULT)) for a in asked]
        assert words == (["close"] if begun == 1 else ["keep-alive", "close"])


def test_a_drain_inside_a_large_content_that_is_whole_counts_what_is_behind_it():
    connection = server()
    connection.receive_data(header(DIRECT_CONTENT, "x/y", connection="keep-alive"))
    connection.feed(b"x" * DIRECT_CONTENT + NEXT[:1])
    connection.start_drain()
    assert isinstance(connection.next_event(), Request)
    assert not connection.all_begun_read
    connection.feed(NEXT[1:] + NEXT)
    assert kinds([connection.next_event(), connection.next_event()]) == ["HeaderReceived", "Request"]
    assert connection.all_begun_read


def test_while_something_begun_is_unread_no_reply_says_close():
    connection = server()
    [asked] = requests_of(connection, NEXT + NEXT[:9])
    connection.start_drain()
    assert says(connection.send_json(asked.header, RESULT)) == "keep-alive"
    [asked] = requests_of(connection, NEXT[9:])
    assert says(connection.send_json(asked.header, RESULT)) == "close"


def test_a_drained_one_shot_reply_says_close():
    connection = server()
    connection.receive_data(request({})[:9])
    connection.start_drain()
    [asked] = requests_of(connection, request({})[9:])
    assert says(connection.send_json(asked.header, RESULT)) == "close"


def test_while_it_winds_down_no_reply_says_close_until_it_is_told_to_finish():
    connection = server()
    connection.wind_down()
    assert connection.winding_down
    assert not connection.at_rest
    for word in ("keep-alive", None):
        [asked] = requests_of(connection, NEXT)
        assert not connection.all_begun_read
        assert says(connection.send_json(asked.header, RESULT)) == word
    [asked] = requests_of(connection, NEXT)
    connection.start_drain()
    assert not connection.winding_down
    assert says(connection.send_json(asked.header, RESULT)) == "close"


def test_winding_down_does_not_take_back_that_it_finishes():
    connection = server()
    connection.start_drain()
    connection.wind_down()
    assert not connection.winding_down
    assert connection.all_begun_read


@pytest.mark.parametrize("pieces", [1, 7, 1000, 10**6])
def test_what_is_still_to_be_fed_has_begun_too(pieces):
    """A large content, received in place or fed, a message behind it, and the first byte of a third one."""
    large = message(b"x" * (3 * DIRECT_CONTENT), "x/y", connection="keep-alive")
    begun = large + NEXT + NEXT[:1]
    for read in (0, 1, 50, len(large) - 2 * DIRECT_CONTENT, len(large) - 1, len(large)):
        connection = server()
        connection.feed(begun[:read])
        events = connection._events()
        connection.start_drain(len(begun) - read)
        rest = begun[read:] + NEXT[1:] + NEXT
        asked = []
        while rest and not connection.all_begun_read:
            space = connection.get_buffer()
            if space is not None:
                count = min(len(space), len(rest), pieces)
                space[:count] = rest[:count]
                space.release()
                connection.buffer_updated(count)
            else:
                count = min(len(rest), pieces)
                connection.feed(rest[:count])
            rest = rest[count:]
            while not connection.all_begun_read and (event := connection.next_event()) is not None:
                events.append(event)
        asked = [e for e in events if isinstance(e, Request)]
        assert len(asked) == 3, read
        assert [says(connection.send_json(a.header, RESULT)) for a in asked][-1] == "close"


# --- a client ----------------------------------------------------------------------------------------------

GRANT = message('{"result": 1}', connection="keep-alive")
PLAIN = message('{"result": 1}')
CLOSING = message('{"result": 1}', connection="close")
NOTICE = message("[1]", event="joined")


def ask(asking: Connection, **more) -> dict:
    return sent(asking.send_request("text/json", "utf-8", b"{}", **more))[0]


def test_a_request_says_what_it_was_given_and_nothing_else():
    assert ask(client()).get("connection") == "keep-alive"
    assert "connection" not in ask(client(), connection=None)
    fields = ask(client(), connection="close", id="x", deadline_ms=5)
    assert (fields["connection"], fields["id"], fields["deadline-ms"]) == ("close", "x", 5)


def test_a_server_reads_a_request_as_it_was_meant():
    content = '{"action": "é"}'.encode()
    frame = client().send_request("text/json", "utf-8", content, id=5, deadline_ms=7)
    events, _ = every_way(b"".join(frame))
    assert events[1].content == {"action": "é"}
    assert (events[0].header.id, events[0].header.deadline_ms, events[0].header.connection) == (5, 7, "keep-alive")


def test_a_client_sends_one_request_until_keep_alive_is_granted():
    connection = client()
    assert connection.can_send
    ask(connection)
    assert not connection.can_send
    with pytest.raises(LocalError, match="no further request"):
        ask(connection)
    connection.receive_data(NOTICE)
    assert not connection.can_send
    connection.receive_data(GRANT)
    for _ in range(3):
        assert connection.can_send
        ask(connection)


def test_a_client_pipelines_on_a_granted_connection_without_repeating_keep_alive():
    connection = client()
    ask(connection)
    connection.receive_data(GRANT)
    ask(connection, connection=None)
    assert connection.can_send
    ask(connection, connection=None)
    connection.receive_data(PLAIN)
    assert connection.can_send


@pytest.mark.parametrize("last", ["close", None])
def test_a_client_sends_nothing_after_its_last_request(last):
    connection = client()
    ask(connection, connection=last)
    assert connection.closing
    assert not connection.can_send
    connection.receive_data(GRANT)
    assert not connection.can_send


def test_close_on_a_granted_connection_is_the_last_request():
    connection = client()
    ask(connection)
    connection.receive_data(GRANT)
    ask(connection, connection="close")
    assert not connection.can_send
    with pytest.raises(LocalError):
        ask(connection)


def test_a_peer_that_never_grants_keep_alive_is_a_one_shot_peer():
    connection = client()
    ask(connection)
    events = connection.receive_data(PLAIN + PLAIN)
    assert kinds(events) == ["HeaderReceived", "Response"]
    assert connection.state == "FINISHED"
    assert not connection.can_send


def test_a_reply_that_says_close_is_the_last():
    connection = client()
    ask(connection)
    connection.receive_data(GRANT)
    ask(connection)
    ask(connection)
    assert kinds(connection.receive_data(CLOSING + PLAIN)) == ["HeaderReceived", "Response"]
    assert not connection.can_send


@pytest.mark.parametrize("ending", [b"\0\0", None])
def test_a_client_sends_nothing_once_no_reply_can_come(ending):
    connection = client()
    if ending is None:
        connection.receive_eof()
    else:
        connection.receive_data(ending)
    assert not connection.can_send


def test_a_request_that_cannot_be_encoded_was_not_sent():
    connection = client()
    before = summary(connection)
    with pytest.raises(LocalError, match="can't be sent"):
        connection.send_request("x" * 70_000, "binary", b"", connection="close")
    assert summary(connection) == before
    assert connection.can_send


def test_a_notification_answers_no_request_wherever_it_comes():
    data = NOTICE + GRANT + NOTICE + PLAIN + NOTICE + CLOSING
    events, _ = every_way(data, CLIENT, tail=NOTICE)
    assert [kind for kind in kinds(events) if kind != "HeaderReceived"] == [
        *("Notification", "Response", "Notification", "Response", "Notification", "Response")
    ]
    assert events[1] == Notification(events[0].header, [1])
    assert events[0].header.event == "joined"


def test_a_notification_before_keep_alive_is_granted_is_not_the_last_message():
    events, connection = every_way(NOTICE, CLIENT, tail=PLAIN)
    assert kinds(events) == ["HeaderReceived", "Notification", "HeaderReceived", "Response"]
    assert connection.state == "FINISHED"


def test_a_notification_may_be_binary():
    events, _ = every_way(message(b"\xff", "x/y", event="e"), CLIENT)
    assert events[1] == Notification(events[0].header, b"\xff")


def test_a_notification_that_cannot_be_decoded_is_none():
    events, _ = every_way(message("{", event="e"), CLIENT)
    assert events[1] == Notification(events[0].header, None)
    assert events[1].header.event == "e"


def test_an_event_name_on_a_request_means_nothing_to_a_server():
    events, connection = every_way(message("{}", event="e"))
    assert kinds(events) == ["HeaderReceived", "Request"]
    assert connection.in_flight == 1


def test_a_reply_nobody_asked_for_is_a_response():
    events, _ = every_way(message('{"result": "Error: full"}'), CLIENT)
    assert kinds(events) == ["HeaderReceived", "Response"]


def test_a_reply_that_cannot_be_decoded_answers_its_request():
    events, _ = every_way(message("{", connection="keep-alive"), CLIENT)
    assert isinstance(events[1], Rejected)


# --- roles -------------------------------------------------------------------------------------------------


def test_a_client_cannot_reply_and_a_server_cannot_ask():
    us, them = server(), client()
    us.in_flight = 1
    with pytest.raises(LocalError, match="a server sends replies"):
        ask(us)
    for reply in (
        lambda: them.send_json(None, RESULT),
        lambda: them.send_error(None, TimedOut("x")),
        lambda: them.send_binary(Header("x/y", "binary", 0), "x/y", b""),
    ):
        with pytest.raises(LocalError, match="a client sends requests"):
            reply()
    assert us.in_flight == 1
    assert not us.asked


def test_a_connection_shows_its_role_state_and_count():
    connection = server()
    connection.receive_data(NEXT + NEXT[:5])
    assert repr(connection) == "<Connection server JSONHEADER in_flight=1>"
    assert repr(client()) == "<Connection client PROTOHEADER>"


def test_connections_of_one_codec_share_nothing_but_its_caches():
    codec = Codec(SERVER, Limits())
    one, other = Connection(codec), Connection(codec)
    one.receive_data(NEXT + NEXT[:50])
    assert summary(other) == summary(Connection(Codec(SERVER)))
    assert kinds(other.receive_data(request({}))) == ["HeaderReceived", "Request"]
    assert kinds(one.receive_data(NEXT[50:])) == ["HeaderReceived", "Request"]


# --- clear --------------------------------------------------------------------------------------


class Deaf:
    def transition(self, subject, machine, row) -> None:
        pass


def test_a_connection_between_messages_that_owes_nothing_is_clear():
    kept = request({"action": "echo"}, connection="keep-alive")
    connection = server()
    assert connection.clear
    connection.receive_data(kept)
    assert not connection.clear  # a reply is owed
    connection.send_json(None, b"{}")
    assert connection.clear
    connection.receive_data(b"")
    assert connection.clear
    connection.receive_data(b"\0")
    assert not connection.clear  # a message has begun


def test_a_connection_that_is_watched_or_ends_is_not_clear():
    assert not Connection(Codec(SERVER), Deaf()).clear
    drained, given_up = server(), server()
    drained.start_drain()
    given_up.give_up()
    assert not drained.clear
    assert not given_up.clear
