"""The job whose books are measured. Nothing large is imported here, as in start.clock."""

from __future__ import annotations

from benchmarks.start.clock import KIND

PIPELINE, SHARD = "pipelines/smoke.yaml", 512


def settings(tasks: int) -> list[str]:
    """The pipeline's changes, as `--set` takes them."""
    return [
        "cluster.address=inline",
        f"engines.script.kind={KIND}",
        f"shards.rows={SHARD}",
        f"target={tasks}",
        f"max_tasks={tasks}",
    ]
