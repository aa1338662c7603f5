"""Counts over the rows of a run, taken in one pass and kept small however many rows there are.

Crash rule: pure. Memory goes with how many tools, seeds, strategies and codes there are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from trajgen.filters.reading import exchanges
from trajgen.records import Json

BY = ("strategy", "seed_id", "persona", "fault", "domain")
LENGTHS = ("n_turns", "n_tool_calls", "n_tokens", "n_target_tokens")
MODELS = ("agent_model", "user_model", "world_model", "seed_license")
KEPT = (*BY, *LENGTHS, *MODELS, "outcome", "steps")
REJECTED = (*KEPT, "messages", "scores", "reasons")
START, END = "(start)", "(end)"
SPEECH = "(what was said)"  # a row that broke where no tool was called or answered

Row = Mapping[str, Json]


@dataclass(slots=True)
class Lengths:
    """How many rows have which length, kept and rejected."""

    kept: Counter[int] = field(default_factory=Counter)
    rejected: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class ToolUse:
    """One tool in kept rows: calls, rows with it, calls that did not apply, planned faults."""

    calls: int = 0
    rows: int = 0
    refused: int = 0
    faults: int = 0


@dataclass(slots=True)
class Tally:
    """What is counted. `fates` is by (dimension, value, kept or rejected), `reasons` by
    (dimension, value, code), `broke` by (domain, tool, code), `moves` by (domain, tool, next tool),
    `sources` by who answered a step; `attempts` are those of all steps of kept rows."""

    kept: int = 0
    rejected: int = 0
    fates: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    broke: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    lengths: dict[str, Lengths] = field(default_factory=lambda: {n: Lengths() for n in LENGTHS})
    tools: dict[tuple[str, str], ToolUse] = field(default_factory=dict)
    moves: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    models: dict[str, set[str]] = field(default_factory=lambda: {n: set() for n in MODELS})

    def keep(self, row: Row) -> None:
        """Count a kept row."""
        self.kept += 1
        self.outcomes[row["outcome"]] += 1
        self._count(row, "kept")
        for name in LENGTHS:
            self.lengths[name].kept[row[name]] += 1
        self._count_tools(row["domain"], parsed(row["steps"]))

    def reject(self, row: Row) -> None:
        """Count a rejected row."""
        self.rejected += 1
        codes = set(row["reasons"])
        self.codes.update(codes)
        self._count(row, "rejected")
        for dimension in BY:
            self.reasons.update((dimension, row[dimension], code) for code in codes)
        for name in LENGTHS:
            self.lengths[name].rejected[row[name]] += 1
        self.broke.update((row["domain"], tool, code) for tool, code in _broke(row))

    def values(self, dimension: str) -> list[str]:
        """The values of one of BY, in order."""
        return sorted({value for name, value, _ in self.fates if name == dimension})

    def of(self, dimension: str, value: str) -> tuple[int, int]:
        """Kept and rejected rows with this value."""
        kept, rejected = (self.fates[dimension, value, fate] for fate in ("kept", "rejected"))
        return kept, rejected

    def _count(self, row: Row, fate: str) -> None:
        for dimension in BY:
            self.fates[dimension, row[dimension], fate] += 1
        for name in MODELS:
            self.models[name].add(row[name])

    def _count_tools(self, domain: str, steps: Sequence[Row]) -> None:
        path = [START, *(str(step["tool"]) for step in steps), END]
        self.moves.update((domain, a, b) for a, b in pairwise(path))
        for step in steps:
            use = self.tools.setdefault((domain, str(step["tool"])), ToolUse())
            use.calls += 1
            use.refused += not step["applies"]
            use.faults += bool(step.get("fault"))
            self.sources[step["source"]] += 1
            self.attempts += step["attempts"]
        for tool in {str(step["tool"]) for step in steps}:
            self.tools[domain, tool].rows += 1


def parsed(texts: Iterable[str]) -> list[dict[str, Json]]:
    """A column of JSON texts as values."""
    values: list[dict[str, Json]] = json.loads(f"[{','.join(texts)}]")
    return values


def _broke(row: Row) -> set[tuple[str, str]]:
    """(tool, code) of a rejected row: the tool whose call or answer each reason points at."""
    steps = parsed(row["steps"])
    found = {(str(s["tool"]), str(v["code"])) for s in steps for v in s["verdicts"]}
    known = {code for _, code in found}
    for reason in _placed(row["scores"]):
        code = str(reason.get("code"))
        if code not in known:
            found |= {(tool, code) for tool in _tools_at(row["messages"], steps, reason.get("at"))}
    unplaced = set(row["reasons"]) - {code for _, code in found}
    found |= {(SPEECH, code) for code in unplaced}
    return {(tool, code) for tool, code in found if code in row["reasons"]}


def _placed(scores: str) -> list[Row]:
    stored = (json.loads(scores or "null") or {}).get("reasons")
    return [r for r in stored if isinstance(r, dict)] if isinstance(stored, list) else []


def _tools_at(messages: Sequence[str], steps: Sequence[Row], at: Json) -> set[str]:
    """The tools that message `at` calls, or the one whose answer it is. A rejected row may be
    very long: no other message is parsed."""
    if not isinstance(at, int) or not 0 <= at < len(messages):
        return set()
    called = {str(step["tool"]) for step in steps if step["message"] == at}
    if called:
        return called
    message = json.loads(messages[at])
    if message.get("role") == "tool":
        asked = (s for s in reversed(steps) if s["message"] < at)
        step = next((s for s in asked if s["call_id"] == message.get("tool_call_id")), None)
        return {str(step["tool"])} if step else set()
    return {call.tool for call, _, _ in exchanges([message])}
