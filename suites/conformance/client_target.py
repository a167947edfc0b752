"""How is a client run, and what does it see when it meets a scripted server?

`ClientTarget` is the client under test: a command. `ClientRun` plays the server for one run of it:
it listens on a free port, starts the command, and then does what the case's script says.
`Caller` is the client's connection, seen from the server's end; `Outcome` is how the client ended.

The command is split as a shell would. `{host}`, `{port}`, `{action}` and `{value}` in it are filled in;
if it has none of them, HOST PORT ACTION VALUE are appended, which is the tutorial's own form.

How a client is judged, whose only ways to speak are its output and its exit code:

* Success is exit code 0 with the result in its output. Failure is everything else.
* Taking what is no reply for a success is FAILED. Failing with exit code 0 is NON-STRICT: a person
  sees it, a script does not.
* A client that waits longer than `--patience` where the peer just is silent is INFORMATIONAL: the
  contract sets no such timer. Where the peer has closed there is nothing to wait for: FAILED.
* A client that pipelines is another command, `--pipelining-client`: it makes `{count}` requests, and knows itself what
  was to come back. Its exit code says whether it did.
* Each request is judged as it is read: framing, fields, length, and that it says what was asked.

Not here: the cases (`client_*`).
"""

from __future__ import annotations

import json
import os
import select
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from .case import SOON, Case, Failed, Informational, Options, Run
from .peer import Peer
from .targets import CannotReach
from .wire import ABSENT, JSON, RING, message, shown

__all__ = ["Caller", "ClientRun", "ClientTarget", "Outcome", "open_target"]

HOST = "127.0.0.1"

#: Seconds for a client to start and connect: an interpreter, on a machine busy with others.
STARTS = 15.0
#: Seconds for a client to end once it has heard everything.
ENDS = 8.0

REQUIRED = ("byteorder", "content-type", "content-encoding", "content-length")
PLACEHOLDERS = ("{host}", "{port}", "{action}", "{value}")


def open_target(command: str, options: Options) -> ClientTarget:
    """The client that `command` runs. Raises `CannotReach` if it can't be run."""
    return ClientTarget(command, options)


class ClientTarget:
    """A command line, filled in anew for each run."""

    #: Clients side by side: each is a process that starts, talks and ends.
    jobs = max(4, 4 * (os.cpu_count() or 1))

    def __init__(self, command: str, options: Options) -> None:
        try:
            self.words = shlex.split(command)
        except ValueError as error:
            raise CannotReach(f"{command!r} is not a command line: {error}") from None
        if not self.words or shutil.which(self.words[0]) is None:
            raise CannotReach(f"{command!r} can't be run: there is no such program")
        self.options = options
        self.name = f"client {command}"

    def argv(self, port: int, action: str, value: str) -> list[str]:
        filled = dict(zip(PLACEHOLDERS, (HOST, str(port), action, value), strict=True))
        if not any(mark in word for mark in PLACEHOLDERS for word in self.words):
            return [*self.words, *filled.values()]
        argv = []
        for word in self.words:
            for mark in PLACEHOLDERS[:3]:
                word = word.replace(mark, filled[mark])
            argv.append(word.replace("{value}", value))  # last: a value may look like a placeholder
        return argv

    def begin(self, case: Case) -> ClientRun:
        return ClientRun(case, self.options, self)

    def after(self, run: ClientRun) -> None:
        """Each run was a process of its own, and has ended: nothing can be left damaged."""

    def close(self) -> None:
        """Nothing of it is left running."""


@dataclass(frozen=True)
class Outcome:
    """How a client ended: exit code, both its outputs, seconds since it was started."""

    code: int
    out: str
    err: str
    seconds: float

    def __str__(self) -> str:
        said = (self.out + self.err).strip()
        return f"exit code {self.code}, {shown(said) if said else 'no output'}"


class ClientRun(Run):
    """One run of the client, and the server it meets."""

    def __init__(self, case: Case, options: Options, target: ClientTarget) -> None:
        super().__init__(case, options)
        self.target = target
        self.listener = socket.create_server((HOST, 0))
        self.closing(self.listener.close)
        self.port: int = self.listener.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._outputs: list[Any] = []
        self._started = 0.0

    # --- the client's process ---

    def start(self, action: str = "search", value: str = "ring") -> None:
        self.note(f"starts the client: {action} {shown(value)}")
        self._start(self.target.argv(self.port, action, value))

    def start_many(self, count: int) -> None:
        """Start the one that pipelines. Raises `Informational` if there is none."""
        command = self.options.pipelining_client
        if command is None:
            raise Informational("shown only with --pipelining-client")
        self.note(f"starts the client that pipelines: {count} requests")
        filled = {"{host}": HOST, "{port}": str(self.port), "{count}": str(count)}
        words = shlex.split(command)
        for mark, value in filled.items():
            words = [word.replace(mark, value) for word in words]
        self._start(words)

    @property
    def running(self) -> bool:
        """It was started, and has not ended."""
        return self._process is not None and self._process.poll() is None

    def _start(self, argv: list[str]) -> None:
        for _ in ("stdout", "stderr"):  # files: a pipe would be full while the script is busy
            file = tempfile.TemporaryFile()  # noqa: SIM115
            self.closing(file.close)
            self._outputs.append(file)
        self._started = time.monotonic()
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=self._outputs[0],
                stderr=self._outputs[1],
                env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            )
        except OSError as error:
            raise Failed("the client to start", str(error)) from None
        self.closing(self._kill)

    def _kill(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def ended(self, within: float = ENDS) -> Outcome | None:
        """How it ended; None if it has not in so many seconds."""
        assert self._process is not None
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired:
            return None
        seconds = time.monotonic() - self._started
        for file in self._outputs:
            file.seek(0)
        out, err = (file.read().decode("utf-8", "replace") for file in self._outputs)
        outcome = Outcome(code, out, err, seconds)
        self.note(f"the client ended: {outcome}")
        return outcome

    # --- its connections ---

    def accept(self, within: float = STARTS) -> Caller:
        """Its next connection."""
        self.listener.settimeout(within)
        try:
            sock, _ = self.listener.accept()
        except TimeoutError:
            ended = self.ended(0.01)
            raise Failed("the client to connect", str(ended) if ended else "it did not") from None
        self.closing(sock.close)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Caller(self, sock)

    def waiting(self, within: float = STARTS) -> None:
        """Until it has connected as far as the kernel is concerned, and nobody has accepted it."""
        if not select.select([self.listener], [], [], within)[0]:
            raise Failed("the client to connect", "it did not")

    def asked(self, action: str = "search", value: str = "ring") -> Caller:
        """Start it, and take its request, whole and right."""
        self.start(action, value)
        caller = self.accept()
        caller.request(action, value)
        return caller

    def no_further_connection(self) -> None:
        """It has ended, and did not try again what may have been carried out."""
        self.listener.settimeout(0.05)
        try:
            self.listener.accept()[0].close()
        except TimeoutError:
            return
        raise Failed("one attempt: nobody knows whether it was carried out", "a second connection")

    # --- judging ---

    def shows(self, text: str) -> Outcome:
        """It ends with exit code 0 and `text` in its output."""
        outcome = self._outcome()
        if outcome.code != 0 or text not in outcome.out + outcome.err:
            raise Failed(f"exit code 0 and {shown(text)} in the output", str(outcome))
        return outcome

    def fails(self, unshown: str = RING, silent: bool = False, lenient: bool = False) -> Outcome:
        """It ends, and does not take what it got for the result `unshown`.

        `silent`: the peer keeps the connection, so how long it waits is its own business. `lenient`:
        the result is there to be read, if not to the letter; showing it is NON-STRICT.
        """
        outcome = self._outcome(silent)
        if unshown in outcome.out + outcome.err and outcome.code == 0:
            if not lenient:
                raise Failed("no success", str(outcome))
            self.deviates("what is against the contract to be refused", str(outcome))
        elif outcome.code == 0:
            self.deviates("an exit code that says that it failed", str(outcome))
        if outcome.code < 0:
            raise Failed("a client that ends by itself", f"it was killed by signal {-outcome.code}")
        return outcome

    def ends(self) -> Outcome:
        """It ends by itself, either way."""
        outcome = self._outcome()
        if outcome.code < 0:
            raise Failed("a client that ends by itself", f"it was killed by signal {-outcome.code}")
        return outcome

    def _outcome(self, silent: bool = False) -> Outcome:
        outcome = self.ended(self.options.patience if silent else ENDS)
        if outcome is None and silent:
            raise Informational(f"it still waited after {self.options.patience:g} s of silence")
        if outcome is None:
            raise Failed("the client to end", f"it still ran after {ENDS:g} s")
        return outcome


class Caller(Peer):
    """The client's connection, from the server's end. `fields` and `asked` are its request's header and content."""

    def __init__(self, run: Run, sock: socket.socket) -> None:
        super().__init__(run, sock)
        self.fields: dict[str, Any] = {}
        self.asked = b""

    def request(self, action: str, value: str) -> None:
        """Take one request, whole; `Failed` if it is not right, or not the one that was asked for."""
        self.read_prefix()
        end = 2 + int.from_bytes(self.unread[:2], "big")
        until = time.monotonic() + SOON
        self._need(end, until, "the request's whole header")
        self.fields = _fields_of(bytes(self.unread[2:end]))
        whole = end + self.fields["content-length"]
        self._need(whole, until, "the request's whole content")
        self.asked = bytes(self.unread[end:whole])
        del self.unread[:whole]
        self.run.note(f"request: {shown(self.asked)}")
        if self.unread:
            behind = shown(bytes(self.unread[:60]))
            raise Failed("one request until keep-alive is granted", f"bytes behind it: {behind}")
        self._judge_content(action, value)

    def read_prefix(self) -> None:
        """The request has begun."""
        self._need(2, time.monotonic() + SOON, "a request")

    def _judge_content(self, action: str, value: str) -> None:
        if self.fields["content-type"] != JSON:
            if action.encode() not in self.asked or value.encode() not in self.asked:
                raise Failed(f"a request that says {action} and {shown(value)}", shown(self.asked))
            return
        try:
            said = json.loads(self.asked.decode(self.fields["content-encoding"]), parse_constant=_refuse)
        except (ValueError, LookupError) as error:
            raise Failed("JSON in the encoding that the header says", f"{shown(self.asked)} ({error})") from None
        if not isinstance(said, dict) or said.get("action") != action or said.get("value") != value:
            raise Failed(f"action {action} and value {shown(value)}", shown(said))

    def answer(self, result: object = RING, **more: object) -> bytes:
        """A right reply to the request, with its id."""
        return self.message(json.dumps({"result": result}, ensure_ascii=False).encode(), **more)

    def failure(self, code: str, words: str) -> bytes:
        """An error reply to the request."""
        value = {"result": f"Error: {words}", "error": {"code": code, "message": words}}
        return self.message(json.dumps(value).encode())

    def message(self, content: bytes, type: object = JSON, encoding: object = "utf-8", **more: object) -> bytes:
        id = self.fields.get("id", ABSENT)
        return message(content, type, encoding, **{"id": id, **more})

    def finish(self) -> None:
        """Half-close, and read on until they have closed too: an end that can't destroy the reply."""
        self.run.note("half-closes (SHUT_WR)")
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return  # they were faster
        self.end(ENDS)


def _refuse(literal: str) -> None:
    raise ValueError(f"{literal} is not JSON")


def _fields_of(raw: bytes) -> dict[str, Any]:
    """A request's header, judged. Raises `Failed`."""
    try:
        pairs = json.loads(raw.decode(), object_pairs_hook=tuple, parse_constant=_refuse)
    except ValueError:
        raise Failed("a header of UTF-8 JSON", shown(raw)) from None
    if not isinstance(pairs, tuple):
        raise Failed("a header that is an object", shown(raw))
    fields: dict[str, Any] = dict(pairs)
    for name in REQUIRED:
        if [n for n, _ in pairs].count(name) != 1:
            raise Failed(f"a header with one {name}", shown(raw))
    length = fields["content-length"]
    if type(length) is not int or length < 0:
        raise Failed("a content-length from 0", shown(length))
    for name in ("byteorder", "content-type", "content-encoding"):
        if not isinstance(fields[name], str):
            raise Failed(f"{name} to be a string", shown(fields[name]))
    if fields["byteorder"] not in ("little", "big"):
        raise Failed("byteorder little or big", shown(fields["byteorder"]))
    if fields.get("connection", "close") not in ("keep-alive", "close"):
        raise Failed("connection keep-alive or close", shown(fields["connection"]))
    return fields
