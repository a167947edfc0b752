"""Is what the kernel tells read rightly, and is nothing read where it tells nothing?"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from benchmarks import kernel
from benchmarks.kernel import PER_CONNECTION, Kernel, object_sizes, unread_bytes

FILES = {
    "/proc/meminfo": "MemTotal:  1000 kB\nSlab:             2048 kB\nSReclaimable: 1 kB\n",
    "/proc/net/sockstat": "sockets: used 100\nTCP: inuse 7 orphan 0 tw 2 alloc 9 mem 3\nUDP: inuse 1 mem 0\n",
    "/proc/slabinfo": (
        "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab>\n"
        "TCP                  40     56   2304   14    8 : tunables    0    0    0\n"
        "filp               3000   3200    256   32    2 : tunables    0    0    0\n"
        "kmalloc-8          1000   1000      8  512    1 : tunables    0    0    0\n"
    ),
}


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the kernel's files say, by their paths; one that is not here can't be read."""
    found = dict(FILES)

    def read(self: Path) -> str:
        if str(self) not in found:
            raise PermissionError(13, "not for you")
        return found[str(self)]

    monkeypatch.setattr(kernel.Path, "read_text", read)
    return found


def test_slabs_buffers_and_sockets_are_bytes_and_a_number(files: dict[str, str]) -> None:
    page = os.sysconf("SC_PAGESIZE")
    before = Kernel()
    assert (before.slab, before.sockets, before.buffers) == (2048 * 1024, 7, 3 * page)
    files["/proc/meminfo"] = files["/proc/meminfo"].replace("2048", "2050")
    files["/proc/net/sockstat"] = files["/proc/net/sockstat"].replace("inuse 7", "inuse 9").replace("mem 3", "mem 2")
    assert Kernel().since(before) == {"slab_bytes": 2048, "buffer_bytes": -page, "sockets": 2}


def test_the_sizes_are_of_a_connection_s_objects_alone(files: dict[str, str]) -> None:
    assert object_sizes() == {"TCP": 2304, "filp": 256}
    assert set(object_sizes()) < set(PER_CONNECTION)


def test_where_the_kernel_tells_nothing_there_is_nothing(files: dict[str, str]) -> None:
    files.clear()
    assert object_sizes() == {}
    assert Kernel().since(Kernel()) == {"slab_bytes": 0, "buffer_bytes": 0, "sockets": 0}


def test_sockets_of_this_machine_are_counted() -> None:
    if not Path("/proc/net/sockstat").exists():
        pytest.skip("this system has no /proc/net/sockstat")
    with socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0)):
        assert Kernel().sockets >= 2


def comes_to(port: int, size: int) -> bool:
    """Are so many bytes unread, sooner or later?

    Those on their way are counted at neither end: what is acknowledged late, or is being given to the client's queue.
    """
    until = time.monotonic() + 20
    while unread_bytes(port) != size:
        if time.monotonic() > until:
            return False
    return True


def test_what_clients_have_not_read_is_counted_on_both_sides_of_their_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, listener.accept()[0] as accepted:
            assert unread_bytes(port) == 0
            accepted.setblocking(False)
            sent = 0
            try:
                while True:
                    sent += accepted.send(b"x" * 65536)
            except BlockingIOError:
                pass
            assert comes_to(port, sent), "some wait to be sent, some to be read"
            client.sendall(b"a request")
            assert comes_to(port, sent), "what clients send is none of it"
