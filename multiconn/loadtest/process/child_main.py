"""How does the bundled server end when its load tester is killed?

Run as a script, `child_main.py SCRIPT ARGUMENTS...`: it runs SCRIPT in this process while a thread
reads standard input, a pipe from the load tester. However the load tester ends, also by SIGKILL, the
kernel closes the pipe; the thread reads its end, and the process asks itself to stop as if by
SIGTERM, and ends at once `GRACE` later.

Linux could tell us directly (PR_SET_PDEATHSIG), which the standard library can't ask for and no
other system has. Not here: starting it (`process.child`).
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

#: Seconds to drain: the connections of the load have gone.
GRACE = 2.0


def _watch() -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


def main() -> None:
    script, *arguments = sys.argv[1:]
    threading.Thread(target=_watch, name="guard", daemon=True).start()
    sys.argv = [script, *arguments]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
