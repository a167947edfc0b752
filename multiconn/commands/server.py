"""In which order does `app_server.py` start and end, and what does it say?

Exit codes: 0 drained, 1 it cannot start, 2 usage, 3 and 128+N as `server_signals` has it.

Not here: the options (`server_options`), signals (`server_signals`), serving (`libserver.server`).
"""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from collections.abc import Sequence
from typing import Any

from eventloop import Address, Endpoint
from libserver import CannotListen, CloseReason, Server, ServerLimits
from libserver.listeners import handed_over, refuse_handed_over
from libserver.redis_backplane import RedisBackplane
from protocol import Limits
from protocol.printable import printable

from . import CANNOT_START, DONE, SIGNAL, USAGE, UsageError
from .server_actions import CannotLoad, builtin_actions, load_actions
from .server_log import ANSWERS, DETAILS, check_logging, flush_log, set_up_logging
from .server_options import addresses_of, as_options, build_parser
from .server_signals import Signals
from .tracing import CannotTrace, Instruments, instruments

__all__ = ["main"]

log = logging.getLogger("multiconn.server")
answers = logging.getLogger(ANSWERS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server; returns the exit code."""
    parser = build_parser()
    try:
        arguments = parser.parse_args(argv)
    except UsageError as error:
        return _cannot(parser, str(error), USAGE)
    except SystemExit as done:  # --help, --version
        return int(done.code or 0)
    try:
        set_up_logging(arguments.log_level, arguments.log_format)
    except RuntimeError as error:
        why = f"cannot start: {error}, and the log needs one; raise ulimit -u, or the pids limit of its cgroup"
        return _cannot(parser, why, CANNOT_START)
    limits = {name: getattr(arguments, name) for name in ServerLimits.__dataclass_fields__}
    try:
        sizes = Limits(arguments.max_header, arguments.max_content, arguments.max_json)
        ServerLimits(**limits)
    except ValueError as error:
        return _cannot(parser, as_options(str(error)), USAGE)
    try:
        addresses = addresses_of(arguments)
    except ValueError as error:
        return _cannot(parser, str(error), USAGE)
    try:
        with instruments(arguments, "server", _no_more_trace, **sizes._asdict()) as seen:
            return _serve(parser, arguments, addresses, sizes, limits, seen)
    except CannotTrace as error:
        return _cannot(parser, str(error), CANNOT_START)


def _no_more_trace(error: Exception) -> None:
    log.warning("the trace ends here, the server goes on: %s", error)


def _serve(
    parser: argparse.ArgumentParser,
    arguments: argparse.Namespace,
    addresses: list[Address],
    sizes: Limits,
    limits: dict[str, Any],
    seen: Instruments,
) -> int:
    watched: dict[str, Any] = {"observer": seen.observer, "tap": seen.tap, "selector": seen.selector(None)}
    try:
        refuse_handed_over(handed_over())
        backplane = _backplane(arguments.backplane)
        if arguments.app:
            actions = load_actions(arguments.app)
            check_logging(arguments.log_level, arguments.log_format)
        else:
            actions = builtin_actions(backplane)
        server = Server(addresses, actions, sizes, **watched, **limits)
    except (CannotLoad, CannotListen) as error:
        if isinstance(error, CannotLoad) and error.__cause__ is not None:
            log.debug("%s", error, exc_info=error.__cause__)
        return _cannot(parser, str(error), CANNOT_START)
    except OSError as error:  # of the loop's own descriptors
        return _cannot(parser, f"cannot start: {error.strerror}; raise the limit with ulimit -n", CANNOT_START)
    with server:  # an interrupt that comes before `run` leaves no socket's file behind either
        seen.begin()  # not before the listeners are bound: a server that finds its port taken has nothing to write
        signals = Signals(server)
        try:
            for address in server.addresses:
                answers.info("Listening on %s", address)
            server.run()
        finally:
            signals.over()
    _say_goodbye(server)
    if signals.second is not None:
        # Handler threads may still be busy: they are daemons, and the process does not wait for them.
        return SIGNAL + signals.second
    return DONE


def _backplane(place: tuple[Address, str] | None) -> RedisBackplane | None:
    """What `--backplane` names. Raises `CannotLoad`: a name is looked up once, before the server listens."""
    if place is None:
        return None
    try:
        import hiredis  # noqa: F401
    except ImportError:
        raise CannotLoad("--backplane needs hiredis: pip install 'multiconn[redis]'") from None
    address, prefix = place
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CannotLoad(f"--backplane: the host name {address.host!r} could not be resolved: {error}") from error
    endpoints = [Endpoint(family, sockaddr) for family, _, _, _, sockaddr in found]
    return RedisBackplane(endpoints, prefix or "multiconn")


def _cannot(parser: argparse.ArgumentParser, why: str, code: int) -> int:
    flush_log()  # what was logged came first
    print(f"{parser.prog}: {printable(why)}", file=sys.stderr)
    return code


def _say_goodbye(server: Server) -> None:
    if server.cut:
        log.warning("Cut while still busy, at the drain timeout or a second signal: %d", server.cut)
    by_reason = ", ".join(f"{r.value} {server.closed_by[r]}" for r in CloseReason if server.closed_by[r])
    by_code = ", ".join(f"{code} {count}" for code, count in sorted(server.errors.items()))
    details = {
        "event": "ended",
        "accepted": server.accepted,
        "closed": {reason.value: count for reason, count in server.closed_by.items()},
        "requests": server.requests,
        "errors": dict(server.errors),
    }
    if server.requests or by_code:
        log.info("Served: requests %d%s", server.requests, f", errors: {by_code}" if by_code else "")
    text = "Closed: accepted %d%s"
    log.info(text, server.accepted, f" ({by_reason})" if by_reason else "", extra={DETAILS: details})
