"""`python -m benchmarks`: see `benchmarks.cli`."""

import signal
import sys

from benchmarks.cli import main
from multiconn.commands import stdio

if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # all end it in order: no server stays behind
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, signal.default_int_handler)
    sys.exit(stdio.run("benchmarks", main))
