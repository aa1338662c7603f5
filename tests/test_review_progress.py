"""Progress: calm, right at any width, plain lines without a terminal, and never in the way."""

from __future__ import annotations

import io
import re
from collections import Counter

import pyte
import pytest
from rich.cells import cell_len
from rich.console import Console

from trajgen.review.progress import Progress, Snapshot


class Clock:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A terminal that remembers all that was written."""

    def isatty(self) -> bool:
        return True


def snapshot(done: int, **more: object) -> Snapshot:
    values: dict[str, object] = {"done": done, "kept": done, "slots": 64, "in_flight": 64}
    return Snapshot(**{**values, **more})  # type: ignore[arg-type]


def lines_of(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_without_a_terminal_at_most_one_line_in_ten_seconds() -> None:
    out, clock = io.StringIO(), Clock()
    progress = Progress(1000, 500, out, clock)
    progress.start()
    for second in range(101):
        clock.now = 1000.0 + second
        progress.update(snapshot(second))
    assert len(lines_of(out)) == 11
    progress.stop()
    progress.stop()
    assert len(lines_of(out)) == 11  # the last line said it all


def test_a_line_says_everything_and_has_no_escape_or_time_stamp() -> None:
    out, clock = io.StringIO(), Clock()
    progress = Progress(1000, 500, out, clock)
    progress.update(snapshot(0))
    clock.now += 100
    reasons = Counter(unknown_tool=9, bad_arguments=6, b=1, c=1, d=1)
    why = "few tasks left"
    progress.update(Snapshot(100, 80, 15, 5, reasons, 50_000, 900_000, 40, 64, why, 3, 8))
    assert lines_of(out)[-1] == (
        "100/1,000 tasks, 3/8 shards, 9 min left; 80/500 kept, 15 rejected, 5 dead, yield 80%; "
        "500 tokens/s written, 9,000 read; 40/64 in flight (few tasks left); "
        "unknown_tool 9, bad_arguments 6, b 1, c 1"
    )


def test_notable_changes_are_said_sooner_but_never_flood() -> None:
    out, clock = io.StringIO(), Clock()
    progress = Progress(1000, 500, out, clock)
    for tick in range(40):  # ten ticks a second, a shard committed at each
        clock.now = 1000.0 + tick / 10
        progress.update(snapshot(tick, committed_shards=tick, shards=100))
    assert len(lines_of(out)) == 4
    clock.now += 1
    progress.update(snapshot(40, committed_shards=39, why_empty="engine 1 restarts", in_flight=3))
    assert "(engine 1 restarts)" in lines_of(out)[-1]


def test_speed_is_the_average_of_the_last_half_minute() -> None:
    out, clock = io.StringIO(), Clock()
    progress = Progress(10_000, 10_000, out, clock)
    tokens = 0
    for second in range(120):
        clock.now = 1000.0 + second
        tokens += 1000 if second < 60 else 10
        progress.update(snapshot(second, generated_tokens=tokens))
    progress.stop()
    assert " 10 tokens/s written" in lines_of(out)[-1]


def test_time_left_goes_by_the_nearer_end() -> None:
    ends = []
    for target in (100_000, 200):
        out, clock = io.StringIO(), Clock()
        progress = Progress(1000, target, out, clock)
        progress.update(snapshot(0))
        clock.now += 60
        progress.update(snapshot(100, kept=50, rejected=50))
        ends.append(lines_of(out)[-1])
    assert "9 min left" in ends[0]  # 900 tasks at 100 a minute
    assert "3 min left" in ends[1]  # 150 kept rows at 50 a minute


def test_a_resumed_run_is_not_credited_with_what_was_done_before() -> None:
    out, clock = io.StringIO(), Clock()
    progress = Progress(1000, 1000, out, clock)
    progress.update(snapshot(500))
    clock.now += 60
    progress.update(snapshot(510))
    assert "49 min left" in lines_of(out)[-1]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_live_view_fits_any_width(width: int) -> None:
    progress = Progress(1_000_000, 500_000, Terminal(), Clock())
    full = Snapshot(
        123_456, 100_000, 20_000, 3456, Counter({"contradicts_observation": 12345, "长" * 40: 5}),
        10**9, 10**10, 40, 64, "the \x1b[31mplan\u202e ends \n soon", 3, 8,
    )  # fmt: skip
    for state in (full, Snapshot()):
        page = io.StringIO()
        Console(file=page, width=width, color_system=None).print(progress.view(state))
        lines = page.getvalue().rstrip("\n").split("\n")
        assert len(lines) == (6 if state is full else 4)
        assert max(cell_len(line) for line in lines) <= width
        assert not re.search("[\x1b\u202e]", page.getvalue())


def test_a_terminal_is_redrawn_at_most_four_times_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    screen, clock = Terminal(), Clock()
    progress = Progress(1000, 500, screen, clock)
    progress.start()
    for tick in range(1001):  # ten seconds, a hundred updates each
        clock.now = 1000.0 + tick / 100
        progress.update(snapshot(tick))
    assert 38 <= screen.getvalue().count("/1,000 tasks") <= 42
    progress.note("shard 3 [bold]committed[/bold]\x1b[2J")
    assert r"shard 3 [bold]committed[/bold]\x1b[2J" in screen.getvalue()
    progress.update(snapshot(1001, why_empty="x"))
    progress.stop()
    assert "1,001/1,000 tasks" in screen.getvalue()  # the last frame stays
    assert screen.getvalue().endswith("\x1b[?25h")  # and the cursor is back
    progress.stop()


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    screen, clock = Terminal(), Clock()
    progress = Progress(10, 10, screen, clock)
    progress.start()
    progress.update(snapshot(1))
    progress.note("a\nb")
    progress.stop()
    assert "\x1b" not in screen.getvalue()
    assert lines_of(screen)[-1] == r"a\nb"
    assert len(lines_of(screen)) == 2


class Broken(Terminal):
    """A pipe whose reader is gone."""

    def __init__(self, tty: bool, error: Exception) -> None:
        super().__init__()
        self.tty, self.error = tty, error

    def isatty(self) -> bool:
        return self.tty

    def write(self, text: str) -> int:
        raise self.error

    def flush(self) -> None:
        raise self.error


@pytest.mark.parametrize("tty", [True, False])
@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "full"), ValueError("closed")])
def test_a_broken_stream_never_stops_the_run(
    tty: bool, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    clock = Clock()
    progress = Progress(10, 10, Broken(tty, error), clock)
    progress.start()
    for done in range(5):
        clock.now += 20
        progress.update(snapshot(done))
    progress.note("still here")
    progress.stop()


def test_a_closed_stream_and_a_narrow_encoding_are_survived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = io.StringIO()
    closed.close()
    progress = Progress(10, 10, closed, Clock())
    progress.start()
    progress.update(snapshot(1))
    progress.stop()
    monkeypatch.setattr("sys.stderr", None)
    Progress(10, 10).note("nobody hears")
    raw = io.BytesIO()
    ascii_only = io.TextIOWrapper(raw, encoding="ascii")
    Progress(10, 10, ascii_only, Clock()).note("größer \ud800")
    assert raw.getvalue() == b"gr??er \\ud800\n"


def test_what_to_do_is_said_once_in_a_line_of_its_own_and_again_when_it_changes() -> None:
    out, clock = io.StringIO(), Clock()
    progress = Progress(1000, 500, out, clock, where="runs/x")
    for tick in range(1, 121):  # twenty minutes
        clock.now += 10
        bad = Counter(bad_answer=tick)
        progress.update(snapshot(tick, kept=0, rejected=tick, reasons=bad))
    looks = [line for line in lines_of(out) if line.startswith("look: ")]
    assert len(looks) == 2  # twenty tasks in, and ten minutes later
    assert "`trajgen show runs/x --reason bad_answer`" in looks[0]
    progress.update(snapshot(121, kept=0, rejected=100, dead=21, death="timeout: late"))
    clock.now += 10
    progress.stop()
    assert lines_of(out)[-2].startswith("look: 21 of 121 tasks could not be run")
    assert progress.lines()[-1][0] == "look"


def test_a_run_in_which_nothing_ends_says_so() -> None:
    clock = Clock()
    progress = Progress(1000, 500, io.StringIO(), clock)
    progress.update(snapshot(5, in_flight=3))
    clock.now += 599
    progress.update(snapshot(5, in_flight=3))
    assert "look" not in dict(progress.lines())
    clock.now += 301
    progress.update(snapshot(5, in_flight=3))
    assert "no task has ended for 15 min" in dict(progress.lines())["look"]
    progress.update(snapshot(6, in_flight=3))
    assert "look" not in dict(progress.lines())


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_a_terminal_shows_the_view_once_at_any_width(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a terminal's screen holds at the end, escape codes carried out."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", "40")
    screen, stream = pyte.Screen(width, 40), Terminal()
    progress = Progress(100_000, 50_000, stream, clock := Clock(), where="runs/x")
    progress.start()
    for tick in range(30):
        clock.now += 1
        few = Counter(contradicts_observation=tick)
        progress.update(snapshot(tick, kept=0, rejected=tick, reasons=few, committed_shards=1))
        if tick == 10:
            progress.note("a note that stays")
    progress.stop()
    pyte.Stream(screen).feed(stream.getvalue().replace("\n", "\r\n"))
    shown = [line.rstrip() for line in screen.display]
    text = "\n".join(shown)
    assert text.count("a note that stays"[:width]) == 1
    for word in ("tasks", "kept", "speed", "slots", "reasons", "look"):
        assert sum(line.startswith(f"{word:9}"[: min(9, width)]) for line in shown) == 1
    advice = "".join(
        line[9:] for line in shown[shown.index(next(x for x in shown if x.startswith("look"))) :]
    )
    squeezed = advice.replace(" ", "")
    assert squeezed == (
        "0of29taskskept,rejectedmostoftenforcontradicts_observation:`trajgenshowruns/x--reason"
        "contradicts_observation`showswheretheybreak"
    )


def test_a_run_without_tasks_or_updates_says_nothing_wrong() -> None:
    out = io.StringIO()
    progress = Progress(0, 0, out, Clock())
    progress.start()
    progress.stop()
    assert out.getvalue() == ""
    progress.update(Snapshot())
    assert lines_of(out) == ["0/0 tasks; 0/0 kept, 0 rejected, 0 dead; 0 tokens/s written, 0 read"]
