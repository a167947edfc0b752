"""`app_client.py request`: how does a command line send one request and show its answer?

Always JSON, unless `--file` sends a file: then it is binary content of the type `--type` says, else
`binary/ACTION` if there is an ACTION (so `echo --file` sends `binary/echo`), else the tutorial's.

Not here: how answers look (`output`), exit codes (`client`).
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import re
import stat
import sys
from typing import Any

from libclient import Answer, Client, Outgoing, json_request
from libclient.outgoing import BINARY_ENCODING, BytesLike
from protocol import JSON_ENCODING, JSON_TYPE

from . import CANT_WRITE, DONE, UsageError
from .arguments import duration
from .client_options import add_timeouts, target
from .client_signals import ended_by_signals, woken_by_signals
from .output import remark, save, show_binary, show_json
from .tracing import add_trace_options, recording
from .tutorial import CONTENT_TYPE

__all__ = ["add_arguments", "outgoing", "run"]

#: Bytes from which on it maps a file. Below that, reading is as fast, and a file that shrinks meanwhile does no harm.
MAPPED_FROM = 1 << 20

EPILOG = """\
The result goes to stdout: a text plain, anything else as JSON. A binary answer is described in a
line; -o saves it.

examples:
  ... request 127.0.0.1:65432 search morpheus
  ... request 127.0.0.1:65432 echo --json-value '{"a": [1, 2]}'
  ... request 127.0.0.1:65432 greet --fields '{"name": "Ann"}'
  ... request 127.0.0.1:65432 echo --file photo.jpg -o copy.jpg
  ... request unix:/tmp/app.sock confirm hello
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("target", type=target, metavar="TARGET", help="HOST:PORT, tcp://HOST:PORT or unix:/path")
    parser.add_argument("action", nargs="?", metavar="ACTION", help="what to do, such as search, echo or confirm")
    parser.add_argument(
        "value", nargs="?", metavar="VALUE", help="the action's value: a text, or JSON with --json-value"
    )
    parser.add_argument("--json-value", action="store_true", help="VALUE is JSON")
    parser.add_argument("--fields", metavar="JSON", help="more fields of the request, as a JSON object")
    parser.add_argument("--file", metavar="PATH", help="send this file as binary content (- is stdin)")
    parser.add_argument(
        "--type",
        metavar="TYPE",
        help=f"the file's content type (default: binary/ACTION, without ACTION {CONTENT_TYPE})",
    )
    parser.add_argument("-o", "--output", metavar="PATH", help="save a binary answer here (- is stdout, as it is)")
    parser.add_argument("--full", action="store_true", help="print the whole reply as JSON, not its result alone")
    parser.add_argument("--id", metavar="ID", help="an id that the reply repeats; digits make it an integer")
    parser.add_argument(
        "--deadline",
        type=duration,
        metavar="TIME",
        help="how long the answer is useful; then the server gives up",
    )
    add_timeouts(parser)
    add_trace_options(parser)


def run(args: argparse.Namespace) -> int:
    """Raises `UsageError`, `ErrorReply` or `ConnectionFailed`."""
    request = outgoing(args)
    _check_output(args.output)
    with ended_by_signals(), recording(args) as seen:
        client = Client(
            args.target,
            timeout=args.timeout,
            connect_timeout=args.connect_timeout,
            retry_for=0,
            selector=seen.selector(None),
            observer=seen.observer,
            tap=seen.tap,
        )
        with client:
            woken_by_signals(client)
            answer = client.call(request)
    return _show(answer, args)


# --- the request -----------------------------------------------------------------------


def outgoing(args: argparse.Namespace) -> Outgoing:
    """The request of these arguments. Raises `UsageError`."""
    id = int(args.id) if args.id and re.fullmatch("-?[0-9]{1,15}", args.id) else args.id
    deadline_ms = None if args.deadline is None else round(args.deadline * 1000)
    try:
        if args.file is not None:
            return _file_request(args, id, deadline_ms)
        return json_request(_object(args), id=id, deadline_ms=deadline_ms)
    except (ValueError, TypeError) as error:
        raise UsageError(f"this can't be sent: {error}") from None


def _object(args: argparse.Namespace) -> dict[str, Any]:
    if args.action is None:
        raise UsageError("write an ACTION, such as search, or --file PATH")
    if args.type is not None:
        raise UsageError("--type goes with --file")
    fields: dict[str, Any] = {"action": args.action}
    if args.value is not None:
        fields["value"] = _json(args.value, "VALUE") if args.json_value else args.value
    elif args.json_value:
        raise UsageError("--json-value needs a VALUE")
    if args.fields is not None:
        more = _json(args.fields, "--fields")
        if not isinstance(more, dict):
            raise UsageError('--fields must be a JSON object, such as \'{"name": "Ann"}\'')
        fields.update(more)
    return fields


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{what} is not JSON ({error}): texts in it need double quotes") from None


def _file_request(args: argparse.Namespace, id: str | int | None, deadline_ms: int | None) -> Outgoing:
    if args.value is not None or args.json_value or args.fields is not None:
        raise UsageError("--file is the content: leave VALUE, --json-value and --fields out")
    kind = args.type or (f"binary/{args.action}" if args.action is not None else CONTENT_TYPE)
    encoding = JSON_ENCODING if kind == JSON_TYPE else BINARY_ENCODING
    return Outgoing(kind, _read(args.file), encoding, id=id, deadline_ms=deadline_ms)


def _read(path: str) -> BytesLike:
    """The bytes to send. It maps a large file instead of reading it: the header has the size at once, the system
    reads each part as it leaves, and a server that refuses the size costs neither time nor memory.
    """
    try:
        if path == "-":
            if sys.stdin is None:
                raise UsageError("--file -: standard input is closed; name a file, or send one in")
            return sys.stdin.buffer.read()
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode) and found.st_size >= MAPPED_FROM:
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            return file.read()  # also what is no file and tells no size: a pipe, /proc
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(f"--file {path} can't be read: {getattr(error, 'strerror', None) or error}") from None


# --- the answer ------------------------------------------------------------------------


def _check_output(path: str | None) -> None:
    """Before it sends: an answer that it can't save is lost."""
    if path is None or path == "-":
        return
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path) or not path:
        raise UsageError(f"-o {path!r} is a directory: write the name of a file")
    if not os.path.isdir(folder):
        raise UsageError(f"-o {path}: there is no directory {folder}")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise UsageError(f"-o {path}: no permission to write there")


def _show(answer: Answer, args: argparse.Namespace) -> int:
    value = answer.value
    if isinstance(value, (bytes, bytearray)):
        if args.output is None:
            show_binary(answer)
        else:
            what = f"{len(value)} bytes of {answer.header.content_type}"
            try:
                save(value, args.output)
            except OSError as error:
                show_binary(answer)  # all that is left of it
                why = f"{args.output}: {error.strerror}"
                remark(f"the answer came and can't be saved ({why}); make room, or name another file")
                return CANT_WRITE
            if args.output != "-":
                remark(f"saved {what} to {args.output}")
        return DONE
    if args.output is not None:
        remark("the answer is JSON, nothing binary to save; here it is")
    show_json(value["result"] if isinstance(value, dict) and "result" in value and not args.full else value)
    return DONE
