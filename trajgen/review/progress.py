"""What a run says while it works: a calm live view on a terminal, plain lines elsewhere.

Crash rule: progress never stops a run. A closed pipe or a stream that cannot show a
character is survived in silence.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from trajgen.review.reading import one_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

FRAME = 0.25  # seconds between two frames of the live view
LINE = 10.0  # seconds between two plain lines
NOTABLE = 1.0  # seconds between two plain lines when something notable happened
WINDOW = 30.0  # seconds that speeds are averaged over


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a run stands. Counts are tasks of the whole run, tokens those of this process.

    `in_flight` rollouts of at most `slots`; `why_empty` says in a few words why slots are
    free, when they are.
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


class Progress:
    """Shows snapshots of a run of `planned` tasks that wants `target` kept rows."""

    def __init__(
        self,
        planned: int,
        target: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.planned, self.target, self._clock = planned, target, clock
        self._out = _Calm(sys.stderr if stream is None else stream)
        self._live: Live | None = None
        self._console: Console | None = None
        self._last: Snapshot | None = None
        self._shown: Snapshot | None = None
        self._shown_at = float("-inf")
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
        self._speed.add(now, snapshot)
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
            parts = [text for _, text in self._rows(self._last)]
            self._out.write(f"{'; '.join(parts)}\n")
            self._out.flush()
        self._shown, self._shown_at = self._last, now

    def _frame(self, now: float) -> None:
        if self._live is not None and self._last is not None:
            self._live.update(self.view(self._last), refresh=True)
        self._shown_at = now

    def view(self, snapshot: Snapshot) -> RenderableType:
        """The live view: a bar, then one line a subject, each cut to the terminal's width.

        The bar is as far as the nearer of the two ends: the plan's, or the target's.
        """
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        share = max(snapshot.done / max(self.planned, 1), snapshot.kept / max(self.target, 1))
        bar = ProgressBar(total=1, completed=min(share, 1))
        lines = (
            Text(f"{word:9}{text}", no_wrap=True, overflow="ellipsis")
            for word, text in self._rows(snapshot)
        )
        grid = Table.grid(expand=True)
        grid.add_row(bar)
        return Group(grid, *lines)

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


class Speed:
    """Tokens a second over the last half minute, tasks a second since the start."""

    def __init__(self) -> None:
        self.written = self.read = self.tasks = 0.0
        self._first: tuple[float, int] | None = None
        self._recent: deque[tuple[float, Snapshot]] = deque()

    def add(self, now: float, snapshot: Snapshot) -> None:
        """Take in the counts at time `now` (seconds)."""
        if self._first is None:
            self._first = (now, snapshot.done)
        recent = self._recent
        if not recent or now - recent[-1][0] >= FRAME:  # bounded however often it is called
            recent.append((now, snapshot))
        while len(recent) > 1 and recent[1][0] <= now - WINDOW:
            recent.popleft()
        then, old = recent[0]
        self.written = _rate(then, old.generated_tokens, now, snapshot.generated_tokens)
        self.read = _rate(then, old.prompt_tokens, now, snapshot.prompt_tokens)
        self.tasks = _rate(*self._first, now, snapshot.done)


def _rate(then: float, before: int, now: float, after: int) -> float:
    return max(after - before, 0) / (now - then) if now > then else 0.0


def _losses(now: Snapshot) -> str:
    finished = now.kept + now.rejected + now.dead
    share = f", yield {now.kept / finished:.0%}" if finished else ""
    return f", {now.rejected:,} rejected, {now.dead:,} dead{share}"


def _slots(now: Snapshot) -> str:
    why = f" ({one_line(now.why_empty)})" if now.why_empty and now.in_flight < now.slots else ""
    return f"{now.in_flight:,}/{now.slots:,} in flight{why}"


def duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{max(round(seconds), 1)} s"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02} min"


class _Calm:
    """A text stream that never raises: what cannot be written is dropped."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream  # None: a process without stderr
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            if self._stream is not None:
                self._stream.write(text.encode(self.encoding, "replace").decode(self.encoding))
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            if self._stream is not None:
                self._stream.flush()

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def fileno(self) -> int:
        if self._stream is None:
            raise OSError("no stream")
        return self._stream.fileno()
