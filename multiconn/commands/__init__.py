"""What does a person type, and with which exit code does it end?

`app_server.py`, `app_client.py` and `python -m study` lead here. Whatever reads a command line, prints,
or decides how a process ends is in this package, and nowhere below it: the libraries return, raise or log.

    client.py   request.py shell.py echo.py tutorial.py               app_client.py
    chat.py     chat_commands.py chat_room.py chat_view.py            chat_lines.py chat_terminal.py
    load.py     load_options.py load_interleaved.py load_files.py      load_exit_code.py load_dashboard.py
    report.py   compare.py                                            of saved load tests
    server.py   server_options.py server_signals.py server_log.py     app_server.py
    study.py                                                          python -m study
    stdio.py    arguments.py output.py tracing.py                     what they share

Rules:

* A command imports what it needs of everything below; nothing below imports a command.
* This module runs before each of them, so it imports nothing.
* An exit code has its name here. Some numbers have a name for each program.

Not here: what a command does once it knows what was asked for (`libserver`, `libclient`, `multiconn.loadtest`).
"""

__all__ = [
    "CANNOT_START",
    "CANT_WRITE",
    "DONE",
    "ERROR_REPLY",
    "FILES_LOST",
    "INTERNAL_ERROR",
    "INTERRUPTED",
    "NO",
    "NOT_CONNECTED",
    "NOT_VALID",
    "READER_GONE",
    "SIGNAL",
    "STUCK",
    "THRESHOLD_FAILED",
    "USAGE",
    "UsageError",
]

DONE = 0
#: Of the client: a mistake of ours, or the system refused what is no connection.
INTERNAL_ERROR = 1
#: Of `study`: the answer is no.
NO = 1
#: Of the server: it did not come to listen.
CANNOT_START = 1
#: A command line can't be meant so.
USAGE = 2
#: An output can't be written: it was given to us so.
CANT_WRITE = USAGE
#: Of the client: there is no connection, or it was lost.
NOT_CONNECTED = 3
#: Of the server: it ended inside an action that did not return.
STUCK = 3
#: Of the client: the answer is an error, or wrong.
ERROR_REPLY = 4
#: Of a load test: its figures can't be believed, which was asked for; or two runs can't be compared.
NOT_VALID = 5
#: Of a load test: all is well but the files of `--out`.
FILES_LOST = 6
#: Of a load test: a threshold failed, `--abort-on` came true, or a comparison found a regression.
THRESHOLD_FAILED = 99
#: Plus the number of the signal that ended it; of Ctrl-C, and of a reader that has gone (SIGPIPE).
SIGNAL = 128
INTERRUPTED = 130
READER_GONE = 141


class UsageError(Exception):
    """A command line can't be meant so, or not be done; the sentence says why and what to write."""
