"""Is what is no message told for what it is, and what may be one for nothing else?"""

from __future__ import annotations

import json
import ssl

import pytest

from protocol.foreign import JSON_SPACE, SAMPLE, looks_like
from tests.support.wire import framed, request


def client_hello() -> bytes:
    """From the TLS library itself."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


BEGINNINGS = [
    (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "an HTTP request"),
    (b"POST /x HTTP/1.0\r\n\r\n{}", "an HTTP request"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "an HTTP request"),
    (b"HTTP/1.1 400 Bad Request\r\n", "an HTTP reply"),
    (client_hello(), "TLS"),
    (b"\x15\x03\x03\x00\x02\x02\x28", "TLS"),  # an alert
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "a PROXY header"),
    (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "a PROXY header"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
    (b'{"action": "search"}', "JSON without prefix and header"),
    (b'[{"action": 1}]', "JSON without prefix and header"),
    (b"Message 1 from client.", "raw text"),
    ("Привет".encode(), "raw text"),
]


@pytest.mark.parametrize(("data", "name"), BEGINNINGS)
def test_what_is_known_is_named_by_its_beginning(data: bytes, name: str) -> None:
    assert looks_like(data) == name


@pytest.mark.parametrize(("data", "name"), BEGINNINGS)
def test_the_first_byte_that_is_no_white_space_is_enough(data: bytes, name: str) -> None:
    enough = len(data) - len(data[2:].lstrip(JSON_SPACE)) + 1
    assert looks_like(data[:enough]) == name
    assert looks_like(data[: enough - 1]) is None  # a message may begin so


@pytest.mark.parametrize("length", [0x4745, 0x1603, 0x0D0A, 0x5052, 0x7B22, 0x4D65])
@pytest.mark.parametrize("space", [b"", b" ", b"\r\n\t "])
def test_a_message_is_a_message_whatever_its_length_reads_like(length: int, space: bytes) -> None:
    data = length.to_bytes(2, "big") + space + b'{"byteorder": '
    for end in range(len(data) + 1):
        assert looks_like(data[:end]) is None


@pytest.mark.parametrize(
    "data", [b"", b"\0", framed(b"\xff\xfe"), b"\0\x05[1, 2]", b"\x16\x04\x01", b"\x18\x03\x01", b"\xff" * 9]
)
def test_of_what_is_not_known_nothing_is_said(data: bytes) -> None:
    assert looks_like(data) is None


def test_a_request_is_one() -> None:
    assert looks_like(request({"action": "search"})) is None
    assert looks_like(json.dumps({"action": "search"}).encode()) is not None


def test_only_the_beginning_is_looked_at() -> None:
    assert looks_like(b"x" * SAMPLE + b"\0\xff") == "raw text"
    assert looks_like(b"x" * (SAMPLE - 1) + "é".encode()) == "raw text"  # cut in the middle of a letter
