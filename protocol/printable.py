"""How is text that came from elsewhere shown, so that it can't act on whoever reads it?

A peer's content type, a server's error code, an exception's words, a line of a trace: raw, a line
break forges a line of the log, ESC draws on the terminal, U+0085 and U+2028 end a line for some
readers, and a bidirectional control turns what follows around (CVE-2021-42574). Here each becomes
an escape that can be seen.

Rules:

* Whatever is no printable character (`str.isprintable`: controls, format characters, separators but
  for the space, surrogates, private and unassigned) is shown as Python writes it in a literal.
* In JSON such a character is written as JSON's own escape, so that the value stays exactly what it was.

Not here: who shows what. Every command and every log uses these two.
Source: https://trojansource.codes, and CWE-117 and CWE-150, which this is the answer to.
"""

from __future__ import annotations

import json

__all__ = ["printable", "printable_json"]

#: Stands at the end of what was cut.
CUT = "..."


def printable(text: str, most: int | None = None, *, keep: str = "") -> str:
    """`text` on one line, without a character that a terminal, a log or an editor would act on.

    `most`: at most so many characters, the last of them `...` if there were more. `keep`: characters
    that are left as they are, such as the line breaks of an answer.
    """
    cut = most is not None and len(text) > most
    if cut:
        text = text[:most]  # an escape is longer than what it stands for: no more than this is needed
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)
    if most is not None and (cut or len(text) > most):
        text = text[: max(0, most - len(CUT))] + CUT
    return text


def printable_json(value: object, indent: int | None = None) -> str:
    """`value` as JSON, on one line unless it is indented: readable, and exact. Raises as `json.dumps`."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if text.isprintable():
        return text
    # Outside its strings JSON has only printable characters and the line breaks of an indented one, and
    # inside them no line break: so whatever else is found stands in a string.
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode()
