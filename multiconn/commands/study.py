"""What can be learnt from the tables and from a trace?  `python -m study COMMAND ...`

    diagram                       the state machines as Mermaid, DOT or SVG
        explain TRACE                 what happened on each connection, in sentences
    replay TRACE                  does the machine take the same transitions again?
        coverage TRACE...             which rows the traces took, how often, and which never
    step [SCRIPT]                 give the machine bytes, cut as you like, and watch it move
    view TRACE [TRACE2] -o FILE   one page to step through: both ends, bytes, rows, masks, source lines
    export TRACE -o FILE.pcap     a capture that Wireshark opens (with study/multiconn.lua it understands it)

Exit codes: 0 done, 1 the answer is no (a replay that differs), 2 usage, a file that is no trace or an
output that can't be written, 130 interrupted, 141 the output's reader has gone.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

from protocol import CLIENT, SERVER
from protocol.files import replace
from protocol.printable import printable
from protocol.states import MACHINES
from study import coverage, diagram
from study.explain import counted, explain, explain_together, wrapped
from study.pcap import pcap
from study.replay import CannotReplay, replay
from study.step import HELP, Session, Unexpected, run_script
from study.trace import BadTrace, Trace, load
from study.view import CannotView, page

from . import DONE, NO, USAGE, UsageError, stdio

__all__ = ["main"]

#: Bytes of a page above which browsers need seconds to read it.
LARGE = 60_000_000


def _load(path: str) -> Trace:
    try:
        trace = load(Path(path))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except BadTrace as error:
        raise UsageError(f"{path}: {error}") from None
    if trace.truncated:
        print(f"{printable(path)}: the last record was not written whole; it is left out", file=sys.stderr)
    return trace


def _tell(lines: Iterable[str]) -> None:
    """Print them; on a terminal so that no word is cut at its edge. In a pipe a line stays one."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for line in lines:
        line = printable(line)
        print(wrapped(line, width) if 0 < width < len(line) else line)


def _diagram(options: argparse.Namespace) -> int:
    machines = [diagram.named(options.machine)] if options.machine else list(MACHINES)
    if options.output and len(machines) > 1:
        raise UsageError(
            f"one file holds one machine: say which with --machine ({', '.join(m.name for m in MACHINES)})"
        )
    draw = diagram.FORMATS[options.format]
    text = "\n".join(draw(machine) for machine in machines) + "\n"
    if not options.output:
        print(text, end="")
        return DONE
    try:
        replace(options.output, [text.encode()])
    except OSError as error:
        raise UsageError(f"{options.output}: {error.strerror}") from None
    return DONE


def _explain(options: argparse.Namespace) -> int:
    trace = _load(options.trace)
    try:
        _tell(explain_together(trace) if options.together else explain(trace, options.connection))
    except KeyError:
        known = list(trace.groups)
        shown = ", ".join(known[:10]) + (" ..." if len(known) > 10 else "")
        raise UsageError(f"{options.trace}: there is no connection {options.connection}; there are {shown}") from None
    return DONE


def _replay(options: argparse.Namespace) -> int:
    same = different = compared = 0
    try:
        for verdict in replay(_load(options.trace)):
            compared += verdict.compared + verdict.checked
            if verdict.differences:
                different += 1
                for difference in verdict.differences:
                    print(printable(f"connection {verdict.group}: {difference}"))
            else:
                same += 1
    except CannotReplay as error:
        raise UsageError(f"{options.trace}: {error}") from None
    rows = counted(compared, "transition")
    print(f"{counted(same, 'connection')} took the same transitions again, {different} did not ({rows})")
    return NO if different else DONE


def _coverage(options: argparse.Namespace) -> int:
    for line in coverage.report(coverage.count(_load(path) for path in options.trace)):
        print(printable(line))
    return DONE


def _step(options: argparse.Namespace) -> int:
    if options.script is None and sys.stdin.isatty():
        return _interactive(Session(options.role))
    piped = options.script in (None, "-")
    try:
        with nullcontext(sys.stdin) if piped else open(options.script, encoding="utf-8") as file:
            _tell(run_script(file, options.role))
    except Unexpected as failed:
        print(printable(f"{options.script or 'standard input'}: {failed}"), file=sys.stderr)
        return NO
    except OSError as error:
        raise UsageError(f"{options.script}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{options.script}: a script is UTF-8 text") from None
    return DONE


def _interactive(session: Session) -> int:
    _tell(["Write bytes and send them, in pieces if you like; help tells how. Begin with: frame search morpheus"])
    while True:
        try:
            _tell("  " + line for line in session.do(stdio.ask(session.prompt)))
        except Unexpected as failed:
            print(printable(f"  no: {failed}"))
        except (EOFError, StopIteration):
            return DONE


def _export(options: argparse.Namespace) -> int:
    trace = _load(options.trace)
    try:
        replace(options.output, pcap(trace))
    except OSError as error:
        raise UsageError(f"{options.output}: {error.strerror}") from None
    return DONE


def _view(options: argparse.Namespace) -> int:
    if len(options.trace) > 2:
        raise UsageError("a page shows one trace, or two: a client's and a server's")
    traces = [(path, _load(path)) for path in options.trace]
    try:
        made = page([(printable(Path(path).name), trace) for path, trace in traces])
    except CannotView as refused:
        raise UsageError(str(refused)) from None
    raw = made.html.encode()
    try:
        replace(options.output, [raw])
    except OSError as error:
        raise UsageError(f"{options.output}: {error.strerror}") from None
    both = f", {made.paired:,} seen from both ends" if len(traces) == 2 else ""
    size = f"{len(raw) / 1e6:,.1f} MB"
    shown = f"{counted(made.connections, 'connection')}{both}, {counted(made.events, 'event')}"
    print(printable(f"{options.output}: {shown}, {size}"), file=sys.stderr)
    if len(raw) > LARGE:
        advice = "a browser will be slow with that: record less (--trace-sample, --trace-bytes)"
        print(printable(f"{options.output}: {advice}"), file=sys.stderr)
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m study", description="The state machine, laid open.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    one = commands.add_parser("diagram", help="the state machines as Mermaid, DOT or SVG")
    one.add_argument("--machine", choices=[machine.name for machine in MACHINES], help="draw this machine only (all)")
    one.add_argument("--format", choices=list(diagram.FORMATS), default="mermaid", help="output format (mermaid)")
    one.add_argument("-o", "--output", metavar="FILE", help="write to this file (stdout)")
    one.set_defaults(run=_diagram)

    one = commands.add_parser("explain", help="what happened on each connection, in sentences")
    one.add_argument("trace", metavar="TRACE")
    which = one.add_mutually_exclusive_group()
    which.add_argument("--connection", metavar="ID", help="explain this connection only (all)")
    which.add_argument("--together", action="store_true", help="mix all connections, in the order of the loop's steps")
    one.set_defaults(run=_explain)

    one = commands.add_parser("replay", help="does the machine take the same transitions again?")
    one.add_argument("trace", metavar="TRACE")
    one.set_defaults(run=_replay)

    one = commands.add_parser("coverage", help="which rows the traces took, how often, and which never")
    one.add_argument("trace", metavar="TRACE", nargs="+")
    one.set_defaults(run=_coverage)

    one = commands.add_parser(
        "step",
        help="give the machine bytes, cut as you like, and watch it move",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument("script", metavar="SCRIPT", nargs="?", help="a file of commands, or - (interactive)")
    one.add_argument("--role", choices=[SERVER, CLIENT], default=SERVER, help="which end's machine (server)")
    one.set_defaults(run=_step)

    one = commands.add_parser("view", help="one page to step through, with both ends side by side")
    one.add_argument("trace", metavar="TRACE", nargs="+", help="a trace, or a client's and a server's in either order")
    one.add_argument("-o", "--output", metavar="FILE", required=True, help="the page: HTML, with everything in it")
    one.set_defaults(run=_view)

    one = commands.add_parser("export", help="a capture that Wireshark opens")
    one.add_argument("trace", metavar="TRACE")
    one.add_argument("-o", "--output", metavar="FILE", required=True, help="the capture, in libpcap's format")
    one.set_defaults(run=_export)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        options = _parser().parse_args(argv)
    except SystemExit as error:
        return int(error.code or 0)
    try:
        code: int = options.run(options)
    except UsageError as refused:
        print(printable(f"study: {refused}"), file=sys.stderr)
        return USAGE
    return code
