"""Long output goes through the pager on a terminal, and nowhere else."""

from __future__ import annotations

import io
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trajgen.review.pager import paged


class Terminal(io.StringIO):
    """A terminal as far as its writer can tell."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def pager(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setenv("PAGER", shlex.join([sys.executable, "-c", program]))


def test_on_a_terminal_the_pager_gets_every_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    monkeypatch.delenv("LESS", raising=False)
    pager(
        monkeypatch,
        f"import os, sys; open({str(seen)!r}, 'wb').write("
        "os.environ['LESS'].encode() + b'|' + sys.stdin.buffer.read())",
    )
    out = Terminal()
    paged(["eins \x1b[1mü\x1b[0m", "zwei \ud800"], out)
    assert seen.read_bytes() == "FRX|eins \x1b[1mü\x1b[0m\nzwei \\ud800\n".encode()
    assert out.getvalue() == ""


def test_a_pager_that_is_left_early_ends_what_is_made_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pager(monkeypatch, "import sys; sys.stdin.buffer.read(10)")
    made = 0

    def endless() -> Iterator[str]:
        nonlocal made
        while made < 100_000:
            made += 1
            yield "x" * 1000

    before = signal.getsignal(signal.SIGINT)
    paged(endless(), Terminal())
    assert 0 < made < 10_000
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("command", ["cat", "", "no-such-pager-anywhere"])
def test_without_a_pager_the_text_comes_as_it_is(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", command)
    out = Terminal()
    paged(["a", "b"], out)
    assert out.getvalue() == "a\nb\n"


def test_a_pipe_and_a_dumb_terminal_are_never_paged(monkeypatch: pytest.MonkeyPatch) -> None:
    pager(monkeypatch, "raise SystemExit('paged')")
    for out, kind in ((io.StringIO(), "xterm"), (Terminal(), "dumb")):
        monkeypatch.setenv("TERM", kind)
        paged(["a"], out)
        assert out.getvalue() == "a\n"
