"""Each view in the hands of its trainer's own code (slow: packages are fetched once, without
what they need, and imported in processes of their own)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import trajgen
from tests.hostile import trajectories
from tests.trainers import installed, takes
from tests.written_runs import write_run
from trajgen.export.command import export
from trajgen.models import local_path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600), pytest.mark.filterwarnings("ignore")]

LLAMA_FACTORY = ("datasets==4.0.0", "llamafactory==0.9.5")
SMOKE = ["cluster.address=inline", "shards.rows=12"]
HOSTILE = 300


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three domains."""
    folder = tmp_path_factory.mktemp("played") / "run"
    trajgen.run("pipelines/smoke.yaml", folder, 36, SMOKE)
    return folder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything in it that a format could trip over."""
    folder = tmp_path_factory.mktemp("hostile") / "run"
    return write_run(folder, list(trajectories(HOSTILE)), rows=128)


def template(name: str) -> str:
    """A published chat template as TRL ships it."""
    from trl import chat_templates

    return str(Path(next(iter(chat_templates.__path__)), f"{name}.jinja"))


def told(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    return found


def test_llama_factory_converts_every_row_with_its_own_datasets(
    played: Path, hostile: Path, tmp_path: Path
) -> None:
    folders = installed(*LLAMA_FACTORY)
    real = export(played, "sharegpt", tmp_path / "real", split=["eval=0.2"])
    assert real.refused == 0
    found = told(takes("llamafactory", real.path, folders))
    assert found["rows"] == sum(real.rows.values())
    assert found["calls"] > found["rows"]
    odd = export(hostile, "sharegpt", tmp_path / "odd")
    assert told(takes("llamafactory", odd.path, folders))["rows"] == odd.rows["train"]


def test_swift_reads_every_row_as_it_reads_the_messages_themselves(
    played: Path, hostile: Path, tmp_path: Path
) -> None:
    folders = installed("ms-swift==4.6.0")
    for name, run in (("real", played), ("odd", hostile)):
        view = export(run, "swift", tmp_path / name).path
        messages = export(run, "trl", tmp_path / f"{name}-trl").path
        found = told(takes("swift", view, folders, str(messages)))
        assert found["rows"] == len(trajgen.open(run))


def test_axolotl_learns_what_the_agent_says_and_calls(played: Path, tmp_path: Path) -> None:
    folders = installed("axolotl==0.19.0", "addict==2.4.0", "colorama==0.4.6")
    view = export(played, "axolotl", tmp_path / "view", split=["eval=0.2"])
    more = (local_path("smollm2-135m"), template("qwen2_5"))
    found = told(takes("axolotl", view.path, folders, *more))
    assert found["rows"] == sum(view.rows.values())
    assert found["learnt"] > 10 * found["rows"]


def test_verl_sees_the_messages_as_they_are(played: Path, tmp_path: Path) -> None:
    folders = installed("verl==0.9.1")
    view = export(played, "verl", tmp_path / "view").path
    messages = export(played, "trl", tmp_path / "trl").path
    more = (str(messages), local_path("smollm2-135m"), template("qwen2_5"))
    found = told(takes("verl", view, folders, *more))
    assert found["rows"] == len(trajgen.open(played))
    assert found["whole"] > 0.2 * found["rows"]


@pytest.mark.parametrize("name", ["sharegpt", "swift", "axolotl", "verl"])
def test_plain_views_load_in_the_oldest_datasets_that_a_trainer_pins(
    hostile: Path, tmp_path: Path, name: str
) -> None:
    view = export(hostile, name, tmp_path / "view", split=["eval=0.3"])
    found = told(takes("old_datasets", view.path, installed("datasets==4.0.0")))
    assert found == view.rows


@pytest.mark.parametrize("name", ["trl", "trl-unroll", "sharegpt", "swift", "axolotl", "verl"])
def test_views_load_by_their_card_in_the_newest_datasets(
    hostile: Path, tmp_path: Path, name: str
) -> None:
    from datasets import load_dataset

    view = export(hostile, name, tmp_path / "view", split=["eval=0.3"])
    found = load_dataset(str(view.path), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in found.items()} == view.rows
