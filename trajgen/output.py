"""What commands say: results on stdout, everything else on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from trajgen.records import Trajectory


def result(text: str) -> None:
    _write(sys.stdout, _inert(text))


def say(text: str) -> None:
    _write(sys.stderr, _inert(text))


def conversations(trajectories: Iterable[Trajectory]) -> None:
    """One conversation after the other, on a terminal through the pager."""
    from rich.console import Console

    from trajgen.review.pager import paged
    from trajgen.review.terminal import pages

    paged(pages(trajectories, Console()), sys.stdout)


def chatter_on_stderr() -> AbstractContextManager[Any]:
    """Ray prints to stdout when a worker is lost; only results belong there."""
    return redirect_stdout(sys.stderr)


def _inert(text: str) -> str:
    """`text` without what a terminal would act on: reasons and errors quote data."""
    from trajgen.review.reading import visible

    return text if text.isascii() and text.isprintable() else visible(text)


def _write(out: TextIO, text: str) -> None:
    out.write(f"{text}\n")
    out.flush()
