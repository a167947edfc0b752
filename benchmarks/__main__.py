"""`python -m benchmarks`: see `benchmarks.cli`."""

import signal
import sys

import stdio
from benchmarks.cli import main

if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # both end it in order: no server stays behind
        signal.signal(number, signal.default_int_handler)
    sys.exit(stdio.run("benchmarks", main))
