"""The batch equals the walk: same bytes in, same calls, same replies, same state."""

from __future__ import annotations

import itertools
import json
import random

import pytest

from protocol import SERVER, BinaryReply, Codec, Connection, Handlers, Header, Limits, answer_batch, can_batch, content
from protocol.batch import PARTS, TOGETHER, send_binary_result
from protocol.errors import HandlerFailed, UnknownAction
from protocol.limits import CACHED_HEADER_LENGTH, CACHED_HEADERS, DIRECT_CONTENT
from tests.support.wire import framed, header, in_frames, message, request

from .feeding import cuts, server, summary
from .walking import BINARY, PLAIN, WITH_SESSION, Outcome, batched, walked

KEPT = {"connection": "keep-alive"}
ECHO = request({"action": "echo", "value": [1, "é"]}, **KEPT)


def equal_in_every_way(data: bytes, every: int = 1, **limits: int) -> Outcome:
    """The walk's outcome, after asserting that the batch has the same, however the bytes arrive.

    That is whole, byte by byte, and in two at every place (or at one in `every`).
    """
    codec = Codec(SERVER, Limits(**limits))
    expected = walked([data], **limits)
    assert batched([data], **limits) == expected
    assert batched([data], codec) == expected
    assert batched([data], codec) == expected  # with all headers seen before
    assert batched([bytes([byte]) for byte in data], codec) == expected
    assert batched([data], codec, max_requests=1, max_output=1) == expected
    for place in [*cuts(data)][::every]:
        assert batched([data[:place], data[place:]], codec) == expected, f"cut at {place}"
    assert batched([data], codec, eof=True) == walked([data], eof=True, **limits)
    return expected


#: Messages that the batch answers itself.
ORDINARY = {
    **{f"action {name!r}": request({"action": name, "value": "v"}, **KEPT) for name in (*PLAIN, *WITH_SESSION)},
    **{f"type {name!r}": message(b"some content", name or "x/y", encoding="binary", **KEPT) for name in BINARY},
    "a null echo": request({"action": "echo"}, **KEPT),
    "no connection field": request({"action": "echo", "value": 1}),
    "an unknown connection": request({"action": "echo", "value": 1}, connection="?"),
    "id 0": request({"action": "echo", "value": 1}, id=0, **KEPT),
    "an id of text": request({"action": "confirm", "value": 1}, id='é"\ud800', **KEPT),
    "an id on bytes": message(b"x" * 20, "binary/echo", id=5, **KEPT),
    "an id on a failure": request({"action": "fail"}, id=5, **KEPT),
    "an id on a binary failure": message(b"", "binary/fail", id=5, **KEPT),
    "empty bytes": message(b"", "binary/echo", **KEPT),
    "bytes of any encoding": message(b"{", "x/y", encoding=["?"], **KEPT),
    "a long header": request({"action": "echo", "value": 1}, x="x" * 600, **KEPT),
    "an event name": request({"action": "echo", "value": 1}, event="e", **KEPT),
    "a value with a lone surrogate": request({"action": "echo", "value": "\ud800"}, **KEPT),
    "a value beyond floats": message('{"action": "echo", "value": 1e999}', **KEPT),
    "another spelling of the encoding": request({"action": "echo"}, encoding="UTF-8", **KEPT),
    "another encoding": message(
        json.dumps({"action": "echo", "value": "é"}).encode("utf-16"), encoding="utf-16", **KEPT
    ),
    "another encoding and an id": message(
        json.dumps({"action": "echo"}).encode("utf-32-be"), encoding="utf-32-be", id=7, **KEPT
    ),
    "white space before the content": message(' \n{"action": "echo", "value": 1}', **KEPT),
    "white space behind the content": message('{"action": "echo", "value": 1}\t\r\n ', **KEPT),
    "an id of digits": request({"action": "echo", "value": 1}, id="12", **KEPT),
    "an empty id": request({"action": "echo", "value": 1}, id="", **KEPT),
    "a negative id": request({"action": "echo", "value": 1}, id=-(2**53), **KEPT),
    "an id that looks like one": request({"action": "echo", "value": 1}, x='"id": 1', id=2, **KEPT),
    "an id and one nested": request({"action": "echo", "value": 1}, x={"id": 3}, id=4, **KEPT),
    "an id nested alone": request({"action": "echo", "value": 1}, x={"id": 3}, **KEPT),
    "two ids": framed(header(18, **KEPT)[2:-1] + b', "id": 1, "id": 2}') + b'{"action": "echo"}',
    "names twice": message('{"action": "fail", "action": "echo", "value": 1}', **KEPT),
}
#: Messages that the batch leaves to the walk, on a connection that is kept alive already.
LEFT = {
    "close": request({"action": "echo"}, connection="close"),
    "bytes and close": message(b"", "binary/echo", connection="close"),
    "a deadline": request({"action": "echo"}, deadline_ms=5, **KEPT),
    "bytes and a deadline": message(b"x", "binary/echo", deadline_ms=5, **KEPT),
    "no encoding": request({"action": "echo"}, encoding="rot13", **KEPT),
    "an encoding that is no string": request({"action": "echo"}, encoding=None, **KEPT),
    "an unknown action": request({"action": "é\ud800"}, id=5, **KEPT),
    **{
        f"content {text[:20]}": message(text, **KEPT)
        for text in (
            *("{}", "[]", "0", '""', "null", "false", '"action"', '["action"]', '{"value": 1}', "[{}]"),
            *('{"action": 5}', '{"action": null}', '{"action": ["echo"]}', '{"action": {"a": 1}}', '{"action": 1.5}'),
            *("", " ", "{", "{}{}", '{"action": "echo"}x', ' {"action": "echo"} x', "\xa0{}"),
            *('{"action": "echo", "value": NaN}', '{"action": "echo", "value": -Infinity}', "\ufeff{}"),
            *("1" * 5000, "[" * 100_000, '{"action":' * 50_000),
        )
    },
    "bad UTF-8": message(b'{"action": "echo", "value": "\xff"}', **KEPT),
    "bad UTF-16": message(b'{\0"\0\0\xd8"\0}\0', encoding="utf-16-le", **KEPT),
    "a surrogate in UTF-8": message(b'{"action": "echo", "value": "\xed\xa0\x80"}', **KEPT),
    "a type whose handler is not for the batch": message(b"", "binary/slow", **KEPT),
    "a broken header": framed(b"[]"),
    "a header of no bytes": b"\0\0",
    "a header that repeats a field": framed(header(0)[2:-1] + b', "byteorder": 1}'),
    "a content too large": header(2**40, id=5, **KEPT),
}
EITHER = [*(pytest.param(data, id=name) for name, data in (ORDINARY | LEFT).items())]
SHORT = {name: data for name, data in (ORDINARY | LEFT).items() if len(data) < 1000}


# --- equal to the walk --------------------------------------------------------------------------


@pytest.mark.parametrize("data", EITHER)
def test_a_message_between_two_others_is_answered_as_the_walk_answers_it(data):
    if len(data) > 5000:
        stream = ECHO + data + ECHO
        expected = walked([stream])
        assert batched([stream]) == expected
        assert batched([stream[:-1], stream[-1:]]) == expected
    else:
        expected = equal_in_every_way(ECHO + data + ECHO)
    assert expected.calls[0] == ("echo", {"action": "echo", "value": [1, "é"]})


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in SHORT.items()])
def test_a_first_message_is_answered_as_the_walk_answers_it(data):
    equal_in_every_way(data + ECHO, every=5)


@pytest.mark.parametrize(
    "data",
    [
        request({"action": "echo", "value": 1}),
        request({"action": "confirm"}, connection="close"),
        request({"action": "fail"}, id=3),
        message(b"0123456789abc", "x/y"),
        request({"action": "echo"}, connection="Keep-Alive"),
    ],
)
def test_a_one_shot_request_is_the_only_one_answered(data):
    expected = equal_in_every_way(data + ECHO + data)
    assert len(expected.calls) == 1
    assert expected.connection["state"] == "FINISHED"


@pytest.mark.parametrize("part", [0, 1, 2, 3, 60, len(ECHO) - 1])
def test_a_part_of_a_message_behind_it_is_kept_and_withholds_no_reply(part):
    expected = equal_in_every_way(ECHO + ECHO + ECHO[:part])
    assert len(expected.calls) == 2
    assert expected.connection["mid_message"] is (part > 0)


def test_a_session_counts_over_batch_and_walk_alike():
    confirm = request({"action": "confirm", "value": "x"}, **KEPT)
    by_walk = request({"action": "confirm", "value": "x"}, deadline_ms=86_400_000)
    expected = equal_in_every_way((confirm + by_walk) * 4)
    assert expected.session == {"confirmed": 8}
    assert b'"count": 8}' in expected.replies


def test_a_large_content_is_answered_alike():
    large = message(b"x" * (DIRECT_CONTENT + 5), "binary/echo", id=1, **KEPT)
    json_large = request({"action": "echo", "value": "é" * DIRECT_CONTENT}, **KEPT)
    stream = ECHO + large + json_large + ECHO
    expected = walked([stream])
    for place in (0, 1, len(ECHO), len(ECHO) + 300, len(ECHO) + DIRECT_CONTENT, len(stream) - len(ECHO)):
        assert batched([stream[:place], stream[place:]]) == expected
    assert [name for name, _ in expected.calls] == ["echo", "binary/echo", "echo", "echo"]


@pytest.mark.parametrize("limits", [{"max_content": 15}, {"max_content": 40}, {"max_header": 120}, {"max_header": 60}])
def test_limits_are_kept_by_the_batch_too(limits):
    equal_in_every_way(ECHO + message(b"x" * 15, "binary/echo", **KEPT) + message(b"x" * 41, "binary/echo"), **limits)


def test_random_streams_in_random_pieces_are_answered_alike():
    chance = random.Random(20240229)
    pool = list(SHORT.values())
    codec = Codec(SERVER)
    for _ in range(400):
        chosen = chance.choices(pool, k=chance.randrange(1, 9))
        stream = b"".join(chosen)[: chance.choice([None, -1, -50])]
        edges = sorted(chance.choices(range(len(stream) + 1), k=chance.randrange(6)))
        parts = [stream[a:b] for a, b in zip([0, *edges], [*edges, len(stream)], strict=True)]
        eof = chance.random() < 0.3
        how = {"max_requests": chance.randrange(1, 5), "max_output": chance.choice([0, 1, 30, 10_000])}
        assert batched(parts, codec, eof=eof, **how) == walked([stream], eof=eof), parts


def test_random_damage_is_answered_alike():
    chance = random.Random(7)
    pool = list(SHORT.values())
    for _ in range(400):
        stream = bytearray(b"".join(chance.choices(pool, k=3)))
        for _ in range(chance.randrange(1, 4)):
            stream[chance.randrange(len(stream))] = chance.randrange(256)
        place = chance.randrange(len(stream))
        assert batched([bytes(stream[:place]), bytes(stream[place:])]) == walked([bytes(stream)]), bytes(stream)


# --- what the batch takes, and what it leaves ---------------------------------------------------------


class Batch:
    """`answer_batch` on a connection of its own."""

    def __init__(self, **limits: int) -> None:
        self.connection = server(**limits)
        self.calls: list[object] = []
        self.handlers = Handlers(plain={"echo": self._echo}, binary={"binary/echo": lambda content: content})

    def _echo(self, value: dict) -> object:
        self.calls.append(value)
        return value.get("value")

    def answer(self, data: bytes, max_requests: int = 100, max_output: int = 2**20) -> tuple[int, list, int]:
        def failed(error: BaseException, asked: object) -> HandlerFailed:
            raise AssertionError("no handler here fails") from error

        return answer_batch(self.connection, data, self.handlers, dict, failed, max_requests, max_output)


def messages(replies: list) -> list[tuple[dict, bytes]]:
    """Header and content of each reply."""
    return [(json.loads(head[2:]), content) for head, content in in_frames(b"".join(replies))]


def taken_of(data: bytes) -> int:
    """How many bytes a batch with every handler takes of a stream, on a connection kept alive."""
    connection = server()
    connection.persistent = connection.granted = True
    session: dict = {}
    binary = {**BINARY, "binary/slow": None}
    handlers = Handlers(plain=PLAIN, with_session=WITH_SESSION, binary=binary)
    before = summary(connection)
    taken, _, _ = answer_batch(connection, data, handlers, lambda: session, lambda *_: HandlerFailed("x"), 100, 2**30)
    assert summary(connection) == before
    return taken


@pytest.mark.parametrize("name", ORDINARY)
def test_an_ordinary_message_is_taken_and_what_is_left_is_left(name):
    assert taken_of(ORDINARY[name] * 3) == len(ORDINARY[name]) * 3
    assert taken_of(ORDINARY[name] + ORDINARY[name][:-1]) == len(ORDINARY[name])


@pytest.mark.parametrize("name", LEFT)
def test_a_message_that_is_not_ordinary_is_left_with_all_behind_it(name):
    assert taken_of(LEFT[name] + ECHO) == 0
    assert taken_of(ECHO + LEFT[name] + ECHO) == len(ECHO)


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\5", ECHO[:2], ECHO[:3], ECHO[:80], ECHO[:-1]])
def test_less_than_a_message_is_left(data):
    batch = Batch()
    assert batch.answer(data) == (0, [], 0)
    assert batch.answer(ECHO + data)[0] == len(ECHO)


def test_a_one_shot_request_alone_is_answered_and_is_the_last():
    batch = Batch()
    one = request({"action": "echo", "value": 1})
    taken, replies, _ = batch.answer(one)
    assert taken == len(one)
    assert b"connection" not in replies[0]
    assert batch.connection.state == "FINISHED"
    assert batch.connection.in_flight == 0
    assert not can_batch(batch.connection)


@pytest.mark.parametrize("bound", [{"max_requests": 1}, {"max_output": 1}])
def test_a_one_shot_request_is_the_last_also_where_the_batch_ends_anyway(bound):
    batch = Batch()
    batch.answer(request({"action": "echo", "value": "x" * 1000}), **bound)
    assert batch.connection.state == "FINISHED"


def test_a_one_shot_request_with_more_behind_it_is_left():
    batch = Batch()
    assert batch.answer(request({"action": "echo"}) + ECHO) == (0, [], 0)
    assert batch.answer(request({"action": "echo"}, connection="close") + ECHO) == (0, [], 0)
    assert not batch.connection.persistent
    assert batch.calls == []


def test_bytes_of_a_type_without_any_handler_are_left():
    batch = Batch()
    assert batch.answer(message(b"", "x/y", **KEPT) + ECHO)[0] == 0
    batch.handlers.binary[""] = lambda content: b"any"
    assert batch.answer(message(b"", "x/y", **KEPT))[1][1] == b"any"


@pytest.mark.parametrize("most", [1, 2, 5])
def test_no_more_requests_are_answered_than_was_said(most):
    batch = Batch()
    taken, replies, _ = batch.answer(ECHO * 5, max_requests=most)
    assert taken == len(ECHO) * most
    assert len(batch.calls) == most
    assert len(replies) == PARTS * most


def test_nothing_is_answered_when_no_request_may_be():
    assert Batch().answer(ECHO, max_requests=0) == (0, [], 0)


@pytest.mark.parametrize(("most", "answered"), [(0, 1), (1, 1), (99, 1), (100, 1), (101, 2), (200, 2), (201, 3)])
def test_no_request_is_begun_once_the_replies_hold_enough(most, answered):
    batch = Batch()
    data = message(b"x" * 100, "binary/echo", **KEPT)
    taken, _, output = batch.answer(data * 5, max_output=most)
    assert taken == len(data) * answered
    assert output == 100 * answered
    text = request({"action": "echo", "value": "x" * 98}, **KEPT)  # and two quotes
    batch.answer(text)  # a header that was seen before: what stands around the result is not counted
    taken, _, output = batch.answer(text * 5, max_output=most)
    assert (taken, output) == (len(text) * answered, 100 * answered)


def test_keep_alive_is_granted_by_the_first_reply_alone():
    batch = Batch()
    _, replies, _ = batch.answer(ECHO * 2 + message(b"x", "binary/echo"))
    said = [fields.get("connection") for fields, _ in messages(replies)]
    assert said == ["keep-alive", None, None]
    assert batch.connection.granted
    batch = Batch()
    _, replies, _ = batch.answer(message(b"x", "binary/echo", **KEPT) + ECHO)
    said = [fields.get("connection") for fields, _ in messages(replies)]
    assert said == ["keep-alive", None]


def test_a_session_is_asked_for_only_by_a_handler_that_wants_it():
    connection, made = server(), []

    def session() -> dict:
        made.append({})
        return made[0]

    handlers = Handlers(plain={"echo": lambda v: 1}, with_session={"confirm": lambda v, s: s.setdefault("a", 1)})
    answer_batch(connection, ECHO * 2, handlers, session, HandlerFailed, 10, 1000)
    assert made == []
    answer_batch(connection, request({"action": "confirm"}), handlers, session, HandlerFailed, 10, 1000)
    assert made == [{"a": 1}]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_whatever_a_handler_raises_is_its_failure(kind):
    def raises(*values: object) -> object:
        raise kind

    handlers = Handlers(plain={"echo": raises}, with_session={"confirm": raises}, binary={"x/y": raises})
    told: list[type] = []
    asked_for: list[str] = []

    def failed(error: BaseException, asked: object) -> HandlerFailed:
        told.append(type(error))
        asked_for.append(asked.content_type if isinstance(asked, Header) else asked["action"])
        return HandlerFailed("words")

    for data in (ECHO, ECHO * 2, request({"action": "confirm"}, **KEPT), message(b"", "x/y", **KEPT)):
        taken, replies, _ = answer_batch(server(), data, handlers, dict, failed, 10, 1000)
        assert taken == len(data)
        assert b"handler-failed" in b"".join(replies)
    assert told == [kind] * 5
    assert asked_for == ["echo", "echo", "echo", "confirm", "x/y"]


def test_a_short_tail_never_matches_a_longer_header_seen_before():
    """A header is found under the length of its own prefix; whatever is cached, a part is a part."""
    codec = Codec(SERVER)
    pool = [request({"action": "echo", "value": i}, x="y" * i, **KEPT) for i in range(30)]
    assert batched(pool, codec) == walked(pool)
    assert len(codec.headers) == 30
    handlers = Handlers(plain=PLAIN)
    for data in pool:
        for place in range(len(data)):
            taken, replies, _ = answer_batch(Connection(codec), data[:place], handlers, dict, HandlerFailed, 9, 9**9)
            assert (taken, replies) == (0, [])


def test_a_header_cut_in_the_white_space_behind_its_object_is_not_taken_for_whole():
    codec = Codec(SERVER)
    whole = header(0, "binary/echo", **KEPT)[2:] + b" " * 20
    stream = framed(whole) + framed(whole)
    expected = walked([stream])
    for place in range(len(stream)):
        assert batched([stream[:place], stream[place:]], codec) == expected
    assert list(codec.headers) == [framed(whole)]


def test_a_cached_header_above_the_limit_is_left_each_time():
    batch = Batch(max_content=10)
    data = message(b"x" * 11, "binary/echo", **KEPT)
    for _ in range(3):
        assert batch.answer(data) == (0, [], 0)
    assert batch.answer(message(b"x" * 10, "binary/echo", **KEPT))[2] == 10


# --- contents that are read together -------------------------------------------------------------

#: Together some of these would be JSON although each is not, or other JSON than each is.
PIECES = ['{"action": "echo", "value": [1', "2]}", '{"action": "echo"}, {"action": "echo"}', '{"action": "ec', 'ho"}']
PIECES += ["1, 2", "1, 2, 3", "[", "]", '"', '"]', ",", "", " ", '{"action": "echo", "value": "', '"}']
PIECES += ['{"action": "echo"}']


def test_contents_that_are_whole_only_together_are_refused_each():
    codec = Codec(SERVER)
    chance = random.Random(5)
    kept = {text: message(text, **KEPT) for text in PIECES}
    assert batched([ECHO, *kept.values()], codec) == walked([ECHO, *kept.values()])  # all headers are known now
    for first, second in itertools.product(PIECES, repeat=2):
        stream = ECHO + kept[first] + kept[second] + ECHO
        assert batched([ECHO, stream], codec) == walked([ECHO + stream])
    for _ in range(300):
        stream = b"".join(kept[text] for text in chance.choices(PIECES, k=chance.randrange(3, 9)))
        assert batched([ECHO, stream], codec) == walked([ECHO + stream])


def test_a_read_of_good_and_bad_contents_is_not_read_again_for_each_of_them(monkeypatch):
    """A bad one sends the walk, and the walk tries the batch again behind it."""
    scanned = 0
    scan = content.scan_once

    def counted(text: str, at: int) -> object:
        nonlocal scanned
        scanned += len(text)
        return scan(text, at)

    monkeypatch.setattr(content, "scan_once", counted)
    good, bad = request({"action": "echo"}, **KEPT), message("1,2", **KEPT)
    codec = Codec(SERVER)
    batched([good, bad], codec)
    for count in (100, 400):
        scanned = 0
        assert batched([good, (good + bad) * count], codec) == walked([good, (good + bad) * count])
        assert scanned < count * TOGETHER * len(f"{good}{bad}")


# --- when the batch may be used ------------------------------------------------------------------------


class Deaf:
    def transition(self, subject, machine, row) -> None:
        pass


def test_a_connection_between_messages_that_owes_nothing_can_batch():
    connection = server()
    assert can_batch(connection)
    connection.receive_data(ECHO)
    assert not can_batch(connection)  # a reply is owed
    connection.send_json(None, b"{}")
    assert can_batch(connection)
    connection.receive_data(b"")
    assert can_batch(connection)
    connection.receive_data(b"\0")
    assert not can_batch(connection)  # a message has begun


def test_a_connection_that_is_watched_or_ends_cannot_batch():
    assert not can_batch(Connection(Codec(SERVER), Deaf()))
    drained, given_up = server(), server()
    drained.finish_begun()
    given_up.give_up()
    assert not can_batch(drained)
    assert not can_batch(given_up)


# --- binary results ------------------------------------------------------------------------------------


def binary_frame(result: object) -> tuple[dict, bytes]:
    connection = server()
    connection.in_flight = 1
    head, content = send_binary_result(connection, Header("x/y", "?", 3, id=5), result)
    assert connection.in_flight == 0
    return json.loads(head[2:]), bytes(content)


@pytest.mark.parametrize("content", [b"ab", bytearray(b"ab"), memoryview(b"ab"), memoryview(b"xabx")[1:3]])
def test_bytes_like_results_are_sent_in_the_requests_own_type_or_another(content):
    fields, sent = binary_frame(content)
    assert (fields["content-type"], fields["content-length"], fields["id"], sent) == ("x/y", 2, 5, b"ab")
    fields, sent = binary_frame(BinaryReply(content, "a/b"))
    assert (fields["content-type"], fields["content-length"], sent) == ("a/b", 2, b"ab")


def test_a_view_of_anything_is_counted_in_bytes():
    wide = memoryview(b"12345678").cast("I")
    assert len(wide) == 2
    assert binary_frame(wide) == (
        {**binary_frame(b"12345678")[0], "content-length": 8},
        b"12345678",
    )


@pytest.mark.parametrize(
    "result",
    [None, "text", 5, ["x"], {}, BinaryReply("text", "a/b"), BinaryReply(None, "a/b"), memoryview(b"abcd")[::2]],
)
def test_any_other_result_is_refused_with_the_reply_still_owed(result):
    connection = server()
    connection.in_flight = 1
    with pytest.raises(TypeError):
        send_binary_result(connection, Header("x/y", "?", 3), result)
    assert connection.in_flight == 1


# --- what nobody answers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", ['{"action": "nobody\'s"}', '{"action": 5}', '{"action": ["echo"]}', "[]", "{}", "0"]
)
def test_what_no_handler_answers_is_refused_in_its_place_if_there_is_a_reason(content):
    batch = Batch()
    batch.handlers.refuse = lambda value: UnknownAction(f"nobody answers {value}")
    data = ECHO + message(content, id=7, **KEPT) + message(content, **KEPT) + ECHO
    taken, replies, _ = batch.answer(data)
    assert taken == len(data)
    (_, first), (with_id, one), (_, other), (_, last) = messages(replies)
    assert with_id["id"] == 7
    assert json.loads(one) == json.loads(other)
    assert json.loads(other)["error"] == {
        "code": "unknown-action",
        "message": f"nobody answers {json.loads(content)}",
    }
    assert first == last


# --- headers that differ by their id alone ------------------------------------------------------


def test_a_header_seen_with_another_id_is_not_parsed_again(monkeypatch):
    batch = Batch()
    batch.answer(ECHO)
    batch.answer(request({"action": "echo", "value": 1}, id=1, **KEPT))

    def parse(*args):
        pytest.fail("parsed again")

    monkeypatch.setattr("protocol.frames.parse_header", parse)
    for id in (2, -5, 0, 999_999_999_999_999, "text", "", "12", "~ !#[]"):
        data = request({"action": "echo", "value": 1}, id=id, **KEPT)
        assert batch.answer(data)[0] == len(data)


@pytest.mark.parametrize(
    "id", ["é", 'a"b', "a\\b", "x" * 65, 2**53, 2**53 + 1, -(2**53) - 1, 10**30, True, None, 1.5, [1]]
)
def test_an_id_that_is_not_simple_is_read_by_the_parser(id):
    codec = Codec(SERVER)
    simple = header(2, id=1, **KEPT)
    assert codec.common_around_id(simple) == (2, b"1")
    assert codec.common_around_id(header(2, id=id, **KEPT)) == (None, b"")


@pytest.mark.parametrize(
    "raw",
    [
        header(2, x={"id": 1}, **KEPT),
        header(2, x=[{"id": 1}], **KEPT),
        framed(header(2, **KEPT)[2:-1] + b', "id": 1, "id": 2}'),
        framed(header(2, **KEPT)[2:-1] + b', "id": 1 "x": 2}'),
        framed(b'{"id": 1}'),
        framed(header(2, **KEPT)[2:-1] + b', "x": "\\"id\\": 1}'),
    ],
)
def test_a_place_that_is_not_the_ids_is_told_by_putting_another_there(raw):
    codec = Codec(SERVER)
    assert codec.common_around_id(raw)[0] is None
    assert codec.common_around_id(raw)[0] is None  # and it is remembered


def test_what_is_forgotten_in_the_middle_of_a_read_is_not_answered_twice():
    """The surroundings of the first request's id are known; those of the second make the table be emptied."""
    codec = Codec(SERVER)
    long = CACHED_HEADER_LENGTH + 2 - len(header(18, id=1, x="", **KEPT))
    confirm = [request({"action": "confirm"}, id=id, x="x" * long, **KEPT) for id in (1, 22)]
    other = message("{", id=3, y=1, **KEPT)
    streams = [ECHO, confirm[0]], [confirm[1] + other, ECHO]
    assert batched([*streams[0]], codec) == walked([*streams[0]])
    for n in range(CACHED_HEADERS - len(codec.around_ids)):
        codec.common_around_id(header(n, id=1))
    assert len(codec.around_ids) == CACHED_HEADERS
    assert batched([ECHO, *streams[1]], codec) == walked([ECHO, *streams[1]])


@pytest.mark.parametrize("white", ["", " ", "\t\r\n ", "\v", "\f", "\x1c", "\u00a0"])
def test_the_white_space_around_an_id_is_that_of_json(white):
    codec = Codec(SERVER)
    raw = header(18, **KEPT)[2:-1] + f', "id"{white}:{white}1{white}}}'.encode()
    stream = ECHO + ECHO + framed(raw) + b'{"action": "echo"}' + ECHO
    assert batched([stream], codec) == walked([stream])
    assert batched([stream], codec) == walked([stream])


def test_what_stands_around_ids_is_remembered_within_bounds():
    codec = Codec(SERVER)
    for n in range(CACHED_HEADERS + 10):
        assert codec.common_around_id(header(n, id=n)) == (n, b"%d" % n)
    assert len(codec.around_ids) == 10
    assert codec.common_around_id(header(2, id=1, x="x" * CACHED_HEADER_LENGTH)) == (None, b"")
    assert len(codec.around_ids) == 10


def test_a_header_around_an_id_is_held_to_the_limit():
    codec = Codec(SERVER, Limits(max_content=10))
    assert codec.common_around_id(header(10, id=1)) == (10, b"1")
    assert codec.common_around_id(header(11, id=1))[0] is None
    short = Codec(SERVER, Limits(max_header=60))
    assert short.common_around_id(header(10, id=1))[0] is None
