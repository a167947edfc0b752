"""Is the kernel's setting changed in a network of its own, and nowhere else?"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from benchmarks.restart import namespace


def test_a_network_of_its_own_migrates_and_nobody_else_s_does() -> None:
    if why := namespace.cannot_migrate():
        pytest.skip(why)
    before = namespace.MIGRATE.read_text()
    inside = Path("/proc/self/ns/net").stat().st_ino
    try:
        with namespace.migrating():
            assert namespace.MIGRATE.read_text().strip() == "1"
            with socket.create_server(("127.0.0.1", 0)) as listening:
                socket.create_connection(listening.getsockname(), timeout=20).close()
    except PermissionError as error:
        pytest.skip(str(error))
    assert namespace.MIGRATE.read_text() == before
    assert Path("/proc/self/ns/net").stat().st_ino == inside
