"""A run's shards and TRL's views in the hands of TRL: by the script that comes with each view, the
embedded model learns what the agent says and nothing else (slow: the real trainer on the CPU)."""

from __future__ import annotations

import json
import os
import runpy
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import trajgen
from tests.conversations import TOOLS, calls, result, says, user
from tests.small_pipeline import write_pipeline
from tests.written_runs import rejected, trajectory, write_run
from trajgen.export.command import export
from trajgen.records import Message, Reason, Trajectory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600), pytest.mark.filterwarnings("ignore")]

STEPS = 30
SETTINGS = {
    "use_cpu": True,
    "bf16": False,
    "report_to": [],
    "save_strategy": "no",
    "disable_tqdm": True,
    "logging_steps": 1,
    "gradient_checkpointing": False,
    "per_device_train_batch_size": 1,
    "learning_rate": 1e-4,
    "lr_scheduler_type": "constant",
}


def talk(order: str) -> tuple[Message, ...]:
    """A call and a word of the agent about one order."""
    found = {"order_id": order, "status": "pending"}
    return (
        user(f"Where is {order}? 谢谢"),
        calls(("call_0", "get_order", {"order_id": order}), text="One moment."),
        result("call_0", found),
        says(f"It is pending: {order}."),
    )


def made(number: int) -> Trajectory:
    return trajectory(number, messages=talk(f"W{1000 + number}"), tools=TOOLS[1:2])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("taken") / "run", list(map(made, range(8))))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model with Qwen2.5's template, which has its tokens, knows tools, and which
    TRL swaps for its own with the agent's turns marked."""
    from transformers import AutoTokenizer
    from trl import chat_templates

    from trajgen.models import local_path

    folder, given = tmp_path_factory.mktemp("model"), Path(local_path("smollm2-135m"))
    tokenizer = AutoTokenizer.from_pretrained(given)
    source = Path(next(iter(chat_templates.__path__)), "qwen2_5.jinja")
    tokenizer.chat_template = source.read_text("utf-8")
    tokenizer.save_pretrained(folder)
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        os.symlink(given / name, folder / name)
    return folder


def trained(folder: Path, steps: int, monkeypatch: pytest.MonkeyPatch, kind: str = "SFT") -> Any:
    """The trainer that `train.py` of a view makes, after `steps` steps with settings for a CPU."""
    import trl

    trainers = []
    trainer, config = (getattr(trl, f"{kind}{part}") for part in ("Trainer", "Config"))

    def keep(**given: Any) -> Any:
        trainers.append(trainer(**given))
        return trainers[-1]

    monkeypatch.setattr(trl, f"{kind}Trainer", keep)
    monkeypatch.setattr(trl, f"{kind}Config", partial(config, max_steps=steps, **SETTINGS))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(folder / ".hf"))
    monkeypatch.chdir(folder)
    runpy.run_path("train.py")
    assert trainers[0].state.global_step == steps
    return trainers[0]


def losses(trainer: Any) -> list[float]:
    found = [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    assert len(found) == trainer.state.global_step
    return found


def learnt(trainer: Any) -> list[str]:
    """Of each row of the data set the text that counts for the loss."""
    rows: Sequence[Sequence[int]] = trainer.train_dataset["labels"]
    return [trainer.processing_class.decode([t for t in row if t >= 0]) for row in rows]


@pytest.mark.parametrize("name", ["the shards", "trl", "trl-unroll"])
def test_the_loss_falls_over_thirty_steps_on_what_the_agent_says_alone(
    run: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    format = "trl" if name == "the shards" else name
    view = export(run, format, tmp_path / "view", template=str(model)).path
    if name == "the shards":
        script = (view / "train.py").read_text("utf-8")
        files = f'"{run}/shards/*.parquet"'
        (view / "train.py").write_text(script.replace('"train/*.parquet"', files))
    trainer = trained(view, STEPS, monkeypatch)
    found = losses(trainer)
    assert sum(found[-5:]) < 0.5 * sum(found[:5]), found
    texts = learnt(trainer)
    assert len(texts) == (16 if name == "trl-unroll" else 8)
    for number in range(8):
        own = [text for text in texts if f"W{1000 + number}" in text]
        both = "".join(own)
        assert "One moment." in both
        assert json.dumps({"order_id": f"W{1000 + number}"}) in both
        assert f"It is pending: W{1000 + number}." in both
        assert "Where is" not in both
        assert '"status"' not in both
        assert "<tools>" not in both


def test_the_world_model_learns_right_answers_alone(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = write_pipeline(
        tmp_path,
        {"quality": {"world": 0.7}},
        world={"declared": False, "history": False, "examples": 0, "state": "outline"},
        prompts="prompts/short",
        max_tasks=4,
        rollout={"attempts": 1},
    )
    trajgen.run(played, tmp_path / "run")
    view = export(tmp_path / "run", "world-model", tmp_path / "view", template=str(model)).path
    trainer = trained(view, 2, monkeypatch)
    assert all(0 < loss < 20 for loss in losses(trainer))
    texts = learnt(trainer)
    assert len(texts) == len(trainer.train_dataset) > 4
    for text in texts:
        assert list(json.loads(text.removesuffix("<|im_end|>\n"))) == [
            *("applies", "why", "effects", "observation")
        ]


def test_pairs_are_what_dpo_prefers(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = [(*talk(f"W{1000 + n}")[:3], says("It is shipped.")) for n in range(4)]
    broken = Reason("contradicts_observation", 3, "x")
    others = [
        rejected(10 + n, broken, messages=messages, tools=TOOLS[1:2])
        for n, messages in enumerate(wrong)
    ]
    run = write_run(tmp_path / "run", [*map(made, range(4)), *others])
    view = export(run, "preference", tmp_path / "view", template=str(model)).path
    trainer = trained(view, 2, monkeypatch, "DPO")
    assert all(0 < loss < 20 for loss in losses(trainer))
    assert len(trainer.train_dataset) == 4
