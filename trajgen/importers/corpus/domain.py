"""A corpus -> one domain and its seeds.

A domain has one policy and one tool list. The tools are those of all rows together, the
policy is the system prompt of the rows; a row that has another one is refused, unless the
domain is given. What the source does not have is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from trajgen.errors import InputError
from trajgen.filters.corpus import fingerprint
from trajgen.ids import content_id
from trajgen.importers import Imported
from trajgen.importers.corpus.opening import open_corpus
from trajgen.importers.corpus.problem import Problem
from trajgen.importers.corpus.rows import Corpus, Row
from trajgen.json_text import canonical
from trajgen.records import Domain, Json, Message, Seed, Tool
from trajgen.schemas import MAX_TOOLS

GIVE = "Give its folder with --domain DIR (domain.yaml, policy.md, tools.json)."


class Found:
    """The domain of a corpus, its own or a `given` one, and its seeds row by row."""

    def __init__(self, corpus: Corpus, given: Domain | None = None) -> None:
        self.corpus, self.given = corpus, given or corpus.domain
        self.tools: dict[str, Tool] = {}
        self.policy: str | None = None
        self.policy_from = ""
        self.states = False  # whether a row has its own
        self.replaced = 0  # system prompts in whose place another policy stands
        self.domain = self.given or self._read()

    def seeds(self) -> Iterator[Seed | dict[str, Json]]:
        """Every row as a seed, or refused as {"file", "line", "reason"}."""
        seen: dict[bytes, str] = {}
        for row in self.corpus.rows():
            found = self._seed(row)
            if isinstance(found, Seed):
                mark = bytes.fromhex(fingerprint(found.messages))[:16]
                first = seen.setdefault(mark, row.place)
                found = found if first == row.place else Problem(f"copies {first}")
            if isinstance(found, Problem):
                place = f"message {found.at}: " if found.at is not None else ""
                yield {"file": row.file, "line": row.number, "reason": f"{place}{found}"}
            else:
                yield found

    def lacks(self) -> list[str]:
        """What the rows do not say where no domain is given, and how it can be said."""
        if self.given:
            return []
        missing = [] if self.domain.tools else ["no tools: the agent of these seeds calls none"]
        if not self.domain.policy:
            missing.append("no system prompt: policy.md is empty; write what the agent must obey")
        if self.domain.tools and self.domain.state is None and not self.states:
            missing.append("no state: the first calls show what there is; state.json may tell it")
        return missing

    def _read(self) -> Domain:
        """The domain as the rows have it. Raises InputError when calls have no tools."""
        caller = ""
        for row in self.corpus.rows():
            if isinstance(row.value, Problem):
                continue
            self.states |= isinstance(row.value.get("state"), dict)
            for tool in row.value.get("tools", ()):
                self.tools.setdefault(tool["function"]["name"], tool)
            if len(self.tools) > MAX_TOOLS:
                what = f"more than {MAX_TOOLS} different tools, too many for one domain"
                raise InputError(what, row.place, "Import rows of one kind at a time.")
            if self.policy is None and (system := _system(row.value["messages"])) is not None:
                self.policy, self.policy_from = system, row.place
            if not caller and any("tool_calls" in m for m in row.value["messages"]):
                caller = row.place
        if caller and not self.tools:
            raise InputError("calls tools, and no row says which tools there are", caller, GIVE)
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", self.corpus.name).strip("._-") or "corpus"
        return Domain(name, self.policy or "", tuple(self.tools.values()))

    def _seed(self, row: Row) -> Seed | Problem:
        value = row.value
        if isinstance(value, Problem):
            return value
        messages = value["messages"]
        system = _system(messages)
        if not self.given and (problem := self._differs(system, value.get("tools", ()))):
            return problem
        if system is not None:  # the policy stands in its place
            messages = messages[1:]
            self.replaced += system != self.domain.policy
        name = str(value["id"]) if isinstance(value.get("id"), str | int) else row.place
        return _made(self.domain.name, messages, value, name)

    def _differs(self, system: str | None, tools: Any) -> Problem | None:
        """How a row's policy or tools are not those of the domain."""
        if system is not None and system != self.policy:
            what = f"another system prompt than {self.policy_from}; a domain has one"
            return Problem(f"{what} (--domain DIR stands for all)")
        for tool in tools:
            name = tool["function"]["name"]
            if canonical(tool) != canonical(self.tools[name]):
                return Problem(f"its tool {name!r} is not as an earlier row has it", "unknown_tool")
        return None


def imported(source: str) -> Imported:
    """All of a corpus at once. Raises InputError as `open_corpus` and `Found` do."""
    found = Found(open_corpus(source))
    seeds, refused = list[Seed](), list[dict[str, Json]]()
    for item in found.seeds():
        seeds.append(item) if isinstance(item, Seed) else refused.append(item)
    return Imported(found.domain, tuple(seeds), tuple(refused))


def _system(messages: list[Message]) -> str | None:
    first = messages[0] if messages else {}
    return first["content"] if first.get("role") == "system" else None


def _made(domain: str, messages: list[Message], row: dict[str, Json], name: str) -> Seed:
    """The seed of a row, whose `state`, `goal` and `meta` are those of a domain folder's line."""
    state = row["state"] if isinstance(row.get("state"), dict) else None
    goal = row["goal"] if isinstance(row.get("goal"), list) else []
    meta = row["meta"] if isinstance(row.get("meta"), dict) else {}
    seed_id = content_id("seed", [domain, messages, state, goal])
    return Seed(seed_id, domain, tuple(messages), state, tuple(goal), {"name": name, **meta})


def _of(name: str) -> Callable[[str], Imported]:
    return lambda argument: imported(f"{name}:{argument}")


import_openai, import_sharegpt, import_hermes = _of("openai"), _of("sharegpt"), _of("hermes")
import_react, import_atif, import_any = _of("react"), _of("atif"), _of("hf")
