"""What does the tutorial's own command line do here?

    app_client.py HOST PORT ACTION VALUE

The same as there, byte for byte on the wire: `search` goes as JSON and any other action as
binary content (ACTION and VALUE, one behind the other, in UTF-8), on a connection of its own without
keep-alive. `tests/test_app_client.py` has the transcripts.

Not here: everything that has a command name (`request` is the everyday way to send one).
"""

from __future__ import annotations

from typing import Any

from eventloop import Address
from eventloop.addresses import parse_port
from libclient.client import Client
from libclient.errors import ErrorReply
from libclient.outgoing import Outgoing, action_request

from . import DONE, ERROR_REPLY, UsageError
from .output import show_text

__all__ = ["run", "tutorial_request"]

CONTENT_TYPE = "binary/custom-client-binary-type"


def tutorial_request(action: str, value: str) -> Outgoing:
    """The request the tutorial's client would send."""
    if action == "search":
        return action_request(action, value)
    # Undecodable bytes of the command line go out unchanged.
    return Outgoing(CONTENT_TYPE, (action + value).encode("utf-8", "surrogateescape"))


def run(host: str, port: str, action: str, value: str) -> int:
    """Send it, print the answer, return the exit code. Raises `UsageError` or `ConnectionFailed`."""
    try:
        number = parse_port(port)
    except ValueError as error:
        raise UsageError(f"{error} (the tutorial's form is HOST PORT ACTION VALUE)") from None
    if not host or not number:
        raise UsageError("write HOST PORT ACTION VALUE, such as 127.0.0.1 65432 search morpheus")
    host = host.removeprefix("[").removesuffix("]")
    with Client(Address("tcp", host, number), keep_alive=False, retry_for=0) as client:
        try:
            _show(client.call(tutorial_request(action, value)).value)
        except ErrorReply as error:
            _show(error.reply)
            return ERROR_REPLY
    return DONE


def _show(value: Any) -> None:
    """In the tutorial's words."""
    if isinstance(value, dict):
        show_text(f"Got result: {value.get('result')}")
    elif isinstance(value, (bytes, bytearray)):
        show_text(f"Got response: {bytes(value)!r}")
    else:
        show_text(f"Got response: {value!r}")
