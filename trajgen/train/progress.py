"""What training says while it works: plain lines, and a line of log.jsonl a step."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from trajgen.review.speed import duration
from trajgen.train.folder import TrainFolder
from trajgen.train.rows import Row

LINE = 15.0  # seconds between two lines
RECENT = 20  # steps that the loss shown is averaged over


class Progress:
    """Counts what the steps saw. `rows` are in the order they are seen."""

    def __init__(
        self,
        folder: TrainFolder,
        rows: Sequence[Row],
        per_step: int,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._rows, self._per_step = folder, rows, per_step
        self._tell, self._clock = tell, clock
        self.steps = -(-len(rows) // per_step)
        self._shown_at = float("-inf")
        self._losses: list[float] = []
        self._tokens, self._seconds, self._done = 0, 0.0, 0
        self._seen = dict.fromkeys((row.role for row in rows), 0)
        self._counted = 0

    def step(self, number: int, loss: float, learning_rate: float, seconds: float) -> None:
        """Take in that step `number` is done, and what it took."""
        self._count(number)
        self._losses = [*self._losses, loss][-RECENT:]
        self._seconds += seconds
        self._done += 1
        entry = {"step": number, "loss": loss, "learning_rate": learning_rate}
        self._folder.note({**entry, "examples": dict(self._seen), "seconds": round(seconds, 3)})
        now = self._clock()
        if now - self._shown_at >= LINE or number == self.steps:
            self._tell(self._line(number))
            self._shown_at = now

    def _count(self, number: int) -> None:
        for row in self._rows[self._counted : number * self._per_step]:
            self._seen[row.role] += 1
        last = self._rows[(number - 1) * self._per_step : number * self._per_step]
        self._tokens += sum(len(row.input_ids) for row in last)
        self._counted = number * self._per_step

    def _line(self, number: int) -> str:
        loss = sum(self._losses) / len(self._losses)
        speed = self._tokens / self._seconds if self._seconds else 0.0
        text = f"step {number:,}/{self.steps:,}, loss {loss:.4f}, {speed:,.0f} tokens/s"
        left = (self.steps - number) * self._seconds / self._done
        return f"{text}, {duration(left)} left" if number < self.steps else text


def counted(rows: Sequence[Row]) -> dict[str, Any]:
    """How many rows, tokens and learnt tokens there are."""
    return {
        "examples": len(rows),
        "tokens": sum(len(row.input_ids) for row in rows),
        "learnt": sum(row.n_learnt for row in rows),
    }
