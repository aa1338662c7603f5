"""Pipeline files: what is read, what is refused and how it is said, where secrets come from."""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline_files import CANARY, job, load, mistake
from trajgen.config import Pipeline, RoleConfig
from trajgen.errors import InputError
from trajgen.loading import find, shipped
from trajgen.models import TAUGHT
from trajgen.pipeline_file import load_pipeline, read_yaml
from trajgen.train.recipe import Recipe, load_recipe

RECIPES = sorted(shipped("recipes").glob("*.yaml"))
PIPELINES = sorted(shipped("pipelines").glob("*.yaml"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "job.yaml"


# what is read


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
    assert {"household_untaught", "quickstart", "retail", "smoke"} <= {
        path.stem for path in PIPELINES
    }


def test_the_quick_start_differs_from_the_untaught_one_in_what_was_taught_alone() -> None:
    taught, untaught = (
        load_pipeline(shipped("pipelines") / f"{name}.yaml")
        for name in ("quickstart", "household_untaught")
    )
    assert taught.seeds == untaught.seeds == ("seeds/household",)
    assert taught.max_tasks == untaught.max_tasks == 48
    assert taught.filters == untaught.filters
    assert taught.keep == untaught.keep
    assert taught.near_duplicate == untaught.near_duplicate
    base = TAUGHT[taught.engines["main"].model].base
    assert untaught.engines["main"].model == base
    assert not taught.world.declared
    assert not untaught.world.declared


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_is_sound_and_names_what_is_there(path: Path) -> None:
    recipe, near = load_recipe(str(path))
    assert recipe.name == path.stem
    pipelines = [recipe.pipeline]
    if recipe.evaluate and recipe.evaluate.untaught:
        pipelines.append(recipe.evaluate.untaught)
    for pipeline in pipelines:
        load_pipeline(find(pipeline, near))
    assert Recipe.model_validate(recipe.saved()) == recipe


def test_a_limit_bounds_the_tasks_and_never_raises_them(file: Path) -> None:
    assert load(file, limit=7).max_tasks == 7
    assert load(file, limit=10**6).max_tasks == 40
    with pytest.raises(InputError, match="at least 1"):
        load(file, limit=0)


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


@pytest.mark.parametrize(
    ("text", "line"), [("name: a\nname: b\n", 2), ("limits:\n  turns: 1\n  turns: 2\n", 3)]
)
def test_a_key_given_twice_is_refused_with_its_line(file: Path, text: str, line: int) -> None:
    file.write_text(text, "utf-8")
    with pytest.raises(InputError, match=r"'\w+' is given twice") as caught:
        read_yaml(file)
    assert caught.value.where == f"{file}:{line}"


def test_a_merge_may_be_overridden(file: Path) -> None:
    file.write_text("base: &base {a: 1}\nmine:\n  <<: *base\n  a: 2\n", "utf-8")
    assert read_yaml(file)["mine"] == {"a": 2}


def test_a_password_in_a_url_is_refused_and_not_repeated(file: Path) -> None:
    said = mistake(file, job(), "engines.main.base_url=http://me:hunter2@host/v1")
    assert "engines.main.base_url: holds a user or password" in said
    assert "hunter2" not in said
