"""`trajgen run` against the endpoint: the command itself, as anybody types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.endpoint.served import REPO

CONNECTIONS = 64
LIMIT_S = 1800


def engine(url: str, workers: int) -> dict[str, Any]:
    """The engine, whose connections `workers` processes share. `cluster.in_flight` stays at its
    default: together 80 rollouts for 64 connections."""
    shared = {"replicas": workers, "max_num_seqs": CONNECTIONS // workers}
    return {"kind": "openai", "base_url": url, "model": "mock", **shared}


def written(path: Path, pipeline: dict[str, Any]) -> Path:
    """The pipeline as a file; JSON is YAML."""
    path.write_text(json.dumps(pipeline, indent=1), "utf-8")
    return path


def run(job: Path, out: Path) -> float:
    """Run it to its end; the moment at which its manifest stood there."""
    command = [sys.executable, "-m", "trajgen", "run", str(job), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run(
        command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=LIMIT_S
    )
    if done.returncode:
        raise SystemExit(f"trajgen run ended with {done.returncode}:\n{done.stderr[-4000:]}")
    manifest = out / "manifest.json"
    totals = json.loads(manifest.read_text("utf-8"))["totals"]
    if totals["dead"]:
        raise SystemExit(f"{totals['dead']} tasks of {out} are dead")
    return manifest.stat().st_mtime
