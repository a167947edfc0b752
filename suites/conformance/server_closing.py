"""How does a server end a connection, and what does it do when the peer ends it?

Not here: timers (`server_slow`), the end of the server itself (`server_process`).
"""

from __future__ import annotations

import socket
import time

from .case import ALONE, SOON, Failed, Informational, case, each
from .peer import Peer, exchange
from .targets import ServerRun
from .wire import KEEP, MORPHEUS, RING, action, binary, framed, header, search

HALF = "Order and pipelining: half-close"
LINGER = "Errors: lingering close"
DROPPED = "no reply; the connection ends"


@case("HC1", "a request, then SHUT_WR", mechanism="half-close", section=HALF, expected="the reply, then FIN")
def half_close(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(search("ring"))
    peer.half_close()
    peer.result(RING)
    peer.fin()


@case(
    "HC2",
    "200 keep-alive requests, then SHUT_WR",
    star=True,
    mechanism="half-close behind many",
    section=HALF,
    expected="every reply, then FIN",
)
def half_close_behind_many(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(b"".join(action("echo", n, id=n, **KEEP) for n in range(200)))
    peer.half_close()
    for number in range(200):
        peer.result(number, id=number)
    peer.fin()


@case(
    "HC2.2",
    "SHUT_WR while idle on a kept-alive connection",
    star=True,
    mechanism="half-close between messages",
    section=HALF,
    expected="FIN",
)
def half_close_between_messages(run: ServerRun) -> None:
    peer = run.kept()
    peer.half_close()
    peer.fin()


@case("HC2.3", "SHUT_WR without a byte", mechanism="half-close without a byte", section=HALF, expected="FIN")
def half_close_at_once(run: ServerRun) -> None:
    peer = run.connect()
    peer.half_close()
    peer.fin()


@case(
    "HC2.4",
    "a request for 8 MiB, SHUT_WR, then reading",
    star=True,
    heavy=True,
    mechanism="half-close before a large reply",
    section=HALF,
    expected="all of the reply, then FIN",
)
def half_close_before_a_large_reply(run: ServerRun) -> None:
    peer = run.kept()
    content = bytes(range(256)) * (min(8 << 20, run.options.max_content) // 256)
    peer.send(binary(content), within=SOON * 4)
    peer.half_close()
    time.sleep(0.5)
    peer.content(content, "binary/echo", within=SOON * 4)
    peer.fin()


@each(
    {"HC3": ("prefix", 1), "HC3.2": ("header", 40), "HC3.3": ("content", -4)},
    "SHUT_WR inside the {0}",
    star=True,
    mechanism="truncated",
    section=HALF,
    expected=DROPPED,
)
def truncated(run: ServerRun, where: str, cut: int) -> None:
    peer = run.kept()
    peer.send(search("ring")[:cut])
    peer.half_close()
    ends(peer)


@case(
    "HC3.4",
    "two requests, half a third, SHUT_WR",
    star=True,
    mechanism="truncated behind whole ones",
    section=HALF,
    expected="two replies, then FIN",
)
def truncated_behind_whole_ones(run: ServerRun) -> None:
    peer = run.kept()
    peer.send(search("ring", id=1) + search("morpheus", id=2) + search("ring")[:50])
    peer.half_close()
    peer.result(RING, id=1)
    peer.result(MORPHEUS, id=2)
    ends(peer)


def ends(peer: Peer) -> None:
    """It ends soon, and without a reply: there is no whole request to answer."""
    over = peer.end(SOON)
    if peer.unread:
        raise Failed(DROPPED, f"{bytes(peer.unread[:80])!r}")
    if over is None:
        raise Failed("the connection to end, since no more can come", f"silence for {SOON:g} s")


@each(
    {
        "HC5": ("inside a header", 40, 0.05),
        "HC5.2": ("inside a content", -5, 0.05),
        "HC5.3": ("right behind a request", None, 0.0),
        "HC5.4": ("before its reply is read", None, 0.1),
        "HC5.5": ("inside the prefix", 1, 0.05),
    },
    "20 peers reset {0}",
    mechanism="RST by the peer",
    section="A message",
    expected="dropped; others are served",
)
def resets(run: ServerRun, where: str, cut: int | None, pause: float) -> None:
    peers = [run.connect() for _ in range(20)]
    for peer in peers:
        peer.try_send(search("ring")[:cut])
    time.sleep(pause)
    for peer in peers:
        peer.reset()


@case(
    "HC5.6",
    "RST inside a large reply",
    star=True,
    heavy=True,
    mechanism="RST inside a reply",
    section="Replies",
    expected="dropped; others are served",
)
def reset_inside_a_reply(run: ServerRun) -> None:
    for _ in range(5):
        peer = run.kept()
        content = b"x" * min(4 << 20, run.options.max_content)
        peer.send(binary(content), within=SOON * 4)
        peer.receive(time.monotonic() + SOON, most=1000)
        peer.reset()


def stuffed(run: ServerRun) -> Peer:
    """A peer that asked for so much, unread, that the server must have stopped reading it."""
    peer = run.kept(receive_buffer=8192)
    run.stuff(peer, binary(b"x" * 60_000), 64 << 20)
    return peer


@each(
    {"HC6": ("closes", "close"), "HC6.2": ("resets", "reset"), "HC6.3": ("half-closes, then closes", "half")},
    "the peer {0} while its reading is paused",
    star=True,
    phase=ALONE,
    mechanism="hang-up while paused",
    section="server.md: overload never spins",
    expected="no spin; the descriptor comes back in bounded time (with --pid)",
)
def hang_up_while_paused(run: ServerRun, name: str, how: str) -> None:
    peer = stuffed(run)
    run.quiet("while a peer does not read")
    if how == "half":
        try:
            peer.half_close()
        except Failed:
            run.note("it was cut already, by the send timer")
        run.quiet("after it half-closed unread")
    if how == "reset":
        peer.reset()
    else:
        peer.close()
    run.quiet("after the peer has gone")
    run.descriptors_back()


@case(
    "HC7",
    "an error while the peer has 1 MiB more to send",
    star=True,
    heavy=True,
    mechanism="lingering close",
    section=LINGER,
    expected="the error and FIN, without a RST",
)
def lingering_close(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(b"\0\0" + b"x" * (1 << 20))
    time.sleep(0.3)
    peer.refused("bad-header")


@case(
    "HC7.2",
    "the peer goes on sending for a second after FIN",
    star=True,
    mechanism="lingering close goes on reading",
    section=LINGER,
    expected="no RST within that second",
)
def lingers(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(b"\0\0")
    peer.refused("bad-header")
    for _ in range(10):
        time.sleep(0.1)
        if not peer.try_send(b"x" * 1000):
            raise Failed("input to be read and discarded for a while", "RST within a second of the error")


@case(
    "HC7.3",
    "the peer never stops sending after the error",
    star=True,
    slow=True,
    mechanism="lingering close has an end",
    section=LINGER,
    expected="closed after at most 5 seconds in all",
)
def lingering_has_an_end(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(b"\0\0")
    peer.refused("bad-header")
    begun = time.monotonic()
    most = min(run.patience, 8.0)
    while peer.try_send(b"x"):
        if time.monotonic() - begun > most:
            if most < 6.5:
                raise Informational(f"still open after {most:g} s of patience")
            raise Failed("closed after at most 5 seconds", f"still reading after {most:g} s")
        time.sleep(0.1)
    run.note(f"closed after {time.monotonic() - begun:.1f} s")


@case(
    "HC7.4",
    "the peer is silent, and does not close, after the error",
    star=True,
    slow=True,
    mechanism="lingering close has an end",
    section=LINGER,
    expected="closed after at most 5 seconds in all",
)
def lingering_in_silence_has_an_end(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(header(run.options.max_content + 1))
    peer.refused("content-too-large")
    time.sleep(min(run.patience, 7.0))
    peer.try_send(b"x")
    time.sleep(0.1)
    if peer.try_send(b"x"):
        if run.patience < 7.0:
            raise Informational(f"still open after {run.patience:g} s of patience")
        raise Failed("closed after at most 5 seconds", "still open after 7 s")


@case(
    "HC8",
    "a one-shot request with 2 MiB behind it",
    star=True,
    mechanism="unread input behind a one-shot request",
    section="A message: connection",
    expected="the reply and FIN, without a RST",
)
def one_shot_with_more_behind(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(search("ring") + b"x" * (2 << 20))
    time.sleep(0.2)
    peer.result(RING)
    peer.fin()


@case(
    "HC8.2",
    "close asked for, with 1 MiB behind it",
    star=True,
    mechanism="unread input behind a close",
    section="A message: connection",
    expected="the reply and FIN, without a RST",
)
def close_with_more_behind(run: ServerRun) -> None:
    peer = run.kept()
    peer.send(search("morpheus", connection="close") + b"x" * (1 << 20))
    time.sleep(0.2)
    peer.result(MORPHEUS)
    peer.fin()


@case(
    "HC9",
    "2,000 replies, half-closed, read late",
    star=True,
    mechanism="half-close behind unread replies",
    section=HALF,
    expected="2,000 replies, then FIN",
)
def half_close_read_late(run: ServerRun) -> None:
    peer = run.kept()
    count = 2000
    peer.sock.setblocking(True)
    data = b"".join(action("echo", n) for n in range(count))
    (replies,) = exchange([peer], [data], count // 2, SOON * 2)
    peer.half_close()
    for number in range(len(replies), count):
        peer.result(number)
    peer.fin()


@case(
    "HC10",
    "urgent data between two requests",
    star=True,
    mechanism="urgent data",
    section="A message",
    expected="both replies: it is not part of the stream",
)
def urgent_data(run: ServerRun) -> None:
    peer = run.kept()
    peer.send(search("ring", id=1))
    peer.result(RING, id=1)
    peer.sock.send(b"!", socket.MSG_OOB)
    time.sleep(0.1)
    peer.send(search("morpheus", id=2))
    peer.result(MORPHEUS, id=2)


@case(
    "HC11",
    "300 peers reset without a byte",
    mechanism="RST before a byte",
    section="A message",
    expected="dropped; others are served",
)
def reset_at_once(run: ServerRun) -> None:
    for _ in range(300):
        run.connect().reset()


@case(
    "HC12",
    "the reply's reader has shut its reading side",
    star=True,
    mechanism="SHUT_RD",
    section="Replies",
    expected="others are served",
)
def reading_side_shut(run: ServerRun) -> None:
    peer = run.kept()
    peer.sock.shutdown(socket.SHUT_RD)
    for _ in range(50):
        if not peer.try_send(search("ring")):
            break
    other = run.kept()
    other.usable()


@case(
    "HC13",
    "an error, and the peer closes at once",
    star=True,
    mechanism="close after an error",
    section=LINGER,
    expected="others are served, descriptors come back",
)
def gone_after_an_error(run: ServerRun) -> None:
    for _ in range(50):
        peer = run.connect()
        peer.try_send(framed(b"no JSON"))
        peer.error("bad-header")
        peer.close()


@case(
    "HC14",
    "a lingering connection does not hold up others",
    star=True,
    mechanism="others beside lingering ones",
    section=LINGER,
    expected="served at once",
)
def beside_lingering_ones(run: ServerRun) -> None:
    peers = [run.connect() for _ in range(40)]
    for peer in peers:
        peer.try_send(b"\0\0xxxx")
    for peer in peers:
        peer.refused("bad-header")
    other = run.connect()
    begun = time.monotonic()
    other.send(search("ring"))
    other.result(RING)
    if time.monotonic() - begun > 2.0:
        raise Failed("served at once", f"after {time.monotonic() - begun:.1f} s")
