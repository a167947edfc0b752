"""What does a person type, and with which exit code does it end?

`app_server.py` and `app_client.py` lead here. Whatever reads a command line, prints, or decides how a
process ends is in this package, and nowhere below it: the libraries return, raise or log.

Rules:

* A command imports what it needs of everything below; nothing below imports a command.
* This module runs before each of them, so it imports nothing.
* An exit code has its name here. Some numbers have a name for each program.

Not here: what a command does once it knows what was asked for (`libserver`, `libclient`).
"""

__all__ = ["CANNOT_START", "DONE", "SIGNAL", "STUCK", "USAGE"]

DONE = 0
#: The server did not come to listen.
CANNOT_START = 1
#: It can't be meant so.
USAGE = 2
#: The server ended inside an action that did not return.
STUCK = 3
#: Plus the number of the signal that ended it.
SIGNAL = 128
