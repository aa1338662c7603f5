"""What is told of a run whose threshold is passed: why, and how to go on.

Crash rule: giving up writes nothing. What is committed stays, the rest is owed, and another
threshold is no other run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from trajgen.collect import Collector
from trajgen.errors import CheckFailed
from trajgen.records import cut
from trajgen.shards import dead_path
from trajgen.thresholds import Passed

EXAMPLE_CHARS = 200


def gave_up(collector: Collector, passed: Passed) -> CheckFailed:
    """The error of a run that stopped at `passed`, or ended past it."""
    folder = collector.folder.path
    state = "the run is complete, but" if collector.finished else "the run was stopped:"
    deaths = list(_deaths(collector)) if passed.what == "dead" else []
    counts = Counter(death["error"] for death in deaths) if deaths else collector.totals.reasons
    lines = [f"{state} {passed}", f"Most often: {passed.reasons(counts.items())}"]
    if deaths:
        lines.append(f"The first of them: {cut(str(deaths[0]['message']), EXAMPLE_CHARS)}")
    look = f"dead/*.jsonl in {folder}" if deaths else f"`trajgen show {folder} --rejected`"
    again = (
        ""
        if collector.finished
        else f" Committed shards are safe: mend the cause and run the same command again, or go on "
        f"with another limit, such as --set stop.{passed.what}={_more(passed)}."
    )
    return CheckFailed("\n  ".join(lines), str(folder), f"See {look}.{again}")


def _more(passed: Passed) -> str:
    """A limit that these counts do not pass, with room to spare."""
    return f"{min(100, round(100 * passed.count / passed.ended) + 5)}%"


def _deaths(collector: Collector) -> Iterator[dict[str, Any]]:
    for number in range(collector.next_shard):
        for line in dead_path(collector.folder.path, number).read_bytes().splitlines():
            yield json.loads(line)
