"""One step in a process of its own: `step models|plan|books FOLDER MODELS TASKS`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.scale.ends import ends, models
from benchmarks.scale.job import PIPELINE, SHARD, settings
from trajgen.collect import Collector
from trajgen.pipeline import Loaded, load
from trajgen.plan import plan
from trajgen.records import Task
from trajgen.run_folder import RunFolder


def main() -> None:
    """What the command line asks for."""
    what, folder, file, tasks = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    if what == "models":
        file.write_text(json.dumps(models()), "utf-8")
        return
    loaded = load(PIPELINE, settings(tasks), tasks)
    with RunFolder.create_or_open(folder, loaded.record(), _planned(loaded), ()) as opened:
        if what == "books":
            _books(loaded, opened, json.loads(file.read_text("utf-8")))


def _planned(loaded: Loaded) -> Iterator[Task]:
    pipeline = loaded.pipeline
    return plan(loaded.seeds.seeds, pipeline.variations, pipeline.max_tasks, pipeline.seed)


def _books(loaded: Loaded, folder: RunFolder, made: list[dict[str, object]]) -> None:
    tasks = loaded.pipeline.max_tasks
    collector = Collector(folder, tasks, SHARD, loaded.pipeline.target, loaded.known())
    owed = islice(collector.owed(), (collector.n_shards - 1) * SHARD)
    while part := list(islice(owed, SHARD)):
        for task, end in zip(part, ends(part, made), strict=True):
            collector.add(task, end)
        while collector.whole:
            collector.commit_next()


if __name__ == "__main__":
    main()
