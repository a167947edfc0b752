"""A server that `child_main` runs ends with the process that holds its standard input."""

import signal
import subprocess
import sys

import pytest

from multiconn.loadtest.process import child_main


@pytest.fixture
def start(tmp_path):
    """Starts a script under `child_main`, with a pipe as its standard input; it has said its first line."""
    started = []

    def run(script):
        path = tmp_path / "script.py"
        path.write_text(script)
        command = [sys.executable, child_main.__file__, str(path), "one", "two"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, process.stdout.readline()

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_the_script_has_its_own_arguments_and_its_own_directory_first(start, tmp_path):
    (tmp_path / "beside.py").write_text("WORD = 'mine'")
    process, line = start("import sys, beside\nprint(sys.argv[1:], __name__, beside.WORD, flush=True)")
    assert line == "['one', 'two'] __main__ mine\n"
    assert process.wait(20) == 0


def test_it_is_asked_to_stop_when_the_pipe_is_closed(start):
    process, _ = start("import signal\nprint(flush=True)\nwhile True: signal.pause()")
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(20) == -signal.SIGTERM


def test_what_does_not_stop_is_ended(start):
    process, _ = start(
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(flush=True)\nwhile True: signal.pause()"
    )
    process.stdin.close()
    assert process.wait(20) == 1
