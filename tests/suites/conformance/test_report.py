"""Do the terminal, the JSON and the page say the same of a result, and is what a target sent shown as text?"""

from __future__ import annotations

import io
import json

import pytest

from suites.conformance.case import (
    CLIENT,
    FAILED,
    INFORMATIONAL,
    NON_STRICT,
    OK,
    TOPICS,
    UNIMPLEMENTED,
    Case,
    Result,
)
from suites.conformance.report import LINE, Progress, as_html, as_json, line, listing, summary

EVIL = '</dl><script>alert(1)</script> & "it"'


def a_case(id: str, **more: object) -> Case:
    fields = {"group": "server_framing", **more}
    return Case(id, f"title of {id}", "framing", "Frames", "a reply", lambda run: None, **fields)  # type: ignore[arg-type]


RESULTS = [
    Result(a_case("FR1"), OK, "a reply", "as expected", 0.1234, ["  0.00 s  connects"]),
    Result(a_case("FR2", star=True), FAILED, "a reply", EVIL, 1.5, [f"  0.10 s  got {EVIL}"]),
    Result(a_case("FR3"), NON_STRICT, "a reply", "one\nof two lines", 0.2, []),
    Result(a_case("TO1", part=TOPICS), UNIMPLEMENTED, "a reply", "the server has no topics", 0.0, []),
    Result(a_case("CR1", role=CLIENT, group="client_replies"), INFORMATIONAL, "a reply", "not shown", 0.0, []),
]


def test_a_line_says_what_was_expected_and_what_came_on_one_line_each() -> None:
    told = line(RESULTS[2]).splitlines()
    assert [part.split()[0] for part in told] == ["NON-STRICT", "expected", "came", "contract"]
    assert told[2].endswith("one of two lines")
    long = Result(a_case("FR4"), FAILED, "a reply", "#" * 1000, 0.0)
    assert line(long).count("#") == LINE


def test_only_what_is_not_ok_is_said_as_it_is_found() -> None:
    out = io.StringIO()
    progress = Progress(len(RESULTS), out)
    for result in RESULTS:
        progress(result)
    progress.end()
    assert [text.split()[1] for text in out.getvalue().splitlines() if text[0] != " "] == ["FR2", "FR3"]
    quiet = io.StringIO()
    Progress(1, quiet, quiet=True)(RESULTS[1])
    assert quiet.getvalue() == ""


def test_on_a_terminal_it_counts_on_one_line_that_is_written_over() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    progress = Progress(2, out)
    progress(RESULTS[0])
    progress(RESULTS[4])
    progress.end()
    assert "\r2/2: 1 OK, 1 INFORMATIONAL\x1b[K" in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[K")


def test_the_list_has_every_case_and_the_counts() -> None:
    *rows, empty, counts = listing([result.case for result in RESULTS]).splitlines()
    assert [row.split()[0] for row in rows] == ["FR1", "FR2", "FR3", "TO1", "CR1"]
    assert rows[1].endswith("★")
    assert rows[3].endswith("title of TO1 [topics]")
    assert empty == ""
    assert counts == "5 cases (4 in the server role, 1 in the client role), 1 mechanisms, 1 ★"


def test_the_json_has_every_field_of_every_result() -> None:
    found = json.loads(as_json(RESULTS, "server x", 1.26, complete=False))
    assert (found["target"], found["complete"], found["seconds"]) == ("server x", False, 1.3)
    assert found["counts"] == dict.fromkeys((OK, UNIMPLEMENTED, INFORMATIONAL, NON_STRICT, FAILED), 1)
    assert [row["part"] for row in found["cases"]] == [None, None, None, "topics", None]
    assert [row["id"] for row in found["cases"]] == ["FR1", "FR2", "FR3", "TO1", "CR1"]
    assert found["cases"][0]["seconds"] == 0.123
    assert found["cases"][1]["came"] == EVIL
    assert found["cases"][1]["seen"] == [f"  0.10 s  got {EVIL}"]
    assert summary(RESULTS, 1.26) == "5 cases in 1.3 s: 1 OK, 1 UNIMPLEMENTED, 1 INFORMATIONAL, 1 NON-STRICT, 1 FAILED"


@pytest.mark.parametrize("complete", [True, False])
def test_the_page_says_the_same_and_nothing_that_was_sent_is_markup(complete: bool) -> None:
    page = as_html(RESULTS, f"server {EVIL}", 1.26, complete)
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 4  # twice the target, what came, what was seen
    assert page.count("<details") == 5
    assert page.count(" open>") == 1, "what FAILED is open"
    assert "http" not in page
    assert ("Interrupted" in page) is not complete
    assert page.index("framing (server)") < page.index("replies (client)")
