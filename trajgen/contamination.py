"""Whether a trajectory repeats an item of a benchmark that it must not touch.

Two marks of an item are known: the runs of 13 words in its user's texts, and its goal
calls. A shorter first text counts when it is said as a whole. An item of a domain whose tools are
known to write has its writing calls as goal calls, any other all of its calls.

Read once by whoever starts the run; workers get the marks and no files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trajgen.errors import InputError
from trajgen.filters.reading import exchanges, turns
from trajgen.ids import digest
from trajgen.importers import import_source, is_source
from trajgen.importers.corpus.openai import normalised
from trajgen.importers.corpus.problem import Problem
from trajgen.json_text import canonical
from trajgen.loading import find
from trajgen.records import Domain, Json, Reason, Seed, Trajectory
from trajgen.schemas import parse_json

RUN = 13  # words, as contamination is commonly counted
FEWEST = 5  # a text of fewer words ("yes, please do") is nobody's own
_WORD = re.compile(r"[^\W_]+(?:[-_'.][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Item:
    """What a benchmark asks: its name, its user's texts, its goal calls."""

    name: str
    texts: tuple[str, ...]
    calls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Benchmarks:
    """The marks of all items: runs of words, and goal calls, each with the item's name."""

    runs: Mapping[str, str] = field(default_factory=dict)
    calls: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Changes when any mark does."""
        return digest([sorted(self.runs), sorted(self.calls)])

    def check(self, trajectory: Trajectory, domain: Domain) -> list[Reason]:
        """The first overlap as a reason, or []."""
        if not self.runs and not self.calls:
            return []
        for index, turn in enumerate(turns(trajectory.messages)):
            if turn.role == "user":
                for run in _runs(turn.text):
                    if name := self.runs.get(_mark(run)):
                        shown = f"{name}: {run[:80]!r}"
                        return [Reason("contaminated", index, f"says what is said in {shown}")]
        for wanted in _goals(trajectory, domain):
            if wanted and (name := self.calls.get(_mark(canonical(wanted)))):
                return [Reason("contaminated", None, f"makes the goal calls of {name}")]
        return []

    def refuse_seeds(self, seeds: Sequence[Seed], domains: Mapping[str, Domain]) -> None:
        """Raises InputError when every seed is an item itself: no row could be kept."""
        found = [
            reason
            for seed in seeds
            for reason in self.check(
                Trajectory(seed.id, seed.domain, seed.messages), domains[seed.domain]
            )
        ]
        if seeds and len(found) == len(seeds):
            raise InputError(
                f"all {len(seeds)} seeds are contaminated (the first {found[0].detail})",
                "decontaminate",
                "Take seeds that are no part of the benchmark.",
            )


NO_BENCHMARKS = Benchmarks()


def load_benchmarks(sources: Iterable[str], near: Path | None = None) -> Benchmarks:
    """The marks of `sources`: import sources such as `tau2:retail`, or JSONL files with a
    text, or an object with `text` or `messages`, a line. Raises InputError."""
    runs: dict[str, str] = {}
    calls: dict[str, str] = {}
    for source in sources:
        for item in _imported(source) if is_source(source) else _lines(source, near):
            for at, text in enumerate(item.texts):
                found = _runs(text, FEWEST if at == 0 else RUN)
                runs.update({_mark(run): item.name for run in found})
            if item.calls:
                calls.setdefault(_mark(canonical(list(item.calls))), item.name)
    return Benchmarks(runs, calls)


def _imported(source: str) -> Iterator[Item]:
    found = import_source(source)
    for seed in found.seeds:
        name = f"{source} {seed.meta.get('name') or seed.meta.get('task') or seed.id}"
        yield _item(name, seed.messages, found.domain)


def _lines(source: str, near: Path | None) -> Iterator[Item]:
    path = find(source, near)
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _read(line, f"{source}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", str(path)) from error


def _read(line: str, place: str) -> Item:
    try:
        row = parse_json(line)
    except ValueError as error:
        raise InputError(f"not valid JSON ({error})", place) from error
    text = row.get("text") if isinstance(row, dict) else row
    if isinstance(text, str):
        return Item(place, (text,))
    found = normalised(row) if isinstance(row, dict) and "messages" in row else Problem("")
    if isinstance(found, Problem):
        advice = 'A line is a text, {"text": text} or {"messages": [...]} in OpenAI\'s form.'
        raise InputError(f"no benchmark item {found}".strip(), place, advice)
    return _item(place, found["messages"], None)


def _item(name: str, messages: Sequence[dict[str, Json]], domain: Domain | None) -> Item:
    texts = tuple(turn.text for turn in turns(messages) if turn.role == "user")
    kinds = domain.kinds if domain else {}
    made = [e.call for e in exchanges(messages)]
    made = [call for call in made if not kinds or kinds.get(call.tool) == "write"]
    return Item(name, texts, tuple(sorted(canonical([c.tool, c.arguments]) for c in made)))


def _goals(trajectory: Trajectory, domain: Domain) -> Iterator[list[str]]:
    """All calls of a trajectory and those that write, each in an order of its own."""
    made = [exchange.call for exchange in exchanges(trajectory.messages)]
    writes = [call for call in made if domain.kinds.get(call.tool) == "write"]
    for chosen in (made, writes):
        yield sorted(canonical([call.tool, call.arguments]) for call in chosen)


def _runs(text: str, fewest: int = FEWEST) -> Iterator[str]:
    """Every run of RUN words; a shorter text of `fewest` words or more as a whole."""
    words = _WORD.findall(text.casefold())
    if fewest <= len(words) < RUN:
        yield " ".join(words)
    for start in range(len(words) - RUN + 1):
        yield " ".join(words[start : start + RUN])


def _mark(text: str) -> str:
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=8).hexdigest()
