"""How fast a run is, and how long it may still take. Crash rule: pure."""

from __future__ import annotations

from collections import deque

FRAME = 0.25  # seconds between two counts that are kept
WINDOW = 30.0  # seconds that speeds are averaged over


class Speed:
    """Tokens a second over the last half minute, tasks a second since the start."""

    def __init__(self) -> None:
        self.written = self.read = self.tasks = 0.0
        self._first: tuple[float, int] | None = None
        self._recent: deque[tuple[float, int, int]] = deque()

    def add(self, now: float, done: int, written: int, read: int) -> None:
        """Take in the counts of tasks and tokens at time `now` (seconds)."""
        if self._first is None:
            self._first = (now, done)
        recent = self._recent
        if not recent or now - recent[-1][0] >= FRAME:  # bounded however often it is called
            recent.append((now, written, read))
        while len(recent) > 1 and recent[1][0] <= now - WINDOW:
            recent.popleft()
        then, old_written, old_read = recent[0]
        self.written = _rate(then, old_written, now, written)
        self.read = _rate(then, old_read, now, read)
        self.tasks = _rate(*self._first, now, done)


def _rate(then: float, before: int, now: float, after: int) -> float:
    return max(after - before, 0) / (now - then) if now > then else 0.0


def duration(seconds: float) -> str:
    """A length of time as people say it: `40 s`, `9 min`, `2 h 05 min`."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{max(round(seconds), 1)} s"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02} min"
