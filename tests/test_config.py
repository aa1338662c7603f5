"""Pipelines as models: defaults, bounds, what is saved and what decides a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.pipeline_files import CANARY, job, load, mistake
from trajgen.config import STRATEGIES, AgreementConfig, Pipeline, RoleConfig
from trajgen.config.engine import ALWAYS_READ, PLACEMENT, READ_BY, EngineConfig
from trajgen.ids import digest

ROLES = {"user": "main", "agent": "main", "world": "main"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "job.yaml"


def test_a_small_file_and_its_defaults(file: Path) -> None:
    pipeline = load(file)
    assert pipeline.seeds == ("seeds/retail_support",)
    assert pipeline.max_tasks == 40
    assert pipeline.roles.agent == RoleConfig(engine="main")
    assert pipeline.rollout.mode == "turns"
    assert dict(pipeline.variations.strategies) == dict.fromkeys(STRATEGIES, 1.0)
    assert pipeline.variations.faults.rate == 0
    assert pipeline.filters == ("default",)
    assert pipeline.keep == ("success", "failure", "refusal")
    assert pipeline.shards.rows == 512


@pytest.mark.parametrize(
    ("changes", "max_tasks"),
    [({}, 40), ({"max_tasks": 12}, 12), ({"target": "25"}, 100), ({"target": 1}, 4)],
)
def test_max_tasks_is_four_times_the_target_unless_it_is_said(
    file: Path, changes: dict[str, Any], max_tasks: int
) -> None:
    assert load(file, job(**changes)).max_tasks == max_tasks


def test_roles_by_name_or_with_settings(file: Path) -> None:
    roles = {"user": "main", "agent": {"engine": "main", "temperature": 0.1}, "world": "main"}
    pipeline = load(file, job(roles=roles))
    assert pipeline.roles.agent.temperature == 0.1
    assert pipeline.roles.user.temperature == RoleConfig(engine="main").temperature


def test_agreement_by_number_or_with_settings(file: Path) -> None:
    assert load(file).world.agreement is None
    short = load(file, job(world={"agreement": 4})).world.agreement
    assert short == AgreementConfig(samples=4, at_least=0, below="ask_again")
    long = {"samples": 2, "at_least": 0.5, "below": "drop"}
    assert load(file, job(world={"agreement": long})).world.agreement == AgreementConfig(**long)


def test_a_judge_answers_at_temperature_0_unless_told_otherwise(file: Path) -> None:
    assert load(file).roles.judge is None
    judge = load(file, job(roles={**ROLES, "judge": "main"})).roles.judge
    assert judge is not None
    assert (judge.engine, judge.temperature, judge.max_tokens) == ("main", 0, 512)
    warm = {"engine": "main", "temperature": 0.4}
    judge = load(file, job(roles={**ROLES, "judge": warm})).roles.judge
    assert judge is not None
    assert judge.temperature == 0.4


def test_near_duplicates_are_looked_for_unless_told_otherwise(file: Path) -> None:
    assert load(file).near_duplicate == 0.98
    assert load(file, None, "near_duplicate=null").near_duplicate is None


def test_models_are_frozen(file: Path) -> None:
    with pytest.raises(ValidationError):
        load(file).target = 5  # type: ignore[misc]


# what is refused


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": None}, "name: Field required"),
        ({"name": "../up"}, "cannot name a folder"),
        ({"name": ".hidden"}, "cannot name a folder"),
        ({"seeds": []}, "seeds: "),
        ({"seeds": 5}, "seeds: "),
        ({"target": 0}, "target: "),
        ({"target": "many"}, "target: "),
        ({"engines": {}}, "engines: "),
        ({"engines": {"main": {}}}, "engines.main.kind: Field required"),
        ({"roles": {"agent": "main", "user": "main"}}, "roles.world: Field required"),
        (
            {"roles": {"agent": "big", "user": "main", "world": "main"}},
            "roles.agent names engine 'big'; engines has: main",
        ),
        ({"rollout": {"mode": "batch"}}, "rollout.mode: "),
        ({"rollout": {"attempts": 0}}, "rollout.attempts: "),
        ({"variations": {"strategies": {}}}, "at least one strategy"),
        ({"variations": {"strategies": {"extend": 0}}}, "at least one strategy"),
        ({"variations": {"strategies": {"extend": -1}}}, "variations.strategies.extend: "),
        ({"variations": {"strategies": {"extend": float("inf")}}}, "finite"),
        ({"variations": {"strategies": {"extend": float("nan")}}}, "variations.strategies.extend"),
        ({"variations": {"personas": []}}, "at least one persona"),
        ({"variations": {"faults": {"rate": 1.5}}}, "variations.faults.rate: "),
        ({"variations": {"faults": {"kinds": ["boom"]}}}, "variations.faults.kinds.0: "),
        ({"limits": {"seconds": float("inf")}}, "finite"),
        ({"keep": ["partly"]}, "keep.0: "),
        ({"shards": {"rows": 0}}, "shards.rows: "),
        ({"limits": 5}, "limits: "),
        ({"roles": {**ROLES, "judge": "big"}}, "roles.judge names engine 'big'"),
        ({"judge": {"goal": 4}}, "nobody judges; name an engine in roles.judge"),
        ({"judge": {"goal": 6}}, "judge.goal: "),
        ({"near_duplicate": 0.5}, "near_duplicate: "),
        ({"decontaminate": "seeds/retail_support"}, "is a source of seeds too"),
        ({"world": {"agreement": 1}}, "world.agreement.samples: "),
        ({"world": {"agreement": True}}, "world.agreement: "),
        ({"world": {"agreement": {"below": "retry"}}}, "world.agreement.below: "),
        ({"world": {"kind": "tau2", "agreement": 3}}, "only the world model"),
        ({"world": {"agreement": 3}, "rollout": {"mode": "one_call"}}, "only the world model"),
        (
            {
                "world": {"agreement": 3},
                "roles": {**ROLES, "world": {"engine": "main", "temperature": 0}},
            },
            "at temperature 0 all samples are one",
        ),
    ],
)
def test_values_out_of_bounds_are_named(file: Path, changes: dict[str, Any], said: str) -> None:
    data = job()
    for key, value in changes.items():
        data.pop(key) if value is None else data.update({key: value})
    assert said in mistake(file, data)


# secrets


@pytest.fixture
def keyed(file: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setenv("KEY", CANARY)
    return load(file, job(engines={"main": {"kind": "openai", "api_key": "${KEY}"}}))


def test_a_secret_reaches_the_engine_and_nothing_else(keyed: Pipeline) -> None:
    secret = keyed.engines["main"].api_key
    assert secret is not None
    assert secret.get_secret_value() == CANARY
    for shown in (keyed.saved(), keyed.decisive(), keyed, str(keyed), keyed.model_dump_json()):
        assert CANARY not in repr(shown)
    assert "api_key" not in json.dumps(keyed.saved())


# what decides a run


def digest_of(file: Path, *overrides: str, **changes: Any) -> str:
    return digest(load(file, job(**changes), *overrides).decisive())


@pytest.mark.parametrize(
    "override",
    [
        "engines.main.replicas=8",
        "engines.main.tensor_parallel_size=4",
        "engines.main.max_num_seqs=512",
        "engines.main.gpu_memory_utilization=0.5",
        "engines.main.enforce_eager=true",
        "engines.main.cpu_kvcache_gb=9",
        "engines.main.base_url=http://other/v1",
        "engines.main.timeout_s=9",
        "engines.main.retries=0",
        "engines.main.start_timeout_s=9",
        "cluster.address=auto",
        "cluster.in_flight=3",
    ],
)
def test_other_hardware_is_the_same_run(file: Path, override: str) -> None:
    assert digest_of(file, override) == digest_of(file)


def test_a_key_is_not_part_of_the_run(file: Path, keyed: Pipeline) -> None:
    engine = {"kind": "openai"}
    assert digest(keyed.decisive()) == digest_of(file, engines={"main": engine})


@pytest.mark.parametrize(
    "override",
    [
        "name=other",
        "seeds=seeds/household",
        "target=11",
        "max_tasks=41",
        "engines.main.model=b",
        "engines.main.revision=abc",
        "engines.main.dtype=float32",
        "engines.main.quantization=fp8",
        "engines.main.max_model_len=4096",
        "engines.main.structured_output=false",
        "engines.main.script={quality: {agent: 0.5}}",
        "roles.world.adapter=x/y",
        "roles.agent.temperature=0.1",
        "roles.agent.max_tokens=64",
        "rollout.mode=one_call",
        "rollout.attempts=1",
        "world.examples=1",
        "variations.strategies={extend: 1}",
        "variations.personas=[terse]",
        "variations.faults.rate=0.3",
        "limits.turns=3",
        "filters=[structure]",
        "keep=[success]",
        "shards.rows=64",
        "prompts=own",
        "seed=1",
    ],
)
def test_what_decides_the_rows_decides_the_run(file: Path, override: str) -> None:
    assert digest_of(file, override) != digest_of(file)


def test_the_order_of_keys_is_no_part_of_the_run(file: Path) -> None:
    one, other = {"extend": 1, "rephrase": 2}, {"rephrase": 2, "extend": 1}
    first = digest_of(file, variations={"strategies": one})
    assert first == digest_of(file, variations={"strategies": other})


def test_the_defaults_written_out_are_the_same_run(file: Path) -> None:
    assert digest_of(file, max_tasks=40, filters="default", seed=0) == digest_of(file)


def test_placement_names_fields_of_an_engine() -> None:
    assert set(PLACEMENT) <= set(EngineConfig.model_fields)


@pytest.mark.parametrize(
    ("engine", "unread"),
    [
        ({"kind": "vllm", "max_model_len": 512, "replicas": 2}, []),
        (
            {"kind": "openai", "max_model_len": 512, "cpu_kvcache_gb": 2},
            ["cpu_kvcache_gb", "max_model_len"],
        ),
        ({"kind": "scripted", "retries": 1, "script": {}}, ["retries"]),
        ({"kind": "mine:Engine", "retries": 1}, []),
    ],
)
def test_an_engine_says_which_keys_it_does_not_read(engine: Any, unread: list[str]) -> None:
    assert EngineConfig.model_validate(engine).unread() == unread


def test_every_key_of_an_engine_is_read_by_some_kind() -> None:
    read = {*ALWAYS_READ, *(key for keys in READ_BY.values() for key in keys)}
    assert read == set(EngineConfig.model_fields)


def test_one_call_asks_no_world(file: Path) -> None:
    said = mistake(file, job(rollout={"mode": "one_call"}, world={"kind": "tau2"}))
    assert "one_call asks no world" in said
