"""`python -m study`: see `multiconn.commands.study`. Thin: as a library `study` prints nothing."""

import sys

import stdio
from multiconn.commands import study

if __name__ == "__main__":
    sys.exit(stdio.run("study", study.main))
