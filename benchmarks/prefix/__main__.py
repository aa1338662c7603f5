"""`python -m benchmarks.prefix`: the table on stdout; JSON, a plot and the page where asked."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import trajgen
from benchmarks import comparing, prefix
from benchmarks.comparing import Bar, Found
from benchmarks.prefix.cache import BLOCK, Prompt, count
from benchmarks.prefix.recorders import ASKED, Asked
from trajgen.engines.tokens import load_tokenizer
from trajgen.models import local_path

SCRIPTED = ("pipelines/smoke.yaml", "engines.script.kind=benchmarks.prefix.recorders:Scripted")
VLLM = ("pipelines/quickstart.yaml", "engines.main.kind=benchmarks.prefix.recorders:Vllm")
GROUPS = {"within each conversation": False, "over all conversations": True}


def options(parser: argparse.ArgumentParser) -> None:
    """What is played, and how it is counted."""
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--tokenizer", default="smollm2-135m", help="an embedded model, or any")
    parser.add_argument("--block", type=int, default=BLOCK)
    parser.add_argument("--vllm", action="store_true", help="play the quick start on vLLM")


def measure(given: argparse.Namespace) -> Found:
    """Play once; counts are no matter of luck, so there is one round."""
    ASKED.clear()
    path, kind = VLLM if given.vllm else SCRIPTED
    with tempfile.TemporaryDirectory(prefix="prefix-") as out:
        trajgen.run(path, Path(out) / "run", given.tasks, [kind, "cluster.address=inline"])
    prompts = list(tokenised(ASKED, load_tokenizer(local_path(given.tokenizer))))
    counts = {name: count(prompts, shared, given.block) for name, shared in GROUPS.items()}
    rows = [
        {"cache": name, "asked": c.asked, "computed": c.computed, "least": c.least, "over": c.over}
        for name, c in counts.items()
    ]
    bars = [Bar(f"{row['cache']}: over the least", row["over"], at_most=1.1).json() for row in rows]
    told = {"tasks": given.tasks, "requests": len(prompts), "block": given.block, "rows": rows}
    return {**told, "pipeline": path, "engine": _told() if given.vllm else None, "bars": bars}


def tokenised(asked: Iterable[Asked], tokenizer: Any) -> Iterator[Prompt]:
    """Each prompt in the model's chat template, as vLLM is given it, and its answer."""
    for one in asked:
        tokens = tokenizer.apply_chat_template(
            list(one.request.messages),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
            enable_thinking=False,
        )
        text = one.completion.text if one.completion else ""
        answer = tokenizer.encode(text, add_special_tokens=False)
        yield Prompt(one.task, tuple(tokens), tuple(answer))


def _told() -> Found:
    """What the engine itself says."""
    done = [one.completion for one in ASKED if one.completion]
    asked, cached = (sum(getattr(c, n) for c in done) for n in ("prompt_tokens", "cached_tokens"))
    return {"asked": asked, "computed": asked - cached}


def tables(found: Found) -> str:
    """What was asked, computed, and the least."""
    rows: list[Any] = [
        (r["cache"], *(f"{r[k]:,}" for k in ("asked", "computed", "least")), f"{r['over']:.3f}")
        for r in found["rows"]
    ]
    if told := found["engine"]:
        least = found["rows"][-1]["least"]
        over = f"{told['computed'] / least:.3f}"
        rows.append(
            ("as vLLM counts", f"{told['asked']:,}", f"{told['computed']:,}", f"{least:,}", over)
        )
    told = (
        f"{found['tasks']} tasks of `{found['pipeline']}`, {found['requests']:,} requests, "
        f"blocks of {found['block']} tokens."
    )
    head = ("cache", "prompt tokens", "computed", "least", "over the least")
    return f"{told}\n\n{comparing.table(head, rows)}"


def draw(found: Found, path: Path) -> None:
    """Computed over the least as a picture."""
    over = {row["cache"]: [row["over"]] for row in found["rows"]}
    comparing.plot(path, "Prompt tokens computed", "over the least possible", over)


BENCHMARK = comparing.Benchmark(
    "prefix", prefix.__doc__.splitlines()[0], options, measure, tables, draw, timed=False
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
