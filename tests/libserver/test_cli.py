"""What does the command accept, and what does it say to what it doesn't? (In-process; see test_app_server.)"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from commandline import version
from eventloop import Address
from libserver import Actions, ServerLimits
from libserver.cli import CannotLoad, addresses_of, build_parser, load_actions, main
from tests.libserver.harness import logging_as_before

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


@pytest.mark.parametrize("level", ["INFO", "Info", "info"])
def test_a_log_level_may_be_written_in_any_case(level: str) -> None:
    assert build_parser().parse_args(["--log-level", level, "--log-format", "JSON"]).log_level == "info"
    assert build_parser().parse_args(["--log-format", "JSON"]).log_format == "json"


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


def test_without_arguments_the_tutorials_address_is_listened_on() -> None:
    assert addresses_of(build_parser().parse_args([])) == [Address("tcp", "127.0.0.1", 65432)]


@pytest.mark.parametrize(
    ("arguments", "addresses"),
    [
        (["0.0.0.0"], ["tcp://0.0.0.0:65432"]),
        (["localhost", "1"], ["tcp://localhost:1"]),
        (["::1", "1"], ["tcp://[::1]:1"]),
        (["[::]", "1"], ["tcp://[::]:1"]),
        (["::1"], ["tcp://[::1]:65432"]),
        (["127.0.0.1:1"], ["tcp://127.0.0.1:1"]),
        (["localhost:0"], ["tcp://localhost:0"]),
        (["[::1]:1"], ["tcp://[::1]:1"]),
        (["tcp://h:1"], ["tcp://h:1"]),
        (["unix:/s"], ["unix:/s"]),
        (["h:1", "--listen", "echo://h:2"], ["tcp://h:1", "echo://h:2"]),
        (["--unix", "/s"], ["unix:/s"]),
        (["--unix", "unix:/s", "--unix", "t"], ["unix:/s", "unix:t"]),
        (["--listen", "1.2.3.4:5"], ["tcp://1.2.3.4:5"]),
        (["h", "1", "--listen", "echo://h:2", "--unix", "/s"], ["tcp://h:1", "echo://h:2", "unix:/s"]),
    ],
)
def test_host_and_port_are_listened_on_if_given_or_if_nothing_else_is(
    arguments: list[str], addresses: list[str]
) -> None:
    assert [str(address) for address in addresses_of(build_parser().parse_args(arguments))] == addresses


def test_the_options_are_the_limits_and_their_defaults_too() -> None:
    arguments = build_parser().parse_args([])
    limits = {name: getattr(arguments, name) for name in ServerLimits.__dataclass_fields__}
    assert ServerLimits(**limits) == ServerLimits()
    assert (arguments.max_header, arguments.max_content) == (65535, 64 * 1024 * 1024)


def test_sizes_times_and_switches_mean_what_the_contract_says() -> None:
    sizes = ["--max-content", "1m", "--max-header", "1k", "--write-high", "1g"]
    times = ["--idle-timeout", "5m", "--drain-timeout", "250ms", "--send-timeout", "1.5", "--tcp-keepalive", "1h"]
    others = ["--max-connections", "5", "--backlog", "7", "--nagle", "--reuse-port"]
    arguments = build_parser().parse_args([*sizes, *times, *others])
    assert arguments.max_content == 1024**2
    assert arguments.max_header == 1024
    assert arguments.idle_timeout == 300
    assert arguments.drain_timeout == 0.25
    assert arguments.send_timeout == 1.5
    assert arguments.write_high == 1024**3
    assert (arguments.max_connections, arguments.backlog) == (5, 7)
    assert arguments.nagle is True
    assert arguments.reuse_port is True
    assert arguments.tcp_keepalive == 3600


@pytest.mark.parametrize(
    ("option", "text", "value", "default"),
    [
        ("--max-connections-per-ip", "20", 20, 0),
        ("--header-timeout", "1.5m", 90.0, 10.0),
        ("--content-timeout", "500ms", 0.5, 60.0),
        ("--min-data-rate", "1k", 1024, 240),
        ("--idle-timeout", "2h", 7200.0, 300.0),
        ("--send-timeout", "7", 7.0, 60.0),
        ("--write-high", "1m", 1024**2, 256 * 1024),
        ("--write-low", "1k", 1024, 64 * 1024),
        ("--output-limit", "1g", 1024**3, 128 * 1024**2),
        ("--requests-per-event", "64", 64, 1024),
    ],
)
def test_each_limit_is_an_option_with_its_unit_and_its_default(
    option: str, text: str, value: float, default: float
) -> None:
    name = option.removeprefix("--").replace("-", "_")
    assert getattr(build_parser().parse_args([option, text]), name) == value
    assert getattr(build_parser().parse_args([]), name) == default
    assert ServerLimits(**{name: value})


@pytest.mark.parametrize(
    "option",
    [
        "--max-connections-per-ip",
        "--header-timeout",
        "--content-timeout",
        "--min-data-rate",
        "--idle-timeout",
        "--send-timeout",
        "--write-low",
        "--output-limit",
        "--drain-timeout",
        "--tcp-keepalive",
    ],
)
def test_zero_is_accepted_where_a_limit_may_be_off(option: str) -> None:
    name = option.removeprefix("--").replace("-", "_")
    assert getattr(build_parser().parse_args([option, "0"]), name) == 0
    assert getattr(ServerLimits(**{name: 0}), name) == 0


# --- --app ------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory to write modules into, which is the current one."""
    monkeypatch.chdir(tmp_path)
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_of_the_current_directory_is_found(here: Path) -> None:
    (here / "mine_ok.py").write_text("from libserver import Actions\nactions = Actions()\n")
    assert isinstance(load_actions("mine_ok:actions"), Actions)


def test_a_module_in_a_package_is_found(here: Path) -> None:
    (here / "mine_package").mkdir()
    (here / "mine_package" / "__init__.py").write_text("")
    (here / "mine_package" / "app.py").write_text("import libserver\nactions = libserver.Actions()\n")
    assert isinstance(load_actions("mine_package.app:actions"), Actions)


BROKEN = {
    "no module": (None, "there is no module 'mine_broken' here or on the path"),
    "no attribute": ("x = 1", "mine_broken has no actions; write actions = Actions() there"),
    "another type": ("actions = 5", "mine_broken is no libserver.Actions: actions"),
    "raises": ("def f():\n    raise ValueError('oh\\nno')\nf()", "ValueError: oh\\nno (mine_broken.py, line 2)"),
    "raises without words": ("raise ValueError", "ValueError:  (mine_broken.py, line 1)"),
    "syntax": ("def f(:\n", "SyntaxError: invalid syntax"),
    "exits": ("import sys; sys.exit('bye')", "SystemExit: bye (mine_broken.py, line 1)"),
    "missing import": (
        "import no_such_module_at_all",
        "No module named 'no_such_module_at_all' (mine_broken.py, line 1)",
    ),
    "in a library": ("\n\nimport json\njson.loads('{')", "(mine_broken.py, line 4)"),
    "bad handler": (
        "from libserver import Actions\nactions = Actions()\n@actions.add('x')\nasync def f(r): ...",
        "TypeError: the handler f is async",
    ),
}


@pytest.mark.parametrize(("text", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_an_app_that_can_not_be_had_is_one_sentence_and_exit_code_1(
    here: Path, capsys: pytest.CaptureFixture[str], text: str | None, words: str
) -> None:
    if text is not None:
        (here / "mine_broken.py").write_text(text)
    with pytest.raises(CannotLoad) as caught:
        load_actions("mine_broken:actions")
    assert words in str(caught.value)
    assert "--app mine_broken:actions" in str(caught.value)
    sys.modules.pop("mine_broken", None)
    assert main(["127.0.0.1", "0", "--app", "mine_broken:actions"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert words in line
    assert main(["127.0.0.1", "0", "--app", "mine_broken:actions", "--log-level", "debug"]) == 1
    told = capsys.readouterr().err
    assert told.splitlines()[-1] == line
    assert ("Traceback" in told) == (text not in ("x = 1", "actions = 5")), told


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


def test_without_a_thread_for_its_log_it_says_so_and_does_not_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert main(["127.0.0.1", "0"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("app_server.py: cannot start: can't start new thread, and the log needs one; raise ")


@pytest.mark.parametrize("name", ["mine.py:actions", "no/such:actions", ".relative:actions", "a b:actions", "é:é"])
def test_a_name_that_is_no_module_is_one_sentence_too(here: Path, name: str) -> None:
    with pytest.raises(CannotLoad, match="--app"):
        load_actions(name)
