"""How is it told what a world that fails needs?

In a few lines: what the server allowed, what happened when, what went wrong by chance, and what was seen last. Then
the plan as Python, to be kept as a test.

Not here: how it became so small (`shrink`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from .plan import Plan
from .shrink import PLAIN, Shrunk
from .world import World

__all__ = ["source", "story"]

#: Lines of the trace that are shown, up to the violation.
SHOWN = 12


def story(seed: int, first: Plan, shrunk: Shrunk) -> Iterator[str]:
    """What the plan of `seed`, which was `first`, still needs to fail."""
    world, plan = shrunk.world, shrunk.plan
    if world is None:
        yield f"seed {seed} does not fail: there is nothing to shrink"
        return
    name, words = world.violations[0]
    yield f"seed {seed} FAILED  {name}: {words}"
    more = "" if shrunk.whole else ", and might become smaller: the bound on runs or time was met"
    yield f"shrunk in {shrunk.runs} runs{more}"
    yield f"  from {_size(first)}"
    yield f"  to   {_size(plan)}:"
    yield ""
    yield from (f"  {when:>10}  {what}" for when, what in _events(plan, world))
    yield ""
    yield from last_lines(world)
    yield ""
    yield "as a test:"
    yield from (f"  {line}" for line in source(plan))


def _size(plan: Plan) -> str:
    peers = sum(getattr(happening, "count", 0) for happening in plan.happenings)
    others = sum(not hasattr(happening, "count") for happening in plan.happenings)
    counts = {"peer": peers, "client": len(plan.clients), "other happening": others, "kind of fault": len(plan.rates)}
    words = [f"{count} {_plural(word) if count != 1 else word}" for word, count in counts.items()]
    return f"{', '.join(words)}, {plan.length:.3g} s"


def _plural(word: str) -> str:
    head, _, tail = word.partition(" of ")
    return f"{head}s of {tail}s" if tail else f"{word}s"


def _events(plan: Plan, world: World) -> Iterator[tuple[str, str]]:
    for number, (name, value) in enumerate(_set(plan)):
        yield "server" if not number else "", f"{name} = {value}"
    for name, kind in plan.clients:
        yield name, f"{(kind.__doc__ or '').strip().partition(chr(10))[0]}"
    happened = {kind: count for kind, count in sorted(world.report.faults.items()) if kind in plan.rates}
    for kind, count in happened.items():
        yield "by chance", f"{kind}: {'once' if count == 1 else f'{count} times'}"
    for happening in plan.timeline():
        yield f"{happening.at:.3f} s", str(happening)


def _set(plan: Plan) -> Iterator[tuple[str, object]]:
    """What is not as it is by itself."""
    yield from plan.limits.items()
    for name in ("rooms", "delay", "descriptors", "max_header", "max_content", "max_json", "topics", "observed"):
        if getattr(plan, name) != getattr(PLAIN, name):
            yield name, getattr(plan, name)


def last_lines(world: World) -> Iterator[str]:
    """The trace up to the violation."""
    lines = list(world.trace.lines())
    at = next(n for n, line in enumerate(lines) if "VIOLATED" in line)
    yield from lines[max(0, at - SHOWN) : at + 1]


# --- as Python ---------------------------------------------------------------------------------------


def source(plan: Plan) -> Iterator[str]:
    """The plan as one would write it, field by field where it differs from one that nobody drew."""
    yield "Plan("
    for field in fields(plan):
        value = getattr(plan, field.name)
        if value != getattr(PLAIN, field.name):
            yield f"    {field.name}={_written(value)},"
    yield ")"


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        parts = [_written(part) for part in value]
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_written(part)}" for key, part in value.items()) + "}"
    if hasattr(value, "__dataclass_fields__"):
        arguments = ", ".join(f"{field.name}={_written(getattr(value, field.name))}" for field in fields(value))
        return f"{type(value).__name__}({arguments})"
    return str(value.__qualname__) if callable(value) else repr(value)
