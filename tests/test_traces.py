"""When is a `--trace FILE` made, who may read it, and what is never written over?"""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path

import pytest

from tests.support.scripted import ScriptedServer, correct
from tests.test_app_client import client
from tests.test_app_server import fails, kept_alive, running

IS_THERE = "is there already: remove it, or name another file"


def records(path: Path) -> int:
    return path.read_bytes().count(b"\x1e")


def test_a_second_server_on_the_port_leaves_the_trace_of_the_first_alone(tmp_path: Path) -> None:
    """It had emptied it before it found the port taken."""
    path = tmp_path / "server.trace"
    with running("127.0.0.1", "0", "--trace", str(path)) as server:
        address = server.address()
        kept_alive(server, address)
        said = fails(1, "127.0.0.1", str(address.port), "--trace", str(path))
        assert IS_THERE in said
        server.signal(signal.SIGTERM)
        assert server.end()[0] == 0
    header, *events = (json.loads(record) for record in path.read_bytes().split(b"\x1e")[1:])
    assert header["title"] == "multiconn server"
    names = [event["name"].removeprefix("multiconn:") for event in events]
    assert (names[0], names[-1]) == ("connection", "ended")
    assert (names.count("connection"), names.count("ended")) == (1, 1)
    calls = [event["data"]["call"] for event in events if event["name"] == "multiconn:syscall"]
    assert [call for call in ("recv", "send", "close") if call not in calls] == [], "of its request and its end"


def test_a_server_that_finds_the_port_taken_leaves_no_trace(tmp_path: Path) -> None:
    with running("127.0.0.1", "0") as server:
        said = fails(1, "127.0.0.1", str(server.address().port), "--trace", str(tmp_path / "server.trace"))
    assert "in use" in said
    assert os.listdir(tmp_path) == []


def test_a_server_that_can_not_write_its_trace_leaves_no_socket_behind(tmp_path: Path) -> None:
    path = tmp_path / "s"
    said = fails(1, "--unix", str(path), "--trace", str(tmp_path / "missing" / "trace"))
    assert "No such file or directory" in said
    assert os.listdir(tmp_path) == []


def test_client_and_server_that_are_given_one_file_are_told_to_name_two(tmp_path: Path) -> None:
    path = tmp_path / "both.trace"
    with running("127.0.0.1", "0", "--trace", str(path)) as server:
        address = server.address()
        target = f"127.0.0.1:{address.port}"
        for words in (["request", target, "search", "ring"], ["shell", target], ["load", target, "-n", "5"]):
            code, out, err = client(*words, "--trace", str(path))
            assert (code, out) == (2, "")
            assert IS_THERE in err
        server.signal(signal.SIGTERM)
        _, lines = server.end()
    assert lines[-1].startswith("Closed: accepted 0"), "none of them had connected"


@pytest.mark.parametrize("who", ["server", "client"])
def test_what_is_there_is_kept_and_no_link_is_followed(tmp_path: Path, who: str) -> None:
    old = tmp_path / "old"
    old.write_text("precious")
    (tmp_path / "link").symlink_to(old)
    for name, words in (("old", IS_THERE), ("link", "is a symbolic link, which is not followed")):
        if who == "server":
            said = fails(1, "127.0.0.1", "0", "--trace", str(tmp_path / name))
        else:
            code, _, said = client("request", "127.0.0.1:1", "search", "--trace", str(tmp_path / name))
            assert code == 2
        assert words in said
    assert old.read_text() == "precious"


def test_a_trace_is_for_its_owner_alone_and_its_name_may_be_any(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")
    with ScriptedServer(correct) as server:
        assert client("request", server.target, "search", "ring", "--trace", name)[0] == 0
        code, _, said = client("request", server.target, "search", "ring", "--trace", name)
    assert (code, said.count("\n")) == (2, 1)
    assert IS_THERE in said
    assert stat.S_IMODE(os.stat(name).st_mode) == 0o600
    assert records(Path(name)) > 5


def test_a_command_that_is_refused_before_it_connects_leaves_no_trace(tmp_path: Path) -> None:
    """It would stand in the way of the next one."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "summary.json").write_text("{}")
    words = ["load", "127.0.0.1:1", "-n", "1", "-o", str(tmp_path / "taken"), "--trace", str(tmp_path / "trace")]
    assert client(*words)[0] == 2
    assert not (tmp_path / "trace").exists()
