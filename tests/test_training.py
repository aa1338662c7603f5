"""Real training of a tiny model on the CPU, killed and gone on (slow: TRL, PEFT, torch)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from small_training import STEPS, examples, save_model, write_recipe

from trajgen.ids import stream
from trajgen.merging import merge
from trajgen.train.recipe import load_recipe
from trajgen.train.rows import IGNORED, Rows

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SMALL = Path(__file__).parent / "small_training.py"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def whole(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    recipe = write_recipe(folder / "recipe.yaml", model)
    assert start(recipe, folder / "out").wait(300) == 0
    return folder / "out"


def start(recipe: Path, out: Path, *overrides: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": f"{SMALL.parents[1]}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SMALL), str(recipe), str(out), *overrides]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


def log(out: Path) -> list[dict[str, Any]]:
    lines = (out / "log.jsonl").read_text().splitlines() if (out / "log.jsonl").exists() else []
    return [json.loads(line) for line in lines]


def test_what_is_learnt_is_the_answers_with_the_end_of_their_turn(model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = Rows(tokenizer).of(examples())
    for example, row in zip(examples(), rows, strict=True):
        answers = [m["content"] for m in example.messages if m["role"] == "assistant"]
        learnt = [label for label in row.labels if label != IGNORED]
        assert tokenizer.decode(learnt) == "".join(f"{answer}<|im_end|>" for answer in answers)
        asked = tokenizer.apply_chat_template(
            list(example.messages[:-1]), add_generation_prompt=True, return_dict=False
        )
        assert row.input_ids[: len(asked)] == asked  # as an engine sends it


def test_the_loss_falls_and_the_result_loads(whole: Path, model: Path, tmp_path: Path) -> None:
    entries = log(whole)
    assert [entry["step"] for entry in entries] == list(range(1, STEPS + 1))
    assert entries[-1]["loss"] < 0.9 * entries[0]["loss"]
    assert entries[-1]["examples"] == {"world": 200, "agent": 200}
    shapes, dtypes = tensors(whole / "adapter" / "adapter_model.safetensors")
    assert len(shapes) == 2 * 2 * 7  # two matrices for each linear layer
    assert dtypes == {"torch.bfloat16"}
    merge(model, whole / "adapter", tmp_path / "merged")
    merged, _ = tensors(tmp_path / "merged" / "model.safetensors")
    before, _ = tensors(model / "model.safetensors")
    assert merged.keys() == before.keys()
    changed = {name for name in merged if not (merged[name] == before[name].bfloat16()).all()}
    assert changed == {name for name in merged if "_proj" in name}


def test_the_loss_is_that_of_trl(model: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoTokenizer
    from trl import SFTTrainer

    from trajgen.train import sft

    recipe, _ = load_recipe(str(write_recipe(tmp_path / "recipe.yaml", model)))
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = Rows(tokenizer).of(examples()[:6])
    job = sft.Job(recipe, rows, tokenizer, lambda _: tmp_path / "step", None, _ignore, _ignore)
    trainer = sft._Trainer(job, sft._load(recipe, half=False), sft._settings(job, half=False))
    batch = trainer.data_collator([{"input_ids": r.input_ids, "labels": r.labels} for r in rows])
    assert batch["attention_mask"].min() == 0  # some are padded
    losses, slopes = [], []
    for compute in (trainer.compute_loss, partial(SFTTrainer.compute_loss, trainer)):
        trainer.model.zero_grad()
        loss = compute(trainer.model, dict(batch))
        loss.backward()
        losses.append(loss.item())
        grads = [p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]
        slopes.append(torch.cat(grads))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert (slopes[0] - slopes[1]).abs().max() < 1e-4 * slopes[1].abs().max()


def _ignore(*_: Any) -> None:
    pass


def test_nothing_of_this_machine_is_in_the_result(whole: Path) -> None:
    for file in ("README.md", "adapter_config.json"):
        text = (whole / "adapter" / file).read_text()
        assert str(whole) not in text
    assert "loss" in (whole / "adapter" / "README.md").read_text()
    assert not list((whole / "checkpoints").rglob("*.bin"))
    last = max((whole / "checkpoints").iterdir(), key=lambda p: int(p.name.split("-")[1]))
    assert (last / "optimizer.pt").exists()
    assert [p.parent.name for p in whole.rglob("optimizer.pt")] == [last.name]


def test_killed_three_times_it_ends_as_if_nothing_had_been(
    whole: Path, model: Path, tmp_path: Path
) -> None:
    recipe, out = write_recipe(tmp_path / "recipe.yaml", model), tmp_path / "out"
    chance = stream("test-kill", 0)
    for least in sorted(chance.sample(range(2, STEPS - 3), 3)):
        process = start(recipe, out)
        while len(log(out)) < least and process.poll() is None:
            time.sleep(0.005)
        time.sleep(chance.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL
    assert start(recipe, out).wait(300) == 0
    assert [entry["step"] for entry in log(out)] == list(range(1, STEPS + 1))
    for again, once in zip(log(out), log(whole), strict=True):
        assert again["loss"] == pytest.approx(once["loss"], abs=1e-3)
        assert again["examples"] == once["examples"]
    again, _ = tensors(out / "adapter" / "adapter_model.safetensors")
    once, _ = tensors(whole / "adapter" / "adapter_model.safetensors")
    assert all((again[name] - once[name]).abs().max() < 1e-2 for name in once)


def test_a_polite_kill_stops_it_at_once_and_it_goes_on(model: Path, tmp_path: Path) -> None:
    recipe, out = write_recipe(tmp_path / "recipe.yaml", model), tmp_path / "out"
    process = start(recipe, out)
    while len(log(out)) < 10 and process.poll() is None:
        time.sleep(0.005)
    process.terminate()
    assert process.wait(10) == 130
    assert len(log(out)) < STEPS
    assert start(recipe, out).wait(300) == 0
    assert [entry["step"] for entry in log(out)] == list(range(1, STEPS + 1))


def test_a_finished_training_is_not_touched(whole: Path, model: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    recipe = write_recipe(tmp_path / "recipe.yaml", model)
    assert start(recipe, whole).wait(120) == 0
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_every_weight_can_be_trained_in_bfloat16(model: Path, tmp_path: Path) -> None:
    recipe, out = write_recipe(tmp_path / "r.yaml", model, "{method: full}"), tmp_path / "out"
    few = ("optimizer.epochs=1", "precision=bfloat16", "optimizer.learning_rate=0.01")
    assert start(recipe, out, *few).wait(300) == 0
    assert log(out)[-1]["loss"] < 0.9 * log(out)[0]["loss"]
    assert (out / "model" / "tokenizer.json").exists()
    assert tensors(out / "model" / "model.safetensors")[1] == {"torch.bfloat16"}


def test_lora_in_bfloat16_keeps_what_it_trains_in_float32(model: Path, tmp_path: Path) -> None:
    recipe, out = write_recipe(tmp_path / "r.yaml", model), tmp_path / "out"
    half = ("precision=bfloat16", "gradient_checkpointing=true")
    assert start(recipe, out, *half).wait(300) == 0
    (newest,) = {path.parent for path in out.rglob("optimizer.pt")}
    assert tensors(newest / "adapter_model.safetensors")[1] == {"torch.float32"}
    assert log(out)[-1]["loss"] < 0.9 * log(out)[0]["loss"]


def tensors(path: Path) -> tuple[dict[str, Any], set[str]]:
    from safetensors.torch import load_file

    found = load_file(path)
    return found, {str(tensor.dtype) for tensor in found.values()}
