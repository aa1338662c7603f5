"""`trajgen fidelity` and the gate of a run, as people use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bazaar import write_bazaar
from tests.small_pipeline import write_pipeline
from tests.test_cli import Result, Trajgen
from trajgen.errors import InputError
from trajgen.fidelity import gate
from trajgen.fidelity.source import parse_world
from trajgen.fidelity.tally import rates
from trajgen.run_record import read_record

WORLD = "tests.bazaar:Bazaar:bazaar"


@pytest.fixture
def trajgen(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Trajgen:
    """The command line beside a market's domain folder."""
    monkeypatch.chdir(tmp_path)
    write_bazaar(tmp_path / "bazaar")
    return Trajgen(capsys)


def pipeline(**changes: Any) -> str:
    return str(write_pipeline(Path("jobs"), **changes))


def required(world: str = WORLD, **bars: float) -> dict[str, Any]:
    return {"world": world, "require": bars}


# The command.


def test_the_table_is_printed_and_progress_is_not(trajgen: Trajgen) -> None:
    done = trajgen("fidelity", pipeline(), "--world", WORLD)
    assert done.code == 0
    assert done.out.startswith(f"scripted against {WORLD}: ")
    assert "goals reached in 2 rollouts each" in done.out
    assert "answers" not in done.out
    assert "3 seeds: 7 real calls and " in done.err
    assert "2 of 2 seeds rolled out" in done.err


def test_one_json_object_with_the_promised_keys(trajgen: Trajgen) -> None:
    done = trajgen("fidelity", pipeline(), "--world", WORLD, "--json", "-n", 2)
    found = json.loads(done.out)
    assert (found["world"], found["model"]) == (WORLD, "scripted")
    assert set(found["precondition"]) == {"applicable", "inapplicable"}
    assert set(found["precondition"]["applicable"]) == {"n", "correct"}
    assert set(found["effects"]) == {"n", "exact", "by_changed"}
    assert list(found["effects"]["by_changed"]) == ["0", "1", "2", "3-4", "5+"]
    assert set(found["observation"]) == {"n", "exact", "field_f1"}
    assert set(found["replay"]) == {"n", "real", "world", "world_to_real", "consistency_ratio"}
    assert found["per_tool"]


def test_it_is_the_same_each_time(trajgen: Trajgen) -> None:
    words = ("fidelity", pipeline(), "--world", WORLD, "--json")
    assert trajgen(*words).out == trajgen(*words).out


def test_every_answer_stands_beside_the_true_one(trajgen: Trajgen, tmp_path: Path) -> None:
    """The lines add up to the figures, and a wrong answer can be read."""
    words = ("fidelity", pipeline(), "--world", WORLD, "--json", "--answers", "answers.jsonl")
    found = json.loads(trajgen(*words).out)
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    sides = found["precondition"]
    assert len(lines) == sides["applicable"]["n"] + sides["inapplicable"]["n"]
    for side, applies in (("applicable", True), ("inapplicable", False)):
        there = [line for line in lines if line["truth"]["applies"] is applies]
        assert len(there) == sides[side]["n"]
        assert sum(line["right"]["precondition"] for line in there) == sides[side]["correct"]
    wrong = [line for line in lines if not line["right"]["observation"] and not line["error"]]
    assert wrong
    assert all(line["said"]["observation"] != line["truth"]["observation"] for line in wrong)
    assert set(lines[0]["call"]) == {"name", "arguments"}


@pytest.mark.parametrize("name", ["nowhere/a.jsonl", "bazaar"])
@pytest.mark.parametrize("option", ["--answers", "--plot"])
def test_where_no_file_can_be_is_told_before_the_work(
    trajgen: Trajgen, option: str, name: str
) -> None:
    done = trajgen("fidelity", pipeline(), "--world", WORLD, option, name)
    assert (done.code, done.out) == (2, "")
    assert "no file can be written there" in done.err
    assert "seeds:" not in done.err


def test_nothing_is_rolled_out_when_not_wanted(trajgen: Trajgen) -> None:
    done = trajgen("fidelity", pipeline(), "--world", WORLD, "--json", "--no-replay")
    assert json.loads(done.out)["replay"]["n"] == 0
    assert "rolled out" not in done.err


def test_a_world_of_code_can_be_measured_too(trajgen: Trajgen) -> None:
    words = ("fidelity", pipeline(), "--world", WORLD, "--json", "--no-replay", "--set")
    found = json.loads(trajgen(*words, "world.kind=tests.bazaar:Bazaar").out)
    assert {v for v in rates(found).values() if v is not None} == {1.0}
    found = json.loads(trajgen(*words, "world.kind=tests.bazaar:Obliging").out)
    assert found["precondition"]["inapplicable"]["correct"] == 0


def test_the_plot_is_a_picture(trajgen: Trajgen) -> None:
    done = trajgen("fidelity", pipeline(), "--world", WORLD, "--no-replay", "--plot", "seen.png")
    assert done.code == 0
    assert Path("seen.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_plot_that_cannot_be_written_is_told_after_the_figures(trajgen: Trajgen) -> None:
    done = trajgen("fidelity", pipeline(), "--world", WORLD, "--no-replay", "--plot", "seen.docx")
    assert (done.code, "effects" in done.out) == (2, True)
    assert "seen.docx: cannot be written" in done.err


def test_the_world_may_stand_in_the_file(trajgen: Trajgen) -> None:
    job = pipeline(fidelity={"world": WORLD, "n": 1, "replay": False})
    assert "1 seeds: " in trajgen("fidelity", job).err
    assert "2 seeds: " in trajgen("fidelity", job, "-n", 2).err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "no real world to measure against"),
        (("--world", "nowhere"), "'nowhere' names no real world"),
        (("--world", "tau2"), "'tau2' names no real world"),
        (("--world", "a:b"), "Known: declared:"),
        (("--world", "tests.bazaar:Nothing:bazaar"), "cannot load 'tests.bazaar:Nothing'"),
        (("--world", "tests.bazaar:Bazaar:nowhere"), "no such file or folder"),
        (("--world", WORLD, "-n", "0"), "-n must be at least 1"),
    ],
)
def test_what_is_refused(trajgen: Trajgen, words: tuple[str, ...], told: str) -> None:
    done = trajgen("fidelity", pipeline(), *words)
    assert (done.code, done.out) == (2, "")
    assert told in done.err


@pytest.mark.parametrize(
    ("name", "kind", "domain", "source"),
    [
        ("tau2:retail", "tau2", "retail", "tau2:retail"),
        ("declared:seeds/household", "declared", "seeds/household", "seeds/household"),
        ("my_world:LampWorld:seeds/lamps", "my_world:LampWorld", "", "seeds/lamps"),
        ("my.world:Shop:tau2:retail", "my.world:Shop", "", "tau2:retail"),
    ],
)
def test_a_world_names_its_seeds(name: str, kind: str, domain: str, source: str) -> None:
    config, found = parse_world(name)
    assert (config.kind, config.domain, found) == (kind, domain, source)


def test_an_empty_name_is_none() -> None:
    with pytest.raises(InputError):
        parse_world("tau2:")


# Bars.


def test_a_missed_bar_is_exit_1_after_the_figures(trajgen: Trajgen) -> None:
    job = pipeline(fidelity=required(effects_exact=0.1, precondition_inapplicable=1.0))
    done = trajgen("fidelity", job, "--json")
    assert done.code == 1
    rate = rates(json.loads(done.out))["precondition_inapplicable"]
    assert f"precondition_inapplicable: {rate:.4f}, wanted at least 1" in done.err
    assert "misses 1 of 2 bars" in done.err
    assert "consistency_ratio" not in done.err


def test_bars_hold_for_the_world_that_they_are_set_for(trajgen: Trajgen) -> None:
    job = pipeline(fidelity=required("tests.bazaar:Stall:bazaar", precondition_inapplicable=1.0))
    assert trajgen("fidelity", job).code == 1
    assert trajgen("fidelity", job, "--world", WORLD).code == 0


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"world": WORLD, "require": {"effect_exact": 1}}, "did you mean 'effects_exact'?"),
        ({"world": WORLD, "require": {"effects_exact": 80}}, "less than or equal to 1"),
        ({"require": {}}, "fidelity.world: Field required"),
        (
            {"world": WORLD, "replay": False, "require": {"consistency_ratio": 1}},
            "require.consistency_ratio is measured with replay: true",
        ),
    ],
)
def test_a_section_that_is_wrong(trajgen: Trajgen, section: dict[str, Any], told: str) -> None:
    done = trajgen("fidelity", pipeline(fidelity=section))
    assert done.code == 2
    assert told in done.err


# A run that requires it.


def run(trajgen: Trajgen, **bars: float) -> Result:
    section = {**required(**bars), "replay": False}
    return trajgen("run", pipeline(fidelity=section), "--out", "run")


def test_a_run_below_the_bar_does_not_play(trajgen: Trajgen) -> None:
    done = run(trajgen, precondition_inapplicable=1.0)
    assert (done.code, done.out) == (1, "")
    assert "precondition_inapplicable" in done.err
    assert list(Path("run/shards").iterdir()) == []
    stored = read_record(Path("run/fidelity.json")) or {}
    assert stored["figures"]["world"] == WORLD


def test_a_run_above_the_bar_plays_and_says_so(trajgen: Trajgen) -> None:
    done = run(trajgen, effects_exact=0.5)
    assert done.code == 0
    assert "fidelity: 3 seeds: 7 real calls" in done.err
    manifest = json.loads(Path("run/manifest.json").read_text("utf-8"))
    assert "fidelity.json" in manifest["files"]
    card = Path("run/README.md").read_text("utf-8")
    stored = read_record(Path("run/fidelity.json")) or {}
    effects = stored["figures"]["effects"]
    assert f"measured against `{WORLD}`" in card
    assert f"| effects exact | {effects['exact']} of {effects['n']} |" in card
    assert "consistency ratio" not in card  # nothing was rolled out
    assert trajgen("verify", "run").code == 0
    Path("run/fidelity.json").write_text("{}", "utf-8")
    assert "fidelity.json" in trajgen("verify", "run").out


def test_what_was_measured_is_not_measured_again(
    trajgen: Trajgen, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(trajgen, effects_exact=1.0).code == 1
    before = Path("run/fidelity.json").read_bytes()

    async def never(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(gate, "measure", never)
    assert run(trajgen, effects_exact=1.0).code == 1
    assert run(trajgen, effects_exact=0.5).code == 0  # a lower bar, the same run
    assert Path("run/fidelity.json").read_bytes() == before


def test_a_damaged_record_is_measured_again(trajgen: Trajgen) -> None:
    assert run(trajgen, effects_exact=1.0).code == 1
    before = Path("run/fidelity.json").read_bytes()
    Path("run/fidelity.json").write_bytes(before.replace(b"exact", b"inexact"))
    assert run(trajgen, effects_exact=0.5).code == 0
    assert Path("run/fidelity.json").read_bytes() == before


def test_a_run_without_bars_measures_nothing(trajgen: Trajgen) -> None:
    assert trajgen("run", pipeline(), "--out", "run").code == 0
    assert not Path("run/fidelity.json").exists()
    assert "measured against" not in Path("run/README.md").read_text("utf-8")


def test_a_wrong_world_is_told_before_anything_is_written(trajgen: Trajgen) -> None:
    done = trajgen("run", pipeline(fidelity=required("nowhere")), "--out", "run")
    assert done.code == 2
    assert not Path("run").exists()
