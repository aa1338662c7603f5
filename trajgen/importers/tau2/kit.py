"""What differs from one tau2 domain to the next: one Kit a domain, one file a Kit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from trajgen.json_text import canonical
from trajgen.records import Json


@dataclass(frozen=True)
class Action:
    """A tool call to make: a golden one or an added read; `by` the assistant or the user."""

    tool: str
    arguments: dict[str, Json] = field(default_factory=dict)
    by: str = "assistant"

    @property
    def key(self) -> str:
        return canonical([self.tool, self.arguments])


Reads = Callable[[Json, str, Action], Iterator[Action]]
Needs = Callable[[Json, str, Action, str], Iterator[Action]]
Words = Callable[[Json, dict[str, Json]], dict[str, Json]]
WhoIs = Callable[[Json, list[Action], str], str]
Checks = Callable[[list[Action], str], tuple[list[Action], list[Action]]]


def no_checks(actions: list[Action], reason: str) -> tuple[list[Action], list[Action]]:
    """For domains whose users have nothing to look at."""
    return [], []


@dataclass(frozen=True)
class Kit:
    """A tau2 domain, in calls and in words.

    `reads(state, user, action)`: the reads that may reveal an argument of a call, in the
    order to try them. `needs(state, user, action, seen)`: those that a careful agent makes
    before it. `phrases` tell a change by its tool, filled with `words(state, arguments)`;
    `findings` tell what a read answered, by a key that only such answers have.
    `user(state, actions, text)`: the id of the user whom a task is about, or "".

    Where users do things themselves, `steps` tell them by the tool that does it, and
    `checks(actions, reason)` are what they look at first and last.
    """

    description: str
    reads: Reads
    needs: Needs
    words: Words
    phrases: Mapping[str, str]
    findings: Mapping[str, str]
    user: WhoIs
    steps: Mapping[str, str] = field(default_factory=dict)
    checks: Checks = no_checks
