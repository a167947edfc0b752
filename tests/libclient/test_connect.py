"""`libclient.connect`: one sentence for each way of not being connected."""

from __future__ import annotations

import errno
import os
import resource
import socket

import pytest

from eventloop import Address, parse_address
from libclient import (
    BadReply,
    ClosedEarly,
    ClosedMidMessage,
    ConnectionFailed,
    ConnectionReset,
    ConnectTimeout,
    EndReason,
    NoDescriptors,
    NoPermission,
    NoPorts,
    NoSuchSocket,
    Refused,
    ReplyTimeout,
    UnknownHost,
    Unreachable,
)
from libclient.connect import broken, not_connected, parse_target, raise_descriptor_limit, resolve
from protocol.errors import BadHeader

TCP = parse_address("192.0.2.1:80")
UNIX = parse_address("unix:/run/app.sock")


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("address", "number", "kind", "word"),
    [
        (TCP, errno.ECONNREFUSED, Refused, "nothing listens on 192.0.2.1:80"),
        (TCP, errno.ETIMEDOUT, ConnectTimeout, "firewall"),
        (TCP, errno.ENETUNREACH, Unreachable, "Network is unreachable"),
        (TCP, errno.EHOSTUNREACH, Unreachable, "check the address"),
        (TCP, errno.EAFNOSUPPORT, Unreachable, "can't be reached"),
        (TCP, errno.EACCES, NoPermission, "firewall"),
        (TCP, errno.EMFILE, NoDescriptors, "ulimit -n"),
        (TCP, errno.ENFILE, NoDescriptors, "limit"),
        (TCP, errno.EADDRNOTAVAIL, NoPorts, "wait a minute"),
        (TCP, errno.EAGAIN, NoPorts, "wait"),
        (TCP, errno.ECONNRESET, ConnectionReset, "try again"),
        (TCP, errno.EIO, ConnectionFailed, "Input/output error"),
        (UNIX, errno.ENOENT, NoSuchSocket, "there is no socket at /run/app.sock"),
        (UNIX, errno.EPROTOTYPE, NoSuchSocket, "check the path"),
        (UNIX, errno.ECONNREFUSED, Refused, "no server listens on /run/app.sock"),
        (UNIX, errno.EACCES, NoPermission, "no permission to connect to /run/app.sock"),
        (UNIX, errno.EAGAIN, ConnectTimeout, "its queue was full for all of the connect timeout"),
        (UNIX, errno.EMFILE, NoDescriptors, "ulimit -n"),
    ],
)
def test_each_system_error_has_its_class_and_its_sentence(
    address: Address, number: int, kind: type[Exception], word: str
) -> None:
    failure = not_connected(address, [os_error(number)])
    assert type(failure) is kind
    assert word in str(failure)
    assert "\n" not in str(failure)
    assert isinstance(failure.__cause__, OSError)
    assert not failure.maybe_carried_out


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        ([errno.ENETUNREACH, errno.ECONNREFUSED], Refused),
        ([errno.ETIMEDOUT, errno.ENETUNREACH], ConnectTimeout),
        ([errno.ECONNREFUSED, errno.EMFILE], NoDescriptors),
        ([errno.EADDRNOTAVAIL, errno.ECONNREFUSED], Refused),
    ],
)
def test_of_several_addresses_the_most_telling_failure_is_told(numbers: list[int], kind: type[Exception]) -> None:
    assert type(not_connected(TCP, [os_error(n) for n in numbers])) is kind


def test_a_name_without_any_address_is_unknown() -> None:
    assert type(not_connected(TCP, [])) is UnknownHost


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (EndReason.REPLY_TIMEOUT, ReplyTimeout),
        (EndReason.TRUNCATED, ClosedMidMessage),
        (EndReason.RESET, ConnectionReset),
        (EndReason.BAD_FRAMING, BadReply),
        (EndReason.MISMATCH, BadReply),
        (EndReason.REFUSED, BadReply),
        (EndReason.PEER_CLOSED, ClosedEarly),
        (EndReason.LAST_REPLY, ClosedEarly),
        (EndReason.ONE_SHOT, ClosedEarly),
        (EndReason.ABORTED, ConnectionFailed),
        (EndReason.DONE, ConnectionFailed),
    ],
)
def test_each_end_has_its_class_and_says_that_the_request_may_have_been_carried_out(
    reason: EndReason, kind: type[Exception]
) -> None:
    failure = broken(TCP, reason, [ValueError("why")], 2.5)
    assert type(failure) is kind
    assert failure.maybe_carried_out
    assert "192.0.2.1:80" in str(failure)


def test_what_is_no_reply_is_told_for_what_it_looks_like() -> None:
    error = BadHeader("no object")
    error.looks_like = "TLS"
    assert "(no object; it looks like TLS)" in str(broken(TCP, EndReason.BAD_FRAMING, [error], 2.5))


def test_timeouts_are_timeouts_to_python_too() -> None:
    assert isinstance(broken(TCP, EndReason.REPLY_TIMEOUT, [], 2.5), TimeoutError)
    assert "2.5 s" in str(broken(TCP, EndReason.REPLY_TIMEOUT, [], 2.5))
    assert isinstance(not_connected(TCP, [os_error(errno.ETIMEDOUT)]), TimeoutError)


# --- names -----------------------------------------------------------------------------


def test_numbers_and_paths_resolve_to_themselves() -> None:
    assert [(e.family, e.sockaddr) for e in resolve(TCP)] == [(socket.AF_INET, ("192.0.2.1", 80))]
    assert resolve(parse_address("[::1]:80"))[0].sockaddr[:2] == ("::1", 80)
    assert [(e.family, e.sockaddr) for e in resolve(UNIX)] == [(socket.AF_UNIX, "/run/app.sock")]


def test_every_address_of_a_name_is_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET6, 1, 6, "", ("::1", 80, 0, 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: found)
    assert [e.sockaddr[0] for e in resolve(Address("tcp", "name", 80))] == ["::1", "127.0.0.1"]


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "check the spelling"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "no name server answers"),
        (UnicodeError("label too long"), "can't be a host name"),
    ],
)
def test_a_name_that_does_not_resolve_is_unknown(error: Exception, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **more: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(UnknownHost, match=word):
        resolve(Address("tcp", "no.such.host", 80))


def test_a_label_that_is_too_long_is_unknown() -> None:
    with pytest.raises(UnknownHost):
        resolve(Address("tcp", "x" * 300, 80))


def test_port_0_is_no_target() -> None:
    with pytest.raises(ValueError, match="port 0"):
        parse_target("127.0.0.1:0")
    assert parse_target("unix:/x").path == "/x"


# --- descriptors -------------------------------------------------------------------------


def test_the_descriptor_limit_is_raised_only_as_far_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1000, 2000))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: changes.append(limits))
    raise_descriptor_limit(100)
    assert changes == []
    raise_descriptor_limit(1500)
    assert changes == [(1532, 2000)]
    with pytest.raises(NoDescriptors, match="open at most 1968"):
        raise_descriptor_limit(2000)


def test_no_limit_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    raise_descriptor_limit(10**9)
