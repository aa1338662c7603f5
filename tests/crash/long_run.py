"""A long plan on a slow disk, as a program: what its driver takes, as JSON.

python -m crash.long_run FOLDER TASKS

Workers without engines end rollouts at once, with rows of a usual size; every fsync takes a
while, so that the disk is what the run waits for.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import sys
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

from crash.small_run import plan, row, run_record
from trajgen.cast import Usage
from trajgen.collect import Collector
from trajgen.dispatch import Dispatch
from trajgen.known import Known
from trajgen.records import Task
from trajgen.run_folder import RunFolder
from trajgen.sketches.sketch import BUCKETS
from trajgen.worker import Outcome, Report

ROWS, WORKERS, IN_FLIGHT, FSYNC_S = 512, 4, 64, 0.01
WORDS, LETTERS = 64, 62  # of a text: 4 KB


class Quick:
    """Ends all that it is given at the next exchange, in any order."""

    def __init__(self, seen: list[int]) -> None:
        self.hand: list[Task] = []
        self.seen = seen

    async def start(self) -> None:
        pass

    async def exchange(self, tasks: list[Task]) -> Report:
        done, self.hand = self.hand, tasks
        self.seen += [task.index for task in tasks]
        await asyncio.sleep(0)
        return Report(tuple(map(outcome, reversed(done))), len(tasks), Usage())

    async def close(self) -> None:
        pass


def outcome(task: Task) -> Outcome:
    """A kept row of about 4 KB that is like no other, with marks that are like no others."""
    draw = random.Random(task.index)
    letters = draw.randbytes(WORDS * LETTERS // 2).hex()
    text = " ".join(letters[at : at + LETTERS] for at in range(0, len(letters), LETTERS))
    messages = ({"role": "user", "content": text}, {"role": "assistant", "content": "Done."})
    sketch = b64encode(WORDS.to_bytes(2, "little") + draw.randbytes(BUCKETS)).decode()
    return Outcome(task.id, row(task.id, messages=messages), letters[:64], sketch)


def slowly(call: Any) -> Any:
    def instead(descriptor: int) -> None:
        time.sleep(FSYNC_S)
        call(descriptor)

    return instead


def resident_mb() -> float:
    """What this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main(path: Path, planned: int) -> dict[str, Any]:
    record = run_record(planned=planned)
    record["pipeline"]["shards"]["rows"] = ROWS
    import numpy  # noqa: F401  # before anything is measured

    most_open, most_mb, seen = 0, 0.0, list[int]()
    with RunFolder.create_or_open(path, record, plan(planned), []) as folder:
        collector = Collector(folder, planned, ROWS, planned + 1, Known([], 0.98))
        before = resident_mb()
        os.fsync = slowly(os.fsync)

        def committed(_: Dispatch) -> None:
            nonlocal most_open, most_mb
            begun = max(seen) + 1 - (collector.next_shard - 1) * ROWS
            most_open, most_mb = max(most_open, begun), max(most_mb, resident_mb())
            seen[:] = [max(seen)]

        dispatch = Dispatch(collector, lambda number: Quick(seen), WORKERS, IN_FLIGHT, 8, committed)
        asyncio.run(dispatch.run())
        sums = folder.finish(collector.next_shard - 1)
    return {
        "kept": sums["kept"],
        "grew_mb": round(most_mb - before, 1),
        "most_open": most_open,
        "window": dispatch.window,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
