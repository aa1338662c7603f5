"""Real results of tools, from the seeds, as the world model is shown them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from trajgen.filters.answers import is_failure
from trajgen.records import Call, Domain, Json, Seed, calls_of


@dataclass(frozen=True, slots=True)
class Example:
    """A real result of a tool, from a seed."""

    arguments: dict[str, Json]
    observation: str
    failed: bool
    seed: str


class Examples:
    """The real results of each tool in the seeds of one domain."""

    def __init__(self, domain: Domain, seeds: Sequence[Seed]) -> None:
        self._by_tool: dict[str, dict[str, Example]] = {}
        self._in_json: dict[str, bool] = {}
        for seed in seeds:
            results = {
                m["tool_call_id"]: m["content"] for m in seed.messages if m["role"] == "tool"
            }
            for call in calls_of(seed.messages):
                if (text := results.get(call.id)) is not None:
                    example = Example(call.arguments, text, is_failure(text, domain), seed.id)
                    self._by_tool.setdefault(call.tool, {}).setdefault(text, example)

    def nearest(self, call: Call, count: int, seed: str = "") -> list[Example]:
        """Up to `count` results of the same tool: the most similar calls, among equals those
        of `seed` first, and one failure when there is one, so that both forms are known."""
        known = self.results(call)
        ranked = sorted(
            known, key=lambda e: (-_overlap(e.arguments, call.arguments), e.seed != seed)
        )
        chosen = ranked[:count]
        failures = [example for example in ranked if example.failed]
        if count > 1 and failures and not any(example.failed for example in chosen):
            chosen[-1] = failures[0]
        return chosen

    def results(self, call: Call) -> list[Example]:
        """Every known result that may be shown with `call`."""
        return list(self._by_tool.get(call.tool, {}).values())

    def in_json(self, tool: str) -> bool:
        """Whether every known result of `tool` is a JSON object or array; of a tool without
        any, whether every result of the others is."""
        if tool not in self._in_json:
            known = [self._by_tool[tool]] if tool in self._by_tool else self._by_tool.values()
            results = [example for by_text in known for example in by_text.values()]
            structures = (_is_structure(example.observation) for example in results)
            self._in_json[tool] = bool(results) and all(structures)
        return self._in_json[tool]


def _overlap(left: dict[str, Json], right: dict[str, Json]) -> float:
    same_keys = len(left.keys() & right.keys()) - len(left.keys() ^ right.keys())
    alike = sum(_alike(value, right[key]) for key, value in left.items() if key in right)
    return same_keys + 2 * alike


def _alike(left: Json, right: Json) -> float:
    """1 for equal values; of texts the share of words that both have."""
    if left == right or not (isinstance(left, str) and isinstance(right, str)):
        return float(left == right)
    one, other = _words(left), _words(right)
    return len(one & other) / max(len(one | other), 1)


@lru_cache(maxsize=1024)
def _words(text: str) -> frozenset[str]:
    return frozenset(text.casefold().split())


def _is_structure(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False
