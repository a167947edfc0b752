"""Does a server hold its limits, from the declared size, and say so readably?

The limits are the contract's defaults unless the options say otherwise.

Not here: timers (`server_slow`), many connections doing something (`server_floods`).
"""

from __future__ import annotations

import resource
import time

from .case import ALONE, SOON, Failed, Informational, case, each
from .peer import Peer
from .targets import ServerRun
from .wire import RING, binary, framed, header, message, search

LIMITS = "Errors: content-too-large"
TOO_LARGE = "content-too-large at once, then a lingering close"

ECHO_ONE = b'{"action": "echo", "value": 1}'

#: Contents larger than this are not sent: a run should fit a small machine.
LARGEST_SENT = 128 * 1024 * 1024


def limit(run: ServerRun) -> int:
    if not 0 < run.options.max_content <= LARGEST_SENT:
        raise Informational(f"its --max-content is not between 1 and {LARGEST_SENT >> 20} MiB")
    return run.options.max_content


def json_limit(run: ServerRun) -> int:
    if not len(ECHO_ONE) < run.options.max_json <= LARGEST_SENT:
        raise Informational(f"its --max-json is not between {len(ECHO_ONE)} and {LARGEST_SENT >> 20} MiB")
    return run.options.max_json


@case(
    "LM1",
    "a content of exactly the limit",
    star=True,
    heavy=True,
    mechanism="content of the limit",
    section="A message: content-length",
    expected="the same bytes back",
)
def exactly_the_limit(run: ServerRun) -> None:
    size = limit(run)
    peer = run.kept()
    content = bytes(range(251)) * (size // 251 + 1)
    content = content[:size]
    peer.send(binary(content), within=SOON * 6)
    answer = peer.reply(within=SOON * 6)
    if answer.content != content:
        raise Failed(f"the same {size} bytes", f"{len(answer.content)} others: {answer.code or answer.header}")
    peer.usable()


@each(
    {"LM2": ("text/json",), "LM2.2": ("binary/echo",)},
    "one byte above the limit declared, not sent ({0})",
    star=True,
    mechanism="decided from the declared size",
    section=LIMITS,
    expected=TOO_LARGE,
)
def one_more_declared(run: ServerRun, type: str) -> None:
    peer = run.connect()
    peer.send(header(run.options.max_content + 1, type))
    peer.refused("content-too-large")


@case(
    "LM2.3",
    "content-too-large to a request with an id",
    star=True,
    mechanism="errors carry the id",
    section="Replies",
    expected="content-too-large with that id, then a lingering close",
)
def too_large_with_an_id(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(header(run.options.max_content + 1, id="large"))
    peer.refused("content-too-large", id="large")


@case(
    "LM3",
    "one byte above the limit declared, and 4 MiB of it sent",
    star=True,
    heavy=True,
    mechanism="lingering close under input",
    section="Errors: lingering close",
    expected="content-too-large, readable, then FIN",
)
def sent_all_the_same(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(header(run.options.max_content + 1) + b"x" * (4 << 20))
    peer.refused("content-too-large")


@case(
    "LM9",
    "JSON of exactly --max-json",
    star=True,
    heavy=True,
    mechanism="content of the limit",
    section=LIMITS,
    expected="the right reply",
)
def exactly_the_limit_of_json(run: ServerRun) -> None:
    peer = run.kept()
    padding = b" " * (json_limit(run) - len(ECHO_ONE))
    peer.send(message(ECHO_ONE + padding), within=SOON * 6)
    peer.result(1, within=SOON * 6)
    peer.usable()


@case(
    "LM9.2",
    "JSON of one byte more declared, not sent",
    star=True,
    mechanism="decided from the declared size",
    section=LIMITS,
    expected=TOO_LARGE,
)
def one_more_of_json_declared(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(header(json_limit(run) + 1, id="json"))
    peer.refused("content-too-large", id="json")


@case(
    "LM9.3",
    "bytes of one more than --max-json",
    star=True,
    heavy=True,
    mechanism="the limit of JSON is JSON's alone",
    section=LIMITS,
    expected="the same bytes back",
)
def bytes_above_the_limit_of_json(run: ServerRun) -> None:
    size = json_limit(run) + 1
    if size > run.options.max_content:
        raise Informational("its --max-json is its --max-content")
    peer = run.kept()
    peer.send(binary(b"x" * size), within=SOON * 6)
    peer.content(b"x" * size, "binary/echo", within=SOON * 6)
    peer.usable()


@case(
    "LM5",
    "the largest content declared on 60 connections, and nothing sent",
    phase=ALONE,
    mechanism="memory only for what came",
    section="Errors: content-too-large",
    expected="the server to be served from beside them; its memory does not grow by what is only declared",
)
def declared_only(run: ServerRun) -> None:
    base = run.target.process.memory() if run.target.process else 0
    peers = [run.connect() for _ in range(60)]
    for peer in peers:
        peer.send(header(run.options.max_content, "binary/echo") + b"x" * 100)
    other = run.connect()
    other.send(search("ring"))
    other.result(RING)
    if run.target.process:
        run.memory_back(base)


@case(
    "LM6",
    "a prefix above --max-header, and nothing behind it",
    mechanism="decided at the prefix",
    section="Errors: header-too-large",
    expected="header-too-large at once, then a lingering close",
)
def header_too_large(run: ServerRun) -> None:
    most = run.options.max_header
    if most >= 65535:
        raise Informational("its --max-header is all that a prefix can say")
    peer = run.connect()
    peer.send((most + 1).to_bytes(2, "big"))
    peer.refused("header-too-large")
    peer = run.connect()
    peer.send(framed(b" " * 65535))
    peer.refused("header-too-large")


@case(
    "LM4",
    "one connection too many, and one more when there is room again",
    star=True,
    phase=ALONE,
    mechanism="connection limit",
    section="Errors: overloaded",
    expected="overloaded, then FIN; the others are served, and so is the next when one has gone",
)
def one_connection_too_many(run: ServerRun) -> None:
    most = run.options.max_connections
    peers = crowd(run, most)
    before = sample(peers)
    extra = run.connect()
    extra.refused("overloaded")
    for peer in before:
        peer.send(search("ring"))
        peer.result(RING)
    for peer in before[:3]:
        peer.close()
    if not run.until(lambda: _let_in(run), SOON):
        raise Failed("a connection to be accepted when others have gone", "overloaded still")


def _let_in(run: ServerRun) -> bool:
    peer = run.connect()
    peer.send(search("ring"))
    try:
        return peer.reply().code is None
    except Failed:
        return False
    finally:
        peer.close()


def sample(peers: list[Peer]) -> list[Peer]:
    return peers[:: max(1, len(peers) // 20)]


def crowd(run: ServerRun, most: int) -> list[Peer]:
    """As many connections as it may have, each kept alive. Raises `Informational` if we can't open them."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most > 20_000 or (hard != resource.RLIM_INFINITY and most + 200 > hard):
        raise Informational(f"{most} connections are more than we may open (ulimit -n); tell --max-connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(most + 200, resource.getrlimit(resource.RLIMIT_NOFILE)[0]), hard))
    request = search("ring", connection="keep-alive")
    peers: list[Peer] = []
    # The case before may have left some that the server has not seen the end of.
    begun = time.monotonic()
    while len(peers) < most:
        batch = [run.connect() for _ in range(min(200, most - len(peers)))]
        for peer in batch:
            peer.try_send(request)
        for peer in batch:
            try:
                peer.result(RING)
            except Failed as failure:
                if "overloaded" in failure.came and time.monotonic() < begun + SOON * 2:
                    peer.close()
                    continue
                raise Failed(f"{most} connections to be served", f"{failure.came} at number {len(peers) + 1}") from None
            peers.append(peer)
    return peers


@case(
    "LM7",
    "four contents of 8 MiB at once",
    star=True,
    heavy=True,
    mechanism="large contents in parallel",
    section="Replies: binary/echo",
    expected="each its own bytes back",
)
def large_in_parallel(run: ServerRun) -> None:
    size = min(8 << 20, limit(run))
    peers = [run.kept() for _ in range(4)]
    contents = [bytes([65 + number]) * size for number in range(4)]
    half = size // 2
    for peer, content in zip(peers, contents, strict=True):
        peer.send(header(size, "binary/echo", "binary") + content[:half])
    for peer, content in zip(peers, contents, strict=True):
        peer.send(content[half:])
        answer = peer.reply(within=SOON * 4)
        if answer.content != content:
            raise Failed("its own bytes", str(answer)[:200])


@case(
    "LM8",
    "a message right behind a content of 1 MiB",
    star=True,
    mechanism="message behind a large content",
    section="Order and pipelining",
    expected="both replies",
)
def behind_a_large_content(run: ServerRun) -> None:
    peer = run.kept()
    content = b"\0" * min(1 << 20, limit(run))
    peer.send(binary(content) + search("ring", id=2) + message(b"", "binary/echo", "binary", id=3))
    peer.content(content, "binary/echo")
    peer.result(RING, id=2)
    peer.content(b"", "binary/echo", id=3)
