"""Does each bad peer act as it says, and see whether it gets what it is owed?"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from benchmarks.processes import ServerProcess, cores
from benchmarks.requests import repeated
from benchmarks.soak import scripts
from benchmarks.soak.scripts import KINDS
from benchmarks.soak.settings import HOST, Settings
from benchmarks.soak.stage import READ, NotAsPromised, Peer, Script
from tests.support.scripted import Caller, ScriptedServer
from tests.support.wire import error_reply, reply

SETTINGS = Settings(quiet=0.1, chaos=60.0, timeout=0.4)
#: Those that wait for no timer of the server.
AT_ONCE = ("bad contents", "resets", "half-closes", "half-closes inside", "leaves at once", "says more than one")


def act(port: int, script: Callable[[Peer], Script], seed: int = 1) -> Peer:
    """One peer, from its first line to its last; what its script raises is raised."""
    peer = Peer(port, SETTINGS, random.Random(seed), "127.0.0.2")
    with peer.sock:
        lines, ready = script(peer), None
        try:
            while True:
                wait = lines.send(ready)  # type: ignore[arg-type]
                reading, writing = ([peer.sock] if wait.mask & READ else []), ([peer.sock] if wait.mask & ~READ else [])
                ready = any(select.select(reading, writing, [], wait.seconds))
        except StopIteration:
            return peer


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ServerProcess(SETTINGS.command_line(), cores()[0]) as server:
        yield server.port


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", AT_ONCE)
def test_a_server_that_keeps_its_promises_is_not_accused(port: int, kind: str, seed: int) -> None:
    act(port, KINDS[kind].script, seed)


@pytest.mark.parametrize("kind", ["connects only", "stalls in a content"])
def test_a_timer_that_is_kept_is_seen_to_be(port: int, kind: str) -> None:
    begun = time.monotonic()
    act(port, KINDS[kind].script)
    assert time.monotonic() - begun > SETTINGS.timeout * (1 - scripts.EARLY)


def said(*replies: bytes) -> Callable[[Caller], None]:
    """A server that says this to the first bytes, finishes, and reads to the end."""

    def serve(peer: Caller) -> None:
        peer.sock.recv(65536)
        peer.send(b"".join(replies))
        peer.sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while peer.sock.recv(65536):
                pass

    return serve


def closes(peer: Caller) -> None:
    """At once, and in good order."""


COMPLAINT = error_reply("internal-error")


@pytest.mark.parametrize(
    ("kind", "serve", "words"),
    [
        ("connects only", closes, "ended before its time"),
        ("stalls in a content", said(), "ended before its time"),
        ("stalls in a content", said(COMPLAINT), "spoken to before its time"),
        ("half-closes", said(*[reply("no")] * 20), " replies to "),
        ("half-closes inside", said(), "0 replies to"),
        ("says more than one", said(reply("no")), "a wrong reply"),
        ("says more than one", said(reply("no") * 2), "2 replies to 1 requests"),
        ("bad contents", said(reply("no") * 2), "no error instead of bad-content"),
        ("bad contents", said(error_reply("bad-content")), "1 replies to 2 requests"),
        ("trickles a header", said(COMPLAINT), "internal-error instead of timeout"),
        ("trickles a header", said(), "no error instead of timeout"),
        ("talks nonsense", said(COMPLAINT), "internal-error instead of "),
    ],
)
def test_a_server_that_does_not_is(kind: str, serve: Callable[[Caller], None], words: str) -> None:
    with ScriptedServer(serve) as server, pytest.raises(NotAsPromised, match=words):
        act(server.port, KINDS[kind].script)


def test_an_error_is_expected_by_its_code_and_a_reply_by_its_bytes() -> None:
    (variant,) = repeated()[:1]
    with pytest.raises(NotAsPromised, match="no error instead of a or b"):
        scripts._expect_error([], "a", "b")
    with pytest.raises(NotAsPromised, match="0 replies to 1 requests"):
        scripts._expect([], [variant])


def test_every_kind_has_a_script_of_its_own_on_this_machine() -> None:
    assert len({kind.script for kind in KINDS.values()}) == len(KINDS)
    assert [name for name, kind in KINDS.items() if kind.in_crowds] == ["comes in a crowd"]
    assert HOST == "127.0.0.1"
