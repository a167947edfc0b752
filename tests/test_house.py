"""Is the house built as its plan says?

Read from the syntax trees alone: nothing is imported here, so a module that breaks the plan can't
do it in passing. The plan is docs/understand/architecture.md's.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PACKAGES = ("multiconn", "protocol", "eventloop", "libserver", "libclient", "study", "benchmarks", "suites", "tests")
COMMANDS = ("app_server.py", "app_client.py")
#: Of the commands, what a program beside the house takes for its own streams.
STREAMS = "multiconn.commands.stdio"
#: What a person starts: thin, and the only way from a part into its commands.
ENTRIES = {
    "app_server.py": {"multiconn.commands.server", "multiconn.commands.server_help", STREAMS},
    "app_client.py": {"multiconn.commands.client", STREAMS},
    "study/__main__.py": {"multiconn.commands.study", STREAMS},
}
OURS = {*PACKAGES, *(Path(name).stem for name in COMMANDS)}

#: The load tester's rooms, each with those it may import: lower ones, and itself. What they all share is beside them.
_BASE = {"protocol", "eventloop", "libclient"}
_MEASURE = {"multiconn.loadtest.measure"}
_JUDGE = {*_MEASURE, "multiconn.loadtest.judge", "multiconn.loadtest.quantity"}
_SHARED = {*_JUDGE, *(f"multiconn.loadtest.{name}" for name in ("config", "outcome", "profile", "sink"))}
LOAD_TEST = {
    "multiconn/loadtest": _BASE | _SHARED,
    "multiconn/loadtest/measure": {"protocol", "eventloop", *_MEASURE},
    "multiconn/loadtest/judge": _BASE | _JUDGE,
    "multiconn/loadtest/engine": _BASE | _SHARED | {"multiconn.loadtest.engine"},
    "multiconn/loadtest/process": _BASE | _SHARED | {"multiconn.loadtest.engine", "multiconn.loadtest.process"},
    "multiconn/loadtest/output": {"protocol", *_SHARED, "multiconn.loadtest.output"},
}
#: What each part may import of ours; of others only the standard library. A room has a rule of its own.
MAY_IMPORT = {
    "protocol": {"protocol"},
    "eventloop": {"eventloop"},
    "libserver": {"protocol", "eventloop", "libserver"},
    "libclient": {"protocol", "eventloop", "libclient"},
    "study": {"protocol", "study"},
    "multiconn": {"protocol", "libserver", "libclient", "multiconn.parts"},
    "multiconn/commands": {
        "protocol",
        "eventloop",
        "libserver",
        "libclient",
        "study",
        "multiconn.commands",
        "multiconn.loadtest",
    },
    **LOAD_TEST,
}
#: The same of each suite. What others run needs nothing of our tests; what only we do may share their server and clock.
SUITES = {
    "suites/conformance": {"suites.conformance", STREAMS},
    "suites/detection": {
        "suites.detection",
        "suites.conformance",
        "protocol",
        "eventloop",
        "libserver",
        "multiconn.commands",
    },
    "suites/faults": {
        *("suites.faults", "protocol", "eventloop", "libserver", "libclient", STREAMS),
        *("tests.support", "tests.fakes"),
    },
    "suites/model": {
        *("suites.model", "protocol", "eventloop", "libserver", STREAMS),
        *("tests.support", "tests.fakes"),
    },
    "suites/simulation": {
        *("suites.simulation", "suites.conformance", "protocol", "eventloop", "libserver", "libclient", STREAMS),
    },
}
#: What a part may not import although the standard library has it.
MAY_NOT_IMPORT = {
    "protocol": {"socket", "selectors", "select", "ssl", "time", "logging", "threading", "asyncio", "datetime"},
    "eventloop": {"json", "struct", "logging", "asyncio"},
    "libserver": {"asyncio", "concurrent", "argparse"},
    "libclient": {"asyncio", "concurrent", "argparse"},
    "study": {"argparse"},
    "multiconn": {"asyncio", "concurrent"},
    "multiconn/loadtest": {"asyncio", "concurrent", "argparse"},
}


def sources(part: str) -> list[Path]:
    return sorted(path for path in (ROOT / part).rglob("*.py") if "__pycache__" not in path.parts)


def own_sources(part: str) -> list[Path]:
    """Without those of rooms that have a rule of their own, and without entries."""
    rooms = [ROOT / room for room in (*MAY_IMPORT, *ENTRIES) if room.startswith(f"{part}/")]
    return [path for path in sources(part) if not any(path.is_relative_to(room) for room in rooms)]


def everything() -> list[Path]:
    return [ROOT / name for name in COMMANDS] + [path for part in PACKAGES for path in sources(part)]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path, nodes: Iterator[ast.AST] | None = None) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything a module imports, inside functions too."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in nodes if nodes is not None else ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("importlib.import_module", "__import__")
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.lineno, str(node.args[0].value)


def at_module_level(path: Path, types: bool = False) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported; with `types` also what only a type checker reads."""
    todo: list[ast.AST] = [tree(path)]
    while todo:
        node = todo.pop()
        yield node
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test) and not types:
                todo += child.orelse
                continue
            todo.append(child)


def top(dotted: str) -> str:
    return dotted.partition(".")[0]


def is_standard(dotted: str) -> bool:
    return top(dotted) in sys.stdlib_module_names


def is_in(dotted: str, parts: set[str]) -> bool:
    """Is it one of these parts, or of something in one?"""
    return any(f"{dotted}.".startswith(f"{part}.") for part in parts)


# --- who may import whom -------------------------------------------------------------------------


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_part_imports_of_ours_only_what_the_plan_allows(part: str) -> None:
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in own_sources(part)
        for line, module in imported(path)
        if top(module) in OURS and not is_in(module, MAY_IMPORT[part])
    ]
    assert wrong == []


@pytest.mark.parametrize("part", ["protocol", "eventloop"])
def test_meaning_and_movement_stand_on_the_standard_library_alone(part: str) -> None:
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in sources(part)
        for line, module in imported(path)
        if not is_standard(module) and top(module) != part
    ]
    assert wrong == []
    assert sources(part)


@pytest.mark.parametrize("part", MAY_NOT_IMPORT)
def test_a_part_does_not_know_what_is_not_its_business(part: str) -> None:
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in own_sources(part)
        for line, module in imported(path)
        if top(module) in MAY_NOT_IMPORT[part]
    ]
    assert wrong == []


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_a_person_starts_is_thin_and_leads_to_its_command(entry: str) -> None:
    path = ROOT / entry
    ours = {module for _, module in imported(path) if not is_standard(module)}
    assert ours <= ENTRIES[entry]
    assert len(path.read_text().splitlines()) < 50


def test_outside_the_tests_nothing_optional_is_imported_when_a_module_is() -> None:
    """Both commands run from a bare clone; an optional package is imported where it is used."""
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in everything()
        if path.relative_to(ROOT).parts[0] != "tests" and "peers" not in path.parts
        if name(path) not in ("suites/model/machine.py", "suites/model/messages.py")  # hypothesis is what plays them
        for line, module in imported(path, at_module_level(path))
        if not is_standard(module) and top(module) not in OURS
    ]
    assert wrong == []


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_imports_itself_what_it_judges_and_no_test_module(suite: str) -> None:
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in sources(suite)
        for line, module in imported(path)
        if top(module) in OURS and not is_in(module, SUITES[suite])
    ]
    assert wrong == []


def test_every_suite_has_its_imports_named_and_can_be_run() -> None:
    assert {name(path.parent) for path in (ROOT / "suites").glob("*/__main__.py")} == set(SUITES)
    assert {name(path.parent) for path in (ROOT / "suites").glob("*/__init__.py")} == set(SUITES)


def test_what_tests_send_and_play_is_not_made_by_what_they_test() -> None:
    """A bug in the product's framing must not hide itself by being on both sides."""
    support = ROOT / "tests" / "support"
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in (support / "wire.py", support / "peer.py", support / "scripted.py")
        for line, module in imported(path)
        if top(module) in OURS and not module.startswith(("suites.conformance.wire.", "tests.support."))
    ]
    assert wrong == []


def test_nobody_but_its_neighbours_and_tests_reaches_into_the_benchmarks_suites_or_tests() -> None:
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for part in MAY_IMPORT
        for path in sources(part)
        for line, module in imported(path)
        if top(module) in ("benchmarks", "suites", "tests")
    ]
    assert wrong == []


@pytest.mark.parametrize("part", [*MAY_IMPORT, *SUITES, "benchmarks"])
def test_modules_of_a_part_import_each_other_in_no_circle(part: str) -> None:
    """Inside of functions and for a type checker, too. (A package's front gathers its modules.)"""
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sources(part)}
    needs = {
        module: {other for _, wanted in imported(path) if (other := known(wanted, modules)) and other != module}
        for module, path in modules.items()
        if not module.endswith(".__init__")
    }
    assert circle(needs) == []


def circle(needs: dict[str, set[str]]) -> list[str]:
    """What can't be put in an order in which each stands behind all that it needs."""
    left = dict(needs)
    while free := [module for module, wanted in left.items() if not wanted & set(left)]:
        for module in free:
            del left[module]
    return sorted(left)


def test_a_circle_is_found_also_one_of_two_rooms() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]
    rooms = {
        part: {other for other in LOAD_TEST if other != part and is_in(other.replace("/", "."), LOAD_TEST[part])}
        for part in LOAD_TEST
        if part != "multiconn/loadtest"
    }
    assert circle(rooms) == []


def known(wanted: str, modules: dict[str, Path]) -> str | None:
    """The module that `wanted`, a module or something of one, is in."""
    for candidate in (wanted, wanted.rpartition(".")[0]):
        if candidate in modules:
            return candidate
    return None


# --- how a file is written ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", everything(), ids=name)
def test_a_file_opens_with_a_docstring_and_holds_nothing_async(path: Path) -> None:
    if path.read_text().strip() or path.name != "__init__.py":
        docstring = ast.get_docstring(tree(path))
        assert docstring, "it does not say what question it answers"
    if "peers" not in path.parts and path.relative_to(ROOT).parts[0] != "tests":
        asynchronous = [n.lineno for n in ast.walk(tree(path)) if isinstance(n, (ast.AsyncFunctionDef, ast.Await))]
        assert asynchronous == []


def test_nothing_beside_a_script_of_ours_hides_a_module_of_the_standard_library() -> None:
    """Python looks for modules in a script's own directory first."""
    script = ROOT / "multiconn" / "loadtest" / "process" / "child_main.py"
    assert script.exists()
    assert {path.stem for path in script.parent.iterdir()} & sys.stdlib_module_names == set()


def test_no_file_is_named_after_nothing() -> None:
    assert not [name(path) for path in everything() if path.stem in ("util", "utils", "helpers", "misc", "common")]


def test_the_libraries_do_not_print_and_do_not_know_who_started_them() -> None:
    """What is said is for the commands to say, and to read; the libraries return, raise or log."""
    programs = {"multiconn/loadtest/process/child_main.py"}  # which is started, and told by its arguments what to run
    talking = {"print", "input", "sys.argv", "sys.stdin", "sys.stdout", "sys.stderr", "sys.exit"}
    wrong = [
        f"{name(path)}:{node.lineno} {ast.unparse(node)}"
        for part in MAY_IMPORT
        if part != "multiconn/commands"
        for path in own_sources(part)
        if name(path) not in programs
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Call) and ast.unparse(node.func) in talking)
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in talking)
    ]
    assert wrong == []


def test_one_function_assigns_a_state() -> None:
    """`protocol.states._enter`, so that no state changes but by a row that the observer hears of."""
    assigning = [
        (name(path), function.name)
        for part in MAY_IMPORT
        for path in sources(part)
        for function in ast.walk(tree(path))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr == "state" and isinstance(node.ctx, ast.Store)
    ]
    assert assigning == [("protocol/states.py", "_enter")]


#: What a module of the client or the load tester may assign that is not its own object's.
ASSIGNED_FROM_OUTSIDE = {
    ("child_main", "sys.argv"): "the arguments of the script that is run",
    ("connect", "failure.__cause__"): "as `raise from` does",
    ("connect", "failure.maybe_carried_out"): "an error that was made a line before",
    ("message", "self.shared.bytes_sent"): "a count of all messages together, a call per send dearer",
    ("message", "self.shared.bytes_received"): "the same",
    ("pool", "message.tag.answered"): "`tag` is the owner's to use",
    ("pool", "call.lost_at"): "a call is what a pool's owner and the pool pass to and fro",
    ("pool", "call.value"): "the same",
    ("pool", "call.header"): "the same",
    ("pool", "call.error"): "the same",
    ("pool", "call.done"): "the same",
}


def test_no_object_of_the_client_or_the_load_tester_assigns_another_one_s_attributes() -> None:
    """They are wired in their constructors, and each changes itself alone."""
    found = [
        (path, node)
        for part in ("libclient", "multiconn/loadtest")
        for path in sources(part)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) != "self"
    ]
    excused = ASSIGNED_FROM_OUTSIDE.keys()
    assert [
        f"{name(path)}:{n.lineno} {ast.unparse(n)}" for path, n in found if (path.stem, ast.unparse(n)) not in excused
    ] == []
    assert excused == {(path.stem, ast.unparse(node)) for path, node in found}, "what these excuse is not done"


def test_the_reader_of_imports_sees_every_kind_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "libserver" / "deep").mkdir(parents=True)
    path = tmp_path / "libserver" / "deep" / "module.py"
    path.write_text(
        "import json.decoder, redis\nfrom . import a\nfrom ..b import c\nfrom protocol.states import OPEN\n"
        "if TYPE_CHECKING:\n    import types_only\n"
        "def f():\n    import late\n    importlib.import_module('by_name')\n"
    )
    assert [module for _, module in sorted(imported(path))] == [
        "json.decoder",
        "redis",
        "libserver.deep.a",
        "libserver.b.c",
        "protocol.states.OPEN",
        "types_only",
        "late",
        "by_name",
    ]
    level = {top(module) for _, module in imported(path, at_module_level(path))}
    assert level == {"json", "redis", "libserver", "protocol"}


def test_every_module_is_mirrored_by_a_test_of_its_own() -> None:
    missing = [
        name(path)
        for part in ("protocol", "eventloop", "libserver", "multiconn")
        for path in sources(part)
        if path.stem not in ("__init__", "__main__", "reasons", "replies")
        and not list((ROOT / "tests" / path.parent.relative_to(ROOT)).glob(f"test_{path.stem}*.py"))
    ]
    assert missing == []


#: Parts in which tests stand at the place of what they test, under its name: tests/<package>/test_<module>.py.
MIRRORED = ("study", "benchmarks", "multiconn/commands", "suites")
#: Modules without tests of their name, by pattern, and why.
NO_TESTS_OF_THEIR_NAME = {
    "*/__init__.py": "a front, tested by the first import",
    "study/__main__.py": "thin: its command has the tests",
    "benchmarks/__main__.py": "thin: its command has the tests",
    "benchmarks/peers/*_server.py": "a program; tests/benchmarks/test_peers.py starts it and asks",
    "benchmarks/fanout/peers/*_server.py": "a program; tests/benchmarks/fanout/test_servers.py has it deliver",
    "benchmarks/peers/asyncio_*.py": "a program; tests/benchmarks/test_peers.py starts it and asks",
    "benchmarks/peers/ceiling.py": "a program; tests/benchmarks/test_peers.py starts it and asks",
    "suites/conformance/server_*.py": "cases; our server passes them, and suites/detection fails them",
    "suites/conformance/client_[!t]*.py": "cases; our client passes them, and a careless one fails them",
    "suites/detection/flow.py": "mistakes; each is made and found by tests/suites/detection/test_detect.py",
    "suites/detection/framing.py": "mistakes; each is made and found by tests/suites/detection/test_detect.py",
    "suites/detection/replies.py": "mistakes; each is made and found by tests/suites/detection/test_detect.py",
    "suites/detection/topics.py": "mistakes; each is made and found by tests/suites/detection/test_detect.py",
}


def test_tests_stand_where_what_they_test_stands_and_are_named_after_it() -> None:
    untested = [
        name(path)
        for part in MIRRORED
        for path in sources(part)
        if not (ROOT / "tests" / path.relative_to(ROOT).parent / f"test_{path.stem.strip('_')}.py").exists()
    ]
    excused = {module for module in untested for pattern in NO_TESTS_OF_THEIR_NAME if fnmatch(module, pattern)}
    assert [module for module in untested if module not in excused] == []
    idle = [pattern for pattern in NO_TESTS_OF_THEIR_NAME if not any(fnmatch(module, pattern) for module in untested)]
    assert idle == [], "what these excuse has its tests"


# --- words ------------------------------------------------------------------------------------------------

#: Names that were the project's own where the field has a word, with that word (docs/look-up/glossary.md).
OLD_WORDS = {
    "Arrivals": "ReceiveTimeouts",
    "Beside": "BackgroundPeers",
    "Deadlines": "TimerWheel",
    "Fifo": "TimeoutQueue",
    "Neighbour": "ServerCpuMonitor",
    "Owed": "PendingReply",
    "Pending": "ActiveState",
    "Place": "Slot",
    "Places": "Slots",
    "Replies": "ReplyQueue",
    "Spinning": "BusyPoller",
    "_because": "_set_close_reason",
    "answer_batch": "Dispatcher.serve",
    "answer_each": "Dispatcher.serve_each",
    "blame": "classify_error",
    "can_batch": "Connection.clear",
    "content_received": "buffer_updated",
    "content_space": "get_buffer",
    "fifo": "timeout_queue",
    "finish_begun": "start_drain",
    "gates": "thresholds",
    "guarded": "child_main",
    "holders": "port_owner",
    "lately": "coarse_now",
    "neighbour": "ServerCpuMonitor",
    "slip": "send_delay",
    "stepping": "step",
    "story": "explain",
    "study.pairs": "match_ends",
    "study.parts": "frame_parts",
    "taps": "tracing_io",
}


def names_defined(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of everything that a module defines, assigns or takes as an argument; its own name, too, alone
    and behind its package's."""
    yield 1, path.stem
    yield 1, f"{path.parent.name}.{path.stem}"
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def test_no_part_of_the_product_goes_back_to_an_old_word() -> None:
    wrong = [
        f"{name(path)}:{line} defines {word}: say {OLD_WORDS[word]}"
        for part in MAY_IMPORT
        for path in sources(part)
        for line, word in names_defined(path)
        if word in OLD_WORDS
    ]
    assert wrong == []


def test_the_glossary_tells_every_word_that_took_the_place_of_an_old_one() -> None:
    glossary = (ROOT / "docs" / "look-up" / "glossary.md").read_text(encoding="utf-8")
    assert [word for word in OLD_WORDS.values() if f"`{word}`" not in glossary] == []
