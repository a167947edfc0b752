"""What can be asked on the command line?

    python -m suites.conformance --server HOST:PORT [--pid PID] [--command COMMAND]
    python -m suites.conformance --command COMMAND
    python -m suites.conformance --client COMMAND
    python -m suites.conformance --list

Exit codes: 0 nothing FAILED, 1 something did, 2 usage or a report that can't be
written, 3 the target can't be reached, 130 interrupted.

Not here: the cases, and everything they do.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import report
from .case import CASES, CLIENT, FAILED, SERVER, Case, Options, Target
from .runner import run
from .spawned import StartedTarget
from .targets import CannotReach, ServerTarget

try:  # a checkout's care for odd pipes and full disks; a copy of this directory does without it
    from multiconn.commands import stdio
except ImportError:
    stdio = None  # type: ignore[assignment]

__all__ = ["main"]

USAGE, UNREACHED, INTERRUPTED = 2, 3, 130

#: What holds if the user says nothing.
TOLD = Options()

_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def load_cases() -> None:
    """Import every module of cases beside this one: they register themselves."""
    here = Path(__file__).resolve().parent
    for module in sorted(pkgutil.iter_modules([str(here)]), key=lambda module: module.name):
        if module.name.startswith(("server_", "client_")):
            importlib.import_module(f".{module.name}", __package__)


def size(text: str) -> int:
    number, unit = (text[:-1], _UNITS[text[-1].lower()]) if text[-1:].lower() in _UNITS else (text, 1)
    if not number.isascii() or not number.isdigit() or len(number) > 15:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 65535, 512k or 64m")
    return int(number) * unit


def seconds(text: str) -> float:
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        value = -1.0
    if not 0.5 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.5 to 3600")
    return value


def address(text: str) -> tuple[str, int]:
    host, _, port = text.removeprefix("tcp://").rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}",
        description="Does a server, or a client, speak the wire contract? Raw sockets, standard library only.",
        epilog="Exit codes: 0 nothing FAILED, 1 something did, 2 usage, 3 the target can't be reached, "
        "130 interrupted.",
    )
    what = parser.add_argument_group("what is tested (one of them, or --list)")
    what.add_argument("--server", type=address, metavar="HOST:PORT", help="a server that is running")
    what.add_argument("--client", metavar="COMMAND", help="a client: COMMAND is run for each case")
    what.add_argument("--list", action="store_true", help="show the cases, and end")
    what.add_argument(
        "--case",
        action="append",
        default=[],
        metavar="ID",
        help="only this one, or all that begin so (HV1); repeatable",
    )
    more = parser.add_argument_group("what may be known of a server")
    more.add_argument("--pid", type=int, help="its process: shows spinning, memory, descriptors (Linux)")
    more.add_argument(
        "--command",
        metavar="COMMAND",
        help="starts one like it, for what ends a server; prints 'Listening on tcp://HOST:PORT'; "
        "{port} in it becomes a port. Without --server that one is tested",
    )
    more.add_argument(
        "--max-content", type=size, default=TOLD.max_content, metavar="SIZE", help="its limit of a content (64m)"
    )
    more.add_argument(
        "--max-json", type=size, default=TOLD.max_json, metavar="SIZE", help="of a content that is JSON (1m)"
    )
    more.add_argument("--max-header", type=size, default=TOLD.max_header, metavar="SIZE", help="of a header (65535)")
    more.add_argument(
        "--max-connections", type=size, default=TOLD.max_connections, metavar="N", help="of connections (10000)"
    )
    more.add_argument("--blocking-action", metavar="NAME", help="an action that takes its time and answers its value")
    more.add_argument("--failing-action", metavar="NAME", help="an action whose handler raises")
    parser.add_argument_group("what may be known of a client").add_argument(
        "--pipelining-client",
        metavar="COMMAND",
        help="one that makes {count} requests (echo or search) to {host}:{port} over kept-alive connections, several "
        "under way at once, and ends with exit code 0 only if each was answered rightly",
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--patience",
        type=seconds,
        default=TOLD.patience,
        metavar="SECONDS",
        help="timers beyond it are INFORMATIONAL (12)",
    )
    how.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    how.add_argument("--html", type=Path, metavar="FILE", help="write them as one page")
    how.add_argument("--quiet", action="store_true", help="say the summary only")
    return parser


def _options(arguments: argparse.Namespace) -> Options:
    return Options(
        patience=arguments.patience,
        pid=arguments.pid,
        command=arguments.command,
        max_content=arguments.max_content,
        max_json=min(arguments.max_json, arguments.max_content),
        max_header=arguments.max_header,
        max_connections=arguments.max_connections,
        blocking_action=arguments.blocking_action,
        failing_action=arguments.failing_action,
        pipelining_client=arguments.pipelining_client,
    )


def _target(arguments: argparse.Namespace, options: Options) -> Target:
    if arguments.server:
        host, port = arguments.server
        return ServerTarget(host, port, options)
    if arguments.client:
        try:
            module = importlib.import_module(".client_target", __package__)
        except ModuleNotFoundError:
            raise CannotReach("this copy of the suite has no cases for clients") from None
        target: Target = module.open_target(arguments.client, options)
        return target
    return StartedTarget(arguments.command, options)


def _chosen(cases: Sequence[Case], wanted: Sequence[str]) -> list[Case]:
    """Those named; a name that is no id stands for all ids that begin with it and a dot or digits."""
    if not wanted:
        return list(cases)
    for name in wanted:
        if not any(_names(name, case.id) for case in cases):
            raise KeyError(name)
    return [case for case in cases if any(_names(name, case.id) for name in wanted)]


def _names(name: str, id: str) -> bool:
    return id == name or (id.startswith(name) and (name.isalpha() or id[len(name)] == "."))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the suite and return its exit code; `argv` defaults to the command line's arguments."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    load_cases()
    serving = bool(arguments.server or arguments.command)
    if serving and arguments.client:
        parser.error("a server and a client are two runs")
    role = SERVER if serving else CLIENT if arguments.client else None
    if role is None and not arguments.list:
        parser.error("say --server HOST:PORT, --command COMMAND, --client COMMAND or --list")
    try:
        cases = _chosen([case for case in CASES.values() if role in (None, case.role)], arguments.case)
    except KeyError as unknown:
        parser.error(f"there is no case {unknown.args[0]}; --list shows them")
    if arguments.list:
        print(report.listing(cases))
        return 0
    try:
        target = _target(arguments, _options(arguments))
    except CannotReach as error:
        print(f"conformance: {error}", file=sys.stderr)
        return UNREACHED
    return _run(cases, target, arguments)


def _run(cases: Sequence[Case], target: Target, arguments: argparse.Namespace) -> int:
    begun = time.monotonic()
    progress = report.Progress(len(cases), quiet=arguments.quiet)
    try:
        results, complete = run(cases, target, progress)
    finally:
        progress.end()
        target.close()
    took = time.monotonic() - begun
    print(report.summary(results, took) + ("" if complete else " (interrupted)"), flush=True)  # the files may fail
    unwritten = 0
    for path, write in ((arguments.json, report.as_json), (arguments.html, report.as_html)):
        if path is not None:
            try:
                path.write_text(write(results, target.name, took, complete), encoding="utf-8")
            except OSError as error:
                print(f"conformance: {path} can't be written: {error.strerror}", file=sys.stderr)
                unwritten = USAGE
    if not complete:
        return INTERRUPTED
    return unwritten or int(any(result.verdict == FAILED for result in results))


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP):  # what is known by then is told, as at Ctrl-C
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    sys.exit(main() if stdio is None else stdio.run("conformance", main))
