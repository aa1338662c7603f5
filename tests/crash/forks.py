"""`trajgen run` in forked children, which come in milliseconds: to be stopped many times.

A program of its own, because a process with threads must not fork. What a run imports on its
way is imported before the first fork, so that each child begins at once.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas  # noqa: F401  # pyarrow imports it when it makes a table

from crash.small_run import contents
from tests.crash import odd
from trajgen import __main__, cluster, fidelity, judge, pipeline, worlds  # noqa: F401
from trajgen.review.run import Run
from trajgen.run_folder import status
from trajgen.verify import verify

LIMIT_S = 5.0
# Before the command begins, or when it is done.
EDGE = (-signal.SIGTERM, -signal.SIGINT, 256 - signal.SIGINT)
EARLY = "trajgen: stopped."
STOPPED = "trajgen: stopped. Committed shards are safe; run the same command to go on."
Send = Callable[[int], None]


@dataclass
class Runs:
    """Runs of one pipeline in a folder, against one that nobody stopped."""

    root: Path
    draw: random.Random = field(default_factory=lambda: random.Random(5))
    stops: int = 0
    slowest_s: float = 0.0
    whole: dict[str, bytes] = field(default_factory=dict)
    usual_s: float = 0.0
    soonest: float = 0.0  # share of a run before which nobody stops it

    @property
    def run(self) -> Path:
        return self.root / "run"

    def reference(self) -> None:
        """Nobody stops this one."""
        began = time.monotonic()
        code = self._wait(self._begin(self.root / "whole", {}), 120)
        self.usual_s = time.monotonic() - began
        self.whole = contents(self.root / "whole")
        if code != 0 or verify(self.root / "whole"):
            raise SystemExit(f"the reference ended with {code}: {self._said()}")

    def stop(self, send: Send | None, environment: Mapping[str, str] = {}) -> None:
        """Start, or go on, and stop at a random moment; compare when it is done."""
        child = self._begin(self.run, environment)
        if send is not None:
            time.sleep(self.draw.uniform(self.soonest, 1) * self.usual_s)
            send(child)
        began = time.monotonic()
        code = self._wait(child, LIMIT_S if send is not None else 120)
        if code in EDGE or self._said() == f"{EARLY}\n":
            return  # whatever is there, the next one goes on with it
        if code == 130:
            self.stops += 1
            if send is not None:
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self._check_stopped()
        elif code != 0:
            raise SystemExit(f"ended with {code}: {self._said()}")
        elif not environment.get(odd.FILTER, "").startswith("raise"):
            self.compare()

    def compare(self) -> None:
        """What came of it is the reference; the next one begins anew."""
        found = contents(self.run)
        if found != self.whole:
            names = sorted(found.keys() | self.whole)
            raise SystemExit(
                f"differs in {[n for n in names if found.get(n) != self.whole.get(n)]}"
            )
        shutil.rmtree(self.run)

    def _begin(self, out: Path, environment: Mapping[str, str]) -> int:
        child = os.fork()
        if child:
            return child
        os.setsid()
        said = os.open(self.root / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.environ.update(environment)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["trajgen", "run", str(self.root / "pipeline.yaml"), "--out", str(out)]
        code = 99
        try:
            code = __main__.main()
        except KeyboardInterrupt:
            code = -signal.SIGINT
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _wait(self, child: int, limit_s: float) -> int:
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            done, how = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(how)
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise SystemExit(f"still there after {limit_s} s: {self._said()}")

    def _check_stopped(self) -> None:
        if self._said().splitlines()[-1:] != [STOPPED]:
            raise SystemExit(f"said {self._said()!r}")
        if (self.run / "run.json").exists():
            now = status(self.run)
            if now["done"] != now["kept"] + now["rejected"] + now["dead"]:
                raise SystemExit("the sums do not hold")
        if (self.run / "manifest.json").exists() and verify(self.run):
            raise SystemExit(f"a manifest over {verify(self.run)}")

    def _said(self) -> str:
        return (self.root / "said").read_text("utf-8", "replace")


def by_signal(runs: Runs, number: int, count: int, environment: Mapping[str, str] = {}) -> None:
    """Stop by a signal, one time in eight by two of them."""

    def send(child: int) -> None:
        os.kill(child, number)
        if runs.draw.random() < 1 / 8:
            os.kill(child, number)

    while runs.stops < count:
        runs.stop(send, environment)


def in_a_filter(runs: Runs, count: int) -> None:
    """Interrupted by the user's own code, at a random call of it."""
    while runs.stops < count:
        runs.stop(None, {odd.FILTER: f"interrupt {runs.draw.randrange(1, 17)}"})


def failing(runs: Runs, count: int) -> None:
    """A filter that fails on one task: it is dead, every other one ends as it always does."""
    usual = ends(runs.root / "whole")
    chosen = sorted(id_ for id_, end in usual.items() if end == "kept")
    for number in range(count):
        task = chosen[number % len(chosen)]
        runs.stop(None, {odd.FILTER: f"raise {task}"})
        found = ends(runs.run)
        differ = {id_ for id_ in usual if found.get(id_) != usual[id_]}
        if found[task] != "dead" or differ != {task} or verify(runs.run):
            raise SystemExit(f"{task} failed; other ends: {sorted(differ)}")
        shutil.rmtree(runs.run)
        runs.stops += 1


def ends(run: Path) -> dict[str, str]:
    """What became of each task."""
    opened = Run.open(run)
    found = {trajectory.id: "kept" for trajectory in opened}
    found |= dict.fromkeys(opened.frame(rejected=True)["id"], "rejected")
    for path in (run / "dead").glob("*.jsonl"):
        found |= {json.loads(line)["id"]: "dead" for line in path.read_text().splitlines()}
    return found


def main(root: Path, kind: str, count: int) -> None:
    runs = Runs(root)
    runs.reference()
    if kind == "filter":
        in_a_filter(runs, count)
    elif kind == "fail":
        failing(runs, count)
    elif kind in ("raise", "hang"):
        runs.soonest = 0.6 if kind == "hang" else 0.0  # few stops: with something to close
        by_signal(runs, signal.SIGTERM, count, {odd.CLOSE: kind})
    else:
        by_signal(runs, getattr(signal, kind), count)
    if runs.run.exists():
        runs.stop(None)
    print(json.dumps({"stops": runs.stops, "slowest_s": runs.slowest_s}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
