"""Which names may a script rely on?

They are written out here once more, so that none comes, goes or changes its spelling unnoticed: a name that
is taken away breaks somebody's program, and one that is added is a promise. Whoever means to do either changes
this list with it, and tells it in the changelog.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PROTOCOL = """
    CLIENT CLOSE CODES JSON_ENCODING JSON_TYPE KEEP_ALIVE SERVER
    AnswerableError Codec Connection EndOfInput Event Failed FatalError Frame Header
    HeaderReceived Limits LocalError Notification ProtocolError Rejected Reply Request Response
    encode_json
"""
EVENTLOOP = """
    Address Connector TimerWheel Endpoint EventHandler EventLoop TimeoutQueue Listener StreamProtocol Timer Timers
    Transport WaterMarks parse_address parse_duration
"""
LIBSERVER = """
    ActionError Actions BinaryReply CannotListen CloseReason Message Receipt Reply Server ServerLimits Session
    Topics add_chat
"""
LIBCLIENT = """
    Answer Backoff BadReply Call Client ClosedEarly ClosedMidMessage ConnectTimeout ConnectionFailed
    ConnectionReset EndReason Ending ErrorReply Gap Message NoDescriptors NoPermission NoPorts NoSuchSocket Outgoing
    Owner Pair Pool Published Refused ReplyTimeout Shared Subscription UnknownHost Unreachable action_request
    json_request
"""
NAMES = {
    "protocol": set(PROTOCOL.split()),
    "eventloop": set(EVENTLOOP.split()),
    "libserver": set(LIBSERVER.split()),
    "libclient": set(LIBCLIENT.split()),
}
#: Those of both libraries but for the two classes `Message`.
NAMES["multiconn"] = (NAMES["libserver"] | NAMES["libclient"] | {"Limits"}) - {"Message"}


@pytest.mark.parametrize("package", NAMES)
def test_the_public_names_are_these(package: str) -> None:
    names = importlib.import_module(package).__all__
    assert set(names) == NAMES[package]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("package", NAMES)
def test_every_public_name_is_there_also_if_it_is_fetched_late(package: str) -> None:
    module = importlib.import_module(package)
    for name in NAMES[package]:
        assert getattr(module, name) is getattr(module, name)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nonsense'"):
        module.nonsense  # noqa: B018


@pytest.mark.parametrize("package", NAMES)
def test_a_star_imports_them_all(package: str) -> None:
    found: dict[str, object] = {}
    exec(f"from {package} import *", found)
    assert set(found) - {"__builtins__"} == NAMES[package]


def test_a_type_checker_knows_the_very_same_names_of_multiconn_and_what_they_are(tmp_path: Path) -> None:
    """In a module that fetches its names late, a type checker sees only what it was told."""
    if find_spec("mypy") is None:
        pytest.skip("mypy is not installed (the extra test has it)")
    names = sorted(NAMES["multiconn"])
    lines = [f"from multiconn import {name}" for name in [*names, "nonsense"]]
    lines += [f"reveal_type({name})" for name in names]
    script = tmp_path / "script.py"
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={tmp_path / 'cache'}", str(script)],
        cwd=ROOT, capture_output=True, text=True, timeout=55, check=False,
    )  # fmt: skip
    said = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    errors = [line for line in said if line.startswith("error")]
    assert errors == ['error: Module "multiconn" has no attribute "nonsense"  [attr-defined]']
    revealed = [line for line in said if line.startswith("note: Revealed type is")]
    assert len(revealed) == len(names)
    assert [line for line in revealed if line.endswith(('"object"', '"Any"'))] == []
