"""A pipeline file as frozen models: an unknown key is an error, never ignored.

A field that is secret is in no saved file, message or traceback.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from trajgen.config.engine import PLACEMENT, EngineConfig
from trajgen.config.model import Model
from trajgen.config.stop import StopConfig
from trajgen.loading import safe_name
from trajgen.records import Outcome

UNDECISIVE = ("cluster", "fidelity", "stop")  # sections that no row depends on


class RoleConfig(Model):
    """Who plays a role, and how it samples. `max_tokens` bounds one answer."""

    engine: str
    adapter: str | None = None
    temperature: float = Field(0.8, ge=0, le=5)
    top_p: float = Field(0.95, gt=0, le=1)
    max_tokens: int = Field(512, ge=8, le=65536)


def _role(value: Any) -> Any:
    return {"engine": value} if isinstance(value, str) else value


RoleField = Annotated[RoleConfig, BeforeValidator(_role)]


class JudgeRoleConfig(RoleConfig):
    """A role that is asked for its best answer."""

    temperature: float = Field(0.0, ge=0, le=5)


class RolesConfig(Model):
    """Each role by the name of an engine, or with its own settings."""

    agent: RoleField
    user: RoleField
    world: RoleField
    judge: Annotated[JudgeRoleConfig, BeforeValidator(_role)] | None = None


class RolloutConfig(Model):
    """`turns`: each role speaks in turn. `one_call`: one completion is a whole trajectory.

    `attempts` bounds the tries of one step, one action or one answer.
    """

    mode: Literal["turns", "one_call"] = "turns"
    attempts: int = Field(3, ge=1, le=20)


class AgreementConfig(Model):
    """How often the world model is asked each call, and the share of answers that must agree
    with the one that is taken; `below` that it is asked anew, or the rollout ends."""

    samples: int = Field(3, ge=2, le=32)
    at_least: float = Field(0.0, ge=0, le=1)
    below: Literal["ask_again", "drop"] = "ask_again"


def _samples(value: Any) -> Any:
    return {"samples": value} if isinstance(value, int) and value is not True else value


class WorldConfig(Model):
    """What answers tool calls: the world model (`llm`), tools declared in the domain file
    (`declared`), a real environment (`tau2`, `textworld`, `scienceworld`), or
    `package.module:Class`. `domain` says which one of a real environment's. Without
    `declared` the world model answers declared tools too, and is held against code.

    The world model is shown `examples` real results with each call, the earlier calls of the
    conversation (`history`), and of the state what the call touches: in `full`, or as an
    `outline` that gives the entities inside it by their ids alone."""

    kind: str = "llm"
    domain: str = ""
    declared: bool = True
    examples: int = Field(2, ge=0, le=20)
    history: bool = True
    state: Literal["full", "outline"] = "full"
    agreement: Annotated[AgreementConfig | None, BeforeValidator(_samples)] = None


Fault = Literal["timeout", "not_found", "permission_denied"]


class FaultsConfig(Model):
    """How often a planned fault hits a task, and which kinds."""

    rate: float = Field(0.0, ge=0, le=1)
    kinds: tuple[Fault, ...] = get_args(Fault)


Strategy = Literal[
    "rephrase", "entity_swap", "extend", "compose", "variant_outcome", "new_scenario"
]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


class VariationsConfig(Model):
    """What a seed is varied by: weighted strategies, personas, planned faults."""

    strategies: dict[Strategy, Annotated[float, Field(ge=0)]] = dict.fromkeys(STRATEGIES, 1.0)
    personas: tuple[str, ...] = ("plain",)
    faults: FaultsConfig = FaultsConfig()

    @model_validator(mode="after")
    def _something_to_do(self) -> VariationsConfig:
        if not any(self.strategies.values()):
            raise ValueError("at least one strategy needs a weight above 0")
        if not self.personas:
            raise ValueError("name at least one persona")
        return self


class LimitsConfig(Model):
    """What ends a rollout: user turns, tool calls, tokens of the whole, seconds of the clock."""

    turns: int = Field(20, ge=1)
    tool_calls: int = Field(15, ge=0)
    tokens: int = Field(8192, ge=64)
    seconds: float = Field(1800, gt=0)


class JudgeConfig(Model):
    """The lowest scores, from 1 to 5, with which the judge lets a trajectory pass."""

    policy: int = Field(3, ge=1, le=5)
    goal: int = Field(3, ge=1, le=5)
    quality: int = Field(3, ge=1, le=5)


class ShardsConfig(Model):
    """`rows`: tasks a shard, a fixed range of the plan."""

    rows: int = Field(512, ge=1, le=1_000_000)


Bar = Annotated[float, Field(ge=0, le=1)]


class BarsConfig(Model):
    """The least that a world model has to reach of each figure; none is no bar."""

    precondition_applicable: Bar | None = None
    precondition_inapplicable: Bar | None = None
    effects_exact: Bar | None = None
    observation_exact: Bar | None = None
    observation_field_f1: Bar | None = None
    consistency_ratio: float | None = Field(None, ge=0)


class FidelityConfig(Model):
    """What a run requires of its world model before it plays: `require`, measured on `n`
    seeds of the real world `world`, with rollouts in both worlds where `replay` is true."""

    world: str
    n: int = Field(20, ge=1)
    replay: bool = True
    require: BarsConfig = BarsConfig()

    @model_validator(mode="after")
    def _measured(self) -> FidelityConfig:
        if self.require.consistency_ratio is not None and not self.replay:
            raise ValueError("require.consistency_ratio is measured with replay: true")
        return self


class ClusterConfig(Model):
    """Where workers run: `local` Ray, a Ray address, `auto`, or `inline` in this process.

    `in_flight` is how many rollouts a worker plays at once (default: 1.25 x the engine's
    `max_num_seqs`). Joining a cluster needs Ray's token authentication, or `trusted: true`.
    """

    address: str = "local"
    in_flight: int | None = Field(None, ge=1)
    restarts: int = Field(24, ge=0)
    trusted: bool = False


def _names(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class Pipeline(Model):
    """One job."""

    name: str
    seeds: Names = Field(min_length=1)
    target: int = Field(ge=1)
    max_tasks: int = Field(ge=1, le=100_000_000)
    engines: dict[str, EngineConfig] = Field(min_length=1)
    roles: RolesConfig
    rollout: RolloutConfig = RolloutConfig()
    world: WorldConfig = WorldConfig()
    variations: VariationsConfig = VariationsConfig()
    limits: LimitsConfig = LimitsConfig()
    filters: Names = ("default",)
    keep: tuple[Outcome, ...] = get_args(Outcome)
    judge: JudgeConfig = JudgeConfig()
    near_duplicate: float | None = Field(0.98, ge=0.9, le=1)
    decontaminate: Names = ()
    shards: ShardsConfig = ShardsConfig()
    cluster: ClusterConfig = ClusterConfig()
    fidelity: FidelityConfig | None = None
    stop: StopConfig | None = None
    prompts: str | None = None
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _default_max_tasks(cls, data: Any) -> Any:
        target = str(data.get("target")) if isinstance(data, dict) else ""
        return {"max_tasks": 4 * int(target), **data} if target.isdecimal() else data

    @model_validator(mode="after")
    def _consistent(self) -> Pipeline:
        safe_name(self.name)
        for name, role in self.roles:
            if role is not None and role.engine not in self.engines:
                known = ", ".join(self.engines)
                raise ValueError(f"roles.{name} names engine {role.engine!r}; engines has: {known}")
        if self.rollout.mode == "one_call" and self.world.kind != "llm":
            raise ValueError("rollout.mode: one_call asks no world; leave world.kind out")
        self._check_agreement()
        if self.judge != JudgeConfig() and self.roles.judge is None:
            raise ValueError("judge: nobody judges; name an engine in roles.judge")
        twice = sorted(set(self.decontaminate) & set(self.seeds))
        if twice:
            raise ValueError(
                f"decontaminate: {twice[0]!r} is a source of seeds too; every row would be "
                "contaminated. Take seeds from elsewhere, or leave it out here"
            )
        return self

    def _check_agreement(self) -> None:
        if self.world.agreement is None:
            return
        if self.world.kind != "llm" or self.rollout.mode == "one_call":
            raise ValueError("world.agreement: only the world model (kind llm, turns) is sampled")
        if self.roles.world.temperature == 0:
            raise ValueError(
                "world.agreement: at temperature 0 all samples are one; give roles.world a "
                "temperature"
            )

    def saved(self) -> dict[str, Any]:
        """The file as JSON data for `run.json`: without keys, and `${VAR}` as it is written."""
        saved: dict[str, Any] = self.as_written(self._resolved())
        return saved

    def _resolved(self) -> dict[str, Any]:
        data = self.model_dump(mode="json", exclude_none=True)
        for engine in data["engines"].values():
            engine.pop("api_key", None)
        return data

    def decisive(self) -> dict[str, Any]:
        """The part of the file that decides what the rows hold, variables laid in."""
        data = self._resolved()
        for key in UNDECISIVE:
            data.pop(key, None)
        for engine in data["engines"].values():
            for key in PLACEMENT:
                engine.pop(key, None)
        return data
