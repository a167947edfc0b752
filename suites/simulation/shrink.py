"""What does a world that fails really need?

A failing seed is a crowd of forty, a dozen faults and an hour, of which perhaps one peer and one signal matter.
`shrunk` takes away from its plan what it can do without: happenings, clients, kinds of faults, limits that are
not the defaults, time. What is left still fails, by the same invariant.

Rules:

* A smaller plan is another world, and who is left finds other luck in it. So each is run, and kept if it fails
  as the first one did.
* Large pieces first, halves of them next, single ones last (Zeller's delta debugging); then all over again,
  until nothing more can be left out.
* Bounded: after `MOST_RUNS` runs or `MOST_SECONDS` it has what it has. Unless time cut it short, the same seed
  shrinks to the same plan.

Not here: how the rest is told (`story`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, NamedTuple

from libserver.limits import ServerLimits

from .plan import Plan
from .world import World

__all__ = ["Shrunk", "shrunk"]

#: Worlds that are tried, and real seconds that they may take together.
MOST_RUNS = 400
MOST_SECONDS = 180.0

#: What a plan is like where it is not drawn.
PLAIN = Plan()
DEFAULTS = {field.name: field.default for field in fields(ServerLimits)}


class Shrunk(NamedTuple):
    """`world` has run `plan`, and failed; None if nothing did. `whole`: nothing more can be left out."""

    world: World | None
    plan: Plan
    runs: int
    whole: bool


def shrunk(plan: Plan, most_runs: int = MOST_RUNS, most_seconds: float = MOST_SECONDS) -> Shrunk:
    """Run `plan`; if it fails, the smallest plan found that fails by the same invariant."""
    return _Shrinking(plan, most_runs, time.monotonic() + most_seconds).result()


class _Enough(Exception):
    """The bounds are met."""


class _Shrinking:
    def __init__(self, plan: Plan, most_runs: int, until: float) -> None:
        self.plan = plan
        self.runs = 0
        self._most_runs = most_runs
        self._until = until
        self._world = self._run(plan)
        self._name = self._world.violations[0][0] if self._world.violations else None

    def result(self) -> Shrunk:
        if self._name is None:
            return Shrunk(None, self.plan, self.runs, True)
        whole = True
        try:
            while self._pass():
                pass
        except _Enough:
            whole = False
        return Shrunk(self._world, self.plan, self.runs, whole)

    def _run(self, plan: Plan) -> World:
        self.runs += 1
        world = World(plan)
        world.run()
        return world

    def _try(self, plan: Plan) -> bool:
        """Keep this plan if it fails as the first one did."""
        if self.runs >= self._most_runs or time.monotonic() > self._until:
            raise _Enough
        try:
            world = self._run(plan)
        except ValueError:  # two limits that do not go together
            return False
        if not world.violations or world.violations[0][0] != self._name:
            return False
        self.plan, self._world = plan, world
        return True

    def _pass(self) -> bool:
        """Everything once; was anything left out?"""
        before = self.plan
        for name in ("happenings", "clients"):
            self._thin_out(list(getattr(self.plan, name)), lambda kept, name=name: {name: tuple(kept)})
        self._thin_out(sorted(self.plan.rates.items()), lambda kept: {"rates": dict(kept)})
        own = [(name, value) for name, value in self.plan.limits.items() if value != DEFAULTS[name]]
        self._thin_out(own, lambda kept: {"limits": dict(kept)})
        for name in ("rooms", "delay", "descriptors", "max_header", "max_content", "max_json", "topics", "observed"):
            if getattr(self.plan, name) != getattr(PLAIN, name):
                self._try(replace(self.plan, **{name: getattr(PLAIN, name)}))
        self._lighten()
        while self.plan.length > 1.0 and self._try(self.plan.gathered(0.5)):
            pass
        return self.plan != before

    def _thin_out(self, items: list[Any], changed: Callable[[list[Any]], dict[str, Any]]) -> None:
        """Leave out pieces of `items`, each half as large as the one before."""
        size = len(items)
        while size:
            at = 0
            while at < len(items):
                kept = items[:at] + items[at + size :]
                if self._try(replace(self.plan, **changed(kept))):
                    items = kept
                else:
                    at += size
            size //= 2

    def _lighten(self) -> None:
        """A smaller crowd, a shorter stop, one signal instead of two: each happening in turn, the end last."""
        number = 0
        while number <= len(self.plan.happenings):
            happenings = self.plan.happenings
            if number == len(happenings):
                lighter = [replace(self.plan, end=end) for end in self.plan.end.lighter()]
            else:
                before, after = happenings[:number], happenings[number + 1 :]
                ways = happenings[number].lighter()
                lighter = [replace(self.plan, happenings=(*before, way, *after)) for way in ways]
            if not any(self._try(plan) for plan in lighter):
                number += 1
