"""`python -m libserver`: what to run instead, since this is a library."""

import sys

if __name__ == "__main__":
    print("libserver is a library; python3 app_server.py HOST PORT starts a server (see its --help)", file=sys.stderr)
    sys.exit(2)
