"""How do a content's bytes and a Python value become each other?

`text/json` is JSON in a text encoding that the header names; every other type is opaque
bytes. Replies are always UTF-8, non-ASCII unescaped, a lone surrogate escaped.

Not here: which encodings (`protocol.encodings`), framing (`protocol.frames`), what a reply says (`libserver.actions`).
"""

from __future__ import annotations

import codecs
import gc
import json
import os
from collections.abc import Callable, Iterator, Mapping
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, NoReturn

from .collecting import Uncollected
from .errors import BadContent, ProtocolError
from .limits import MAX_CONTENT_DEPTH, UNCOLLECTED
from .nesting import is_deeper_than

if TYPE_CHECKING:
    from .encodings import Decode

__all__ = [
    "JSON_TYPE",
    "RESULT_HEAD",
    "RESULT_TAIL",
    "Reply",
    "decode_contents",
    "decode_json",
    "decode_text",
    "encode_error",
    "encode_json",
    "encode_result",
    "text_codec",
]

JSON_TYPE = "text/json"
JSON_ENCODING = "utf-8"

#: What stands around the result in the content of most replies.
RESULT_HEAD = b'{"result": '
RESULT_TAIL = b"}"

# --- encodings -----------------------------------------------------------------------

decode_utf_8: Decode = codecs.lookup(JSON_ENCODING).decode


def text_codec(name: object) -> Decode:
    """The decoder of a text encoding, from whatever stood in `content-encoding`.

    Raises `UnsupportedEncoding` for what names none (see `protocol.encodings`).
    """
    if name == JSON_ENCODING:
        return decode_utf_8
    from .encodings import other_codec  # a client hardly ever meets one; a server's `Codec` has it ready

    return other_codec(name)


# --- JSON in -------------------------------------------------------------------------


def refuse_constant(literal: str) -> NoReturn:
    """JSON has no NaN and no Infinity; Python's parser would let them pass."""
    raise ValueError(f"{literal} is not JSON")


_decoder = json.JSONDecoder(parse_constant=refuse_constant)
#: `(text, 0) -> (value, end)`, in C: what `json.loads` ends up calling. Raises `StopIteration`
#: where no value begins, so also on leading white space.
scan_once: Callable[[str, int], tuple[Any, int]] = vars(_decoder)["scan_once"]


def decode_json(data: bytes | bytearray, encoding: object) -> Any:
    """The value of a `text/json` content.

    Raises `UnsupportedEncoding` or `BadContent`, whatever the bytes are.
    """
    decode = text_codec(encoding)
    try:
        text, _ = decode(data, "strict")
    except Exception as error:  # a codec may raise what it likes, and 100 of them do
        raise BadContent(f"the content is not valid {encoding!a} text") from error
    try:
        return decode_text(text)
    except (TooDeep, RecursionError) as error:
        raise BadContent(f"the content is nested too deeply: more than {MAX_CONTENT_DEPTH} levels") from error
    except ValueError as error:
        raise BadContent(f"the content is not valid JSON: {_brief(error)}") from error


class TooDeep(ValueError):
    """A content is nested deeper than `MAX_CONTENT_DEPTH`."""


#: A text that is not longer can't be nested too deeply: each level takes two characters.
_SHALLOW = 2 * MAX_CONTENT_DEPTH


def decode_text(text: str) -> Any:
    """The value of a JSON text. Raises `ValueError` (`TooDeep` is one), or `RecursionError` on a stack that is full."""
    size = len(text)
    if size > _SHALLOW:
        if size >= UNCOLLECTED and gc.isenabled():
            with Uncollected():
                return decode_text(text)
        if is_deeper_than(MAX_CONTENT_DEPTH, text):
            raise TooDeep
    try:
        value, end = scan_once(text, 0)
    except StopIteration:
        end = -1
    if end != len(text):  # white space around it, or something worse
        value = _decoder.decode(text)
    return value


#: What stands between two contents that are read together: nothing that a peer could know, or write itself.
_SECRET = os.urandom(8).hex()
_BETWEEN = f',"{_SECRET}",'.encode()


def decode_contents(contents: list[bytes], longest: int | None = None) -> list[Any]:
    """The values of contents in UTF-8: of all of them, or of those before the first that is not JSON.

    `longest`: no content is longer than so many bytes. Who cut them knows it for less than a look at each costs.

    Several are read in one call of the scanner, which costs as much as a small content: as a JSON
    array with a secret string between each two. A content may be anything, `[1` with a `2]` two
    contents later, or `3, 4`. But if the array's every second element is the secret, as often as
    it was put there, then one element stands between each two, and each content is one value. If
    it is not, each content is looked at alone.
    """
    count = len(contents)
    try:
        text = (b"[" + _BETWEEN.join(contents) + b"]").decode()
        if longest is None:
            longest = max(map(len, contents))
        if longest > _SHALLOW and is_deeper_than(1 + MAX_CONTENT_DEPTH, text):
            return list(_decode_each(contents))
        if len(text) < UNCOLLECTED:
            elements, end = scan_once(text, 0)
        else:
            with Uncollected():
                elements, end = scan_once(text, 0)
        if end == len(text) and len(elements) == 2 * count - 1 and elements[1::2].count(_SECRET) == count - 1:
            values: list[Any] = elements[::2]
            return values
    except Exception:  # StopIteration among them
        pass
    return list(_decode_each(contents))


def _decode_each(contents: list[bytes]) -> Iterator[Any]:
    for content in contents:
        try:
            yield decode_text(content.decode())
        except (ValueError, RecursionError):
            return


def _brief(error: ValueError) -> str:
    """A parser's complaint, without what it says about our interpreter's settings."""
    return str(error).split(";")[0]


# --- JSON out ------------------------------------------------------------------------


class Reply:
    """A handler's answer with fields of its own choice: `Reply({"result": 1, "count": 2})`.

    `Reply(result=1, count=2)` is the same. Without a `result` the tutorial's client prints None.
    """

    __slots__ = ("fields",)

    def __init__(self, fields: Mapping[str, object] | None = None, **more: object) -> None:
        self.fields = {**(fields or {}), **more}


def _unencodable(value: object) -> NoReturn:
    raise TypeError(f"a {type(value).__name__} is not something JSON can carry")


def _prepare_encoder() -> Callable[[object, int], Any]:
    """The C encoder behind `json.dumps`, made once: `dumps` makes a new one for each call.

    No marker dictionary: a circular value ends in `RecursionError`, and a failed call leaves
    nothing behind. Where the C encoder is missing (PyPy) the Python one serves.
    """
    make: Callable[..., Any] | None = vars(json.encoder)["c_make_encoder"]
    if make is None:
        plain = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_unencodable)
        return lambda value, _: plain.iterencode(value)
    encode: Callable[[object, int], Any] = make(
        None, _unencodable, encode_basestring, None, ": ", ", ", False, False, False
    )
    return encode


_iterencode = _prepare_encoder()

#: A Python string as a JSON string, non-ASCII unescaped, in C.
quote: Callable[[str], str] = encode_basestring


def to_bytes(text: str) -> bytes:
    """UTF-8; only a lone surrogate can't be encoded, and `\\udc80` is its escape in JSON too."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def encode_json(value: object) -> bytes:
    """A value as JSON in UTF-8, formatted as the tutorial's `json.dumps` does.

    Raises `TypeError`, `ValueError` (NaN, Infinity) or `RecursionError` if JSON can't carry it.
    """
    return to_bytes("".join(_iterencode(value, 0)))


class UnsendableResult(TypeError):
    """A handler returned what no reply can carry: `result`. The words say why not."""

    def __init__(self, words: str, result: object) -> None:
        super().__init__(words)
        self.result = result


def encode_result(result: object) -> bytes:
    """The content of a success reply. Raises `UnsendableResult` if JSON can't carry it."""
    if result.__class__ is str:
        return RESULT_HEAD + to_bytes(quote(result)) + RESULT_TAIL
    try:
        if isinstance(result, Reply):
            return encode_json(result.fields)
        return RESULT_HEAD + encode_json(result) + RESULT_TAIL
    except Exception as error:  # an object in it may have a `__str__` or an iterator of its own
        raise UnsendableResult(f"{error}", result) from error


def encode_error(error: ProtocolError) -> bytes:
    """The content of a failure reply; `result` repeats it so that the tutorial's client shows it."""
    message = quote(str(error))
    # A string's JSON is that of its characters in turn, so the message is quoted once for both.
    shown = f'"Error: {message[1:]}'
    return to_bytes(f'{{"result": {shown}, "error": {{"code": {quote(error.code)}, "message": {message}}}}}')
