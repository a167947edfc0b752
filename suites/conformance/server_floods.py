"""Does a server stay whole when there is too much of everything?

All floods are bounded, so that a run fits a small machine. What only the process can tell (memory,
spinning, descriptors) is judged with `--pid`.

Not here: limits that are told (`server_limits`).
"""

from __future__ import annotations

import random
import resource
import time

from .case import ALONE, LAST, SOON, Failed, Informational, case
from .peer import exchange
from .targets import ServerRun
from .wire import KEEP, RING, action, binary, framed, header, message, search

FLOODS = "server.md: limits"
SERVED = "the next is served"

MEBIBYTE = 1 << 20


@case(
    "FL1",
    "endless pipelining, and never reads",
    star=True,
    phase=ALONE,
    mechanism="endless pipelining",
    section="server.md: --write-high",
    expected="its requests wait; memory stays flat (with --pid)",
)
def endless_pipelining(run: ServerRun) -> None:
    base = run.target.process.memory() if run.target.process else 0
    batch = search("ring") * 2000
    for _ in range(2):
        run.stuff(run.kept(receive_buffer=8192), batch, 96 * MEBIBYTE)
    run.quiet("while nobody reads")
    if run.target.process:
        run.memory_back(base, 64 * MEBIBYTE)
    other = run.connect()
    other.send(search("ring"))
    other.result(RING)


@case(
    "FL1.2",
    "a paused pipeliner reads again",
    star=True,
    heavy=True,
    mechanism="resumed where it stopped",
    section="server.md: --write-low",
    expected="every reply, once",
)
def paused_pipeliner_reads_again(run: ServerRun) -> None:
    peer = run.kept(receive_buffer=8192)
    content = b"y" * 50_000
    requests = [binary(content, id=n) for n in range(200)]
    data = b"".join(requests)
    peer.sock.settimeout(0.5)  # if it is only busy, it is asked to go on from there all the same
    sent = 0
    try:
        while sent < len(data):
            sent += peer.sock.send(data[sent : sent + 65536])
    except TimeoutError:
        run.note(f"paused after {sent >> 10} KiB")
    (replies,) = exchange([peer], [data[sent:] or binary(content, id=200)], 200, SOON * 6)
    if [reply.header.get("id") for reply in replies[:200]] != list(range(200)):
        raise Failed("200 replies, in order, once", "others")


@case(
    "FL2",
    "500 connections at once, a request each",
    mechanism="many at once",
    section=FLOODS,
    expected="500 replies",
)
def many_at_once(run: ServerRun) -> None:
    if not run.options.max_connections >= 1000:
        raise Informational("its --max-connections is below 1000")
    peers = [run.connect() for _ in range(500)]
    for number, peer in enumerate(peers):
        peer.try_send(search(str(number), id=number) if number % 2 else search("ring"))
    for number, peer in enumerate(peers):
        if number % 2:
            answer = peer.reply(SOON * 2)
            if answer.result != f"No match for '{number}'.":
                raise Failed(f"reply {number}", str(answer))
        else:
            peer.result(RING, SOON * 2)
        peer.fin()


@case(
    "FL3",
    "10,000 connect and close, or four times the connections it may have",
    phase=ALONE,
    mechanism="connect and close",
    section=FLOODS,
    expected="no descriptor drift (with --pid); " + SERVED,
)
def connect_and_close(run: ServerRun) -> None:
    # Half of them end with a RST: as many in TIME-WAIT would use up the ports of a small machine.
    begun, most = time.monotonic(), SOON * 2
    for number in range(min(10_000, 4 * run.options.max_connections)):
        peer = run.connect()
        if number % 2:
            peer.reset()
        else:
            peer.close()
        if time.monotonic() - begun > most:
            run.note(f"no more than {number} in {most:g} s")
            break
    run.descriptors_back()


@case(
    "FL4",
    "500 connections in turn, an error each",
    star=True,
    mechanism="errors in turn",
    section="Errors",
    expected="500 errors; " + SERVED,
)
def errors_in_turn(run: ServerRun) -> None:
    for number in range(500):
        peer = run.connect()
        peer.try_send(message(b"{") if number % 2 else framed(b"[]"))
        peer.error("bad-content" if number % 2 else "bad-header")
        peer.close()


@case("FL5", "300 connections of garbage, closed at once", mechanism="garbage", section="Errors", expected=SERVED)
def garbage(run: ServerRun) -> None:
    dice = random.Random(5)
    for _ in range(300):
        peer = run.connect()
        peer.try_send(dice.randbytes(dice.randrange(1, 3000)))
        if dice.random() < 0.5:
            peer.reset()
        else:
            peer.close()


@case(
    "FL5.2",
    "200 messages with one byte wrong",
    mechanism="one byte wrong",
    section="Errors",
    expected="a reply, an error or waiting for more; " + SERVED,
)
def one_byte_wrong(run: ServerRun) -> None:
    dice = random.Random(52)
    request = search("ring", **KEEP)
    for _ in range(200):
        spoiled = bytearray(request)
        spoiled[dice.randrange(2, len(spoiled))] = dice.randrange(256)
        peer = run.connect()
        peer.try_send(bytes(spoiled))
        peer.half_close()
        try:
            peer.reply()
        except Failed as failure:
            if not failure.came.startswith("FIN"):  # a length that grew: it waits for more, and FIN says there is none
                raise
        peer.close()


@case(
    "FL6",
    "5,000 headers, no two alike",
    star=True,
    mechanism="headers without end",
    section=FLOODS,
    expected="5,000 replies",
)
def headers_without_end(run: ServerRun) -> None:
    peer = run.kept()
    count = 5000
    data = b"".join(binary(b"x", f"binary/{n:x}{'y' * (n % 50)}") for n in range(count))
    (replies,) = exchange([peer], [data], count, SOON * 4)
    if any(reply.content != b"First 10 bytes of request: x" for reply in replies):
        raise Failed("the first 10 bytes each time", "something else")


@case(
    "FL7",
    "3,000 names of encodings that do not exist",
    star=True,
    mechanism="encodings without end",
    section="A message: content-encoding",
    expected="3,000 errors",
)
def encodings_without_end(run: ServerRun) -> None:
    peer = run.kept()
    count = 3000
    (replies,) = exchange([peer], [b"".join(message(b"{}", encoding=f"x{n}") for n in range(count))], count, SOON * 4)
    if any(reply.code != "unsupported-encoding" for reply in replies):
        raise Failed("unsupported-encoding each time", "something else")
    peer.usable()


@case(
    "FL8",
    "10,000 zero-length requests in one go",
    star=True,
    heavy=True,
    mechanism="zero-length pipelined",
    section="Order and pipelining",
    expected="10,000 replies",
)
def zero_length_pipelined(run: ServerRun) -> None:
    peer = run.kept()
    (replies,) = exchange([peer], [binary(b"") * 10_000], 10_000, SOON * 4)
    if any(reply.content for reply in replies):
        raise Failed("empty contents", "others")
    peer.usable()


@case(
    "FL9",
    "one-shot, and 16 MiB behind it",
    heavy=True,
    mechanism="discarded, not kept",
    section="A message: connection",
    expected="the reply; the rest read and discarded, or refused",
)
def discarded(run: ServerRun) -> None:
    peer = run.connect()
    peer.send(search("ring"))
    peer.result(RING)
    chunk = b"x" * (1 << 18)
    for _ in range(64):
        if not peer.try_send(chunk):
            break
    other = run.connect()
    other.send(search("ring"))
    other.result(RING)


@case(
    "FL10",
    "1,000 idle kept-alive connections, then all ask",
    star=True,
    heavy=True,
    mechanism="many kept alive",
    section="A message: connection",
    expected="1,000 replies",
)
def many_kept_alive(run: ServerRun) -> None:
    if run.options.max_connections < 2500:
        raise Informational("its --max-connections is below 2500")
    _raise_our_limit()
    peers = [run.connect() for _ in range(1000)]
    for request in (search("ring", **KEEP), search("ring")):
        for peer in peers:
            peer.try_send(request)
        for peer in peers:
            peer.result(RING, SOON * 2)


def _raise_our_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@case(
    "FL11",
    "a thousand half headers, closed",
    mechanism="half headers",
    section="A message",
    expected=SERVED,
)
def half_headers(run: ServerRun) -> None:
    request = search("ring")
    for number in range(1000):
        peer = run.connect()
        peer.try_send(request[: number % len(request)])
        peer.close()


@case(
    "FL12",
    "strings of every length in an id and a value",
    star=True,
    mechanism="lengths of strings",
    section="A message: id",
    expected="each comes back",
)
def lengths_of_strings(run: ServerRun) -> None:
    peer = run.kept()
    values = ["é" * n + "x" for n in range(63)]
    peer.send(b"".join(action("echo", value, id=value) for value in values))
    for value in values:
        peer.result(value, id=value)


@case(
    "FL13",
    "contents that are declared large and cut short, 100 times",
    mechanism="large contents cut short",
    section="A message: content-length",
    expected=SERVED,
)
def cut_short(run: ServerRun) -> None:
    for _ in range(100):
        peer = run.connect()
        peer.try_send(header(run.options.max_content, "binary/echo") + b"x" * 10_000)
        peer.reset()


# --- after everything ---------------------------------------------------------------------


@case(
    "AF1",
    "the server after all cases: processor",
    phase=LAST,
    mechanism="quiet afterwards",
    section="server.md: overload never spins",
    expected="it does not spin",
)
def quiet_afterwards(run: ServerRun) -> None:
    run.process.cpu()
    run.quiet("after all cases")


@case(
    "AF2",
    "the server after all cases: descriptors",
    phase=LAST,
    mechanism="descriptors afterwards",
    section="server.md: --max-connections",
    expected="as many as at first",
)
def descriptors_afterwards(run: ServerRun) -> None:
    run.process.descriptors()
    run.descriptors_back()


@case(
    "AF3",
    "the server after all cases: memory",
    phase=LAST,
    mechanism="memory afterwards",
    section="server.md: limits",
    expected="within some 100 MiB of what it had at first",
)
def memory_afterwards(run: ServerRun) -> None:
    run.process.memory()
    run.memory_back(run.target.base_memory, 100 * MEBIBYTE)
