"""`python -m benchmarks.engine`: the table on stdout; JSON, a plot and the page where asked."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import comparing, engine
from benchmarks.comparing import Bar, Figures, Found
from benchmarks.engine.bare import Turn, forced, play
from benchmarks.engine.kept import Kept, Vllm, conversations
from trajgen.collect import Collector
from trajgen.engines.watched import WatchedEngine
from trajgen.pipeline import Loaded, drive, load
from trajgen.plan import plan
from trajgen.run_folder import RunFolder
from trajgen.worker import Worker

OURS, BARE, RATE = "trajgen run", "bare AsyncLLM", "generated_per_s"
TIMES = (1.0, 1.25, 2.0)  # conversations at once that the bare loop tries, over max_num_seqs
SETTINGS = ("cluster.address=inline", "engines.main.structured_output=false")


def options(parser: argparse.ArgumentParser) -> None:
    """How much is measured, and of which pipeline: its one engine has to be vLLM."""
    parser.add_argument("--pipeline", default="pipelines/quickstart.yaml")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="a.b=c")
    parser.add_argument("--tasks", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)


def measure(given: argparse.Namespace) -> Found:
    """Load vLLM, then both in turn."""
    loaded = load(given.pipeline, [*SETTINGS, *given.settings], given.tasks)
    ((name, config),) = loaded.pipeline.engines.items()
    return asyncio.run(_measure(loaded, name, Vllm(config), given.rounds))


async def _measure(loaded: Loaded, name: str, vllm: Vllm, rounds: int) -> Found:
    await vllm.start()
    runs: dict[str, list[Figures]] = {OURS: [], BARE: []}
    try:
        asked = (await _ours(loaded, name, vllm))[1]  # warms up
        tried = await _tried(vllm, asked, loaded.pipeline.engines[name].max_num_seqs)
        best = max(tried, key=lambda at_once: tried[at_once])
        for _ in range(rounds):
            figures, asked = await _ours(loaded, name, vllm)
            runs[OURS].append(figures)
            runs[BARE].append(await _bare(vllm, asked, best))
            sys.stderr.write(f"{runs[OURS][-1]} {runs[BARE][-1]}\n")
    finally:
        await vllm.close()
    shares = [{"share": o[RATE] / b[RATE]} for o, b in zip(*runs.values(), strict=True)]
    bar = Bar("generated tokens/s, of the bare loop", comparing.median(shares, "share"), 0.95)
    size = {"tasks": loaded.pipeline.max_tasks, "rounds": rounds, "model": vllm.model}
    return {**size, "tried": tried, "best": best, "runs": runs, "bars": [bar.json()]}


async def _ours(loaded: Loaded, name: str, vllm: Vllm) -> tuple[Figures, list[list[Turn]]]:
    """A whole run: from its first request until its manifest stands."""
    await vllm.forget()
    kept, pipeline = Kept(vllm), loaded.pipeline
    watched = WatchedEngine(kept, pipeline.engines[name])
    tasks = plan(loaded.seeds.seeds, pipeline.variations, pipeline.max_tasks, pipeline.seed)
    with (
        tempfile.TemporaryDirectory(prefix="engine-") as place,
        RunFolder.create_or_open(Path(place) / "run", loaded.record(), tasks, ()) as folder,
    ):
        rows, planned = pipeline.shards.rows, pipeline.max_tasks
        collector = Collector(folder, planned, rows, pipeline.target, loaded.known())
        await drive(loaded, collector, lambda _: Worker(loaded.job(), {name: watched}))
        folder.finish(collector.next_shard - 1)
        seconds = time.monotonic() - kept.first
    asked = conversations(kept.answered, vllm.tokens)
    return _figures(asked, seconds), asked


async def _bare(vllm: Vllm, asked: list[list[Turn]], at_once: int) -> Figures:
    await vllm.forget()
    return _figures(asked, await play(asked, forced(vllm.llm), at_once))


async def _tried(vllm: Vllm, asked: list[list[Turn]], seqs: int) -> dict[int, float]:
    """Generated tokens/s of the bare loop by its conversations at once."""
    counts = [round(times * seqs) for times in TIMES]
    return {count: (await _bare(vllm, asked, count))[RATE] for count in counts}


def _figures(asked: list[list[Turn]], seconds: float) -> Figures:
    turns = [turn for conversation in asked for turn in conversation]
    generated = sum(turn.generated for turn in turns)
    prompt = sum(len(turn.prompt) for turn in turns)
    rates = {RATE: generated / seconds, "requests_per_s": len(turns) / seconds}
    return {**rates, "seconds": seconds, "generated": generated, "prompt": prompt}


def tables(found: Found) -> str:
    """Generated tokens a second."""
    rows: list[Any] = []
    for name, runs in found["runs"].items():
        rate, per_s, seconds = (
            comparing.median(runs, key) or 0.0 for key in (RATE, "requests_per_s", "seconds")
        )
        between = comparing.spread(runs, RATE, ",.1f")
        rows.append((name, f"{rate:,.1f}", between, f"{per_s:.2f}", f"{seconds:.1f}"))
    tried = ", ".join(f"{count}: {rate:,.1f}" for count, rate in found["tried"].items())
    told = (
        f"{found['model']}, {found['tasks']} tasks, {found['rounds']} rounds. The bare loop by "
        f"conversations at once, in generated tokens/s: {tried}; the best is used."
    )
    head = ("system", "generated tokens/s, median", "smallest to largest", "requests/s", "seconds")
    return f"{told}\n\n{comparing.table(head, rows)}"


def draw(found: Found, path: Path) -> None:
    """The rates as a picture."""
    rates = {name: [run[RATE] for run in runs] for name, runs in found["runs"].items()}
    comparing.plot(path, "One vLLM, the same prompts", "generated tokens/s", rates)


BENCHMARK = comparing.Benchmark(
    "engine", engine.__doc__.splitlines()[0], options, measure, tables, draw
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
