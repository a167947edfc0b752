"""Who holds this port?

Asked after a bind has failed. On Linux /proc says: the sockets with their addresses and inodes, and
each process's open descriptors. What the system does not tell (another user's process, another system)
is simply not said. Stands for `ss -ltnp` where nothing is installed.

Two sockets are in each other's way if their ports are equal and their addresses overlap: the same one, or
one of them is "all addresses" (`0.0.0.0`; `::` of both kinds, as a dual-stack socket has it). The holder
need not listen: what is bound for long, or connected from that port, holds it too (`libserver.sock_diag`).

Not here: what is said about it (`libserver.listeners`).
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from eventloop import Address
from eventloop.addresses import ECHO_UDP, UNIX, endpoint_text
from protocol.printable import printable

from .sock_diag import bound_sockets

__all__ = ["Holder", "who_holds"]

# of /proc/net/tcp's column st
_LISTEN = "0A"
_OVER = ("06", "07")  # TIME_WAIT, and CLOSE, which is how UDP's look: no process has the first

_ALL_IPV4 = bytes(4)
_ALL_IPV6 = bytes(16)
_MAPPED = bytes(10) + b"\xff\xff"


class Holder(NamedTuple):
    """A process, its command line, and the socket of it that is in the way."""

    pid: int
    command: str
    endpoint: str
    listening: bool


class _Socket(NamedTuple):
    host: bytes
    port: int
    listening: bool
    inode: str


def who_holds(address: Address, proc: Path = Path("/proc")) -> Holder | None:
    """The process whose socket keeps `address` from being bound, or None if the system does not tell."""
    try:
        if address.scheme == UNIX:
            found = [(address.path, True, inode) for inode in _unix_inodes(address, proc)]
        else:
            found = [(_text(one), one.listening, one.inode) for one in _in_the_way(address, proc)]
        owners = _owners({inode for _, _, inode in found}, proc)
        for endpoint, listening, inode in found:
            if inode in owners:
                pid, command = owners[inode]
                return Holder(pid, command, endpoint, listening)
    except (OSError, ValueError, IndexError):
        pass
    return None


def _in_the_way(address: Address, proc: Path) -> list[_Socket]:
    """The sockets that overlap with it, the most telling first: listening ones, then the same address."""
    wanted = _packed(address.host)
    udp = address.scheme == ECHO_UDP
    sockets = [*_table(proc, "udp" if udp else "tcp", 4), *_table(proc, "udp6" if udp else "tcp6", 16)]
    if not udp:
        sockets += [_Socket(_short(host), port, False, inode) for host, port, inode in bound_sockets()]
    rivals = [one for one in sockets if one.port == address.port and _overlap(one.host, wanted)]
    return sorted(rivals, key=lambda one: (not one.listening, one.host != wanted))


def _table(proc: Path, name: str, width: int) -> Iterator[_Socket]:
    try:
        lines = (proc / "net" / name).read_text().splitlines()[1:]
    except OSError:
        return
    for line in lines:
        columns = line.split()
        host, _, port = columns[1].rpartition(":")
        if columns[3] == _OVER[0] or columns[9] == "0":
            continue
        listening = columns[3] == _LISTEN or (name.startswith("udp") and columns[3] == _OVER[1])
        yield _Socket(_short(_bytes(host, width)), int(port, 16), listening, columns[9])


def _bytes(text: str, width: int) -> bytes:
    """/proc shows addresses as hexadecimal numbers of four bytes each, in this machine's own order."""
    if len(text) != 2 * width:
        raise ValueError("no address")
    words = (int(text[at : at + 8], 16) for at in range(0, 2 * width, 8))
    return b"".join(word.to_bytes(4, sys.byteorder) for word in words)


def _packed(host: str) -> bytes:
    host = host.partition("%")[0]
    return _short(socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host))


def _short(host: bytes) -> bytes:
    """IPv4 addresses in IPv6 are IPv4 addresses."""
    return host[12:] if host[:12] == _MAPPED else host


def _overlap(one: bytes, other: bytes) -> bool:
    if one == other or _ALL_IPV6 in (one, other):
        return True
    return len(one) == len(other) == 4 and _ALL_IPV4 in (one, other)


def _text(one: _Socket) -> str:
    host = socket.inet_ntop(socket.AF_INET if len(one.host) == 4 else socket.AF_INET6, one.host)
    return endpoint_text(host, one.port)


def _unix_inodes(address: Address, proc: Path) -> Iterator[str]:
    names = {address.path} if address.abstract else {address.path, os.path.abspath(address.path)}
    for line in (proc / "net" / "unix").read_text(errors="surrogateescape").splitlines()[1:]:
        columns = line.split(maxsplit=7)
        if len(columns) == 8 and columns[7] in names:
            yield columns[6]


def _owners(inodes: set[str], proc: Path) -> dict[str, tuple[int, str]]:
    """Of each inode the first process found that has it open, and its command line."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[str, tuple[int, str]] = {}
    for directory in proc.iterdir() if wanted else ():
        if not directory.name.isdigit():
            continue
        try:
            mine = [wanted[link] for link in _descriptors(directory / "fd") if link in wanted]
            if mine:
                command = _command((directory / "cmdline").read_bytes())
                owners |= {inode: (int(directory.name), command) for inode in mine if inode not in owners}
        except OSError:
            continue  # it has gone, or is somebody else's
    return owners


def _descriptors(directory: Path) -> Iterator[str]:
    for link in directory.iterdir():
        try:
            yield os.readlink(link)
        except OSError:
            continue  # closed meanwhile: one of ours is the directory's own


def _command(cmdline: bytes) -> str:
    return printable(b" ".join(cmdline.split(b"\0")).decode(errors="replace").strip(), 80)
