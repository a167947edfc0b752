"""Do server and client offer the same options of tracing, and when is a trace there? (From outside: test_traces.)"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from multiconn.commands import UsageError
from multiconn.commands.client_options import CommandParser
from multiconn.commands.request import add_arguments
from multiconn.commands.server_options import build_parser
from multiconn.commands.tracing import CannotTrace, Instruments, add_trace_options, instruments, recording


def options(*words: str) -> argparse.Namespace:
    parser = CommandParser("x", "x")
    add_trace_options(parser)
    return parser.parse_args(words)


def offered(parser: argparse.ArgumentParser) -> dict[str, tuple[Any, ...]]:
    return {
        action.option_strings[0]: (action.metavar, action.default, action.help)
        for action in parser._actions
        if action.option_strings and action.option_strings[0].startswith("--trace")
    }


def test_both_offer_the_same_in_the_same_words() -> None:
    client = CommandParser("request", "x")
    add_arguments(client)
    assert offered(build_parser()) == offered(client)
    assert list(offered(client)) == ["--trace", "--trace-sample", "--trace-bytes"]


def test_without_a_file_nothing_is_observed_and_study_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "study", None)  # an import of it fails
    with instruments(options(), "server", pytest.fail) as server, recording(options()) as client:
        server.begin()
        assert server == client == Instruments()
        assert (server.observer, server.tap, server.selector(None)) == (None, None, None)


def test_no_file_is_there_before_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    with instruments(options("--trace", str(path)), "server", pytest.fail, max_json=7) as seen:
        assert not path.exists()
        seen.begin()
        assert seen.observer is not None
        assert seen.observer() is not None
    written = path.read_bytes().replace(b" ", b"")
    assert b"multiconnserver" in written
    assert b'"max_json":7' in written


def test_a_sample_is_of_every_n_th_connection(tmp_path: Path) -> None:
    with recording(options("--trace", str(tmp_path / "trace"), "--trace-sample", "3")) as seen:
        assert seen.observer is not None
        assert [seen.observer() is not None for _ in range(6)] == [True, False, False, True, False, False]


def test_a_command_that_fails_before_it_connects_leaves_no_trace_and_one_that_connected_does(tmp_path: Path) -> None:
    path = tmp_path / "trace"

    def fail(*, connected: bool) -> None:
        with recording(options("--trace", str(path))) as seen:
            assert path.exists()
            assert seen.observer is not None
            if connected:
                seen.observer()
            raise KeyError

    with pytest.raises(KeyError):
        fail(connected=False)
    assert not path.exists()
    with pytest.raises(KeyError):
        fail(connected=True)
    assert path.exists()


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(b"another's")
    with (
        pytest.raises(CannotTrace, match=r"^--trace .*/trace: is there already"),
        recording(options("--trace", str(path))),
    ):
        pytest.fail("it was begun")
    assert path.read_bytes() == b"another's"


def test_a_file_that_came_meanwhile_is_found_at_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    with instruments(options("--trace", str(path)), "server", pytest.fail) as seen:
        path.write_bytes(b"another's")
        with pytest.raises(CannotTrace, match="is there already"):
            seen.begin()
    assert path.read_bytes() == b"another's"
    assert issubclass(CannotTrace, UsageError)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_disk_that_is_full_is_told_once_and_the_command_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with recording(options("--trace", "/dev/full")) as seen:
        assert seen.observer is not None
        seen.observer()
    said = capsys.readouterr().err
    assert said.startswith("the trace ends here, the connections go on: ")
    assert len(said.splitlines()) == 1
