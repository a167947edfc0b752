"""Does an address become a listening socket, and is it said in one sentence when it can't?"""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from eventloop import Address, parse_address
from libserver import CannotListen, Server, ServerLimits
from libserver.listeners import MAX_KEEPIDLE, Bound, handed_over, listen
from libserver.port_owner import Holder
from libserver.server import SCHEMES
from tests.support.descriptors import no_descriptor_left
from tests.support.peer import connected
from tests.support.server import serving
from tests.support.wire import keep

Opened = list[Bound]


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells, by /proc")
not_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may bind everywhere")


def opened(text: str, **limits: Any) -> Opened:
    return listen(parse_address(text, SCHEMES), ServerLimits(**limits), who=lambda address: None)


def close(pairs: Opened) -> None:
    for bound in pairs:
        if bound.file is not None:
            bound.file.remove()
        bound.sock.close()


def sentence(text: str, **limits: Any) -> str:
    """What is said when `text` can't be listened on; nothing is left open."""
    with no_descriptor_left(), pytest.raises(CannotListen) as caught:
        opened(text, **limits)
    said = str(caught.value)
    assert "\n" not in said
    return said


# --- sockets -----------------------------------------------------------------------------


def test_a_tcp_address_becomes_a_non_blocking_listening_socket_with_its_real_port() -> None:
    pairs = opened("tcp://127.0.0.1:0")
    ((sock, address, _),) = pairs
    assert address == Address("tcp", "127.0.0.1", sock.getsockname()[1])
    assert sock.getblocking() is False
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 300
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    close(pairs)


def test_options_are_set_as_asked() -> None:
    pairs = opened("tcp://127.0.0.1:0", nagle=True, tcp_keepalive=0, reuse_port=True)
    ((sock, address, _),) = pairs
    assert not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    second = opened(f"tcp://127.0.0.1:{address.port}", reuse_port=True)
    close(pairs + second)


@pytest.mark.parametrize("seconds", [0.001, 1.0, 32767, 1e6, 1e12])
def test_any_keepalive_time_is_cut_to_what_the_kernel_takes(seconds: float) -> None:
    pairs = opened("tcp://127.0.0.1:0", tcp_keepalive=seconds, backlog=10**12)
    idle = pairs[0][0].getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    assert idle == min(max(1, int(seconds)), MAX_KEEPIDLE)
    close(pairs)


def test_accepted_sockets_inherit_the_options() -> None:
    with serving(tcp_keepalive=77.0) as home:
        peer = home.peer()
        peer.send(keep("echo", 1))
        assert peer.reply().result == 1
        (message,) = home.server.connections
        sock = message.transport.sock
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getblocking() is False


@ipv6
def test_an_ipv6_address_serves_ipv6_alone() -> None:
    with serving(listen=("tcp://[::1]:0",)) as home:
        peer = home.peer()
        peer.send(keep("echo", 1))
        assert peer.reply().result == 1
        assert "peer=[::1]:" in home.server.describe_connections()[0]
        assert str(home.server.addresses[0]).startswith("tcp://[::1]:")


@ipv6
def test_all_of_ipv6_serves_ipv4_too() -> None:
    with serving(listen=("tcp://[::]:0",)) as home:
        (address,) = home.server.addresses
        for host in ("127.0.0.1", "::1"):
            with connected(address._replace(host=host)) as sock:
                sock.sendall(keep("echo", 1))
                assert sock.recv(1)


def test_a_name_with_several_addresses_is_listened_on_at_all_of_them_with_one_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = socket.getaddrinfo

    def resolve(host: str, *args: Any, **kwargs: Any) -> Any:
        if host == "several.test":
            kwargs.pop("flags", None)
            return [*real("127.0.0.2", *args, **kwargs), *real("127.0.0.1", *args, **kwargs)]
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    pairs = opened("tcp://several.test:0")
    assert [address.host for _, address, _ in pairs] == ["127.0.0.1", "127.0.0.2"]
    assert len({address.port for _, address, _ in pairs}) == 1
    with socket.socket() as other:  # if one of them can't be had, none is kept
        other.bind(("127.0.0.2", 0))
        other.listen()
        assert "127.0.0.2" in sentence(f"tcp://several.test:{other.getsockname()[1]}")
    close(pairs)


def test_localhost_is_all_that_it_stands_for_here() -> None:
    with serving(listen=("tcp://localhost:0",)) as home:
        hosts = {address.host for address in home.server.addresses}
        assert "127.0.0.1" in hosts
        assert hosts <= {"127.0.0.1", "::1"}
        assert len({address.port for address in home.server.addresses}) == 1


@pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_a_name_whose_ipv6_address_this_machine_has_not_is_served_by_the_other(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = socket.getaddrinfo

    def resolve(host: str, *args: Any, **kwargs: Any) -> Any:
        if host == "both.test":
            four = real("127.0.0.1", *args, **kwargs)
            return [*four, (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::5", 0, 0, 0))]
        return real(host, *args, **kwargs)

    original = socket.socket.bind

    def bind(self: socket.socket, address: Any) -> None:
        if address[0] == "::5":
            raise OSError(number, os.strerror(number))
        original(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "bind", bind)
    pairs = opened("tcp://both.test:0")
    assert [address.host for _, address, _ in pairs] == ["127.0.0.1"]
    close(pairs)


def test_udp_is_bound_and_does_not_listen() -> None:
    pairs = opened("echo+udp://127.0.0.1:0")
    ((sock, address, _),) = pairs
    assert sock.type == socket.SOCK_DGRAM
    assert address.port == sock.getsockname()[1]
    close(pairs)


# --- what is said --------------------------------------------------------------------------------


def test_a_port_in_use_says_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert sentence(f"tcp://127.0.0.1:{port}") == (
            f"cannot listen on tcp://127.0.0.1:{port}: already in use; stop it, or choose another port"
        )


def test_a_port_in_use_says_who_holds_it() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = Address("tcp", "127.0.0.1", other.getsockname()[1])
        with pytest.raises(CannotListen) as caught:
            listen(address, ServerLimits(), who=lambda asked: Holder(42, "a program", asked.endpoint, True))
        assert str(caught.value) == (
            f"cannot listen on {address}: already in use by process 42 (a program); stop it, or choose another port"
        )


@pytest.mark.parametrize(
    ("holder", "reuse_port", "words"),
    [
        (Holder(42, "it", "0.0.0.0:PORT", True), False, "already in use at 0.0.0.0:PORT by process 42 (it); stop it,"),
        (Holder(42, "it", "127.0.0.1:PORT", False), False, "by process 42 (it), whose socket does not listen; stop it"),
        (Holder(42, "it", "127.0.0.1:PORT", True), True, "listens without --reuse-port, or is another user's"),
        (Holder(42, "it", "127.0.0.1:PORT", False), True, "whose socket does not listen; stop it"),
        (Holder(os.getpid(), "we", "[::]:PORT", True), False, "overlaps with [::]:PORT, which this process"),
    ],
)
def test_what_is_in_the_way_is_told_for_what_it_is(holder: Holder, reuse_port: bool, words: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        who = holder._replace(endpoint=holder.endpoint.replace("PORT", port))
        limits = ServerLimits(reuse_port=reuse_port)
        with pytest.raises(CannotListen) as caught:
            listen(Address("tcp", "127.0.0.1", int(port)), limits, who=lambda asked: who)
        assert words.replace("PORT", port) in str(caught.value)


@linux
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("tcp://0.0.0.0:{}", "tcp://[::]:{}"),
        ("tcp://[::]:{}", "tcp://0.0.0.0:{}"),
        ("tcp://127.0.0.1:{}", "tcp://127.0.0.1:{}"),
        ("tcp://127.0.0.1:{}", "echo://0.0.0.0:{}"),
        ("echo+udp://127.0.0.1:{}", "echo+udp://127.0.0.1:{}"),
    ],
)
def test_two_addresses_of_one_server_that_overlap_are_told_so(first: str, second: str) -> None:
    if "[" in first + second and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    (one,) = listen(parse_address(first.format(0), SCHEMES), ServerLimits())
    with one.sock:
        with pytest.raises(CannotListen) as caught:
            Server([second.format(one.address.port)])
        assert f"overlaps with {one.address.endpoint}, which this process has already; leave" in str(caught.value)


@linux
def test_a_unix_path_listed_twice_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(CannotListen, match=r"overlaps with .*/s, which this process has already"):
        Server([f"unix:{tmp_path}/s", f"unix:{tmp_path}/s"])
    assert os.listdir(tmp_path) == []


def test_a_star_is_all_addresses_once() -> None:
    pairs = opened("tcp://*:0")
    ((sock, address, _),) = pairs
    assert address.host == ("::" if sock.family == socket.AF_INET6 else "0.0.0.0")
    with socket.create_connection(("127.0.0.1", address.port)):
        pass
    close(pairs)


def test_a_star_without_ipv6_is_all_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    original = socket.socket.bind

    def bind(self: socket.socket, name: Any) -> None:
        if self.family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        original(self, name)

    monkeypatch.setattr(socket.socket, "bind", bind)
    pairs = opened("tcp://*:0")
    assert [bound.address.host for bound in pairs] == ["0.0.0.0"]
    close(pairs)
    assert "cannot listen on tcp://[::1]:0" in sentence("tcp://[::1]:0")


@linux
@ipv6
def test_a_link_local_address_is_listened_on_in_its_zone() -> None:
    """`lo` has none, so the zone alone is looked at: a bind to another machine's address fails for that reason."""
    asked: list[Any] = []
    original = socket.socket.bind

    def bind(self: socket.socket, name: Any) -> None:
        asked.append(name)
        original(self, ("::1", *name[1:3]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "bind", bind)
        pairs = opened("tcp://[fe80::1%lo]:0")
    assert asked == [("fe80::1", 0, 0, socket.if_nametoindex("lo"))]
    assert str(pairs[0].address) == f"tcp://[fe80::1%lo]:{pairs[0].address.port}"
    close(pairs)


def test_a_link_local_address_without_its_zone_or_with_none_of_ours_says_so() -> None:
    with pytest.raises(CannotListen, match=r"fe80::1 is a link-local address.*write which, such as fe80::1%eth0"):
        listen(Address("tcp", "fe80::1", 0), ServerLimits())
    assert "there is no network interface 'nope' here" in sentence("tcp://[fe80::1%nope]:0")


@pytest.mark.parametrize(
    ("environ", "count"),
    [
        ({"LISTEN_PID": "7", "LISTEN_FDS": "2"}, 2),
        ({"LISTEN_PID": "8", "LISTEN_FDS": "2"}, 0),  # of whoever started us
        ({"LISTEN_FDS": "2"}, 0),
        ({"LISTEN_PID": "7"}, 0),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "many"}, 0),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "-1"}, 0),
        ({}, 0),
    ],
)
def test_sockets_that_a_service_manager_hands_over_are_seen(environ: dict[str, str], count: int) -> None:
    assert handed_over(environ, pid=7) == count


def test_an_unknown_host_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "unknown host 'nowhere.test'; check its spelling" in sentence("tcp://nowhere.test:1")


def test_a_host_that_can_not_be_a_name_is_an_unknown_host() -> None:
    assert "unknown host" in sentence("tcp://" + "x" * 70 + ".test:1")
    assert "unknown host" in sentence("tcp://a..test:1")


def test_an_address_of_another_machine_says_so() -> None:
    assert "192.0.2.1 is no address of this machine" in sentence("tcp://192.0.2.1:0")  # TEST-NET-1


@pytest.mark.parametrize(
    ("number", "text", "words"),
    [
        (errno.EACCES, "tcp://127.0.0.1:80", "no permission: ports below 1024 are for root"),
        (errno.EPERM, "tcp://127.0.0.1:80", "no permission: ports below 1024 are for root"),
        (errno.EACCES, "unix:/some/where/s", "no permission to create a socket in /some/where"),
        (errno.ENOBUFS, "tcp://127.0.0.1:80", os.strerror(errno.ENOBUFS)),
        (errno.EMFILE, "tcp://127.0.0.1:80", "no descriptors left; raise the limit with ulimit -n"),
        (errno.ENFILE, "tcp://127.0.0.1:80", "no descriptors left"),
    ],
)
def test_what_the_kernel_refuses_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, number: int, text: str, words: str
) -> None:
    def refuse(self: socket.socket, address: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert words in sentence(text)


@not_root
def test_a_directory_without_permission_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "no permission to create a socket" in sentence(f"unix:{tmp_path}/s")
