"""`python -m libclient`: what to run instead, since this is a library."""

import sys

if __name__ == "__main__":
    print("libclient is a library; python3 app_client.py COMMAND is its command line (see its --help)", file=sys.stderr)
    sys.exit(2)
