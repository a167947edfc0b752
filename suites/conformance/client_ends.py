"""Does a client hear how a connection ends, and what a server says of its errors?

Not here: wrong headers (`client_headers`).
"""

from __future__ import annotations

import time

from .case import CLIENT, Failed, case, each
from .client_target import ClientRun
from .wire import RING

WIRE = "A message"
ERRORS = "Errors"
FAILS = "failure soon: exit code other than 0, no result"


# --- too early ----------------------------------------------------------------------------------


@each(
    {
        "CE1.1": ("before a byte of its reply", lambda end, whole: 0),
        "CE1.2": ("inside the prefix", lambda end, whole: 1),
        "CE1.3": ("behind the prefix", lambda end, whole: 2),
        "CE1.4": ("inside the header", lambda end, whole: end // 2),
        "CE1.5": ("behind the header", lambda end, whole: end),
        "CE1.6": ("inside the content", lambda end, whole: (end + whole) // 2),
        "CE1.7": ("before the last byte", lambda end, whole: whole - 1),
    },
    "a server that finishes (FIN) {0}",
    mechanism="truncated reply",
    section=WIRE,
    expected=FAILS,
    role=CLIENT,
)
def truncated(run: ClientRun, where: str, place: object) -> None:
    caller = run.asked()
    reply = caller.answer()
    end = 2 + int.from_bytes(reply[:2], "big")
    caller.send(reply[: place(end, len(reply))])  # type: ignore[operator]
    caller.finish()
    run.fails()


@case(
    "CE2",
    "a whole value in a content that was to be longer, then FIN",
    mechanism="truncated reply",
    section=WIRE,
    expected="failure: the JSON is whole, the message is not",
    role=CLIENT,
)
def whole_value_truncated(run: ClientRun) -> None:
    caller = run.asked()
    reply = caller.message(b'{"result": "looks whole"}' + b" " * 10)
    caller.send(reply[:-10])
    caller.finish()
    run.fails("looks whole")


@each(
    {
        "CE3.1": ("before a byte of its reply", lambda whole: 0),
        "CE3.2": ("inside its reply", lambda whole: whole // 2),
        "CE3.3": ("before its last byte", lambda whole: whole - 1),
    },
    "a server that resets (RST) {0}",
    mechanism="reset",
    section=WIRE,
    expected=FAILS,
    role=CLIENT,
)
def resets(run: ClientRun, where: str, place: object) -> None:
    caller = run.asked()
    reply = caller.answer()
    caller.send(reply[: place(len(reply))])  # type: ignore[operator]
    time.sleep(0.1)
    caller.reset()
    run.fails()


@case(
    "CE4",
    "a server that resets behind a whole reply",
    mechanism="reset behind the reply",
    section=WIRE,
    expected="the result shown, or a failure: a RST may overtake what it follows",
    role=CLIENT,
)
def resets_behind(run: ClientRun) -> None:
    caller = run.asked()
    caller.send(caller.answer())
    time.sleep(0.3)
    caller.reset()
    if run.ends().code == 0:
        run.shows(RING)


@each(
    {"CE5.1": ("closes", False), "CE5.2": ("resets", True)},
    "a server that accepts and {0} at once",
    mechanism="accepted and dropped",
    section=WIRE,
    expected=FAILS,
    role=CLIENT,
)
def dropped(run: ClientRun, how: str, rst: bool) -> None:
    run.start()
    caller = run.accept()
    if rst:
        caller.reset()
    else:
        caller.close()
    run.fails()


@case(
    "CE6",
    "a server that half-closes and goes on reading",
    mechanism="half-closed server",
    section=WIRE,
    expected=f"{FAILS}: no reply can come any more",
    role=CLIENT,
)
def half_closed(run: ClientRun) -> None:
    run.start()
    caller = run.accept()
    caller.half_close()
    caller.end(8.0)
    run.fails()


@case(
    "CE7",
    "nothing listens",
    mechanism="connection refused",
    section=WIRE,
    expected="failure soon, that says so",
    role=CLIENT,
)
def refused(run: ClientRun) -> None:
    run.listener.close()
    run.start()
    outcome = run.fails()
    if not outcome.out + outcome.err:
        raise Failed("a word about it", str(outcome))


# --- too late -----------------------------------------------------------------------------------


@each(
    {
        "CE8.1": ("takes the request and is silent", 0),
        "CE8.2": ("is silent after half a prefix", 1),
        "CE8.3": ("is silent after half a header", 30),
        "CE8.4": ("is silent before its last byte", -1),
    },
    "a server that {0}",
    mechanism="silence",
    section=WIRE,
    expected="failure by the client's own timer",
    role=CLIENT,
    slow=True,
)
def silent(run: ClientRun, how: str, sent: int) -> None:
    caller = run.asked()
    caller.send(caller.answer()[:sent])
    run.fails(silent=True)


@case(
    "CE9",
    "a server whose kernel accepts and that never does",
    mechanism="never accepted",
    section=WIRE,
    expected="failure by the client's own timer",
    role=CLIENT,
    slow=True,
)
def never_accepted(run: ClientRun) -> None:
    run.start()
    run.waiting()
    run.fails(silent=True)


@case(
    "CE10",
    "a header that trickles for ever",
    mechanism="trickle for ever",
    section=WIRE,
    expected="failure by the client's own timer: one that each byte restarts is none",
    role=CLIENT,
    slow=True,
)
def trickles(run: ClientRun) -> None:
    caller = run.asked()
    until = time.monotonic() + run.options.patience
    reply = b"\xff\xff" + b" " * 65535
    for at in range(len(reply)):
        if not caller.try_send(reply[at : at + 1]) or run.ended(0.1) or time.monotonic() > until:
            break
    run.fails(silent=True)


# --- another protocol ------------------------------------------------------------------------------


@each(
    {
        "CE11.1": ("an HTTP answer", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        "CE11.2": ("a TLS alert", b"\x15\x03\x01\x00\x02\x02\x28"),
        "CE11.3": ("a SSH greeting", b"SSH-2.0-OpenSSH_9.6\r\n"),
        "CE11.4": ("a JSON line without a frame", b'{"result": "In the caves"}\n'),
        "CE11.5": ("zeros", b"\0" * 4096),
        "CE11.6": ("bytes of every value", bytes(range(256)) * 400),
    },
    "{0} for a reply",
    mechanism="another protocol",
    section=WIRE,
    expected=FAILS,
    role=CLIENT,
)
def another_protocol(run: ClientRun, what: str, answer: bytes) -> None:
    caller = run.asked()
    caller.try_send(answer)
    caller.finish()
    run.fails("caves")


@case(
    "CE12",
    "garbage without end",
    mechanism="endless garbage",
    section=WIRE,
    expected="failure soon: a client that reads on and on is its server's prey",
    role=CLIENT,
)
def endless(run: ClientRun) -> None:
    caller = run.asked()
    until = time.monotonic() + 5
    while time.monotonic() < until and caller.try_send(b"\0\2[]" * 16_384):
        if run.ended(0.001):
            break
    else:
        if time.monotonic() >= until:
            raise Failed("a client that gives up at the first bad header", "it read for 5 s")
    run.fails()


# --- what a server says of errors --------------------------------------------------------------------


@each(
    {
        "CE13.1": ("bad-request", "a request must be an object"),
        "CE13.2": ("unknown-action", "invalid action 'search'."),
        "CE13.3": ("handler-failed", "the handler failed"),
        "CE13.4": ("bad-header", "the header is not JSON"),
        "CE13.5": ("timeout", "the header did not arrive in time"),
        "CE13.6": ("shutting-down", "the server is shutting down"),
        "CE13.7": ("a-code-of-tomorrow", "words of tomorrow"),
    },
    "the error reply {0}",
    mechanism="error reply",
    section=ERRORS,
    expected="its words or its code shown, and an exit code that says so",
    role=CLIENT,
)
def error(run: ClientRun, code: str, words: str) -> None:
    caller = run.asked()
    caller.send(caller.failure(code, words))
    caller.finish()
    told(run, code, words)


def told(run: ClientRun, code: str, words: str) -> None:
    outcome = run.ends()
    said = outcome.out + outcome.err
    if code not in said and words not in said:
        raise Failed(f"{code!r} or {words!r} in the output", str(outcome))
    if outcome.code == 0:
        run.deviates("an exit code that says that it is an error", "exit code 0")


@case(
    "CE14",
    "overloaded: an error before anything was asked, then FIN",
    mechanism="error before the request",
    section=ERRORS,
    expected="the error's words or its code shown",
    role=CLIENT,
)
def overloaded(run: ClientRun) -> None:
    run.start()
    caller = run.accept()
    caller.send(caller.failure("overloaded", "no place is free"))
    caller.finish()
    told(run, "overloaded", "no place is free")


@case(
    "CE15",
    "an error reply that says close while the client still sends",
    mechanism="error while sending",
    section=ERRORS,
    expected="the error's words or its code shown, not the broken pipe",
    role=CLIENT,
)
def error_while_sending(run: ClientRun) -> None:
    run.start("search", "z" * 100_000)
    caller = run.accept()
    caller.read_prefix()
    caller.send(caller.failure("content-too-large", "the content is above the limit"))
    caller.finish()
    told(run, "content-too-large", "the content is above the limit")
