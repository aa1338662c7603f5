"""A pipeline of a few scripted tasks, for tests that drive the whole flow."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

REPO = Path(__file__).parents[1]
PERSONAS = ["plain", "terse", "chatty"]


def pipeline_data(script: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """12 tasks in 3 shards, played in this process; `script` is the engine's."""
    engine = {"kind": "scripted", "script": script or {}, "max_num_seqs": 8}
    return {
        "name": "small",
        "seeds": "seeds/household",
        "target": 100,
        "max_tasks": 12,
        "engines": {"main": engine},
        "roles": {"user": "main", "agent": "main", "world": "main"},
        "world": {"declared": False},  # else code would answer every call of household
        "variations": {"personas": PERSONAS},
        "shards": {"rows": 4},
        "cluster": {"address": "inline"},
        **changes,
    }


def write_pipeline(folder: Path, script: dict[str, Any] | None = None, **changes: Any) -> Path:
    """The pipeline as a file in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(pipeline_data(script, **changes)), "utf-8")
    return path


def tree(folder: Path) -> dict[str, str]:
    """Every file and folder below `folder`, files with the sha256 of their bytes."""
    return {path.relative_to(folder).as_posix(): _mark(path) for path in sorted(folder.rglob("*"))}


def made(run: Path) -> dict[str, str]:
    """The files of a run that follow from its plan: all but logs/."""
    return {name: mark for name, mark in tree(run).items() if not name.startswith("logs")}


def environment(**changes: str) -> dict[str, str]:
    """For a process that finds trajgen and the tests from any folder."""
    return {**os.environ, "PYTHONPATH": str(REPO), **changes}


def start(*arguments: Any, cwd: Path, **changes: str) -> subprocess.Popen[str]:
    """`trajgen` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "trajgen", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=environment(**changes),
    )


def _mark(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
