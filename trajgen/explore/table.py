"""The counts of an exploration as lines of 80 columns. Crash rule: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trajgen.fidelity.tally import BUCKETS
from trajgen.records import Json

NAME = 30  # columns of a tool's name


def table(found: Mapping[str, Json]) -> str:
    """What `trajgen explore` prints: a line a tool, then the policies."""
    return "\n".join([*_tools(found), "", *_policies(found)])


def _tools(found: Mapping[str, Json]) -> Iterator[str]:
    yield _line("tool", "refused", "applies", *(f"{name} ch." for name in BUCKETS))
    sums = [0] * len(BUCKETS)
    for name, tool in found["tools"].items():
        changed = [tool["applicable"][key] for key in BUCKETS]
        sums = [total + n for total, n in zip(sums, changed, strict=True)]
        yield _line(name, tool["inapplicable"], sum(changed), *changed)
    yield _line("all", found["inapplicable"], found["applicable"], *sums)


def _policies(found: Mapping[str, Json]) -> Iterator[str]:
    total = found["transitions"]
    for name, n in found["policies"].items():
        yield f"{name:<{NAME}}{n:>8} ({n / total:.0%})"


def _line(name: str, *columns: object) -> str:
    return f"{name[: NAME - 1]:<24}" + "".join(f"{column!s:>8}" for column in columns)
