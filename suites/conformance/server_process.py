"""How does a server end, and what does it do when its process runs out of something?

Shown on servers of the suite's own, started with `--command`: the one under test is left alone.

Not here: the server under test after all its cases (`server_floods`, AF).
"""

from __future__ import annotations

import signal
import time

from .case import SOON, Failed, Informational, case, each
from .peer import Peer
from .spawned import Spawned, connect, spawn
from .targets import QUIET_PART, CannotReach, ServerRun
from .wire import KEEP, MORPHEUS, RING, binary, search

DRAIN = "Errors: drain"
EXIT = "server.md: signals, exit codes"


def kept(run: ServerRun, server: Spawned) -> Peer:
    peer = connect(run, server)
    peer.send(search("ring", **KEEP))
    peer.result(RING)
    return peer


def ends_with(server: Spawned, code: int, within: float) -> None:
    got = server.ended(within)
    if got is None:
        raise Failed(f"an end within {within:g} s", "it still runs")
    if got != code:
        raise Failed(f"exit code {code}", str(got))


@each(
    {"SD1": signal.SIGTERM, "SD1.2": signal.SIGINT},
    "{0.name} with idle connections that stay silent",
    slow=True,
    mechanism="drain while idle",
    section=DRAIN,
    expected="they get FIN within seconds, and it ends with exit code 0",
)
def drain_while_idle(run: ServerRun, number: signal.Signals) -> None:
    server = spawn(run)
    peers = [kept(run, server) for _ in range(5)]
    begun = time.monotonic()
    server.signal(number)
    for peer in peers:
        peer.fin()
    ends_with(server, 0, SOON)
    took = time.monotonic() - begun
    if took > 3.0:  # a second for them to ask, and a busy machine gets another two
        raise Failed("an end within two seconds", f"{took:.1f} s")


@each(
    {"SD1.3": ("is idle, kept alive", True), "SD1.4": ("has connected and said nothing", False)},
    "SIGTERM, then a request on a connection that {0}",
    slow=True,
    mechanism="request in the drain",
    section=DRAIN,
    expected="the reply with connection: close, FIN, exit code 0",
)
def asks_in_the_drain(run: ServerRun, what: str, idle: bool) -> None:
    server = spawn(run)
    peers = [kept(run, server) if idle else connect(run, server) for _ in range(5)]
    server.signal(signal.SIGTERM)
    time.sleep(0.3)
    for number, peer in enumerate(peers):
        peer.send(search("morpheus", id=number, **KEEP))
        if peer.result(MORPHEUS, id=number).header.get("connection") != "close":
            raise Failed('"connection": "close" on the last reply', "a reply without it")
        peer.fin()
        peer.close()
    ends_with(server, 0, SOON)


@case(
    "SD1.5",
    "SIGTERM, right behind 50 clients that have connected",
    slow=True,
    mechanism="accept queue in a drain",
    section=DRAIN,
    expected="each may ask once, and is answered",
)
def accepted_in_the_drain(run: ServerRun) -> None:
    server = spawn(run)
    peers = [connect(run, server) for _ in range(50)]
    server.signal(signal.SIGTERM)
    time.sleep(0.2)
    for peer in peers:
        peer.send(search("ring"))
        peer.result(RING)
        peer.fin()
        peer.close()
    ends_with(server, 0, SOON)


@case(
    "SD1.6",
    "1,200 pipelined requests, and SIGTERM right behind them",
    slow=True,
    mechanism="pipelined requests in a drain",
    section=DRAIN,
    expected="a reply to each, connection: close on none but the last, then FIN, without a RST",
)
def pipelined_in_the_drain(run: ServerRun) -> None:
    server = spawn(run)
    peer = kept(run, server)
    count = 1200
    peer.send(b"".join(search("ring", id=number) for number in range(count)), within=SOON * 2)
    server.signal(signal.SIGTERM)
    for number in range(count):
        if peer.result(RING, id=number).header.get("connection") == "close" and number < count - 1:
            raise Failed("close on no reply but the last", f"close on reply {number + 1}")
    peer.fin()


@each(
    {"SD2": ("content", -5), "SD2.2": ("header", 30), "SD2.3": ("prefix", 1)},
    "SIGTERM inside a {0}, then the rest",
    slow=True,
    mechanism="drain inside a message",
    section=DRAIN,
    expected="the reply with connection: close, FIN, exit code 0",
)
def drain_inside_a_message(run: ServerRun, where: str, cut: int) -> None:
    server = spawn(run)
    peer = kept(run, server)
    request = search("morpheus", id=2)
    peer.send(request[:cut])
    time.sleep(0.3)
    server.signal(signal.SIGTERM)
    time.sleep(0.3)
    peer.send(request[cut:])
    if peer.result(MORPHEUS, id=2).header.get("connection") != "close":
        raise Failed('"connection": "close" on the last reply', "a reply without it")
    peer.fin()
    peer.close()
    ends_with(server, 0, SOON + 2)


@case(
    "SD2.4",
    "SIGTERM inside a content; the rest, and another request behind it",
    slow=True,
    mechanism="request after the drain began",
    section=DRAIN,
    expected="both are answered, and the last says connection: close",
)
def request_after_the_drain(run: ServerRun) -> None:
    server = spawn(run)
    peer = kept(run, server)
    request = search("morpheus", id=2)
    peer.send(request[:-5])
    time.sleep(0.3)
    server.signal(signal.SIGTERM)
    time.sleep(0.3)
    peer.send(request[-5:] + search("ring", id=3))
    peer.result(MORPHEUS, id=2)
    if peer.result(RING, id=3).header.get("connection") != "close":
        raise Failed('"connection": "close" on the last reply', "a reply without it")
    peer.fin()


@case(
    "SD2.5",
    "SIGTERM while a large reply is being read slowly",
    slow=True,
    heavy=True,
    mechanism="drain under a reply",
    section=DRAIN,
    expected="the whole reply, FIN, exit code 0",
)
def drain_under_a_reply(run: ServerRun) -> None:
    server = spawn(run)
    peer = kept(run, server)
    content = bytes(range(256)) * (min(8 << 20, run.options.max_content) // 256)
    peer.send(binary(content), within=SOON * 4)
    peer.receive(time.monotonic() + SOON, most=1000)
    server.signal(signal.SIGTERM)
    time.sleep(0.5)
    peer.content(content, "binary/echo", within=SOON * 4)
    peer.fin()
    peer.close()
    ends_with(server, 0, SOON + 2)


@case(
    "SD3",
    "SIGTERM with a peer that is stuck inside a content",
    slow=True,
    mechanism="drain with a stuck peer",
    section=EXIT,
    expected="no new connections; an end at the drain timeout, exit code 0",
)
def drain_with_a_stuck_peer(run: ServerRun) -> None:
    server = spawn(run)
    peer = kept(run, server)
    peer.send(search("morpheus")[:-5])
    time.sleep(0.2)
    server.signal(signal.SIGTERM)
    if not run.until(lambda: not server.accepts(), 2.0):
        raise Failed("new connections to be refused while draining", "one was accepted")
    if server.process.poll() is not None:
        raise Failed("to wait for what was begun", "it ended at once")
    code = server.ended(run.patience)
    if code is None:
        raise Informational(f"it still drains after {run.patience:g} s")
    if code != 0:
        raise Failed("exit code 0", str(code))


@case(
    "SD4",
    "SIGTERM twice, with a stuck peer",
    slow=True,
    mechanism="second signal",
    section=EXIT,
    expected="an end at once, exit code 143",
)
def second_signal(run: ServerRun) -> None:
    server = spawn(run)
    peer = kept(run, server)
    peer.send(search("morpheus")[:-5])
    time.sleep(0.2)
    server.signal(signal.SIGTERM)
    time.sleep(0.3)
    server.signal(signal.SIGTERM)
    ends_with(server, 128 + signal.SIGTERM, 3.0)


@case(
    "SD5",
    "SIGUSR1 with connections open",
    slow=True,
    mechanism="signal that asks",
    section=EXIT,
    expected="it goes on serving",
)
def signal_that_asks(run: ServerRun) -> None:
    server = spawn(run)
    peer = kept(run, server)
    server.signal(signal.SIGUSR1)
    for _ in range(3):
        peer.usable()
    server.signal(signal.SIGTERM)
    ends_with(server, 0, SOON)


@case(
    "SD6",
    "the port at once again, with connections in TIME-WAIT",
    slow=True,
    mechanism="immediate rebind",
    section="server.md",
    expected="it listens and serves",
)
def immediate_rebind(run: ServerRun) -> None:
    first = spawn(run)
    if "{port}" not in str(run.options.command):
        raise Informational("shown only if --command has {port} in it")
    peers = [kept(run, first) for _ in range(3)]
    first.signal(signal.SIGTERM)  # the server closes first, so TIME-WAIT is on its side
    for peer in peers:
        peer.fin()
        peer.close()
    ends_with(first, 0, SOON)
    second = spawn(run, port=first.port)
    if second.port != first.port:
        raise Failed(f"port {first.port}", str(second.port))
    kept(run, second)


@case(
    "RX1",
    "descriptors exhausted: 150 connections for a process that may have 64",
    slow=True,
    mechanism="descriptors exhausted",
    section="server.md: overload never spins",
    expected="no spin; those it has are served; the others are refused or wait; it recovers",
)
def descriptors_exhausted(run: ServerRun) -> None:
    server = spawn(run, descriptors=64)
    served = [kept(run, server) for _ in range(10)]
    others = [connect(run, server) for _ in range(140)]
    time.sleep(0.5)
    for peer in served:
        peer.usable()
    busy = _busy(server)
    if busy > QUIET_PART:
        raise Failed("a quiet process", f"{busy:.0%} of a processor used: it spins")
    refused = 0
    for peer in others:
        if peer.receive(time.monotonic() + 0.01) and peer.unread:
            peer.error("overloaded")
            refused += 1
    run.note(f"{refused} of 140 were told overloaded")
    for peer in others:
        peer.close()

    def recovered() -> bool:
        try:
            kept(run, server).close()
        except (Failed, OSError):
            return False
        return True

    if not run.until(recovered, SOON + 2):
        raise Failed("to serve again when descriptors are free", "it does not")


def _busy(server: Spawned) -> float:
    """The least of some looks: a spin does not stop for one of them. Raises `Informational` without /proc."""
    try:
        figures = server.figures()
    except CannotReach as error:
        raise Informational(str(error)) from None
    return min(figures.busy() for _ in range(4))
