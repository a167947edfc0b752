"""`protocol.files`: what is created is ours alone, leads nowhere else, and takes nothing that was there."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol import files
from protocol.files import SHARED, check_new, create, replace


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """So that a mode is ours and not the umask's."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# --- create --------------------------------------------------------------------------------


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    with create(tmp_path / "new") as file:
        file.write(b"a peer's words")
    assert (tmp_path / "new").read_bytes() == b"a peer's words"
    assert mode(tmp_path / "new") == 0o600


def test_what_is_there_is_not_touched_and_the_words_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("precious")
    for refuse in (create, check_new):
        with pytest.raises(FileExistsError, match="is there already: remove it, or name another file") as refused:
            refuse(tmp_path / "old")
        assert refused.value.filename == str(tmp_path / "old")
    assert (tmp_path / "old").read_text() == "precious"
    check_new(tmp_path / "new")
    assert names(tmp_path) == ["old"]


@pytest.mark.parametrize("target", ["victim", "nowhere"])
def test_no_link_is_followed_wherever_it_leads(tmp_path: Path, target: str) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / target)
    for attempt in (create, check_new, lambda path: replace(path, [b"x"])):
        with pytest.raises(OSError, match="is a symbolic link, which is not followed") as refused:
            attempt(tmp_path / "link")
        assert refused.value.errno == errno.ELOOP
    assert (tmp_path / "victim").read_text() == "precious"
    assert names(tmp_path) == ["link", "victim"]


# --- replace -------------------------------------------------------------------------------


def test_a_whole_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "page"
    path.write_text("old")
    path.chmod(0o666)
    replace(path, [b"a", b"b"])
    assert path.read_bytes() == b"ab"
    assert mode(path) == 0o600
    replace(path, [b"for all"], SHARED)
    assert mode(path) == 0o666
    assert names(tmp_path) == ["page"]


def test_what_can_not_be_written_whole_leaves_what_was_there(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "page"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left") as full:
        replace(path, pieces())
    assert full.value.filename == str(path)
    with pytest.raises(ZeroDivisionError):
        replace(path, (b"%d" % (1 // n) for n in (1, 0)))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["page"]


def test_a_draft_of_a_killed_process_is_in_nobodys_way(tmp_path: Path) -> None:
    draft = tmp_path / f".multiconn-{os.getpid()}.part"
    victim = tmp_path / "victim"
    victim.write_text("precious")
    draft.symlink_to(victim)
    replace(tmp_path / "page", [b"new"])
    assert victim.read_text() == "precious"
    assert names(tmp_path) == ["page", "victim"]


@pytest.mark.parametrize("attempt", [create, lambda path: replace(path, [b"x"])])
def test_a_directory_is_no_file_and_a_missing_one_is_named(tmp_path: Path, attempt: object) -> None:
    assert callable(attempt)
    with pytest.raises(OSError, match=r"directory|is there already") as refused:
        attempt(tmp_path)
    assert refused.value.filename == str(tmp_path)
    with pytest.raises(FileNotFoundError) as refused:
        attempt(tmp_path / "missing" / "page")
    assert refused.value.filename == str(tmp_path / "missing" / "page")


def test_names_that_are_not_utf_8_do(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe")
    create(tmp_path / name).close()
    replace(tmp_path / name, [b"x"])
    assert (tmp_path / name).read_bytes() == b"x"


# --- no files ------------------------------------------------------------------------------


def test_devices_are_written_to(tmp_path: Path) -> None:
    create("/dev/null").close()
    replace("/dev/null", [b"x"])
    (tmp_path / "nothing").symlink_to("/dev/null")
    replace(tmp_path / "nothing", [b"x"])
    with pytest.raises(OSError, match="No space left"):
        replace("/dev/full", [b"x"])


def test_a_fifo_gets_all_of_it(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    check_new(fifo)
    got: list[bytes] = []
    for write in (lambda: replace(fifo, [b"a", b"b"]), lambda: _written(fifo)):
        reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
        reader.start()
        write()
        reader.join()
    assert got == [b"ab", b"ab"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def _written(path: Path) -> None:
    with create(path) as file:
        file.write(b"ab")


@pytest.mark.parametrize("shape", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_a_descriptor_of_ours_is_taken_as_it_stands(tmp_path: Path, shape: str) -> None:
    """Opened anew it would begin at the front of the file, and cut what the shell's `>>` had kept."""
    path = tmp_path / "appended"
    path.write_text("before ")
    with path.open("ab") as file:
        check_new(shape.format(file.fileno()))
        replace(shape.format(file.fileno()), [b"replaced "])
        with create(shape.format(file.fileno())) as more:
            more.write(b"created")
    assert path.read_text() == "before replaced created"


def test_another_users_fifo_is_no_place_for_what_peers_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    if os.geteuid() == 0:
        os.chown(fifo, 12345, 12345)
    else:
        monkeypatch.setattr(files.os, "geteuid", lambda: 12345)
    with pytest.raises(PermissionError, match="belongs to another user"):
        create(fifo)


@pytest.mark.parametrize("now", ["a file", "another user's"])
def test_what_is_no_special_file_any_more_once_it_is_open_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: str
) -> None:
    (tmp_path / "victim").write_text("precious")
    status = list(os.stat("/dev/null"))
    if now == "another user's":
        status[4] = 12345
        monkeypatch.setattr(files.os, "fstat", lambda fd: os.stat_result(status))
    path = tmp_path / "victim" if now == "a file" else Path("/dev/null")
    monkeypatch.setattr(files, "_special", lambda path: os.stat("/dev/null"))
    with pytest.raises(OSError, match=r"is there already|belongs to another user"):
        replace(path, [b"x"])
    assert (tmp_path / "victim").read_text() == "precious"
