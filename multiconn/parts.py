"""How does Python find our packages where other modules have their names?

A reader of the tutorial has a `libclient.py` and a `libserver.py` too, and Python looks beside the
script first. If the names of our packages lead to our packages, the import is an ordinary one, and
`multiconn.Client is libclient.Client`. If one of them leads elsewhere, this module imports all of ours
as `multiconn.libclient`, `multiconn.libserver` and so on: the reader's modules keep their names, and
neither sees the other.

Not here: the public names (`multiconn`).
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

__all__ = ["part"]

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("protocol", "eventloop", "libserver", "libclient")
_PREFIX = __name__.partition(".")[0] + "."


def part(name: str) -> ModuleType:
    """Our package of that name, whatever else has it."""
    return importlib.import_module(name if _names_are_ours() else _PREFIX + name)


@cache
def _names_are_ours() -> bool:
    """Asked once: a package given out before must not come again as a second copy."""
    if all(_is_ours(name) for name in PARTS):
        return True
    sys.meta_path.insert(0, _Finder())  # before the finder of a package's modules by its path
    return False


def _is_ours(name: str) -> bool:
    try:
        spec = find_spec(name)
    except ValueError:  # a module put there by hand, without a spec
        return False
    if spec is None or spec.origin is None:
        return False
    return Path(spec.origin).resolve() == ROOT / name / "__init__.py"


class _Finder:
    """Finds `multiconn.libclient` where `libclient` is, and so on."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        words = name.split(".")
        if len(words) < 2 or words[0] + "." != _PREFIX or words[1] not in PARTS:
            return None
        spec = PathFinder.find_spec(name, [str(ROOT.joinpath(*words[1:-1]))])
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Runs a module whose absolute imports of our packages lead to ours, also those inside of functions."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
        super().exec_module(module)


def _import(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    """What an `import` statement calls."""
    if level or name.partition(".")[0] not in PARTS:
        return builtins.__import__(name, globals, locals, fromlist or (), level)
    if fromlist:
        return builtins.__import__(_PREFIX + name, globals, locals, fromlist, 0)
    importlib.import_module(_PREFIX + name)
    return sys.modules[_PREFIX + name.partition(".")[0]]
