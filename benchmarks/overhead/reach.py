"""From the costs of one task to a machine with 8 GPUs and a cluster of 1,000: what is full first.

A GPU is one H100 at the rate that datatrove reports for Qwen3-8B. A worker has its GPU to itself,
and a core for its event loop; there is one driver, which commits on one core.
"""

from __future__ import annotations

from benchmarks.comparing import Figures, median, table

TOKENS_PER_S = 6443.0  # written by one H100 with Qwen3-8B
GPUS = (1, 8, 1000)
S = 1e-6  # of a microsecond


def told(runs: list[Figures]) -> str:
    """Load by number of GPUs, and where each part ends."""
    one = {key: median(runs, key) or 0.0 for key in runs[0]}
    rate = TOKENS_PER_S / max(one["tokens"], 1.0)  # trajectories a second on one GPU
    play = one["calls"] * one["call"] + one["trajectory"] + one["row: text"] + one["row: marks"]
    commit = one["row: message"] + one["row: commit"]
    rows = []
    for gpus in GPUS:
        many = gpus * rate
        rows.append(
            (
                f"{gpus:,}",
                f"{many:,.1f}",
                f"{many * one['calls']:,.0f}",
                f"{rate * play * S:.1%}",
                f"{many * commit * S:.1%}",
                f"{many * one['bytes'] / 1e6:,.2f}",
            )
        )
    head = (
        *("GPUs", "trajectories/s", "model calls/s", "a worker's core", "the driver's core"),
        "MB/s to the driver",
    )
    most = 1 / (commit * S) if commit else 0.0
    end = (
        f"With {one['tokens']:,.0f} written tokens a trajectory, one GPU at "
        f"{TOKENS_PER_S:,.0f} tokens/s gives {rate:.1f} trajectories a second. A worker's event "
        f"loop is full at {1 / (play * S):,.0f} trajectories/s, the driver's commits at "
        f"{most:,.0f} rows/s, that is with {most / rate:,.0f} such GPUs; its network, at 1 GB/s, "
        f"at {1e9 / one['bytes']:,.0f} rows/s."
    )
    return f"{table(head, rows)}\n\n{end}"
