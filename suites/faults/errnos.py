"""Which errors can each system call return?

The ERRORS sections of the Linux man-pages 6.03, section 2, one row per call; where the manual page
sends the reader on to the protocol's, what ip(7), tcp(7) and unix(7) add for a stream socket.
EWOULDBLOCK is EAGAIN on Linux. The names of the calls are those of `suites.faults.kernel`.

`MEANINGLESS` are the errors that only a bug of ours could bring about (a descriptor that is none,
an argument that is none). They are injected all the same: such a bug may be logged with its
traceback, and must still cost no more than the connection it happens on.

`LEFT_OUT` are those not injected, each with its reason.

Not here: injecting them (`suites.faults.kernel`).
"""

from __future__ import annotations

import errno

__all__ = ["ERRORS", "LEFT_OUT", "MEANINGLESS", "TRANSPARENT", "number"]

_NETWORK = "ENETDOWN EPROTO ENOPROTOOPT EHOSTDOWN ENONET EHOSTUNREACH EOPNOTSUPP ENETUNREACH"
_RECV = "EAGAIN EBADF ECONNREFUSED EFAULT EINTR EINVAL ENOMEM ENOTCONN ENOTSOCK"  # recv(2)
_RECV += " ECONNRESET ETIMEDOUT EHOSTUNREACH ENETUNREACH"  # tcp(7), ip(7): what has become of the connection
_SEND = (
    "EACCES EAGAIN EALREADY EBADF ECONNRESET EDESTADDRREQ EFAULT EINTR EINVAL EISCONN EMSGSIZE ENOBUFS ENOMEM "
    "ENOTCONN ENOTSOCK EOPNOTSUPP EPIPE"  # send(2)
    " ETIMEDOUT EHOSTUNREACH ENETUNREACH EPERM"  # tcp(7), ip(7): the connection, and a firewall
)
_UNDER_WAY = "ECONNREFUSED ETIMEDOUT EHOSTUNREACH ENETUNREACH ECONNRESET EACCES EPERM EADDRNOTAVAIL"

ERRORS: dict[str, tuple[str, ...]] = {
    call: tuple(names.split())
    for call, names in {
        "socket": "EACCES EAFNOSUPPORT EINVAL EMFILE ENFILE ENOBUFS ENOMEM EPROTONOSUPPORT",
        "bind": "EACCES EADDRINUSE EBADF EINVAL ENOTSOCK EADDRNOTAVAIL EFAULT ELOOP ENAMETOOLONG ENOENT ENOMEM "
        "ENOTDIR EROFS",
        "listen": "EADDRINUSE EBADF ENOTSOCK EOPNOTSUPP",
        # accept(2) with its "Error handling", and the "other errors" of its last paragraph
        "accept": "EAGAIN EBADF ECONNABORTED EFAULT EINTR EINVAL EMFILE ENFILE ENOBUFS ENOMEM ENOTSOCK EPERM "
        f"{_NETWORK} ENOSR ESOCKTNOSUPPORT EPROTONOSUPPORT ETIMEDOUT",
        "connect": "EACCES EPERM EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF ECONNREFUSED EFAULT "
        "EINPROGRESS EINTR EISCONN ENETUNREACH ENOTSOCK EPROTOTYPE ETIMEDOUT"
        " EHOSTUNREACH ENOENT ECONNRESET ENOMEM",  # ip(7), unix(7)
        "getsockopt": "EBADF EFAULT EINVAL ENOPROTOOPT ENOTSOCK ENOBUFS ENOMEM",  # ENOBUFS, ENOMEM: ip(7)
        "SO_ERROR": _UNDER_WAY,  # not what getsockopt fails with but what it tells: how a connect has ended
        "setsockopt": "EBADF EFAULT EINVAL ENOPROTOOPT ENOTSOCK ENOBUFS ENOMEM",
        "recv": _RECV,
        "recv_into": _RECV,
        "send": _SEND,
        "sendmsg": _SEND,
        "shutdown": "EBADF EINVAL ENOTCONN ENOTSOCK",
        "close": "EBADF EINTR EIO ENOSPC EDQUOT",
        "getpeername": "EBADF EFAULT EINVAL ENOBUFS ENOTCONN ENOTSOCK",
        "getsockname": "EBADF EFAULT EINVAL ENOBUFS ENOTSOCK",
        "epoll_ctl ADD": "EBADF EEXIST EINVAL ELOOP ENOMEM ENOSPC EPERM",
        "epoll_ctl MOD": "EBADF EINVAL ENOENT ENOMEM EPERM",
        "epoll_ctl DEL": "EBADF EINVAL ENOENT ENOMEM EPERM",
        "epoll_wait": "EINTR",
    }.items()
}

LEFT_OUT = {
    "accept: ERESTARTSYS": "seen by a tracer only, never returned to a program",
    "epoll_wait: EBADF EFAULT EINVAL": "the loop itself would be broken: `run` must end, not hide it",
    "recvfrom, sendto": "of echo+udp:// alone, which may lose datagrams; tests/libserver/test_echo.py has them",
    "socketpair, epoll_create": "of the loop before it serves; tests/eventloop/test_no_room.py has those by hand",
}

MEANINGLESS = frozenset({"EBADF", "EFAULT", "EINVAL", "ENOTSOCK"})

#: After these nothing is lost: the call is made again, or was under way all the time.
TRANSPARENT: dict[str, frozenset[str]] = {
    call: frozenset(names.split())
    for call, names in {
        "accept": f"EAGAIN EINTR ECONNABORTED EPERM ENOBUFS ENOMEM {_NETWORK} ENOSR ESOCKTNOSUPPORT EPROTONOSUPPORT "
        "ETIMEDOUT EBADF EFAULT EINVAL ENOTSOCK",
        "connect": "EINPROGRESS EINTR",
        "recv": "EAGAIN EINTR",
        "recv_into": "EAGAIN EINTR",
        "send": "EAGAIN EINTR",
        "sendmsg": "EAGAIN EINTR",
        "close": " ".join(ERRORS["close"]),
        "getpeername": " ".join(ERRORS["getpeername"]),
        "epoll_ctl DEL": " ".join(ERRORS["epoll_ctl DEL"]),
        "epoll_wait": "EINTR",
    }.items()
}


def number(name: str) -> int:
    value: int = getattr(errno, name)
    return value
