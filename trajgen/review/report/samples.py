"""Which trajectories a report shows, cut to what a page can carry. Crash rule: reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from trajgen.records import Json, Message, Reason, Step, Trajectory
from trajgen.review.report.gather import Gathered
from trajgen.review.report.reasons import ordered
from trajgen.review.run import Run

KEPT = 8
REJECTED, CODES = 2, 6  # rows of a reason, reasons
TEXT = 20_000  # characters of one text
WHOLE = 200_000  # characters of one trajectory
SHORT = 200  # characters that are never cut
ITEMS = 200  # of one list or object


@dataclass(frozen=True, slots=True)
class Sample:
    """A trajectory under the words that lead to it."""

    words: str
    trajectory: Trajectory


def kept(of: Gathered) -> list[Sample]:
    """Kept rows, drawn evenly, in plan order."""
    return [Sample(_words(t), cut(t)) for t in of.run.sample(KEPT)]


def rejected(of: Gathered) -> list[Sample]:
    """Some rows of each of the most frequent reasons."""
    return list(_rejected(of.run, ordered(of)[:CODES]))


def _rejected(run: Run, codes: list[str]) -> Iterator[Sample]:
    seen: set[str] = set()
    for code in codes:
        fresh = [t for t in run.sample(REJECTED + len(seen), reason=code) if t.id not in seen]
        for trajectory in fresh[:REJECTED]:
            seen.add(trajectory.id)
            yield Sample(f"{code} · {_words(trajectory)}", cut(trajectory))


def _words(trajectory: Trajectory) -> str:
    t = trajectory
    return f"{t.strategy} · {t.outcome} · {t.n_tool_calls} tool calls · {t.id}"


def cut(trajectory: Trajectory) -> Trajectory:
    """The trajectory with its long texts and lists cut, each with a note of what is left out."""
    room = _Room(WHOLE)
    return replace(
        trajectory,
        messages=(*room.cut(list(trajectory.messages[:ITEMS])), *_left(trajectory)),
        tools=(),
        steps=tuple(_step(step, room) for step in trajectory.steps[:ITEMS]),
        scores=room.cut(dict(trajectory.scores or {})),
        state_initial=room.cut(trajectory.state_initial),
        state_final=None,
    )


def _left(trajectory: Trajectory) -> list[Message]:
    """A last message that says how many are not shown."""
    left = len(trajectory.messages) - ITEMS
    return [{"role": "cut", "content": f"[{left:,} more messages]"}] if left > 0 else []


def _step(step: Step, room: _Room) -> Step:
    return replace(
        step,
        why=room.cut(step.why),
        effects=tuple(room.cut(list(step.effects))),
        verdicts=tuple(Reason(v.code, v.at, room.cut(v.detail)) for v in step.verdicts),
    )


class _Room:
    """How many characters may still be shown; short texts always may."""

    def __init__(self, left: int) -> None:
        self.left = left

    def cut(self, value: Json) -> Any:
        """`value`, of the same form, with less in it where it is too long."""
        if isinstance(value, str):
            return self._text(value)
        if not isinstance(value, list | dict):
            return value
        left = len(value) - ITEMS
        more = f"… [{left:,} more]"
        if isinstance(value, list):
            return [*map(self.cut, value[:ITEMS]), *([more] if left > 0 else [])]
        short = {self._text(k): self.cut(v) for k, v in islice(value.items(), ITEMS)}
        return {**short, "…": more} if left > 0 else short

    def _text(self, text: str) -> str:
        most = max(min(TEXT, self.left), SHORT)
        self.left -= min(len(text), most)
        left = len(text) - most
        return f"{text[:most]} … [{left:,} more characters]" if left > 0 else text
