"""Is a server of the suite's own found where it says that it listens, and ended however its case ends?"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from suites.conformance.case import Case, Failed, Informational, Options
from suites.conformance.spawned import Spawned, StartedTarget, command_line, spawn
from suites.conformance.targets import CannotReach, ServerRun

ROOT = Path(__file__).resolve().parents[3]
COMMAND = f"{sys.executable} {ROOT / 'app_server.py'} 127.0.0.1 {{port}}"
PATIENCE = 20.0


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_a_server_that_says_where_it_listens_is_reached_signalled_and_its_end_is_told() -> None:
    server = Spawned(command_line(COMMAND))
    try:
        assert server.host == "127.0.0.1"
        assert server.accepts()
        assert server.ended(0) is None
        server.signal(signal.SIGTERM)
        assert server.ended(PATIENCE) == 0
        assert not server.accepts()
    finally:
        server.end()


def test_an_end_by_a_signal_is_128_and_its_number() -> None:
    server = Spawned(python("import signal; print('tcp://127.0.0.1:1', flush=True); signal.pause()"))
    server.signal(signal.SIGKILL)
    assert server.ended(PATIENCE) == 128 + 9
    server.end()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["/no/such/server"], "can't be started: No such file"),
        (python("print('I will not')"), "it said 'I will not'"),
        (python(""), "it said 'nothing'"),
    ],
)
def test_one_that_does_not_listen_says_why(argv: list[str], words: str) -> None:
    with pytest.raises(CannotReach, match=words):
        Spawned(argv)


def test_a_command_is_split_without_a_shell_and_gets_its_port() -> None:
    assert command_line("'a b' {port} $HOME", 7) == ["a b", "7", "$HOME"]
    *shell, name, port = command_line("it {port}", descriptors=20)
    assert shell[:2] == ["/bin/sh", "-c"]
    assert "ulimit -n 20" in shell[2]
    assert (name, port) == ("it", "0")


@pytest.mark.skipif(sys.platform != "linux", reason="without /proc its pid is not known")
def test_the_target_that_it_started_has_its_pid_and_is_ended_with_the_run() -> None:
    target = StartedTarget(COMMAND, Options())
    assert target.process is not None
    target.close()
    with pytest.raises(CannotReach):
        type(target.process)(target.process.pid)


def run_of(target: StartedTarget, **options: object) -> ServerRun:
    case = Case("T1", "t", "m", "s", "e", lambda run: None)
    return ServerRun(case, Options(**options), target)  # type: ignore[arg-type]


def test_a_case_can_start_one_only_by_a_command_that_takes_a_port() -> None:
    target: StartedTarget = object.__new__(StartedTarget)
    with pytest.raises(Informational, match="only with --command"):
        spawn(run_of(target))
    with pytest.raises(Informational, match=r"only if --command has .port. in it"):
        spawn(run_of(target, command="server 127.0.0.1 0"), port=7)
    with pytest.raises(Failed, match="a server that starts"):
        spawn(run_of(target, command="/no/such/server"))


def test_what_a_case_started_is_ended_with_it() -> None:
    run = run_of(object.__new__(StartedTarget), command=COMMAND)
    server = spawn(run)
    assert server.accepts()
    run.close()
    assert server.ended(PATIENCE) == 128 + 9
