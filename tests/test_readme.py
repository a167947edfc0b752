"""Is the README's first page true for a reader who pastes every block of it, one after the other?

A fresh directory gets what a clone has, and nothing points to anything else: where a script or a module
must lie is part of what the page says. Ports are replaced by free ones; ten seconds by one.

Not here: the line that tests (tests/test_ci.py compares it, `.ci/run` runs it), the commands in the page's
tables and the other pages (tests/test_docs.py).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_docs import IPV6

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
#: What of a clone runs: the top of each package, and the modules that are in none.
CLONE = [*(name for name in SETUPTOOLS["packages"] if "." not in name), *(f"{m}.py" for m in SETUPTOOLS["py-modules"])]
PATIENCE = 40.0

#: What is said where to test is.
SETS_UP = "python3 -m venv"


class Reader:
    """Who pastes: a directory, and the server that runs in the other terminal."""

    def __init__(self, clone: Path, elsewhere: Path) -> None:
        self.clone = clone
        self.elsewhere = elsewhere
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self._server: subprocess.Popen[str] | None = None
        self._ports: dict[str, str] = {}

    def python(self, *arguments: str) -> str:
        """`python3 ARGUMENTS` in the clone; it must succeed. Returns its output."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.clone,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def starts(self, command: str) -> list[str]:
        """Start a server as written and end the one before; returns what it says it listens on."""
        self.ends()
        if not IPV6:
            command = command.replace(" --listen 'tcp://[::1]:65432'", "")
        arguments = shlex.split(command)[1:]
        shown = [port for argument in arguments for port in re.findall(r"(?<!\d)6543\d$", argument)]
        arguments = [re.sub(r"(?<!\d)6543\d$", "0", argument) for argument in arguments]
        arguments = [argument.replace("/tmp/", f"{self.elsewhere}/") for argument in arguments]
        if not shown:  # its default port may be somebody's
            shown = ["65432"]
            arguments[1:1] = ["127.0.0.1", "0"]
        server = self._server = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.clone,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert server.stderr is not None
        said = []
        for port in [*shown, *["" for argument in arguments if argument == "--unix"]]:
            line = server.stderr.readline().strip()
            assert line.startswith("Listening on "), line
            if port:
                self._ports.setdefault(port, line.rpartition(":")[2])
            said.append(re.sub(r"\d+$", port, line) if port else line)
        return said

    def put(self, text: str) -> str:
        """The text with the ports that there are."""
        for shown, real in self._ports.items():
            text = text.replace(shown, real)
        return text

    @property
    def port(self) -> int:
        return int(self._ports["65432"])

    def ends(self) -> None:
        """Ctrl-C in the other terminal."""
        server, self._server = self._server, None
        self._ports.clear()
        if server is not None:
            server.send_signal(signal.SIGINT)
            _, said = server.communicate(timeout=PATIENCE)
            assert server.returncode == 0, said
            assert "Traceback" not in said

    def gives_up(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.communicate()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in CLONE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, clone / name)
    pastes = Reader(clone, tmp_path)
    try:
        yield pastes
        pastes.ends()
    finally:
        pastes.gives_up()


def blocks() -> list[tuple[str, str]]:
    return re.findall(r"^```(\S[^\n]*)\n(.*?)^```$", PAGE, re.M | re.S)


def test_every_block_does_what_the_page_says_pasted_in_its_order(reader: Reader) -> None:
    done = []
    for info, text in blocks():
        language, _, option = info.partition(" ")
        if language == "console":
            command, _, shown = text.removeprefix("$ ").partition("\n")
            done.append(f"console {command[:24].strip()}")
            _console(reader, command, shown)
        else:
            assert language == "python", f"nobody pastes {info} here"
            done.append(f"python {option.partition('=')[0]}".strip())
            _python(reader, option, text)
    assert done == [
        "console python3 app_client.py lo",
        "console python3 -m venv .venv &&",
        "console python3 app_server.py 12",
        "python tutorial",
        "console python3 app_server.py 12",
        "python",
        "python file",
        "console python3 app_server.py --",
        "python with",
    ]


def _console(reader: Reader, command: str, shown: str) -> None:
    if command.startswith("python3 app_server.py"):
        said = reader.starts(command)
        assert shown.splitlines() in ([], said)
    elif command == "python3 app_client.py load":
        report = reader.python("app_client.py", "load", "-d", "1s")
        assert re.search(r"^ +sockets +100 opened", report, re.M), "it opens 100 connections"
        assert re.search(r"^ +requests +[\d,]+ ok, every reply verified, 0 failed", report, re.M), (
            "it checks every reply"
        )
    else:
        assert command.startswith(SETS_UP), f"nobody has looked at {command!r}"


def _python(reader: Reader, option: str, text: str) -> None:
    kind, _, name = option.partition("=")
    if kind == "file":
        (reader.clone / name).write_text(text, encoding="utf-8")
    elif kind == "tutorial":
        _as_in_the_tutorial(reader, text)
    else:
        (reader.clone / "script.py").write_text(reader.put(text), encoding="utf-8")
        said = reader.python("script.py")
        assert said == ("Hello, Neo!\n" if kind == "with" else "Follow the white rabbit. \N{RABBIT FACE}\n")


def _as_in_the_tutorial(reader: Reader, method: str) -> None:
    """The method in a class as the tutorial's: requests of any length, one connection, and the server's yes."""
    namespace: dict[str, type] = {}
    exec(f"import json, struct, sys\nclass Message:\n{JSON_ENCODE}\n{method}", namespace)
    message = namespace["Message"]()
    assert method.count("# the new line") == 1
    with socket.create_connection(("127.0.0.1", reader.port), timeout=PATIENCE) as sock, sock.makefile("rb") as replies:
        for value in ("morpheus", "a longer value than that"):
            content = json.dumps({"action": "echo", "value": value}).encode()
            request = message._create_message(content_bytes=content, content_type="text/json", content_encoding="utf-8")
            sock.sendall(request)
            header = replies.read(int.from_bytes(replies.read(2), "big")).decode()
            length = int(re.findall(r'"content-length": ?(\d+)', header)[0])
            assert value in replies.read(length).decode()
            if value == "morpheus":
                assert re.search(r'"connection": ?"keep-alive"', header), "the same field is in the first reply"


def test_the_new_line_is_the_only_one_that_the_tutorial_does_not_have() -> None:
    (method,) = [text for info, text in blocks() if "tutorial=libclient.py" in info]
    lines = [line for line in textwrap.dedent(method).splitlines() if "# the new line" not in line]
    assert "\n".join(lines) == textwrap.dedent(TUTORIAL_S).strip()


#: Both of the tutorial's libclient.py (Real Python, MIT license).
JSON_ENCODE = """
    def _json_encode(self, obj, encoding):
        return json.dumps(obj, ensure_ascii=False).encode(encoding)
"""
TUTORIAL_S = """
    def _create_message(
        self, *, content_bytes, content_type, content_encoding
    ):
        jsonheader = {
            "byteorder": sys.byteorder,
            "content-type": content_type,
            "content-encoding": content_encoding,
            "content-length": len(content_bytes),
        }
        jsonheader_bytes = self._json_encode(jsonheader, "utf-8")
        message_hdr = struct.pack(">H", len(jsonheader_bytes))
        message = message_hdr + jsonheader_bytes + content_bytes
        return message
"""


def test_a_script_may_lie_beside_the_tutorial_s_modules_if_the_project_is_installed(reader: Reader) -> None:
    """Installed as `pip install -e` does it: the clone is on the path, behind the script's own directory."""
    reader.starts("python3 app_server.py 127.0.0.1 65432")
    (script,) = [text for info, text in blocks() if info == "python"]
    folder = reader.elsewhere / "tutorial"
    folder.mkdir()
    for name in ("libclient.py", "libserver.py"):
        (folder / name).write_text("class Message:\n    pass\n", encoding="utf-8")
    (folder / "script.py").write_text(reader.put(script), encoding="utf-8")
    reader.environment["PYTHONPATH"] = str(reader.clone)
    assert reader.python(str(folder / "script.py")).startswith("Follow the white rabbit.")
