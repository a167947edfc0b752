"""How does an address become a listening socket, and what is said when it can't?

TCP (IPv4, IPv6; `[::]` serves both), UNIX sockets, and UDP for the datagram echo. A bind that fails is
told in one sentence: what happened, who holds the port where the system tells it, and what to do.

Not here: a UNIX socket's file (`libserver.unix_files`), accepting (`eventloop.listener`), which protocol
is spoken behind it.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from eventloop import Address
from eventloop.addresses import ECHO_UDP, UNIX, host_of, zone_trouble

from .limits import ServerLimits
from .port_owner import Holder, who_holds
from .unix_files import SocketFile, UnixFileError, bind_unix

__all__ = ["Bound", "CannotListen", "cannot_listen", "handed_over", "listen", "refuse_handed_over"]

#: What a C int holds; the kernel cuts it down to net.core.somaxconn.
MAX_BACKLOG = 2**31 - 1
#: Seconds: Linux' MAX_TCP_KEEPIDLE.
MAX_KEEPIDLE = 32767


class CannotListen(Exception):
    """An address can't be listened on; the text is one sentence that says what is in the way and what to do."""


class Bound(NamedTuple):
    """A bound socket, the address it really has, and the file to be removed at the end, if there is one."""

    sock: Any
    address: Address
    file: SocketFile | None = None


Who = Callable[[Address], Holder | None]


def listen(address: Address, limits: ServerLimits, who: Who = who_holds) -> list[Bound]:
    """Bound, non-blocking sockets (listening, unless UDP).

    One, or one per address that a name stands for (`localhost` is 127.0.0.1 and ::1), all on
    the same port. Raises `CannotListen`, with nothing left open.
    """
    opened: list[Bound] = []
    missing: CannotListen | None = None
    for one in _resolve(address):
        if one.host == ALL_IPV4 and opened and opened[0].address.host == ALL_IPV6:
            continue  # of "*": that one serves both
        if opened and one.port == 0:
            one = one._replace(port=opened[0].address.port)
        try:
            opened.append(_listen_on(one, limits, who))
        except CannotListen as error:
            cause = error.__cause__
            if ":" in one.host and isinstance(cause, OSError) and cause.errno in _FAMILY_MISSING:
                missing = error
                continue  # the name has an IPv6 address and this machine has no IPv6
            for bound in opened:
                bound.sock.close()
            raise
    if not opened:
        assert missing is not None  # a name has at least one address
        raise missing
    return opened


ALL_IPV4, ALL_IPV6 = "0.0.0.0", "::"

#: What bind and socket say where a protocol family is not there.
_FAMILY_MISSING = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def _resolve(address: Address) -> list[Address]:
    """The address with its host as numbers; several for a name that stands for several.

    IPv4 comes first; but of "*", which is all addresses of both kinds, IPv6, for it may serve both.
    """
    if address.scheme == UNIX:
        return [address]
    if trouble := zone_trouble(address.host):
        raise CannotListen(f"cannot listen on {address}: {trouble}")
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise CannotListen(f"cannot listen on {address}: unknown host {address.host!r}; check its spelling") from error
    hosts = {host_of(sockaddr) for _, _, _, _, sockaddr in found}
    in_order = sorted(hosts, key=lambda host: (host != ALL_IPV6, ":" in host, host))
    return [address._replace(host=host) for host in in_order]


def _listen_on(address: Address, limits: ServerLimits, who: Who) -> Bound:
    def start(sock: socket.socket) -> None:
        sock.listen(min(limits.backlog, MAX_BACKLOG))

    sock: socket.socket | None = None
    try:
        if address.scheme == UNIX:
            sock, file = bind_unix(address.unix_name, start, limits.unix_mode, limits.unix_owner)
            sock.setblocking(False)
            return Bound(sock, address, file)
        sock = _bind_inet(address, limits)
        if address.scheme != ECHO_UDP:
            start(sock)
        sock.setblocking(False)
        return Bound(sock, address._replace(port=sock.getsockname()[1]))
    except OSError as error:
        if sock is not None:
            sock.close()
        raise cannot_listen(address, error, limits, who) from error


def handed_over(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> int:
    """How many listening sockets a service manager has given to this process (sd_listen_fds(3))."""
    if environ.get("LISTEN_PID") != str(os.getpid() if pid is None else pid):
        return 0  # somebody else's, who started us
    count = environ.get("LISTEN_FDS", "")
    return int(count) if count.isascii() and count.isdigit() and len(count) < 6 else 0


def refuse_handed_over(count: int) -> None:
    """Raises `CannotListen` if there are any: to bind their addresses anew would collide with them."""
    if count:
        what = "1 listening socket" if count == 1 else f"{count} listening sockets"
        raise CannotListen(
            f"started by socket activation with {what} (LISTEN_FDS), and to take them over (fd://) is not built yet; "
            "start it as a service without a .socket unit, so that it binds its addresses itself"
        )


def cannot_listen(
    address: Address, error: OSError, limits: ServerLimits | None = None, who: Who = who_holds
) -> CannotListen:
    """What to raise for what the system said."""
    return CannotListen(f"cannot listen on {address}: {_explain(error, address, limits, who)}")


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


def _explain(error: OSError, address: Address, limits: ServerLimits | None, who: Who) -> str:
    if isinstance(error, UnixFileError):
        return str(error.strerror)
    if error.errno == errno.EADDRINUSE:
        return _in_use(address, limits is not None and limits.reuse_port, who(address))
    if error.errno in (errno.EACCES, errno.EPERM):
        if address.scheme == UNIX:
            return f"no permission to create a socket in {Path(address.path).parent}; choose another directory"
        return "no permission: ports below 1024 are for root; choose a port from 1024 to 65535"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address.host} is no address of this machine; use 127.0.0.1 (this machine only) or 0.0.0.0 (all)"
    if error.errno == errno.ENOENT:
        return f"there is no directory {Path(address.path).parent}; create it, or choose another path"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "no descriptors left; raise the limit with ulimit -n"
    return f"{error.strerror or error}"


def _in_use(address: Address, reuse_port: bool, holder: Holder | None) -> str:
    advice = f"stop it, or choose another {'path' if address.scheme == UNIX else 'port'}"
    if holder is None:
        return f"already in use; {advice}"
    if holder.pid == os.getpid():
        return f"overlaps with {holder.endpoint}, which this process has already; leave one of the two out"
    where = "" if holder.endpoint == address.endpoint else f" at {holder.endpoint}"
    which = "" if holder.listening else ", whose socket does not listen"
    if reuse_port and holder.listening:
        advice = f"that one listens without --reuse-port, or is another user's: start both with it, or {advice}"
    return f"already in use{where} by process {holder.pid} ({holder.command}){which}; {advice}"
