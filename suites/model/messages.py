"""Which messages do the peers send, and what does each deserve? Strategies for hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.support.wire import binary, framed, json_message

from .model import Sent

__all__ = ["messages"]


def _sent(data: bytes, answer: Any, **more: Any) -> Sent:
    return Sent(data, 2 + int.from_bytes(data[:2], "big"), answer, **more)


def _fields(connection: str | None, id: Any) -> dict[str, Any]:
    return {name: value for name, value in (("connection", connection), ("id", id)) if value is not None}


def _json(kind: str, value: Any, connection: str | None, id: Any) -> Sent:
    answers = {"echo": value, "confirm": "confirm", "search": f"No match for '{value}'.", "nothing": "unknown-action"}
    request = {"action": kind, "value": value}
    return _sent(json_message(request, **_fields(connection, id)), answers[kind], connection=connection, id=id)


def _bytes(content: bytes, kind: str, connection: str | None, id: Any) -> Sent:
    answer = content if kind == "binary/echo" else b"First 10 bytes of request: " + content[:10]
    return _sent(binary(content, kind, **_fields(connection, id)), answer, connection=connection, id=id)


def _rejected(how: tuple[Any, str, str], connection: str | None, id: Any) -> Sent:
    value, encoding, code = how
    whole = json_message(value, **_fields(connection, id))
    if code != "bad-request":
        content = b"{"
        header = {"byteorder": "little", "content-type": "text/json", "content-encoding": encoding}
        whole = framed({**header, "content-length": 1, **_fields(connection, id)}, content)
    return _sent(whole, code, connection=connection, id=id)


connections = st.sampled_from(["keep-alive"] * 6 + ["close", None])
ids = st.none() | st.integers(0, 9) | st.sampled_from(["a", "\N{DOG FACE}"])
messages = st.one_of(
    st.builds(_json, st.sampled_from(["echo", "confirm", "search", "nothing"]), st.integers(0, 99), connections, ids),
    st.builds(_bytes, st.binary(max_size=30), st.sampled_from(["binary/echo", "x/y"]), connections, ids),
    st.builds(
        _rejected,
        st.sampled_from([([], "", "bad-request"), (0, "utf-8", "bad-content"), (0, "rot13", "unsupported-encoding")]),
        connections,
        ids,
    ),
    st.sampled_from([b"[1]", b"", b"{}"]).map(lambda header: _sent(framed(header), "bad-header", fatal=True)),
)
