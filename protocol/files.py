"""How is a file created that holds what peers sent?

A trace, a report, a capture, a saved answer: contents of strangers, on a disk that others may share, often in
a directory such as /tmp where others may write, too. So there is one way to make one, for all commands:

    create(path)            a new file to write to as one goes; one that is there is not touched
    replace(path, pieces)   a whole file at once; whoever looks sees the old one or the new one

Rules:

* Nobody but the owner may read it (mode 0600), unless the caller says that it may be shared.
* A symbolic link is not followed: somebody else may have laid it, to have us overwrite what only we may.
* What is no regular file is written to as it is, so that /dev/null, a FIFO and `>(gzip > x)` do; but a FIFO or
  device that belongs to another user is refused. /dev/stdout and /dev/fd/N are our own descriptors, whatever they are.
* Every refusal is an `OSError` whose `strerror` goes on from the file's name and says what to do.

It lies in `protocol` since `study`, which may import nothing else of ours, and the commands both need it.
Not here: which files there are, and what stands in them. Source: CWE-59 and CWE-377, which this is the answer to.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable
from typing import BinaryIO

__all__ = ["PRIVATE", "SHARED", "check_new", "create", "replace"]

#: Permissions before the umask: for the owner alone, and as any program's.
PRIVATE, SHARED = 0o600, 0o666

Path = str | os.PathLike[str]

_STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/([0-9]{1,9})")


def create(path: Path, mode: int = PRIVATE) -> BinaryIO:
    """A new file, open for writing. Raises `OSError`, a `FileExistsError` if something is there."""
    path = os.fspath(path)
    return os.fdopen(_open_new(path, mode) if (special := _open_special(path)) is None else special, "wb")


def check_new(path: Path) -> None:
    """Raises the `FileExistsError` that `create` would raise just now: to refuse before anything is begun."""
    path = os.fspath(path)
    if _special(path) is None and os.path.lexists(path):
        raise _is_there(path)


def replace(path: Path, pieces: Iterable[bytes | bytearray], mode: int = PRIVATE) -> None:
    """Write a whole file, in the place of the one that may be there. Raises `OSError`, and what `pieces` raises.

    If it can't be written whole, what was there stays.
    """
    path = os.fspath(path)
    special = _open_special(path)
    if special is not None:
        with os.fdopen(special, "wb") as file:
            file.writelines(pieces)
        return
    if os.path.islink(path):
        raise _is_a_link(path)
    draft = os.path.join(os.path.dirname(path), f".multiconn-{os.getpid()}.part")
    try:
        _remove(draft)  # of a process that had our number and was killed
        with os.fdopen(_open_new(draft, mode), "wb") as file:
            file.writelines(pieces)
        os.replace(draft, path)
    except BaseException as error:
        _remove(draft)
        if isinstance(error, OSError):
            error.filename, error.filename2 = path, None  # nobody knows the draft
        raise


def _open_new(path: str, mode: int) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise _is_there(path) from None


def _remove(draft: str) -> None:
    try:
        os.unlink(draft)
    except OSError:
        pass


# --- what is no file -----------------------------------------------------------------------


def _special(path: str) -> int | os.stat_result | None:
    """The descriptor of ours that `path` stands for, or what is there and is neither file nor directory."""
    match = _DESCRIPTOR.fullmatch(path)
    if match is not None or path in _STREAMS:
        return int(match[1]) if match is not None else _STREAMS[path]
    try:
        found = os.stat(path)
    except OSError:  # also of a link that leads nowhere
        return None
    return None if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode) else found


def _open_special(path: str) -> int | None:
    """It, open for writing. Opening a FIFO waits for its reader, as everywhere."""
    found = _special(path)
    if found is None:
        return None
    if isinstance(found, int):
        return os.dup(found)
    _check_owner(found, path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        now = os.fstat(descriptor)
        if stat.S_ISREG(now.st_mode):  # changed since we looked
            raise _is_there(path)
        _check_owner(now, path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_owner(found: os.stat_result, path: str) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise PermissionError(errno.EPERM, "belongs to another user and is no file: name another one", path)


def _is_there(path: str) -> OSError:
    if os.path.islink(path):
        return _is_a_link(path)
    return FileExistsError(errno.EEXIST, "is there already: remove it, or name another file", path)


def _is_a_link(path: str) -> OSError:
    words = "is a symbolic link, which is not followed: name the file itself, or remove the link"
    return OSError(errno.ELOOP, words, path)
