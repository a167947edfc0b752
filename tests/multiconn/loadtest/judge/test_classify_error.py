"""Every way a connection can end has a name of load.md's, or is nobody's fault."""

import errno
import os

import pytest

from eventloop import Address
from libclient.owner import Ending, UnaskedReply
from libclient.reasons import EndReason
from multiconn.loadtest.judge.classify_error import classify_error
from multiconn.loadtest.measure.errors import NAMES
from protocol import FatalError
from protocol.errors import BadHeader, ContentTooLarge, HeaderTooLarge

HERE = Address("tcp", "127.0.0.1", 1)
PENDING = [(None, None)]


def named(reason, *errors, unanswered=()):
    found = classify_error(Ending(reason, list(errors), list(unanswered), []), HERE)
    return found and found[0]


def system(code):
    return OSError(code, os.strerror(code))


@pytest.mark.parametrize("reason", EndReason)
def test_no_reason_is_forgotten(reason):
    error = BadHeader("x") if reason is EndReason.BAD_FRAMING else system(errno.ECONNREFUSED)
    assert named(reason, error, unanswered=PENDING) in NAMES


@pytest.mark.parametrize("reason", [EndReason.ONE_SHOT, EndReason.LAST_REPLY, EndReason.PEER_CLOSED, EndReason.DONE])
def test_an_end_with_everything_answered_is_nobodys_fault(reason):
    assert named(reason) is None
    assert named(reason, unanswered=PENDING) == "eof_before_reply"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (errno.ECONNREFUSED, "connect_refused"),
        (errno.EAGAIN, "ports_exhausted"),
        (errno.ETIMEDOUT, "connect_timeout"),
        (errno.ENETUNREACH, "connect_unreachable"),
        (errno.EHOSTUNREACH, "connect_unreachable"),
        (errno.ENOENT, "connect_unreachable"),
        (errno.EACCES, "connect_unreachable"),
        (errno.EMFILE, "fd_limit"),
        (errno.ENFILE, "fd_limit"),
        (errno.EADDRNOTAVAIL, "ports_exhausted"),
    ],
)
def test_what_the_system_said_while_connecting_has_a_name(code, name):
    assert named(EndReason.NOT_CONNECTED, system(code)) == name


def test_a_unix_sockets_full_queue_is_no_refusal():
    target = Address("unix", path="/run/app.sock")
    name, detail = classify_error(Ending(EndReason.NOT_CONNECTED, [system(errno.EAGAIN)], [], []), target)
    assert name == "connect_timeout"
    assert "its queue was full" in detail


def test_of_several_addresses_the_last_is_told_unless_the_limit_is_ours():
    assert named(EndReason.NOT_CONNECTED, system(errno.ECONNREFUSED), system(errno.ETIMEDOUT)) == "connect_timeout"
    assert named(EndReason.NOT_CONNECTED, system(errno.EMFILE), system(errno.ECONNREFUSED)) == "fd_limit"


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (BadHeader("the header is empty"), "bad_prefix"),
        (HeaderTooLarge("x"), "bad_prefix"),
        (BadHeader("the header is not JSON"), "bad_header"),
        (ContentTooLarge("x"), "bad_header"),
    ],
)
def test_framing_is_blamed_on_the_prefix_or_the_header(error: FatalError, name):
    assert named(EndReason.BAD_FRAMING, error) == name


def test_what_another_protocol_answered_is_told_for_what_it_looks_like():
    error = BadHeader("no object")
    error.looks_like = "an HTTP reply"
    assert classify_error(Ending(EndReason.BAD_FRAMING, [error], [], []), HERE) == (
        "bad_header",
        "no object; it looks like an HTTP reply",
    )


def test_a_broken_pipe_is_told_from_a_reset():
    assert named(EndReason.RESET, system(errno.EPIPE)) == "broken_pipe"
    assert named(EndReason.RESET, system(errno.ECONNRESET)) == "reset"


def test_a_refusal_shows_what_the_server_said():
    refusal = UnaskedReply({"result": "Error: full", "error": {"code": "overloaded"}})
    name, detail = classify_error(Ending(EndReason.REFUSED, [refusal], [], []), HERE)
    assert name == "server_error"
    assert "overloaded" in detail
