"""Which package does a script or an application import? This one: its name collides with no other.

    from multiconn import Client                     # libclient.Client
    from multiconn import ActionError, Actions       # of libserver

It gives the public names of `libclient` and `libserver`, the very same objects, and works where those
two can't be imported: beside the tutorial's own `libclient.py` and `libserver.py` (see
`multiconn.parts`). Each name loads at its first use: `import multiconn` costs nothing, and
a client never loads the server.

Rules:

* `__all__` of the two libraries lists the names, and no other place does.
* This module imports nothing: the commands live in `multiconn.commands`, and each of them runs it
  first.

Not here: anything of its own. `Message` is not among the names, since there are two: one accepted
connection (`libserver.Message`) and one outgoing (`libclient.Message`).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    # A type checker takes the names from the same lists. It alone sees a `Message` as well.
    from libclient import *  # noqa: F403
    from libserver import *  # type: ignore[assignment]  # noqa: F403
    from protocol import Limits as Limits
else:

    def __getattr__(name):
        """PEP 562: a name at its first use."""
        if name == "__all__":
            value = sorted({*_library("libclient").__all__, *_library("libserver").__all__, "Limits"} - {"Message"})
        else:
            value = getattr(_home(name), name)
        globals()[name] = value
        return value

    def __dir__():
        return [*globals(), *__getattr__("__all__")]

    def _home(name):
        """The library that has it. It asks the client's first: a client never loads the server."""
        if name == "Limits":
            return _library("protocol")
        if name != "Message" and not name.startswith("_"):
            for library in map(_library, ("libclient", "libserver")):
                if name in library.__all__:
                    return library
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def _library(name):
        from .parts import part  # here: the commands, which run this module first, do not need it

        return part(name)
