"""In which order does `app_client.py load` go about it?

What goes where:

* stdout: the report, or with `--json` the summary object and nothing else;
* stderr: the plan, a line per interval or the dashboard, and with `--json` the report;
* `-o DIR`: the run's files. It writes them after the report, which so is never lost with them.

Not here: the options (`load_options`), the run (`engine.runner`), the words of the report (`output.report`).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from eventloop import Address, Endpoint
from libclient.connect import resolve
from libclient.errors import NoDescriptors, UnknownHost
from multiconn.loadtest.config import Config
from multiconn.loadtest.engine.data_file import BadData
from multiconn.loadtest.engine.preflight import PreflightError, check_actions, preflight
from multiconn.loadtest.engine.runner import Runner
from multiconn.loadtest.engine.workload import Workload
from multiconn.loadtest.measure.ledger import AccountingError
from multiconn.loadtest.measure.server_cpu_monitor import ServerCpuMonitor
from multiconn.loadtest.outcome import Outcome
from multiconn.loadtest.output.files import DirectoryTaken, Writer
from multiconn.loadtest.output.lines import Lines
from multiconn.loadtest.output.report import header, report
from multiconn.loadtest.output.summary import summary
from multiconn.loadtest.process.child import ChildError, ChildServer, server_command
from multiconn.loadtest.process.signals import Interrupts, Quit
from multiconn.loadtest.process.workers import WorkerError, Workers
from multiconn.loadtest.sink import Plan, Sink
from protocol.printable import printable, printable_json

from . import INTERNAL_ERROR, SIGNAL, USAGE
from .arguments import version
from .load_exit_code import exit_code
from .load_files import finish, say_if_died
from .load_options import add_arguments, config_from
from .tracing import Instruments, recording

__all__ = ["add_arguments", "run"]

#: The program of the dashboard. -P: the current directory may have modules of our names.
DASHBOARD = (sys.executable, "-P", "-m", "multiconn.commands.load_dashboard")

_REFUSALS = (PreflightError, NoDescriptors, UnknownHost, ChildError, DirectoryTaken, BadData)


def run(args: argparse.Namespace) -> int:
    """Do what the options say; returns the exit code."""
    try:
        with Interrupts() as interrupts, ExitStack() as claims, ExitStack() as stack:
            config = config_from(args, os.cpu_count() or 1)
            if args.against is not None:
                from . import load_interleaved

                return load_interleaved.run(args, config, interrupts, stack, claims)
            attempt = _Attempt(args, config)
            attempt.prepare(stack, claims)
            outcome = attempt.load(interrupts)
            stack.close()  # the child is gone before the report: nothing is left behind, however long it is read
            whole = attempt.show(outcome, interrupts)
            return exit_code(outcome, files_lost=not whole)
    except _REFUSALS as error:
        return _say(str(error), USAGE)
    except (AccountingError, WorkerError) as error:
        return _say(f"internal error: {error}", INTERNAL_ERROR)
    except Quit as quit:
        return _say("interrupted", SIGNAL + quit.number)


@dataclass(slots=True)
class _Attempt:
    """One run from the command line: its needs, the run itself, its report."""

    args: argparse.Namespace
    config: Config
    target: Address | None = None
    endpoints: list[Endpoint] | None = None
    child: ChildServer | None = None
    writer: Writer | None = None
    seen: Instruments = field(default_factory=Instruments)
    watchers: list[Sink] = field(default_factory=list)

    def prepare(self, stack: ExitStack, claims: ExitStack) -> None:
        """Check everything that can fail, before it writes or loads anything.

        What is in `stack` ends with the run, what is in `claims` with the command.
        """
        config = self.config
        workload = Workload(config)  # the data file, before anything starts
        self.target = self.args.target
        if self.args.trace is not None and config.workers != 1:
            raise PreflightError("--trace is of one process: leave --workers out")
        # A server of our own has all of them, and this process's limit.
        most = config.sockets if self.target is None else config.part(0, config.workers).sockets
        preflight(config.sockets, self.target, config.source_ips, in_one_process=most)
        if self.target is not None:
            self.endpoints = resolve(self.target)
        self.watchers = _watchers(self.args.ui, stack)
        if self.args.out is not None:
            self.writer = Writer(Path(self.args.out), config.percentiles)
            claims.callback(self.writer.release)
            stack.callback(self.writer.close)
        self.seen = stack.enter_context(recording(self.args))
        if self.target is None:
            self.child = ChildServer(server_command(config.sockets))
            self.target = stack.enter_context(self.child)
            self.endpoints = resolve(self.target)
        assert self.endpoints is not None
        check_actions(config, workload, self.target, self.endpoints)

    def load(self, interrupts: Interrupts) -> Outcome:
        config, target = self.config, self.target
        assert target is not None
        assert self.endpoints is not None
        sinks: list[Sink] = [] if self.writer is None else [self.writer]
        sinks += self.watchers
        runner = self._runner(target, self.endpoints, sinks)
        if self.args.ui != "none":
            print(f"{header(config, str(target))} (seed {config.seed})", file=sys.stderr, flush=True)
        plan = Plan(config, str(target), time.time())
        for sink in sinks:
            sink.begin(plan)
        interrupts.stop_by(runner.interrupt)
        outcome = runner.run()
        for sink in sinks:
            sink.end(outcome)
        if self.child is not None:
            say_if_died(self.child)
        return outcome

    def _runner(self, target: Address, endpoints: list[Endpoint], sinks: list[Sink]) -> Runner | Workers:
        """Raises `PreflightError` if a source address can't reach the target."""
        process = None if self.child is None else self.child.process
        server = None if process is None else ServerCpuMonitor(process.pid)
        seen = self.seen
        try:
            if self.config.workers > 1:
                return Workers(self.config, target, endpoints, sinks, server=server)
            return Runner(
                self.config,
                target,
                endpoints,
                sinks,
                server=server,
                selector=seen.selector,
                observer=seen.observer,
                tap=seen.tap,
            )
        except ValueError as error:
            raise PreflightError(str(error)) from None

    def show(self, outcome: Outcome, interrupts: Interrupts) -> bool:
        """Print the report, then write the files in any case; returns whether the files are whole."""
        made = summary(outcome, sys.argv, version())
        whole = True
        try:
            if self.args.json:
                if self.args.ui != "none":
                    print(report(outcome), file=sys.stderr, flush=True)
                print(printable_json(made), flush=True)
            else:
                print(report(outcome), flush=True)
        finally:
            if self.writer is not None:
                whole = finish(self.writer, made, interrupts)
        return whole


def _line(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _watchers(ui: str, stack: ExitStack) -> list[Sink]:
    """The sinks that show the run."""
    if ui == "none":
        return []
    terminal = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    if ui == "live" and not terminal:
        raise PreflightError("the dashboard (--ui live) needs a terminal on stderr: use --ui plain")
    if ui == "live" and not find_spec("rich"):
        raise PreflightError("the dashboard (--ui live) needs the package rich: install it, or use --ui plain")
    if ui == "plain" or not terminal or not find_spec("rich"):
        return [Lines(_line)]
    from multiconn.loadtest.output.live import Dashboard

    dashboard = Dashboard(DASHBOARD, instead=Lines(_line))
    stack.callback(dashboard.close)  # however the run ends, it gives the terminal back before it prints a word
    return [dashboard]


def _say(sentence: str, code: int) -> int:
    words = printable(sentence, keep="\n")  # of a server's own lines there may be several
    print(f"app_client.py load: {words}", file=sys.stderr, flush=True)
    return code
