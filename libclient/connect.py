"""Where does a name lead, and what does it mean when nobody is there?

`resolve` turns an `Address` into the endpoints to try. `not_connected` and `broken` turn what the
system said into one exception with one sentence: what happened, and what to do.

Not here: connecting (`eventloop.connector`), trying again (`libclient.pool`).
"""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Sequence

from eventloop import Address, Endpoint, parse_address
from eventloop.addresses import zone_trouble
from protocol.errors import FatalError

from .errors import (
    BadReply,
    ClosedEarly,
    ClosedMidMessage,
    ConnectionFailed,
    ConnectionReset,
    ConnectTimeout,
    NoDescriptors,
    NoPermission,
    NoPorts,
    NoSuchSocket,
    Refused,
    ReplyTimeout,
    UnknownHost,
    Unreachable,
)
from .reasons import EndReason

__all__ = ["broken", "not_connected", "parse_target", "raise_descriptor_limit", "resolve"]

#: Descriptors beside those for connections: the standard three, the selector, the wake-up pair.
SPARE_DESCRIPTORS = 32

#: What IP addresses are written with.
_IN_NUMBERS = frozenset("0123456789abcdefABCDEF.:")

_NAME_SERVER_SILENT = getattr(socket, "EAI_AGAIN", None)


def parse_target(text: str, schemes: tuple[str, ...] = ("tcp", "unix")) -> Address:
    """`parse_address` for somebody who connects: port 0 is no target. Raises `ValueError` with a sentence."""
    address = parse_address(text, schemes)
    if address.scheme != "unix" and address.port == 0:
        raise ValueError(f"{text!r}: port 0 can't be connected to; write the port that the server printed")
    return address


def resolve(address: Address) -> list[Endpoint]:
    """Every endpoint the address stands for, in the system's order. Blocks on the name server.

    Raises `UnknownHost`.
    """
    if address.scheme == "unix":
        return [Endpoint(socket.AF_UNIX, address.unix_name)]
    if trouble := zone_trouble(address.host):
        raise UnknownHost(trouble)
    # A text goes through IDNA first, whose tables take as long to import as a request; an IP address has no use for it.
    host = address.host.encode() if _IN_NUMBERS.issuperset(address.host) else address.host
    try:
        found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == _NAME_SERVER_SILENT:
            advice = "no name server answers: check this machine's network, or use an IP address"
        else:
            advice = "check the spelling, or use an IP address"
        raise UnknownHost(f"the host name {address.host!r} could not be resolved; {advice}") from error
    except (UnicodeError, ValueError) as error:
        raise UnknownHost(f"{address.host!r} can't be a host name; check the spelling") from error
    return [Endpoint(family, sockaddr) for family, _, _, _, sockaddr in found]


# --- what the system said while connecting -------------------------------------------

_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}
_PERMISSION = {errno.EACCES, errno.EPERM}
_UNREACHABLE = {
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
    errno.EAFNOSUPPORT,
    errno.EPROTONOSUPPORT,
}
_NO_SOCKET = {errno.ENOENT, errno.ENOTSOCK, errno.EPROTOTYPE, errno.ENOTDIR}

#: When a name's addresses fail differently, the one to tell: what we can mend ourselves, then
#: what came closest to a connection.
_MOST_TELLING = (
    *_DESCRIPTORS,
    *_PERMISSION,
    errno.ECONNREFUSED,
    errno.EAGAIN,
    errno.ECONNRESET,
    errno.ETIMEDOUT,
    errno.EADDRNOTAVAIL,
)


def _rank(error: Exception) -> int:
    code = getattr(error, "errno", None)
    return _MOST_TELLING.index(code) if code in _MOST_TELLING else len(_MOST_TELLING)


def not_connected(address: Address, errors: Sequence[Exception]) -> ConnectionFailed:
    """The one exception to raise when every endpoint failed; its cause is the system's own error."""
    if not errors:
        return UnknownHost(f"{address.endpoint} has no address to connect to; check the spelling")
    error = min(errors, key=_rank)
    failure = _failure(address, error)
    failure.__cause__ = error
    return failure


def _failure(address: Address, error: Exception) -> ConnectionFailed:
    code = getattr(error, "errno", None) or 0
    words = os.strerror(code) if code else str(error)
    if address.scheme == "unix":
        failure = _unix_failure(address.path, code)
        if failure is not None:
            return failure
    where = address.endpoint
    if code == errno.ECONNREFUSED:
        return Refused(f"nothing listens on {where} (connection refused); start the server, or check host and port")
    if code == errno.ETIMEDOUT:
        return ConnectTimeout(
            f"{where} did not answer in time; check the address, look for a firewall, or allow a longer connect timeout"
        )
    if code in _UNREACHABLE:
        return Unreachable(f"{where} can't be reached ({words}); check the address and this machine's network")
    if code in _PERMISSION:
        return NoPermission(
            f"the system does not permit a connection to {where} ({words}); look for a firewall rule, "
            "or a broadcast address"
        )
    if code in _DESCRIPTORS:
        return no_descriptors(f"no descriptor is left for a connection to {where} ({words})")
    if code in (errno.EADDRNOTAVAIL, errno.EAGAIN):
        return NoPorts(
            f"no local address or port is left for a connection to {where} ({words}); after many connections wait "
            "a minute for their ports, or open fewer; else check that this kind of address works on this machine"
        )
    if code in (errno.ECONNRESET, errno.ECONNABORTED):
        return ConnectionReset(f"{where} reset the connection while it was being made; try again, or ask its log")
    return ConnectionFailed(f"no connection to {where} ({words}); check the address")


def _unix_failure(path: str, code: int) -> ConnectionFailed | None:
    if code in _NO_SOCKET:
        return NoSuchSocket(f"there is no socket at {path} ({os.strerror(code)}); start the server, or check the path")
    if code == errno.ECONNREFUSED:
        return Refused(f"no server listens on {path} (connection refused); start it, or check the path")
    if code in _PERMISSION:
        return NoPermission(f"no permission to connect to {path}; ask its owner, or run as a user who may write to it")
    if code == errno.EAGAIN:
        return ConnectTimeout(
            f"the server on {path} has too many connections waiting: its queue was full for all of the connect "
            "timeout; raise its --backlog, open fewer at once, or allow a longer connect timeout"
        )
    return None


# --- descriptors -----------------------------------------------------------------------


def no_descriptors(what: str) -> NoDescriptors:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return NoDescriptors(f"{what}: the limit is {soft}; open fewer connections, or raise it with 'ulimit -n'")


def raise_descriptor_limit(connections: int) -> None:
    """Raise the soft limit as far as so many connections need. Raises `NoDescriptors` if the hard one forbids."""
    wanted = connections + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise NoDescriptors(
            f"{connections} connections need {wanted} descriptors and the limit is {hard}; "
            f"open at most {max(hard - SPARE_DESCRIPTORS, 0)}, or have the limit raised ('ulimit -Hn')"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


# --- what ended a connection that had been made ------------------------------------------

_UNSURE = "; it may or may not have been carried out: repeat it only if that does no harm"


def broken(address: Address, reason: EndReason, errors: Sequence[Exception], timeout: float) -> ConnectionFailed:
    """The exception for a request that was sent and never answered; `timeout` is what it was given, in seconds."""
    where = address.endpoint
    failure: ConnectionFailed
    if reason is EndReason.REPLY_TIMEOUT:
        failure = ReplyTimeout(f"{where} sent no reply within {timeout:g} s{_UNSURE}, or allow a longer timeout")
    elif reason is EndReason.TRUNCATED:
        failure = ClosedMidMessage(f"{where} closed the connection in the middle of a reply, if it was one{_UNSURE}")
    elif reason is EndReason.RESET:
        failure = ConnectionReset(f"{where} reset the connection before it answered the request{_UNSURE}")
    elif reason in (EndReason.BAD_FRAMING, EndReason.MISMATCH, EndReason.REFUSED):
        said = errors[0] if errors else None
        why = f" ({said.with_guess() if isinstance(said, FatalError) else said})" if said is not None else ""
        failure = BadReply(f"what {where} sent is not a reply to our request{why}; is it a server of this protocol?")
    elif reason in (EndReason.ABORTED, EndReason.DONE):
        failure = ConnectionFailed(f"the connection to {where} was closed on our side before the reply{_UNSURE}")
    else:
        failure = ClosedEarly(f"{where} closed the connection before it answered the request{_UNSURE}")
    failure.maybe_carried_out = True
    if errors:
        failure.__cause__ = errors[-1]
    return failure
