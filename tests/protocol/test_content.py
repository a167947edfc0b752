"""Every text encoding Python has and no other, JSON as JSON is, and replies as the tutorial formats them."""

from __future__ import annotations

import itertools
import json
import math
import sys

import pytest

from protocol import Reply, content
from protocol import encodings as table
from protocol.content import (
    UnsendableResult,
    decode_contents,
    decode_json,
    encode_error,
    encode_json,
    encode_result,
)
from protocol.errors import BadContent, BadRequest
from tests.protocol.test_encodings import TEXT

# --- JSON in ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["{}", "[]", "0", '""', "null", "false", "true", "-0", "1e5", " {} ", "\n[\t1 ]\r\n"])
def test_any_json_value_is_a_content(text):
    assert decode_json(text.encode(), "utf-8") == json.loads(text)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig", "utf-16-le", "utf-32-be", "utf-8"])
def test_a_byte_order_mark_belongs_to_the_encodings_that_have_one(encoding):
    value = {"action": "search", "value": "🐶 é"}
    data = json.dumps(value, ensure_ascii=False).encode(encoding)
    assert decode_json(data, encoding) == value


def test_utf_16_with_either_byte_order_mark_is_read():
    for order in ("utf-16-le", "utf-16-be"):
        assert decode_json("\ufeff[1]".encode(order), "utf-16") == [1]


def test_utf_8_sig_needs_no_mark():
    assert decode_json(b"[1]", "utf-8-sig") == [1]


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"\xff", "utf-8"),
        (b'"\xc3"', "utf-8"),
        (b'"\xed\xa0\x80"', "utf-8"),  # a surrogate in UTF-8
        (b'"\xc0\x80"', "utf-8"),  # overlong
        (b"\x80", "ascii"),
        (b"[1]", "utf-16"),
        (b"\xd8\x00", "utf-16-be"),
        (b"\x00\x00\x00", "utf-32"),
        (b"\x81", "shift_jis"),
        (b"\x81", "cp1252"),
        (b"\xfe", "iso2022_jp"),
    ],
)
def test_bytes_that_are_not_of_the_encoding_are_bad_content(data, encoding):
    with pytest.raises(BadContent, match=f"is not valid '{encoding}' text"):
        decode_json(data, encoding)


def test_a_codec_that_raises_what_it_likes_is_bad_content(monkeypatch):
    def explode(data, errors):
        raise AssertionError("codecs are plugins")

    monkeypatch.setitem(table._decoders, "utf_16", explode)
    with pytest.raises(BadContent):
        decode_json(b"{}", "utf-16")


@pytest.mark.parametrize("data", [b"", b"\xff" * 7, bytes(range(256)), b"\x1b$B\x80", b"~{~", b"{" * 5000])
def test_rubbish_in_any_encoding_is_bad_content_and_nothing_else(data):
    for name in TEXT:
        with pytest.raises(BadContent):
            decode_json(data, name)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "\ufeff{}", "{", "}", "[1,]", "{'a': 1}", '{"a": 1,}', "01", "+1", ".5", "1.", "0x1", "nul", "True"),
        *("{} {}", "{}x", '"\n"', '"\\x"', '"\\ud8"', "[1 2]", '{"a"}', "{1: 2}", "\xa01", "\x0b1", "//x\n1", "\0"),
        *("NaN", "Infinity", "-Infinity", "[NaN]", '{"a": Infinity}', '{"a": [-Infinity]}', "nan", "-NaN"),
    ],
)
def test_text_that_is_not_json_is_bad_content(text):
    with pytest.raises(BadContent, match="the content is not valid JSON: "):
        decode_json(text.encode(), "utf-8")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_content_nested_too_deeply_is_bad_content(opening, closing, encoding):
    for levels in (129, 900, 100_000):
        deep = opening * levels + "1" + closing * levels
        with pytest.raises(BadContent, match="nested too deeply: more than 128 levels"):
            decode_json(deep.encode(encoding), encoding)
    deep = opening * 128 + "1" + closing * 128
    assert decode_json(deep.encode(encoding), encoding)


def test_a_content_that_finds_no_room_on_the_stack_is_bad_content():
    def deeper(levels):
        return deeper(levels - 1) if levels else decode_json(b"[" * 128 + b"]" * 128, "utf-8")

    if sys.version_info >= (3, 12):
        assert deeper(sys.getrecursionlimit() - 200)  # the scanner's recursion is not Python's there
        return
    with pytest.raises(BadContent, match="nested too deeply"):
        deeper(sys.getrecursionlimit() - 150)


def test_a_number_too_long_for_the_parser_is_bad_content_and_tells_nothing_of_our_settings():
    limit = sys.get_int_max_str_digits()
    assert decode_json(b"1" * limit, "utf-8") == int("1" * limit)
    with pytest.raises(BadContent) as caught:
        decode_json(b"1" * (limit + 1), "utf-8")
    assert "sys." not in str(caught.value)


def test_a_number_beyond_floats_is_json_and_is_read():
    assert math.isinf(decode_json(b"1e999", "utf-8"))


def test_a_lone_surrogate_may_be_escaped_in_json():
    assert decode_json(b'"\\ud800"', "utf-8") == "\ud800"
    assert decode_json(b'"\\ud83d\\udc36"', "utf-8") == "🐶"


# --- several contents at once ---------------------------------------------------------------

#: Whole values, parts of values, and what could stand for several of them.
PIECES = ["{}", ' {"a": 1} ', "[1", "2]", '{"a": [', "]}", '{"b": "', '"}', "3, 4", "5, 6, 7", '1, "", 2, "", 3']
PIECES += ["", "\ufeff{}"]


@pytest.mark.parametrize("first", PIECES)
def test_contents_read_together_are_what_each_is_alone(first):
    for rest in itertools.product(PIECES, repeat=3):
        contents = [text.encode() for text in (first, *rest)]
        assert decode_contents(contents) == list(one_by_one(contents))


def one_by_one(contents):
    for one in contents:
        try:
            yield decode_json(one, "utf-8")
        except BadContent:
            return


def test_contents_are_read_up_to_the_first_that_is_bad():
    good = b'{"a": "\xc3\xa9"}'
    for bad in (b"\xc3", b"\xa9", b"NaN", b"1" * 5000, b"[" * 100_000, b"", b"{}{}", b"\xed\xa0\x80"):
        assert decode_contents([good, good, bad, good]) == [{"a": "é"}] * 2
        assert decode_contents([bad]) == decode_contents([bad, good]) == []
    assert decode_contents([]) == []
    assert decode_contents([good, good], len(good)) == [{"a": "é"}] * 2
    deep = b"[" * 128 + b"]" * 128
    assert decode_contents([deep, good] * 3)[5] == {"a": "é"}
    assert decode_contents([deep, good, b"[" + deep + b"]", good])[1:] == [{"a": "é"}]
    small = [b"[[[[]]]]"] * 64  # many brackets, and no content is long enough to be deep
    assert decode_contents(small) == [[[[[]]]]] * 64
    assert decode_contents([*small, deep, good])[65:] == [{"a": "é"}]


# --- JSON out ---------------------------------------------------------------------------------

VALUES = [
    *(None, True, False, 0, -1, 2**53, 1.5, 1e300, "", "é🐶", 'a"b\\c\n\x00\x7f', [], {}, [[1], {"a": None}]),
    *({"b": 1, "a": [1, 2.0, "x"]}, {7: 2, None: 3, True: 4, 1.5: 5}, (1, 2), {"a": {"b": {"c": []}}}),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_formatted_as_the_tutorials_json_dumps_does(value):
    assert encode_json(value) == json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize("value", [v for v in VALUES if not isinstance(v, (tuple, dict)) or v == {}], ids=repr)
def test_a_value_comes_back_from_its_encoding(value):
    assert decode_json(encode_json(value), "utf-8") == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("\ud800", b'"\\ud800"'),
        ("é\udfff🐶", b'"' + "é".encode() + b"\\udfff" + "🐶".encode() + b'"'),
        ({"\udc80": ["\udc81"]}, b'{"\\udc80": ["\\udc81"]}'),
        ("\\\ud800", b'"\\\\\\ud800"'),
    ],
)
def test_a_lone_surrogate_is_escaped_and_the_rest_is_not(value, expected):
    assert encode_json(value) == expected
    assert json.loads(expected) == value


def circle() -> list:
    inner: list = []
    inner.append(inner)
    return inner


def deep() -> object:
    value: object = 0
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: object(), TypeError),
        (lambda: b"bytes", TypeError),
        (lambda: {1, 2}, TypeError),
        (lambda: [1, {"a": object()}], TypeError),
        (lambda: {(1, 2): 3}, TypeError),
        (lambda: math.nan, ValueError),
        (lambda: [math.inf], ValueError),
        (lambda: {"a": -math.inf}, ValueError),
        (lambda: {math.nan: 1}, ValueError),
        (lambda: 10 ** (sys.get_int_max_str_digits() + 1), ValueError),
        (circle, RecursionError),
        (deep, RecursionError),
    ],
    ids=["object", "bytes", "set", "inside", "key", "nan", "inf", "-inf", "nan key", "digits", "circle", "deep"],
)
def test_what_json_cannot_carry_is_refused_and_leaves_nothing_behind(make, error):
    value = make()
    for encode in (encode_json, encode_result, lambda v: encode_result(Reply(result=v))):
        with pytest.raises(error if encode is encode_json else UnsendableResult) as met:
            encode(value)
        if isinstance(met.value, UnsendableResult):
            assert isinstance(met.value.__cause__, error)
            assert met.value.result is value or met.value.result.fields["result"] is value
        assert encode({"fine": 1}).endswith(b'{"fine": 1}' if encode is encode_json else b'{"fine": 1}}')


def test_without_the_c_encoder_the_python_one_says_the_same(monkeypatch):
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    encode = content._prepare_encoder()
    for value in VALUES:
        assert "".join(encode(value, 0)) == json.dumps(value, ensure_ascii=False)
    with pytest.raises(TypeError, match="a set is not something JSON can carry"):
        "".join(encode({1}, 0))
    with pytest.raises(ValueError, match="Out of range float"):
        "".join(encode(math.nan, 0))


@pytest.mark.parametrize("result", [*VALUES, "\ud800"], ids=repr)
def test_a_result_is_the_only_field_of_its_reply(result):
    assert encode_result(result) == encode_json({"result": result})


def test_a_str_subclass_is_a_result_like_another_string():
    class Name(str):
        __slots__ = ()

    assert encode_result(Name("x")) == b'{"result": "x"}'


def test_a_reply_has_the_fields_it_was_given_in_that_order():
    assert encode_result(Reply({"result": 1, "count": 2})) == b'{"result": 1, "count": 2}'
    assert encode_result(Reply(result=1, count=2)) == b'{"result": 1, "count": 2}'
    assert encode_result(Reply({"result": 1}, count=2)) == b'{"result": 1, "count": 2}'
    assert encode_result(Reply()) == b"{}"


def test_a_reply_does_not_change_the_mapping_it_was_given():
    fields = {"result": 1}
    assert Reply(fields, count=2).fields == {"result": 1, "count": 2}
    assert fields == {"result": 1}


def test_an_error_reply_repeats_its_message_where_the_tutorials_client_looks():
    assert json.loads(encode_error(BadRequest("no 🐶"))) == {
        "result": "Error: no 🐶",
        "error": {"code": "bad-request", "message": "no 🐶"},
    }


def test_an_error_message_with_a_lone_surrogate_can_be_sent():
    assert b"\\ud800" in encode_error(BadRequest("no action \ud800"))
