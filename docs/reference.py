"""What may a program use of the eight classes that it meets, and what does each promise?

`page` is docs/look-up/api.md, made from signatures and docstrings alone; `modules_page` is
docs/look-up/modules.md, the question that each module opens with. The source is read, not
imported: so a page is the same under every version of Python.

Rules:

* The page has every public member of a class, unless `INTERNAL` lists it: called from inside the package, and
  free to change. A member that is in neither is an error, so a new one is decided about.
* A docstring is taken as it is. What is missing on the page is missing in the source.

Not here: the other generated pages (`docs/generate.py`).
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["CLASSES", "INTERNAL", "VALUES", "Undecided", "members", "modules_page", "page"]


class Undecided(Exception):
    """A class has a public member that is neither told nor internal; the text names it."""


class Shown(NamedTuple):
    """A class on the page: where it is defined, and which import a program writes."""

    name: str
    path: str
    package: str


CLASSES = (
    Shown("Server", "libserver/server.py", "multiconn"),
    Shown("Actions", "libserver/actions.py", "multiconn"),
    Shown("Topics", "libserver/topics.py", "multiconn"),
    Shown("Client", "libclient/client.py", "multiconn"),
    Shown("Subscription", "libclient/subscriptions.py", "multiconn"),
    Shown("Connection", "protocol/connection.py", "protocol"),
    Shown("EventLoop", "eventloop/loop.py", "eventloop"),
    Shown("Transport", "eventloop/transport.py", "eventloop"),
)

#: What is passed to those eight, returned, or raised: told in a sentence or two.
VALUES = (
    Shown("ServerLimits", "libserver/limits.py", "multiconn"),
    Shown("Limits", "protocol/limits.py", "multiconn"),
    Shown("Session", "libserver/session.py", "multiconn"),
    Shown("Receipt", "libserver/topics.py", "multiconn"),
    Shown("Reply", "protocol/content.py", "multiconn"),
    Shown("BinaryReply", "libserver/binary_reply.py", "multiconn"),
    Shown("ActionError", "libserver/action_error.py", "multiconn"),
    Shown("CannotListen", "libserver/listeners.py", "multiconn"),
    Shown("Answer", "libclient/client.py", "multiconn"),
    Shown("Published", "protocol/push.py", "multiconn"),
    Shown("Gap", "protocol/push.py", "multiconn"),
    Shown("ErrorReply", "libclient/errors.py", "multiconn"),
    Shown("ConnectionFailed", "libclient/errors.py", "multiconn"),
    Shown("Codec", "protocol/frames.py", "protocol"),
    Shown("StreamProtocol", "eventloop/transport.py", "eventloop"),
    Shown("WaterMarks", "eventloop/transport.py", "eventloop"),
)

#: Public in Python's sense alone: another module of the same package calls them.
INTERNAL = {
    "Server": {
        *("sent_foreign", "linger", "facts"),
        *("count_error", "forget", "isolate"),
    },
    "Topics": {
        *("attach", "detach", "on_behalf", "unsent", "subscribe", "unsubscribe", "send_on", "forget", "check", "may"),
        *("begin", "deliver_soon", "find", "is_wanted", "subscribe_later", "use"),
    },
    "Subscription": {"accepted", "ended", "event", "full", "half_empty", "lost", "refused", "request"},
    "Actions": {"find", "of", "refusal", "name_of"},
    "Connection": {"kept_alive"},
    "Transport": {"on_readable", "on_writable"},
}

_HEAD = """\
# API reference

<!-- Generated from docstrings by docs/generate.py. Edit the docstrings there, not this page. -->

Eight classes, and what is passed to them, returned or raised. Times are seconds (floats), sizes are bytes. What may be
called from another thread says so; all else belongs to the loop's thread. A program imports server and client from
`multiconn`; `protocol` and `eventloop` can be used without it, and without each other."""


def page(root: Path) -> str:
    """The whole page. Raises `Undecided`."""
    parts = [
        _HEAD,
        "\n".join(f"- [{c.name}](#{c.name.lower()})" for c in CLASSES) + "\n- [Values and errors](#values-and-errors)",
    ]
    for shown in CLASSES:
        found = _class(root, shown)
        parts += [f"## {shown.name}", _import(shown), _signature(shown.name, _init(found)), _text(found)]
        for member in members(found, shown.name):
            parts += [f"### {shown.name}.{member.name}", _heading(member), _text(member)]
    parts += ["## Values and errors"]
    for shown in VALUES:
        found = _class(root, shown)
        parts += [f"### {shown.name}", _import(shown), _text(found)]
        parts += [_fields(root, shown, found)]
    return "\n\n".join(part for part in parts if part) + "\n"


_MODULES = """\
# List of modules

<!-- Generated from the modules' first lines by docs/generate.py. -->

The question that each file answers. Its docstring goes on with its rules, and with what is *not* in it."""

#: The packages whose modules are listed; packages within them are not.
PACKAGES = (
    "protocol",
    "eventloop",
    "libserver",
    "libclient",
    "multiconn",
    "multiconn/commands",
    "study",
    "suites/simulation",
)


def modules_page(root: Path) -> str:
    """A table per package."""
    parts = [_MODULES]
    for package in PACKAGES:
        rows = []
        for path in sorted((root / package).glob("*.py")):
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            if text and path.name != "__main__.py":
                first = text.splitlines()[0].replace("|", "\\|")
                rows.append(f"| `{package}/{path.name}` | {first} |")
        parts.append("\n".join([f"## {package}", "", "| file | |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def members(found: ast.ClassDef, name: str) -> list[ast.FunctionDef]:
    """The public methods and properties of the page, in the order of the source. Raises `Undecided`."""
    told = []
    for child in found.body:
        if not isinstance(child, ast.FunctionDef) or child.name.startswith("_") or child.name in INTERNAL.get(name, ()):
            continue
        if ast.get_docstring(child) is None:
            raise Undecided(
                f"{name}.{child.name} has no docstring: write one, or call it internal in docs/reference.py"
            )
        told.append(child)
    return told


def _class(root: Path, shown: Shown) -> ast.ClassDef:
    tree = ast.parse((root / shown.path).read_text(encoding="utf-8"))
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == shown.name)


def _init(found: ast.ClassDef) -> ast.FunctionDef | None:
    return next((n for n in found.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)


def _import(shown: Shown) -> str:
    return f"`from {shown.package} import {shown.name}` (`{shown.path}`)"


def _heading(member: ast.FunctionDef) -> str:
    decorators = [ast.unparse(decorator) for decorator in member.decorator_list]
    if "property" in decorators:
        return f"*Property*, `{ast.unparse(member.returns) if member.returns else 'object'}`."
    return _signature(member.name, member)


def _signature(name: str, function: ast.FunctionDef | None) -> str:
    """In one line if that is short enough, else a parameter a line."""
    parameters = list(_parameters(function)) if function is not None else []
    returns = f" -> {ast.unparse(function.returns)}" if function is not None and function.returns else ""
    returns = "" if returns == " -> None" else returns
    line = f"{name}({', '.join(parameters)}){returns}"
    if len(line) > 100:
        line = f"{name}(\n" + "".join(f"    {parameter},\n" for parameter in parameters) + f"){returns}"
    return f"```text\n{line}\n```"


def _parameters(function: ast.FunctionDef) -> Iterator[str]:
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    for number, (argument, default) in enumerate(zip(plain, defaults, strict=True)):
        if number or argument.arg not in ("self", "cls"):
            yield _parameter(argument, default)
    if arguments.vararg is not None:
        yield "*" + _parameter(arguments.vararg, None)
    elif arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, default)
    if arguments.kwarg is not None:
        yield "**" + _parameter(arguments.kwarg, None)


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    text = argument.arg + (f": {ast.unparse(argument.annotation)}" if argument.annotation is not None else "")
    if default is None:
        return text
    return f"{text} = {ast.unparse(default)}" if argument.annotation is not None else f"{text}={ast.unparse(default)}"


def _text(node: ast.ClassDef | ast.FunctionDef) -> str:
    """The docstring, its lines joined to paragraphs; what is indented stays as it is."""
    text = inspect.cleandoc(ast.get_docstring(node, clean=False) or "")
    paragraphs = re.split(r"\n{2,}", text)
    return "\n\n".join(p if p.startswith((" ", "* ", "- ", "|")) else " ".join(p.split()) for p in paragraphs)


def _fields(root: Path, shown: Shown, found: ast.ClassDef) -> str:
    """Fields with defaults as a table: `name: type = default  #: meaning`. And methods of a protocol as a list."""
    lines = (root / shown.path).read_text(encoding="utf-8").splitlines()
    rows = []
    for child in found.body:
        if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name) and child.value is not None:
            meaning = lines[child.lineno - 1].partition("#: ")[2].replace("|", "\\|")
            rows.append(f"| `{child.target.id}` | `{ast.unparse(child.value)}` | {meaning} |")
    if rows:
        return "\n".join(["| field | default | meaning |", "|---|---|---|", *rows])
    if shown.name == "StreamProtocol":
        methods = [child for child in found.body if isinstance(child, ast.FunctionDef)]
        return "\n".join(
            f"- `{m.name}({', '.join(_parameters(m))})`" + (f": {_text(m)}" if ast.get_docstring(m) else "")
            for m in methods
        )
    return ""
