"""A run in a few lines: what `trajgen run` ends with and `trajgen status` says."""

from __future__ import annotations

from collections.abc import Mapping

from trajgen.heartbeat import SILENT_S, read_beat
from trajgen.objects import Place
from trajgen.records import Json
from trajgen.review.reading import one_line
from trajgen.review.run import Run
from trajgen.review.speed import duration
from trajgen.run_record import existing_run
from trajgen.status import status


def summary(run: Run) -> str:
    """The yield of a run as it is, and where to look next."""
    found = run.status()
    lines = [status_lines(found), *_short_of(run, found["kept"])]
    which = "" if found["kept"] or not found["rejected"] else " --rejected"
    return "\n".join([*lines, str(run.path), f"Read it: trajgen show {run.path}{which}"])


def now(folder: Place) -> str:
    """What `trajgen status` says: progress and yield, and of an unfinished run who works on it
    or how to go on. Raises InputError when `folder` holds no run."""
    found = status(folder)
    return "\n".join([status_lines(found), *([] if found["complete"] else driver_lines(folder))])


def status_lines(status: Mapping[str, Json]) -> str:
    """The JSON of `trajgen status` as lines."""
    done = status["done"]
    share = f"{status['kept'] / done:.1%}" if done else "nothing done yet"
    tokens, seconds = status["tokens"], status["seconds"]
    state = "complete" if status["complete"] else "not finished"
    lines = [
        f"{status['name']} ({status['run_id']}): {state}",
        f"  tasks     {done} of {status['planned']} planned",
        f"  kept      {status['kept']} ({share})",
        *_counts("outcomes", status["outcomes"]),
        f"  rejected  {status['rejected']}",
        *_counts("reasons", status["reasons"]),
        f"  dead      {status['dead']}",
        f"  seeds     {status['quarantined']} lines quarantined",
        f"  tokens    {tokens['generated']} generated, {tokens['prompt']} prompt "
        f"({tokens['cached']} from the prefix cache), {seconds:.0f} s",
    ]
    return "\n".join(lines)


def driver_lines(folder: Place) -> list[str]:
    """Who works on an unfinished run now, with the lines of its live view; or how to go on."""
    beat = read_beat(folder)
    if beat is None:
        return ["  driver    none is heard: run the same command to go on"]
    who = f"process {beat.process} on {one_line(beat.host)}"
    if beat.gone:
        return [f"  driver    {who} is gone: run the same command to go on"]
    if beat.age_s > SILENT_S:
        silent = f"not heard for {duration(beat.age_s)}"
        return [f"  driver    {who}, {silent}: if it is gone, run the same command to go on"]
    said = (f"    {one_line(word):8}{one_line(text)}" for word, text in beat.lines)
    return [f"  driver    {who} works on it, heard {duration(beat.age_s)} ago", *said]


def _short_of(run: Run, kept: int) -> list[str]:
    """A line when the plan ended before the target was reached."""
    target = existing_run(run.path)["pipeline"]["target"]
    missed = (
        f"  target    {target} not reached; a larger max_tasks, in another folder, goes further"
    )
    return [missed] if kept < target else []


def _counts(name: str, counts: dict[str, int]) -> list[str]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [f"    {name}: " + ", ".join(f"{key} {n}" for key, n in ordered)] if counts else []
