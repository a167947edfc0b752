"""Addresses: what people write is understood, given back the same, or refused with a sentence."""

from __future__ import annotations

import socket
import sys

import pytest

from eventloop.addresses import (
    ECHO,
    ECHO_UDP,
    MAX_UNIX_PATH,
    TCP,
    UNIX,
    Address,
    host_of,
    numeric_sockaddr,
    parse_address,
    parse_port,
    zone_trouble,
)

ALL = (TCP, UNIX, ECHO, ECHO_UDP)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:65432", Address(TCP, "127.0.0.1", 65432)),
        ("localhost:0", Address(TCP, "localhost", 0)),
        ("tcp://example.org:80", Address(TCP, "example.org", 80)),
        ("[::1]:65432", Address(TCP, "::1", 65432)),
        ("tcp://[fe80::1%eth0]:1", Address(TCP, "fe80::1%eth0", 1)),
        ("echo://0.0.0.0:7", Address(ECHO, "0.0.0.0", 7)),
        ("echo+udp://[::]:7", Address(ECHO_UDP, "::", 7)),
        ("unix:/run/app.sock", Address(UNIX, path="/run/app.sock")),
        ("unix:///run/app.sock", Address(UNIX, path="/run/app.sock")),
        ("unix:relative.sock", Address(UNIX, path="relative.sock")),
        ("unix:/odd/a://b:1", Address(UNIX, path="/odd/a://b:1")),
        ("unix:./@app", Address(UNIX, path="./@app")),
        ("[fe8::1]:1", Address(TCP, "fe8::1", 1)),  # 0fe8: no link-local one
    ],
)
def test_an_address_is_understood(text: str, address: Address) -> None:
    assert parse_address(text, ALL) == address


@pytest.mark.parametrize(
    ("address", "text", "endpoint"),
    [
        (Address(TCP, "127.0.0.1", 1), "tcp://127.0.0.1:1", "127.0.0.1:1"),
        (Address(TCP, "::1", 2), "tcp://[::1]:2", "[::1]:2"),
        (Address(ECHO_UDP, "localhost", 7), "echo+udp://localhost:7", "localhost:7"),
        (Address(UNIX, path="/run/x"), "unix:/run/x", "/run/x"),
        (Address(UNIX, path="//run/x"), "unix:////run/x", "//run/x"),
        (Address(UNIX, path="/odd/a://b"), "unix:/odd/a://b", "/odd/a://b"),
    ],
)
def test_an_address_is_written_so_that_it_can_be_read_back(address: Address, text: str, endpoint: str) -> None:
    assert str(address) == text
    assert address.endpoint == endpoint
    assert parse_address(text, ALL) == address


@pytest.mark.parametrize("text", ["http://localhost:80", "echo://localhost:7", "TCP://localhost:80", "://x:1"])
def test_a_scheme_not_accepted_here_is_told_which_are(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not accepted here; use tcp://HOST:PORT, unix:/path$"):
        parse_address(text)


def test_an_inherited_socket_is_told_that_it_can_not_be_taken_yet() -> None:
    with pytest.raises(ValueError, match=r"fd:// is not built yet; use tcp://HOST:PORT"):
        parse_address("fd://3", ALL)


def test_a_unix_address_where_none_is_accepted_is_told_so() -> None:
    with pytest.raises(ValueError, match=r"unix:// is not accepted here; use tcp://HOST:PORT$"):
        parse_address("unix:/run/x", (TCP,))


@pytest.mark.parametrize("text", ["unix:", "unix://", "unix:/a\0b"])
def test_a_unix_address_without_a_usable_path_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write unix:/path/to/socket"):
        parse_address(text)


def test_a_unix_path_may_be_as_long_as_the_system_takes_counted_in_bytes() -> None:
    longest = "/" + "x" * (MAX_UNIX_PATH - 1)
    assert parse_address("unix:" + longest).path == longest
    for path in (longest + "x", "/" + "é" * (MAX_UNIX_PATH // 2 + 1)):
        with pytest.raises(ValueError, match="has at most 107 bytes"):
            parse_address("unix:" + path)


def test_a_unix_path_of_bytes_that_are_no_text_is_accepted() -> None:
    assert parse_address("unix:/run/\udcff").path == "/run/\udcff"  # as sys.argv brings them


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has abstract sockets")


@linux
def test_an_abstract_socket_is_written_with_an_at_sign() -> None:
    address = parse_address("unix:@app")
    assert (address.abstract, address.unix_name, str(address), address.endpoint) == (True, "\0app", "unix:@app", "@app")
    with pytest.raises(ValueError, match="an abstract socket needs a name, such as unix:@app"):
        parse_address("unix:@")


def test_a_path_is_no_abstract_name() -> None:
    address = parse_address("unix:./@app")
    assert (address.abstract, address.unix_name) == (False, "./@app")


def test_where_there_are_no_abstract_sockets_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ValueError, match=r"only Linux has abstract sockets; for a file of that name write unix:./@app"):
        parse_address("unix:@app")


@pytest.mark.parametrize("host", ["fe80::1", "FEBF::1", "fe90:0::2"])
def test_a_link_local_address_without_its_zone_is_told_that_it_needs_one(host: str) -> None:
    with pytest.raises(ValueError, match=f"write which, such as {host}%eth0 \\(this machine has "):
        parse_address(f"tcp://[{host}]:0")


def test_a_zone_that_is_no_interface_of_this_machine_is_told_which_are() -> None:
    name = socket.if_indextoname(1)
    assert zone_trouble(f"fe80::1%{name}") is None
    assert zone_trouble("fe80::1%1") is None
    assert zone_trouble("::1") is None
    assert zone_trouble("127.0.0.1") is None
    said = zone_trouble("fe80::1%none-such")
    assert said is not None
    assert said.startswith("fe80::1%none-such: there is no network interface 'none-such' here (this machine has ")
    assert name in said


def test_the_zone_goes_with_the_host_both_ways() -> None:
    name = socket.if_indextoname(1)
    assert host_of(("fe80::1", 80, 0, 1)) == f"fe80::1%{name}"
    assert host_of((f"fe80::1%{name}", 80, 0, 1)) == f"fe80::1%{name}"
    assert host_of(("fe80::1", 80, 0, 4_000_000)) == "fe80::1%4000000"  # it has gone meanwhile
    assert host_of(("::1", 80, 0, 0)) == "::1"
    assert host_of(("127.0.0.1", 80)) == "127.0.0.1"
    assert numeric_sockaddr(f"fe80::1%{name}", 7) == (socket.AF_INET6, ("fe80::1", 7, 0, 1))
    assert numeric_sockaddr("127.0.0.1") == (socket.AF_INET, ("127.0.0.1", 0))
    with pytest.raises(OSError, match="not known"):
        numeric_sockaddr("localhost")


@pytest.mark.parametrize("text", ["::1", "::1:80", "fe80::1:65432", "[::1:80", "[::1]"])
def test_a_bare_ipv6_address_is_told_to_wear_brackets(text: str) -> None:
    with pytest.raises(ValueError, match="put an IPv6 address in brackets"):
        parse_address(text)


@pytest.mark.parametrize("text", ["", "localhost", ":80", "[]:80", "localhost/x:80", "tcp://host:80/", "a\0b:80"])
def test_what_is_no_address_is_told_what_is(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address: write HOST:PORT"):
        parse_address(text)


@pytest.mark.parametrize("text", ["host:", "host:http", "host:-1", "host:65536", "host:\u0663", "host:" + "9" * 5000])
def test_what_is_no_port_is_told_the_range(text: str) -> None:
    with pytest.raises(ValueError, match="is not a port: write a number from 0 to 65535"):
        parse_address(text)


@pytest.mark.parametrize("port", [0, 1, 65535])
def test_every_port_up_to_65535_is_one(port: int) -> None:
    assert parse_port(str(port)) == port
