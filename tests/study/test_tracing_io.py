"""A traced socket and a traced selector do what the plain ones do, and note it."""

from __future__ import annotations

import selectors
import socket

import pytest

from study.tracing_io import in_words

R, W = selectors.EVENT_READ, selectors.EVENT_WRITE


def test_each_change_of_the_mask_is_told_once(bench):
    bench.selector.register(bench.sock, R, 1)
    bench.selector.modify(bench.sock, R | W, 1)
    bench.selector.modify(bench.sock, R | W, 2)
    bench.selector.unregister(bench.sock)
    bench.selector.register(bench.theirs, R, 3)  # not one that is traced
    masks = [(e.data["before"], e.data["after"]) for e in bench.trace().events if e.name == "mask"]
    assert masks == [("", "r"), ("r", "rw"), ("rw", "")]


def test_calls_that_fail_are_told_by_the_errno_and_raise_as_before(bench):
    with pytest.raises(BlockingIOError):
        bench.sock.recv(10)
    with pytest.raises(BlockingIOError):
        bench.sock.recv_into(bytearray(10))
    bench.theirs.close()
    for verb in (lambda: bench.sock.send(b"x"), lambda: bench.sock.sendmsg([b"x", b"y"])):
        with pytest.raises(BrokenPipeError):
            verb()
    bench.ours.detach()
    with pytest.raises(OSError, match="descriptor"):
        bench.sock.shutdown(socket.SHUT_WR)
    calls = [(e.data["call"], e.data["result"]) for e in bench.trace().events if e.name == "syscall"]
    assert calls == [
        *[("recv", "EAGAIN"), ("recv_into", "EAGAIN"), ("send", "EPIPE"), ("sendmsg", "EPIPE"), ("shutdown", "EBADF")]
    ]


def test_connecting_is_told(bench):
    with socket.socket() as listener, socket.socket() as sock:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        traced = bench.recorder.tap(bench.message, sock)
        assert traced.connect_ex(listener.getsockname()) == 0
        assert traced.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert traced.getpeername() == listener.getsockname()  # what it does not name goes straight through
    calls = [event.data for event in bench.trace().events if event.name == "syscall"]
    assert [(c["call"], c["result"]) for c in calls] == [("connect", 0), ("getsockopt", 0)]


def test_a_selector_that_traces_is_a_selector(bench):
    bench.selector.register(bench.sock, R, "data")
    number = bench.sock.fileno()
    assert bench.selector.get_map()[number].data == "data"
    assert bench.selector.get_key(number).events == R
    assert bench.selector.unregister(bench.sock).data == "data"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        (("fe80::1", 80, 0, 3), "[fe80::1%3]:80"),
        (("fe80::1%lo", 80, 0, 3), "[fe80::1%lo]:80"),
        ("/run/socket", "unix"),
        (b"\0abstract", "unix"),
    ],
)
def test_a_name_is_an_address_in_words(name, words):
    assert in_words(name) == words


def test_what_comes_back_is_given_back(bench):
    bench.theirs.send(b"abcdef")
    space = bytearray(3)
    assert (bench.sock.recv(3), bench.sock.recv_into(space), space) == (b"abc", 3, b"def")
    assert (bench.sock.send(b"12"), bench.sock.sendmsg([b"3", b"45"])) == (2, 3)
    assert bench.theirs.recv(9) == b"12345"
    assert bench.sock.fileno() == bench.ours.fileno()
    bench.sock.shutdown(socket.SHUT_WR)
    assert bench.theirs.recv(9) == b""
