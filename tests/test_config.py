"""Pipeline files: what is read, what is refused and how it is said, what is saved."""

from __future__ import annotations

import json
import re
import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from trajgen.config import (
    PLACEMENT,
    STRATEGIES,
    EngineConfig,
    Pipeline,
    RoleConfig,
    load_pipeline,
    read_yaml,
)
from trajgen.errors import InputError
from trajgen.ids import digest
from trajgen.loading import shipped

CANARY = "sk-canary-5f2e91"
PIPELINES = sorted(shipped("pipelines").glob("*.yaml"))


def job(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": "retail",
        "seeds": "seeds/retail_support",
        "target": 10,
        "engines": {"main": {"kind": "scripted"}},
        "roles": {"user": "main", "agent": "main", "world": "main"},
    }
    return {key: value for key, value in (data | changes).items() if value is not None}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "job.yaml"


def load(file: Path, data: Any = None, *overrides: str, limit: int | None = None) -> Pipeline:
    file.write_text(data if isinstance(data, str) else yaml.safe_dump(data or job()), "utf-8")
    return load_pipeline(file, list(overrides), limit)


def mistake(file: Path, data: Any = None, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load(file, data, *overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


# what is read


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


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_every_shipped_pipeline_is_sound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"\$\{(\w+)\}", path.read_text("utf-8")):
        monkeypatch.setenv(name, "http://127.0.0.1:1/v1")
    pipeline = load_pipeline(path)
    assert pipeline.name == path.stem
    assert pipeline.max_tasks >= pipeline.target
    again = Pipeline.model_validate(pipeline.saved())
    assert again.decisive() == pipeline.decisive()


def test_there_are_pipelines_to_ship() -> None:
    assert {"quickstart", "retail", "smoke"} <= {path.stem for path in PIPELINES}


@pytest.mark.parametrize(
    ("changes", "max_tasks"),
    [({}, 40), ({"max_tasks": 12}, 12), ({"target": "25"}, 100), ({"target": 1}, 4)],
)
def test_max_tasks_is_four_times_the_target_unless_it_is_said(
    file: Path, changes: dict[str, Any], max_tasks: int
) -> None:
    assert load(file, job(**changes)).max_tasks == max_tasks


def test_a_limit_bounds_the_tasks_and_never_raises_them(file: Path) -> None:
    assert load(file, limit=7).max_tasks == 7
    assert load(file, limit=10**6).max_tasks == 40
    with pytest.raises(InputError, match="at least 1"):
        load(file, limit=0)


def test_roles_by_name_or_with_settings(file: Path) -> None:
    roles = {"user": "main", "agent": {"engine": "main", "temperature": 0.1}, "world": "main"}
    pipeline = load(file, job(roles=roles))
    assert pipeline.roles.agent.temperature == 0.1
    assert pipeline.roles.user.temperature == RoleConfig(engine="main").temperature


def test_models_are_frozen(file: Path) -> None:
    with pytest.raises(ValidationError):
        load(file).target = 5  # type: ignore[misc]


# overrides


def test_overrides_are_laid_over_the_file(file: Path) -> None:
    pipeline = load(
        file,
        job(variations={"personas": ["terse"]}),
        "target=3",
        "limits.turns=2",
        "engines.main.replicas=2",
        "engines.other.kind=openai",
        "variations.faults.rate=0.5",
        "variations.personas=[plain, polite]",
        "seeds=[a, b]",
        "cluster.address=127.0.0.1:6379",
    )
    assert (pipeline.target, pipeline.max_tasks, pipeline.limits.turns) == (3, 12, 2)
    assert pipeline.engines["main"].replicas == 2
    assert pipeline.engines["other"].kind == "openai"
    assert pipeline.variations.faults.rate == 0.5
    assert pipeline.variations.personas == ("plain", "polite")
    assert pipeline.seeds == ("a", "b")
    assert pipeline.cluster.address == "127.0.0.1:6379"


def test_an_override_reaches_into_a_role_given_by_name(file: Path) -> None:
    pipeline = load(file, job(), "roles.agent.temperature=0.2", "roles.agent.adapter=x/y")
    assert pipeline.roles.agent == RoleConfig(engine="main", temperature=0.2, adapter="x/y")
    assert pipeline.roles.user == RoleConfig(engine="main")


def test_an_override_may_hold_an_equals_sign(file: Path) -> None:
    pipeline = load(file, job(), "engines.main.base_url=http://h/v1?a=b")
    assert pipeline.engines["main"].base_url == "http://h/v1?a=b"


def test_overrides_leave_the_file_alone(file: Path) -> None:
    load(file, job(), "engines.main.replicas=2")
    assert read_yaml(file) == job()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("target", "a.b=value"),
        ("=5", "a.b=value"),
        ("name.x=1", "'name' holds no mapping"),
        ("seeds.x=1", "'seeds' holds no mapping"),
        ("target=[", "not valid YAML"),
        ("name=2024-13-45", "not valid YAML"),
        ("tarket=5", "did you mean 'target'?"),
        ("limits.turnz=5", "did you mean 'turns'?"),
        ("target=many", "target: "),
    ],
)
def test_a_bad_override_is_named(file: Path, override: str, said: str) -> None:
    assert said in mistake(file, job(), override)


# what is refused


@pytest.mark.parametrize(
    ("changes", "key", "near"),
    [
        ({"tarket": 1}, "tarket", "target"),
        ({"enginse": {}}, "enginse", "engines"),
        ({"engines": {"main": {"kind": "vllm", "modle": "x"}}}, "engines.main.modle", "model"),
        (
            {"engines": {"model": {"kind": "vllm", "replica": 2}}},
            "engines.model.replica",
            "replicas",
        ),
        ({"rollout": {"mod": "turns"}}, "rollout.mod", "mode"),
        ({"world": {"kin": "llm"}}, "world.kin", "kind"),
        ({"variations": {"persona": []}}, "variations.persona", "personas"),
        ({"variations": {"faults": {"rat": 0.1}}}, "variations.faults.rat", "rate"),
        (
            {"variations": {"strategies": {"rephrse": 1}}},
            "variations.strategies.rephrse",
            "rephrase",
        ),
        ({"limits": {"token": 9}}, "limits.token", "tokens"),
        ({"shards": {"row": 9}}, "shards.row", "rows"),
        ({"cluster": {"adress": "auto"}}, "cluster.adress", "address"),
    ],
)
def test_an_unknown_key_is_an_error_with_the_nearest_known_one(
    file: Path, changes: dict[str, Any], key: str, near: str
) -> None:
    said = mistake(file, job(**changes))
    assert f"unknown key {key!r}; did you mean {near!r}?" in said
    assert str(file) in said


def test_an_unknown_key_of_a_role(file: Path) -> None:
    roles = {"user": "main", "agent": {"engine": "main", "temprature": 1}, "world": "main"}
    said = mistake(file, job(roles=roles))
    assert "unknown key 'roles.agent.temprature'; did you mean 'temperature'?" in said


def test_a_key_like_no_other_lists_what_is_known(file: Path) -> None:
    said = mistake(file, job(shards={"zzz": 1}))
    assert "unknown key 'shards.zzz'; known here: rows" in said


def test_the_name_of_the_file_is_no_key(file: Path) -> None:
    assert "unknown key 'path'" in mistake(file, job(path="elsewhere.yaml"))


def test_every_mistake_is_told_at_once(file: Path) -> None:
    said = mistake(file, job(target=0, tarket=1, limits={"turns": 0}))
    assert "target: " in said
    assert "limits.turns: " in said
    assert "'tarket'" in said


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
    ],
)
def test_values_out_of_bounds_are_named(file: Path, changes: dict[str, Any], said: str) -> None:
    data = job()
    for key, value in changes.items():
        data.pop(key) if value is None else data.update({key: value})
    assert said in mistake(file, data)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: x\nseeds: [a\ntarget: 1\n", 3),
        ("name: x\n\tseeds: a\n", 2),
        ("name: x\nseeds: a\n  target: 1\n", 3),
        ("a: 1\n? [x]\n: 2\n", 2),
        ("a: !!python/object/apply:os.getcwd []\n", 1),
        ("a: &x 1\nb: *y\n", 2),
    ],
)
def test_bad_yaml_is_told_with_its_line(file: Path, text: str, line: int) -> None:
    said = mistake(file, text)
    assert "not valid YAML" in said
    assert f"{file}:{line}:" in said


@pytest.mark.parametrize(
    "text",
    ["when: 2024-13-45", "a: \x01", "a: &a {b: *a}", "a: " + "9" * 5000, "[" * 1500],
    ids=["date", "control", "recursive", "number", "deep"],
)
def test_strange_yaml_is_the_users_mistake_too(file: Path, text: str) -> None:
    assert str(file) in mistake(file, text)


@pytest.mark.parametrize("text", ["", "- a\n", "just text", "5"])
def test_a_pipeline_is_a_mapping(file: Path, text: str) -> None:
    assert "mapping of keys" in mistake(file, text)


def test_a_file_that_is_not_there_or_no_text(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_pipeline(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        load_pipeline(tmp_path)
    file.write_bytes(b"name: \xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        load_pipeline(file)


def test_keys_that_are_no_text(file: Path) -> None:
    assert "5" in mistake(file, {**job(), 5: 1})


# the environment and secrets


def test_variables_come_from_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "127.0.0.1")
    monkeypatch.setenv("MODEL", "a/b")
    monkeypatch.setenv("N", "6")
    engine = {"kind": "openai", "base_url": "http://${HOST}:80/v1", "model": "${MODEL}"}
    pipeline = load(file, job(engines={"main": engine}, seeds=["${MODEL}"], target="${N}"))
    assert pipeline.engines["main"].base_url == "http://127.0.0.1:80/v1"
    assert pipeline.engines["main"].model == "a/b"
    assert pipeline.seeds == ("a/b",)
    assert (pipeline.target, pipeline.max_tasks) == (6, 24)


def test_a_variable_that_is_not_set(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    said = mistake(file, job(engines={"main": {"kind": "openai", "base_url": "${NOWHERE}"}}))
    assert "${NOWHERE} is not set in the environment" in said
    assert "export NOWHERE=" in said


def test_a_variable_is_not_expanded_twice(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTER", "${INNER}")
    assert load(file, job(seeds="${OUTER}")).seeds == ("${INNER}",)


@pytest.mark.parametrize("key", [CANARY, f"Bearer ${{KEY}}{CANARY}", f"{CANARY}${{KEY}}", 5, ""])
def test_a_literal_key_is_refused_and_not_repeated(
    file: Path, monkeypatch: pytest.MonkeyPatch, key: Any
) -> None:
    monkeypatch.setenv("KEY", "x")
    said = mistake(file, job(engines={"main": {"kind": "openai", "api_key": key}}))
    assert "api_key holds literal text" in said
    assert CANARY not in said


def test_a_literal_key_in_an_override_is_refused(file: Path) -> None:
    said = mistake(file, job(), f"engines.main.api_key={CANARY}")
    assert "literal text" in said
    assert CANARY not in said


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


def test_a_secret_is_not_in_the_traceback_of_a_mistake(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--debug` prints the cause too, and pydantic likes to quote its input."""
    monkeypatch.setenv("KEY", CANARY)
    with pytest.raises(InputError, match=r"engines\.main\.kind: Field required") as caught:
        load(file, job(engines={"main": {"api_key": "${KEY}"}}))
    text = "".join(traceback.format_exception(caught.value))
    assert "ValidationError" in text
    assert CANARY not in text


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
