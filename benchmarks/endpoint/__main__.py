"""`python -m benchmarks.endpoint`: the table on stdout; JSON, a plot and the page where asked."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import comparing, endpoint
from benchmarks.comparing import Bar, Figures, Found
from benchmarks.endpoint import peers, run_ours, served
from benchmarks.endpoint.conversations import pipeline, record

FLOOR, INLINE, RAY = "floor: bare aiohttp", "trajgen run, inline", "trajgen run, local Ray"
ADDRESSES = {INLINE: ("inline", 1), RAY: ("local", 2)}  # and how many workers play
FEW = 8  # conversations of a peer's trial
RATE = "requests_per_s"
Play = Callable[[], float | None]  # gives the moment of its end, None for the last answer


def options(parser: argparse.ArgumentParser) -> None:
    """How much is measured."""
    parser.add_argument("--conversations", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-peers", action="store_true")


def measure(given: argparse.Namespace) -> Found:
    """All systems in turn, on the same conversations."""
    with tempfile.TemporaryDirectory(prefix="endpoint-") as place:
        folder = Path(place)
        requests = record(folder, given.conversations)
        missing = {} if given.without_peers else _tried(folder)
        with served.endpoint(folder / "answers.jsonl") as mock:
            plays = _plays(folder, mock, given.conversations)
            if not given.without_peers:
                plays |= _peer_plays(folder, mock, missing)
            systems = {n: _measured(n, play, mock, requests) for n, play in plays.items()}
            runs = comparing.in_turn(systems, given.rounds)
    size = {"conversations": given.conversations, "requests": requests, "rounds": given.rounds}
    return {**size, "runs": runs, "missing": missing, "bars": [b.json() for b in _bars(runs)]}


def _plays(folder: Path, mock: served.Endpoint, conversations: int) -> dict[str, Play]:
    def floor() -> None:
        module = [sys.executable, "-m", "benchmarks.endpoint.floor"]
        command = [*module, mock.url, str(folder / "conversations.jsonl")]
        subprocess.run(command, cwd=served.REPO, check=True, timeout=run_ours.LIMIT_S)

    def ours(address: str, workers: int) -> float:
        job = pipeline(run_ours.engine(mock.url, workers), conversations, address)
        shutil.rmtree(out := folder / "run", ignore_errors=True)
        return run_ours.run(run_ours.written(folder / f"{address}.yaml", job), out)

    plays: dict[str, Play] = {FLOOR: floor}
    return plays | {name: lambda a=a: ours(*a) for name, a in ADDRESSES.items()}  # type: ignore[misc]


def _peer_plays(folder: Path, mock: served.Endpoint, missing: dict[str, str]) -> dict[str, Play]:
    def play(peer: peers.Peer) -> None:
        shutil.rmtree(out := folder / "peer", ignore_errors=True)
        peers.play(peer, mock, folder / "conversations.jsonl", out)

    there = [peer for peer in peers.PEERS if peer.name not in missing]
    return {peer.name: lambda peer=peer: play(peer) for peer in there}  # type: ignore[misc]


def _tried(folder: Path) -> dict[str, str]:
    """The peers that do not work here, and why: each plays a few conversations first."""
    lines = (folder / "conversations.jsonl").read_text("utf-8").splitlines()[:FEW]
    (few := folder / "few.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    missing = {}
    with served.endpoint(folder / "answers.jsonl") as mock:
        for peer in peers.PEERS:
            try:
                peers.play(peer, mock, few, folder / "trial" / peer.program)
            except peers.Unavailable as reason:
                missing[peer.name] = str(reason)
    return missing


def _measured(name: str, play: Play, mock: served.Endpoint, requests: int) -> Callable[[], Figures]:
    def once() -> Figures:
        mock.stats()
        began = time.time()
        end = play()
        found = mock.stats()
        if (found["answered"], found["unknown"]) != (requests, 0):
            raise SystemExit(f"{name}: {found['answered']} of {requests} answers; {found}")
        seconds = (end or found["last"]) - found["first"]
        return {
            RATE: requests / seconds,
            "seconds": seconds,
            "from_start_s": (end or found["last"]) - began,
            "busiest": found["busiest"],
            "ideal_s": found["latencies_s"] / run_ours.CONNECTIONS,
        }

    return once


def _bars(runs: dict[str, list[Figures]]) -> Iterator[Bar]:
    floor = comparing.median(runs[FLOOR], RATE) or 0.0
    theirs = [comparing.median(runs[p.name], RATE) or 0.0 for p in peers.PEERS if p.name in runs]
    for name in ADDRESSES:
        ours = comparing.median(runs[name], RATE) or 0.0
        yield Bar(f"{name}: of the floor", ours / floor, at_least=0.85)
        best = ours / max(theirs) if theirs else None
        yield Bar(f"{name}: over the best peer", best, at_least=2.0)


def tables(found: Found) -> str:
    """Each system's rate, and how it stands to the floor."""
    runs = found["runs"]
    floor = comparing.median(runs[FLOOR], RATE) or 1.0
    rows: list[Any] = []
    for name, figures in runs.items():
        rate, seconds = (comparing.median(figures, key) or 0.0 for key in (RATE, "seconds"))
        between = comparing.spread(figures, RATE, ",.0f")
        rows.append((name, f"{rate:,.0f}", between, f"{seconds:.1f}", f"{rate / floor:.2f}"))
    rows += [(name, "not measured", why, "–", "–") for name, why in found["missing"].items()]
    ideal = comparing.median(runs[FLOOR], "ideal_s") or 0.0
    told = (
        f"{found['conversations']:,} conversations, {found['requests']:,} requests, "
        f"{run_ours.CONNECTIONS} connections, {found['rounds']} rounds; without any work of a "
        f"client's or the endpoint's it would take {ideal:.1f} s."
    )
    head = ("system", "requests/s, median", "smallest to largest", "seconds", "of the floor")
    return f"{told}\n\n{comparing.table(head, rows)}"


def draw(found: Found, path: Path) -> None:
    """The rates as a picture."""
    rates = {name: [run[RATE] for run in figures] for name, figures in found["runs"].items()}
    comparing.plot(path, "One endpoint, the same conversations", "requests/s", rates)


BENCHMARK = comparing.Benchmark(
    "endpoint", endpoint.__doc__.splitlines()[0], options, measure, tables, draw
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
