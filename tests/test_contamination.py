"""Rows that repeat a benchmark's item are found, with the item; others pass."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.playing import DOMAIN, SEED, SEED_MESSAGES, made
from tests.small_pipeline import write_pipeline
from trajgen import pipeline
from trajgen.contamination import NO_BENCHMARKS, Benchmarks, load_benchmarks
from trajgen.errors import InputError
from trajgen.records import Domain, Trajectory
from trajgen.seeds import load_seeds

WISH = (
    "I bought a green kettle in March and would like to send it back, because its lid no "
    "longer closes and the handle gets hot."
)


def said(*texts: str, domain: Domain = DOMAIN) -> Trajectory:
    messages = [{"role": "user", "content": text} for text in texts]
    return Trajectory("t", domain.name, tuple(messages))


def benchmark(folder: Path, *lines: Any) -> Benchmarks:
    path = folder / "items.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n\n" for line in lines))
    return load_benchmarks([str(path)])


@pytest.mark.parametrize(
    "line", [WISH, {"text": WISH}, {"messages": [{"role": "user", "content": WISH}]}]
)
def test_thirteen_words_in_a_row_are_too_many(tmp_path: Path, line: Any) -> None:
    known = benchmark(tmp_path, "something short", line)
    inside = "Hi! " + " ".join(WISH.upper().split()[2:15]) + " ... thanks"
    (reason,) = known.check(said("Hello.", inside), DOMAIN)
    assert (reason.code, reason.at) == ("contaminated", 1)
    assert "items.jsonl:3" in reason.detail
    assert "green kettle" in reason.detail
    twelve = " ".join(WISH.split()[2:14])
    assert known.check(said(f"Hello, {twelve} or so"), DOMAIN) == []


def test_a_short_text_counts_as_a_whole_and_only_as_the_first(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": "Please cancel my second order."},
        {"role": "assistant", "content": "Shall I really go ahead?"},
        {"role": "user", "content": "Yes, I do agree with that."},
    ]
    known = benchmark(tmp_path, {"messages": messages}, "yes please")
    assert known.check(said("please  CANCEL my second order"), DOMAIN) != []
    assert known.check(said("Please cancel my second order today."), DOMAIN) == []
    assert known.check(said("Yes, I do agree with that."), DOMAIN) == []
    assert known.check(said("yes please"), DOMAIN) == []


def called(*names: tuple[str, str]) -> Trajectory:
    calls = [made(f"c{n}", *name) for n, name in enumerate(names)]
    message = {"role": "assistant", "content": "", "tool_calls": calls}
    return Trajectory("t", "shop", ({"role": "user", "content": "Go."}, message))


def test_the_same_calls_are_too_much(tmp_path: Path) -> None:
    known = benchmark(tmp_path, {"messages": list(SEED_MESSAGES)})
    same = called(("cancel_order", "W101"), ("get_order", "W101"))  # in whatever order
    (reason,) = known.check(same, DOMAIN)
    assert (reason.code, reason.at) == ("contaminated", None)
    assert "goal calls of" in reason.detail
    assert known.check(called(("cancel_order", "W101")), DOMAIN) == []
    assert known.check(called(("cancel_order", "W102"), ("get_order", "W102")), DOMAIN) == []
    assert known.check(said("Go."), DOMAIN) == []


@pytest.mark.slow
def test_of_an_import_the_writing_calls_are_the_goal() -> None:
    loaded = load_seeds(("tau2:airline",))
    (domain,) = loaded.domains.values()
    known = load_benchmarks(["tau2:airline"])
    writing = next(s for s in loaded.seeds if s.meta.get("effects"))
    quiet = tuple({**m, "content": ""} if m["role"] == "user" else m for m in writing.messages)
    (reason,) = known.check(Trajectory("t", domain.name, quiet), domain)
    assert reason.detail.startswith("makes the goal calls of tau2:airline")
    ours = load_seeds(("seeds/retail_support",))
    for seed in ours.seeds:
        row = Trajectory(seed.id, seed.domain, seed.messages)
        assert known.check(row, ours.domains[seed.domain]) == []


def test_nothing_is_known_without_benchmarks() -> None:
    assert NO_BENCHMARKS.check(said(WISH), DOMAIN) == []
    assert load_benchmarks([]) == NO_BENCHMARKS
    assert len({NO_BENCHMARKS.digest, Benchmarks({"a": "x"}).digest}) == 2


@pytest.mark.parametrize("line", ["{", "3", '{"question": "x"}', '{"messages": [{"role": 1}]'])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text(f'"fine"\n{line}\n')
    with pytest.raises(InputError) as error:
        load_benchmarks([str(path)])
    assert "items.jsonl:2" in error.value.where
    with pytest.raises(InputError):
        load_benchmarks([str(tmp_path / "nowhere.jsonl")])


def test_seeds_that_are_the_benchmark_are_refused(tmp_path: Path) -> None:
    known = benchmark(tmp_path, {"messages": list(SEED_MESSAGES)})
    other = replace(SEED, id="other", messages=({"role": "user", "content": WISH},))
    known.refuse_seeds([SEED, other], {"shop": DOMAIN})
    with pytest.raises(InputError, match="all 1 seeds are contaminated"):
        known.refuse_seeds([SEED], {"shop": DOMAIN})


@pytest.mark.slow
def test_a_run_rejects_what_its_benchmark_holds(tmp_path: Path) -> None:
    seeds = load_seeds(("seeds/household",)).seeds
    items = tmp_path / "items.jsonl"
    items.write_text(json.dumps({"messages": list(seeds[0].messages)}) + "\n")
    path = write_pipeline(tmp_path, max_tasks=24, decontaminate=["items.jsonl"])
    run = pipeline.run(path, tmp_path / "run")
    rejected = run.status()["reasons"]
    assert rejected == {"contaminated": 2}
    assert {row.seed_id for row in run.sample(9, rejected=True)} == {seeds[0].id}
    plain = write_pipeline(tmp_path / "plain", max_tasks=24)
    assert pipeline.load(plain).digest != pipeline.load(path).digest
    again = pipeline.load(path).digest
    items.write_text('"Something else entirely, said in words of its own."\n')
    assert pipeline.load(path).digest != again
