"""What a run says while it works: a calm live view on a terminal, plain lines elsewhere.

Crash rule: progress never stops a run. A closed pipe or a stream that cannot show a
character is survived in silence.
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from trajgen.review.advice import Standing, advice
from trajgen.review.calm import Calm
from trajgen.review.reading import one_line
from trajgen.review.speed import FRAME, Speed, duration

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

LABEL = 9  # columns of a subject
LINE = 10.0  # seconds between two plain lines
NOTABLE = 1.0  # seconds between two plain lines when something notable happened
STILL = 600.0  # seconds without the end of any task that are worth a word
AGAIN = 600.0  # seconds after which the same advice is given again in plain lines
_NUMBERS = re.compile(r"[\d,.]+")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a run stands. Counts are tasks of the whole run, tokens those of this process.

    `in_flight` rollouts of at most `slots`; `why_empty` says in a few words why slots are
    free, when they are. `trouble` is what went wrong with an engine and is not over yet,
    `death` the last reason why a task could not be run.
    """

    done: int = 0
    kept: int = 0
    rejected: int = 0
    dead: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    generated_tokens: int = 0
    prompt_tokens: int = 0
    in_flight: int = 0
    slots: int = 0
    why_empty: str = ""
    committed_shards: int = 0
    shards: int = 0
    trouble: str = ""
    death: str = ""


class Progress:
    """Shows snapshots of a run of `planned` tasks that wants `target` kept rows, in the folder
    `where`."""

    def __init__(
        self,
        planned: int,
        target: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        where: str = "RUN",
    ) -> None:
        self.planned, self.target, self._clock, self._where = planned, target, clock, where
        self._out = Calm(sys.stderr if stream is None else stream)
        self._live: Live | None = None
        self._console: Console | None = None
        self._last: Snapshot | None = None
        self._shown: Snapshot | None = None
        self._shown_at = float("-inf")
        self._moved = (-1, 0.0)  # tasks done, and when that changed
        self._advised = ("", 0.0)  # the last advice in plain lines, and when
        self._speed = Speed()

    def start(self) -> None:
        """Begin to show; on a terminal that can, live."""
        if self._live is not None or not self._out.isatty():
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._out, force_terminal=True)  # type: ignore[arg-type]
        if console.is_dumb_terminal:
            return
        self._console = console
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False)
        self._live.start()

    def update(self, snapshot: Snapshot) -> None:
        """Take in where the run stands; cheap to call often."""
        now = self._clock()
        self._last = snapshot
        self._speed.add(now, snapshot.done, snapshot.generated_tokens, snapshot.prompt_tokens)
        if snapshot.done != self._moved[0]:
            self._moved = (snapshot.done, now)
        if self._live is not None:
            if now - self._shown_at >= FRAME:
                self._frame(now)
        elif now - self._shown_at >= self._pause(snapshot):
            self._line(now)

    def note(self, text: str) -> None:
        """One line that stays, such as `shard 7 committed`."""
        if self._console is not None and self._live is not None:
            from rich.text import Text

            self._console.print(Text(one_line(text)))
        else:
            self._out.write(f"{one_line(text)}\n")
            self._out.flush()

    def stop(self) -> None:
        """Show where the run ended and give the terminal back; may be called twice."""
        now = self._clock()
        if self._live is not None:
            self._frame(now)
            self._live.stop()
            self._live = None
        elif self._last != self._shown:
            self._line(now)
        self._shown = self._last

    def _pause(self, snapshot: Snapshot) -> float:
        """Seconds of silence to keep after the last plain line."""
        old = self._shown
        notable = old is None or (
            (old.committed_shards, old.why_empty) != (snapshot.committed_shards, snapshot.why_empty)
        )
        return NOTABLE if notable else LINE

    def _line(self, now: float) -> None:
        if self._last is not None:
            self._advise(now, self._advice(self._last))
            parts = [text for _, text in self._rows(self._last)]
            self._out.write(f"{'; '.join(parts)}\n")
            self._out.flush()
        self._shown, self._shown_at = self._last, now

    def _advise(self, now: float, text: str) -> None:
        """Say in a line of its own what to do, when that is news or was said long ago."""
        kind, (known, at) = _NUMBERS.sub("", text), self._advised
        if text and (kind != known or now - at >= AGAIN):
            self._out.write(f"look: {text}\n")
            self._advised = (kind, now)

    def _frame(self, now: float) -> None:
        if self._live is not None and self._last is not None:
            self._live.update(self.view(self._last), refresh=True)
        self._shown_at = now

    def view(self, snapshot: Snapshot) -> RenderableType:
        """The live view: a bar, then one line a subject, each cut to the terminal's width, and
        last what to do when something is wrong, whole.

        The bar is as far as the nearer of the two ends: the plan's, or the target's.
        """
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        share = max(snapshot.done / max(self.planned, 1), snapshot.kept / max(self.target, 1))
        bar = ProgressBar(total=1, completed=min(share, 1))
        lines = (
            Text(f"{word:{LABEL}}{text}", no_wrap=True, overflow="ellipsis")
            for word, text in self._rows(snapshot)
        )
        grid = Table.grid(expand=True)
        grid.add_row(bar)
        if not (text := self._advice(snapshot)):
            return Group(grid, *lines)
        look = Table.grid()
        look.add_column(width=LABEL)
        look.add_column(overflow="fold")
        look.add_row(Text("look", style="bold yellow"), Text(text, style="yellow"))
        return Group(grid, *lines, look)

    def lines(self) -> list[tuple[str, str]]:
        """What the live view says now, as (subject, text)."""
        if self._last is None:
            return []
        text = self._advice(self._last)
        return [*self._rows(self._last), *([("look", text)] if text else [])]

    def _advice(self, now: Snapshot) -> str:
        still = self._clock() - self._moved[1]
        if now.in_flight and now.done == self._moved[0] and still >= STILL:
            return (
                f"no task has ended for {duration(still)}: one may take `limits.seconds`; "
                "`trajgen doctor` tries the engine"
            )
        return advice(
            Standing(
                self.planned, self.target, now.kept, now.rejected, now.dead, now.reasons,
                now.trouble, now.death, self._where,
            )
        )  # fmt: skip

    def _rows(self, now: Snapshot) -> list[tuple[str, str]]:
        rows = [
            ("tasks", f"{now.done:,}/{self.planned:,} tasks{self._shards(now)}{self._left(now)}"),
            ("kept", f"{now.kept:,}/{self.target:,} kept{_losses(now)}"),
            ("speed", self._tokens()),
        ]
        if now.slots:
            rows.append(("slots", _slots(now)))
        if now.reasons:
            top = sorted(now.reasons.items(), key=lambda pair: (-pair[1], pair[0]))[:4]
            rows.append(("reasons", ", ".join(f"{one_line(c)} {n:,}" for c, n in top)))
        return rows

    def _tokens(self) -> str:
        return f"{self._speed.written:,.0f} tokens/s written, {self._speed.read:,.0f} read"

    def _shards(self, now: Snapshot) -> str:
        return f", {now.committed_shards:,}/{now.shards:,} shards" if now.shards else ""

    def _left(self, now: Snapshot) -> str:
        """The time until the plan or the target ends the run, at the speed so far."""
        left = self.planned - now.done
        if now.kept and now.done:
            left = min(left, round((self.target - now.kept) * now.done / now.kept))
        if left <= 0 or not self._speed.tasks:
            return ""
        return f", {duration(left / self._speed.tasks)} left"


def _losses(now: Snapshot) -> str:
    finished = now.kept + now.rejected + now.dead
    share = f", yield {now.kept / finished:.0%}" if finished else ""
    return f", {now.rejected:,} rejected, {now.dead:,} dead{share}"


def _slots(now: Snapshot) -> str:
    why = f" ({one_line(now.why_empty)})" if now.why_empty and now.in_flight < now.slots else ""
    return f"{now.in_flight:,}/{now.slots:,} in flight{why}"
