"""Does `python3 app_server.py` do what its contract says, as a user runs it?

In a subprocess, on port 0, with nothing but its stderr, its exit code and its sockets to judge by.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventloop import parse_address
from tests.support.peer import Peer, connected, small_buffers
from tests.support.wire import ask, binary, keep

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = str(ROOT / "app_server.py")
SCHEMES = ("tcp", "unix", "echo", "echo+udp")


def news(line: str) -> str:
    """A line of level `info` without the time and the level in front."""
    return re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} info: ", "", line)


def is_of_the_machine(line: str) -> bool:
    """Does it say that a turn, or what was done in it, took long? Here it does when the machine has much else to do."""
    return "; event=slow-turn " in line or "; event=slow-handler " in line


class Command:
    """A running `app_server.py`. `lines` is what it wrote before it listened; `addresses` where it listens."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.peers: list[Peer] = []

    def line(self) -> str:
        """The next line on its stderr; the time is taken off what it says of itself (see `news`)."""
        assert self.process.stderr is not None
        while is_of_the_machine(text := self.process.stderr.readline()):
            pass
        assert text.endswith("\n"), f"it ended with code {self.process.wait()}"
        return news(text[:-1])

    def line_with(self, words: str) -> str:
        """The next line on its stderr that has these words."""
        while words not in (line := self.line()):
            pass
        return line

    def address(self) -> Any:
        """The next listener that it says it has."""
        line = self.line()
        assert line.startswith("Listening on "), line
        return parse_address(line.removeprefix("Listening on "), SCHEMES)

    def peer(self, address: Any) -> Peer:
        peer = Peer(connected(address))
        self.peers.append(peer)
        return peer

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, list[str]]:
        """Wait for its end; its exit code and what it still wrote."""
        out, err = self.process.communicate(timeout=30)
        assert out == ""
        return self.process.returncode, [news(line) for line in err.splitlines() if not is_of_the_machine(line)]


@contextlib.contextmanager
def running(*arguments: str, cwd: Any = None, prepare: Callable[[], None] | None = None) -> Iterator[Command]:
    """A command. Its drain has no grace unless asked for: idle clients would cost each test a second."""
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--drain-grace", "0", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        preexec_fn=prepare,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    command = Command(process)
    try:
        yield command
    finally:
        for peer in command.peers:
            peer.close()
        if process.poll() is None:
            process.kill()
        process.communicate()


def fails(code: int, *arguments: str, cwd: Any = None, prepare: Callable[[], None] | None = None) -> str:
    """The one line that is said by a command that ends by itself with `code`."""
    with running(*arguments, cwd=cwd, prepare=prepare) as command:
        returned, lines = command.end()
    assert returned == code, lines
    assert not any("Traceback" in line for line in lines), lines
    assert len(lines) == 1, lines
    return lines[0]


def kept_alive(command: Command, address: Any) -> Peer:
    peer = command.peer(address)
    peer.send(keep("echo", 1))
    assert peer.reply().connection == "keep-alive"
    return peer


# --- serving and ending ------------------------------------------------------------------------


def test_it_says_where_it_listens_serves_and_drains_at_sigterm_with_exit_code_0() -> None:
    with running("127.0.0.1", "0") as command:
        address = command.address()
        assert address.port
        one_shot = command.peer(address)
        one_shot.send(ask("search", "morpheus"))
        assert one_shot.reply().result == "Follow the white rabbit. 🐰"
        one_shot.eof()
        one_shot.close()
        idle = kept_alive(command, address)
        command.signal(signal.SIGTERM)
        idle.eof()
        code, lines = command.end()
    assert code == 0
    assert lines == ["Draining (SIGTERM)", "Served: requests 2", "Closed: accepted 2 (served 1, shutdown 1)"]


def test_a_drain_finishes_what_was_begun() -> None:
    with running("127.0.0.1", "0") as command:
        address = command.address()
        idle, begun = kept_alive(command, address), command.peer(address)
        request = keep("echo", "begun")
        begun.send(request[:30])
        kept_alive(command, address)  # served after it, so its first bytes have been read
        command.signal(signal.SIGINT)
        idle.eof()
        begun.send(request[30:])
        reply = begun.reply()
        assert (reply.result, reply.connection) == ("begun", "close")
        begun.eof()
        begun.close()
        code, lines = command.end()
    assert code == 0
    assert lines[0] == "Draining (SIGINT)"


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_stops_at_once_with_its_number(first: int, second: int) -> None:
    with running("127.0.0.1", "0", "--drain-timeout", "1h") as command:
        address = command.address()
        stuck = command.peer(address)
        stuck.send(keep("echo", 1)[:-1])
        idle = kept_alive(command, address)
        command.signal(first)
        assert command.line().startswith("Draining")
        idle.eof()
        command.signal(second)
        code, lines = command.end()
    assert code == 128 + second
    assert "Cut while still busy, at the drain timeout or a second signal: 1" in lines[0]


def test_what_is_still_busy_at_the_drain_timeout_is_cut_and_told_and_that_is_no_failure() -> None:
    with running("127.0.0.1", "0", "--drain-timeout", "100ms") as command:
        address = command.address()
        stuck = command.peer(address)
        stuck.send(keep("echo", 1)[:-1])
        kept_alive(command, address)
        command.signal(signal.SIGTERM)
        stuck.gone()
        code, lines = command.end()
    assert code == 0
    assert any("warning: Cut while still busy" in line and line.endswith(": 1") for line in lines)
    assert "cut 1" in lines[-1]


SLOW_APP = """
import sys, time
from libserver import Actions
actions = Actions()

@actions.add("forever")
def forever(request):
    sys.stderr.write("begun\\n")  # in one piece: the log's thread writes there, too
    while True:
        time.sleep(60)

@actions.add("forever blocking", blocking=True)
def forever_blocking(request):
    forever(request)
"""


@pytest.mark.parametrize("action", ["forever", "forever blocking"])
def test_a_handler_that_never_returns_does_not_keep_a_second_signal_from_stopping_it(
    tmp_path: Path, action: str
) -> None:
    (tmp_path / "slow.py").write_text(SLOW_APP)
    with running("127.0.0.1", "0", "--app", "slow:actions", "--drain-timeout", "1h", cwd=tmp_path) as command:
        peer = command.peer(command.address())
        peer.send(keep(action))
        assert command.line() == "begun"
        command.signal(signal.SIGINT)
        assert command.line() == "Draining (SIGINT)"  # at once, whether the loop turns or not
        command.signal(signal.SIGINT)
        code, lines = command.end()
    assert code == 128 + signal.SIGINT
    if action == "forever blocking":
        assert "accepted 1 (cut 1)" in lines[-1]
    else:
        assert "error: stopped in the middle of a handler that does not return: the action 'forever'" in lines[0]
        assert any("slow.py" in line and "in forever" in line for line in lines)


def test_sigint_while_busy_loses_no_reply_that_was_begun() -> None:
    with running("127.0.0.1", "0") as command:
        address = command.address()
        peers = [kept_alive(command, address) for _ in range(10)]
        for peer in peers:
            peer.send(*(keep("echo", n) for n in range(200)))
        command.signal(signal.SIGINT)
        for peer in peers:
            expected = 0
            while True:
                peer._wait(lambda peer=peer: peer.read() or peer.ended or bool(peer.received), "anything")  # type: ignore[misc]
                if peer.ended and not peer.received:
                    break
                try:
                    reply = peer.reply()
                except ConnectionResetError:  # some were on their way when it closed between messages
                    break
                if reply.code == "shutting-down":
                    break
                assert reply.result == expected
                expected += 1
            peer.close()
        code, _ = command.end()
    assert code == 0


def test_the_same_port_can_be_bound_again_immediately() -> None:
    port = "0"
    for _ in range(2):
        with running("127.0.0.1", port) as command:
            address = command.address()
            port = str(address.port)
            peer = command.peer(address)
            peer.send(ask("echo", 1))
            assert peer.reply().result == 1
            peer.eof()
            command.signal(signal.SIGTERM)
            assert command.end()[0] == 0


def listed(command: Command) -> list[str]:
    """The lines about the open connections."""
    command.signal(signal.SIGUSR1)
    counts = re.fullmatch(r"Open connections: (\d+), accepted: \d+", command.line_with("Open connections: "))
    assert counts is not None
    return [command.line() for _ in range(int(counts[1]))]


def test_sigusr1_lists_the_connections() -> None:
    with running("127.0.0.1", "0") as command:
        address = command.address()
        peers = [kept_alive(command, address) for _ in range(2)]
        peers[1].send(b"\0")
        peers[0].send(keep("echo", 2))
        assert peers[0].reply().result == 2
        command.signal(signal.SIGUSR1)
        assert command.line() == "Open connections: 2, accepted: 2"
        listed = sorted(command.line() for _ in peers)
        for peer, line in zip(sorted(peers, key=lambda p: str(p.sock.getsockname()[1])), listed, strict=True):
            host, port = peer.sock.getsockname()
            assert re.fullmatch(
                rf"peer={host}:{port} state=OPEN/PROTOHEADER age=\d+\.\d idle=\d+\.\d in=[01] out=0 in-flight=0 "
                r"requests=[12]",
                line,
            )
        peers[1].close()
        command.signal(signal.SIGTERM)
        assert command.end()[0] == 0


# --- listeners -----------------------------------------------------------------------------------


def test_several_listeners_are_all_told_and_all_served(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with running(
        "127.0.0.1", "0", "--unix", str(path), "--listen", "echo://127.0.0.1:0", "--listen", "echo+udp://127.0.0.1:0"
    ) as command:
        tcp, echo, udp, unix = (command.address() for _ in range(4))
        for address in (tcp, unix):
            kept_alive(command, address)
        raw = command.peer(echo)
        raw.send(b"Hello, world")
        raw._wait(lambda: raw.read() or len(raw.received) >= 12, "an echo")
        assert raw.received == b"Hello, world"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(20)
            sock.connect((udp.host, udp.port))
            sock.send(b"datagram")
            assert sock.recv(100) == b"datagram"
        command.signal(signal.SIGTERM)
        assert command.end()[0] == 0
    assert not path.exists()


def test_only_a_unix_socket_may_be_listened_on_and_a_stale_one_is_cleared(tmp_path: Path) -> None:
    path = tmp_path / "s"
    for _ in range(2):
        with running("--unix", str(path)) as command:
            address = command.address()
            assert str(address) == f"unix:{path}"
            kept_alive(command, address)
            command.signal(signal.SIGKILL)  # leaves its file behind
            command.process.wait(20)
        assert path.exists()


def test_reuse_port_lets_two_servers_share_one() -> None:
    with running("127.0.0.1", "0", "--reuse-port") as one:
        address = one.address()
        with running("127.0.0.1", str(address.port), "--reuse-port") as two:
            assert two.address() == address


# --- what keeps it from starting --------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
def test_started_by_socket_activation_it_says_that_this_is_not_built(count: int) -> None:
    """With the address bound already, as systemd does it; LISTEN_PID is known only behind the exec."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        start = f'LISTEN_PID=$$ LISTEN_FDS={count} exec "$@"'
        command = ["sh", "-c", start, "sh", sys.executable, "app_server.py", "127.0.0.1", str(port)]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, pass_fds=[held.fileno()]
        )
    assert done.returncode == 1
    assert "started by socket activation with " in done.stderr
    assert "(fd://) is not built yet" in done.stderr
    assert "in use" not in done.stderr


def test_a_port_in_use_is_told_with_the_process_that_holds_it() -> None:
    with running("127.0.0.1", "0") as holder:
        address = holder.address()
        said = fails(1, "127.0.0.1", str(address.port))
        if sys.platform.startswith("linux"):
            assert f"already in use by process {holder.process.pid} (" in said
            assert "app_server.py" in said
        assert said.startswith(f"app_server.py: cannot listen on tcp://127.0.0.1:{address.port}: already in use")
        assert said.endswith("; stop it, or choose another port")
        kept_alive(holder, address)


def test_a_live_unix_socket_is_refused_and_goes_on_serving(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with running("--unix", str(path)) as holder:
        address = holder.address()
        said = fails(1, "--unix", str(path))
        assert "already in use" in said
        assert said.endswith("; stop it, or choose another path")
        kept_alive(holder, address)


def test_if_one_of_several_listeners_fails_none_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    said = fails(1, "--unix", str(tmp_path / "s"), "--unix", str(tmp_path / "file"))
    assert "exists and is not a socket" in said
    assert not (tmp_path / "s").exists()
    assert (tmp_path / "file").read_text() == "precious"


def low_privileges() -> None:
    os.setgid(65534)
    os.setuid(65534)


def test_a_directory_without_permission_is_told(tmp_path: Path) -> None:
    if not may_drop():
        pytest.skip("only root can become somebody who may not, and that somebody must have the interpreter")
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o005 != 0o005:
            pytest.skip("somebody else can't get here at all")
    said = fails(1, "--unix", str(tmp_path / "s"), prepare=low_privileges)
    assert f"no permission to create a socket in {tmp_path}" in said


def may_drop() -> bool:
    """Could somebody else run this interpreter at all?"""
    if os.geteuid() != 0:
        return False
    try:
        subprocess.run([sys.executable, "-c", ""], preexec_fn=low_privileges, check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def first_unprivileged_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024


@pytest.mark.skipif(first_unprivileged_port() < 2, reason="every port is everybody's here")
def test_a_low_port_without_permission_is_told() -> None:
    if not may_drop():
        pytest.skip("only root can become somebody who may not, and that somebody must have the interpreter")
    said = fails(1, "127.0.0.1", "1", prepare=low_privileges)
    assert "no permission: ports below 1024 are for root; choose a port from 1024 to 65535" in said


@pytest.mark.parametrize("count", [5, 6, 7, 8, 9])
def test_without_descriptors_it_starts_or_says_so(count: int) -> None:
    """Whichever of its descriptors is the one too many: one line, never a traceback."""

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))

    with running("127.0.0.1", "0", prepare=few) as command:
        lines = []
        assert command.process.stderr is not None
        for line in command.process.stderr:
            lines.append(line)
            if line.startswith("Listening"):
                break
        if lines[-1].startswith("Listening"):
            return
        code, rest = command.end()
    said = "".join([*lines, *rest])
    assert "Traceback" not in said, said
    assert code == 1
    assert "ulimit -n" in said or "Too many open files" in said


@pytest.mark.parametrize(
    "arguments", [["127.0.0.1", "x"], ["--workers", "2"], ["--max-content", "lots"], ["a", "b", "c"]]
)
def test_bad_arguments_are_one_line_and_exit_code_2(arguments: list[str]) -> None:
    assert fails(2, *arguments).startswith("app_server.py: ")


def test_an_unknown_host_is_one_line() -> None:
    assert "unknown host" in fails(1, "no-such-host.invalid", "0")


def test_help_is_told_on_stdout_and_succeeds() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True, timeout=30, check=True)
    assert "--drain-timeout" in done.stdout
    assert done.stderr == ""


# --- --app and the log ------------------------------------------------------------------------------------

APP = """
from libserver import ActionError, Actions, Reply

actions = Actions()

@actions.add("greet")
def greet(request, session):
    if "name" not in request:
        raise ActionError("bad-request", "greet needs a name")
    return f"Hello, {request['name']}!"

@actions.add("crash")
def crash(request):
    raise RuntimeError("secret")
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_ones_own_actions_are_served_and_a_crash_is_in_the_log_only(tmp_path: Path, form: str) -> None:
    (tmp_path / "myapp.py").write_text(APP)
    with running("127.0.0.1", "0", "--app", "myapp:actions", "--log-format", form, cwd=tmp_path) as command:
        line = command.line()
        if form == "json":
            line = json.loads(line)["message"]
        address = parse_address(line.removeprefix("Listening on "))
        peer = command.peer(address)
        peer.send(keep("greet"), keep("crash"), keep("echo", 1))
        replies = peer.replies(3)
        assert [reply.code for reply in replies] == ["bad-request", "handler-failed", None]
        assert b"secret" not in replies[1].content
        command.signal(signal.SIGTERM)
        code, lines = command.end()
    assert code == 0
    if form == "json":
        events = [json.loads(line) for line in lines]
        (failure,) = [event for event in events if event["level"] == "error"]
        assert "RuntimeError: secret" in failure["traceback"]
        assert "crash" in failure["traceback"]
    else:
        assert "error: action 'crash' failed: RuntimeError: secret; event=handler-failed " in "\n".join(lines)
        assert "    RuntimeError: secret" in lines


def test_an_app_that_does_not_import_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import no_such_thing\n")
    assert "importing broken failed" in fails(1, "--app", "broken:actions", cwd=tmp_path)
    assert "there is no module" in fails(1, "--app", "missing:actions", cwd=tmp_path)


def test_ctrl_c_while_the_app_is_being_imported_is_one_line_and_130(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import sys, time\nprint('importing', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
    )
    with running("127.0.0.1", "0", "--app", "slow:actions", cwd=tmp_path) as command:
        assert command.line() == "importing"
        command.signal(signal.SIGINT)
        code, lines = command.end()
    assert code == 130
    assert lines == ["app_server.py: interrupted"]


def test_the_log_level_is_heeded() -> None:
    with running("127.0.0.1", "0", "--log-level", "debug") as command:
        peer = kept_alive(command, command.address())
        peer.close()
        assert " debug: connection closed: peer-closed; event=closed reason=peer-closed " in command.line()
        command.signal(signal.SIGTERM)
        assert command.end()[0] == 0


def test_an_empty_stderr_harms_nobody(tmp_path: Path) -> None:
    """`2>&-`, and a port that is told to nobody: a UNIX path then."""
    path = tmp_path / "s"
    process = subprocess.Popen(
        ["sh", "-c", f'exec "{sys.executable}" "{SCRIPT}" --unix "{path}" 2>&-'], stdin=subprocess.DEVNULL
    )
    try:
        address = parse_address(f"unix:{path}")
        peer: Peer | None = None
        while peer is None:
            assert process.poll() is None
            with contextlib.suppress(OSError):
                peer = Peer(connected(address))
        peer.send(keep("nothing"), keep("echo", 1))
        assert [reply.code for reply in peer.replies(2)] == ["unknown-action", None]
        process.send_signal(signal.SIGTERM)
        peer.eof()
        peer.close()
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="only Linux makes a pipe small")
def test_a_log_that_nobody_reads_does_not_hold_the_server_and_its_end_waits_a_second_at_most() -> None:
    with running("127.0.0.1", "0", "--log-level", "debug") as command:
        address = command.address()
        assert command.process.stderr is not None
        fcntl.fcntl(command.process.stderr, fcntl.F_SETPIPE_SZ, 4096)
        for n in range(300):  # a line each, of which the pipe holds less than a hundred
            peer = command.peer(address)
            peer.send(ask("echo", n))
            assert peer.reply().result == n
            peer.close()
        command.signal(signal.SIGTERM)
        began = time.monotonic()
        assert command.process.wait(20) == 0
        assert time.monotonic() - began < 5


def test_each_limit_is_kept_as_its_option_says_and_the_end_tells_why_everyone_went() -> None:
    times = ["--header-timeout", "1s", "--content-timeout", "1s", "--idle-timeout", "1s"]
    sizes = ["--send-timeout", "1s", "--write-high", "64k", "--write-low", "1k", "--output-limit", "8m"]
    counts = ["--max-connections-per-ip", "5", "--requests-per-event", "2", "--min-data-rate", "1k"]
    megabyte = 1024 * 1024
    with running("127.0.0.1", "0", *times, *sizes, *counts) as command:
        address = command.address()
        silent, header, content, idle = (command.peer(address) for _ in range(4))
        header.send(b"\0")
        content.send(binary(bytes(100))[:-1])
        idle.send(*[keep("echo", n) for n in range(50)])
        assert [reply.result for reply in idle.replies(50)] == list(range(50))
        deaf = Peer(connected(address, small_buffers))
        command.peers.append(deaf)
        extra = command.peer(address)
        assert extra.reply().code == "overloaded"
        extra.eof()
        extra.close()
        deaf.send(binary(bytes(7 * megabyte), connection="keep-alive"))
        silent.eof()
        for late in (header, content):
            assert late.reply().code == "timeout"
            late.eof()
            late.close()
        idle.eof()
        greedy = Peer(connected(address, small_buffers))
        command.peers.append(greedy)
        greedy.send(binary(bytes(20 * megabyte), connection="keep-alive"))
        greedy.gone()
        while listed(command):  # the deaf one must not read before its time is up
            pass
        deaf.gone()
        command.signal(signal.SIGTERM)
        code, lines = command.end()
    assert code == 0
    closed = re.fullmatch(r"Closed: accepted (\d+) \((.*)\)", lines[-1])
    assert closed is not None, lines
    reasons = {name: int(count) for name, count in (part.rsplit(" ", 1) for part in closed[2].split(", "))}
    assert reasons == {
        "header-timeout": 2,
        "content-timeout": 1,
        "idle-timeout": 1,
        "send-timeout": 1,
        "output-limit": 1,
        "overloaded": 1,
    }
    assert sum(reasons.values()) == int(closed[1])


# --- resources ------------------------------------------------------------------------------------------------


def test_when_descriptors_run_out_the_others_are_told_overloaded_and_nothing_is_lost() -> None:
    """The cap leaves descriptors to spare, so `overloaded` comes first; taking those as well meets EMFILE."""

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))

    with running("127.0.0.1", "0", prepare=few) as command:
        line = command.line()
        assert "max_connections lowered from 10000 to 48" in line
        address = command.address()
        peers = [kept_alive(command, address) for _ in range(48)]
        extra = [command.peer(address) for _ in range(30)]
        for peer in extra:
            assert peer.reply().code == "overloaded"
            peer.eof()
        for n, peer in enumerate(peers):
            peer.send(keep("echo", n))
            assert peer.reply().result == n
        for peer in extra:
            peer.close()
        peers.pop().close()
        while True:  # until its place is free
            peer = command.peer(address)
            peer.send(keep("echo", 1))
            reply = peer.reply()
            if reply.code is None:
                break
            assert reply.code == "overloaded"
            peer.close()
        command.signal(signal.SIGTERM)
        assert command.end()[0] == 0


EATING_APP = """
import os
from libserver import Actions
actions = Actions()
eaten = []

@actions.add("eat")
def eat(request):
    try:
        while True:
            eaten.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return len(eaten)

@actions.add("give back")
def give_back(request):
    while eaten:
        os.close(eaten.pop())

@actions.add("cpu")
def cpu(request):
    return sum(os.times()[:2])
"""


def test_out_of_descriptors_it_pauses_without_spinning_tells_whom_it_can_and_recovers(tmp_path: Path) -> None:
    (tmp_path / "eating.py").write_text(EATING_APP)

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

    with running("127.0.0.1", "0", "--app", "eating:actions", cwd=tmp_path, prepare=few) as command:
        assert "lowered" in command.line()
        address = command.address()
        peer = kept_alive(command, address)
        peer.send(keep("eat"))
        assert peer.reply().result > 50
        waiting = command.peer(address)
        assert waiting.reply().code == "overloaded"  # with the reserve descriptor
        assert command.line_with("Too many open files")
        peer.send(keep("cpu"))
        before = peer.reply().result
        for _ in range(5):  # half a second of accepts that can't succeed
            assert command.peer(address).reply().code == "overloaded"
        peer.send(keep("cpu"))
        assert peer.reply().result - before < 0.3
        peer.send(keep("give back"))
        assert peer.reply().result is None
        while True:
            again = command.peer(address)
            again.send(keep("echo", 1))
            if again.reply().code is None:
                break
        command.signal(signal.SIGTERM)
        assert command.end()[0] == 0


@pytest.mark.parametrize("level", ["warning", "error"])
def test_what_is_asked_for_is_said_at_every_log_level(level: str) -> None:
    with running("127.0.0.1", "0", "--log-level", level) as command:
        address = command.address()
        kept_alive(command, address)
        command.signal(signal.SIGUSR1)
        assert command.line() == "Open connections: 1, accepted: 1"
        assert command.line().startswith("peer=127.0.0.1:")
        command.signal(signal.SIGTERM)
        code, lines = command.end()
    assert (code, lines) == (0, [])


def test_a_connection_that_lingers_after_its_last_reply_was_served_and_not_cut() -> None:
    with running("127.0.0.1", "0", "--drain-timeout", "200ms") as command:
        peer = command.peer(command.address())
        peer.send(ask("echo", 1), b"more")
        assert peer.reply().result == 1
        command.signal(signal.SIGTERM)
        code, lines = command.end()
    assert code == 0
    assert lines[-1] == "Closed: accepted 1 (served 1)"
    assert not any("Cut" in line for line in lines)


# --- --trace --------------------------------------------------------------------------------------


def test_a_trace_of_a_running_server_replays(tmp_path: Path) -> None:
    path = tmp_path / "server.trace"
    with running("127.0.0.1", "0", "--trace", str(path), "--trace-bytes", "64k") as server:
        peer = server.peer(server.address())
        peer.send(keep("echo", 1))
        peer.reply()
        server.signal(signal.SIGTERM)
        assert server.end()[0] == 0
    done = subprocess.run(
        [sys.executable, "-m", "study", "replay", str(path)], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 connection took the same transitions again" in done.stdout


def test_a_disk_that_is_full_ends_the_trace_and_not_the_server() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    with running("127.0.0.1", "0", "--trace", "/dev/full") as server:
        address = server.address()
        for _ in range(6):  # until what is buffered has to be written
            peer = server.peer(address)
            peer.send(ask("echo", "x" * 2000))
            peer.reply()
            peer.close()
        server.signal(signal.SIGTERM)
        code, lines = server.end()
    assert code == 0
    assert [line for line in lines if "the trace ends here, the server goes on" in line]


def test_a_trace_that_can_not_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    assert "No such file" in fails(1, "127.0.0.1", "0", "--trace", str(tmp_path / "no" / "trace"))
    assert "every 0th connection" in fails(2, "127.0.0.1", "0", "--trace-sample", "0")
