"""What to do about a run in which something is wrong, in one sentence. Crash rule: pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from trajgen.review.reading import one_line

FEW = 20  # tasks below which a share says little
DEAD = 0.05  # share of tasks that could not be run
LITTLE = 0.1  # share of tasks that gave a kept row
SURE = 50  # tasks from which the end of the plan is guessed
SHORT = 0.95  # of the target that the plan should reach
SHOWN = 160  # characters of somebody else's message


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands: tasks of the whole run and what ends it. `trouble` is what is wrong
    with an engine now, `death` why a task could not be run, `where` the folder as it is typed.
    """

    planned: int
    target: int
    kept: int
    rejected: int
    dead: int
    reasons: Mapping[str, int] = field(default_factory=Counter)
    trouble: str = ""
    death: str = ""
    where: str = "RUN"

    @property
    def done(self) -> int:
        return self.kept + self.rejected + self.dead


def advice(now: Standing) -> str:
    """What is wrong and what to do about it; empty when nothing is."""
    return _dead(now) or _little(now) or _short(now) or _trouble(now)


def _dead(now: Standing) -> str:
    if now.done < FEW or now.dead < DEAD * now.done:
        return ""
    last = f" (last: {_cut(now.death)})" if now.death else ""
    return f"{now.dead:,} of {now.done:,} tasks could not be run{last}: see {now.where}/dead/"


def _little(now: Standing) -> str:
    if now.done < FEW or now.kept >= LITTLE * now.done:
        return ""
    reason = min(now.reasons, key=lambda code: (-now.reasons[code], code), default="")
    why = f", rejected most often for {one_line(reason)}" if reason else ""
    option = f"--reason {one_line(reason)}" if reason else "--rejected"
    return (
        f"{now.kept:,} of {now.done:,} tasks kept{why}: `trajgen show {now.where} {option}` "
        "shows where they break"
    )


def _short(now: Standing) -> str:
    """The plan will be over before the target is reached."""
    if now.done < SURE or now.kept >= now.target:
        return ""
    expected = round(now.kept / now.done * now.planned)
    if expected >= SHORT * now.target:
        return ""
    return (
        f"at this yield the plan ends near {expected:,} of {now.target:,} kept rows: "
        "a larger max_tasks, in another folder, goes further"
    )


def _trouble(now: Standing) -> str:
    if not now.trouble:
        return ""
    return f"{_cut(now.trouble)}: its tasks are played again; `trajgen doctor` tries the engine"


def _cut(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"
