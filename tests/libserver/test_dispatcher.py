"""The dispatcher equals reading event by event: same bytes in, same calls, same replies, same state."""

from __future__ import annotations

import itertools
import json
import random

import pytest

from libserver import dispatcher
from libserver.actions import Actions
from libserver.dispatcher import PARTS, TOGETHER
from protocol import SERVER, Codec, Frame, Header, Limits, content
from protocol.errors import HandlerFailed, ProtocolError
from protocol.limits import CACHED_HEADER_LENGTH, CACHED_HEADERS, DIRECT_CONTENT
from tests.protocol.feeding import cuts, summary
from tests.support.wire import framed, header, in_frames, message, request

from .walking import BINARY, PLAIN, WITH_SESSION, Endpoint, Outcome, batched, walked

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
#: Whole messages that need a second look: the dispatcher answers them too, one by one.
ODD = {
    "a deadline": request({"action": "echo"}, deadline_ms=5, **KEPT),
    "bytes and a deadline": message(b"x", "binary/echo", deadline_ms=5, **KEPT),
    "an action that blocks": request({"action": "slow", "value": 1}, **KEPT),
    "an action that blocks, and an id": request({"action": "slow", "value": 1}, id=5, **KEPT),
    "bytes for a handler that blocks": message(b"", "binary/slow", **KEPT),
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
}
#: Messages that it leaves to the slow path, on a connection that is kept alive already, if more stands behind them.
LEFT = {
    "close": request({"action": "echo"}, connection="close"),
    "bytes and close": message(b"", "binary/echo", connection="close"),
    "a broken header": framed(b"[]"),
    "a header of no bytes": b"\0\0",
    "a header that repeats a field": framed(header(0)[2:-1] + b', "byteorder": 1}'),
    "a content too large": header(2**40, id=5, **KEPT),
}
EITHER = [*(pytest.param(data, id=name) for name, data in (ORDINARY | ODD | LEFT).items())]
SHORT = {name: data for name, data in (ORDINARY | ODD | LEFT).items() if len(data) < 1000}


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


class Batch(Endpoint):
    """`Dispatcher.serve` on a connection of its own, with two handlers that do not fail."""

    def __init__(self, **limits: int) -> None:
        self.calls: list[object] = []
        actions = Actions(builtin=False)
        actions.add("echo")(self._echo)
        actions.add_binary("binary/echo")(lambda content: content)
        super().__init__(None, actions, **limits)

    def _echo(self, value: dict) -> object:
        self.calls.append(value)
        return value.get("value")

    def serve(self, data: bytes, max_requests: int = 100, max_output: int = 2**20) -> tuple[int, list, int]:
        return self.dispatcher.serve(self, data, max_requests, max_output)


def messages(replies: list) -> list[tuple[dict, bytes]]:
    """Header and content of each reply."""
    return [(json.loads(head[2:]), content) for head, content in in_frames(b"".join(replies))]


def taken_of(data: bytes) -> int:
    """How many bytes the dispatcher takes of a stream, with every handler, on a connection kept alive."""
    endpoint = Endpoint()
    connection = endpoint.connection
    connection.persistent = connection.granted = True
    before = summary(connection)
    taken, _, _ = endpoint.dispatcher.serve(endpoint, data, 100, 2**30)
    assert summary(connection) == before
    return taken


@pytest.mark.parametrize("name", ORDINARY | ODD)
def test_a_whole_message_is_taken_and_what_is_left_is_left(name):
    data = (ORDINARY | ODD)[name]
    assert taken_of(data * 3) == len(data) * 3
    assert taken_of(data + data[:-1]) == len(data)
    assert taken_of(ECHO + data + ECHO) == len(ECHO + data + ECHO)


@pytest.mark.parametrize("name", LEFT)
def test_what_is_broken_or_the_last_is_left_with_all_behind_it(name):
    assert taken_of(LEFT[name] + ECHO) == 0
    assert taken_of(ECHO + LEFT[name] + ECHO) == len(ECHO)


@pytest.mark.parametrize("name", ["close", "bytes and close"])
def test_the_last_request_is_answered_if_nothing_stands_behind_it(name):
    endpoint = Endpoint()
    endpoint.dispatcher.serve(endpoint, ECHO, 100, 2**30)
    taken, replies, _ = endpoint.dispatcher.serve(endpoint, LEFT[name], 100, 2**30)
    assert taken == len(LEFT[name])
    assert messages(replies)[0][0]["connection"] == "close"
    assert endpoint.connection.state == "FINISHED"


@pytest.mark.parametrize("milliseconds", [0, 1])
def test_a_request_whose_time_is_up_before_its_handler_runs_is_not_carried_out(milliseconds):
    batch = Batch()
    data = request({"action": "echo", "value": 1}, deadline_ms=milliseconds, **KEPT)
    taken, replies, _ = batch.serve(data)
    assert taken == len(data)
    assert (b"deadline-exceeded" in b"".join(replies)) == (milliseconds == 0)
    assert len(batch.calls) == milliseconds


def test_behind_a_request_that_a_thread_runs_nothing_is_taken():
    endpoint = Endpoint()

    def hand_over(*arguments: object) -> Frame:
        return b"", b""  # its reply is still owed

    endpoint.hand_over = hand_over  # type: ignore[method-assign]
    endpoint.dispatcher.serve(endpoint, ECHO, 100, 2**30)
    slow = ODD["an action that blocks"]
    taken, replies, _ = endpoint.dispatcher.serve(endpoint, ECHO + slow + ECHO, 100, 2**30)
    assert taken == len(ECHO + slow)
    assert replies[-PARTS:] == [b"", b"", b""]
    assert endpoint.connection.in_flight == 1


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\5", ECHO[:2], ECHO[:3], ECHO[:80], ECHO[:-1]])
def test_less_than_a_message_is_left(data):
    batch = Batch()
    assert batch.serve(data) == (0, [], 0)
    assert batch.serve(ECHO + data)[0] == len(ECHO)


def test_a_one_shot_request_alone_is_answered_and_is_the_last():
    batch = Batch()
    one = request({"action": "echo", "value": 1})
    taken, replies, _ = batch.serve(one)
    assert taken == len(one)
    assert b"connection" not in replies[0]
    assert batch.connection.state == "FINISHED"
    assert batch.connection.in_flight == 0
    assert not batch.connection.clear


@pytest.mark.parametrize("bound", [{"max_requests": 1}, {"max_output": 1}])
def test_a_one_shot_request_is_the_last_also_where_the_batch_ends_anyway(bound):
    batch = Batch()
    batch.serve(request({"action": "echo", "value": "x" * 1000}), **bound)
    assert batch.connection.state == "FINISHED"


def test_a_one_shot_request_with_more_behind_it_is_left():
    batch = Batch()
    assert batch.serve(request({"action": "echo"}) + ECHO) == (0, [], 0)
    assert batch.serve(request({"action": "echo"}, connection="close") + ECHO) == (0, [], 0)
    assert not batch.connection.persistent
    assert batch.calls == []


def test_bytes_of_a_type_without_a_handler_are_refused_unless_one_takes_any():
    batch = Batch()
    _, replies, _ = batch.serve(message(b"", "x/y", **KEPT) + ECHO)
    assert b"unknown-action" in b"".join(replies)
    assert len(messages(replies)) == 2
    batch.actions.add_binary()(lambda content: b"any")
    assert batch.serve(message(b"", "x/y", **KEPT))[1][1] == b"any"


@pytest.mark.parametrize("most", [1, 2, 5])
def test_no_more_requests_are_answered_than_was_said(most):
    batch = Batch()
    taken, replies, _ = batch.serve(ECHO * 5, max_requests=most)
    assert taken == len(ECHO) * most
    assert len(batch.calls) == most
    assert len(replies) == PARTS * most


def test_nothing_is_answered_when_no_request_may_be():
    assert Batch().serve(ECHO, max_requests=0) == (0, [], 0)


@pytest.mark.parametrize(("most", "answered"), [(0, 1), (1, 1), (99, 1), (100, 1), (101, 2), (200, 2), (201, 3)])
def test_no_request_is_begun_once_the_replies_hold_enough(most, answered):
    batch = Batch()
    data = message(b"x" * 100, "binary/echo", **KEPT)
    taken, _, output = batch.serve(data * 5, max_output=most)
    assert taken == len(data) * answered
    assert output == 100 * answered
    text = request({"action": "echo", "value": "x" * 98}, **KEPT)  # and two quotes
    batch.serve(text)  # a header that was seen before: what stands around the result is not counted
    taken, _, output = batch.serve(text * 5, max_output=most)
    assert (taken, output) == (len(text) * answered, 100 * answered)


def test_keep_alive_is_granted_by_the_first_reply_alone():
    batch = Batch()
    _, replies, _ = batch.serve(ECHO * 2 + message(b"x", "binary/echo"))
    said = [fields.get("connection") for fields, _ in messages(replies)]
    assert said == ["keep-alive", None, None]
    assert batch.connection.granted
    batch = Batch()
    _, replies, _ = batch.serve(message(b"x", "binary/echo", **KEPT) + ECHO)
    said = [fields.get("connection") for fields, _ in messages(replies)]
    assert said == ["keep-alive", None]


def test_a_session_is_asked_for_only_by_a_handler_that_wants_it():
    batch, made = Batch(), []

    def session() -> dict:
        made.append({})
        return made[0]

    batch.session = session  # type: ignore[method-assign]
    batch.actions.add("confirm")(lambda v, s: s.setdefault("a", 1))
    batch.serve(ECHO * 2)
    assert made == []
    batch.serve(request({"action": "confirm"}))
    assert made == [{"a": 1}]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_whatever_a_handler_raises_is_its_failure(kind):
    def raises(value: object) -> object:
        raise kind

    def raises_too(value: object, session: object) -> object:
        raise kind

    actions = Actions(builtin=False)
    actions.add("echo")(raises)
    actions.add("confirm")(raises_too)
    actions.add_binary("x/y")(raises)
    told: list[type] = []
    asked_for: list[str] = []

    class Told(Endpoint):
        def failure(self, error: BaseException, asked: object) -> ProtocolError:
            told.append(type(error))
            asked_for.append(asked.content_type if isinstance(asked, Header) else asked["action"])
            return HandlerFailed("words")

    for data in (ECHO, ECHO * 2, request({"action": "confirm"}, **KEPT), message(b"", "x/y", **KEPT)):
        endpoint = Told(None, actions)
        taken, replies, _ = endpoint.dispatcher.serve(endpoint, data, 10, 1000)
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
    for data in pool:
        for place in range(len(data)):
            endpoint = Endpoint(codec)
            taken, replies, _ = endpoint.dispatcher.serve(endpoint, data[:place], 9, 9**9)
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
        assert batch.serve(data) == (0, [], 0)
    assert batch.serve(message(b"x" * 10, "binary/echo", **KEPT))[2] == 10


@pytest.mark.parametrize("action", ["slow", "nobody's", "echo"])
@pytest.mark.parametrize("before", [[], [request({"action": "echo", "value": 1}, **KEPT)]], ids=["first", "second"])
def test_a_content_is_decoded_once_whoever_answers_it(monkeypatch, action, before):
    endpoint = Endpoint()
    for data in before:
        endpoint.dispatcher.serve(endpoint, data, 9, 9**9)
        endpoint.rest()
    decoded = []
    for name in ("decode_text", "decode_json"):
        whole = getattr(dispatcher, name)
        monkeypatch.setattr(dispatcher, name, lambda *given, whole=whole: decoded.append(given[0]) or whole(*given))
    endpoint.dispatcher.serve(endpoint, request({"action": action, "value": 2}, **KEPT), 9, 9**9)
    assert len(decoded) == 1


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


# --- what nobody answers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", ['{"action": "nobody\'s"}', '{"action": 5}', '{"action": ["echo"]}', "[]", "{}", "0"]
)
def test_what_no_handler_answers_is_refused_in_its_place(content):
    batch = Batch()
    data = ECHO + message(content, id=7, **KEPT) + message(content, **KEPT) + ECHO
    taken, replies, _ = batch.serve(data)
    assert taken == len(data)
    (_, first), (with_id, one), (_, other), (_, last) = messages(replies)
    assert with_id["id"] == 7
    assert json.loads(one) == json.loads(other)
    assert json.loads(other)["error"]["code"] == ("unknown-action" if "nobody" in content else "bad-request")
    assert first == last


# --- headers that differ by their id alone ------------------------------------------------------


def test_a_header_seen_with_another_id_is_not_parsed_again(monkeypatch):
    batch = Batch()
    batch.serve(ECHO)
    batch.serve(request({"action": "echo", "value": 1}, id=1, **KEPT))

    def parse(*args):
        pytest.fail("parsed again")

    monkeypatch.setattr("protocol.frames.parse_header", parse)
    for id in (2, -5, 0, 999_999_999_999_999, "text", "", "12", "~ !#[]"):
        data = request({"action": "echo", "value": 1}, id=id, **KEPT)
        assert batch.serve(data)[0] == len(data)


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
