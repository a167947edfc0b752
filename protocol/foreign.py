"""What else may these bytes be, if they are no message?

Whoever is sent to the wrong port speaks another protocol: a browser, a TLS client, a load balancer
that says first where its client is, the tutorial's echo client. Each begins in its own way, and the first two
bytes are read as a header's length: `GE` of `GET` is 18,245. Waiting for so many bytes would end in "too
slow"; but a header is a JSON object, so its first byte that is no white space says at once that it is none.

Rules:

* What can be a message's beginning is nothing else, whatever it may look like.
* A guess is a guess: it is for people who read a log, and decides nothing.

Not here: what is done about it (`protocol.connection`).
"""

from __future__ import annotations

import codecs

__all__ = ["JSON_SPACE", "SAMPLE", "looks_like"]

#: White space of JSON (RFC 8259, 2), which is less than Python's.
JSON_SPACE = b" \t\n\r"

#: Bytes that are looked at.
SAMPLE = 64

HTTP_REQUEST = "an HTTP request"
HTTP_REPLY = "an HTTP reply"
TLS = "TLS"
PROXY = "a PROXY header"
SSH = "SSH"
BARE_JSON = "JSON without prefix and header"
TEXT = "raw text"

#: What each begins with, by RFC 9110 (9), RFC 9113 (3.4), HAProxy's PROXY protocol (2.1, 2.2), RFC 4253 (4.2).
_SIGNS = (
    *((f"{method} ".encode(), HTTP_REQUEST) for method in ("GET", "POST", "PUT", "HEAD", "DELETE", "PATCH")),
    *((f"{method} ".encode(), HTTP_REQUEST) for method in ("OPTIONS", "CONNECT", "TRACE", "PRI")),
    (b"HTTP/", HTTP_REPLY),
    (b"PROXY ", PROXY),
    (b"\r\n\r\n\0\r\nQUIT\n", PROXY),
    (b"SSH-", SSH),
    (b"{", BARE_JSON),
    (b"[", BARE_JSON),
)

#: A TLS record (RFC 8446, 5.1): a type from 20 (change cipher spec) to 23 (application data), and a version.
_TLS_TYPES = range(20, 24)
_TLS_MAJOR, _TLS_MINORS = 3, range(5)


def looks_like(data: bytes) -> str | None:
    """What the beginning of a stream looks like, or None: a message, or nothing known. Three bytes tell most."""
    data = data[:SAMPLE]
    if len(data) < 3 or data[2:].lstrip(JSON_SPACE)[:1] in (b"", b"{"):
        return None
    for sign, name in _SIGNS:
        if data.startswith(sign[: len(data)]):
            return name
    if data[0] in _TLS_TYPES and data[1] == _TLS_MAJOR and data[2] in _TLS_MINORS:
        return TLS
    return TEXT if _is_text(data) else None


def _is_text(data: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data)  # its end may be in the middle of a letter
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter in "\r\n\t" for letter in text)
