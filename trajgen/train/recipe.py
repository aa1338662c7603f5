"""A recipe: the model, what it learns from and how, as one frozen YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from trajgen.config import Names
from trajgen.config.model import Model
from trajgen.loading import find, safe_name, user_path
from trajgen.pipeline_file import load_file

Role = Literal["world", "agent", "user", "scenario"]
# No weight hangs on these.
UNDECISIVE = ("name", "checkpoints", "evaluate", "out", "gradient_checkpointing")


class DataConfig(Model):
    """What one role learns from: run folders or seed sources, and at most how many examples."""

    model_config = ConfigDict(validate_by_name=True)

    sources: Names = Field(min_length=1, alias="from")
    examples: int | None = Field(None, ge=1)


class RolesData(Model):
    """What each role learns from; a role that is left out is not taught."""

    world: DataConfig | None = None
    agent: DataConfig | None = None
    user: DataConfig | None = None
    scenario: DataConfig | None = None

    def taught(self) -> dict[str, DataConfig]:
        """The roles that are taught."""
        return {role: data for role, data in self if data is not None}


class LoraTune(Model):
    """Low-rank adapters on every linear layer."""

    method: Literal["lora"] = "lora"
    r: int = Field(16, ge=1, le=1024)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)


class FullTune(Model):
    """Every weight; kept in float32 while it is trained."""

    method: Literal["full"]


class OptimizerConfig(Model):
    """AdamW. A step sees `batch` x `accumulate` examples, `batch` of them at once.

    `warmup` is the share of steps in which the rate rises; `max_length` is in tokens: longer
    examples are left out, never cut.
    """

    learning_rate: float = Field(1e-3, gt=0, le=1)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(0.03, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0, le=1)
    epochs: int = Field(1, ge=1, le=1000)
    batch: int = Field(8, ge=1, le=4096)
    accumulate: int = Field(3, ge=1, le=4096)
    max_length: int = Field(2048, ge=16)
    max_grad_norm: float = Field(1.0, gt=0)


class CheckpointsConfig(Model):
    """A checkpoint `every` so many steps; of older ones the weights stay, or only the `keep`
    newest."""

    every: int = Field(50, ge=1)
    keep: int | None = Field(None, ge=1)


class EvaluateConfig(Model):
    """How good the result is as the world of the recipe's pipeline: `trajgen fidelity` against
    the real world `world` on `n` of its seeds, `replay` with rollouts in both worlds.

    With it are measured, on `n_others` seeds (default: `n`), the checkpoints after the steps
    `at` and, in the pipeline `untaught`, the model as it was."""

    world: str
    n: int = Field(20, ge=1)
    replay: bool = False
    at: tuple[int, ...] = ()
    untaught: str | None = None
    n_others: int | None = Field(None, ge=1)


class Recipe(Model):
    """One training run."""

    name: str
    model: str
    revision: str | None = None
    pipeline: str
    data: RolesData
    tune: Annotated[LoraTune | FullTune, Field(discriminator="method")] = LoraTune()
    optimizer: OptimizerConfig = OptimizerConfig()
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    gradient_checkpointing: bool = False
    checkpoints: CheckpointsConfig = CheckpointsConfig()
    evaluate: EvaluateConfig | None = None
    out: str | None = None
    seed: int = Field(0, ge=0, lt=2**31)

    @model_validator(mode="before")
    @classmethod
    def _lora_unless_said(cls, data: Any) -> Any:
        tune = data.get("tune") if isinstance(data, dict) else None
        if isinstance(tune, dict) and "method" not in tune:
            return {**data, "tune": {"method": "lora", **tune}}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        safe_name(self.name)
        if not self.data.taught():
            raise ValueError("data: name at least one role to teach")
        return self

    @property
    def folder(self) -> Path:
        """Where the result goes unless the command says otherwise."""
        return user_path(self.out) if self.out else Path("runs") / "train" / self.name

    @property
    def per_step(self) -> int:
        """Examples that an optimizer step sees."""
        return self.optimizer.batch * self.optimizer.accumulate

    def saved(self) -> dict[str, Any]:
        """The recipe as JSON data, `${VAR}` as it is written."""
        saved: dict[str, Any] = self.as_written(self._resolved())
        return saved

    def _resolved(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def decisive(self) -> dict[str, Any]:
        """The part of the recipe that decides the weights, variables laid in."""
        return {key: value for key, value in self._resolved().items() if key not in UNDECISIVE}


def load_recipe(path: str, overrides: Sequence[str] = ()) -> tuple[Recipe, Path]:
    """The recipe at `path`, and the folder it is in. Raises InputError naming file, key and
    the nearest known key."""
    file = find(path)
    return load_file(file, Recipe, overrides, "See docs/train.md."), file.parent
