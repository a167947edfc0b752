"""Is a UNIX socket's file taken only when nobody listens on it, and removed only while it is ours?"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from eventloop import parse_address
from libserver import CannotListen, Server
from libserver import unix_files as module
from libserver.unix_files import bind_unix, parse_mode, parse_owner
from tests.libserver.test_listeners import close, opened, sentence
from tests.support.server import serving
from tests.support.wire import keep

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has abstract sockets")
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def test_a_unix_path_becomes_a_socket_file_which_is_removed_when_closed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    pairs = opened(f"unix:{path}")
    assert stat.S_ISSOCK(path.stat().st_mode)
    close(pairs)
    assert not path.exists()
    pairs[0].file.remove()  # gone already: no matter


def test_a_stale_socket_file_is_cleared(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))  # and never listened, or died
    pairs = opened(f"unix:{path}")
    close(pairs)


def test_a_live_socket_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen(1)
        said = sentence(f"unix:{path}")
        assert said == f"cannot listen on unix:{path}: already in use; stop it, or choose another path"
        assert path.exists()


def test_a_live_socket_whose_backlog_is_full_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen(0)
        waiting = []
        for _ in range(10):
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            waiting.append(sock)
            if sock.connect_ex(str(path)) == errno.EAGAIN:
                break
        assert "already in use" in sentence(f"unix:{path}")
        for sock in waiting:
            sock.close()


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_path_that_is_no_socket_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("precious")
    else:
        path.mkdir()
    assert sentence(f"unix:{path}").endswith("that path exists and is not a socket; choose another path")
    assert path.exists()


def test_a_path_in_no_directory_says_so(tmp_path: Path) -> None:
    said = sentence(f"unix:{tmp_path}/no/s")
    assert f"there is no directory {tmp_path}/no" in said


def test_a_path_inside_a_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot listen on" in sentence(f"unix:{tmp_path}/file/s")


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


# --- only what is still ours is removed ----------------------------------------------------------


def test_a_successors_file_outlives_the_old_server(tmp_path: Path) -> None:
    path = tmp_path / "s"
    old = Server([f"unix:{path}"])
    path.unlink()
    with Server([f"unix:{path}"]) as new:
        old.close()
        assert path.exists()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        assert new.addresses == [parse_address(f"unix:{path}")]
    assert not path.exists()


def test_a_server_that_has_changed_its_directory_finds_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with Server(["unix:s"]):
        monkeypatch.chdir(tmp_path / "elsewhere")
    assert names(tmp_path) == ["elsewhere"]


def test_of_listeners_that_can_not_all_be_had_no_file_is_left(tmp_path: Path) -> None:
    with pytest.raises(CannotListen):
        Server([f"unix:{tmp_path}/s", f"unix:{tmp_path}/no/t"])
    assert names(tmp_path) == []


def test_a_socket_that_can_not_listen_leaves_no_file(tmp_path: Path) -> None:
    def refuse(sock: socket.socket) -> None:
        raise OSError(errno.ENOBUFS, "no room")

    with pytest.raises(OSError, match="no room"):
        bind_unix(f"{tmp_path}/s", refuse)
    assert names(tmp_path) == []


# --- links ---------------------------------------------------------------------------------------


def test_a_link_to_nowhere_is_told_for_what_it_is_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.symlink_to(tmp_path / "gone")
    assert f"is a symbolic link to '{tmp_path}/gone', where nothing is; remove it" in sentence(f"unix:{path}")
    assert path.is_symlink()


def test_a_link_to_a_stale_socket_is_told_for_what_it_is_and_left_alone(tmp_path: Path) -> None:
    path, stale = tmp_path / "s", tmp_path / "stale"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(stale))
    path.symlink_to(stale)
    said = sentence(f"unix:{path}")
    assert f"is a symbolic link to '{stale}', a socket that nobody listens on; listen there" in said
    assert names(tmp_path) == ["s", "stale"]


def test_a_link_to_a_live_socket_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "s"
    pairs = opened(f"unix:{tmp_path}/live")
    path.symlink_to(tmp_path / "live")
    assert "already in use" in sentence(f"unix:{path}")
    close(pairs)


# --- two that start at once ----------------------------------------------------------------------


def _start(path: str, together: threading.Barrier, listening: list[socket.socket], refused: list[int | None]) -> None:
    together.wait()
    try:
        listening.append(bind_unix(path, lambda sock: sock.listen(5))[0])
    except OSError as error:
        refused.append(error.errno)


def test_of_servers_that_start_at_once_on_a_stale_path_exactly_one_listens(tmp_path: Path) -> None:
    """In threads, which meet between the same system calls as processes do, without taking a second to start."""
    for turn in range(60):
        path = str(tmp_path / f"{turn}")
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        together = threading.Barrier(4)
        listening: list[socket.socket] = []

        refused: list[int | None] = []
        everything = (path, together, listening, refused)
        threads = [threading.Thread(target=_start, args=everything) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(listening) == 1, turn
        assert refused == [errno.EADDRINUSE] * 3
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)  # and it is the one that clients find
        listening[0].close()


def test_nobody_finds_a_path_stale_between_bind_and_listen(tmp_path: Path) -> None:
    """The other server, asked in between, waits until the first listens: then it is refused."""
    path = str(tmp_path / "s")
    refused: list[OSError] = []

    def other() -> None:
        try:
            bind_unix(path, lambda sock: sock.listen(5))
        except OSError as error:
            refused.append(error)

    thread = threading.Thread(target=other)

    def listen(sock: socket.socket) -> None:
        thread.start()
        thread.join(0.05)  # it can't get on: without the lock it is through long before
        sock.listen(5)

    sock, file = bind_unix(path, listen)
    thread.join()
    assert [error.errno for error in refused] == [errno.EADDRINUSE]
    assert file is not None
    assert os.stat(path).st_ino == file.inode
    sock.close()


def test_a_lock_that_somebody_holds_for_ever_keeps_no_server_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_AT_START", 0.01)
    monkeypatch.setattr(module, "PATIENCE_AT_END", 0.01)
    directory = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    close(opened(f"unix:{tmp_path}/s"))
    assert names(tmp_path) == []
    os.close(directory)


def test_a_directory_that_can_not_be_locked_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(number: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    close(opened(f"unix:{tmp_path}/s"))
    assert names(tmp_path) == []


# --- abstract sockets ----------------------------------------------------------------------------


@linux
def test_an_abstract_socket_has_no_file_and_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"@multiconn-test-{os.getpid()}"
    with serving(listen=(f"unix:{name}",)) as home:
        assert [str(address) for address in home.server.addresses] == [f"unix:{name}"]
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect("\0" + name[1:])
            sock.sendall(keep("echo", 1))
            assert sock.recv(1)
            assert "already in use" in sentence(f"unix:{name}")  # here: the server's thread has nothing to close
    assert names(tmp_path) == []
    close(opened(f"unix:{name}"))  # gone with the server


@linux
def test_the_clients_reach_an_abstract_socket() -> None:
    name = f"@multiconn-test-client-{os.getpid()}"
    with serving(listen=(f"unix:{name}",)):
        asked = [sys.executable, "app_client.py", "request", f"unix:{name}", "echo", "hello"]
        answered = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
        assert (answered.returncode, answered.stdout) == (0, "hello\n"), answered.stderr


# --- mode and owner ------------------------------------------------------------------------------


def test_the_file_has_the_mode_asked_for_before_anybody_can_connect(tmp_path: Path) -> None:
    seen: list[int] = []

    def listen(sock: socket.socket) -> None:
        seen.append(stat.S_IMODE(os.stat(tmp_path / "s").st_mode))
        sock.listen(5)

    sock, file = bind_unix(f"{tmp_path}/s", listen, 0o622)
    assert seen == [0o622]
    assert file is not None
    file.remove()
    sock.close()


def test_a_server_makes_its_files_with_mode_and_owner(tmp_path: Path) -> None:
    mine = (os.getuid(), -1)
    with Server([f"unix:{tmp_path}/s"], unix_mode=0o600, unix_owner=mine):
        info = os.stat(tmp_path / "s")
        assert (stat.S_IMODE(info.st_mode), info.st_uid) == (0o600, os.getuid())


@root
def test_a_file_is_given_away(tmp_path: Path) -> None:
    with Server([f"unix:{tmp_path}/s"], unix_owner=(12345, 54321)):
        info = os.stat(tmp_path / "s")
        assert (info.st_uid, info.st_gid) == (12345, 54321)


def test_a_file_that_may_not_be_given_away_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, user: int, group: int) -> None:
        raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    assert "no permission to give its file away" in sentence(f"unix:{tmp_path}/s", unix_owner=(0, 0))
    assert names(tmp_path) == []


@pytest.mark.parametrize(("text", "mode"), [("660", 0o660), ("0600", 0o600), ("7", 7), ("777", 0o777)])
def test_a_mode_is_octal(text: str, mode: int) -> None:
    assert parse_mode(text) == mode


@pytest.mark.parametrize("text", ["", "0", "8", "u+w", "1777", "00660", "-1", "6.6"])
def test_what_is_no_mode_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="is no file mode: write it in octal, such as 660"):
        parse_mode(text)


@pytest.mark.parametrize(
    ("text", "owner"), [("root", (0, -1)), ("0:0", (0, 0)), (":7", (-1, 7)), ("4242:", (4242, -1))]
)
def test_an_owner_is_a_user_a_group_or_both(text: str, owner: tuple[int, int]) -> None:
    assert parse_owner(text) == owner


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no owner"),
        (":", "no owner"),
        ("nobody-here", "there is no user"),
        (":no-such", "there is no group"),
        ("root:-1", "there is no group"),
    ],
)
def test_who_is_not_there_owns_nothing(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_owner(text)
