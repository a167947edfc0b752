"""Does our server pass the suite, and does the suite keep what it promises to those who copy it?

The suite runs as its users run it: a process of its own, in a directory without the project.

Not here: that it detects what is broken (`suites/detection/`), our client (`suites/detection/`, `.ci/run`).
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
SUITE = ROOT / "suites" / "conformance"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the server runs on POSIX systems")

ACTIONS = """
import time
from libserver import Actions, Topics

actions = Actions(topics=Topics())


@actions.add("slow", blocking=True)
def slow(request):
    time.sleep(0.5)
    return request.get("value")


@actions.add("fail")
def fail(request):
    raise RuntimeError("a secret of fail_actions.py")
"""

#: Short timers, so that none of them is INFORMATIONAL for want of patience, and small limits.
SHORT = (
    "--header-timeout 3s --idle-timeout 4s --content-timeout 3s --send-timeout 3s --drain-timeout 2s "
    "--max-connections 1000 --max-header 8k --max-content 1m --max-json 512k --output-limit 16m "
    "--app conformance_actions:actions"
)
TOLD = (
    "--patience 7 --max-connections 1000 --max-header 8k --max-content 1m --max-json 512k "
    "--blocking-action slow --failing-action fail"
)

#: The families of cases that wait for no timer and no process: what the default suite has time for.
#: `CONFORMANCE=whole python -m pytest tests/suites/conformance` runs all, as `.ci/run` does.
SOON = ("HV", "PL", "LM", "EN", "FR", "TO")
WHOLE = os.environ.get("CONFORMANCE") == "whole"

#: What this configuration can't show, with why; anything else that is not OK is a failure of this test.
NOT_SHOWN = {
    "FR6": "needs the largest header",
    "FL10": "needs more connections",
    "SL4": "needs a larger content",
}


def suite(*arguments: str, cwd: Path = ROOT, package: str = "suites.conformance", path: str = "") -> Any:
    return subprocess.run(
        [sys.executable, "-m", package, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=55,
    )


def server(options: str = "") -> str:
    return f"{sys.executable} {ROOT / 'app_server.py'} 127.0.0.1 {{port}} {options}"


def test_our_server_fails_nothing_with_short_timers_and_small_limits(tmp_path: Path) -> None:
    (tmp_path / "conformance_actions.py").write_text(ACTIONS, encoding="utf-8")
    found = tmp_path / "found.json"
    wanted = () if WHOLE else (word for family in SOON for word in ("--case", family))
    done = suite(
        "--command", server(SHORT), *TOLD.split(), *wanted, "--json", str(found), "--quiet", path=f"{tmp_path}:{ROOT}"
    )
    results = json.loads(found.read_text(encoding="utf-8"))
    rows = [row for row in results["cases"] if row["verdict"] in ("FAILED", "NON-STRICT")]
    assert [f"{row['id']}: expected {row['expected']}; came {row['came']}; {row['seen'][-4:]}" for row in rows] == []
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(results["cases"]) >= (350 if WHOLE else 280)
    assert results["mechanisms"] >= 60
    not_shown = {row["id"]: row["came"] for row in results["cases"] if row["verdict"] == "INFORMATIONAL"}
    if sys.platform == "linux":
        assert set(not_shown) <= set(NOT_SHOWN), not_shown


def test_a_server_without_topics_fails_nothing_of_that_part_and_is_said_not_to_have_it(tmp_path: Path) -> None:
    (tmp_path / "without_topics.py").write_text("from libserver import Actions\n\nactions = Actions()\n")
    found = tmp_path / "found.json"
    command = server("--app without_topics:actions")
    done = suite("--command", command, "--case", "TO", "--json", str(found), path=f"{tmp_path}:{ROOT}")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(found.read_text(encoding="utf-8"))["cases"]
    assert {(row["part"], row["verdict"]) for row in rows} == {("topics", "UNIMPLEMENTED")}
    assert "the server has no topics" in rows[0]["came"]
    assert f"{len(rows)} UNIMPLEMENTED" in done.stdout


def test_a_copy_of_the_directory_runs_without_the_project(tmp_path: Path) -> None:
    shutil.copytree(SUITE, tmp_path / "copied", ignore=shutil.ignore_patterns("__pycache__"))
    page, rows = tmp_path / "page.html", tmp_path / "rows.json"
    wanted = ("--case", "FR1", "--case", "HV4", "--case", "PL1", "--html", str(page), "--json", str(rows))
    done = suite("--command", server(), *wanted, cwd=tmp_path, package="copied")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["verdict"] for row in json.loads(rows.read_text(encoding="utf-8"))["cases"]} == {"OK"}
    text = page.read_text(encoding="utf-8")
    assert "FR1" in text
    assert "http" not in text, "the page fetches something"
    reader = Balanced()
    reader.feed(text)
    assert reader.open == []


class Balanced(HTMLParser):
    """Which tags were opened and not closed?"""

    VOID = frozenset({"meta", "input", "link", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_it_imports_the_standard_library_and_itself_alone() -> None:
    """But for the care for standard streams, if it is there: that is a command's, and knows no wire format."""
    streams = "from multiconn.commands import stdio"
    wrong = []
    for path in sorted(SUITE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and ast.unparse(node) == streams:
                continue
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [str(node.module)]
            elif isinstance(node, ast.ImportFrom) and node.level > 1:
                names = ["." * node.level + str(node.module)]
            else:
                continue
            wrong += [f"{path.name}: {name}" for name in names if name.partition(".")[0] not in sys.stdlib_module_names]
    assert wrong == []


def test_every_case_of_the_list_stands_once_and_the_counts_are_said() -> None:
    done = suite("--list")
    *rows, _, counts = done.stdout.splitlines()
    ids = [row.split()[0] for row in rows]
    assert len(ids) == len(set(ids)) >= 150
    assert counts.startswith(f"{len(ids)} cases (")
    stars = {row.split()[0] for row in rows if row.endswith("★")}
    assert {"HV4", "HV5", "HV6", "HV7", "HV8", "EN1", "EN2", "EN3", "EN7", "PL1"} <= stars


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "say --server HOST:PORT"),
        (("--server", "nowhere"), 2, "is not HOST:PORT"),
        (("--server", "127.0.0.1:1", "--client", "x"), 2, "two runs"),
        (("--list", "--case", "XX9"), 2, "there is no case XX9"),
        (("--server", "127.0.0.1:1", "--max-content", "much"), 2, "is not a size"),
        (("--server", "127.0.0.1:1", "--patience", "0"), 2, "is not a number of seconds"),
        (("--command", "/no/such/server"), 3, "can't be started"),
        (("--command", "true"), 3, "did not print"),
    ],
)
def test_what_can_not_be_done_is_one_line_and_an_exit_code(arguments: tuple[str, ...], code: int, words: str) -> None:
    done = suite(*arguments)
    assert done.returncode == code
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_interrupted_it_reports_what_it_has(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "suites.conformance", "--server", where, "--case", "FR1", "--json", str(found)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            listener.settimeout(20)
            reached, _ = listener.accept()
            running, _ = listener.accept()  # the case's own connection: it waits for a reply now
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=20)
        finally:
            process.kill()
            process.wait()
        reached.close()
        running.close()
    assert process.returncode == 130
    assert out.endswith("(interrupted)\n")
    assert json.loads(found.read_text(encoding="utf-8"))["complete"] is False


def test_a_broken_server_is_exit_code_1_and_the_page_escapes_what_it_sent(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(BROKEN, encoding="utf-8")
    page = tmp_path / "page.html"
    done = suite("--command", f"{sys.executable} {broken}", "--case", "PL8", "--html", str(page))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED" in done.stderr
    assert "<script>" in done.stderr
    assert "<script>" not in page.read_text(encoding="utf-8")


#: Answers everything with bytes that a page must not take for its own.
BROKEN = r"""
import socket

listener = socket.create_server(("127.0.0.1", 0))
print(f"Listening on tcp://127.0.0.1:{listener.getsockname()[1]}", flush=True)
while True:
    connection, _ = listener.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(b"\x00\x1a<script>alert(1)</script>x")
"""
