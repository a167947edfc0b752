"""Is it told who holds a port, where the system tells, and nothing invented where it doesn't?"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from eventloop import Address
from libserver.holders import who_listens_on

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells, by /proc")


@linux
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listening_port_is_traced_to_its_process(host: str) -> None:
    try:
        other = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with other:
        said = who_listens_on(Address("tcp", host, other.getsockname()[1]))
        assert said.startswith(f" by process {os.getpid()} (")


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
            assert f"process {os.getpid()} " in who_listens_on(address)


@linux
def test_a_connection_that_uses_the_port_is_not_mistaken_for_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
    with client, accepted:
        assert who_listens_on(Address("tcp", "127.0.0.1", port)) == ""


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
    assert who_listens_on(Address("tcp", "127.0.0.1", 80), proc) == " by process 7 (python3 app_server.py)"


def test_a_long_or_strange_command_line_stays_one_short_line(tmp_path: Path) -> None:
    proc = make_proc(tmp_path, tcp=ROW.format(port=80, state="0A", inode=1234), command=b"\xff\0" + b"x" * 500)
    said = who_listens_on(Address("tcp", "127.0.0.1", 80), proc)
    assert len(said) < 120
    assert "\n" not in said


@pytest.mark.parametrize(
    "tcp",
    [
        "",
        ROW.format(port=81, state="0A", inode=1234),  # another port
        ROW.format(port=80, state="01", inode=1234),  # established, not listening
        ROW.format(port=80, state="0A", inode=9999),  # of a process we may not look into
        "garbage\n",
        "0: nocolon\n",
        "0: 0:zz 0 0A\n",
    ],
)
def test_what_the_system_does_not_tell_is_not_said(tmp_path: Path, tcp: str) -> None:
    assert who_listens_on(Address("tcp", "127.0.0.1", 80), make_proc(tmp_path, tcp=tcp)) == ""


def test_without_proc_nothing_is_said(tmp_path: Path) -> None:
    for address in (Address("tcp", "127.0.0.1", 80), Address("unix", path="/x")):
        assert who_listens_on(address, tmp_path / "none") == ""


def test_a_process_that_goes_while_we_look_is_skipped(tmp_path: Path) -> None:
    proc = make_proc(tmp_path, tcp=ROW.format(port=80, state="0A", inode=1234))
    (proc / "5").mkdir()  # no fd: it has gone, or is somebody else's
    assert "process 7" in who_listens_on(Address("tcp", "127.0.0.1", 80), proc)
