"""Trainers as they are published, installed without what they need, so that their own code can
read our views: each is a program that is given a view and ends with 0 when it took all of it."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

from tests.small_pipeline import REPO, environment
from trajgen.durable import placed_folder, remove
from trajgen.models import cache_folder


def installed(*requirements: str) -> list[str]:
    """The folders of pinned packages, fetched once and kept in the cache of trajgen; skips the
    test where the package index cannot be reached."""
    folders = []
    for requirement in requirements:
        folder = cache_folder() / "trainers" / requirement
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with placed_folder(folder) as target:
                _install(requirement, target)
                remove(target / "tests")  # of a trainer; it would hide ours
        folders.append(str(folder))
    return folders


def _install(requirement: str, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--target", str(target), requirement],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"{requirement} cannot be fetched: {done.stderr.strip()[-300:]}")


def takes(trainer: str, view: Path, folders: list[str], *more: str) -> str:
    """What `python -m tests.trainers.<trainer> VIEW` prints; fails the test when it fails."""
    path = ":".join([str(REPO), *folders])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", f"tests.trainers.{trainer}", str(view), *more],
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
        cwd=view,
        env=environment(PYTHONPATH=path, HF_HUB_OFFLINE="1", HF_DATASETS_CACHE=str(view / ".hf")),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def bare(*names: str) -> None:
    """Packages that can be imported from without running their `__init__`, which would bring
    all that a trainer needs: the modules themselves run as they are."""
    for name in names:
        found = types.ModuleType(name)
        part = name.replace(".", "/")
        found.__path__ = [f"{folder}/{part}" for folder in sys.path if Path(folder, part).is_dir()]
        sys.modules[name] = found


def stand_in(name: str, **members: object) -> None:
    """A module that a trainer imports and these checks never use."""
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module
