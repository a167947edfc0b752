"""Is it told who holds a port, where the system tells, and nothing invented where it doesn't?"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from eventloop import Address
from libserver.port_owner import Holder, who_holds
from tests.libserver.test_sock_diag import kernel_tells

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells, by /proc")


@linux
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listening_port_is_traced_to_its_process(host: str) -> None:
    try:
        other = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with other:
        address = Address("tcp", host, other.getsockname()[1])
        holder = who_holds(address)
        assert holder is not None
        assert (holder.pid, holder.endpoint, holder.listening) == (os.getpid(), address.endpoint, True)


@linux
def test_udp_ports_and_unix_paths_are_traced_too(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket(socket.AF_UNIX) as unix:
        udp.bind(("127.0.0.1", 0))
        unix.bind(f"{tmp_path}/s p a c e")
        unix.listen()
        for address in (
            Address("echo+udp", "127.0.0.1", udp.getsockname()[1]),
            Address("unix", path=f"{tmp_path}/s p a c e"),
        ):
            holder = who_holds(address)
            assert holder is not None
            assert (holder.pid, holder.endpoint, holder.listening) == (os.getpid(), address.endpoint, True)


@linux
def test_a_connection_from_the_port_holds_it_too_but_a_listener_is_told_first() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = Address("tcp", "127.0.0.1", server.getsockname()[1])
        client = socket.create_connection(("127.0.0.1", address.port))
        accepted, _ = server.accept()
        holder = who_holds(address)
        assert holder is not None
        assert holder.listening
    with client, accepted:
        holder = who_holds(address)
        assert holder is not None
        assert not holder.listening


@linux
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_socket_that_is_bound_and_does_not_listen_is_found(family: int) -> None:
    if not kernel_tells():
        pytest.skip("this kernel does not tell of bound sockets: it is older than 6.8")
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.socket(family) as bound:
        try:
            bound.bind((host, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        address = Address("tcp", host, bound.getsockname()[1])
        holder = who_holds(address)
        assert holder is not None
        assert (holder.pid, holder.endpoint, holder.listening) == (os.getpid(), address.endpoint, False)


@linux
def test_another_address_is_not_in_the_way_and_all_addresses_are() -> None:
    with socket.create_server(("127.0.0.2", 0)) as other:
        port = other.getsockname()[1]
        assert who_holds(Address("tcp", "127.0.0.1", port)) is None
        for host in ("127.0.0.2", "0.0.0.0", "::", "::ffff:127.0.0.2"):
            holder = who_holds(Address("tcp", host, port))
            assert holder is not None
            assert holder.endpoint == f"127.0.0.2:{port}"
    with socket.create_server(("0.0.0.0", 0)) as everybody:
        port = everybody.getsockname()[1]
        holder = who_holds(Address("tcp", "127.0.0.1", port))
        assert holder is not None
        assert holder.endpoint == f"0.0.0.0:{port}"
        assert who_holds(Address("tcp", "::1", port)) is None


def make_proc(root: Path, *, tcp: str = "", command: bytes = b"python3\0app_server.py\0") -> Path:
    """A made-up /proc: process 7 holds socket 1234."""
    (root / "net").mkdir(parents=True)
    (root / "net" / "tcp").write_text("header\n" + tcp)
    (root / "7" / "fd").mkdir(parents=True)
    (root / "7" / "fd" / "3").symlink_to("socket:[1234]")
    (root / "7" / "cmdline").write_bytes(command)
    (root / "self").mkdir()
    return root


ROW = "0: 0100007F:{port:04X} 00000000:0000 {state} 0:0 0:0 0 0 0 {inode} 1\n"


def test_pid_and_program_are_named(tmp_path: Path) -> None:
    proc = make_proc(tmp_path, tcp=ROW.format(port=80, state="0A", inode=1234))
    assert who_holds(Address("tcp", "127.0.0.1", 80), proc) == Holder(7, "python3 app_server.py", "127.0.0.1:80", True)


def test_a_long_or_strange_command_line_stays_one_short_line(tmp_path: Path) -> None:
    strange = b"\xff\0\x1b[2J\n\xe2\x80\xa8" + b"x" * 500
    proc = make_proc(tmp_path, tcp=ROW.format(port=80, state="0A", inode=1234), command=strange)
    holder = who_holds(Address("tcp", "127.0.0.1", 80), proc)
    assert holder is not None
    assert len(holder.command) <= 80
    assert holder.command.isprintable()


@pytest.mark.parametrize(
    "tcp",
    [
        "",
        ROW.format(port=81, state="0A", inode=1234),  # another port
        ROW.format(port=80, state="06", inode=1234),  # TIME_WAIT: no process has it
        ROW.format(port=80, state="01", inode=0),  # nor this one
        ROW.format(port=80, state="0A", inode=1234).replace("0100007F", "0200007F", 1),  # another address
        ROW.format(port=80, state="0A", inode=9999),  # of a process we may not look into
        "garbage\n",
        "0: nocolon\n",
        "0: 0:zz 0 0A\n",
    ],
)
def test_what_the_system_does_not_tell_is_not_said(tmp_path: Path, tcp: str) -> None:
    assert who_holds(Address("tcp", "127.0.0.1", 80), make_proc(tmp_path, tcp=tcp)) is None


def test_without_proc_nothing_is_said(tmp_path: Path) -> None:
    for address in (Address("tcp", "127.0.0.1", 80), Address("unix", path="/x")):
        assert who_holds(address, tmp_path / "none") is None


def test_a_process_that_goes_while_we_look_is_skipped(tmp_path: Path) -> None:
    proc = make_proc(tmp_path, tcp=ROW.format(port=80, state="0A", inode=1234))
    (proc / "5").mkdir()  # no fd: it has gone, or is somebody else's
    holder = who_holds(Address("tcp", "127.0.0.1", 80), proc)
    assert holder is not None
    assert holder.pid == 7
