"""Does a server stay quiet while one of its actions blocks and its peer goes away?

For those who run it with `--blocking-action` (one that takes a second or more) and `--pid`.

Not here: the order of replies across a blocking action (`server_pipelining`).
"""

from __future__ import annotations

import time

from .case import ALONE, Failed, Informational, each
from .targets import QUIET_PART, ServerRun
from .wire import action

#: Seconds watched, twice: together well within the action's second.
WATCHED = 0.2


@each(
    {
        "BA1": ("half-closes, then resets", True, True),
        "BA1.2": ("resets", False, True),
        "BA1.3": ("half-closes, then closes", True, False),
    },
    "the peer {0} while its action blocks",
    phase=ALONE,
    mechanism="hang-up while an action blocks",
    section="server.md: overload never spins",
    expected="no spin: a selector may report the hang-up again and again although nothing is asked of it",
)
def gone_while_blocked(run: ServerRun, how: str, half: bool, rst: bool) -> None:
    name = run.options.blocking_action
    if name is None:
        raise Informational("shown only with --blocking-action")
    process = run.process
    peer = run.kept()
    peer.send(action(name, "slow"))
    time.sleep(0.05)
    if half:
        peer.half_close()
        time.sleep(0.05)
    if rst:
        peer.reset()
    else:
        peer.close()
    busy = min(process.busy(WATCHED), process.busy(WATCHED))
    if busy > QUIET_PART:
        raise Failed("the process to be quiet", f"{busy:.0%} of a processor used: it spins")
