"""Does a server find the messages in a stream of bytes, however the bytes are cut?

Not here: what stands in a header (`server_header`), how a stream ends (`server_closing`), timers (`server_slow`).
"""

from __future__ import annotations

from .case import case, each
from .targets import ServerRun
from .wire import MORPHEUS, RING, header, search

MESSAGE = "A message"
ORDER = "Order and pipelining"
BROKEN = "bad-header, then a lingering close"


@case(
    "FR1",
    "a request, one byte per segment",
    mechanism="one byte per segment",
    section=MESSAGE,
    expected="the right reply",
)
def one_byte_per_segment(run: ServerRun) -> None:
    peer = run.connect()
    request = search("ring")
    peer.segments((request[at : at + 1] for at in range(len(request))), pause=0.001)
    peer.result(RING)
    peer.fin()


@each(
    {"FR2.1": ("prefix", 1), "FR2.2": ("header", 30), "FR2.3": ("content", -5)},
    "a request cut inside its {0}, a pause, the rest",
    mechanism="cut with a pause",
    section=MESSAGE,
    expected="the right reply",
)
def cut_with_a_pause(run: ServerRun, where: str, at: int) -> None:
    peer = run.connect()
    request = search("ring")
    peer.segments((request[:at], request[at:]), pause=0.3)
    peer.result(RING)
    peer.fin()


@case(
    "FR2.4",
    "prefix, header and content in a segment each",
    mechanism="cut at the seams",
    section=MESSAGE,
    expected="the right reply",
)
def cut_at_the_seams(run: ServerRun) -> None:
    peer = run.connect()
    content = b'{"action": "search", "value": "ring"}'
    head = header(len(content))
    peer.segments((head[:2], head[2:], content), pause=0.1)
    peer.result(RING)
    peer.fin()


@case(
    "FR3",
    "two requests, cut at every byte in turn",
    mechanism="every cut",
    section=MESSAGE,
    expected="two right replies for every cut",
)
def every_cut(run: ServerRun) -> None:
    peer = run.kept()
    stream = search("ring", id=1) + search("morpheus", id=2)
    for at in range(1, len(stream)):
        if not peer.try_send(stream[:at]) or not peer.try_send(stream[at:]):
            break  # the read says how it ended
        peer.result(RING, id=1)
        peer.result(MORPHEUS, id=2)
    peer.usable()


@case("FR4", "prefix 0000: an empty header", mechanism="empty header", section=MESSAGE, expected=BROKEN)
def empty_header(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(b"\0\0")
    peer.refused("bad-header")
