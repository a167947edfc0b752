"""When may the path of a UNIX socket be taken, and when may its file be removed?

A server that died leaves its socket's file behind; the next one has to remove it before it can bind.
Two that look at the same stale file at once must not both find it stale: the second would unlink the
file that the first has bound meanwhile, and the first would listen where nobody can come. And one
that ends must not take its successor's file with it.

Rules:

* Probe, unlink, bind and listen are one step: the directory is locked meanwhile (flock(2), so a
  crash leaves no lock, and no lock file litters). To bind to another name and rename would do too, but
  the kernel shows the name that was bound: `ss -xl`, /proc/net/unix and the peers would see that for ever.
* Only what is ours is unlinked: the file's device and inode are those that we bound. As long as the
  socket is open its inode is in use, so nobody else's file can have the number.
* Only a socket is ever cleared away: not a file, and not a symbolic link, which somebody made.

Not here: what is listened on beside that (`libserver.listeners`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

__all__ = ["Owner", "SocketFile", "UnixFileError", "bind_unix", "parse_mode", "parse_owner"]

#: Seconds to wait for another server that starts in the same directory (it takes a millisecond): whoever
#: holds the lock for longer is no server of ours, and must not keep one from starting.
PATIENCE_AT_START = 2.0
#: The same at the end, where connections of a loop that still runs may wait meanwhile.
PATIENCE_AT_END = 0.1
ASK_AGAIN = 0.002

#: user id and group id; -1 leaves one as it is (chown(2))
Owner = tuple[int, int]


class UnixFileError(OSError):
    """The file can't be made as asked, or something stands there; `strerror` says what, and what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(errno.EEXIST, sentence)


class SocketFile(NamedTuple):
    """A file that we bound a socket to."""

    path: str
    device: int
    inode: int

    def remove(self) -> None:
        """Unlink it if it is still ours. Before its socket is closed: afterwards the inode may be another's."""
        with _directory_locked(self.path, PATIENCE_AT_END):
            try:
                info = os.lstat(self.path)
                if (info.st_dev, info.st_ino) == (self.device, self.inode):
                    os.unlink(self.path)
            except OSError:
                pass  # gone already, or no longer within our reach


def bind_unix(
    name: str, listen: Callable[[socket.socket], None], mode: int = 0, owner: Owner | None = None
) -> tuple[socket.socket, SocketFile | None]:
    """A listening socket, with its file unless `name` is abstract (begins with a NUL).

    `listen` makes it listen. `mode` and `owner` are the file's, set before anybody can connect;
    mode 0 leaves what the umask leaves. Raises `OSError`, with nothing left behind.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    file = None
    try:
        if name.startswith("\0"):
            sock.bind(name)
            listen(sock)
            return sock, None
        path = os.path.abspath(name)  # a handler may change the directory
        with _directory_locked(path, PATIENCE_AT_START):
            _clear_stale(name)
            sock.bind(name)
            info = os.lstat(name)
            file = SocketFile(path, info.st_dev, info.st_ino)
            if mode:
                os.chmod(name, mode)
            if owner is not None:
                _give(name, owner)
            listen(sock)
        return sock, file
    except OSError:
        if file is not None:
            file.remove()
        sock.close()
        raise


def _give(path: str, owner: Owner) -> None:
    try:
        os.chown(path, *owner)
    except PermissionError:
        raise UnixFileError("no permission to give its file away; be root, or leave --unix-owner out") from None


@contextmanager
def _directory_locked(path: str, patience: float) -> Iterator[None]:
    """Nobody else who asks for the same lock binds or unlinks there meanwhile.

    Where it can't be had (no permission to read the directory, a file system without locks, somebody
    who holds it for ever) things go on without it.
    """
    try:
        directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        until = time.monotonic() + patience
        while not _locked(directory) and time.monotonic() < until:
            time.sleep(ASK_AGAIN)
        yield
    finally:
        os.close(directory)


def _locked(directory: int) -> bool:
    """Is it ours now, or never to be had?"""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _clear_stale(path: str) -> None:
    """Remove a socket file that nobody listens on any more; leave everything else alone."""
    try:
        link = stat.S_ISLNK(os.lstat(path).st_mode)
    except OSError:
        return
    try:
        mode = os.stat(path).st_mode
    except OSError:
        target = os.readlink(path)
        raise UnixFileError(f"that path is a symbolic link to {target!r}, where nothing is; remove it") from None
    if not stat.S_ISSOCK(mode):
        raise UnixFileError("that path exists and is not a socket; choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            if link:
                raise UnixFileError(
                    f"that path is a symbolic link to {os.readlink(path)!r}, a socket that nobody listens on; "
                    "listen there, or remove the link"
                ) from None
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # a full backlog: somebody is there
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


# --- what people write ---------------------------------------------------------------------


def parse_mode(text: str) -> int:
    """File permissions in octal, as chmod(1) takes them. Raises `ValueError` with a sentence."""
    if not re.fullmatch("[0-7]{1,4}", text) or not 0 < int(text, 8) <= 0o777:
        raise ValueError(f"{text!r} is no file mode: write it in octal, such as 660 (owner and group) or 666 (all)")
    return int(text, 8)


def parse_owner(text: str) -> Owner:
    """`USER`, `USER:GROUP` or `:GROUP`, as names or numbers. Raises `ValueError` with a sentence."""
    import grp  # here: few need it
    import pwd

    user, _, group = text.partition(":")
    if not user and not group:
        raise ValueError(f"{text!r} is no owner: write USER, USER:GROUP or :GROUP")
    return _id(user, "user", lambda name: pwd.getpwnam(name).pw_uid), _id(
        group, "group", lambda name: grp.getgrnam(name).gr_gid
    )


def _id(name: str, kind: str, look_up: Callable[[str], int]) -> int:
    if not name:
        return -1
    try:
        return look_up(name)
    except KeyError:
        if name.isascii() and name.isdigit() and len(name) <= 10 and int(name) < 2**32 - 1:
            return int(name)
        raise ValueError(f"there is no {kind} {name!r} on this machine") from None
