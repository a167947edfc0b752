"""One setting: two servers, perhaps a proxy, all kinds of clients at once, until enough was seen."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.restart.books import Account, Route, account
from benchmarks.restart.clients import Traffic
from benchmarks.restart.namespace import cannot_migrate, migrating
from benchmarks.restart.pair import HOST, Pair, keep_port
from benchmarks.restart.proxy import HAProxy, haproxy
from eventloop import EventLoop, parse_address
from libclient.connect import resolve

__all__ = ["SETTINGS", "Enough", "Outcome", "cannot", "run"]

REUSE_PORT = "reuse-port"
MIGRATED = "reuse-port-migrated"
PROXIED = "haproxy"
TOLD = "haproxy-told"
SETTINGS = {
    REUSE_PORT: "both listen on one port (--reuse-port), and the kernel chooses",
    MIGRATED: "the same in a network of its own where the kernel hands the accept queue on (tcp_migrate_req)",
    PROXIED: "HAProxy in TCP mode before them, which finds out by itself that a server goes away",
    TOLD: "the same, and HAProxy hears of each end before it",
}

#: Seconds for clients to finish what they began, once they are to stop.
FINISH = 30.0
#: Seconds for the proxy's last lines to arrive.
LAST_LINES = 0.5


def cannot(setting: str) -> str | None:
    """Why a setting can't be tried here, or None."""
    if setting == MIGRATED:
        return cannot_migrate()
    if setting in (PROXIED, TOLD) and haproxy() is None:
        return "haproxy is not installed (Debian: apt-get install haproxy)"
    return None


@dataclass(frozen=True)
class Enough:
    """Stop when each kind of client has had so many replies and there were so many restarts; or after `seconds`."""

    requests: int
    restarts: int
    seconds: float


@dataclass
class Outcome:
    """`accounts` by kind of client; `wrong`: what else was not as it should be, in words."""

    setting: str
    seconds: float
    restarts: int
    accounts: dict[str, Account]
    traffic: dict[str, Traffic]
    wrong: list[str]

    @property
    def holds(self) -> bool:
        return not self.wrong and all(one.holds for one in self.accounts.values())


def run(
    setting: str,
    kinds: Sequence[str],
    enough: Enough,
    arguments: Sequence[str] = (),
    say: Callable[[str], object] = lambda text: None,
) -> Outcome:
    """Raises `CannotStart` and `OSError`. `arguments` are for app_server.py."""
    with migrating() if setting == MIGRATED else nullcontext(), tempfile.TemporaryDirectory() as directory:
        return _run(setting, kinds, enough, arguments, say, Path(directory))


@contextmanager
def _a_loop() -> Iterator[EventLoop]:
    loop = EventLoop()
    try:
        yield loop
    finally:
        loop.close()


def _run(
    setting: str,
    kinds: Sequence[str],
    enough: Enough,
    arguments: Sequence[str],
    say: Callable[[str], object],
    directory: Path,
) -> Outcome:
    proxied = setting in (PROXIED, TOLD)
    route: Route | None = None
    with ExitStack() as open_:
        loop = open_.enter_context(_a_loop())
        ports = [open_.enter_context(keep_port()).getsockname()[1] for _ in range(2 if proxied else 1)]
        pair = Pair(ports, directory, arguments)
        with pair:
            port = ports[0]
            if proxied:
                proxy = HAProxy(loop, ports, directory)
                open_.callback(proxy.stop)
                port, route = proxy.port, proxy.route
                pair.after = proxy.put_back
                if setting == TOLD:
                    pair.before = proxy.take_out
            address = parse_address(f"tcp://{HOST}:{port}")
            clients = {kind: Traffic(loop, resolve(address), kind) for kind in kinds}
            begun = time.monotonic()
            pair.begin()
            _serve(loop, list(clients.values()), pair, enough, say)
            seconds = time.monotonic() - begun
            pair.stop_restarting()
            if proxied:
                _turn(loop, time.monotonic() + LAST_LINES, lambda: False)
        accepted, carried = pair.books()
    wrong = list(pair.wrong)
    accounts = {}
    for kind, traffic in clients.items():
        if not traffic.settled:
            wrong.append(f"{kind}: clients did not come to their end within {FINISH:g} s")
        accounts[kind] = account(
            traffic.answered + len(traffic.lost),
            traffic.lost,
            traffic.answered_twice,
            accepted,
            carried,
            traffic.numbers,
            route,
        )
    return Outcome(setting, seconds, pair.restarts, accounts, clients, wrong)


def _serve(
    loop: EventLoop, clients: Sequence[Traffic], pair: Pair, enough: Enough, say: Callable[[str], object]
) -> None:
    begun = time.monotonic()
    for traffic in clients:
        traffic.start()

    def is_enough() -> bool:
        replies = ", ".join(f"{traffic.kind} {traffic.answered:,} ({len(traffic.lost)} lost)" for traffic in clients)
        say(f"{time.monotonic() - begun:.0f} s, {pair.restarts} restarts: {replies}")
        seen = min(traffic.answered for traffic in clients)
        return pair.over or (pair.restarts >= enough.restarts and seen >= enough.requests)

    _turn(loop, begun + enough.seconds, is_enough)
    for traffic in clients:
        traffic.stop()
    _turn(loop, time.monotonic() + FINISH, lambda: all(traffic.settled for traffic in clients))


def _turn(loop: EventLoop, until: float, done: Callable[[], bool]) -> None:
    """Turn the loop until `done`, which is asked five times a second, or until then."""
    while (now := time.monotonic()) < until and not done():
        again = min(now + 0.2, until)
        while (left := again - time.monotonic()) > 0:
            loop.run_once(left)
