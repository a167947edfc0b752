"""Which parts of the docs, and which help, does a program write?

    python3 docs/generate.py            write them
    python3 docs/generate.py --check    exit code 1 if one is stale, which is named

* multiconn/commands/server_help.txt, what `app_server.py --help` prints, from the server's parser.
* docs/look-up/states.md, the whole page: from the state tables (`study.pages`).
* docs/look-up/api.md, the whole page: from signatures and docstrings (docs/reference.py).
* docs/look-up/modules.md, the whole page: the first line of each module (docs/reference.py).
* docs/decisions/README.md, the whole page: the list of the decisions beside it.
* docs/look-up/server.md and docs/look-up/client.md, what stands between the markers: the options, from the very
  parsers that read them.

Not `format_help()`: its layout differs between Python versions, and a page must not.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

#: Where the sources are, and where the pages go.
SOURCE = ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import reference  # noqa: E402

from multiconn.commands import stdio  # noqa: E402
from multiconn.commands.client import COMMANDS  # noqa: E402
from multiconn.commands.client_options import CommandParser  # noqa: E402
from multiconn.commands.server_options import build_parser as server_parser  # noqa: E402
from study.pages import states_page, table  # noqa: E402

__all__ = ["main", "pages"]

SERVER_USAGE = """\
app_server.py [HOST [PORT]] [options]
       app_server.py HOST:PORT [options]"""

MARKED = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end generated -->)", re.DOTALL)


def spelling(action: argparse.Action) -> str:
    """`-c N, --connections N` as a person types it; a positional in brackets if it may be missing."""
    value = action.metavar or (f"{{{','.join(action.choices)}}}" if action.choices else action.dest.upper())
    value = value if isinstance(value, str) else " ".join(value)
    if not action.option_strings:
        return {"?": f"[{value}]", "*": f"[{value} ...]"}.get(str(action.nargs), value)
    takes = "" if action.nargs == 0 else f" {value}"
    return ", ".join(action.option_strings) + takes


def options(parser: argparse.ArgumentParser) -> str:
    """The options of one command, a table per group, in the parser's order."""
    parts = []
    for group in parser._action_groups:
        shown = [
            (f"`{spelling(action)}`", (action.help or "") % {"prog": parser.prog, "default": action.default})
            for action in group._group_actions
            if action.help is not argparse.SUPPRESS and not isinstance(action, argparse._SubParsersAction)
        ]
        shown = [(option, text) for option, text in shown if not option.startswith("`-h")]
        if not shown:
            continue
        if group.title not in ("positional arguments", "options"):
            parts.append(f"**{str(group.title).capitalize()}**")
        parts.append(table(["option" if shown[0][0].startswith("`-") else "argument", "meaning (default)"], shown))
    return "\n\n".join(parts)


def help_text(parser: argparse.ArgumentParser, usage: str, width: int = 80, column: int = 24) -> str:
    """A help as argparse lays one out, the same under every version of Python."""

    def entry(action: argparse.Action) -> str:
        words = spelling(action).replace("[", "").replace("]", "")
        begin = f"  {words:<{column - 2}}" if len(words) <= column - 4 else f"  {words}\n{' ' * column}"
        text = textwrap.wrap((action.help or "") % {"prog": parser.prog, "default": action.default}, width - column)
        return begin + f"\n{' ' * column}".join(text)

    parts = [f"usage: {usage}", textwrap.fill(parser.description or "", width)]
    for group in parser._action_groups:
        entries = [entry(action) for action in group._group_actions if action.help is not argparse.SUPPRESS]
        if entries:
            parts.append("\n".join([f"{group.title}:", *entries]))
    return "\n\n".join([*parts, textwrap.fill(parser.epilog or "", width)]) + "\n"


def client_parsers() -> dict[str, argparse.ArgumentParser]:
    """A parser for each command of the client."""
    parsers: dict[str, argparse.ArgumentParser] = {}
    for name, (module, line) in COMMANDS.items():
        parsers[name] = CommandParser(f"app_client.py {name}", line)
        import_module(module, "multiconn.commands").add_arguments(parsers[name])
    return parsers


def client_options() -> str:
    """Every command of the client with its options; a group that several commands have in common comes once, last."""
    shared: dict[str, list[str]] = {}
    of_commands = {name: options(parser).split("\n\n**") for name, parser in client_parsers().items()}
    for name, groups in of_commands.items():
        for group in groups[1:]:
            shared.setdefault(f"**{group}", []).append(name)
    parts = []
    for name, (first, *more) in of_commands.items():
        own = [f"**{group}" for group in more if len(shared[f"**{group}"]) == 1]
        parts += [f"### {name}", f"{COMMANDS[name][1][0].upper()}{COMMANDS[name][1][1:]}.", first, *own]
    parts.append("### Options of several commands")
    for group, names in shared.items():
        if len(names) > 1:
            commands = ", ".join(f"`{name}`" for name in names)
            parts.append(group.replace("**\n", f"** ({commands})\n", 1))
    return "\n\n".join(parts)


DECISIONS = """\
# Decisions

<!-- Generated from the files beside it by docs/generate.py. -->

Each file is one decision: what was decided, its price, and what was refused and why. So it can be reopened when the
reasons no longer hold. A number stays with its decision; a new one takes the next number, says `Theme: ...` in its
third line, and is listed here by `python3 docs/generate.py`."""


def decisions(folder: Path) -> str:
    """The list of all decisions, by theme, in the order in which the themes first appear."""
    themes: dict[str, list[str]] = {}
    for path in sorted(folder.glob("[0-9]*.md")):
        title, _, theme = path.read_text(encoding="utf-8").splitlines()[:3]
        assert title.startswith(f"# {int(path.name[:4])}. "), f"{path.name}: its title has another number"
        entry = f"- [{title.removeprefix('# ')}]({path.name})"
        themes.setdefault(theme.removeprefix("Theme: "), []).append(entry)
    return "\n\n".join([DECISIONS, *(f"## {theme}\n\n" + "\n".join(of) for theme, of in themes.items())]) + "\n"


def pages() -> dict[Path, str]:
    """Every page that has something generated, as it should be."""
    look_up = ROOT / "docs" / "look-up"
    generated = {"server-options": options(server_parser()), "client-options": client_options()}
    wanted = {
        look_up / "states.md": states_page(),
        look_up / "api.md": reference.page(SOURCE),
        look_up / "modules.md": reference.modules_page(SOURCE),
        ROOT / "docs" / "decisions" / "README.md": decisions(ROOT / "docs" / "decisions"),
        ROOT / "multiconn" / "commands" / "server_help.txt": help_text(server_parser(), SERVER_USAGE),
    }
    for name in ("server.md", "client.md"):
        page = look_up / name
        text = page.read_text(encoding="utf-8")
        wanted[page] = MARKED.sub(lambda found: f"{found[1]}\n{generated[found[2]]}\n\n{found[3]}", text)
    return wanted


def bring_up_to_date(path: Path, text: str, *, check: bool) -> bool:
    """Write `text` to `path` unless it is there already; with `check` write nothing. True if it was there."""
    current = path.read_text(encoding="utf-8") if path.exists() else None
    if current != text and not check:
        path.write_text(text, encoding="utf-8")
    return current == text


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages, or check them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="docs/generate.py", description="Write what is generated in the docs.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is stale")
    arguments = parser.parse_args(argv)
    stale = [path for path, text in pages().items() if not bring_up_to_date(path, text, check=arguments.check)]
    for path in stale:
        said = "is stale: run python3 docs/generate.py" if arguments.check else "written"
        print(f"{path.relative_to(ROOT)} {said}", file=sys.stderr)
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(stdio.run("docs/generate.py", main))
