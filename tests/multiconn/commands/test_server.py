"""What does the command say to what it doesn't accept, and when it can't start? (In-process; see test_app_server.)"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from multiconn.commands.arguments import version
from multiconn.commands.server import main
from tests.support.server import logging_as_before

LATER = [
    ["--tls-cert", "x"],
    ["--tls-key", "x"],
    ["--client-ca", "x"],
    ["--max-memory", "1g"],
    ["--workers", "2"],
    ["--access-log", "x"],
    ["--admin", "unix:/x"],
    ["--metrics", "127.0.0.1:1"],
    ["--config", "x.toml"],
    ["--listen", "tls://127.0.0.1:1"],
    ["--listen", "fd://3"],
]


@pytest.fixture(autouse=True)
def logging_untouched() -> Iterator[None]:
    with logging_as_before():
        yield


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said about arguments that can't be used: one line, exit code 2."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("app_server.py: ")
    return line


@pytest.mark.parametrize("arguments", LATER, ids=" ".join)
def test_what_is_not_built_yet_is_not_accepted(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nonsense"], "--nonsense"),
        (["--max-conn", "5"], "--max-conn"),  # no abbreviations
        (["localhost", "port"], "is not a port: write a number from 0 to 65535"),
        (["localhost", "65536"], "from 0 to 65535"),
        (["localhost", "-1"], "-1"),
        (["localhost", "1", "2"], "unrecognized arguments: 2"),
        (["--max-content", "big"], "is not a size"),
        (["--max-content", "1t"], "is not a size"),
        (["--max-content", "-1"], "--max-content"),
        (["--max-content", "0"], "--max-content must be at least 1"),
        (["--max-header", "64k"], "--max-header must be from 1 to 65535"),
        (["--max-header", "0"], "--max-header must be from 1 to 65535"),
        (["--header-timeout", "soon"], "is not a time"),
        (["--header-timeout", "10d"], "is not a time"),
        (["--content-timeout", "-1s"], "--content-timeout"),
        (["--idle-timeout", ""], "is not a time"),
        (["--send-timeout", "1 s"], "is not a time"),
        (["--min-data-rate", "fast"], "is not a size"),
        (["--min-data-rate", "240/s"], "is not a size"),
        (["--write-high", "lots"], "is not a size"),
        (["--write-high", "0"], "--write-high must be at least 1"),
        (["--write-low", "-1"], "--write-low"),
        (["--output-limit", "1.5m"], "is not a size"),
        (["--requests-per-event", "0"], "--requests-per-event must be at least 1"),
        (["--requests-per-event", "all"], "is not a count"),
        (["--max-connections-per-ip", "-1"], "--max-connections-per-ip"),
        (["--max-connections-per-ip", "1k"], "is not a count"),
        (["--max-connections", "many"], "is not a count"),
        (["--max-connections", "1.5"], "is not a count"),
        (["--max-connections", "0"], "--max-connections must be at least 1"),
        (["--handler-threads", "0"], "--handler-threads must be at least 1"),
        (["--write-low", "1m"], "--write-low must not be above --write-high"),
        (["--output-limit", "1"], "--output-limit must not be below --write-high"),
        (["--app", "myapp"], "write MODULE:ATTRIBUTE, such as myapp:actions"),
        (["--app", ":x"], "write MODULE:ATTRIBUTE"),
        (["--listen", "127.0.0.1"], "HOST:PORT"),
        (["--listen", "http://127.0.0.1:1"], "http:// is not accepted here"),
        (["--listen", "::1:80"], "brackets"),
        (["--unix", "x" * 200], "at most 107 bytes"),
        (["--unix", ""], "write unix:/path/to/socket"),
        (["65432"], "65432 is no HOST: write 127.0.0.1 65432, or 0.0.0.0 65432 for every address"),
        (["help"], "'help' is no HOST to listen on; did you mean --help?"),
        (["Version"], "did you mean --version?"),
        (["127.0.0.1:1", "2"], "gives two ports: write HOST PORT or HOST:PORT"),
        (["127.0.0.1:x"], "'x' is not a port"),
        (["127.0.0.1:65536"], "from 0 to 65535"),
        (["http://127.0.0.1:1"], "http:// is not accepted here"),
        (["--log-level", "loud"], "invalid choice: 'loud'"),
        (["--log-format", "xml"], "invalid choice: 'xml'"),
        (["--app"], "expected one argument"),
    ],
)
def test_bad_arguments_are_one_line_that_says_what_is_right(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert words in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("greeting.py:actions", "greeting:actions"),
        ("./greeting.py:actions", "greeting:actions"),
        ("apps/greeting.py:actions", "apps.greeting:actions"),
        ("apps/greeting:actions", "apps.greeting:actions"),
    ],
)
def test_a_file_is_told_how_its_module_is_written(capsys: pytest.CaptureFixture[str], name: str, meant: str) -> None:
    line = refused(capsys, "--app", name)
    assert f"names a file: write its module, {meant}," in line


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"app_server.py {version()}\n", "")


def test_help_tells_every_option_and_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for flag in ("--app", "--unix", "--listen", "--max-content", "--drain-timeout", "--reuse-port", "--log-format"):
        assert flag in out
    for option, *_ in LATER:
        assert option == "--listen" or option not in out


def test_without_a_thread_for_its_log_it_says_so_and_does_not_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert main(["127.0.0.1", "0"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("app_server.py: cannot start: can't start new thread, and the log needs one; raise ")
