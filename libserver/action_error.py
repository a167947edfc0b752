"""How does a handler refuse?

It raises `ActionError`: the one exception whose words are meant for the peer. Whatever else it raises is
`handler-failed` (`libserver.failures`).
"""

from __future__ import annotations

from protocol.errors import AnswerableError

__all__ = ["ActionError"]


class ActionError(AnswerableError):
    """Raised by a handler: the peer gets exactly this code and message; the connection goes on.

    `code` is any word; wire.md's own codes keep their meaning. Raises `TypeError` (which is
    `handler-failed` to the peer) unless both are strings.
    """

    def __init__(self, code: str, message: str) -> None:
        if not isinstance(code, str) or not isinstance(message, str):
            raise TypeError("ActionError takes a code and a message, both strings")
        super().__init__(message)
        self.code = code
