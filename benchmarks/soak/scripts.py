"""What does each kind of bad peer do, and what does the server owe it all the same?

The debts are those of docs/look-up/wire.md: a peer that is slow or talks nonsense gets an error before the
connection ends, and no RST destroys it; a peer that never sent a byte gets FIN alone; a peer that asked
rightly gets every reply, in order, whatever else it does. The server cuts a peer that doesn't read.
"""

from __future__ import annotations

import json
import struct
import time

from benchmarks.requests import Variant, echoed, frame, mixed, repeated
from benchmarks.soak.reading import Reply
from benchmarks.soak.settings import KIB
from benchmarks.soak.stage import READ, SLACK, Kind, NotAsPromised, Peer, Script

__all__ = ["KINDS"]

MIXED = mixed()
ONE_SHOT = repeated(keep=False)[0]
LARGE = echoed(64 * KIB)[0]
HUGE = echoed(1900 * KIB)[0]

#: A part of its time that a timer may be early, since the server's clock and ours are read apart.
EARLY = 0.05

HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
TLS = bytes.fromhex("1603010200010001fc0303") + bytes(64)


def _expect(replies: list[Reply], variants: list[Variant]) -> None:
    if len(replies) != len(variants):
        raise NotAsPromised(f"{len(replies)} replies to {len(variants)} requests")
    for reply, variant in zip(replies, variants, strict=True):
        if not reply.answers(variant):
            raise NotAsPromised(f"a wrong reply: {reply.content[:100]!r}, not {variant.content[:100]!r}")


def _expect_error(replies: list[Reply], *codes: str) -> None:
    """The last reply is one of these errors."""
    code = replies[-1].error_code() if replies else ""
    if code not in codes:
        raise NotAsPromised(f"{code or 'no error'} instead of {' or '.join(codes)}")


def _some(peer: Peer) -> list[Variant]:
    return peer.chance.choices(MIXED, k=peer.chance.randint(1, 20))


def _silence(peer: Peer, since: float, seconds: float) -> Script:
    """The server neither speaks nor ends for so long. (We may hear of it late, but not too early.)"""
    until = since + seconds * (1 - EARLY)
    if (yield from peer.wait(READ, until - time.monotonic())) and time.monotonic() < until:
        yield from peer.receive(SLACK)  # it may be full
        raise NotAsPromised(f"{'ended' if peer.ended else 'spoken to'} before its time")


def _closed_after(peer: Peer, since: float, seconds: float) -> Script:
    """It says nothing more, and ends after that time."""
    yield from _silence(peer, since, seconds)
    if (yield from peer.read_all(seconds + SLACK)):
        raise NotAsPromised("told something that it did not ask")


# --- too slow, or silent ------------------------------------------------------------------


def connects_only(peer: Peer) -> Script:
    begun = time.monotonic()
    peer.connect()
    yield from _closed_after(peer, begun, peer.settings.timeout)


def trickles_a_header(peer: Peer) -> Script:
    """A byte now and then, which must not restart its timer."""
    peer.connect()
    step = peer.settings.timeout / 8
    for byte in peer.chance.choice(MIXED).request[:40]:
        yield from peer.send(bytes([byte]))
        if (yield from peer.wait(READ, step)):
            break
    else:
        raise NotAsPromised("its header was waited for for ever")
    _expect_error((yield from peer.read_all(SLACK)), "timeout")


def trickles_a_content(peer: Peer) -> Script:
    """Always some progress, but below the least data rate."""
    peer.connect()
    request = echoed(4000)[0].request
    yield from peer.send(request[:-3900])
    for byte in request[-3900:-3700]:
        yield from peer.send(bytes([byte]))
        if (yield from peer.wait(READ, peer.settings.timeout / 8)):
            break
    else:
        raise NotAsPromised("its content was waited for for ever")
    _expect_error((yield from peer.read_all(SLACK)), "timeout")


def stalls_in_a_content(peer: Peer) -> Script:
    peer.connect()
    size = peer.chance.choice((500, 200 * KIB))
    begun = time.monotonic()
    yield from peer.send(echoed(size)[0].request[: -size // 2])
    yield from _silence(peer, begun, peer.settings.timeout)
    _expect_error((yield from peer.read_all(peer.settings.timeout + SLACK)), "timeout")


def idles(peer: Peer) -> Script:
    peer.connect()
    variant = peer.chance.choice(MIXED)
    begun = time.monotonic()
    yield from peer.send(variant.request)
    replies = yield from peer.receive(SLACK)
    _expect(replies or [], [variant])
    yield from _closed_after(peer, begun, peer.settings.idle_timeout)


# --- not reading --------------------------------------------------------------------------


def never_reads(peer: Peer) -> Script:
    """It asks for as much as is taken, and waits to be cut."""
    peer.connect(narrow=True)
    for _ in range(200):
        if (yield from peer.send(LARGE.request, peer.settings.timeout / 4)) < len(LARGE.request):
            break
    else:
        yield from peer.receive(0)  # if it is refused, all it says is read and thrown away
        raise NotAsPromised("served without end, though it never reads")
    yield from peer.pause(peer.settings.timeout * 1.5)
    yield from peer.lost(SLACK)


def asks_too_much(peer: Peer) -> Script:
    """One reply above the output limit."""
    peer.connect(narrow=True)
    yield from peer.send(HUGE.request)
    yield from peer.pause(peer.settings.timeout / 2)
    yield from peer.lost(SLACK)


def catches_up(peer: Peer) -> Script:
    """It reads late, but then everything."""
    peer.connect()
    peer_asks = [LARGE] * 24
    wire = b"".join(variant.request for variant in peer_asks)
    sent = yield from peer.send(wire, peer.settings.timeout / 4)
    yield from peer.pause(peer.settings.timeout / 4)
    got: list[Reply] = []
    while len(got) < len(peer_asks):
        sent += yield from peer.send(wire[sent : sent + 128 * KIB], 0)
        replies = yield from peer.receive(SLACK)
        if not replies:
            raise NotAsPromised(f"{len(got)} replies to {len(peer_asks)} requests")
        got += replies
    _expect(got, peer_asks)


# --- nonsense -----------------------------------------------------------------------------


def _nonsense(peer: Peer) -> tuple[bytes, str]:
    """Bytes that are no message, and the error that says so."""
    text = {"byteorder": "little", "content-type": "text/json", "content-encoding": "utf-8", "content-length": None}
    return peer.chance.choice(
        [
            (b"\0\0", "bad-header"),
            (struct.pack(">H", 64) + peer.chance.randbytes(64), "bad-header"),
            (frame(b"", {}), "bad-header"),
            (frame(b"{}", {**text, "content-length": -1}), "bad-header"),
            (frame(b"{}", {**text, "connection": 1}), "bad-header"),
            (frame(b"{}", {**text, "content-length": 10**15}), "content-too-large"),
            (b"\xff\xff" + peer.chance.randbytes(1000), "header-too-large"),
            (HTTP, "header-too-large"),
            (TLS, "bad-header"),
            (frame(b"", text)[:40], "timeout"),
        ]
    )


def talks_nonsense(peer: Peer) -> Script:
    """After some good requests or none; and half of them go on talking during the error reply."""
    peer.connect()
    asked = _some(peer) if peer.chance.random() < 0.5 else []
    nonsense, code = _nonsense(peer)
    yield from peer.send(b"".join(variant.request for variant in asked) + nonsense)
    if peer.chance.random() < 0.5 and code != "timeout":
        yield from peer.send(peer.chance.randbytes(256 * KIB))
    replies = yield from peer.read_all(peer.settings.timeout + SLACK)
    _expect_error(replies, code)
    _expect(replies[:-1], asked)


def refuses_to_be_json(peer: Peer) -> Script:
    """Good frames with bad contents: answered, and the connection stays."""
    peer.connect()
    content = peer.chance.choice([b"{", b"\xff\xfe", b"[" * 5000, b"1" * 5000, b'{"a": NaN}'])
    head = json.loads(MIXED[0].request[2 : 2 + int.from_bytes(MIXED[0].request[:2], "big")])
    wanted = peer.chance.choice(MIXED)
    yield from peer.send(frame(content, head | {"content-length": None}) + wanted.request)
    got: list[Reply] = []
    while len(got) < 2:
        replies = yield from peer.receive(SLACK)
        if not replies:
            raise NotAsPromised(f"{len(got)} replies to 2 requests")
        got += replies
    _expect_error(got[:1], "bad-content")
    _expect(got[1:], [wanted])


# --- leaving ------------------------------------------------------------------------------


def resets(peer: Peer) -> Script:
    """Before a byte, inside a header, inside a content, or with replies on their way."""
    peer.connect()
    request = peer.chance.choice([LARGE, *MIXED[:3]]).request
    part = peer.chance.choice([0, 1, 40, len(request) - 5, len(request)])
    yield from peer.send(request[:part] if part < len(request) else request * peer.chance.randint(1, 50), 0.05)
    yield from peer.pause(peer.chance.choice([0, 0.01]))
    peer.end_by_reset()


def half_closes(peer: Peer) -> Script:
    """After whole requests: every reply is owed."""
    peer.connect()
    asked = _some(peer)
    yield from peer.send(b"".join(variant.request for variant in asked))
    peer.half_close()
    _expect((yield from peer.read_all(SLACK)), asked)


def half_closes_inside(peer: Peer) -> Script:
    """Inside a message: the whole ones before it are owed."""
    peer.connect()
    asked = _some(peer)
    rest = peer.chance.choice(MIXED).request
    cut = peer.chance.randint(1, len(rest) - 1)
    yield from peer.send(b"".join(variant.request for variant in asked) + rest[:cut])
    peer.half_close()
    _expect((yield from peer.read_all(SLACK)), asked)


def leaves_at_once(peer: Peer) -> Script:
    """A one-shot request without a wait for the reply."""
    peer.connect()
    yield from peer.send(ONE_SHOT.request)


def says_more_than_one(peer: Peer) -> Script:
    """What follows a one-shot request is read and not served, and costs the one reply nothing."""
    peer.connect()
    yield from peer.send(ONE_SHOT.request + peer.chance.choice([b"more", ONE_SHOT.request, LARGE.request * 3]))
    _expect((yield from peer.read_all(SLACK)), [ONE_SHOT])


# --- too many -----------------------------------------------------------------------------


def comes_in_a_crowd(peer: Peer) -> Script:
    """Peers that find room say nothing and time out; the others get `overloaded`."""
    peer.connect()
    if (yield from peer.read_all(peer.settings.timeout + SLACK)):
        raise NotAsPromised("told something that it did not ask")


KINDS = {
    "connects only": Kind(connects_only),
    "trickles a header": Kind(trickles_a_header),
    "trickles a content": Kind(trickles_a_content),
    "stalls in a content": Kind(stalls_in_a_content),
    "idles": Kind(idles),
    "never reads": Kind(never_reads),
    "asks too much": Kind(asks_too_much),
    "catches up": Kind(catches_up),
    "talks nonsense": Kind(talks_nonsense),
    "bad contents": Kind(refuses_to_be_json),
    "resets": Kind(resets),
    "half-closes": Kind(half_closes),
    "half-closes inside": Kind(half_closes_inside),
    "leaves at once": Kind(leaves_at_once),
    "says more than one": Kind(says_more_than_one),
    "comes in a crowd": Kind(comes_in_a_crowd, in_crowds=True),
}
