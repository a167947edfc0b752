"""Does `.ci/run` run what the README promises, and does it tell the truth about how it went?

It is run here for real, with stand-ins for Python and its tools: what they would do takes minutes
and is what `.ci/run` is for; what is asked here is its own logic.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / ".ci" / "run"
SUMMARY = "======== 3 passed, 1 skipped in 0.01s ========"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")

#: Plays python3, and pip, ruff ... in the environments it "makes". Fails if FAIL stands in the command.
STAND_IN = f"""#!/bin/sh
command="$(basename "$0") $*"
echo "$command" >> "$COMMANDS"
case "$command" in
    python3.*) case " $NEWER " in *" ${{command%% *}} "*) ;; *) exit 127 ;; esac ;;
esac
case "$command" in
    "sudo -n "*) shift; exec "$@" ;;
    *"-m venv "*)
        mkdir -p "$3/bin"
        for tool in python pip ruff mypy app-server app-client; do cp "$0" "$3/bin/$tool"; done ;;
    *"-m build "*) mkdir -p "$4" && touch "$4/multiconn.whl" ;;
    *"-m pytest"*) [ -n "$SILENT" ] || echo "{SUMMARY}" ;;
esac
if [ -n "$STOP" ]; then
    case "$command" in *"$STOP"*) kill -TERM "$(ps -o sid= -p $$)"; exit 0 ;; esac
fi
if [ -n "$FAIL" ]; then
    case "$command" in *"$FAIL"*) exit 3 ;; esac
fi
"""


def ci(tmp_path: Path, **environment: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run `.ci/run` in a tree of its own, from another directory; returns how it went and what it ran."""
    tree, tools = tmp_path / "tree", tmp_path / "tools"
    (tree / ".ci").mkdir(parents=True)
    tools.mkdir()
    shutil.copy(RUN, tree / ".ci" / "run")
    newer = ("python3.12", "python3.13", "python3.14")  # of which NEWER names those that work, as with pyenv's shims
    for tool in ("python3", *newer, "apt-get", "sudo", "chromium", "tshark", "haproxy"):
        (tools / tool).write_text(STAND_IN, encoding="utf-8")
        (tools / tool).chmod(0o755)
    commands = tmp_path / "commands"
    done = subprocess.run(
        [str(tree / ".ci" / "run")],
        cwd=tmp_path,
        env={
            "PATH": f"{tools}:{os.environ['PATH']}",
            "COMMANDS": str(commands),
            "FAIL": "",
            "STOP": "",
            "SILENT": "",
            "NEWER": "",
            "PYENV_ROOT": str(tmp_path / "no-pyenv"),
            "TMPDIR": str(tmp_path),
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        start_new_session=True,  # so that a stand-in knows whom to stop: the session's leader
    )
    return done, commands.read_text(encoding="utf-8").splitlines()


def readme_test_command() -> str:
    found = re.findall(
        r"^\$ (python3 -m venv .*pytest.*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(found) == 1, "the README shows one line that tests"
    return str(found[0])


def test_it_runs_the_readme_s_test_command_to_the_letter() -> None:
    lines = [line.strip() for line in RUN.read_text(encoding="utf-8").splitlines()]
    assert lines.count(readme_test_command()) == 1


def test_it_is_a_bash_script_that_stops_at_errors() -> None:
    text = RUN.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    assert os.stat(RUN).st_mode & stat.S_IXUSR
    subprocess.run(["bash", "-n", str(RUN)], check=True)


def test_it_runs_every_check_and_ends_with_the_suite_s_summary(tmp_path: Path) -> None:
    done, commands = ci(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-2:] == ["ci: every check holds", SUMMARY]
    for command in (
        "pip install -q -e .[test]",
        "python -m pytest -n auto",
        "ruff check .",
        "ruff format --check .",
        "mypy --strict",
        "python -m pytest -q --collect-only",
        "python3 app_client.py load -c 50 -n 2000 --ui none",
        "python3 -m benchmarks soak --minutes 0.1",
        "python3 -m suites.conformance --command python3 app_server.py 127.0.0.1 {port}",
        "app-server --help",
        "app-client --help",
    ):
        assert command in commands
    for package in ("protocol", "eventloop"):
        covered = [c for c in commands if f"--source={package} " in c]
        assert len(covered) == 1
        assert "--branch" in covered[0]
        assert covered[0].endswith(f"-m pytest -q tests/{package}")
    assert sum("--fail-under=100" in command for command in commands) == 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("tmp.")], "something was left behind"


@pytest.mark.parametrize(
    ("fail", "name"),
    [
        ("ruff check", "ruff"),
        ("ruff format", "format"),
        ("mypy", "mypy"),
        ("coverage run --branch --source=protocol", "branch coverage of protocol"),
        ("coverage report", "branch coverage of eventloop,branch coverage of protocol"),
        ("app_client.py load", "load from a bare clone"),
        ("study replay", "study from a bare clone"),
        ("app-server --help", "wheel"),
        ("app-client load", "wheel"),
        ("-m build", "wheel"),
        (
            "python -m pytest -q",
            "tests with pytest and pytest-timeout alone,wheel,the dashboard and the chat,conformance with short timers",
        ),
        ("tests/multiconn/loadtest/output/test_live.py", "the dashboard and the chat"),
    ],
)
def test_a_check_that_fails_is_named_fails_the_run_and_withholds_no_other(tmp_path: Path, fail: str, name: str) -> None:
    done, _ = ci(tmp_path, FAIL=fail)
    assert done.returncode == 1
    said, last = done.stdout.splitlines()[-2:]
    assert said.startswith("ci: failed: ")
    assert said == f"ci: failed: {name}"
    assert last == SUMMARY
    begun = re.findall(r"^== ([^:]*?)$", done.stdout.replace(" FAILED (exit code 3)", ":"), re.MULTILINE)
    assert {"tests", "ruff", "format", "mypy", "load from a bare clone", "wheel", "branch coverage of protocol"} <= set(
        begun
    )


def test_a_failing_suite_fails_the_run_and_its_summary_is_the_last_line(tmp_path: Path) -> None:
    done, _ = ci(tmp_path, FAIL="-m pytest")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == SUMMARY
    assert "ci: failed: tests," in done.stdout


def test_a_suite_that_never_ran_is_not_given_a_summary(tmp_path: Path) -> None:
    done, _ = ci(tmp_path, FAIL="pip install", SILENT="1")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "no test ran"


@pytest.mark.skipif(shutil.which("ps") is None, reason="ps is not installed")
def test_a_run_that_is_stopped_claims_nothing(tmp_path: Path) -> None:
    done, _ = ci(tmp_path, STOP="mypy --strict")
    assert done.returncode != 0
    assert "every check holds" not in done.stdout
    assert done.stdout.splitlines()[-1] == SUMMARY


def test_a_machine_without_venv_gets_it(tmp_path: Path) -> None:
    done, commands = ci(tmp_path, FAIL="-c import ensurepip")
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = [command for command in commands if command.startswith("apt-get ")]
    assert [command.split()[1] for command in wanted] == ["update", "install"]
    assert wanted[1].endswith(" python3 python3-venv")


@pytest.mark.parametrize(("program", "asked"), [("chromium", "--version"), ("tshark", "--version"), ("haproxy", "-v")])
def test_a_machine_without_a_program_of_some_tests_gets_it_or_does_without(
    program: str, asked: str, tmp_path: Path
) -> None:
    done, commands = ci(tmp_path, FAIL=f"{program} {asked}")
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = [command for command in commands if command.startswith("apt-get ")]
    assert [command.split()[1] for command in wanted] == ["update", "install"]
    assert wanted[1].endswith(f" {program}")


def test_the_quick_tests_run_on_every_newer_python_that_works(tmp_path: Path) -> None:
    done, commands = ci(tmp_path, NEWER="python3.12 python3.14")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^== quick tests on Python (\S+)$", done.stdout, re.M) == ["3.12", "3.14"]
    assert [command.split()[0] for command in commands if command.startswith("python3.") and "-m venv" in command] == [
        "python3.12",
        "python3.14",
    ]
    assert commands.count("python -m pytest -q -p no:cacheprovider -n auto -m not slow") == 2


def test_pyenv_s_are_found_where_its_shims_do_not_work(tmp_path: Path) -> None:
    python = tmp_path / "pyenv" / "versions" / "3.13.7" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(STAND_IN, encoding="utf-8")
    python.chmod(0o755)
    done, _ = ci(tmp_path, PYENV_ROOT=str(tmp_path / "pyenv"))
    assert re.findall(r"^== quick tests on Python (\S+)$", done.stdout, re.M) == ["3.13"]


def test_without_a_newer_python_it_says_so(tmp_path: Path) -> None:
    done, _ = ci(tmp_path)
    assert "ci: there is no python3.12, 3.13 or 3.14 here" in done.stdout
    assert "quick tests" not in done.stdout


def test_a_machine_that_has_all_is_left_alone(tmp_path: Path) -> None:
    _, commands = ci(tmp_path)
    assert not [command for command in commands if command.startswith(("apt-get", "sudo"))]


def test_an_old_python_is_told_so(tmp_path: Path) -> None:
    done, _ = ci(tmp_path, FAIL="-c import sys")
    assert done.returncode == 3
    assert done.stdout.splitlines()[-1] == "no test ran"


def test_the_test_extra_names_every_tool_that_is_run() -> None:
    import tomllib

    with (ROOT / "pyproject.toml").open("rb") as file:
        extra = tomllib.load(file)["project"]["optional-dependencies"]["test"]
    named = {re.split(r"[<>=!~ ]", requirement)[0] for requirement in extra}
    assert {"pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "coverage", "ruff", "mypy", "playwright"} <= named
    assert sys.version_info >= (3, 11)
