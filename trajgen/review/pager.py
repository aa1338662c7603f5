"""Long output through the user's pager, as git does it: `$PAGER`, or `less`.

Only on a terminal; `PAGER=cat` or an empty one prints straight on.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TextIO

LESS = "FRX"  # one screen needs no pager; colours; what was read stays on the screen


def paged(texts: Iterable[str], out: TextIO) -> None:
    """Write `texts` to `out`, through the pager when that is a terminal. A pager that is left
    early ends it."""
    command = _pager() if out.isatty() else []
    if not command:
        return _write(texts, out)
    environment = {"LESS": LESS, "LESSCHARSET": "utf-8", **os.environ}
    out.flush()
    try:
        pager = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    except OSError:  # no such program: nothing is lost
        return _write(texts, out)
    with _deaf_to_ctrl_c(), suppress(BrokenPipeError), pager:
        if pager.stdin is not None:
            _feed(texts, pager.stdin)
    return None


def _pager() -> list[str]:
    words = shlex.split(os.environ.get("PAGER", "less"))
    plain = words[:1] in ([], ["cat"]) or os.environ.get("TERM", "dumb") == "dumb"
    return [] if plain else words


def _write(texts: Iterable[str], out: TextIO) -> None:
    for text in texts:
        out.write(f"{text}\n")
        out.flush()


def _feed(texts: Iterable[str], pipe: IO[bytes]) -> None:
    for text in texts:
        pipe.write(f"{text}\n".encode("utf-8", "backslashreplace"))
        pipe.flush()


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Ctrl-C is the pager's while it is open."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
