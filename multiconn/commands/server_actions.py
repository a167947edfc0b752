"""Which actions does `app_server.py` have, and how does `--app MODULE:ATTRIBUTE` find a user's own?

Rules:

* It looks into the current directory first, as every application server does.
* An exception of the import becomes one sentence, with the line of the user's own file.

Not here: what a registry is (`libserver.actions`).
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from traceback import walk_tb

from libserver import Actions, Topics, add_chat
from libserver.failures import error_text
from libserver.redis_backplane import RedisBackplane

__all__ = ["CannotLoad", "app_name", "builtin_actions", "load_actions"]


class CannotLoad(Exception):
    """The import of the user's actions failed; the text is one sentence."""


def builtin_actions(backplane: RedisBackplane | None = None) -> Actions:
    """Those of a server without `--app`: with topics, and with a chat room."""
    actions = Actions(topics=Topics(backplane=backplane))
    add_chat(actions)
    return actions


def app_name(text: str) -> str:
    """`MODULE:ATTRIBUTE` if it is that. Raises `ValueError` with a sentence."""
    module, _, attribute = text.partition(":")
    if not module or not attribute:
        raise ValueError(f"{text!r}: write MODULE:ATTRIBUTE, such as myapp:actions")
    if module.endswith(".py") or "/" in module:
        meant = module.removesuffix(".py").strip("./").replace("/", ".")
        raise ValueError(f"{text!r} names a file: write its module, {meant}:{attribute}, where it can be imported")
    return text


def load_actions(name: str) -> Actions:
    """The registry that `--app MODULE:ATTRIBUTE` names. Raises `CannotLoad`."""
    module_name, _, attribute = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name.split(".")[0] and error.name != module_name:
            raise CannotLoad(f"--app {name}: importing {module_name} failed: {_brief(error)}") from error
        raise CannotLoad(f"--app {name}: there is no module {module_name!r} here or on the path") from error
    except (Exception, SystemExit) as error:
        raise CannotLoad(f"--app {name}: importing {module_name} failed: {_brief(error)}") from error
    found = getattr(module, attribute, None)
    if not isinstance(found, Actions):
        what = "has no" if found is None else "is no libserver.Actions:"
        raise CannotLoad(f"--app {name}: {module_name} {what} {attribute}; write {attribute} = Actions() there")
    return found


def _brief(error: BaseException) -> str:
    """An exception in one line, with the place it came from."""
    words = error_text(error)
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {words}"  # which say where
    places = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    # The last of the user's own, not one of a library that it called.
    own = [place for place in places if place[0].startswith(str(Path.cwd()))] or places
    place = f" ({Path(own[-1][0]).name}, line {own[-1][1]})" if own else ""
    return f"{type(error).__name__}: {words}{place}"
