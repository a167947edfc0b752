"""Does a server find the messages in a stream of bytes, however the bytes are cut?

Not here: what stands in a header (`server_header`), how a stream ends (`server_closing`), timers (`server_slow`).
"""

from __future__ import annotations

import json
import random

from .case import Failed, Informational, case, each
from .peer import Peer
from .targets import ServerRun
from .wire import MORPHEUS, RING, binary, framed, header, message, raw_header, search

MESSAGE = "A message"
RIGHT = "the right reply"
BROKEN = "bad-header, then a lingering close"


@case(
    "FR1",
    "a request, one byte per segment",
    mechanism="one byte per segment",
    section=MESSAGE,
    expected=RIGHT,
)
def one_byte_per_segment(run: ServerRun) -> None:
    peer = run.connect()
    peer.byte_by_byte(search("ring"))
    peer.result(RING)
    peer.fin()


@each(
    {"FR2.1": ("prefix", 1), "FR2.2": ("header", 30), "FR2.3": ("content", -5)},
    "a request cut inside its {0}, a pause, the rest",
    mechanism="cut with a pause",
    section=MESSAGE,
    expected=RIGHT,
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
    expected=RIGHT,
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
    "two requests on a kept-alive connection, cut at every byte in turn",
    star=True,
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


@case(
    "FR4",
    "prefix 0000: an empty header",
    star=True,
    mechanism="empty header",
    section=MESSAGE,
    expected=BROKEN,
)
def empty_header(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(b"\0\0")
    peer.refused("bad-header")


@case(
    "FR5",
    "a header as long as it may be, most of it white space",
    mechanism="longest header",
    section=MESSAGE,
    expected=RIGHT,
)
def longest_header(run: ServerRun) -> None:
    content = b'{"action": "search", "value": "ring"}'
    head = json.dumps(raw_header(len(content))).encode()
    peer = run.connect()
    peer.send(framed(head[:-1] + b" " * (run.options.max_header - len(head)) + b"}") + content)
    peer.result(RING)
    peer.fin()


@case(
    "FR6",
    "prefix FFFF, 10 bytes, silence",
    slow=True,
    mechanism="header timer",
    section="Errors: timeout",
    expected="timeout in time, since a message had begun; then FIN",
)
def longest_header_not_sent(run: ServerRun) -> None:
    if run.options.max_header < 65535:
        raise Informational("its --max-header is below 65535")
    peer = run.connect()
    peer.send(b"\xff\xff" + b" " * 10)
    timed_out(run, peer)


@each(
    {
        "FR7.1": ("an HTTP GET", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        "FR7.2": ("a TLS ClientHello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2),
        "FR7.3": ("an SSH banner", b"SSH-2.0-OpenSSH_9.6\r\n"),
    },
    "{0}",
    slow=True,
    mechanism="another protocol, short",
    section="Errors",
    expected="an error reply (at once or in time), then FIN",
)
def another_protocol(run: ServerRun, name: str, greeting: bytes) -> None:
    peer = run.connect()
    peer.send(greeting)
    timed_out(run, peer, "bad-header", "header-too-large")


@each(
    {
        "FR7.4": ("an HTTP POST of 40,000 bytes", b"POST / HTTP/1.1\r\nContent-Length: 39000\r\n\r\n"),
        "FR7.5": ("TLS records of 40,000 bytes", b"\x16\x03\x01\x40\x00"),
    },
    "{0}",
    star=True,
    mechanism="another protocol, long",
    section="Errors: bad-header",
    expected="an error reply, readable, then FIN",
)
def another_protocol_at_length(run: ServerRun, name: str, begin: bytes) -> None:
    peer = run.connect()
    peer.send(begin + b"A" * (40_000 - len(begin)))
    peer.refused("bad-header", "header-too-large")


def timed_out(run: ServerRun, peer: Peer, *others: str) -> None:
    """A message had begun: an error reply within patience, then FIN."""
    try:
        peer.refused("timeout", *others, within=run.patience)
    except Failed as failure:
        if failure.came == "silence":
            raise Informational(f"no timer within {run.patience:g} s") from None
        raise


@case(
    "FR8",
    "thirty connections of random bytes",
    star=True,
    mechanism="random bytes",
    section="Errors: bad-header",
    expected="bad-header for each, then a lingering close",
)
def random_bytes(run: ServerRun) -> None:
    dice = random.Random(8)  # the same bytes every time: a failure can be repeated
    for _ in range(30):
        peer = run.connect()
        length = dice.randrange(1, 200)
        peer.try_send(length.to_bytes(2, "big") + dice.randbytes(length))
        peer.refused("bad-header")


@case(
    "FR9",
    "connects, says nothing, closes",
    mechanism="silent close",
    section=MESSAGE,
    expected="the next is served",
)
def silent_close(run: ServerRun) -> None:
    for _ in range(20):
        run.connect().close()


@case(
    "FR10",
    "a content that looks like messages",
    star=True,
    mechanism="message in a content",
    section=MESSAGE,
    expected="the same bytes back, one reply",
)
def message_in_a_content(run: ServerRun) -> None:
    peer = run.kept()
    inner = search("ring") * 3 + b"\0\0"
    peer.send(binary(inner))
    peer.content(inner, "binary/echo")
    peer.usable()


@case(
    "FR11",
    "a content of every byte value",
    star=True,
    mechanism="every byte value",
    section="Replies: binary/echo",
    expected="the same bytes back",
)
def every_byte_value(run: ServerRun) -> None:
    peer = run.connect()
    content = bytes(range(256)) * 5
    peer.send(binary(content))
    peer.content(content, "binary/echo")
    peer.fin()


@case(
    "FR12",
    "the second request's prefix is cut by the segment's end",
    star=True,
    mechanism="half a prefix behind a request",
    section="Order and pipelining",
    expected="both replies, the first at once",
)
def half_a_prefix_behind(run: ServerRun) -> None:
    peer = run.connect()
    second = search("morpheus", id=2)
    peer.send(search("ring", connection="keep-alive", id=1) + second[:1])
    peer.result(RING, id=1)
    peer.send(second[1:])
    peer.result(MORPHEUS, id=2)


@case(
    "FR13",
    "sizes of content around powers of two",
    star=True,
    mechanism="sizes around powers of two",
    section="Replies: binary/echo",
    expected="the same bytes back, for each size",
)
def sizes(run: ServerRun) -> None:
    peer = run.kept()
    for power in (1, 4, 8, 10, 12, 13, 14, 15, 16, 17):
        for size in ((1 << power) - 1, 1 << power, (1 << power) + 1):
            content = bytes(at * 31 % 251 for at in range(size))
            peer.send(binary(content, id=size))
            peer.content(content, "binary/echo", id=size)


@case(
    "FR14",
    "a request before anything is read, its last byte late",
    star=True,
    mechanism="no reply before the last byte",
    section=MESSAGE,
    expected="silence until the last byte, then the reply",
)
def no_reply_before_the_last_byte(run: ServerRun) -> None:
    peer = run.kept()
    request = search("ring")
    peer.send(request[:-1])
    peer.silence(0.4)
    peer.send(request[-1:])
    peer.result(RING)


@case(
    "FR15",
    "byte order of the prefix: a header of 258 bytes",
    mechanism="prefix is big-endian",
    section=MESSAGE,
    expected=RIGHT,
)
def big_endian_prefix(run: ServerRun) -> None:
    # 0x0102 read the other way round is 513: a server that does would wait for ever.
    content = b'{"action": "search", "value": "ring"}'
    head = json.dumps(raw_header(len(content))).encode()
    peer = run.connect()
    peer.send(framed(head + b" " * (258 - len(head))) + content)
    peer.result(RING)


@case(
    "FR16",
    "a one-shot request in one segment, from two hundred connections in turn",
    mechanism="one connection per request",
    section="Order and pipelining",
    expected="a reply and FIN, each time",
)
def one_connection_per_request(run: ServerRun) -> None:
    for number in range(200):
        peer = run.connect()
        peer.send(message(b'{"action": "search", "value": "%d"}' % number))
        peer.result(f"No match for '{number}'.")
        peer.fin()
        peer.close()
