"""Tests of what a connection asks of its server: `Server` has all of it (mypy compares the types)."""

from __future__ import annotations

from libserver import Server
from libserver.host import Host, StreamHost


def asked_of(protocol: type) -> set[str]:
    own = {name for part in protocol.__mro__ for name in (*vars(part), *vars(part).get("__annotations__", ()))}
    return {name for name in own if not name.startswith("_")}


def test_a_server_has_what_its_connections_ask_for() -> None:
    asked = asked_of(Host)
    assert {"loop", "limits", "batch", "forget", "ending"} <= asked
    assert asked_of(StreamHost) < asked
    with Server(["tcp://127.0.0.1:0"]) as server:
        assert [name for name in sorted(asked) if not hasattr(server, name)] == []
