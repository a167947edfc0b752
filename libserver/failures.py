"""What becomes of what a handler raised, or of a result that can't be sent?

The client is told `handler-failed`, and nothing of the inside. The log is told which action, whose
request, where the action was registered, and the traceback from the handler on; of a result that
can't be sent, what it was, since its traceback holds our own lines alone. Whatever was raised
(`sys.exit()`, a `GeneratorExit`, an exception group of some library) fails one request, and the
server lives.

One thing is not the handler's, though it is raised in it: Ctrl-C, where a program that runs a
`Server` has left SIGINT to Python. In `app_server.py` that never happens: there Ctrl-C drains.

Not here: how often it is told (`libserver.notices`), who catches it (`libserver.dispatcher`, `libserver.message`).
"""

from __future__ import annotations

import logging
import reprlib
import signal
import threading
from collections.abc import Callable
from types import TracebackType

from protocol import ProtocolError
from protocol.content import UnsendableResult
from protocol.errors import AnswerableError, HandlerFailed, bare
from protocol.printable import printable

from .actions import Action, Actions
from .notices import Notices, Source

__all__ = ["Failures", "is_ctrl_c"]

log = logging.getLogger("multiconn.server")

EVENT = "handler-failed"
#: The same for what the application registered with `on_connect` and `on_disconnect`.
CALLBACK = "callback-failed"

#: What its peer is told.
FAILED = "the handler failed; the server's log has the details"

#: The packages whose frames stand between the loop and a handler.
OURS = ("libserver.", "protocol.", "eventloop.")
BUILTIN = "libserver.builtin"

#: Characters that are shown of what was raised or returned.
SHOWN = 200


def is_ctrl_c(error: BaseException) -> bool:
    """Did Python's own handler of SIGINT raise it, in the main thread, wherever that was? Ask where it is caught."""
    return (
        isinstance(error, KeyboardInterrupt)
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )


class Failures:
    """What handlers raise, on its way to the peer and to the log."""

    __slots__ = ("_actions", "_count", "_notices")

    def __init__(self, actions: Actions, notices: Notices, count: Callable[[ProtocolError], None]) -> None:
        self._actions = actions
        self._notices = notices
        self._count = count

    def answer(self, error: BaseException, source: Source, asked: object) -> ProtocolError:
        """What a peer is told of a handler's exception: its own words only if they were meant for it.

        `asked` is what the handler was given: a JSON value, or the `Header` of bytes; or it is its `Action`.
        Raises `error` if it is Ctrl-C.
        """
        if is_ctrl_c(error):
            raise error
        answer = bare(error) if isinstance(error, AnswerableError) else HandlerFailed(FAILED)
        self._count(answer)
        if answer is not error and self._notices.due(EVENT, logging.ERROR):
            self._log(error, source, asked)
        return answer

    def callback(self, call: Callable[..., object], source: Source, *arguments: object) -> None:
        """Run what the application registered for a connection that has come or gone; what it raises is logged."""
        try:
            call(*arguments)
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            if self._notices.due(CALLBACK, logging.ERROR):
                fields = {"event": CALLBACK, **source.facts(), "error": type(error).__name__}
                name, part = getattr(call, "__qualname__", repr(call)), _handlers_part(error)
                trace = part and (type(error), error, part)
                log.error("%s failed: %s: %s", name, *_words(error)[1:], exc_info=trace, extra=fields)

    def _log(self, error: BaseException, source: Source, asked: object) -> None:
        action = asked if isinstance(asked, Action) else self._actions.of(asked)
        fields: dict[str, object] = {"event": EVENT, **source.facts()}
        if action is not None:
            fields |= {"action": action.name, "registered": action.registered}
        name = "a handler" if action is None else action
        text, *words = _words(error)
        handlers_part = _handlers_part(error)
        trace = handlers_part and (type(error), error, handlers_part)
        log.error(f"%s {text}", name, *words, exc_info=trace, extra={**fields, "error": type(error).__name__})


def _words(error: BaseException) -> tuple[str, ...]:
    if isinstance(error, UnsendableResult):
        return "returned what can't be sent: %s (%s)", shown(error.result), error_text(error)
    return "failed: %s: %s", type(error).__name__, error_text(error)


def error_text(error: BaseException) -> str:
    """An exception's own words, cut; whatever its `__str__` does."""
    try:
        return printable(str(error), SHOWN)
    except Exception as failure:
        return f"(its words can't be had: {type(failure).__name__})"


def shown(value: object) -> str:
    """A value as Python writes it, in bounded time and length."""
    try:
        text = reprlib.repr(value)
    except Exception:  # an integer of thousands of digits
        text = "something that can't be shown"
    return printable(f"{type(value).__name__} {text}", SHOWN)


def _handlers_part(error: BaseException) -> TracebackType | None:
    """The traceback from the handler on, without our own lines in front; None if there are only these."""
    while isinstance(error, UnsendableResult) and error.__cause__ is not None:
        error = error.__cause__
    part = error.__traceback__
    while part is not None and _is_ours(part.tb_frame.f_globals.get("__name__")):
        part = part.tb_next
    return part


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and module.startswith(OURS) and not module.startswith(BUILTIN)
