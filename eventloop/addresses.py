"""How does a person write an address to listen on or to connect to?

    127.0.0.1:65432   localhost:65432   [::1]:65432   tcp://HOST:PORT   unix:/path/to.sock
    [fe80::1%eth0]:65432 (RFC 4007)     unix:@name (Linux: abstract, without a file)
    echo://HOST:PORT (raw TCP echo)     echo+udp://HOST:PORT

A link-local IPv6 address means something only on one network interface, its zone. The system keeps the
two apart (`sockaddr_in6.sin6_scope_id`), people write them together; this module joins and
parts them.

Not here: resolving names and opening sockets (`libserver.listeners`, `libclient.connect`).
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any, NamedTuple

__all__ = ["Address", "endpoint_text", "host_of", "numeric_sockaddr", "parse_address", "zone_trouble"]

TCP = "tcp"
UNIX = "unix"
ECHO = "echo"
ECHO_UDP = "echo+udp"

#: sun_path of Linux less its closing NUL; other systems have a little less.
MAX_UNIX_PATH = 107

#: The sign that systemd, socat and `ss` write for the NUL of an abstract socket's name (unix(7)).
ABSTRACT = "@"

#: How addresses in fe80::/10 begin; a fourth digit and a colon follow.
_LINK_LOCAL = ("fe8", "fe9", "fea", "feb")


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
        return endpoint_text(self.host, self.port)

    @property
    def unix_name(self) -> str:
        """The name to bind or connect a UNIX socket to: the path, or NUL and the abstract name."""
        return "\0" + self.path[1:] if self.abstract else self.path

    @property
    def abstract(self) -> bool:
        """A UNIX socket without a file, gone with its listener."""
        return self.path.startswith(ABSTRACT)


def endpoint_text(host: str, port: int) -> str:
    """`HOST:PORT`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_of(sockaddr: Any) -> str:
    """The host in an INET socket's name, with its zone if it has one: `fe80::1%eth0`."""
    host: str = sockaddr[0]
    scope = sockaddr[3] if len(sockaddr) == 4 else 0
    if not scope or "%" in host:
        return host
    try:
        return f"{host}%{socket.if_indextoname(scope)}"
    except OSError:  # it has gone meanwhile
        return f"{host}%{scope}"


def numeric_sockaddr(host: str, port: int = 0) -> tuple[int, Any]:
    """The family, and the socket's name with its zone, of an IP address. Raises `OSError` for anything else.

    `(host, port)` alone will not do: `bind` and `connect` of Python drop the zone that stands in `host`.
    """
    family, _, _, _, sockaddr = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE
    )[0]
    return family, sockaddr


def zone_trouble(host: str) -> str | None:
    """What is wrong with the zone of a link-local IPv6 address, as a sentence; None if nothing is."""
    if not host.lower().startswith(_LINK_LOCAL) or host.find(":") != 4:
        return None
    address, _, zone = host.partition("%")
    if not zone:
        return (
            f"{host} is a link-local address, which means something on one network interface only: "
            f"write which, such as {address}%eth0 ({_interfaces()})"
        )
    try:
        socket.if_nametoindex(zone)
    except OSError:
        if not zone.isdigit():
            return f"{host}: there is no network interface {zone!r} here ({_interfaces()})"
    return None


def _interfaces() -> str:
    return "this machine has " + ", ".join(name for _, name in socket.if_nameindex())


def parse_address(text: str, schemes: tuple[str, ...] = (TCP, UNIX)) -> Address:
    """An `Address` from what a person writes; without a scheme it is `HOST:PORT` over TCP.

    It accepts these `schemes`. Raises `ValueError` with a sentence that says what is wrong and
    what it accepts.
    """
    if text.startswith("unix:"):  # first, since a path may contain anything
        scheme, rest = UNIX, text[5:].removeprefix("//")
    else:
        scheme, separator, rest = text.partition("://")
        if not separator:
            scheme, rest = TCP, text
    if scheme not in schemes:
        known = ", ".join("unix:/path" if s == UNIX else f"{s}://HOST:PORT" for s in schemes)
        why = "is not built yet" if scheme == "fd" else "is not accepted here"
        raise ValueError(f"{text!r}: {scheme}:// {why}; use {known}")
    if scheme == UNIX:
        return Address(UNIX, path=_unix_path(text, rest))
    host, port = _split(text, rest)
    if "%" not in host and (trouble := zone_trouble(host)):
        raise ValueError(trouble)
    return Address(scheme, host, parse_port(port))


def _unix_path(text: str, path: str) -> str:
    if not path or "\0" in path:
        raise ValueError(f"{text!r}: write unix:/path/to/socket")
    if path.startswith(ABSTRACT):
        if path == ABSTRACT:
            raise ValueError(f"{text!r}: an abstract socket needs a name, such as unix:@app")
        if not sys.platform.startswith("linux"):
            raise ValueError(f"{text!r}: only Linux has abstract sockets; for a file of that name write unix:./{path}")
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
