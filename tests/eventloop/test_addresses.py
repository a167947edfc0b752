"""Addresses: what people write is understood, given back the same, or refused with a sentence."""

from __future__ import annotations

import pytest

from eventloop.addresses import ECHO, ECHO_UDP, MAX_UNIX_PATH, TCP, UNIX, Address, parse_address, parse_port

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
