"""Does a server wait for slow peers as long as it says, and no longer?

A timer that is longer than the run's patience can't be told from none: INFORMATIONAL. But where
one connection was timed out within patience, a like one that sends a byte now and then must be
too: a timer that each byte restarts is no timer.

Not here: closing by itself (`server_closing`).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from .case import SOON, Failed, Informational, case, each
from .peer import Peer
from .server_closing import stuffed
from .targets import ServerRun
from .wire import KEEP, RING, action, binary, header, search

TIMEOUT = "Errors: timeout"
IN_TIME = "timeout within patience, then FIN"


def wait_for_end(run: ServerRun, peer: Peer) -> float | None:
    """Seconds until something came, or None if nothing did within patience."""
    begun = time.monotonic()
    peer.receive(begun + run.patience)
    if peer.unread or peer.over:
        return time.monotonic() - begun
    return None


def trickle(run: ServerRun, peer: Peer, data: bytes, every: float, until: float) -> float | None:
    """A byte every so often until something comes back: seconds until it did, or None."""
    begun = time.monotonic()
    for byte in data:
        if time.monotonic() - begun >= until:
            break
        peer.try_send(bytes([byte]))
        peer.receive(time.monotonic() + every)
        if peer.unread or peer.over:
            return time.monotonic() - begun
    return None


@case(
    "SL1",
    "one header byte a second",
    slow=True,
    star=True,
    mechanism="a timer that bytes do not restart",
    section=TIMEOUT,
    expected="timeout, about when a silent one has it, then FIN",
)
def one_byte_a_second(run: ServerRun) -> None:
    silent, slow = run.kept(), run.kept()
    request = search("ring", padding="x" * 200)
    silent.try_send(request[:1])
    every = min(1.0, run.patience / 10)
    # The silent one begins first, so its time is up before the other's patience is.
    if trickle(run, slow, request, every, run.patience + every * 3) is None:
        silent.receive(time.monotonic() + 0.1)
        if silent.unread or silent.over:
            raise Failed("timeout for both", "the silent one was timed out, that with a byte now and then was not")
        raise Informational(f"no timer within {run.patience:g} s")
    slow.refused("timeout")


@case(
    "SL1.2",
    "one byte of a prefix, then silence",
    slow=True,
    mechanism="header timer from the first byte",
    section=TIMEOUT,
    expected=IN_TIME,
)
def one_byte_then_silence(run: ServerRun) -> None:
    timed_out(run, lambda peer: peer.send(b"\0"), fresh=True)


@case(
    "SL1.3",
    "half a second header on a kept-alive connection, then silence",
    slow=True,
    star=True,
    mechanism="header timer of a later message",
    section=TIMEOUT,
    expected=IN_TIME,
)
def half_a_second_header(run: ServerRun) -> None:
    timed_out(run, lambda peer: peer.send(search("ring")[:30]))


@case(
    "SL1.4",
    "a request and half a header in one segment, then silence",
    slow=True,
    star=True,
    mechanism="header timer behind a request",
    section=TIMEOUT,
    expected="the reply at once; later timeout, then FIN",
)
def half_a_header_behind(run: ServerRun) -> None:
    def begin(peer: Peer) -> None:
        peer.send(search("ring", id=1) + search("ring")[:30])
        peer.result(RING, id=1)

    timed_out(run, begin)


def timed_out(run: ServerRun, begin: Callable[[Peer], None], fresh: bool = False) -> None:
    peer = run.connect() if fresh else run.kept()
    begin(peer)
    took = wait_for_end(run, peer)
    if took is None:
        raise Informational(f"no timer within {run.patience:g} s")
    peer.refused("timeout")


@case(
    "SL2",
    "connects, and says nothing",
    slow=True,
    mechanism="timer of a silent newcomer",
    section="Errors: timeout",
    expected="FIN alone",
)
def silent_newcomer(run: ServerRun) -> None:
    peer = run.connect()
    if wait_for_end(run, peer) is None:
        raise Informational(f"no timer within {run.patience:g} s")
    fin_alone(run, peer)


def fin_alone(run: ServerRun, peer: Peer) -> None:
    if peer.unread:
        run.deviates("FIN alone between messages", str(peer.reply()))
    peer.fin()


@case(
    "SL3",
    "idle after a reply",
    slow=True,
    star=True,
    mechanism="idle timer",
    section="Errors: timeout",
    expected="FIN alone",
)
def idle(run: ServerRun) -> None:
    peer = run.kept()
    if wait_for_end(run, peer) is None:
        raise Informational(f"no timer within {run.patience:g} s")
    fin_alone(run, peer)


@case(
    "SL4",
    "asks for 64 MiB and never reads",
    slow=True,
    star=True,
    mechanism="send timer",
    section="server.md: --send-timeout, --output-limit",
    expected="cut in time, or at the output limit",
)
def never_reads(run: ServerRun) -> None:
    size = min(64 << 20, run.options.max_content)
    if size < 16 << 20:
        raise Informational("its --max-content is less than what kernels buffer")
    peer = run.kept(receive_buffer=8192)
    peer.send(binary(b"x" * size), within=SOON * 4)
    cut_in_time(run, peer)


@case(
    "SL4.2",
    "pipelines and never reads",
    slow=True,
    star=True,
    mechanism="send timer behind many",
    section="server.md: --send-timeout, --output-limit",
    expected="cut in time, or at the output limit",
)
def pipelines_and_never_reads(run: ServerRun) -> None:
    cut_in_time(run, stuffed(run))


def cut_in_time(run: ServerRun, peer: Peer) -> None:
    # It stood still for a while before we were sure that it does: that is part of our patience.
    until = max(run.elapsed + run.patience * 0.75, run.patience + 1)
    while run.elapsed < until:
        time.sleep(0.2)
        # A RST is seen without reading; or it was, while we sent.
        if peer.over or peer.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            run.note("cut")
            return
    raise Informational(f"not cut within {run.patience:g} s")


@each(
    {"SL5": ("nothing", b""), "SL5.2": ("half", b'{"action": "sea')},
    "a header, and {0} of its content, then silence",
    slow=True,
    star=True,
    mechanism="content timer",
    section=TIMEOUT,
    expected="timeout, with the request's id if it has one; then FIN",
)
def content_stops(run: ServerRun, name: str, begun: bytes) -> None:
    peer = run.kept()
    peer.send(header(37, id="its id") + begun)
    if wait_for_end(run, peer) is None:
        raise Informational(f"no timer within {run.patience:g} s")
    peer.refused("timeout", id="its id")


@case(
    "SL5.3",
    "ten content bytes a second",
    slow=True,
    star=True,
    mechanism="minimal data rate",
    section="server.md: --min-data-rate",
    expected="timeout within patience, then FIN",
)
def too_slow_a_content(run: ServerRun) -> None:
    peer = run.kept()
    peer.send(header(10_000))
    if trickle(run, peer, b"x" * 10_000, 0.1, run.patience) is None:
        raise Informational(f"not cut within {run.patience:g} s")
    peer.refused("timeout")


@case(
    "SL6",
    "stops reading for 2 seconds, then goes on",
    star=True,
    slow=True,
    heavy=True,
    mechanism="a reader that pauses",
    section="Replies",
    expected="the whole reply",
)
def pauses_reading(run: ServerRun) -> None:
    peer = run.kept(receive_buffer=16384)
    content = bytes(range(256)) * (min(6 << 20, run.options.max_content) // 256)
    peer.send(binary(content) + search("ring"), within=SOON * 4)
    time.sleep(min(2.0, run.patience / 6))
    peer.content(content, "binary/echo", within=SOON * 6)
    peer.result(RING)


@case(
    "SL7",
    "a reader of 100 bytes at a time",
    star=True,
    mechanism="a reader with a small window",
    section="Replies",
    expected="the whole reply",
)
def small_window(run: ServerRun) -> None:
    peer = run.kept(receive_buffer=2048)
    content = bytes(range(256)) * 400
    peer.send(binary(content))
    until = time.monotonic() + SOON * 3
    while len(peer.unread) < len(content) and peer.receive(until, most=100):
        pass
    peer.content(content, "binary/echo")


@case(
    "SL8",
    "a slow but steady content: 20 segments in 2 seconds",
    slow=True,
    mechanism="slow but steady",
    section="server.md: --content-timeout",
    expected="the right reply",
)
def slow_but_steady(run: ServerRun) -> None:
    content = b'{"action": "search", "value": "ring"' + b" " * 4000 + b"}"
    peer = run.connect()
    peer.send(header(len(content)))
    peer.segments((content[at : at + 202] for at in range(0, len(content), 202)), pause=0.1)
    peer.result(RING)
    peer.fin()


@case(
    "SL9",
    "a request that takes its time, but not too much",
    slow=True,
    mechanism="slow but in time",
    section=TIMEOUT,
    expected="the right reply",
)
def slow_but_in_time(run: ServerRun) -> None:
    peer = run.connect()
    request = search("ring")
    third = len(request) // 3
    peer.segments((request[:third], request[third : 2 * third], request[2 * third :]), pause=0.25)
    peer.result(RING)
    peer.fin()


@case(
    "SL10",
    "sixty tricklers, and somebody in a hurry",
    slow=True,
    star=True,
    mechanism="others beside tricklers",
    section="server.md",
    expected="answers in well under a second",
)
def beside_tricklers(run: ServerRun) -> None:
    slow = [run.connect() for _ in range(60)]
    quick = run.kept()
    request = search("ring")
    worst = 0.0
    for at in range(20):
        for peer in slow:
            peer.try_send(request[at : at + 1])
        begun = time.monotonic()
        quick.try_send(action("echo", at))
        quick.result(at)
        worst = max(worst, time.monotonic() - begun)
        time.sleep(0.02)
    if worst > 2.0:
        raise Failed("answers in well under a second", f"{worst:.1f} s")


@case(
    "SL11",
    "slow requests on a kept-alive connection, each in its own time",
    slow=True,
    star=True,
    mechanism="each message has its own time",
    section=TIMEOUT,
    expected="every reply, though together they take longer",
)
def own_time(run: ServerRun) -> None:
    # Each takes 0.6 s; all together take longer than any header timer within patience.
    peer = run.kept()
    request = search("ring")
    begun = time.monotonic()
    while time.monotonic() - begun < run.patience:
        peer.segments((request[:20], request[20:]), pause=0.6)
        peer.result(RING)


@case(
    "SL12",
    "one-shot reply, read after a while",
    slow=True,
    mechanism="a reply waits in the buffers",
    section="A message: connection",
    expected="the reply and FIN, without a RST",
)
def read_after_a_while(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(search("ring"))
    time.sleep(1.5)
    peer.result(RING)
    peer.fin()


@case(
    "SL13",
    "keep-alive asked for in a request that comes byte by byte",
    star=True,
    slow=True,
    mechanism="keep-alive, byte by byte",
    section="A message: connection",
    expected="granted, and kept",
)
def byte_by_byte_and_kept(run: ServerRun) -> None:
    peer = run.connect()
    peer.byte_by_byte(search("ring", **KEEP))
    if peer.result(RING).header.get("connection") != "keep-alive":
        raise Failed("keep-alive", "not granted")
    peer.usable()
