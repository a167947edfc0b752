"""`python -m study`: see `multiconn.commands.study`. Thin: as a library `study` prints nothing."""

import sys

from multiconn.commands import stdio, study

if __name__ == "__main__":
    sys.exit(stdio.run("study", study.main))
