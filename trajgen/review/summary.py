"""A run in a few lines: what `trajgen run` ends with and `trajgen status` says."""

from __future__ import annotations

from trajgen.records import Json
from trajgen.review.run import Run
from trajgen.run_record import existing_run


def summary(run: Run) -> str:
    """The yield of a run as it is, and where to look next."""
    status = run.status()
    lines = [status_lines(status), *_short_of(run, status["kept"])]
    which = "" if status["kept"] or not status["rejected"] else " --rejected"
    return "\n".join([*lines, str(run.path), f"Read it: trajgen show {run.path}{which}"])


def status_lines(status: dict[str, Json]) -> str:
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
