"""What was collected so far, and what is wanted next.

A bucket is a tool, whether the call applied, how many fields it changed and, for a refused
call, how it was refused. Of several calls the one whose bucket is least filled is taken, so
every precondition of every tool and every size of effect is met.

Crash rule: counts follow from the committed rows, and are made again from them.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from trajgen.fidelity.fields import n_changed
from trajgen.fidelity.tally import BUCKETS, bucket
from trajgen.ledger import Ledger
from trajgen.pointers import scalars
from trajgen.records import Call, Domain, Json, Trajectory
from trajgen.transitions import transitions
from trajgen.worlds import Answer

REFUSED = 0.45  # the share of calls that should not apply
GAIN = 4.0  # how hard a share that is off is pulled back
REFUSAL_CHARS = 120
_DIGITS = re.compile(r"\d+")


class Bucket(NamedTuple):
    """What a transition counts as; `refusal` is "" for a call that applies."""

    tool: str
    applies: bool
    changed: str
    refusal: str


def bucket_of(before: Ledger, call: Call, answer: Answer) -> Bucket:
    """The bucket of one transition. Raises EffectError when its effects do not fit."""
    changed = 0
    if answer.effects:
        after = Ledger(before.state, 0)
        after.apply(answer.effects)
        changed = n_changed(before.state, after.state)
    said = "" if answer.applies else refusal(answer.observation, call.arguments)
    return Bucket(call.tool, answer.applies, bucket(changed), said)


def refusal(observation: str, arguments: Mapping[str, Json]) -> str:
    """How a call was refused: the first line, with {} for the values of its arguments. Not
    their names: one value may be two arguments, and that is no other kind of refusal."""
    said = observation.partition("\n")[0]
    for value in sorted({str(v) for v in scalars(dict(arguments)) if v}, key=len, reverse=True):
        said = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "{}", said)
    return _DIGITS.sub("#", said)[:REFUSAL_CHARS]


@dataclass(slots=True)
class Balance:
    """Counts of transitions by bucket, and of them by policy."""

    counts: Counter[Bucket] = field(default_factory=Counter)
    policies: Counter[str] = field(default_factory=Counter)
    total: int = 0
    refused: int = 0

    def add(self, found: Bucket, policy: str, times: int = 1) -> None:
        """Count a transition; with `times` -1, take it back."""
        self.counts[found] += times
        self.policies[policy] += times
        self.total += times
        self.refused += 0 if found.applies else times

    def add_row(self, row: Trajectory, domain: Domain) -> None:
        """Count the transitions of a row."""
        for step in transitions(row, domain):
            self.add(bucket_of(step.ledger, step.call, step.answer), row.persona)

    def wants_refused(self, usual: float, chance: random.Random) -> bool:
        """Whether the next call should not apply: as `usual` for a policy, more often while
        too few were refused so far."""
        share = self.refused / self.total if self.total else REFUSED
        return chance.random() < usual + GAIN * (REFUSED - share)

    def table(self) -> dict[str, Json]:
        """The counts as JSON, tools by name."""
        tools: dict[str, Json] = {}
        for found, n in sorted(self.counts.items()):
            if not n:
                continue
            tool = tools.setdefault(
                found.tool,
                {"applicable": dict.fromkeys(BUCKETS, 0), "inapplicable": 0, "refusals": {}},
            )
            if found.applies:
                tool["applicable"][found.changed] += n
            else:
                tool["inapplicable"] += n
                tool["refusals"][found.refusal] = tool["refusals"].get(found.refusal, 0) + n
        return {
            "transitions": self.total,
            "applicable": self.total - self.refused,
            "inapplicable": self.refused,
            "policies": {name: n for name, n in sorted(self.policies.items()) if n},
            "tools": tools,
        }
