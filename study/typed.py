"""Which bytes does a line of a session stand for?

    text HELLO                       as UTF-8
    hex 00 02 7b 7d                  as they are
    frame search morpheus id=7       a whole message; what has a `=` at the end is a field of its header
    binary image/x abc               a whole message of another content type

Rules:

* A field may be any JSON, and wrong on purpose: `content-length=-3`. It goes out unchanged.
* A line that gives no bytes is a `ValueError` that says what to write.

Not here: what becomes of the bytes (`study.step`).
"""

from __future__ import annotations

import json

from protocol import CLIENT, JSON_ENCODING, JSON_TYPE, encode_json
from protocol.frames import encode_header

__all__ = ["binary", "frame", "hexadecimal", "text"]


def text(words: list[str]) -> bytes:
    return " ".join(words).encode()


def hexadecimal(words: list[str]) -> bytes:
    try:
        return bytes.fromhex("".join(words))
    except ValueError:
        raise ValueError("write pairs of hexadecimal digits, such as 00 8b 7b") from None


def frame(words: list[str], role: str) -> bytes:
    """A JSON message to an endpoint of this role: to a server a request, to a client a reply."""
    words, fields = _fields(words)
    if not words:
        raise ValueError("write frame ACTION VALUE, such as: frame search morpheus")
    if role == CLIENT:
        content = encode_json({"result": " ".join(words)})
    else:
        content = encode_json({"action": words[0], "value": " ".join(words[1:])})
    return _message(JSON_TYPE, JSON_ENCODING, content, fields)


def binary(words: list[str]) -> bytes:
    words, fields = _fields(words)
    if not words:
        raise ValueError("write binary TYPE TEXT, such as: binary image/x abc")
    return _message(words[0], "binary", " ".join(words[1:]).encode(), fields)


def _message(content_type: str, encoding: str, content: bytes, fields: dict[str, object]) -> bytes:
    plain = encode_header(content_type, encoding, len(content))
    if fields:
        raw = json.dumps(json.loads(plain[2:]) | fields, ensure_ascii=False).encode()
        plain = len(raw).to_bytes(2, "big") + raw
    return plain + content


def _fields(words: list[str]) -> tuple[list[str], dict[str, object]]:
    """Split off the header fields at the end: `id=7`, `connection=keep-alive`, `content-length=-3`."""
    fields: dict[str, object] = {}
    while len(words) > 1 and "=" in words[-1]:
        name, _, value = words[-1].partition("=")
        try:
            fields[name] = json.loads(value)
        except ValueError:
            fields[name] = value
        words = words[:-1]
    return words, fields
