"""How does a person write where to listen or to connect, and what is meant?

    127.0.0.1:65432   localhost:65432   [::1]:65432   tcp://HOST:PORT   unix:/path/to.sock
    echo://HOST:PORT (raw TCP echo)     echo+udp://HOST:PORT

Not here: resolving names and opening sockets (`libserver.listeners`, `libclient.connect`).
"""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["Address", "parse_address"]

TCP = "tcp"
UNIX = "unix"
ECHO = "echo"
ECHO_UDP = "echo+udp"

#: sun_path of Linux less its closing NUL; other systems have a little less.
MAX_UNIX_PATH = 107


class Address(NamedTuple):
    """A parsed address. `path` for `unix`, `host` and `port` for the others; `str()` gives it back."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.scheme == UNIX:
            # A path may begin with two slashes, which would be read as the scheme's.
            return f"unix://{self.path}" if self.path.startswith("//") else f"unix:{self.path}"
        return f"{self.scheme}://{self.endpoint}"

    @property
    def endpoint(self) -> str:
        """`HOST:PORT`, or the path."""
        if self.scheme == UNIX:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, schemes: tuple[str, ...] = (TCP, UNIX)) -> Address:
    """An `Address` from what a person writes; without a scheme it is `HOST:PORT` over TCP.

    `schemes` are the ones accepted here. Raises `ValueError` with a sentence that says what
    is wrong and what is accepted.
    """
    if text.startswith("unix:"):  # first, since a path may contain anything
        scheme, rest = UNIX, text[5:].removeprefix("//")
    else:
        scheme, separator, rest = text.partition("://")
        if not separator:
            scheme, rest = TCP, text
    if scheme not in schemes:
        known = ", ".join("unix:/path" if s == UNIX else f"{s}://HOST:PORT" for s in schemes)
        raise ValueError(f"{text!r}: {scheme}:// is not accepted here; use {known}")
    if scheme == UNIX:
        return Address(UNIX, path=_unix_path(text, rest))
    host, port = _split(text, rest)
    return Address(scheme, host, parse_port(port))


def _unix_path(text: str, path: str) -> str:
    if not path or "\0" in path:
        raise ValueError(f"{text!r}: write unix:/path/to/socket")
    if len(os.fsencode(path)) > MAX_UNIX_PATH:
        raise ValueError(f"{text!r}: a UNIX socket's path has at most {MAX_UNIX_PATH} bytes; choose a shorter one")
    return path


def _split(text: str, rest: str) -> tuple[str, str]:
    host, colon, port = rest.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: put an IPv6 address in brackets, such as [::1]:65432")
    if not colon or not host or "/" in rest or "\0" in rest:
        raise ValueError(f"{text!r} is not an address: write HOST:PORT, such as 127.0.0.1:65432, or unix:/path")
    return host, port


def parse_port(text: str) -> int:
    """A port from 0 to 65535. Raises `ValueError` with a sentence."""
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > 65535:
        raise ValueError(f"{text!r} is not a port: write a number from 0 to 65535")
    return int(text)
