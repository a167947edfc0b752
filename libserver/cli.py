"""What does `app_server.py` accept, and what does it say?

The contract is the server's: names, defaults and exit codes are those of `docs/server.md`.
Not here: what the options mean (`libserver.limits`), serving (`libserver.server`).
"""

from __future__ import annotations

import argparse
import errno
import importlib
import logging
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from selectors import BaseSelector
from traceback import walk_tb
from typing import Any, NoReturn, Protocol

from commandline import Parser, VersionAction, checked
from eventloop import Address, parse_address, parse_duration
from eventloop.addresses import MAX_UNIX_PATH, TCP, UNIX, parse_port
from protocol import Limits
from protocol.limits import parse_count, parse_size
from protocol.printable import printable
from protocol.states import Observer

from .actions import Actions
from .failures import error_text
from .limits import ServerLimits
from .listeners import CannotListen, handed_over, refuse_handed_over
from .log import ANSWERS, DETAILS, FORMATS, LEVELS, check_logging, flush_log, set_up_logging
from .message import Message
from .reasons import CloseReason
from .server import SCHEMES, Server
from .signals import EXIT_SIGNAL, Signals
from .unix_files import parse_mode, parse_owner
from .usage import help_text

__all__ = ["main"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 65432

EXIT_DRAINED = 0
EXIT_CANNOT_START = 1
EXIT_USAGE = 2

log = logging.getLogger("multiconn.server")
answers = logging.getLogger(ANSWERS)

_DEFAULTS = ServerLimits()
_SIZES = Limits()


def _unix(text: str) -> Address:
    return parse_address(text if text.startswith("unix:") else f"unix:{text}", (UNIX,))


def _listen(text: str) -> Address:
    return parse_address(text, SCHEMES)


class _Parser(Parser):
    """Its help is a file, so that `--help` need not wait for the server (see `libserver.usage`)."""

    def refuse(self, sentence: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {printable(sentence)}\n")

    def format_help(self) -> str:
        return help_text()


def build_parser() -> argparse.ArgumentParser:
    """The command line, from which the help and the docs' table are made."""
    parser = _Parser(
        prog="app_server.py",
        description="The message server: many connections, one thread, one loop.",
        epilog="Sizes take k, m, g (1024); times us, ms, s, m, h; 0 turns a limit off where that is safe. "
        "SIGTERM and SIGINT drain (a second one stops at once); SIGUSR1 logs every open connection. "
        "Exit codes: 0 drained, 1 cannot start, 2 usage, 3 stopped inside an action that did not return, "
        "128+N stopped at once by a second signal N.",
    )
    add = parser.add_argument
    size, time, count = checked(parse_size), checked(parse_duration), checked(parse_count)
    add("host", nargs="?", metavar="HOST", help=f"address to listen on ({DEFAULT_HOST}); HOST:PORT in one word, too")
    add("--version", action=VersionAction)
    add("port", nargs="?", metavar="PORT", type=checked(parse_port), help=f"0 picks a free one ({DEFAULT_PORT})")
    add(
        "--app",
        metavar="MODULE:ATTRIBUTE",
        type=checked(_app),
        help="your own Actions registry (default: the built-in actions)",
    )
    add(
        "--unix",
        metavar="PATH",
        type=checked(_unix),
        action="append",
        default=[],
        help=f"also listen on a UNIX socket (path of at most {MAX_UNIX_PATH} bytes; @NAME: abstract, without a file); "
        "repeatable",
    )
    add(
        "--listen",
        metavar="ADDR",
        type=checked(_listen),
        action="append",
        default=[],
        help="also listen on tcp://HOST:PORT, tcp://[::]:PORT (IPv6 and IPv4), unix:/path, "
        "echo://HOST:PORT (raw TCP echo) or echo+udp://HOST:PORT; repeatable",
    )
    limits = parser.add_argument_group("limits")

    def limit(flag: str, kind: Callable[[str], Any], metavar: str, text: str) -> None:
        name = flag[2:].replace("-", "_")
        default = getattr(_SIZES, name, None) or getattr(_DEFAULTS, name, None)
        limits.add_argument(flag, type=kind, metavar=metavar, default=default, help=text)

    limit("--max-connections", count, "N", "open connections; the one too many is told 'overloaded' (10000)")
    limit("--max-connections-per-ip", count, "N", "of them from one IP address; 0: as many as there may be (0)")
    limit("--max-header", size, "SIZE", "bytes of a message's header (65535)")
    limit("--max-content", size, "SIZE", "bytes of a message's content (64m)")
    limit("--max-json", size, "SIZE", "of that if it is JSON, which is decoded while nobody else is served (1m)")
    limit("--header-timeout", time, "TIME", "for a whole header, from its first byte or from accept (10s)")
    limit("--content-timeout", time, "TIME", "without progress of a content (60s)")
    limit("--min-data-rate", size, "SIZE", "bytes a second while a message arrives, after 5s, in the last minute (240)")
    limit("--idle-timeout", time, "TIME", "between messages on a kept-alive connection (300s)")
    limit("--send-timeout", time, "TIME", "without progress towards a peer that does not read (60s)")
    limit("--write-high", size, "SIZE", "unsent bytes above which a connection's requests wait (256k)")
    limit("--write-low", size, "SIZE", "unsent bytes at which they go on (64k)")
    limit("--output-limit", size, "SIZE", "unsent bytes at which a connection is cut (128m)")
    limit("--requests-per-event", count, "N", "requests of one connection served before others get their turn (1024)")
    limit("--handler-threads", count, "N", "threads for actions declared blocking (4)")
    limit("--drain-timeout", time, "TIME", "after SIGTERM, for what was begun to finish (10s)")
    limit("--drain-grace", time, "TIME", "of that, for idle clients to ask once more; 0: they are closed at once (1s)")
    limit("--max-requests", count, "N", "requests of a connection, whose last reply says close; 0: any number (0)")
    limit("--max-age", time, "TIME", "of a connection, whose next reply then says close; 0: any age (0)")
    sockets = parser.add_argument_group("sockets")
    sockets.add_argument(
        "--backlog", type=count, metavar="N", default=_DEFAULTS.backlog, help="connections waiting for accept (4096)"
    )
    sockets.add_argument("--nagle", action="store_true", help="leave Nagle's algorithm on (default: TCP_NODELAY)")
    sockets.add_argument(
        "--unix-mode",
        metavar="MODE",
        type=checked(parse_mode),
        default=_DEFAULTS.unix_mode,
        help="permissions of the UNIX sockets' files, such as 660 (default: what the umask leaves)",
    )
    sockets.add_argument(
        "--unix-owner",
        metavar="USER:GROUP",
        type=checked(parse_owner),
        help="owner of these files: USER, USER:GROUP or :GROUP (default: who starts the server)",
    )
    sockets.add_argument("--reuse-port", action="store_true", help="SO_REUSEPORT: several servers on one port")
    sockets.add_argument(
        "--tcp-keepalive",
        type=time,
        metavar="TIME",
        default=_DEFAULTS.tcp_keepalive,
        help="idle time before the kernel probes a silent peer (300s); 0: never",
    )
    logs = parser.add_argument_group("log, on stderr")
    logs.add_argument("--log-level", type=str.lower, choices=LEVELS, default="info", help="(info)")
    logs.add_argument("--log-format", type=str.lower, choices=FORMATS, default="text", help="(text)")
    add_trace_options(parser, size)
    return parser


def add_trace_options(parser: argparse.ArgumentParser, size: Callable[[str], int]) -> None:
    """What is written down for study."""
    trace = parser.add_argument_group("study")
    trace.add_argument(
        "--trace",
        metavar="FILE",
        help="write every step of the state machines to this new file; takes ten times the processor time and more "
        "(see docs/trace-format.md)",
    )
    trace.add_argument(
        "--trace-sample", metavar="N", type=checked(_sample), default=1, help="of every N-th connection (1)"
    )
    trace.add_argument(
        "--trace-bytes", metavar="SIZE", type=size, default=4096, help="at most so many bytes of one system call (4k)"
    )


def _sample(text: str) -> int:
    if not (number := parse_count(text)):
        raise ValueError("every 0th connection is none: write 1 for all of them")
    return number


def addresses_of(arguments: argparse.Namespace) -> list[Address]:
    """Where to listen: HOST PORT if it is given or if nothing else is, then the others in order.

    Raises `ValueError` with a sentence for what is no HOST.
    """
    addresses = [*arguments.listen, *arguments.unix]
    if arguments.host is not None:
        addresses.insert(0, _first_address(arguments.host, arguments.port))
    elif not addresses:
        addresses.append(Address(TCP, DEFAULT_HOST, DEFAULT_PORT))
    return addresses


def _first_address(host: str, port: int | None) -> Address:
    """What the words without an option mean."""
    if host.lower() in ("help", "version"):
        raise ValueError(f"{host!r} is no HOST to listen on; did you mean --{host.lower()}?")
    if host.isdecimal():
        raise ValueError(f"{host} is no HOST: write {DEFAULT_HOST} {host}, or 0.0.0.0 {host} for every address")
    if host.startswith("unix:") or "://" in host or _has_port(host):
        if port is not None:
            raise ValueError(f"{host} {port} gives two ports: write HOST PORT or HOST:PORT, and others with --listen")
        return parse_address(host, SCHEMES)
    return Address(TCP, host.removeprefix("[").removesuffix("]"), DEFAULT_PORT if port is None else port)


def _has_port(host: str) -> bool:
    """HOST:PORT or [IPv6]:PORT, and no IPv6 address, which has more colons."""
    return host.count(":") == 1 or (host.startswith("[") and "]:" in host)


def _as_options(sentence: str) -> str:
    """What `Limits` and `ServerLimits` say of their fields, in the words of the command line."""
    names = "|".join([*Limits._fields, *ServerLimits.__dataclass_fields__])
    return re.sub(rf"\b(?:{names})\b", lambda name: "--" + name[0].replace("_", "-"), sentence)


class CannotLoad(Exception):
    """The user's own actions can't be had; the text is one sentence."""


def _app(text: str) -> str:
    module, _, attribute = text.partition(":")
    if not module or not attribute:
        raise ValueError(f"{text!r}: write MODULE:ATTRIBUTE, such as myapp:actions")
    if module.endswith(".py") or "/" in module:
        meant = module.removesuffix(".py").strip("./").replace("/", ".")
        raise ValueError(f"{text!r} names a file: write its module, {meant}:{attribute}, where it can be imported")
    return text


def load_actions(name: str) -> Actions:
    """The registry that `--app MODULE:ATTRIBUTE` names. Raises `CannotLoad`."""
    module_name, _, attribute = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name.split(".")[0] and error.name != module_name:
            raise CannotLoad(f"--app {name}: importing {module_name} failed: {_brief(error)}") from error
        raise CannotLoad(f"--app {name}: there is no module {module_name!r} here or on the path") from error
    except (Exception, SystemExit) as error:
        raise CannotLoad(f"--app {name}: importing {module_name} failed: {_brief(error)}") from error
    found = getattr(module, attribute, None)
    if not isinstance(found, Actions):
        what = "has no" if found is None else "is no libserver.Actions:"
        raise CannotLoad(f"--app {name}: {module_name} {what} {attribute}; write {attribute} = Actions() there")
    return found


def _brief(error: BaseException) -> str:
    """An exception in one line, with the place it came from."""
    words = error_text(error)
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {words}"  # which say where
    places = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    # The last of the user's own, not one of a library that it called.
    own = [place for place in places if place[0].startswith(str(Path.cwd()))] or places
    place = f" ({Path(own[-1][0]).name}, line {own[-1][1]})" if own else ""
    return f"{type(error).__name__}: {words}{place}"


class Recorder(Protocol):
    """What writes a trace: it is handed in by `app_server.py`, since the library knows nothing of study."""

    def observer(self) -> Observer | None: ...

    def tap(self, message: Message, sock: Any) -> Any: ...

    def selector(self) -> BaseSelector: ...

    def open(self) -> None: ...

    def close(self) -> None: ...


def main(argv: Sequence[str] | None = None, record: Callable[..., Recorder] | None = None) -> int:
    """Run the server; returns the exit code. `record` starts what `--trace` asks for."""
    parser = build_parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as error:
        return int(error.code or 0)
    try:
        set_up_logging(arguments.log_level, arguments.log_format)
    except RuntimeError as error:
        why = f"cannot start: {error}, and the log needs one; raise ulimit -u, or the pids limit of its cgroup"
        return _cannot(parser, why, EXIT_CANNOT_START)
    limits = {name: getattr(arguments, name) for name in ServerLimits.__dataclass_fields__}
    try:
        sizes = Limits(arguments.max_header, arguments.max_content, arguments.max_json)
        ServerLimits(**limits)
    except ValueError as error:
        return _cannot(parser, _as_options(str(error)), EXIT_USAGE)
    try:
        addresses = addresses_of(arguments)
    except ValueError as error:
        return _cannot(parser, str(error), EXIT_USAGE)
    try:
        recorder = _start_recording(arguments, record)
    except OSError as error:
        return _no_trace(parser, arguments, error)
    try:
        return _serve(parser, arguments, addresses, sizes, limits, recorder)
    finally:
        if recorder is not None:
            recorder.close()


def _start_recording(arguments: argparse.Namespace, record: Callable[..., Recorder] | None) -> Recorder | None:
    if arguments.trace is None:
        return None
    if record is None:
        raise OSError(errno.ENOTSUP, "only app_server.py writes traces")
    return record(
        arguments.trace,
        "server",
        sample=arguments.trace_sample,
        max_bytes=arguments.trace_bytes,
        failed=lambda error: log.warning("the trace ends here, the server goes on: %s", error),
        max_header=arguments.max_header,
        max_content=arguments.max_content,
        max_json=arguments.max_json,
    )


def _serve(
    parser: argparse.ArgumentParser,
    arguments: argparse.Namespace,
    addresses: list[Address],
    sizes: Limits,
    limits: dict[str, Any],
    recorder: Recorder | None,
) -> int:
    more: dict[str, Any] = {}
    if recorder is not None:
        more = {"observer": recorder.observer, "tap": recorder.tap, "selector": recorder.selector()}
    try:
        refuse_handed_over(handed_over())
        actions = Actions()
        if arguments.app:
            actions = load_actions(arguments.app)
            check_logging(arguments.log_level, arguments.log_format)
        server = Server(addresses, actions, sizes, **more, **limits)
    except (CannotLoad, CannotListen) as error:
        if isinstance(error, CannotLoad) and error.__cause__ is not None:
            log.debug("%s", error, exc_info=error.__cause__)
        return _cannot(parser, str(error), EXIT_CANNOT_START)
    except OSError as error:  # of the loop's own descriptors
        return _cannot(parser, f"cannot start: {error.strerror}; raise the limit with ulimit -n", EXIT_CANNOT_START)
    if recorder is not None:
        try:
            recorder.open()  # not before the listeners are bound: who finds the port taken has nothing to write
        except OSError as error:
            server.close()
            return _no_trace(parser, arguments, error)
    with server:  # an interrupt that comes before `run` leaves no socket's file behind either
        signals = Signals(server)
        try:
            for address in server.addresses:
                answers.info("Listening on %s", address)
            server.run()
        finally:
            signals.over()
    _say_goodbye(server)
    if signals.second is not None:
        # Handler threads may still be busy: they are daemons, and nothing waits for them.
        return EXIT_SIGNAL + signals.second
    return EXIT_DRAINED


def _no_trace(parser: argparse.ArgumentParser, arguments: argparse.Namespace, error: OSError) -> int:
    return _cannot(parser, f"--trace {arguments.trace}: {error.strerror}", EXIT_CANNOT_START)


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
