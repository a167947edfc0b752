"""Which options does `app_server.py` have, and which values do they give?

Names and defaults are in `docs/look-up/server.md`.

Not here: the meaning of the options (`libserver.limits`), their use (`multiconn.commands.server`).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

from eventloop import Address, parse_address
from eventloop.addresses import MAX_UNIX_PATH, TCP, UNIX, parse_port
from libserver import ServerLimits
from libserver.redis_backplane import parse_backplane
from libserver.server import SCHEMES
from libserver.unix_files import parse_mode, parse_owner
from protocol import Limits
from protocol.limits import parse_count

from .arguments import Parser, VersionAction, checked, duration, size
from .server_actions import app_name
from .server_help import help_text
from .server_log import FORMATS, LEVELS
from .tracing import add_trace_options

__all__ = ["addresses_of", "as_options", "build_parser"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 65432

_DEFAULTS = ServerLimits()
_SIZES = Limits()


def _unix(text: str) -> Address:
    return parse_address(text if text.startswith("unix:") else f"unix:{text}", (UNIX,))


def _listen(text: str) -> Address:
    return parse_address(text, SCHEMES)


class _Parser(Parser):
    """Its help is a file, so that `--help` need not wait for the server (see `server_help`)."""

    def format_help(self) -> str:
        return help_text()


def build_parser() -> argparse.ArgumentParser:
    """The command line; docs/generate.py makes the help and the docs' table from it."""
    parser = _Parser(
        prog="app_server.py",
        description="The message server: many connections, one thread, one loop.",
        epilog="Sizes take k, m, g (1024); times us, ms, s, m, h; 0 turns a limit off where that is safe. "
        "SIGTERM and SIGINT drain (a second one stops at once); SIGUSR1 logs every open connection. "
        "Exit codes: 0 drained, 1 cannot start, 2 usage, 3 stopped inside an action that did not return, "
        "128+N stopped at once by a second signal N.",
    )
    add = parser.add_argument
    count = checked(parse_count)  # from 0, unlike a client's
    add("host", nargs="?", metavar="HOST", help=f"address to listen on ({DEFAULT_HOST}); HOST:PORT in one word, too")
    add("--version", action=VersionAction)
    add("port", nargs="?", metavar="PORT", type=checked(parse_port), help=f"0 picks a free one ({DEFAULT_PORT})")
    add(
        "--app",
        metavar="MODULE:ATTRIBUTE",
        type=checked(app_name),
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
    topics = parser.add_argument_group("topics, which clients subscribe to")

    def limit(flag: str, kind: Callable[[str], Any], metavar: str, text: str, group: Any = limits) -> None:
        name = flag[2:].replace("-", "_")
        default = getattr(_SIZES, name, None) or getattr(_DEFAULTS, name, None)
        group.add_argument(flag, type=kind, metavar=metavar, default=default, help=text)

    limit("--max-connections", count, "N", "open connections; the next gets the error 'overloaded' (10000)")
    limit("--max-connections-per-ip", count, "N", "open connections from one IP address; 0: no limit (0)")
    limit("--max-header", size, "SIZE", "bytes of a message's header (65535)")
    limit("--max-content", size, "SIZE", "bytes of a message's content (64m)")
    limit("--max-json", size, "SIZE", "bytes of a JSON content; decoding one holds up all others (1m)")
    limit("--header-timeout", duration, "TIME", "time for a whole header, from its first byte or from accept (10s)")
    limit("--content-timeout", duration, "TIME", "time without a byte of an arriving content (60s)")
    limit("--min-data-rate", size, "SIZE", "least bytes a second of an arriving message, after 5s, over a minute (240)")
    limit("--idle-timeout", duration, "TIME", "time between messages on a kept-alive connection (300s)")
    limit("--send-timeout", duration, "TIME", "time without progress towards a peer that does not read (60s)")
    limit("--write-high", size, "SIZE", "unsent bytes above which a connection's requests wait (256k)")
    limit("--write-low", size, "SIZE", "unsent bytes at which the connection's requests go on (64k)")
    limit("--output-limit", size, "SIZE", "unsent bytes at which the server cuts a connection (128m)")
    limit("--requests-per-event", count, "N", "requests of one connection served before others get their turn (1024)")
    limit("--handler-threads", count, "N", "threads for actions declared blocking (4)")
    limit("--drain-timeout", duration, "TIME", "time after SIGTERM to finish requests in progress (10s)")
    limit("--drain-grace", duration, "TIME", "time after SIGTERM in which idle clients may ask once more; 0: none (1s)")
    limit("--max-requests", count, "N", "requests of a connection; the last reply says close; 0: no limit (0)")
    limit("--max-age", duration, "TIME", "age at which a connection's next reply says close; 0: no limit (0)")
    limit("--history", count, "N", "messages of a topic that the server remembers (100)", topics)
    limit("--history-bytes", size, "SIZE", "bytes of a topic's messages that the server remembers (1m)", topics)
    limit("--max-topics", count, "N", "topics; the next takes the place of one without subscribers (10000)", topics)
    limit("--max-subscriptions", count, "N", "subscriptions of one connection (100)", topics)
    limit(
        "--push-queue", size, "SIZE", "bytes of messages that wait; beyond it the slowest reader is cut (64m)", topics
    )
    topics.add_argument(
        "--backplane",
        metavar="URL",
        type=checked(parse_backplane),
        help="redis://HOST:PORT[/PREFIX]: share topics with other servers (needs the extra redis)",
    )
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
        help="owner of the UNIX sockets' files: USER, USER:GROUP or :GROUP (default: the user who starts the server)",
    )
    sockets.add_argument("--reuse-port", action="store_true", help="SO_REUSEPORT: several servers on one port")
    sockets.add_argument(
        "--tcp-keepalive",
        type=duration,
        metavar="TIME",
        default=_DEFAULTS.tcp_keepalive,
        help="idle time before the kernel probes a silent peer (300s); 0: never",
    )
    logs = parser.add_argument_group("log, on stderr")
    logs.add_argument("--log-level", type=str.lower, choices=LEVELS, default="info", help="least level to log (info)")
    logs.add_argument(
        "--log-format",
        type=str.lower,
        choices=FORMATS,
        default="text",
        help="text for people, json for programs (text)",
    )
    add_trace_options(parser)
    return parser


def addresses_of(arguments: argparse.Namespace) -> list[Address]:
    """Where to listen: HOST PORT if given, or if no other address is; then the others in order.

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


def as_options(sentence: str) -> str:
    """What `Limits` and `ServerLimits` say of their fields, in the words of the command line."""
    names = "|".join([*Limits._fields, *ServerLimits.__dataclass_fields__])
    return re.sub(rf"\b(?:{names})\b", lambda name: "--" + name[0].replace("_", "-"), sentence)
