"""Are our names to be had under one name of our own, wherever a script lies?

Each script runs in a process and a directory of its own: what is tested is what Python finds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import libclient
import libserver
import multiconn
import protocol

ROOT = Path(__file__).resolve().parent.parent.parent

#: The beginning of both of the tutorial's modules.
TUTORIAL = """
class Message:
    def __init__(self, selector, sock, addr, request=None):
        self.selector = selector
        self.sock = sock
        self.addr = addr
        self.request = request
"""

SERVES_AND_ASKS = """
import threading
from multiconn import ActionError, Actions, Client, ErrorReply, Server

actions = Actions()

@actions.add("greet")
def greet(request, session):
    if "name" not in request:
        raise ActionError("bad-request", "greet needs a name")
    return f"Hello, {request['name']}!"

with Server(["tcp://127.0.0.1:0"], actions) as server:
    thread = threading.Thread(target=server.run)
    thread.start()
    with Client(str(server.addresses[0])) as client:
        print(client.request_json({"action": "greet", "name": "Neo"})["result"])
        try:
            client.request_json({"action": "greet"})
        except ErrorReply as error:
            print(error)
    server.drain()
    thread.join()
"""


def run(script: str, directory: Path) -> list[str]:
    """What it printed, in lines; it must succeed."""
    (directory / "script.py").write_text(textwrap.dedent(script), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_it_has_every_public_name_of_the_client_and_the_server() -> None:
    both = {*libclient.__all__, *libserver.__all__} - {"Message"}  # there are two of those
    assert set(multiconn.__all__) == both | {"Limits"}
    assert multiconn.__all__ == sorted(multiconn.__all__)
    assert set(dir(multiconn)) >= both


def test_a_name_is_the_very_same_object_by_either_way() -> None:
    for name in multiconn.__all__:
        homes = [part for part in (libclient, libserver, protocol) if hasattr(part, name)]
        assert getattr(multiconn, name) is getattr(homes[0], name), name


def test_another_name_is_an_attribute_error_like_any_module_s() -> None:
    with pytest.raises(AttributeError, match="module 'multiconn' has no attribute 'Massage'"):
        multiconn.Massage  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError):
        from multiconn import Message  # type: ignore[attr-defined]  # noqa: F401


def test_a_name_is_fetched_when_it_is_asked_for_and_a_client_loads_no_server(tmp_path: Path) -> None:
    script = """
        import sys
        import multiconn
        def loaded():
            return sorted({"protocol", "eventloop", "libserver", "libclient", "json", "socket"} & set(sys.modules))
        print(loaded())
        multiconn.Client
        print("libserver" in loaded(), "libclient" in loaded())
        """
    assert run(script, tmp_path) == ["[]", "False True"]


def test_a_script_works_where_nobody_else_has_our_names(tmp_path: Path) -> None:
    assert run(SERVES_AND_ASKS, tmp_path) == ["Hello, Neo!", "bad-request: greet needs a name"]
