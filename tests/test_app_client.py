"""`app_client.py` as a user runs it: a process, its two outputs and its exit code.

The tutorial's form is held to byte transcripts of what the tutorial's own client sends.
"""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from multiconn.commands import READER_GONE
from study.explain import explain
from study.replay import replay
from study.trace import load
from tests.support.scripted import Caller, ScriptedServer, complaining, correct, one_shot, unused_port
from tests.support.wire import KEEP, header, message

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = str(ROOT / "app_client.py")


def client(*arguments: str, stdin: str | bytes = b"", **more: str) -> tuple[int, str, str]:
    """Run it; returns exit code, stdout, stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", SCRIPT, *arguments],
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=50,
        env={**os.environ, **more},
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def refused_in_one_line(result: tuple[int, str, str], code: int, *words: str) -> None:
    """Nothing on stdout, one line on stderr that says all `words`."""
    assert result[0] == code, result
    assert result[1] == ""
    assert len(result[2].splitlines()) == 1, result[2]
    for word in words:
        assert word in result[2]


# --- the tutorial's own form ---------------------------------------------------------------


def transcript(*arguments: str, answer: bytes) -> tuple[bytes, tuple[int, str, str]]:
    """What the client puts on the wire, and how it ends when it is sent `answer`."""
    got = []

    def record(peer: Caller) -> None:
        peer.request()
        data = peer.raw + peer.unread
        peer.send(answer)
        peer.sock.shutdown(socket.SHUT_WR)
        while more := peer.sock.recv(65536):
            data += more
        got.append(data)

    with ScriptedServer(record) as server:
        host, _, port = server.target.rpartition(":")
        result = client(host, port, *arguments)
        server.finish()  # the client ends with its reply, before the other side has noted that end
    return got[0], result


def test_search_is_sent_as_the_tutorial_sends_it() -> None:
    content = '{"action": "search", "value": "🐶 é"}'.encode()
    reply = '{"result": "🐾 Playing ball! 🏐"}'.encode()
    sent, result = transcript("search", "🐶 é", answer=header(len(reply), "text/json", "utf-8") + reply)
    assert sent == header(len(content), "text/json", "utf-8") + content
    assert result == (0, "Got result: 🐾 Playing ball! 🏐\n", "")


def test_any_other_action_is_sent_as_the_tutorial_sends_it() -> None:
    reply = b"First 10 bytes of request: doublequo"
    sent, result = transcript(
        "double", "quote é", answer=header(len(reply), "binary/custom-server-binary-type", "binary") + reply
    )
    content = "doublequote é".encode()
    assert sent == header(len(content), "binary/custom-client-binary-type", "binary") + content
    assert result == (0, "Got response: b'First 10 bytes of request: doublequo'\n", "")


def test_undecodable_bytes_of_the_command_line_are_sent_as_they_are() -> None:
    reply = b"x"
    sent, result = transcript("a", os.fsdecode(b"\xff"), answer=header(1, "b/x", "binary") + reply)
    assert sent.endswith(b"a\xff")
    assert result[0] == 0


def test_an_error_reply_is_printed_as_the_tutorial_would_and_told_by_the_exit_code() -> None:
    with ScriptedServer(complaining) as server:
        assert client(*server.target.split(":"), "search", "x") == (4, "Got result: Error: no\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["127.0.0.1", "http", "search", "x"], ["'http' is not a port", "HOST PORT ACTION VALUE"]),
        (["127.0.0.1", "65536", "search", "x"], ["not a port"]),
        (["127.0.0.1", "0", "search", "x"], ["HOST PORT ACTION VALUE"]),
        (["", "1", "search", "x"], ["HOST PORT ACTION VALUE"]),
        (["127.0.0.1", "65432", "search"], ["exactly four"]),
        (["127.0.0.1", "65432", "search", "x", "y"], ["exactly four"]),
        (["127.0.0.1:65432"], ["is no command"]),
        ([], ["write a command"]),
        (["--nonsense"], ["unknown option"]),
        (["-c", "5"], ["unknown option"]),
    ],
)
def test_what_is_neither_a_command_nor_the_tutorials_form(arguments: list[str], words: list[str]) -> None:
    refused_in_one_line(client(*arguments), 2, *words)


def test_nobody_listens() -> None:
    port = str(unused_port())
    refused_in_one_line(client("127.0.0.1", port, "search", "x"), 3, "nothing listens", "start the server")
    refused_in_one_line(client("request", f"127.0.0.1:{port}", "x"), 3, "nothing listens")
    refused_in_one_line(client("shell", f"127.0.0.1:{port}"), 3, "nothing listens")


def test_a_host_nobody_knows() -> None:
    refused_in_one_line(client("request", "x" * 300 + ":1", "x"), 3, "host name", "check the spelling")


# --- request -----------------------------------------------------------------------------------


def test_a_text_is_printed_plain_and_everything_else_as_json() -> None:
    with ScriptedServer(correct) as server:
        assert client("request", server.target, "search", "morpheus") == (0, "Follow the white rabbit. 🐰\n", "")
        assert client("request", server.target, "echo", '{"a": [1, "é"]}', "--json-value") == (
            0,
            '{"a": [1, "é"]}\n',
            "",
        )
        assert client("request", server.target, "confirm", "hi", "--full") == (
            0,
            '{"result": "Received: hi", "count": 1}\n',
            "",
        )


def test_what_a_request_says() -> None:
    def note(peer: Caller) -> None:
        peer.reply({"result": peer.request()}, connection=None)

    with ScriptedServer(note) as server:

        def sent(*arguments: str) -> object:
            code, out, err = client("request", server.target, *arguments)
            assert (code, err) == (0, "")
            return json.loads(out)

        assert sent("greet") == {"action": "greet"}
        assert sent("greet", "Ann") == {"action": "greet", "value": "Ann"}
        assert sent("greet", "--fields", '{"name": "Ann"}') == {"action": "greet", "name": "Ann"}
        assert sent("echo", "-5") == {"action": "echo", "value": "-5"}
        assert sent("echo", "--timeout", "5s", "behind an option") == {"action": "echo", "value": "behind an option"}
        assert sent("--id", "7", "--deadline", "2s", "echo", "--", "--odd") == {"action": "echo", "value": "--odd"}


def test_error_replies_are_told_with_their_code() -> None:
    with ScriptedServer(complaining) as server:
        refused_in_one_line(client("request", server.target, "x"), 4, "handler-failed: no")


def test_what_a_server_says_cannot_draw_on_the_terminal() -> None:
    def hostile(peer: Caller) -> None:
        peer.request()
        peer.reply({"error": {"code": "x\x1b[2J", "message": "two\nlines"}})

    with ScriptedServer(hostile) as server:
        refused_in_one_line(client("request", server.target, "x"), 4, "\\x1b", "two\\nlines")


def mirror(peer: Caller) -> None:
    """Gives binary content back in its own type."""
    peer.send(message(peer.request(), "binary/echo", **KEEP))


def test_a_file_goes_out_and_comes_back(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(os.urandom(500_000))
    with ScriptedServer(mirror) as server:
        code, out, err = client("request", server.target, "echo", "--file", str(source), "-o", str(copy))
        assert (code, out) == (0, "")
        assert err == f"saved 500000 bytes of binary/echo to {copy}\n"
        assert copy.read_bytes() == source.read_bytes()


def test_a_binary_answer_is_described_or_given_to_stdout_as_it_is() -> None:
    with ScriptedServer(mirror) as server:
        assert client("request", server.target, "--file", "-", stdin=b"\0\1") == (
            0,
            "2 bytes of binary/echo: b'\\x00\\x01'\n",
            "",
        )
        assert client("request", server.target, "--file", "-", "-o", "-", stdin=b"\0\1") == (0, "\0\1", "")


@pytest.mark.parametrize(
    ("arguments", "content_type"),
    [
        (["--file", "-"], "binary/custom-client-binary-type"),
        (["echo", "--file", "-"], "binary/echo"),
        (["--file", "-", "--type", "image/png"], "image/png"),
    ],
)
def test_the_type_of_a_file(arguments: list[str], content_type: str) -> None:
    got, _ = transcript_of("request", *arguments)
    assert f'"content-type": "{content_type}"'.encode() in got


def transcript_of(command: str, *arguments: str) -> tuple[bytes, tuple[int, str, str]]:
    got = []

    def record(peer: Caller) -> None:
        got.append(peer.sock.recv(65536))
        peer.send(message(b"x", "binary/x", connection="close"))

    with ScriptedServer(record) as server:
        result = client(command, server.target, *arguments, stdin=b"content")
    return got[0], result


def test_id_and_deadline_are_header_fields() -> None:
    got, result = transcript_of("request", "echo", "x", "--id", "seven", "--deadline", "1.5s")
    assert result[0] == 0
    assert b'"connection": "keep-alive", "id": "seven", "deadline-ms": 1500}' in got
    assert b'"id": -7,' in transcript_of("request", "echo", "x", "--id", "-7", "--deadline", "0")[0]


def test_a_json_answer_is_printed_even_if_it_was_to_be_saved(tmp_path: Path) -> None:
    with ScriptedServer(correct) as server:
        code, out, err = client("request", server.target, "echo", "x", "-o", str(tmp_path / "x"))
    assert (code, out) == (0, "x\n")
    assert "nothing binary" in err
    assert not (tmp_path / "x").exists()


def test_requests_that_make_no_sense(tmp_path: Path) -> None:
    target = "127.0.0.1:1"
    for arguments, words in (
        ([], ["TARGET"]),
        (["nonsense"], ["HOST:PORT"]),
        (["127.0.0.1:0", "x"], ["port 0"]),
        (["tls://a:1", "x"], ["tls://"]),
        ([target], ["ACTION"]),
        ([target, "x", "{", "--json-value"], ["not JSON"]),
        ([target, "x", "NaN", "--json-value"], ["can't be sent"]),
        ([target, "x", "--json-value"], ["needs a VALUE"]),
        ([target, "x", "--fields", "[1]"], ["JSON object"]),
        ([target, "x", "--type", "a/b"], ["--file"]),
        ([target, "x", "y", "--file", "-"], ["leave VALUE"]),
        ([target, "--file", str(tmp_path / "missing")], ["can't be read", "No such file"]),
        ([target, "--file", str(tmp_path)], ["can't be read", "directory"]),
        ([target, "x", "--id", "i" * 65], ["id is"]),
        ([target, "x", "--deadline", "25h"], ["deadline"]),
        ([target, "x", "--timeout", "soon"], ["not a time"]),
        ([target, "x", "--connect-timeout", "0"], ["above 0"]),
        ([target, "x", "-o", str(tmp_path)], ["directory"]),
        ([target, "x", "-o", str(tmp_path / "no" / "where")], ["no directory"]),
        ([target, "x", "--bogus"], ["--bogus"]),
        ([target, "x", "y", "z"], ["z"]),
    ):
        refused_in_one_line(client("request", *arguments), 2, *words)


def test_the_connection_lost_on_the_way_is_told() -> None:
    with ScriptedServer(lambda peer: (peer.request(), None)[1]) as server:
        refused_in_one_line(client("request", server.target, "x"), 3, "closed the connection", "may not have been")
    with ScriptedServer(lambda peer: (peer.request(), peer.reset())[1]) as server:
        refused_in_one_line(client("request", server.target, "x"), 3, "reset")
    with ScriptedServer(lambda peer: (peer.request(), peer.send(b"\0\x02"))[1]) as server:
        refused_in_one_line(client("request", server.target, "x"), 3, "middle of a reply")
    with ScriptedServer(lambda peer: (peer.request(), peer.send(b"\0\x02[]"))[1]) as server:
        refused_in_one_line(client("request", server.target, "x"), 3, "server of this protocol")


def test_a_reply_withheld_is_told() -> None:
    def silent(peer: Caller) -> None:
        while True:
            peer.request()

    with ScriptedServer(silent) as server:
        refused_in_one_line(client("request", server.target, "x", "--timeout", "100ms"), 3, "0.1 s", "longer timeout")


def test_a_unix_socket_is_a_target_and_a_missing_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s"
    refused_in_one_line(client("request", f"unix:{path}", "x"), 3, "no socket at")
    with ScriptedServer(correct, str(path)) as server:
        assert client("request", server.target, "echo", "x") == (0, "x\n", "")


def test_descriptors_that_run_out_are_told() -> None:
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50)); "
        f"sys.path.insert(0, {str(ROOT)!r}); import app_client; sys.exit(app_client.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "echo", "127.0.0.1:1", "-c", "100"], capture_output=True, timeout=50, check=False
    )
    refused_in_one_line((done.returncode, done.stdout.decode(), done.stderr.decode()), 3, "open at most 18", "ulimit")


# --- shell ---------------------------------------------------------------------------------------


def test_a_shell_confirms_each_line_on_one_connection() -> None:
    with ScriptedServer(correct) as server:
        code, out, err = client("shell", server.target, stdin="hello\n\nsearch morpheus\nconfirm again\n/echo 1\nlast")
        assert (code, err) == (0, "")
        assert out.splitlines() == [
            "Received: hello",
            "Follow the white rabbit. 🐰",
            "Received: again",
            "1",
            "Received: last",
        ]
        assert server.connections == 1


def test_a_shell_can_be_left_and_explains_itself() -> None:
    with ScriptedServer(correct) as server:
        code, out, err = client("shell", server.target, stdin="help\nquit\nnever sent\n")
        assert (code, out) == (0, "")
        assert "any text is sent" in err
        assert server.requests == 0


def test_a_shell_tells_errors_goes_on_and_ends_with_4() -> None:
    with ScriptedServer(complaining) as server:
        code, out, err = client("shell", server.target, stdin="one\n/json {\ntwo\n")
        assert (code, out) == (4, "")
        assert [line.split(":")[0] for line in err.splitlines()] == ["error", "not sent", "error"]
        assert server.requests == 2


def test_a_shell_takes_any_bytes() -> None:
    with ScriptedServer(correct) as server:
        code, out, _ = client("shell", server.target, stdin=b"\xff\n", PYTHONUTF8="1")
        assert code == 0
        assert out == "Received: \\udcff\n"


def test_a_shell_connects_again_and_says_so() -> None:
    closed = threading.Event()

    def one_then_close(peer: Caller) -> None:
        peer.reply(peer.right(peer.request()))
        if peer.number == 0:
            peer.sock.shutdown(socket.SHUT_RDWR)
            closed.set()
        else:
            peer.request()

    with ScriptedServer(one_then_close) as server:
        process = start("shell", server.target)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"Received: one\n"
        assert closed.wait(30)
        out, err = process.communicate(b"two\n", timeout=30)
        assert process.returncode == 0
        assert out == b"Received: two\n"
        assert b"connecting again" in err


def test_a_shell_on_a_one_shot_server_says_it_once() -> None:
    with ScriptedServer(one_shot) as server:
        code, out, err = client("shell", server.target, stdin="a\nb\nc\n")
        assert (code, out) == (0, "Received: a\nReceived: b\nReceived: c\n")
        assert err.count("\n") == 1
        assert "a connection of its own" in err
        assert server.connections == 3


def test_a_shell_whose_server_is_gone_ends_with_3() -> None:
    with ScriptedServer(correct) as server:
        process = start("shell", server.target)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"Received: one\n"
    out, err = process.communicate(b"two\nthree\n", timeout=30)
    assert process.returncode == 3
    assert out == b""
    assert b"nothing listens" in err
    assert len(err.splitlines()) == 2


def test_a_shell_on_a_terminal_prompts_and_ends_with_ctrl_d() -> None:
    with ScriptedServer(correct) as server:
        terminal = Terminal("shell", server.target)
        terminal.until(b"> ")
        terminal.write(b"hello\n")
        terminal.until(b"Received: hello")
        terminal.until(b"> ")
        terminal.write(b"\x04")
        assert terminal.end() == 0


def test_a_shell_on_a_terminal_ends_with_130_at_ctrl_c() -> None:
    with ScriptedServer(correct) as server:
        terminal = Terminal("shell", server.target)
        terminal.until(b"> ")
        terminal.until(b"interrupted", press=b"\x03")
        assert terminal.end() == 130


class Terminal:
    """The client with a terminal for its standard streams."""

    def __init__(self, *arguments: str) -> None:
        self.fd, child = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, SCRIPT, *arguments],
            stdin=child,
            stdout=child,
            stderr=child,
            start_new_session=True,
            preexec_fn=_take_terminal,
            env={**os.environ, "TERM": "dumb"},
        )
        os.close(child)
        self.seen = b""

    def until(self, words: bytes, press: bytes = b"") -> None:
        """Wait for `words`, pressing a key until they come.

        A Ctrl-C between readline's prompt and its first wait for a key is kept by CPython until
        the next key: a person would press it again too.
        """
        deadline = time.monotonic() + 30
        while words not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if press:
                self.write(press)
            if select.select([self.fd], [], [], 0.5)[0]:
                self.seen += os.read(self.fd, 4096)
        self.seen = self.seen.partition(words)[2]

    def write(self, data: bytes) -> None:
        os.write(self.fd, data)

    def end(self) -> int:
        try:
            while os.read(self.fd, 4096):
                pass
        except OSError:
            pass  # Linux: the last descriptor of the other side is closed
        os.close(self.fd)
        return self.process.wait(30)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C on it is a SIGINT to us


# --- Ctrl-C, and outputs that end -------------------------------------------------------------------


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, SCRIPT, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize(
    "arguments", [["request", "{}", "x"], ["shell", "{}"], ["echo", "{}", "abcd"], ["{host}", "{port}", "search", "x"]]
)
def test_ctrl_c_while_waiting_is_130_and_one_line(arguments: list[str]) -> None:
    asked = threading.Event()

    def silent(peer: Caller) -> None:
        while peer.sock.recv(4096):
            asked.set()

    with ScriptedServer(silent) as server:
        host, _, port = server.target.rpartition(":")
        process = start(*(word.format(server.target, host=host, port=port) for word in arguments))
        if arguments[0] == "shell":
            assert process.stdin is not None
            process.stdin.write(b"hello\n")
            process.stdin.flush()
        assert asked.wait(30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert (b"interrupted when 0 of 4 bytes had come back" in out) if arguments[0] == "echo" else out == b""
        assert err == b"app_client.py: interrupted\n"


def test_a_reader_that_leaves_is_no_traceback() -> None:
    def long(peer: Caller) -> None:
        peer.request()
        peer.reply({"result": "x" * 1_000_000})

    with ScriptedServer(long) as server:
        process = start("request", server.target, "x")
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        process.stderr.close()
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == READER_GONE
        assert err == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_line() -> None:
    with ScriptedServer(correct) as server, open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, SCRIPT, "request", server.target, "echo", "x"],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=50,
            check=False,
        )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert b"No space left" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_lacks_a_character_gets_its_escape(encoding: str) -> None:
    with ScriptedServer(correct) as server:
        code, out, _ = client("request", server.target, "echo", "🐶", PYTHONIOENCODING=encoding)
    assert (code, out) == (0, "\\U0001f436\n")


# --- help --------------------------------------------------------------------------------------------


def test_help_shows_examples_and_version_a_number() -> None:
    code, out, err = client("--help")
    assert (code, err) == (0, "")
    for word in ("HOST PORT ACTION VALUE", "request", "shell", "echo", "load", "examples:"):
        assert word in out
    assert client("-h")[0] == 0
    assert client("--version")[1].startswith("app_client.py ")


@pytest.mark.parametrize("command", ["request", "shell", "echo"])
def test_each_command_has_help(command: str) -> None:
    code, out, err = client(command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: app_client.py {command}")
    assert "TARGET" in out


# --- --trace --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["request", "shell"])
def test_what_a_command_did_is_written_down(command: str, tmp_path: Path) -> None:
    path = tmp_path / "client.trace"
    words = ["search", "morpheus"] if command == "request" else []
    with ScriptedServer(correct) as server:
        result = client(command, server.target, *words, "--trace", str(path), stdin="search morpheus\n")
        assert result == (0, "Follow the white rabbit. 🐰\n", "")
    trace = load(path)
    assert trace.vantage == "client"
    assert [e.data["input"] for e in trace.events if e.name == "transition"][:4] == [
        *["CONNECTED", "PREFIX_READ", "HEADER_READ", "CONTENT_READ"]
    ]
    assert server.target in "\n".join(explain(trace))
    assert [verdict.differences for verdict in replay(trace)] == [[]]


def test_a_trace_that_can_not_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    result = client("request", "127.0.0.1:1", "search", "--trace", str(tmp_path / "no" / "trace"))
    refused_in_one_line(result, 2, "--trace", "No such file")
    refused_in_one_line(client("request", "127.0.0.1:1", "search", "--trace-sample", "0"), 2, "from 1")


def test_a_load_is_written_down_from_both_ends(tmp_path: Path) -> None:
    path = tmp_path / "client.trace"
    with ScriptedServer(correct) as server:
        code, _, err = client(
            *["load", server.target, "-c", "3", "-n", "30", "--ui", "none"], "--trace", str(path), "--trace-sample", "2"
        )
        assert (code, err) == (0, "")
    trace = load(path)
    assert list(trace.groups) == ["1", "3"]
    whole = [e.data["direction"] for e in trace.events if e.name == "part" and e.data["part"] == "content"]
    assert whole.count("in") == whole.count("out") >= 2
    assert [verdict.differences for verdict in replay(trace)] == [[], []]
    ended = [event.data["reason"] for event in trace.events if event.name == "ended"]
    assert ended == ["done", "done"], "nothing was owed when the load was over: nobody was cut"
    refused = client("load", "127.0.0.1:1", "-w", "2", "--trace", str(path))
    refused_in_one_line(refused, 2, "--trace is of one process")


# --- words -------------------------------------------------------------------------------------------


def test_a_handler_that_failed_says_so_once() -> None:
    def failed(peer: Caller) -> None:
        peer.request()
        words = "the handler failed; the server's log has the details"
        peer.reply({"error": {"code": "handler-failed", "message": words}})

    with ScriptedServer(failed) as server:
        code, _, err = client("request", server.target, "x")
    assert code == 4
    assert err.count("log") == 1


def test_echo_needs_a_target_and_no_message() -> None:
    code, _, err = client("echo")
    assert (code, err) == (
        2,
        "app_client.py: the following arguments are required: TARGET; see app_client.py echo --help\n",
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_an_answer_that_can_not_be_saved_is_told_what_to_do(tmp_path: Path) -> None:
    def binary(peer: Caller) -> None:
        peer.request()
        peer.send(message(b"content", "binary/x", **KEEP))

    with ScriptedServer(binary) as server:
        code, _, err = client("request", server.target, "x", "-o", "/dev/full")
    assert code != 0
    assert "No space left on device" in err
    assert "mend" not in err
