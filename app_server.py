#!/usr/bin/env python3
"""The message server's command: `python3 app_server.py [HOST] [PORT] [options]`.

Thin on purpose: arguments in `libserver.cli`, serving in `libserver.server`.
"""

import sys

from libserver.cli import main

if __name__ == "__main__":
    sys.exit(main())
