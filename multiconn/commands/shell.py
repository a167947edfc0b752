"""`app_client.py shell`: how does a person talk to the server, line by line?

One kept-alive connection, and an answer for each line. `HELP` explains the lines. On a
terminal readline edits and remembers them; from a pipe the shell just reads them.

Rules:

* Answers go to stdout, everything else to stderr: a pipe gets answers only.
* If the server goes away, the shell connects again and says so: the server's memory of a connection,
  such as confirm's count, begins anew.
* From a pipe, a lost connection ends it (3), and an error reply makes the exit code 4 once it has
  sent all lines. A person sees the errors, and ends with 0.

Not here: sending and retrying (`libclient.client`).
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator
from typing import Any

from libclient import Answer, Client, ConnectionFailed, ErrorReply, Outgoing, action_request, json_request
from libclient.connect import parse_target

from . import DONE, ERROR_REPLY, NOT_CONNECTED, UsageError, stdio
from .client_options import add_timeouts, target
from .client_signals import ended_by_signals, woken_by_signals
from .output import remark, show_binary, show_json
from .tracing import add_trace_options, recording

__all__ = ["HELP", "add_arguments", "parse_line", "run"]

DEFAULT_TARGET = "127.0.0.1:65432"
PROMPT = "> "

#: Actions that need no slash: every server of this project has them.
KNOWN = ("search", "echo", "confirm")

HELP = """\
  hello there          any text is sent to the action `confirm`, and the server confirms it
  search morpheus      an action every server has (search, echo, confirm), and its value
  /greet Ann           any other action: put a slash before it
  /json {"action": 1}  a request of your own, as JSON
  help                 this
  quit                 the end; Ctrl-D too"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = f"What a line means:\n{HELP}\n"
    parser.add_argument(
        "target",
        nargs="?",
        type=target,
        default=parse_target(DEFAULT_TARGET),
        metavar="TARGET",
        help=f"HOST:PORT, tcp://HOST:PORT or unix:/path (default: {DEFAULT_TARGET})",
    )
    parser.add_argument(
        "--action", default="confirm", metavar="ACTION", help="the action of plain lines (default: confirm)"
    )
    add_timeouts(parser)
    add_trace_options(parser)


def run(args: argparse.Namespace) -> int:
    """Raises `ConnectionFailed` if no server answers."""
    by_hand = sys.stdin is not None and sys.stdin.isatty()
    with (
        ended_by_signals(),
        recording(args) as seen,
        Client(
            args.target,
            timeout=args.timeout,
            connect_timeout=args.connect_timeout,
            retry_for=0,
            selector=seen.selector(None),
            observer=seen.observer,
            tap=seen.tap,
        ) as client,
    ):
        woken_by_signals(client)
        client.connect()
        if by_hand:
            remark(f"Connected to {args.target}. Write a line and press Enter; 'help' explains, Ctrl-D ends.")
        return _Session(client, args.action, by_hand).run()


# --- lines -------------------------------------------------------------------------------


def parse_line(line: str, default_action: str = "confirm") -> Outgoing | None:
    """The request that a line stands for; None for an empty one. Raises `UsageError`."""
    line = line.strip()
    if not line:
        return None
    word, _, rest = line.partition(" ")
    try:
        if word == "/json":
            return json_request(json.loads(rest))
        if word in KNOWN:
            return _action(word, rest)
        if word.startswith("/") and len(word) > 1:
            return _action(word[1:], rest)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not sent: {error}") from None
    return action_request(default_action, line)


def _action(name: str, rest: str) -> Outgoing:
    rest = rest.strip()
    return action_request(name, rest) if rest else json_request({"action": name})


def _lines(by_hand: bool) -> Iterator[str]:
    """What is written, until it ends."""
    if sys.stdin is None:
        return
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # a stray byte is no error: it goes out as its escape
    if not by_hand:
        yield from sys.stdin
        return
    while True:
        try:
            yield stdio.ask(PROMPT)
        except EOFError:
            print(file=sys.stderr)  # the terminal's cursor stands behind the prompt
            return


# --- a session -----------------------------------------------------------------------------


class _Session:
    """The lines of one run, one after the other."""

    def __init__(self, client: Client, action: str, by_hand: bool) -> None:
        self.client = client
        self.action = action
        self.by_hand = by_hand
        self.code = DONE
        self.one_shot_told = False
        self.answered = False  # the server answered on the connection there was

    def run(self) -> int:
        for line in _lines(self.by_hand):
            word = line.strip().lower()
            if word in ("quit", "exit", "/quit", "/exit"):
                break
            if word in ("help", "?", "/help"):
                remark_lines(HELP)
                continue
            if not self._serve(line):
                return NOT_CONNECTED
        return DONE if self.by_hand else self.code

    def _serve(self, line: str) -> bool:
        """One line; returns whether to go on."""
        try:
            request = parse_line(line, self.action)
            if request is None:
                return True
            self._connect_again()
            self._show(self.client.call(request))
        except UsageError as error:
            remark(str(error))
        except ErrorReply as error:
            self.code = self.code or ERROR_REPLY
            remark(f"error: {error}")
        except ConnectionFailed as error:
            remark(f"not connected: {error}")
            self.code = NOT_CONNECTED
            return self.by_hand or error.maybe_carried_out
        return True

    def _connect_again(self) -> None:
        """If the connection has gone, say so."""
        if self.client.refresh():
            return
        if not self.one_shot_told:
            remark("the server has closed the connection: connecting again")
        self.client.connect()

    def _show(self, answer: Answer) -> None:
        value: Any = answer.value
        if isinstance(value, (bytes, bytearray)):
            show_binary(answer)
        else:
            show_json(value["result"] if isinstance(value, dict) and "result" in value else value)
        if not self.one_shot_told and answer.header.connection is None and not self.client.refresh():
            self.one_shot_told = True
            remark("this server closes after every answer: each line gets a connection of its own")


def remark_lines(text: str) -> None:
    """Several lines on stderr."""
    print(text, file=sys.stderr, flush=True)
