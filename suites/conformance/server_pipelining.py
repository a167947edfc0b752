"""Does a server keep connections alive as agreed, and replies in order?

Not here: how a connection ends (`server_closing`), floods (`server_floods`).
"""

from __future__ import annotations

import time
from itertools import cycle, islice

from .case import SOON, Failed, Informational, case, each
from .peer import Peer, exchange
from .targets import ServerRun
from .wire import ABSENT, KEEP, MORPHEUS, RING, action, binary, framed, header, message, search

ORDER = "Order and pipelining"
CONNECTION = "A message: connection"


@case(
    "PL1",
    "two keep-alive requests in one segment",
    star=True,
    mechanism="two in one segment",
    section=ORDER,
    expected="two replies, in order",
)
def two_in_one_segment(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(search("ring", id=1, **KEEP) + search("morpheus", id=2, **KEEP))
    peer.result(RING, id=1)
    peer.result(MORPHEUS, id=2)
    peer.usable()


@case(
    "PL2",
    "1,000 pipelined requests",
    star=True,
    mechanism="1,000 pipelined",
    section=ORDER,
    expected="1,000 replies, in order, once",
)
def a_thousand(run: ServerRun) -> None:
    peer = run.kept()
    numbers = range(1000)
    (replies,) = exchange([peer], [b"".join(action("echo", n, id=n) for n in numbers)], 1000, SOON * 2)
    for number, reply in zip(numbers, replies, strict=True):
        if reply.result != number or reply.header.get("id") != number:
            raise Failed(f"reply {number}", str(reply))
    peer.silence(0.2)
    peer.usable()


@case(
    "PL3",
    "one and a half requests",
    star=True,
    mechanism="one and a half",
    section=ORDER,
    expected="the first reply at once",
)
def one_and_a_half(run: ServerRun) -> None:
    peer = run.connect()
    second = search("morpheus", id=2)
    for cut in (1, 2, 40, len(second) - 1):
        peer.send(search("ring", id=1, **KEEP) + second[:cut])
        peer.result(RING, id=1, within=2.0)
        peer.send(second[cut:])
        peer.result(MORPHEUS, id=2)


@case(
    "PL3.2",
    "one and a half one-shot requests",
    mechanism="one and a half, one-shot",
    section=CONNECTION,
    expected="one reply, then FIN",
)
def one_and_a_half_once(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(search("ring") + search("morpheus")[:30])
    peer.result(RING)
    peer.fin()


@case(
    "PL4",
    "good, broken framing, good",
    star=True,
    mechanism="broken in the middle",
    section="Errors: then close",
    expected="the reply, bad-header, FIN; the third not served",
)
def broken_in_the_middle(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(search("ring", id=1, **KEEP) + framed(b"{nonsense}") + search("morpheus", id=3))
    peer.result(RING, id=1)
    peer.refused("bad-header")


@case(
    "PL4.2",
    "100 good, then content-too-large, then good",
    star=True,
    mechanism="refused in the middle",
    section="Errors: then close",
    expected="100 replies, content-too-large, FIN",
)
def refused_in_the_middle(run: ServerRun) -> None:
    peer = run.kept()
    good = b"".join(action("echo", n, id=n) for n in range(100))
    peer.send(good + header(run.options.max_content + 1, id="large") + search("ring"))
    for number in range(100):
        peer.result(number, id=number)
    peer.refused("content-too-large", id="large")


@case(
    "PL5",
    "a slow blocking action, then fast ones",
    mechanism="order across a blocking action",
    section=ORDER,
    expected="the slow one's reply first",
)
def order_across_a_blocking_action(run: ServerRun) -> None:
    name = run.options.blocking_action
    if name is None:
        raise Informational("shown only with --blocking-action")
    peer = run.kept()
    fast = b"".join(action("echo", n, id=n) for n in range(9))
    peer.send(action(name, "slow", id="slow") + search("ring", id=1) + fast)
    first = peer.reply(within=run.patience)
    if first.header.get("id") != "slow":
        raise Failed("the slow one's reply first", str(first))
    peer.result(RING, id=1)
    for number in range(9):
        peer.result(number, id=number)


@case(
    "PL5.2",
    "others are served while an action blocks",
    mechanism="others beside a blocking action",
    section="server.md: --handler-threads",
    expected="a reply before the slow one's",
)
def others_beside_a_blocking_action(run: ServerRun) -> None:
    name = run.options.blocking_action
    if name is None:
        raise Informational("shown only with --blocking-action")
    slow, other = run.kept(), run.kept()
    slow.send(action(name, "slow", id="slow"))
    other.send(search("ring"))
    other.result(RING)
    slow.receive(time.monotonic() + 0.01)
    if slow.unread:
        raise Failed("the other's reply before the slow one's", "it came later")
    slow.reply(within=run.patience)


@case(
    "PL6",
    "keep-alive sticks",
    star=True,
    mechanism="keep-alive sticks",
    section=CONNECTION,
    expected="served without asking again",
)
def sticks(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(search("ring", **KEEP))
    first = peer.result(RING)
    if first.header.get("connection") != "keep-alive":
        raise Failed('"keep-alive" on the first reply', str(first.header))
    for _ in range(5):
        peer.send(search("morpheus"))
        later = peer.result(MORPHEUS)
        if later.header.get("connection") == "close":
            raise Failed("the connection to be kept", "close")
        if later.header.get("connection") == "keep-alive":
            run.deviates("keep-alive on the first reply alone", "again on a later one")


@case(
    "PL6.2",
    "keep-alive again and again",
    star=True,
    mechanism="keep-alive repeated",
    section=CONNECTION,
    expected="served each time",
)
def repeated_keep_alive(run: ServerRun) -> None:
    peer = run.connect()
    for _ in range(5):
        peer.send(search("ring", **KEEP))
        peer.result(RING)


@each(
    {"PL6.3": '"upgrade"', "PL6.4": '""'},
    "connection: {0} on a kept-alive connection",
    star=True,
    mechanism="unknown connection string, kept alive",
    section=CONNECTION,
    expected="ignored: it stays kept alive",
)
def unknown_string_when_kept(run: ServerRun, literal: str) -> None:
    peer = run.kept()
    peer.send(search("ring", connection=literal.strip('"')))
    peer.result(RING)
    peer.usable()


@case(
    "PL7",
    "close ends a kept-alive connection",
    star=True,
    mechanism="connection: close",
    section=CONNECTION,
    expected="the reply says close, then FIN",
)
def close_ends_it(run: ServerRun) -> None:
    peer = run.kept()
    peer.send(search("morpheus", connection="close", id=1))
    says_close(run, peer.result(MORPHEUS, id=1).header)
    peer.fin()


def says_close(run: ServerRun, fields: dict[str, object]) -> None:
    if fields.get("connection") != "close":
        said = str(fields.get("connection", "no connection field"))
        run.deviates('"close" on the last reply of a kept-alive connection', said)


@case(
    "PL7.2",
    "close in the middle of a pipeline",
    star=True,
    mechanism="close in the middle",
    section=CONNECTION,
    expected="replies up to the one that asked for close, then FIN",
)
def close_in_the_middle(run: ServerRun) -> None:
    peer = run.kept()
    requests = [action("echo", n, id=n) for n in range(10)]
    requests[6] = action("echo", 6, id=6, connection="close")
    peer.send(b"".join(requests))
    for number in range(6):
        peer.result(number, id=number)
    says_close(run, peer.result(6, id=6).header)
    peer.fin()


@case("PL7.3", "close on the only request", mechanism="close, one-shot", section=CONNECTION, expected="reply, FIN")
def close_at_once(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(search("ring", connection="close"))
    peer.result(RING)
    peer.fin()


@case("PL8", "a one-shot client that reads to EOF", mechanism="one-shot", section=CONNECTION, expected="reply, FIN")
def one_shot(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(search("ring"))
    answer = peer.result(RING)
    if answer.header.get("connection", ABSENT) == "keep-alive":
        raise Failed("no keep-alive for who did not ask", "keep-alive")
    peer.fin()


@case(
    "PL8.2",
    "what follows a one-shot request",
    star=True,
    mechanism="behind a one-shot request",
    section=CONNECTION,
    expected="one reply, FIN; the rest discarded",
)
def behind_a_one_shot_request(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(search("ring", id=1) + search("morpheus", id=2, **KEEP) + b"\0\0garbage")
    peer.result(RING, id=1)
    peer.fin()


@case(
    "PL22",
    "keep-alive on a request that is answered with an error",
    star=True,
    mechanism="keep-alive granted on an error",
    section="Errors: stays open",
    expected="the error, and the connection kept",
)
def granted_on_an_error(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(message(b"{", **KEEP))
    answer = peer.error("bad-content")
    if answer.header.get("connection") != "keep-alive":
        raise Failed('"keep-alive" on the first reply, an error', str(answer.header))
    peer.usable()


@case(
    "PL10",
    "JSON and binary, echo and search, in turn",
    star=True,
    mechanism="kinds of request mixed",
    section=ORDER,
    expected="each its own reply, in order",
)
def mixed(run: ServerRun) -> None:
    peer = run.kept()
    unknown, bad = message(b"0123456789ab", "x/y", "binary"), message(b"{")
    kinds = (search("ring"), binary(b"abc"), unknown, action("echo", [1]), bad)
    peer.send(b"".join(islice(cycle(kinds), 100)))
    for _ in range(20):
        peer.result(RING)
        peer.content(b"abc", "binary/echo")
        peer.content(b"First 10 bytes of request: 0123456789", "binary/custom-server-binary-type")
        peer.result([1])
        peer.error("bad-content")


@case(
    "PL11",
    "the same id on many requests",
    star=True,
    mechanism="ids are the client's business",
    section="A message: id",
    expected="each reply with its request's id, or none",
)
def same_id(run: ServerRun) -> None:
    peer = run.kept()
    wanted: list[object] = ["same", "same", ABSENT, 1, "1", ABSENT, 1, ""]
    peer.send(b"".join(search("ring", id=id) for id in wanted))
    for id in wanted:
        peer.result(RING, id=id)


@case(
    "PL12",
    "errors of every kind that stay open, pipelined",
    star=True,
    mechanism="errors pipelined",
    section="Errors: stays open",
    expected="each its error, in order; still usable",
)
def errors_pipelined(run: ServerRun) -> None:
    peer = run.kept()
    kinds = [
        ("bad-content", message(b"[")),
        ("bad-request", message(b"[]")),
        ("unknown-action", action("nothing")),
        ("unsupported-encoding", message(b"{}", encoding="rot13")),
        ("deadline-exceeded", search("ring", deadline_ms=0)),
    ] * 40
    peer.send(b"".join(request for _, request in kinds))
    for code, _ in kinds:
        peer.error(code)
    peer.usable()


@case(
    "PL13",
    "a reply of 4 MiB, then small ones",
    star=True,
    heavy=True,
    mechanism="small behind large",
    section=ORDER,
    expected="all replies, in order",
)
def small_behind_large(run: ServerRun) -> None:
    peer = run.kept()
    content = b"L" * min(4 << 20, run.options.max_content)
    peer.send(binary(content) + b"".join(action("echo", n) for n in range(50)), within=SOON * 4)
    peer.content(content, "binary/echo", within=SOON * 4)
    for number in range(50):
        peer.result(number)


@case(
    "PL14",
    "12 replies of 1 MiB, sent and read at once",
    star=True,
    heavy=True,
    mechanism="large pipelined",
    section=ORDER,
    expected="12 replies, in order",
)
def large_pipelined(run: ServerRun) -> None:
    peer = run.kept()
    size = min(1 << 20, run.options.max_content)
    (replies,) = exchange([peer], [b"".join(binary(bytes([n]) * size, id=n) for n in range(12))], 12, SOON * 4)
    for number, reply in enumerate(replies):
        if reply.content != bytes([number]) * size or reply.header.get("id") != number:
            raise Failed(f"reply {number}, {size} bytes", str(reply)[:200])


@case(
    "PL15",
    "fifty connections, interleaved",
    star=True,
    mechanism="connections interleaved",
    section=ORDER,
    expected="each its own replies, in order",
)
def interleaved(run: ServerRun) -> None:
    peers = [run.kept() for _ in range(50)]
    out = [b"".join(action("echo", f"{who}/{n}", id=n) for n in range(40)) for who in range(50)]
    for who, replies in enumerate(exchange(peers, out, 40, SOON * 2)):
        wrong = [str(r) for n, r in enumerate(replies) if r.result != f"{who}/{n}" or r.header.get("id") != n]
        if wrong:
            raise Failed(f"connection {who}'s own replies", wrong[0])


@case(
    "PL16",
    "a kept-alive connection rests, and is used again",
    star=True,
    mechanism="resting connection",
    section=CONNECTION,
    expected="served after each pause",
)
def resting(run: ServerRun) -> None:
    peer = run.kept()
    for pause in (0.1, 0.5):
        time.sleep(pause)
        peer.usable()


@case(
    "PL17",
    "20,000 pipelined, and somebody else asks once",
    star=True,
    heavy=True,
    mechanism="fair turns",
    section="server.md: --requests-per-event",
    expected="the other is answered long before the end",
)
def fair_turns(run: ServerRun) -> None:
    greedy, other = run.kept(), run.kept()
    count = 20_000
    flood = search("ring") * count
    greedy.sock.setblocking(False)
    sent = greedy.sock.send(flood[: 1 << 18])
    begun = time.monotonic()
    other.send(search("morpheus"))
    other.result(MORPHEUS)
    waited = time.monotonic() - begun
    exchange([greedy], [flood[sent:]], count, SOON * 6)
    if waited > 2.0:
        raise Failed("an answer within 2 s beside a flood", f"{waited:.1f} s")


@case(
    "PL18",
    "replies are sent when they are made",
    star=True,
    mechanism="no reply is withheld",
    section=ORDER,
    expected="each reply before the next request is sent",
)
def not_withheld(run: ServerRun) -> None:
    peer = run.kept()
    begun = time.monotonic()
    for number in range(200):
        peer.try_send(action("echo", number))
        peer.result(number, within=2.0)
    took = time.monotonic() - begun
    if took > 200 * 0.03:  # delayed acknowledgement against Nagle's algorithm costs 40 ms each time
        raise Failed("200 requests and replies in turn in well under 6 s", f"{took:.1f} s: something waits for each")


@case(
    "PL19",
    "a deadline that is over, among others",
    star=True,
    mechanism="deadline of one request",
    section="A message: deadline-ms",
    expected="deadline-exceeded for that one alone",
)
def one_deadline(run: ServerRun) -> None:
    peer = run.kept()
    late = search("ring", id=2, deadline_ms=0)
    peer.send(search("ring", id=1) + late + search("ring", id=3) + binary(b"x", deadline_ms=0))
    peer.result(RING, id=1)
    peer.error("deadline-exceeded", id=2)
    peer.result(RING, id=3)
    peer.error("deadline-exceeded")
    peer.usable()


@case(
    "RX5",
    "a handler raises",
    star=True,
    mechanism="a handler raises",
    section="Errors: handler-failed",
    expected="handler-failed that names no internals; it and others still served",
)
def handler_raises(run: ServerRun) -> None:
    name = run.options.failing_action
    peer, other = run.kept(), run.kept()
    failing = action(name) if name else message(b'{"action": "echo", "value": 1e999}')
    peer.send(failing + search("ring", id=2))
    answer = peer.reply()
    if answer.code != "handler-failed":
        if name:
            raise Failed("handler-failed", str(answer))
        how = answer.code or "with a result"
        raise Informational(f"shown only with --failing-action (an echo of 1e999 was answered {how})")
    if "Traceback" in answer.result or ".py" in answer.result:
        raise Failed("a message without internals", answer.result)
    peer.result(RING, id=2)
    other.usable()


def drip(peer: Peer, data: bytes, size: int) -> None:
    peer.segments(data[at : at + size] for at in range(0, len(data), size))


@each(
    {"PL21": 7, "PL21.2": 100, "PL21.3": 1460},
    "40 pipelined requests in segments of {0} bytes",
    star=True,
    mechanism="segments across requests",
    section=ORDER,
    expected="40 replies, in order",
)
def across_requests(run: ServerRun, size: int) -> None:
    peer = run.kept()
    drip(peer, b"".join(action("echo", n, id=n) for n in range(40)), size)
    for number in range(40):
        peer.result(number, id=number)
