"""`request --file`: the size is asked first, and a large file is never held."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
from pathlib import Path

import pytest

from multiconn.commands.request import MAPPED_FROM
from tests.multiconn.commands.test_client_signals import COMMAND
from tests.test_app_server import running

#: Bytes of memory of its own that the command may have: no large file would fit.
LITTLE = 256 << 20


def request(port: int, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "request", f"127.0.0.1:{port}", "echo", *words],
        capture_output=True,
        text=True,
        timeout=50,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (LITTLE, LITTLE)),
        check=False,
    )


def test_a_file_that_the_server_does_not_want_is_not_read(tmp_path: Path) -> None:
    """5 GiB: the server refuses from the header, and says so before any of it is in memory."""
    path = tmp_path / "huge"
    try:
        path.touch()
        os.truncate(path, 5 << 30)
    except OSError as error:
        pytest.skip(f"no file of 5 GiB can be made here: {error.strerror}")
    with running("127.0.0.1", "0") as server:
        done = request(server.address().port, "--file", str(path))
    assert done.returncode == 4, done.stderr
    assert "content-too-large" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("size", [0, 1, MAPPED_FROM - 1, MAPPED_FROM, 20 * MAPPED_FROM + 7])
def test_what_arrives_is_the_file_to_the_last_byte(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "sent").write_bytes(content)
    with running("127.0.0.1", "0") as server:
        done = request(server.address().port, "--file", str(tmp_path / "sent"), "-o", str(tmp_path / "back"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "back").read_bytes() == content


def test_a_pipe_has_no_size_and_is_read_to_its_end(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    content = os.urandom(2 * MAPPED_FROM)
    writer = threading.Thread(target=lambda: fifo.write_bytes(content))
    writer.start()
    with running("127.0.0.1", "0") as server:
        done = request(server.address().port, "--file", str(fifo), "-o", str(tmp_path / "back"))
    writer.join()
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "back").read_bytes() == content


def test_an_answer_that_can_not_be_saved_is_shown_as_far_as_it_can_be(tmp_path: Path) -> None:
    """The request was carried out: that must not be lost with the file."""
    (tmp_path / "sent").write_bytes(b"\x00\x01" * 500)
    with running("127.0.0.1", "0") as server:
        done = request(server.address().port, "--file", str(tmp_path / "sent"), "-o", "/dev/full")
    assert done.returncode == 2
    assert done.stdout.startswith("1000 bytes of binary/echo: ")
    assert "the answer came and can't be saved (/dev/full: No space left on device); make room" in done.stderr
