"""The peers, each in a virtual environment of its own that is made where it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.endpoint.served import Endpoint
from trajgen.models import cache_folder

INSTALL_S, PLAY_S = 1800, 1800
QUIET = {"LOGURU_LEVEL": "ERROR", "NEMO_TELEMETRY_ENABLED": "false"}


class Unavailable(Exception):
    """A peer that cannot be measured here, and why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A system, what pip installs for it, and the program that plays with it."""

    name: str
    packages: tuple[str, ...]
    program: str


PEERS = (
    Peer(
        "datatrove 0.10.1",
        (
            *("datatrove[io]==0.10.1", "aiofiles", "aiosqlite", "httpx", "xxhash<4"),
            *("pyyaml", "typer", "pandas"),
        ),
        "in_datatrove.py",
    ),
    Peer("Data Designer 0.9.7", ("data-designer==0.9.7",), "in_data_designer.py"),
)


def environment(peer: Peer) -> Path:
    """The Python of the peer's environment. Raises Unavailable where pip cannot install it."""
    folder = cache_folder() / "peers" / peer.name.replace(" ", "-").lower()
    python = folder / "bin" / "python"
    ready = folder / "ready"  # written last: an environment without it was never finished
    if not ready.exists():
        sys.stderr.write(f"making an environment for {peer.name} in {folder}\n")
        shutil.rmtree(folder, ignore_errors=True)
        _call([sys.executable, "-m", "venv", str(folder)], INSTALL_S)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _call([*pip, *peer.packages], INSTALL_S)
        ready.touch()
    return python


def play(peer: Peer, mock: Endpoint, conversations: Path, folder: Path) -> None:
    """Play all conversations, results below `folder`. Raises Unavailable where it fails."""
    program = Path(__file__).with_name(peer.program)
    command = [environment(peer), program, mock.origin, conversations, folder]
    _call([str(part) for part in command], PLAY_S)


def _call(command: list[str], limit_s: float) -> None:
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    try:
        done = subprocess.run(
            command, env=variables | QUIET, capture_output=True, text=True, timeout=limit_s
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"took longer than {limit_s:g} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise Unavailable(last[:300])
