"""`app_client.py chat`: how does a person, or a program, sit in a chat room?

On a terminal, with prompt_toolkit (the extra `tui`), the line being typed stays whole whatever arrives. Without it, and
in a pipe, lines are read and written as they come. `--json` writes each event as a line of JSON.

Rules:

* What is said goes to stdout; sentences about the chat go to stderr. With `--json` all are events, on stdout.
* At the end of a pipe it sends all that was typed, waits for the replies, and ends with 0: with 4 if the server refused
  a line, with 2 if a line made no sense, with 3 if the connection was lost and none came within `--timeout`.
* A person sees all that, and ends with 0.

Not here: the conversation (`chat_room`), its looks (`chat_view`), reading lines (`chat_lines`, `chat_terminal`).
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Protocol

from eventloop import EventLoop
from libclient import Shared

from . import DONE, UsageError
from .chat_commands import HELP
from .chat_lines import LineReader
from .chat_room import ChatRoom
from .chat_terminal import Terminal, can_edit
from .chat_view import REMARKS, as_json, as_text
from .client_options import add_timeouts, target
from .client_signals import ended_by_signals, woken_by_signals
from .output import remark
from .tracing import add_trace_options, recording

__all__ = ["add_arguments", "run"]

#: Seconds, at most, in which the connection tells its end. It may never: an interrupt has come in the middle of that.
CLOSING = 1.0

#: What to write where there is no TARGET.
START = """\
name a server: app_client.py chat 127.0.0.1:65432 --name ann; if none is running, start one in another terminal: \
python3 app_server.py"""

NO_EDITOR = "-- what arrives will tear the line that you type: pip install prompt_toolkit (the extra tui) mends that"


class Input(Protocol):
    """Where lines come from."""

    def more(self) -> None: ...

    def close(self) -> None: ...


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = f"What a line means:\n{HELP}\n"
    parser.add_argument(
        "target", nargs="?", type=target, metavar="TARGET", help="HOST:PORT, tcp://HOST:PORT or unix:/path"
    )
    parser.add_argument("--name", metavar="NAME", help="what the others call you: 1 to 32 characters, no space, no /")
    parser.add_argument("--room", default="lobby", metavar="ROOM", help="the room to go to (default: lobby)")
    parser.add_argument("--json", action="store_true", help="print events as lines of JSON, for a program")
    parser.add_argument("--plain", action="store_true", help="on a terminal too, read and write plain lines")
    add_timeouts(parser)
    add_trace_options(parser)


def run(args: argparse.Namespace) -> int:
    """Raises `UsageError`, `ErrorReply` (the name is taken) or `ConnectionFailed`."""
    if args.target is None:
        raise UsageError(START)
    if args.name is None:
        raise UsageError("say who you are: --name NAME")
    with ended_by_signals(), recording(args) as seen:
        loop = EventLoop(seen.selector(None))
        try:
            woken_by_signals(loop)
            shared = Shared(
                loop,
                timeout=args.timeout,
                connect_timeout=args.connect_timeout,
                observer=seen.observer,
                tap=seen.tap,
            )
            return _Session(args, loop, shared).run()
        finally:
            loop.close()


class _Session:
    """One run of the command."""

    def __init__(self, args: argparse.Namespace, loop: EventLoop, shared: Shared) -> None:
        self._loop = loop
        self._by_hand = sys.stdin is not None and sys.stdin.isatty()
        self._json = args.json
        self._patience = args.timeout  # seconds without a connection
        self._terminal: Terminal | None = None
        self._edits = _edits(args)
        self._room = ChatRoom(shared, args.target, args.name, args.room, self._show)

    def run(self) -> int:
        room, loop = self._room, self._loop
        source: Input | None = None
        room.open()
        try:
            while not room.over:
                if room.joined and source is None:  # not before: an error must not meet a line being typed
                    source = self._open_input()
                if source is not None and room.has_room:
                    source.more()
                loop.run_once()
        finally:
            if source is not None:
                source.close()
            self._terminal = None
            room.close()
            until = loop.clock() + CLOSING
            while not room.settled and loop.clock() < until:
                loop.run_once(0)
        if room.error is not None:
            raise room.error
        return DONE if self._by_hand else room.code

    # --- in ------------------------------------------------------------------------------

    def _open_input(self) -> Input:
        if self._edits:
            self._terminal = Terminal(self._loop, self._typed, self._ended, _interrupted)
            return self._terminal
        if self._by_hand and not self._json and sys.stdout.isatty() and not can_edit():
            remark(NO_EDITOR)
        return LineReader(self._loop, sys.stdin.fileno() if sys.stdin is not None else 0, self._typed, self._ended)

    def _typed(self, lines: list[str]) -> None:
        for line in lines:
            self._room.line(line)
            if self._room.finishing:
                self._ended()
                return

    def _ended(self) -> None:
        """No line comes any more."""
        self._room.finish()
        if self._by_hand and not self._room.joined:
            self._room.give_up()

    def _lost(self) -> None:
        """There is no connection. A person who wants to go goes; a pipe waits a while for another one."""
        if not self._by_hand and self._patience:
            self._loop.call_later(self._patience, self._look)
        elif self._by_hand and self._room.finishing:
            self._room.give_up()

    def _look(self) -> None:
        """Is there still none? Then a pipe is over whose lines wait, all of them or as many as are kept."""
        room = self._room
        if not room.joined and (room.finishing or not room.has_room):
            room.give_up()
        elif not room.joined:
            self._loop.call_later(self._patience, self._look)

    # --- out -----------------------------------------------------------------------------

    def _show(self, event: dict[str, Any]) -> None:
        if event["event"] == "lost":
            self._lost()
        if self._json:
            print(as_json(event), flush=True)
            return
        text = as_text(event, self._room.name)
        if text is None:
            return
        if self._terminal is not None:
            self._terminal.write(text)
        elif event["event"] in REMARKS:
            print(text, file=sys.stderr, flush=True)
        else:
            print(text, flush=True)


def _edits(args: argparse.Namespace) -> bool:
    """Is there a person at a terminal that can show a line being edited?"""
    if args.json or args.plain or os.environ.get("TERM", "dumb") == "dumb" or not can_edit():
        return False
    streams = (sys.stdin, sys.stdout)
    return all(stream is not None and stream.isatty() for stream in streams)


def _interrupted() -> None:
    raise KeyboardInterrupt
