"""Does an installation have what it needs, and nothing it does not?

The metadata is read and compared with the sources; where setuptools is installed a wheel is built
and looked into. Installing one is `.ci/run`'s.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
TYPED = ("multiconn", "protocol", "eventloop", "libserver", "libclient")


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def test_the_distribution_is_multiconn_for_3_11_on_and_needs_nothing(pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    assert project["name"] == "multiconn"
    assert project["requires-python"] == ">=3.11"
    assert project["dependencies"] == []


def test_the_commands_lead_to_functions(pyproject: dict[str, Any]) -> None:
    scripts = pyproject["project"]["scripts"]
    assert set(scripts) == {"app-server", "app-client"}
    for target in scripts.values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def local_packages(path: Path, package: str) -> set[str]:
    """The project's own packages that a file imports, at the top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
            names = [".".join(filter(None, (base if node.level else "", node.module or "")))]
            names += [f"{names[0]}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            for length in range(1, len(parts) + 1):
                if (ROOT.joinpath(*parts[:length]) / "__init__.py").exists():
                    found.add(".".join(parts[:length]))
    return found


def test_every_package_that_the_commands_can_reach_is_in_the_wheel(pyproject: dict[str, Any]) -> None:
    setuptools = pyproject["tool"]["setuptools"]
    listed = set(setuptools["packages"])
    reached: set[str] = set()
    for module in setuptools["py-modules"]:
        reached |= local_packages(ROOT / f"{module}.py", "")
    todo = listed | reached
    while todo:
        package = todo.pop()
        reached.add(package)
        directory = ROOT.joinpath(*package.split("."))
        for path in directory.glob("*.py"):
            todo |= local_packages(path, package) - reached
        # Commands are imported by name, so a subpackage counts without an import statement.
        todo |= {f"{package}.{d.parent.name}" for d in directory.glob("*/__init__.py")} - reached
    assert reached == listed


@pytest.mark.parametrize("package", TYPED)
def test_every_package_says_that_it_is_typed(package: str, pyproject: dict[str, Any]) -> None:
    assert (ROOT / package / "py.typed").is_file()
    assert "py.typed" in pyproject["tool"]["setuptools"]["package-data"][package]


def test_the_version_is_the_changelog_s(pyproject: dict[str, Any]) -> None:
    version = re.escape(pyproject["project"]["version"])
    assert re.search(rf"^## .*\b{version}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_license_and_readme_are_there(pyproject: dict[str, Any]) -> None:
    assert "MIT License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert (ROOT / pyproject["project"]["readme"]).is_file()


def test_a_wheel_holds_the_packages_their_marks_and_the_commands(pyproject: dict[str, Any], tmp_path: Path) -> None:
    if importlib.util.find_spec("setuptools") is None or _version("setuptools") < (77,):
        pytest.skip("setuptools 77 or newer is not installed; .ci/run builds the wheel")
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "app_server.py", "app_client.py"):
        shutil.copy(ROOT / name, tree / name)
    for package in sorted({name.partition(".")[0] for name in pyproject["tool"]["setuptools"]["packages"]}):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"
    subprocess.run([sys.executable, "-c", build], cwd=tree, check=True, capture_output=True, text=True)
    (wheel,) = (tree / "dist").glob("multiconn-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"{package}/py.typed" for package in TYPED} <= names
    assert {
        f"{package.replace('.', '/')}/__init__.py" for package in pyproject["tool"]["setuptools"]["packages"]
    } <= names
    assert {"app_server.py", "app_client.py"} <= names
    tops = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    packages = {name.partition(".")[0] for name in pyproject["tool"]["setuptools"]["packages"]}
    assert tops == packages | {"app_server.py", "app_client.py"}, "no name that could be anybody's"
    assert any(name.endswith("licenses/LICENSE") for name in names)


def _version(distribution: str) -> tuple[int, ...]:
    from importlib.metadata import version

    return tuple(int(part) for part in re.findall(r"\d+", version(distribution))[:2])


def test_every_file_that_is_no_module_and_is_needed_is_in_the_wheel(pyproject: dict[str, Any]) -> None:
    setuptools = pyproject["tool"]["setuptools"]
    patterns = setuptools["package-data"]
    for package in setuptools["packages"]:
        directory = ROOT.joinpath(*package.split("."))
        named = {path for pattern in patterns.get(package, ()) for path in directory.glob(pattern)}
        for parent, names in patterns.items():  # `page/*` of a package reaches into a directory that is none
            named |= {path for pattern in names for path in ROOT.joinpath(*parent.split(".")).glob(pattern)}
        files = {p for p in directory.rglob("*") if p.is_file() and p.suffix != ".py" and "__pycache__" not in p.parts}
        assert files <= named, files - named
