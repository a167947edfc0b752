"""Does the tour do what its pages say, and docs/do/study-a-trace.md?

Every command of every page is run, in the page's order and in one directory, and what the page
shows of the output is compared with what came. `...` alone stands for lines left out, and at a line's
end for the rest of it. Ports, descriptors, line numbers of the source and numbers of five digits
(how much the kernel took) are other ones on each machine and day, and are not compared.

Not here: links, names and excerpts of the source on these pages (tests/test_docs.py).
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from multiconn.commands import study
from study.replay import replay
from study.trace import load
from tests.test_docs import run, server

ROOT = Path(__file__).resolve().parents[2]
TOUR = ROOT / "docs" / "learn"
CHAPTERS = sorted(TOUR.glob("[0-9]*.md"))
PAGES = [TOUR / "README.md", *CHAPTERS, ROOT / "docs" / "do" / "study-a-trace.md"]
SCRIPTS = sorted(TOUR.glob("*.steps"))
PORT = "65432"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tour_{name}", TOUR / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


MODULES = {f"docs/learn/{name}.py": module(name) for name in ("record", "rst")}
LESSONS = MODULES["docs/learn/record.py"].LESSONS


# --- what is shown against what came -----------------------------------------------------------------


class Shown(NamedTuple):
    command: str
    output: str


def commands(page: Path) -> list[Shown]:
    found = []
    for text in re.findall(r"^```console\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S):
        for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            found.append(Shown(command, output.rstrip("\n")))
    return found


def plain(line: str) -> str:
    """Without what is another on each machine and day."""
    line = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", line)
    line = re.sub(r"\.py:\d+\]", ".py:LINE]", line)
    line = re.sub(r"Descriptor \d+", "Descriptor N", line)
    return re.sub(r"\d{5,}", "N", line)


def same(shown: str, came: str) -> bool:
    shown, came = plain(shown), plain(came)
    if shown.endswith(" ...") and not came.endswith(" ..."):
        return came.startswith(shown.removesuffix(" ..."))
    return shown == came


def missing(shown: str, came: str) -> str | None:
    """The first block of `shown` that did not come, or None: it is all there, in order."""
    if not shown:
        return None
    lines = came.splitlines()
    blocks = re.split(r"^\.\.\.$\n?", shown, flags=re.M)
    at = 0
    for number, block in enumerate(blocks):
        wanted = block.splitlines()
        places = [
            n
            for n in range(at, len(lines) - len(wanted) + 1)
            if all(map(same, wanted, lines[n : n + len(wanted)]))
            and (number > 0 or n == 0)
            and (number < len(blocks) - 1 or not wanted or n + len(wanted) == len(lines))
        ]
        if not places:
            return block
        at = places[0] + len(wanted)
    return None


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        ("a\nb\nc", True),
        ("a\n...", True),
        ("...\nb\n...", True),
        ("...\nc", True),
        ("a\n...\nc", True),
        ("a", False),
        ("b\n...", False),
        ("...\nb", False),
        ("...\na\nc\n...", False),
        ("...\nb\n...\na\n...", False),
        ("...\nx\n...", False),
    ],
)
def test_what_is_shown_must_have_come_in_its_order(shown: str, found: bool) -> None:
    assert (missing(shown, "a\nb\nc\n") is None) is found


def test_what_differs_each_day_is_not_compared_and_the_rest_is() -> None:
    assert same("at 127.0.0.1:1. [a/b.py:2]", "at 127.0.0.1:99. [a/b.py:30]")
    assert same("send -> 32768 of 200151 bytes", "send -> 98304 of 200151 bytes")
    assert not same("send -> 148 bytes", "send -> 149 bytes")
    assert same("RECEIVE: A -> B ...", "RECEIVE: A -> B on C: reason")
    assert not same("RECEIVE: A -> C ...", "RECEIVE: A -> B on C: reason")


# --- the pages -----------------------------------------------------------------------------------------


class Terminals:
    """A server in one, everything else in the other."""

    def __init__(self, directory: Path, stack: contextlib.ExitStack, capsys: pytest.CaptureFixture[str]) -> None:
        self._directory = directory
        self._capsys = capsys
        self._server = stack.enter_context(contextlib.ExitStack())
        self._port = ""

    def run(self, command: str) -> str:
        program, *arguments = shlex.split(command)
        assert program == "python3"
        arguments = [a.replace("docs/learn/", f"{TOUR}/") if a.endswith(".steps") else a for a in arguments]
        if arguments[0] == "app_server.py":
            arguments = ["0" if a == PORT else a for a in arguments]
            self._port = self._server.enter_context(server(self._directory, arguments[1:], 1)).port("tcp://127.0.0.1")
            return ""
        if arguments[0] == "app_client.py":
            assert self._port, "no server is running on this page yet"
            arguments = [a.replace(PORT, self._port) for a in arguments[1:]]
            return run([str(ROOT / "app_client.py"), *arguments], self._directory)
        self._server.close()  # the page has said to stop it
        if arguments[:2] == ["-m", "study"]:
            return self._called(study.main, arguments[2:])
        return self._called(MODULES[arguments[0]].main, arguments[1:])

    def _called(self, main: object, arguments: list[str]) -> str:
        self._capsys.readouterr()
        code = main(arguments) if arguments or main is study.main else main()  # type: ignore[operator]
        out, err = self._capsys.readouterr()
        assert code == 0, err
        return out + err  # a terminal shows both


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_does_what_the_page_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert commands(page)
    with contextlib.ExitStack() as stack:
        terminals = Terminals(tmp_path, stack, capsys)
        for shown in commands(page):
            came = terminals.run(shown.command)
            block = missing(shown.output, came)
            assert block is None, f"{page.name}: {shown.command}\nno longer says\n{block}\nbut\n{came}"


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.name)
def test_a_chapter_has_all_its_parts(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    wanted = ["# ", "**You know**", "**The idea.**", "## Play it", "## Step through it", "## By hand", "## Read"]
    wanted += ["```python from=", "## A question", "<details><summary>Answer</summary>", "</details>"]
    places = [text.find(part) for part in wanted]
    assert -1 not in places, wanted[places.index(-1)]
    assert places == sorted(places)
    assert len(text.splitlines()) <= 125
    assert f"python3 -m study step docs/learn/{page.stem}.steps" in text
    at = CHAPTERS.index(page)
    for neighbour in CHAPTERS[max(at - 1, 0) : at] + CHAPTERS[at + 1 : at + 2]:
        assert f"]({neighbour.name})" in text


def test_every_lesson_and_script_belongs_to_a_chapter() -> None:
    played = [shown.command.split()[2] for page in CHAPTERS for shown in commands(page) if "record.py" in shown.command]
    assert played == list(LESSONS)
    assert [script.stem for script in SCRIPTS] == [page.stem for page in CHAPTERS]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_is_a_test(script: Path) -> None:
    """It says what it is about, and expects something of each of its lessons."""
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert sum(line.startswith("expect ") for line in lines) >= 3


# --- the lessons ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_replays_and_goes_the_same_way_again(name: str, tmp_path: Path) -> None:
    record = MODULES["docs/learn/record.py"].record
    told, rows = [], []
    for number in range(2):
        said: list[str] = []
        path = tmp_path / f"{number}.trace"
        record(name, path, said.append)
        trace = load(path)
        assert [verdict.differences for verdict in replay(trace) if verdict.differences] == []
        told.append(said)
        rows.append([(e.group, e.data["state"], e.data["input"]) for e in trace.events if e.name == "transition"])
    assert told[0] == told[1]
    assert rows[0] == rows[1]


def test_the_recorder_is_a_command_that_can_be_run_from_anywhere() -> None:
    command = [sys.executable, str(TOUR / "record.py")]
    listed = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=50)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(LESSONS)


def test_what_the_recorder_can_not_do_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    main = MODULES["docs/learn/record.py"].main
    assert main(["one-connection", "-o", "/does/not/exist"]) == 2
    assert capsys.readouterr().err == "record.py: /does/not/exist: No such file or directory\n"
    assert main(["nonsense"]) == 2
    assert "choose one of one-connection, partial-reads" in capsys.readouterr().err


def test_a_lesson_that_does_not_go_as_written_says_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = MODULES["docs/learn/record.py"]
    monkeypatch.setattr(record, "PATIENCE", 0.05)
    lesson = LESSONS["one-connection"]._replace(play=lambda stage: stage.peer().read_replies())
    monkeypatch.setitem(LESSONS, "one-connection", lesson)
    assert record.main(["one-connection", "-o", str(tmp_path / "a")]) == 1
    assert "this did not happen: a reply to peer 1" in capsys.readouterr().err


def test_an_interrupted_lesson_leaves_what_it_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(stage: Any) -> None:
        stage.peer().send(b"x")
        raise KeyboardInterrupt

    monkeypatch.setitem(LESSONS, "one-connection", LESSONS["one-connection"]._replace(play=interrupted))
    path = tmp_path / "a"
    assert MODULES["docs/learn/record.py"].main(["one-connection", "-o", str(path)]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert load(path).events
