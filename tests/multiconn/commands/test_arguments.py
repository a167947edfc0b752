"""Does each kind of word become a value, or one sentence that says what is accepted?"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multiconn.commands.arguments import as_typed, count, duration, positive_duration, size, version

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (duration, "250ms", "0.25"),
        (duration, "0", "0.0"),
        (positive_duration, "2m", "120.0"),
        (count, "1", "1"),
        (size, "2k", "2048"),
    ],
)
def test_a_word_becomes_a_value(read: Callable[[str], Any], text: str, value: str) -> None:
    assert str(read(text)) == value


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (duration, "soon", "is not a time"),
        (positive_duration, "0", "is no time to wait: write one above 0, such as 5s"),
        (count, "0", "0 is not a count here: write a number from 1"),
        (count, "1k", "is not a count"),
        (size, "big", "is not a size"),
    ],
)
def test_or_a_sentence_that_says_what_is_accepted(read: Callable[[str], Any], text: str, words: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        read(text)
    assert words in str(refused.value)


# --- what a person sees --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "words", "said"),
    [
        ("argument -c/--connections: no", ["-c", "0"], "-c: no"),
        ("argument -c/--connections: no", ["-c0"], "-c: no"),
        ("argument -c/--connections: no", ["--connections", "0"], "--connections: no"),
        ("argument -c/--connections: no", ["--connections=0"], "--connections: no"),
        ("argument -c/--connections: no", ["-c", "1", "--connections", "0"], "--connections: no"),
        ("argument -c/--connections: no: a/b", ["--connect-timeout", "1"], "-c: no: a/b"),
        ("argument TARGET: no", ["x"], "TARGET: no"),
        ("the following arguments are required: TARGET", [], "the following arguments are required: TARGET"),
    ],
)
def test_an_error_names_the_option_as_it_was_typed(message: str, words: list[str], said: str) -> None:
    assert as_typed(message, words) == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["app_client.py", "load", "-c", "0"], "app_client.py: -c: "),
        (["app_client.py", "load", "--connections", "0"], "app_client.py: --connections: "),
        (["app_client.py", "request", "x", "y"], "app_client.py: TARGET: 'x' is not an address"),
        (["app_server.py", "--max-content=x"], "app_server.py: --max-content: 'x' is not a size"),
        (["app_server.py", "--write-low", "1m"], "app_server.py: --write-low must not be above --write-high"),
    ],
)
def test_what_can_not_be_meant_is_one_line_and_exit_code_2(words: list[str], said: str) -> None:
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(said)


@pytest.mark.parametrize("library", ["libserver", "libclient"])
def test_a_library_is_no_command_and_prints_nothing_of_its_own(library: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", library], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"'{library}' is a package and cannot be directly executed" in done.stderr


def test_the_server_is_a_module_that_can_be_run() -> None:
    words = [sys.executable, "-m", "app_server", "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.startswith("usage: app_server.py [HOST [PORT]] [options]")


@pytest.mark.parametrize("program", ["app_client.py", "app_server.py"])
def test_both_programs_tell_the_version_of_what_they_are(program: str) -> None:
    done = subprocess.run(
        [sys.executable, program, "--version"], cwd=ROOT, capture_output=True, text=True, timeout=50, check=True
    )
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert done.stdout == f"{program} {tomllib.load(file)['project']['version']} (a checkout)\n"
    assert done.stdout == f"{program} {version()}\n"
