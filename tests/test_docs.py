"""Does what the docs say work as written?

Every command of the README and of `docs/` is taken from the page and run (ports and paths are
replaced by free ones), every Python example is run, every excerpt is compared with the source,
every link and every name of ours is looked up, and every generated part is generated again.

A Python example says in its first line what it is: `python` is run against a server;
`file=NAME` is a user's module; `with=MODULE` runs against a server with that module's actions, reads `Hello, Neo!`, and
prints that (or `prints=LINE|LINE`, with `_` for a space);
`from=PATH:NAME` is an excerpt of that function, in which `...` stands for lines left out.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from libserver import CloseReason
from protocol.content import text_codec
from protocol.errors import CODES, FatalError, UnsupportedEncoding
from protocol.frames import encode_header

ROOT = Path(__file__).resolve().parent.parent
LOOK_UP = ROOT / "docs" / "look-up"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md")),
    ROOT / "changelog.d" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
PACKAGES = ("multiconn", "protocol", "eventloop", "libserver", "libclient", "study")

TIMEOUT = 40.0  # seconds, for a command that should take one


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# --- reading pages -----------------------------------------------------------------------


class Fence(NamedTuple):
    """A block of code: the page it is on, what its first line says, its text."""

    page: str
    language: str
    options: dict[str, str]
    text: str

    def __str__(self) -> str:
        begin = self.options.get("from") or self.options.get("file") or self.text.strip().splitlines()[0][:40]
        return f"{self.page}: {begin}"


def fences(language: str) -> list[Fence]:
    found = []
    for page in PAGES:
        for info, text in re.findall(r"^```(\S[^\n]*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S):
            words = info.split()
            if words[0] == language:
                options = dict(word.split("=", 1) for word in words[1:])
                found.append(Fence(page_name(page), language, options, text))
    return found


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"^    .*$", "", text, flags=re.M)


def inline_code(page: Path) -> list[str]:
    return [code.replace("\\|", "|") for code in re.findall(r"`([^`\n]+)`", prose(page))]


class Shown(NamedTuple):
    """A command on a page, and the output that is shown with it."""

    page: str
    command: str
    output: str

    def __str__(self) -> str:
        return f"{self.page}: {self.command[:70]}"


def commands() -> list[Shown]:
    found = []
    for fence in fences("console"):
        if fence.page.startswith("docs/learn/"):  # tests/study/test_tour.py runs them
            continue
        for part in re.split(r"^\$ ", fence.text, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            found.append(Shown(fence.page, command, output))
    for page in PAGES:
        found += [Shown(page_name(page), code, "") for code in inline_code(page) if re.match(r"\S+ [^ ]", code)]
    return list(dict.fromkeys(command for command in found if is_command(command.command)))


#: What can't or need not be run here, with the reason.
NOT_RUN = {
    r"python3 (app|echo|multiconn)-client\.py ": "the tutorial's own program; the transcripts are in the tests",
    r"python3 -m venv": "what .ci/run does (tests/test_ci.py)",
    r"\.venv/bin/(ruff|mypy|coverage) ": "what .ci/run does (tests/test_ci.py)",
    r"\.venv/bin/python -m pytest ": "what .ci/run does (tests/test_ci.py)",
    r"(ss|netstat) -": "the system's own program",
    r"kill -USR1 PID": "see tests/libserver",
    r"python3 docs/generate\.py": "see below",
    r"python3? -m study": "see tests/study",
    r"python -m benchmarks --against": "see tests/benchmarks/test_revision.py",
    r"python -m benchmarks ablation": "see tests/benchmarks/test_ablation.py",
    r"python -m benchmarks batch": "see tests/benchmarks/test_batch.py",
    r"python -m benchmarks exposure": "see tests/benchmarks/test_soak.py",
    r"python -m benchmarks fanout": "see tests/benchmarks/fanout/test_command.py",
    r"python -m benchmarks generator": "see tests/benchmarks/test_generating.py",
    r"python -m benchmarks stall": "see tests/benchmarks/test_stall.py",
    r"python -m benchmarks startup": "see tests/benchmarks/test_startup.py",
    r"python -m benchmarks restart": "see tests/benchmarks/restart/test_run.py",
    r"python -m benchmarks growth": "see tests/benchmarks/test_growth.py",
    r"python -m tests\.study\.test_cost": "see tests/study/test_cost.py",
    r"python3 -m tests\.multiconn\.loadtest\.truth": "what .ci/run does",
    r"python3 -m tests\.multiconn\.loadtest\.regressions": "its parts are engine/test_interleaved.py",
    r"python3 talk\.py ": "the example on the page, which is run as such",
    r"python3 docs/learn/": "see tests/study/test_tour.py",
    r"python3? -m suites\.detection": "see tests/suites/detection",
    r"python3? -m suites\.faults": "see tests/suites/faults",
    r"python3? -m suites\.simulation": "see tests/suites/simulation",
    r"python3? -m suites\.model": "see tests/suites/model",
    r"python3? -m suites\.conformance": "see tests/suites/conformance",
}


def is_command(code: str) -> bool:
    return code.startswith(("python3 ", "python ", ".venv/", "ss ", "netstat ", "kill "))


#: Pages whose commands build on each other, and where they are run.
WALKED = {"docs/do/load-test.md": "tests/multiconn/loadtest/test_page_of_load_testing.py"}


def run_commands(program: str) -> list[Shown]:
    shown = [c for c in commands() if c.command.startswith(program) and not skipped(c.command)]
    return [c for c in shown if c.page not in WALKED]


def skipped(command: str) -> bool:
    return any(re.match(pattern, command) for pattern in NOT_RUN)


# --- a server to talk to --------------------------------------------------------------------


def have_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


IPV6 = have_ipv6()


class Running(NamedTuple):
    """A server in a process of its own, and what it said it listens on."""

    process: subprocess.Popen[str]
    listening: list[str]

    def port(self, scheme_and_host: str) -> str:
        return next(
            (line.rpartition(":")[2] for line in self.listening if line.startswith(f"{scheme_and_host}:")), "none"
        )


@contextmanager
def server(directory: Path, arguments: list[str], listeners: int) -> Iterator[Running]:
    """Run `app_server.py` in `directory` until the block ends; it must then drain and exit with 0."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "app_server.py"), *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said: list[str] = []
        while len(said) < listeners:
            line = process.stderr.readline()
            assert line, f"the server ended: {said}"
            if line.startswith("Listening on "):
                said.append(line.removeprefix("Listening on ").strip())
        yield Running(process, said)
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, rest
        assert "Traceback" not in rest
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server with each kind of listener; what must be replaced in a command to talk to it."""
    directory = tmp_path_factory.mktemp("server")
    arguments = ["127.0.0.1", "0", "--listen", "echo://127.0.0.1:0", "--listen", "echo+udp://127.0.0.1:0"]
    arguments += ["--listen", "tcp://[::1]:0"] if IPV6 else []
    arguments += ["--unix", str(directory / "app.sock")]
    with server(directory, arguments, 5 if IPV6 else 4) as running:
        yield {
            "[::1]:65432": f"[::1]:{running.port('tcp://[::1]')}",
            "65432": running.port("tcp://127.0.0.1"),
            "65433": running.port("echo://127.0.0.1"),
            "65434": running.port("echo+udp://127.0.0.1"),
            "/tmp/app.sock": str(directory / "app.sock"),
        }


def put(text: str, replacements: dict[str, str]) -> str:
    for there, here in replacements.items():
        text = text.replace(there, here)
    return text


def run(arguments: list[str], directory: Path, stdin: str = "") -> str:
    """Run Python with `arguments`; it must succeed. Returns its stdout."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def write_modules(page: str, directory: Path) -> None:
    """Save the page's `file=` examples where a reader would."""
    for fence in fences("python"):
        if fence.page == page and "file" in fence.options:
            (directory / fence.options["file"]).write_text(fence.text, encoding="utf-8")


# --- commands -------------------------------------------------------------------------------


def test_every_command_on_a_page_is_one_that_is_checked() -> None:
    for shown in commands():
        known = shown.command.startswith(("python3 app_server.py", "python3 app_client.py"))
        assert known or skipped(shown.command), f"{shown}: neither run here nor in NOT_RUN"


@pytest.mark.parametrize("shown", run_commands("python3 app_server.py"), ids=str)
def test_the_server_starts_as_written(shown: Shown, tmp_path: Path) -> None:
    if "[::" in shown.command and not IPV6:
        pytest.skip("this machine has no IPv6")
    write_modules(shown.page, tmp_path)
    arguments = shlex.split(put(shown.command, {"/tmp/app.sock": str(tmp_path / "app.sock")}))[2:]
    arguments = [re.sub(r"(?<![\d])6543\d$", "0", argument) for argument in arguments]
    added = arguments.count("--listen") + arguments.count("--unix")
    host = next(iter(arguments), "--").startswith("-") is False
    if not host and not added:  # it would take the default port, which may be in use here
        arguments = ["127.0.0.1", "0", *arguments]
    with server(tmp_path, arguments, added + host or 1) as running:
        announced = [f"Listening on {address}" for address in running.listening]
    expected = shown.output.splitlines()
    assert [re.sub(r"\d+$", "", line) for line in expected] == [
        re.sub(r"\d+$", "", line) for line in announced[: len(expected)]
    ]


@pytest.mark.parametrize("shown", run_commands("python3 app_client.py"), ids=str)
def test_the_client_does_as_written(shown: Shown, tmp_path: Path, everything: dict[str, str]) -> None:
    if "[::1]" in shown.command and not IPV6:
        pytest.skip("this machine has no IPv6")
    if len(shown.command.split()) == 3 and shown.command.split()[2] not in ("load", "shell"):
        pytest.skip("names a command, is none")
    arguments = shlex.split(put(shown.command, everything))[2:]
    if arguments == ["load"]:  # ten seconds are as good as half of one
        arguments += ["-n", "500"]
    output = run([str(ROOT / "app_client.py"), *arguments], tmp_path, stdin="hello\n")
    assert output.strip()
    if shown.output:
        assert output == shown.output


# --- Python -----------------------------------------------------------------------------------


def examples(kind: str | None) -> list[Fence]:
    return [f for f in fences("python") if (kind in f.options if kind else not f.options)]


@pytest.mark.parametrize("fence", examples(None), ids=str)
def test_the_example_runs(fence: Fence, tmp_path: Path, everything: dict[str, str]) -> None:
    (tmp_path / "example.py").write_text(put(fence.text, everything), encoding="utf-8")
    run(["example.py"], tmp_path)


@pytest.mark.parametrize("fence", examples("with"), ids=str)
def test_the_example_runs_against_the_actions_beside_it(fence: Fence, tmp_path: Path) -> None:
    write_modules(fence.page, tmp_path)
    (tmp_path / "example.py").write_text(fence.text, encoding="utf-8")
    arguments = ["127.0.0.1", "0", "--app", f"{fence.options['with']}:actions"]
    with server(tmp_path, arguments, 1) as running:
        text = put(fence.text, {"65432": running.port("tcp://127.0.0.1")})
        (tmp_path / "example.py").write_text(text, encoding="utf-8")
        said = run(["example.py"], tmp_path, stdin="Hello, Neo!\n")
        assert said.splitlines() == fence.options.get("prints", "Hello,_Neo!").replace("_", " ").split("|")


@pytest.mark.parametrize("fence", examples("file"), ids=str)
def test_the_module_is_a_registry_that_the_server_takes(fence: Fence, tmp_path: Path) -> None:
    write_modules(fence.page, tmp_path)
    with server(tmp_path, ["127.0.0.1", "0", "--app", f"{Path(fence.options['file']).stem}:actions"], 1):
        pass


# --- excerpts and names -------------------------------------------------------------------------


def definitions(path: Path) -> dict[str, str]:
    """Every class, function, method and attribute of a file, by qualified name, with its source."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()  # not ast.get_source_segment: it cuts a comment behind the last statement
    found: dict[str, str] = {}

    def visit(node: ast.AST, within: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.ClassDef, ast.FunctionDef)):
                found[within + child.name] = "\n".join(lines[child.lineno - 1 : child.end_lineno])
                visit(child, f"{within}{child.name}.")
            elif isinstance(child, (ast.Assign, ast.AnnAssign)):
                for target in child.targets if isinstance(child, ast.Assign) else [child.target]:
                    if isinstance(target, ast.Name):
                        found[within + target.id] = lines[child.lineno - 1]
                    elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                        found.setdefault(f"{within.rsplit('.', 2)[0]}.{target.attr}", "")  # self.X of a method
            elif not isinstance(child, ast.expr):
                visit(child, within)

    visit(ast.parse(text), "")
    return found


@pytest.fixture(scope="module")
def ours() -> dict[str, dict[str, str]]:
    """Every file of the packages, by path, with its definitions."""
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): definitions(path) for path in files}


@pytest.mark.parametrize("fence", examples("from"), ids=str)
def test_the_excerpt_is_what_the_source_says(fence: Fence, ours: dict[str, dict[str, str]]) -> None:
    path, _, name = fence.options["from"].partition(":")
    assert name in ours[path], f"{path} has no {name} any more"
    source = [line.strip() for line in ours[path][name].splitlines()]
    at = 0
    for block in re.split(r"^ *\.\.\.\n", fence.text, flags=re.M):
        lines = [line.strip() for line in block.splitlines()]
        found = [n for n in range(at, len(source)) if source[n : n + len(lines)] == lines]
        assert found, f"{fence.page}: mend the excerpt and the words around it: {path}, {name} has no more\n{block}"
        at = found[0] + len(lines)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_file_and_name_of_ours_on_a_page_exists(page: Path, ours: dict[str, dict[str, str]]) -> None:
    everywhere = {name for names in ours.values() for name in names}
    for code in inline_code(page):
        name = code.removesuffix("()")
        if re.fullmatch(r"[\w./-]+/|[\w.-]+/[\w./-]*\.(py|md)|app_\w+\.py", code):
            assert (ROOT / code).exists(), f"{page_name(page)}: there is no {code}"
        elif re.fullmatch(rf"({'|'.join(PACKAGES)})(\.\w+)+", name) and not name.endswith(".py"):
            assert _resolves(name, ours), f"{page_name(page)}: there is no {code}"
        elif re.fullmatch(r"[A-Z][a-zA-Z]+\.\w+", name):
            assert name in everywhere, f"{page_name(page)}: there is no {code}"


def _resolves(dotted: str, ours: dict[str, dict[str, str]]) -> bool:
    """`package.module.Name.attribute` or `package.module` or `package.Name`."""
    words = dotted.split(".")
    for cut in range(len(words), 0, -1):
        for path in ("/".join(words[:cut]) + ".py", "/".join(words[:cut]) + "/__init__.py"):
            if path in ours:
                return cut == len(words) or ".".join(words[cut:]) in ours[path]
    return False


# --- links ---------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    """The anchor that code hosts give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.M)}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\[[^\]]+\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page_name(page)}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{page_name(page)}: {target}"


def links_of(page: Path) -> set[Path]:
    """The files that a page links to."""
    found = re.findall(r"\]\(([^)#\s]+)", prose(page))
    return {(page.parent / link).resolve() for link in found if not link.startswith("https://")}


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    to_read = {ROOT / "README.md"}
    while to_read:
        page = to_read.pop()
        reached.add(page)
        to_read |= {link for link in links_of(page) if link.suffix == ".md"} - reached
    assert [page_name(page) for page in PAGES if page not in reached] == []


def test_no_example_of_a_reply_has_a_placeholder_that_reads_like_a_parameter(ours: dict[str, dict[str, str]]) -> None:
    """`Reply(result=..., more=...)` was taken for a parameter named `more`."""
    told = {page_name(page): page.read_text(encoding="utf-8") for page in PAGES}
    told |= {path: (ROOT / path).read_text(encoding="utf-8") for path in ours}
    assert [name for name, text in told.items() if re.search(r"\bReply\([^)\n]*=\.\.\.", text)] == []
    assert "Reply(result=1, count=2)" in told["protocol/content.py"]


def mentions() -> list[tuple[str, str]]:
    """Every `docs/...` in a text file of the project: the file, and what it names."""
    suffixes = {".py", ".md", ".txt", ".toml", ".lua", ".js", ".html", ".css", ".c", ".sh"}
    ours = [path for top in sorted(ROOT.iterdir()) if not top.name.startswith(".") for path in files_below(top)]
    found = []
    for path in [*(path for path in ours if path.suffix in suffixes), ROOT / ".ci" / "run"]:
        names = re.findall(r"(?<![\w./-])docs/[\w./-]*[\w/](?![\w\\])(?:#[\w-]+)?", path.read_text(encoding="utf-8"))
        found += [(path.relative_to(ROOT).as_posix(), name) for name in names]
    return sorted(set(found))


def files_below(top: Path) -> list[Path]:
    return [top] if top.is_file() else [path for path in top.rglob("*") if path.is_file()]


def test_every_path_below_docs_that_any_file_names_is_there() -> None:
    missing = []
    for file, name in mentions():
        path, _, anchor = name.partition("#")
        there = ROOT / path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            missing.append(f"{file} names {name}")
    assert missing == []


# --- generated parts, and tables beside the code ------------------------------------------------


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_generated_page_is_stale(generate: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_page_is_named_and_then_written(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    commands = Path("multiconn", "commands")
    (tmp_path / commands).mkdir(parents=True)
    (tmp_path / commands / "server_help.txt").write_text((ROOT / commands / "server_help.txt").read_text())
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    client = tmp_path / "docs" / "look-up" / "client.md"
    client.write_text(client.read_text(encoding="utf-8").replace("--connect-timeout TIME", "--hurry"), encoding="utf-8")
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err.splitlines() == ["docs/look-up/client.md is stale: run python3 docs/generate.py"]
    (tmp_path / "docs" / "look-up" / "states.md").unlink()
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err.startswith("docs/look-up/states.md is stale: ")
    assert not (tmp_path / "docs" / "look-up" / "states.md").exists()
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


# --- the API reference, the decisions, the measurements ------------------------------------------


def test_a_member_that_is_neither_told_nor_internal_is_an_error(generate: ModuleType) -> None:
    reference = generate.reference
    source = "class Server:\n    def run(self): ...\n    def _own(self): ...\n    def linger(self): ...\n"
    (found,) = ast.parse(source).body
    with pytest.raises(reference.Undecided, match=r"Server\.run has no docstring"):
        reference.members(found, "Server")


def test_what_the_reference_calls_internal_is_there(generate: ModuleType) -> None:
    for shown in generate.reference.CLASSES:
        names = definitions(ROOT / shown.path)
        for member in generate.reference.INTERNAL.get(shown.name, ()):
            assert f"{shown.name}.{member}" in names


def test_a_program_can_import_what_the_reference_shows_from_where_it_says(generate: ModuleType) -> None:
    for shown in (*generate.reference.CLASSES, *generate.reference.VALUES):
        assert getattr(importlib.import_module(shown.package), shown.name).__name__ == shown.name


def test_decisions_are_numbered_without_a_gap() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    assert all(re.fullmatch(r"\d{4}(-[a-z0-9]+)+\.md", name) for name in names)


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "measurements").glob("*.txt")), ids=page_name)
def test_a_table_of_figures_begins_with_its_commit_and_date(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert re.match(r"Commit [0-9a-f]{7,}\+?, \d{4}-\d\d-\d\d\. ", first), first


def test_every_option_of_the_server_and_the_client_is_on_its_page(generate: ModuleType) -> None:
    parsers = {"server.md": [generate.server_parser()], "client.md": list(generate.client_parsers().values())}
    for name, of_page in parsers.items():
        text = (LOOK_UP / name).read_text(encoding="utf-8")
        for parser in of_page:
            for flag in (flag for action in parser._actions for flag in action.option_strings):
                assert flag in ("-h", "--help") or flag in text, f"{name} lacks {flag}"


def test_the_table_of_errors_names_each_code_with_what_happens_next() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| .* \| (close|goes on) \|$", prose(LOOK_UP / "wire.md"), re.M)
    assert dict(rows) == {
        code: "close" if issubclass(error, FatalError) else "goes on" for code, error in CODES.items()
    }


def test_the_table_of_reasons_names_each_reason() -> None:
    section = (LOOK_UP / "server.md").read_text(encoding="utf-8").partition("| reason | |")[2]
    rows = re.findall(r"^\| (`[^|]*`) \|", section.partition("\n\n")[0], re.M)
    assert sorted(word for row in rows for word in re.findall(r"`([^`]+)`", row)) == sorted(
        r.value for r in CloseReason
    )


def test_the_encodings_said_to_be_refused_are_refused() -> None:
    said = re.search(r"all those Python has, except (.*?)\.", prose(LOOK_UP / "wire.md"), re.S)
    assert said is not None
    names = re.findall(r"`([^`]+)`", said[1])
    assert len(names) == 7
    for name in [*names, "zlib_codec", "rot13"]:
        with pytest.raises(UnsupportedEncoding):
            text_codec(name)


def test_the_followed_request_is_as_long_as_the_page_says() -> None:
    header = encode_header("text/json", "utf-8", 41, connection="keep-alive").replace(b'"big"', b'"little"')
    text = (ROOT / "docs" / "understand" / "request.md").read_text(encoding="utf-8")
    assert f"{len(header[2:]):04x}" == "0083"
    assert "`00 83` is 131" in text
    assert f"this, {len(header) + 41} bytes" in text
