"""Are sockets found that are bound and do not listen, and nothing invented where the kernel does not tell?"""

from __future__ import annotations

import os
import socket
import sys

import pytest

from libserver.sock_diag import bound_sockets

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells, by netlink")


def kernel_tells() -> bool:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return any(port == bound.getsockname()[1] for _, port, _ in bound_sockets())


@linux
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_bound_socket_is_told_with_its_address_port_and_inode(family: int, host: str) -> None:
    if not kernel_tells():
        pytest.skip("this kernel does not tell of bound sockets: it is older than 6.8")
    with socket.socket(family) as bound:
        try:
            bound.bind((host, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        me = (socket.inet_pton(family, host), bound.getsockname()[1], str(os.fstat(bound.fileno()).st_ino))
        assert me in list(bound_sockets())
        bound.listen()
        assert me not in list(bound_sockets())  # /proc/net/tcp has it now


def test_where_there_is_no_such_interface_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_NETLINK", raising=False)
    assert list(bound_sockets()) == []


class Answers:
    """A kernel that says what the test wants."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)

    def __call__(self, *kind: int) -> Answers:
        return self

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing is held."""

    def settimeout(self, seconds: float) -> None:
        """Nothing waits."""

    def send(self, request: bytes) -> None:
        """Whatever is asked."""

    def recv(self, size: int) -> bytes:
        if not self.answers:
            raise TimeoutError
        return self.answers.pop(0)


@linux
@pytest.mark.parametrize("answers", [(), (b"",) * 3, (b"\0" * 16,), (b"\x14\0\0\0" + b"\0" * 16,)])
def test_an_answer_that_is_none_ends_the_search(monkeypatch: pytest.MonkeyPatch, answers: tuple[bytes, ...]) -> None:
    monkeypatch.setattr(socket, "socket", Answers(*answers))
    assert list(bound_sockets()) == []
