"""TRL's SFTTrainer with PEFT: the one file that trains.

The rows come as tokens and labels in the order they are seen, so nothing here shuffles,
cuts or masks. On a CPU the loss is computed only where something is learnt: TRL's fused
head scores every position there, which takes longer than the model itself.

Crash rule: a checkpoint is whole or not there (`placed_folder`); a process that died is gone
on from the newest one, with the same rows in the same steps.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from peft.helpers import disable_input_dtype_casting
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM, PrinterCallback, ProgressCallback, TrainerCallback
from transformers.utils.logging import disable_progress_bar, set_verbosity_error
from trl import SFTConfig, SFTTrainer

from trajgen.durable import placed_folder
from trajgen.errors import MachineError
from trajgen.models import local_path
from trajgen.train.recipe import FullTune, LoraTune, Recipe
from trajgen.train.rows import IGNORED, Row

STATE = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
LOGITS = 256  # positions at a time
# A model whose head does more than multiply is left to TRL.
_HEADS = (
    *("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier"),
    *("logits_scaling",),
)


@dataclass(frozen=True, slots=True)
class Job:
    """What is trained on what, and who hears of it.

    `rows` are in the order they are seen. `resume` is a complete checkpoint. `on_step` gets
    the number of the step, its loss, learning rate and seconds; `on_checkpoint` the folder
    of a new complete checkpoint.
    """

    recipe: Recipe
    rows: Sequence[Row]
    tokenizer: Any
    checkpoint: Callable[[int], Path]
    resume: Path | None
    on_step: Callable[[int, float, float, float], None]
    on_checkpoint: Callable[[Path], None]


def fit(job: Job) -> Callable[[Path], None]:
    """Train to the end; what is returned writes the adapter or model to a folder.

    Raises MachineError when the model cannot be loaded or the loss is no number.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    disable_progress_bar()
    set_verbosity_error()
    half = _half(job.recipe)
    trainer = _Trainer(job, _load(job.recipe, half), _settings(job, half))
    casting = disable_input_dtype_casting if half and _is_lora(job.recipe) else nullcontext
    with casting(trainer.model):
        trainer.train(resume_from_checkpoint=str(job.resume) if job.resume else None)
    return lambda folder: _export(trainer.model, job, folder)


def state_files(checkpoint: Path) -> list[Path]:
    """The files of a checkpoint that only going on needs."""
    return [checkpoint / name for name in STATE]


def _half(recipe: Recipe) -> bool:
    """Whether to compute in bfloat16; `auto`: unless the processor has to emulate it."""
    if recipe.precision == "auto":
        slow = ("DEFAULT", "AVX2")
        return torch.cuda.is_available() or torch.backends.cpu.get_cpu_capability() not in slow
    return recipe.precision == "bfloat16"


def _is_lora(recipe: Recipe) -> bool:
    return isinstance(recipe.tune, LoraTune)


def _load(recipe: Recipe, half: bool) -> Any:
    """The model; weights that are trained are float32, for bfloat16 loses small updates."""
    path = local_path(recipe.model)
    if path != recipe.model:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    frozen_half = half and _is_lora(recipe)
    try:
        return AutoModelForCausalLM.from_pretrained(
            path,
            revision=recipe.revision,
            dtype=torch.bfloat16 if frozen_half else torch.float32,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise MachineError(
            f"the model {recipe.model!r} cannot be loaded ({str(error).splitlines()[0][:300]})",
            fix="Name a local folder or a model id that this machine can reach.",
        ) from error


def _settings(job: Job, half: bool) -> SFTConfig:
    recipe, optimizer = job.recipe, job.recipe.optimizer
    steps = math.ceil(len(job.rows) / recipe.per_step)
    return SFTConfig(
        output_dir=str(job.checkpoint(0).parent),
        num_train_epochs=1,  # all epochs are in the rows
        per_device_train_batch_size=optimizer.batch,
        gradient_accumulation_steps=optimizer.accumulate,
        learning_rate=optimizer.learning_rate,
        lr_scheduler_type=_schedule(optimizer.schedule),
        warmup_steps=math.ceil(optimizer.warmup * steps),
        weight_decay=optimizer.weight_decay,
        max_grad_norm=optimizer.max_grad_norm,
        train_sampling_strategy="sequential",
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        gradient_checkpointing=recipe.gradient_checkpointing,
        bf16=half,
        use_cpu=not torch.cuda.is_available(),
        seed=recipe.seed,
        save_strategy="steps",
        save_steps=recipe.checkpoints.every,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def _schedule(name: str) -> str:
    return "constant_with_warmup" if name == "constant" else name


class _Trainer(SFTTrainer):  # type: ignore[misc]
    """TRL's trainer, with our checkpoints and the loss of answers alone."""

    def __init__(self, job: Job, model: Any, settings: SFTConfig) -> None:
        self._job = job
        rows = [{"input_ids": row.input_ids, "labels": row.labels} for row in job.rows]
        super().__init__(
            model=model,
            args=settings,
            train_dataset=Dataset.from_list(rows),
            processing_class=job.tokenizer,
            peft_config=_lora(job.recipe),
            callbacks=[_Listener(job)],
        )
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        config = model.config.get_text_config()
        unscaled = all(getattr(config, name, None) is None for name in _HEADS)
        self._plain = unscaled and not self.aux_loss_enabled
        _name_base(self.model, job.recipe)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The mean negative log-likelihood of the tokens that are learnt."""
        if inputs["input_ids"].device.type != "cpu" or not self._plain or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs["labels"][:, 1:]
        learnt = labels != IGNORED
        with self.accelerator.autocast():
            loss = _loss(model, inputs["input_ids"], learnt, labels[learnt])
        return loss / (learnt.sum() if num_items_in_batch is None else num_items_in_batch)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """TRL's card would stand in every checkpoint; ours stands with the result."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        target = self._job.checkpoint(self.state.global_step)
        with placed_folder(target) as temporary:
            self._save(str(temporary))
            self._save_optimizer_and_scheduler(str(temporary))
            self._save_rng_state(str(temporary))
            self.state.save_to_json(str(temporary / "trainer_state.json"))
        self._job.on_checkpoint(target)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        _write(self.model, Path(output_dir or self.args.output_dir))


def _loss(model: Any, input_ids: Any, learnt: Any, wanted: Any) -> Any:
    """The summed loss of the tokens `wanted`, where `learnt` (sequences x positions - 1) is
    true. The logits are made some at a time, and anew for the gradient: kept whole they are
    hundreds of megabytes a batch, fresh pages for the system each time."""
    whole = model.get_base_model() if isinstance(model, PeftModel) else model
    # Padding stands on the right, where no position that is learnt looks: no mask is needed.
    seen = whole.base_model(input_ids=input_ids, use_cache=False)
    states, head = seen.last_hidden_state[:, :-1][learnt], whole.get_output_embeddings()

    def part(some: Any, tokens: Any) -> Any:
        return torch.nn.functional.cross_entropy(head(some).float(), tokens, reduction="sum")

    pairs = zip(states.split(LOGITS), wanted.split(LOGITS), strict=True)
    return sum(checkpoint(part, some, tokens, use_reentrant=False) for some, tokens in pairs)


class _Listener(TrainerCallback):  # type: ignore[misc]
    """Passes each step's loss on, and stops at one that is no number."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._began = time.monotonic()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._began = time.monotonic()

    def on_save(self, *_: Any, **__: Any) -> None:
        self._began = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise MachineError(
                f"the loss of step {state.global_step} is no number",
                fix="Lower optimizer.learning_rate, or say precision: float32.",
            )
        now = time.monotonic()
        took, self._began = now - self._began, now
        self._job.on_step(state.global_step, loss, float(logs["learning_rate"]), took)


def _lora(recipe: Recipe) -> LoraConfig | None:
    tune = recipe.tune
    if isinstance(tune, FullTune):
        return None
    return LoraConfig(
        r=tune.r,
        lora_alpha=tune.alpha,
        lora_dropout=tune.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def _name_base(model: Any, recipe: Recipe) -> None:
    """An adapter names its model as the recipe does, not by a folder of this machine."""
    if isinstance(model, PeftModel):
        for config in model.peft_config.values():
            config.base_model_name_or_path = recipe.model
            config.revision = recipe.revision


def _write(model: Any, folder: Path) -> None:
    if isinstance(model, PeftModel):
        model.save_pretrained(str(folder), save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
    else:
        model.save_pretrained(folder)


def _export(model: Any, job: Job, out: Path) -> None:
    """The result in bfloat16, half the bytes and as good to use."""
    model.to(torch.bfloat16)
    _write(model, out)
    if not isinstance(model, PeftModel):
        job.tokenizer.save_pretrained(out)
