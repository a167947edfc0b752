"""Are the C programs compiled when they are needed, once, and is what is missing told?"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks import compiling
from benchmarks.compiling import GENERATOR, CannotCompile, compiled


def test_without_a_compiler_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "compiler", lambda: None)
    with pytest.raises(CannotCompile, match="no C compiler"):
        compiled(GENERATOR)


def test_programs_are_compiled_once_and_outside_the_source_tree() -> None:
    if compiling.compiler() is None:
        pytest.skip("there is no C compiler")
    program = compiled(GENERATOR)
    made = program.stat().st_mtime_ns
    assert compiled(GENERATOR).stat().st_mtime_ns == made
    assert compiling.HERE.parent not in program.parents


def test_a_header_of_ours_that_is_edited_has_the_program_compiled_anew(tmp_path: Path) -> None:
    if compiling.compiler() is None:
        pytest.skip("there is no C compiler")
    (tmp_path / "program.c").write_text('#include <stdlib.h>\n#include "code.h"\nint main(void) { return CODE; }\n')
    codes = []
    for code in (3, 4):
        (tmp_path / "code.h").write_text(f"#define CODE {code}\n")
        codes.append(subprocess.run([compiled(tmp_path / "program.c")], check=False).returncode)
    assert codes == [3, 4]


def test_what_the_compiler_refuses_is_told(tmp_path: Path) -> None:
    if compiling.compiler() is None:
        pytest.skip("there is no C compiler")
    (tmp_path / "wrong.c").write_text("int main(void) { return nonsense; }\n")
    with pytest.raises(CannotCompile, match="nonsense"):
        compiled(tmp_path / "wrong.c")
