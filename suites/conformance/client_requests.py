"""Does a client ask rightly: its bytes, its patience with itself, its number of attempts?

Every other case judges the request too (`Caller.request`); these are about requests alone.
Not here: what becomes of the reply (`client_replies`).
"""

from __future__ import annotations

from .case import CLIENT, SOON, Failed, case, each
from .client_target import ClientRun
from .wire import DOG, RING

WIRE = "A message"
ORDER = "Order and pipelining"


@each(
    {
        "CQ1.1": ("plain text", "ring"),
        "CQ1.2": ("characters outside ASCII", "\N{DOG FACE}"),
        "CQ1.3": ("quotes and backslashes", '"\\" {value} \\u0041'),
        "CQ1.4": ("control characters", "tab\there, line\nthere\x7f"),
        "CQ1.5": ("nothing", ""),
        "CQ1.6": ("one hundred thousand characters", "long " * 20_000),
    },
    "a request for {0}",
    mechanism="request on the wire",
    section=WIRE,
    expected="a header and a content that say exactly this",
    role=CLIENT,
)
def asks(run: ClientRun, what: str, value: str) -> None:
    caller = run.asked("search", value)
    caller.send(caller.answer(DOG))
    caller.finish()
    run.shows(DOG)


@case(
    "CQ2",
    "an action that is not search",
    mechanism="request of another kind",
    section="Replies",
    expected="a request of either kind, JSON or binary, that says action and value; its reply shown",
    role=CLIENT,
)
def another_action(run: ClientRun) -> None:
    caller = run.asked("echo", "canary")
    if caller.fields["content-type"] == "text/json":
        caller.send(caller.answer("canary sings"))
    else:
        caller.send(caller.message(b"canary sings", "binary/custom-server-binary-type", "binary"))
    caller.finish()
    run.shows("canary sings")


@case(
    "CQ3",
    "nothing follows the request while its reply is awaited",
    mechanism="no pipelining before the grant",
    section="Errors",
    expected="silence, and no half-close taken for granted, until the reply",
    role=CLIENT,
)
def waits(run: ClientRun) -> None:
    caller = run.asked()
    caller.end(0.4)
    if caller.unread:
        raise Failed("silence", f"{len(caller.unread)} bytes more")
    if caller.over == "RST":
        raise Failed("a client that waits", "RST")
    caller.send(caller.answer())
    caller.finish()
    run.shows(RING)


@case(
    "CQ4",
    "the connection ends once everything is said",
    mechanism="client closes",
    section=ORDER,
    expected="the client's FIN, or its process' end, soon after the reply",
    role=CLIENT,
)
def closes(run: ClientRun) -> None:
    caller = run.asked()
    caller.send(caller.answer(connection="keep-alive"))
    if caller.end(SOON) is None:
        raise Failed("the client to close what it needs no more", f"it was open {SOON:g} s after the reply")
    run.shows(RING)


@each(
    {"CQ5.1": "resets before its reply", "CQ5.2": "closes before its reply", "CQ5.3": "closes inside its reply"},
    "a peer that took the request and {0}",
    mechanism="not repeated",
    section=ORDER,
    expected="failure, and no second attempt: nobody knows whether the first was carried out",
    role=CLIENT,
)
def not_repeated(run: ClientRun, how: str) -> None:
    caller = run.asked()
    if "inside" in how:
        caller.send(caller.answer()[:-3])
    if "resets" in how:
        caller.reset()
    else:
        caller.finish()
    run.fails()
    run.no_further_connection()
