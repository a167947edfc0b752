"""Does the load tester tell the truth, run as a user runs it?

    python3 -m tests.multiconn.loadtest.truth               all of it, half a minute
    python3 -m tests.multiconn.loadtest.truth stall slow    some of it

The real command, in processes of its own, against servers whose behaviour is known:

    stall      10 s at a fixed rate, and the server stands still for one of them: the response percentiles are
               those worked out from the schedule, and service time does not see it
    slow       a slow server, closed: valid, and the server is named
    overrun    a slow server and a rate above what it can do: not valid, and the server is named
    starved    four busy processes on the generator's core: not valid, and the client is named
    stopped    the generator itself stopped for most of the time: not valid, and the client is named

Rules:

* What the machine does meanwhile must not decide. The tool's own verdict says whether it did: figures of a
  run that it calls valid have to be right at once; a run that it blames on the client, where we did nothing
  to the client, is made again, up to `TRIES` times.
* The stall is worked out by hand, below: a queue with as many servers as connections. Nothing of the load tester's own
  arithmetic is used.

Exit code 0 if all of it is as it should be, 1 if not, 130 for Ctrl-C.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .paced import ROOT, paced

TRIES = 3

#: The stall: requests per second, seconds, connections, seconds of service, when and how long it stands still.
RATE, SECONDS, CONNECTIONS, SERVICE = 100, 10, 4, 0.005
STALL = (4.0, 1.0)
#: What a busy machine may add, or a millisecond here and there shift, in seconds. The stall is twenty times that.
TOLERANCE = 0.050

PERCENTS = (50, 75, 85, 90, 92, 95, 99, 99.9)
#: Of 1000 requests four saw the stall while they were on their way: the slowest 0.4 %.
UNSEEN = (50, 75, 85, 90, 92, 95, 99)

Told = dict[str, Any]
#: Exit code, stdout, stderr.
Ended = tuple[int, str, str]


class Untrue(Exception):
    """It said something that is not so."""


# --- the command ---------------------------------------------------------------------------


def command(target: str, *options: str) -> list[str]:
    words = [sys.executable, str(ROOT / "app_client.py"), "load", target, *options]
    return [*words, "--warmup", "0", "--json", "--ui", "none"]


def plainly(words: list[str]) -> Ended:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def load(target: str, *options: str, expected: int = 0, run: Callable[[list[str]], Ended] = plainly) -> Told:
    """The summary of one run. Raises `Untrue` for another exit code, or accounts that don't add up."""
    code, out, err = run(command(target, *options))
    if code not in (0, expected):
        raise Untrue(f"exit code {code} where {expected} is right: {err.strip()[-500:]}")
    told: Told = json.loads(out)
    books = told["accounting"]
    if (
        books["scheduled"] != books["sent"] + books["dropped"]
        or books["sent"] != books["ok"] + books["failed"] + books["in_flight_at_end"]
    ):
        raise Untrue(f"the accounts do not add up: {books}")
    return told


def verdict_of(told: Told) -> str:
    verdict = told["verdict"]
    return f"{'valid' if verdict['valid'] else 'NOT VALID'}, {verdict['bottleneck']}"


def expect(told: Told, words: str) -> None:
    if verdict_of(told) != words:
        raise Untrue(f"the verdict is {verdict_of(told)!r} where {words!r} is right: {told['verdict']['reasons']}")


# --- the stall -----------------------------------------------------------------------------


def by_hand() -> tuple[list[float], list[float]]:
    """Response and service times of all requests, sorted: each takes the connection that is free first."""
    free = [0.0] * CONNECTIONS
    begin, end = STALL[0], STALL[0] + STALL[1]
    responses, services = [], []
    for number in range(RATE * SECONDS):
        intended = number / RATE
        sent = max(intended, heapq.heappop(free))
        read = end if begin <= sent < end else sent
        answered = end if begin <= read + SERVICE < end else read + SERVICE
        heapq.heappush(free, answered)
        responses.append(answered - intended)
        services.append(answered - sent)
    return sorted(responses), sorted(services)


def ranked(values: list[float], percent: float) -> float:
    return values[max(1, math.ceil(len(values) * percent / 100)) - 1]


def stall() -> str:
    with paced(SERVICE, stall=STALL) as (target,):
        told = load(
            target, "-r", str(RATE), "-d", f"{SECONDS}s", "-c", str(CONNECTIONS), "--percentiles",
            ",".join(map(str, PERCENTS)),
        )  # fmt: skip
    if told["accounting"]["ok"] != RATE * SECONDS:
        raise Untrue(f"of {RATE * SECONDS} requests {told['accounting']} came of it")
    responses, services = by_hand()
    latency = told["latency_s"]
    lines, wrong = [], []
    for kind, truth, percents in (("response", responses, PERCENTS), ("service", services, UNSEEN)):
        for percent in percents:
            said, right = latency[kind]["p"][f"{percent:g}"], ranked(truth, percent)
            lines.append(f"    {kind:<9}p{percent:<5g} {said:7.3f} s, by hand {right:7.3f} s")
            if abs(said - right) > TOLERANCE:
                wrong.append(f"{kind} p{percent:g} is {said:.3f} s where {right:.3f} s is right")
    # By hand: the service times must not see what the response times are full of, or nothing was shown.
    assert ranked(services, 99) < 2 * SERVICE
    assert ranked(responses, 95) > 8 * TOLERANCE
    if wrong:
        error = Untrue(f"{'; '.join(wrong)} ({verdict_of(told)})")
        if told["verdict"]["bottleneck"] == "client":
            raise Disturbed(str(error))
        raise error
    return f"{verdict_of(told)}; as worked out\n" + "\n".join(lines)


class Disturbed(Untrue):
    """By a machine that had other things to do, as the verdict says itself."""


# --- slow servers ----------------------------------------------------------------------------

SLOW = 0.040


def _blamed(told: Told, words: str) -> str:
    if told["verdict"]["bottleneck"] == "client" != words.rpartition(" ")[2]:
        raise Disturbed(str(told["verdict"]["reasons"]))
    expect(told, words)
    return f"{verdict_of(told)}; {'; '.join(told['verdict']['reasons']) or 'no reasons against it'}"


def slow() -> str:
    with paced(SLOW) as (target,):
        return _blamed(load(target, "-c", "4", "-d", "2s", "--require-valid", expected=5), "valid, server")


def overrun() -> str:
    with paced(SLOW) as (target,):
        told = load(target, "-c", "4", "-d", "2s", "-r", "200", "--require-valid", expected=5)
    return _blamed(told, "NOT VALID, server")


# --- a generator that is held up -----------------------------------------------------------------

BURN = """\
import os, time
os.sched_setaffinity(0, {{{core}}})
end = time.monotonic() + 30
while time.monotonic() < end: pass
"""
PIN = """\
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
os.execv(sys.argv[2], sys.argv[2:])
"""
#: Of each tenth of a second it is stopped for so much.
STOPPED = 0.070


@contextmanager
def burning(core: int, count: int) -> Iterator[None]:
    """So many processes that want this core for themselves."""
    burners = [subprocess.Popen([sys.executable, "-c", BURN.format(core=core)]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def starved() -> str:
    core = max(os.sched_getaffinity(0))

    def run(words: list[str]) -> Ended:
        return plainly([sys.executable, "-c", PIN, str(core), *words])

    with paced(0.0001) as (target,), burning(core, 4):
        return _blamed(load(target, "-c", "8", "-d", "2s", "--require-valid", expected=5, run=run), "NOT VALID, client")


def stopped() -> str:
    def run(words: list[str]) -> Ended:
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            for number, seconds in ((signal.SIGSTOP, STOPPED), (signal.SIGCONT, 0.1 - STOPPED)):
                process.send_signal(number)  # to one that has ended: Popen knows, and sends nothing
                time.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    with paced(0.0001) as (target,):
        told = load(target, "-c", "4", "-d", "3s", "-r", "100", "--require-valid", expected=5, run=run)
    return _blamed(told, "NOT VALID, client")


# --- all of them -----------------------------------------------------------------------------

PARTS = {"stall": stall, "slow": slow, "overrun": overrun, "starved": starved, "stopped": stopped}


def attempt(name: str) -> bool:
    for number in range(1, TRIES + 1):
        try:
            print(f"{name:<9}{PARTS[name]()}", flush=True)
            return True
        except Disturbed as error:
            print(f"{name:<9}disturbed, try {number} of {TRIES}: {error}", flush=True)
        except Untrue as error:
            print(f"{name:<9}UNTRUE: {error}", flush=True)
            return False
    print(f"{name:<9}could not be shown: this machine has too much else to do", flush=True)
    return False


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.multiconn.loadtest.truth")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (all)")
    parts = parser.parse_args().parts or list(PARTS)
    for name in parts:
        if name not in PARTS:
            parser.error(f"{name!r} is no part: there are {', '.join(PARTS)}")
    if not hasattr(os, "sched_setaffinity"):
        print("starved: skipped, this system does not bind a process to a core", flush=True)
        parts = [name for name in parts if name != "starved"]
    try:
        held = [attempt(name) for name in parts]
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
