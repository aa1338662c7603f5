"""What differs from one tau2 domain to the next: one Kit a domain, one file a Kit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from trajgen.ids import canonical
from trajgen.records import Json


@dataclass(frozen=True)
class Action:
    """A tool call to make: a golden one or an added read."""

    tool: str
    arguments: dict[str, Json]

    @property
    def key(self) -> str:
        return canonical([self.tool, self.arguments])


Reads = Callable[[Json, str, Action], Iterator[Action]]
Needs = Callable[[Json, str, Action, str], Iterator[Action]]
Words = Callable[[Json, dict[str, Json]], dict[str, Json]]


@dataclass(frozen=True)
class Kit:
    """A tau2 domain, in calls and in words.

    `reads(state, user, action)`: the reads that may reveal an argument of a call, in the
    order to try them. `needs(state, user, action, seen)`: those that a careful agent makes
    before it. `phrases` tell a change by its tool, filled with `words(state, arguments)`;
    `findings` tell what a read answered, by a key that only such answers have.
    """

    description: str
    reads: Reads
    needs: Needs
    words: Words
    phrases: Mapping[str, str]
    findings: Mapping[str, str]
