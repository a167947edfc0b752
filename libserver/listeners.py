"""How does an address become a listening socket, and what is said when it can't?

TCP (IPv4, IPv6; `[::]` serves both), UNIX sockets (a stale file is cleared, a live one is
refused), and UDP for the datagram echo. A bind that fails is told in one sentence: what
happened, who holds the port where the system tells it, and what to do.

Not here: accepting (`eventloop.listener`), which protocol is spoken behind it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from eventloop import Address
from eventloop.addresses import ECHO_UDP, UNIX

from .holders import who_listens_on
from .limits import ServerLimits

__all__ = ["CannotListen", "close_listener", "listen"]

#: What a C int holds; the kernel cuts it down to net.core.somaxconn.
MAX_BACKLOG = 2**31 - 1
#: Seconds: Linux' MAX_TCP_KEEPIDLE.
MAX_KEEPIDLE = 32767


class CannotListen(Exception):
    """An address can't be listened on; the text is one sentence for whoever started the server."""


def listen(
    address: Address, limits: ServerLimits, who: Callable[[Address], str] = who_listens_on
) -> list[tuple[socket.socket, Address]]:
    """Bound, non-blocking sockets (listening, unless UDP) with the addresses they really have.

    One, or one per address that a name stands for (`localhost` is 127.0.0.1 and ::1), all on
    the same port. Raises `CannotListen`, with nothing left open.
    """
    opened: list[tuple[socket.socket, Address]] = []
    for one in _resolve(address):
        if opened and one.port == 0:
            one = one._replace(port=opened[0][1].port)
        try:
            opened.append(_listen_on(one, limits, who))
        except CannotListen as error:
            cause = error.__cause__
            if opened and isinstance(cause, OSError) and cause.errno in _FAMILY_MISSING:
                continue  # the name has an IPv6 address and this machine has no IPv6
            for sock, _ in opened:
                sock.close()
            raise
    return opened


#: What bind and socket say where a protocol family is not there.
_FAMILY_MISSING = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def _resolve(address: Address) -> list[Address]:
    """The address with its host as numbers; several for a name that stands for several, IPv4 first."""
    if address.scheme == UNIX:
        return [address]
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise CannotListen(f"cannot listen on {address}: unknown host {address.host!r}; check its spelling") from error
    hosts = sorted({(family != socket.AF_INET, str(sockaddr[0])) for family, _, _, _, sockaddr in found})
    return [address._replace(host=host) for _, host in hosts]


def _listen_on(
    address: Address, limits: ServerLimits, who: Callable[[Address], str]
) -> tuple[socket.socket, Address]:
    sock: socket.socket | None = None
    try:
        sock = _bind_unix(address.path) if address.scheme == UNIX else _bind_inet(address, limits)
        if address.scheme != ECHO_UDP:
            sock.listen(min(limits.backlog, MAX_BACKLOG))
        sock.setblocking(False)
        return sock, address if address.scheme == UNIX else address._replace(port=sock.getsockname()[1])
    except OSError as error:
        if sock is not None:
            sock.close()
        raise cannot_listen(address, error, who) from error


def cannot_listen(address: Address, error: OSError, who: Callable[[Address], str] = who_listens_on) -> CannotListen:
    """What to raise for what the system said."""
    return CannotListen(f"cannot listen on {address}: {_explain(error, address, who)}")


def _bind_inet(address: Address, limits: ServerLimits) -> socket.socket:
    datagram = address.scheme == ECHO_UDP
    kind = socket.SOCK_DGRAM if datagram else socket.SOCK_STREAM
    family, _, _, _, sockaddr = socket.getaddrinfo(address.host, address.port, type=kind)[0]
    sock = socket.socket(family, kind)
    try:
        if not datagram:
            _set_stream_options(sock, limits)
        if limits.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # "::" means everybody: IPv4 comes in as a mapped address. Any other is what it says.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address.host == "::" else 1)
        sock.bind(sockaddr)
    except OSError:
        sock.close()
        raise
    return sock


def _set_stream_options(sock: socket.socket, limits: ServerLimits) -> None:
    """Options that accepted sockets inherit: set here once instead of once per connection."""
    # Without it a restart has to wait for the old connections' TIME_WAIT (a minute).
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if not limits.nagle:
        # A reply is complete when it is sent: nothing is gained by waiting for more to say.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if limits.tcp_keepalive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            idle = min(max(1, int(limits.tcp_keepalive)), MAX_KEEPIDLE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
            # Redis: probe at thirds of the time, three times, so that a dead peer is found in twice it.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, idle // 3))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def _bind_unix(path: str) -> socket.socket:
    _clear_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    return sock


def _clear_stale(path: str) -> None:
    """Remove a socket file that nobody listens on any more; leave everything else alone."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # a full backlog: somebody is there
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _explain(error: OSError, address: Address, who: Callable[[Address], str]) -> str:
    if error.errno == errno.EADDRINUSE:
        advice = "stop it, or choose another path" if address.scheme == UNIX else "stop it, or choose another port"
        return f"already in use{who(address)}; {advice}"
    if error.errno in (errno.EACCES, errno.EPERM):
        if address.scheme == UNIX:
            return f"no permission to create a socket in {Path(address.path).parent}; choose another directory"
        return "no permission: ports below 1024 are for root; choose a port from 1024 to 65535"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address.host} is no address of this machine; use 127.0.0.1 (this machine only) or 0.0.0.0 (all)"
    if error.errno == errno.EEXIST:
        return "that path exists and is not a socket; choose another path"
    if error.errno == errno.ENOENT:
        return f"there is no directory {Path(address.path).parent}; create it, or choose another path"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "no descriptors left; raise the limit with ulimit -n"
    return f"{error.strerror or error}"


def close_listener(address: Address) -> None:
    """Remove what a listener leaves behind: the file of a UNIX socket."""
    if address.scheme == UNIX:
        with contextlib.suppress(OSError):
            os.unlink(address.path)
