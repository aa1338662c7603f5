"""The commands as people type them: exit codes, one clear message, nothing lost."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.small_pipeline import REPO, environment, pipeline_data, start, tree, write_pipeline
from trajgen import cli
from trajgen.loading import shipped
from trajgen.lock import DriverLock

VERBS = (
    "run",
    "preview",
    "plan",
    "fidelity",
    "seeds",
    "status",
    "verify",
    "show",
    "filter",
    "model",
    "doctor",
)
SHARD = "shards/train-00001.parquet"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


class Trajgen:
    """Calls the command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: Any) -> Result:
        self._capsys.readouterr()
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as exit_:  # argparse
            code = int(exit_.code or 0)
        captured = self._capsys.readouterr()
        return Result(code, captured.out, captured.err)


@pytest.fixture
def trajgen(capsys: pytest.CaptureFixture[str]) -> Trajgen:
    return Trajgen(capsys)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 12 tasks; only read it."""
    folder = tmp_path_factory.mktemp("finished")
    pipeline = write_pipeline(folder, {"quality": {"agent": 0.8}})
    assert cli.main(["run", str(pipeline), "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Path) -> Path:
    """The working folder: a good pipeline, a finished run and some files of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    write_pipeline(tmp_path)
    shutil.copytree(finished, tmp_path / "finished")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("do not touch")
    return tmp_path


def changed(here: Path, **changes: Any) -> str:
    """The name of a pipeline file with other keys."""
    return str(write_pipeline(here / "changed", **changes))


def with_engine(here: Path, **engine: Any) -> str:
    return changed(here, engines={"main": engine})


def text_file(here: Path, name: str, text: str) -> str:
    (here / name).write_text(text)
    return name


def domain(here: Path, *lines: str) -> str:
    """A copy of a shipped domain with other seed lines."""
    folder = here / "domain"
    shutil.copytree(shipped("seeds") / "household", folder)
    if lines:
        (folder / "trajectories.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return str(folder)


def good_lines() -> list[str]:
    return (shipped("seeds") / "household" / "trajectories.jsonl").read_text("utf-8").splitlines()


def line_with_unknown_tool() -> str:
    seed = json.loads(good_lines()[0])
    call = next(m for m in seed["messages"] if "tool_calls" in m)["tool_calls"][0]
    call["function"]["name"] = "teleport"
    return json.dumps(seed)


def unfinished(here: Path) -> str:
    for name in ("manifest.json", "README.md", "shards/train-00002.parquet"):
        (here / "finished" / name).unlink()
    return "finished"


def damaged(here: Path) -> str:
    data = bytearray((here / "finished" / SHARD).read_bytes())
    data[len(data) // 2] ^= 1
    (here / "finished" / SHARD).write_bytes(data)
    return "finished"


RUN = ["run", "pipeline.yaml"]
CLOSED = "http://127.0.0.1:9/v1"  # the discard port: nothing listens there

# Each: what is typed, the exit code, what the message has to hold.
WRONG: dict[str, tuple[Any, int, tuple[str, ...]]] = {
    "unknown key": (
        lambda h: ["run", changed(h, shard={"rows": 2})],
        2,
        ("unknown key 'shard'", "did you mean 'shards'?", "changed/pipeline.yaml"),
    ),
    "misspelt nested key": (
        lambda h: ["plan", with_engine(h, kind="scripted", max_model_length=4096)],
        2,
        ("engines.main.max_model_length", "did you mean 'max_model_len'?"),
    ),
    "two mistakes, both told": (
        lambda h: ["plan", changed(h, target=0, sed=1)],
        2,
        ("target: ", "unknown key 'sed'", "did you mean 'seed'?"),
    ),
    "no such pipeline file": (
        lambda h: ["run", "nowhere.yaml"],
        2,
        ("nowhere.yaml: no such file", "Looked at"),
    ),
    "pipeline is a folder": (lambda h: ["run", "notes"], 2, ("notes: cannot be read",)),
    "bad YAML": (
        lambda h: ["run", text_file(h, "bad.yaml", "name: a\nseeds: [b\ntarget: 3\n")],
        2,
        ("bad.yaml:3: this is not valid YAML",),
    ),
    "pipeline that is a list": (
        lambda h: ["run", text_file(h, "list.yaml", "- name: a\n- target: 3\n")],
        2,
        ("list.yaml: a pipeline file is a mapping",),
    ),
    "empty pipeline file": (lambda h: ["run", text_file(h, "no.yaml", "")], 2, ("a mapping",)),
    "variable that is not set": (
        lambda h: ["run", changed(h, seeds="${TRAJGEN_TEST_UNSET}")],
        2,
        ("${TRAJGEN_TEST_UNSET} is not set", "export TRAJGEN_TEST_UNSET="),
    ),
    "secret in the file": (
        lambda h: ["run", with_engine(h, kind="openai", base_url=CLOSED, api_key="sk-canary")],
        2,
        ("api_key holds literal text", "${MY_KEY}"),
    ),
    "role of an unknown engine": (
        lambda h: ["run", changed(h, roles={"user": "man", "agent": "main", "world": "main"})],
        2,
        ("roles.user names engine 'man'", "engines has: main"),
    ),
    "name that is no folder name": (
        lambda h: ["run", changed(h, name="../up")],
        2,
        ("'../up' cannot name a folder",),
    ),
    "missing seeds folder": (
        lambda h: ["run", changed(h, seeds="seeds/nowhere")],
        2,
        ("seeds/nowhere: no such file or folder", "Looked at"),
    ),
    "every seed line is bad": (
        lambda h: ["run", changed(h, seeds=domain(h, "{}", "not JSON"))],
        2,
        ("no usable seed (2 quarantined; first: ", "trajectories.jsonl:1:", "seeds check"),
    ),
    "unknown tool in a seed": (
        lambda h: ["run", changed(h, seeds=domain(h, line_with_unknown_tool()))],
        2,
        ("trajectories.jsonl:1: unknown_tool", "teleport"),
    ),
    "seeds check of bad lines": (
        lambda h: ["seeds", "check", domain(h, good_lines()[0], "not JSON")],
        2,
        ("lines that are no seeds: 1", "domain"),
    ),
    "seeds check of no lines": (
        lambda h: ["seeds", "check", domain(h, "")],
        2,
        ("there is no seed here",),
    ),
    "unknown import source": (
        lambda h: ["seeds", "import", "nowhere:airline", "--out", "new"],
        2,
        ("unknown import source 'nowhere:airline'", "Known: tau2:"),
    ),
    "seeds of an unknown import source": (
        lambda h: ["plan", changed(h, seeds="nowhere:airline")],
        2,
        ("nowhere:airline",),
    ),
    "import into a folder that is not empty": (
        lambda h: ["seeds", "import", "tau2:airline", "--out", "notes"],
        2,
        ("notes: is there already and not empty", "Name a new folder"),
    ),
    "embedded model that was not pulled": (
        lambda h: ["run", with_engine(h, kind="vllm", model="smollm2-135m")],
        2,
        ("model 'smollm2-135m' is not on this machine", "trajgen model pull smollm2-135m"),
    ),
    "preview without its model": (
        lambda h: ["preview", with_engine(h, kind="vllm", model="smollm2-135m")],
        2,
        ("trajgen model pull smollm2-135m",),
    ),
    "unknown embedded model": (
        lambda h: ["model", "pull", "smolm2"],
        2,
        ("unknown embedded model 'smolm2'", "Known: smollm2-135m"),
    ),
    "unknown engine kind": (
        lambda h: ["run", with_engine(h, kind="vlm")],
        2,
        ("cannot load 'vlm'", "package.module:attribute"),
    ),
    "engine from a module that is not there": (
        lambda h: ["run", with_engine(h, kind="nowhere.engines:Mine")],
        2,
        ("cannot load 'nowhere.engines:Mine'", "No module named"),
    ),
    "script with an unknown key": (
        lambda h: ["run", with_engine(h, kind="scripted", script={"quallity": {}})],
        2,
        ("unknown key 'quallity'", "did you mean 'quality'?"),
    ),
    "openai engine without a URL": (
        lambda h: ["run", with_engine(h, kind="openai", model="m")],
        2,
        ("base_url", "http"),
    ),
    "unknown world kind": (
        lambda h: ["run", changed(h, world={"kind": "nowhere:World"})],
        2,
        ("cannot load 'nowhere:World'",),
    ),
    "unknown filter": (
        lambda h: ["run", changed(h, filters=["default", "spelling"])],
        2,
        ("unknown filter 'spelling'", "Known: default, structure"),
    ),
    "unknown filter in a preview": (
        lambda h: ["preview", changed(h, filters="spelling")],
        2,
        ("unknown filter 'spelling'",),
    ),
    "Ray cluster without authentication": (
        lambda h: ["run", changed(h, cluster={"address": "10.0.0.1:6379"})],
        2,
        ("will not join the Ray cluster '10.0.0.1:6379'", "RAY_AUTH_MODE=token"),
    ),
    "limit 0": (lambda h: [*RUN, "--limit", "0"], 2, ("--limit must be at least 1",)),
    "limit that is no number": (lambda h: [*RUN, "--limit", "few"], 2, ("--limit", "few")),
    "preview of none": (
        lambda h: ["preview", "pipeline.yaml", "-n", "0"],
        2,
        ("-n must be at least 1",),
    ),
    "show none": (lambda h: ["show", "finished", "-n", "0"], 2, ("-n must be at least 1",)),
    "set without a value": (lambda h: [*RUN, "--set", "target"], 2, ("--set wants a.b=value",)),
    "set that is no YAML": (
        lambda h: [*RUN, "--set", "target=[1"],
        2,
        ("--set target: '[1' is not valid YAML",),
    ),
    "set below a value": (
        lambda h: [*RUN, "--set", "target.a=1"],
        2,
        ("--set target.a: 'target' holds no mapping",),
    ),
    "set of an unknown key": (
        lambda h: [*RUN, "--set", "limits.turn=2"],
        2,
        ("unknown key 'limits.turn'", "did you mean 'turns'?"),
    ),
    "folder of another run": (
        lambda h: [*RUN, "--out", "finished", "--set", "seed=9"],
        2,
        ("finished: this folder holds another run", "seed: 0 -> 9", "--out"),
    ),
    "folder that holds other things": (
        lambda h: [*RUN, "--out", "notes"],
        2,
        ("notes: holds files but no run.json", "nothing in this one was touched"),
    ),
    "file in the way of the run folder": (
        lambda h: [*RUN, "--out", "notes/mine.txt"],
        2,
        ("notes/mine.txt", "--out"),
    ),
    "run folder below a file": (
        lambda h: [*RUN, "--out", "notes/mine.txt/run"],
        3,
        ("notes/mine.txt/run", "cannot write", "bytes are free"),
    ),
    "run folder where nothing can be written": (
        lambda h: [*RUN, "--out", "/proc/trajgen/run"],
        3,
        ("/proc/trajgen/run", "cannot write"),
    ),
    "name that is too long for the disk": (
        lambda h: [*RUN, "--out", "x" * 300],
        3,
        ("File name too long",),
    ),
    "status of no run": (lambda h: ["status", "notes"], 2, ("notes: holds files but no run.json",)),
    "status of nothing": (lambda h: ["status", "gone"], 2, ("gone: there is no run",)),
    "verify of no run": (lambda h: ["verify", "gone"], 2, ("gone: there is no run",)),
    "show of no run": (lambda h: ["show", "gone"], 2, ("gone: there is no run",)),
    "filter of nothing": (lambda h: ["filter", "gone.jsonl"], 2, ("gone.jsonl: no such file",)),
    "filter of no trajectories": (lambda h: ["filter", "notes"], 2, ("no .parquet file here",)),
    "filter for no domain": (
        lambda h: ["filter", "finished", "--domain", "gone"],
        2,
        ("gone: no such file or folder",),
    ),
    "show of an unknown id": (
        lambda h: ["show", "finished", "--id", "task-zzz"],
        2,
        ("no trajectory has the id 'task-zzz'",),
    ),
    "show of an id that is not unique": (
        lambda h: ["show", "finished", "--id", "task-"],
        2,
        ("12 ids begin with 'task-'", "Give more of the id"),
    ),
    "show of an empty id": (lambda h: ["show", "finished", "--id", ""], 2, ("the id ''",)),
    "damaged shard": (
        lambda h: ["verify", damaged(h)],
        1,
        ("finished: ", "files are not what was committed", "Run the pipeline again"),
    ),
    "unknown command": (lambda h: ["expand", "x"], 2, ("invalid choice: 'expand'",)),
    "no command": (lambda h: [], 2, ("usage: trajgen", "COMMAND")),
    "no action": (lambda h: ["seeds"], 2, ("usage: trajgen seeds", "ACTION")),
    "unknown option": (lambda h: [*RUN, "--fast"], 2, ("unrecognized arguments: --fast",)),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_input_is_told_and_changes_nothing(
    kind: str, trajgen: Trajgen, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAJGEN_CACHE", str(here / "no models"))
    typed, code, words = WRONG[kind]
    arguments = typed(here)
    before = tree(here)
    result = trajgen(*arguments)
    assert result.code == code
    for word in words:
        assert word in result.err
    assert "Traceback" not in result.err
    assert "sk-canary" not in result.err + result.out
    assert len(re.findall(r"^trajgen[a-z ]*: ", result.err, re.M)) == 1, "one message"
    assert tree(here) == before


def test_an_endpoint_that_is_down(trajgen: Trajgen, here: Path) -> None:
    pipeline = with_engine(here, kind="openai", model="m", base_url=CLOSED, retries=0)
    before = tree(here)
    result = trajgen("run", pipeline, "--out", "run")
    assert result.code == 3
    assert CLOSED.removesuffix("/v1") in result.err
    assert "Traceback" not in result.err
    assert before.items() <= tree(here).items(), "only the run folder is new"
    assert not list((here / "run").glob("shards/*"))


@pytest.fixture
def endpoint() -> Iterator[str]:
    """An endpoint that serves the model `other`."""
    command = [sys.executable, "-m", "tests.mock_endpoint", "--model", "other"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=REPO, env=environment()
    ) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        process.kill()


def test_an_endpoint_that_serves_another_model(
    trajgen: Trajgen, here: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAJGEN_TEST_KEY", "sk-canary-7")
    pipeline = with_engine(
        here, kind="openai", model="wanted", base_url=endpoint, api_key="${TRAJGEN_TEST_KEY}"
    )
    result = trajgen("run", pipeline, "--out", "run")
    assert result.code == 3
    for word in ("the model 'wanted' is not served", endpoint, "the server offers: other"):
        assert word in result.err
    assert "Traceback" not in result.err
    assert "sk-canary-7" not in result.err
    files = [path for path in (here / "run").rglob("*") if path.is_file()]
    assert not [path for path in files if b"sk-canary-7" in path.read_bytes()]


def test_a_second_driver_is_refused_at_once(trajgen: Trajgen, here: Path, finished: Path) -> None:
    run = Path(unfinished(here))
    pipeline = write_pipeline(here / "same", {"quality": {"agent": 0.8}})
    lock = DriverLock(run / "logs" / "driver.lock")
    before, began = tree(here), time.monotonic()
    result = trajgen("run", pipeline, "--out", run)
    assert time.monotonic() - began < 5
    assert tree(here) == before
    lock.release()
    assert result.code == 3
    assert "another driver (process" in result.err
    assert "trajgen status" in result.err
    assert trajgen("run", pipeline, "--out", run).code == 0
    assert (run / SHARD).read_bytes() == (finished / SHARD).read_bytes()


def test_a_bad_seed_line_is_quarantined_and_the_run_goes_on(trajgen: Trajgen, here: Path) -> None:
    lines = good_lines()
    seeds = domain(here, *lines[:2], '{"messages": 3}', line_with_unknown_tool(), *lines[2:])
    result = trajgen("run", changed(here, seeds=seeds), "--out", "run", "--limit", "4")
    assert result.code == 0
    assert "2 lines quarantined" in result.out
    told = [json.loads(line) for line in Path("run/quarantine.jsonl").read_text().splitlines()]
    assert [entry["line"] for entry in told] == [3, 4]
    assert all(entry["file"] == f"{seeds}/trajectories.jsonl" for entry in told)
    assert "messages" in told[0]["reason"]
    assert told[1]["reason"].startswith("unknown_tool")
    checked = trajgen("seeds", "check", seeds)
    assert f"{seeds}/trajectories.jsonl:4: unknown_tool" in checked.out


def test_debug_adds_the_traceback_and_keeps_the_exit_code(trajgen: Trajgen, here: Path) -> None:
    for arguments in (
        ("--debug", "plan", "gone.yaml"),
        ("plan", "gone.yaml", "--debug"),
        ("--debug", "seeds", "check", "gone"),
        ("seeds", "check", "gone", "--debug"),
        ("--debug", "model", "pull", "gone"),
    ):
        result = trajgen(*arguments)
        assert result.code == 2
        assert "Traceback" in result.err
        assert "trajgen: " in result.err


def one_json(result: Result) -> dict[str, Any]:
    assert result.out.count("\n") == 1
    found: dict[str, Any] = json.loads(result.out)
    return found


def test_plan_json(trajgen: Trajgen, here: Path) -> None:
    result = trajgen("plan", "pipeline.yaml", "--json")
    found = one_json(result)
    assert result.code == 0
    assert list(found) == ["tasks", "seeds", "strategies", "personas", "faults"]
    assert found["tasks"] == sum(found["strategies"].values()) == 12
    assert found["seeds"] == len(good_lines())
    assert one_json(trajgen("plan", "pipeline.yaml", "--json", "--limit", "5"))["tasks"] == 5


def test_plan_writes_nothing_and_shows_a_sample(trajgen: Trajgen, here: Path) -> None:
    before = tree(here)
    result = trajgen("plan", "pipeline.yaml")
    assert result.code == 0
    assert "tasks: 12" in result.out
    assert result.out.count("  task-") == 5
    assert tree(here) == before


def test_status_json(trajgen: Trajgen, here: Path) -> None:
    found = one_json(trajgen("status", "finished", "--json"))
    assert list(found) == [
        *("name", "run_id", "complete", "planned", "done", "kept", "rejected", "dead"),
        *("quarantined", "reasons", "outcomes", "tokens", "seconds"),
    ]
    assert list(found["tokens"]) == ["prompt", "cached", "generated"]
    assert found["complete"] is True
    assert found["done"] == found["kept"] + found["rejected"] + found["dead"] == 12
    assert found["rejected"] > 0
    partly = one_json(trajgen("status", unfinished(here), "--json"))
    assert (partly["complete"], partly["planned"], partly["done"]) == (False, 12, 8)


def test_verify_json(trajgen: Trajgen, here: Path) -> None:
    assert one_json(trajgen("verify", "finished", "--json")) == {"ok": True, "problems": []}
    result = trajgen("verify", damaged(here), "--json")
    found = one_json(result)
    assert result.code == 1
    assert list(found) == ["ok", "problems"]
    assert found["ok"] is False
    assert SHARD in {problem["file"] for problem in found["problems"]}
    assert all(list(problem) == ["file", "what"] for problem in found["problems"])


def test_filter_json(trajgen: Trajgen, here: Path) -> None:
    domain_folder = str(shipped("seeds") / "household")
    result = trajgen("filter", "finished", "--domain", domain_folder, "--json")
    *rows, totals = [json.loads(line) for line in result.out.splitlines()]
    assert result.code == 0
    assert list(totals) == ["trajectories", "kept", "reasons"]
    assert len(rows) == totals["trajectories"] == totals["kept"] > 0
    assert all(list(row) == ["id", "reasons"] for row in rows)
    bad = trajgen("filter", "finished/rejects", "--domain", domain_folder, "--json")
    broken = [row for row in map(json.loads, bad.out.splitlines()[:-1]) if row["reasons"]]
    assert broken
    assert all(list(r) == ["code", "at", "detail"] for row in broken for r in row["reasons"])


def test_seeds_check_json(trajgen: Trajgen, here: Path) -> None:
    good = one_json(trajgen("seeds", "check", str(shipped("seeds") / "household"), "--json"))
    assert good == {"seeds": len(good_lines()), "quarantined": []}
    result = trajgen("seeds", "check", domain(here, good_lines()[0], "[]"), "--json")
    found = one_json(result)
    assert result.code == 2
    assert found["seeds"] == 1
    assert [list(entry) for entry in found["quarantined"]] == [["file", "line", "reason"]]


@pytest.mark.slow
def test_doctor_json(trajgen: Trajgen, here: Path) -> None:
    result = trajgen("doctor", "--json")
    found = one_json(result)
    assert list(found) == ["ok", "checks"]
    assert all(list(check) == ["name", "ok", "detail"] for check in found["checks"])
    assert {"gpu", "vllm", "ray", "disk", "model"} <= {check["name"] for check in found["checks"]}
    assert result.code == (0 if found["ok"] else 1)


def test_results_on_stdout_progress_on_stderr(trajgen: Trajgen, here: Path) -> None:
    result = trajgen("run", "pipeline.yaml", "--limit", "4")
    assert result.code == 0
    assert "tasks     4 of 4 planned" in result.out
    assert "target    100 not reached" in result.out
    assert "in flight" not in result.out
    last = result.err.splitlines()[-1]
    assert last.startswith("4/4 tasks, 1/1 shards"), "the last line is where the run ended"
    assert (here / "runs" / "small" / "manifest.json").exists()


def test_show_reads_kept_and_rejected(trajgen: Trajgen, here: Path) -> None:
    kept = trajgen("show", "finished", "-n", "2")
    assert kept.out.count("· kept") == 2
    rejected = trajgen("show", "finished", "--rejected", "-n", "1")
    assert "· rejected" in rejected.out
    one = kept.out.split()[0]
    assert trajgen("show", "finished", "--id", one[:-1]).out.split()[0] == one
    none = trajgen("show", "finished", "--reason", "no_such_code")
    assert (none.code, none.out) == (0, "")
    assert "no row was rejected for no_such_code" in none.err


def test_help_lists_the_verbs(trajgen: Trajgen) -> None:
    result = trajgen("--help")
    assert result.code == 0
    for verb in VERBS:
        assert f"\n    {verb} " in result.out


def test_text_that_no_terminal_can_show(here: Path) -> None:
    """In processes of their own, since it is about their streams: an ASCII terminal."""
    Path(domain(here, "[]")).rename(here / "häuser")
    outs = []
    for option in ((), ("--json",)):
        process = start("seeds", "check", "häuser", *option, cwd=here, PYTHONIOENCODING="ascii")
        out, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "Traceback" not in err
        outs.append(out)
    assert "h\\xe4user/trajectories.jsonl:1: " in outs[0]
    assert json.loads(outs[1])["quarantined"][0]["file"] == "häuser/trajectories.jsonl"


def test_a_reader_that_has_seen_enough(here: Path) -> None:
    """`trajgen show RUN | head -1` ends quietly with 0."""
    process = start("show", "finished", "-n", "20", cwd=here)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 0
    assert err == ""


def test_the_real_command(here: Path) -> None:
    """Exit codes and messages reach the shell: good, wrong, failed check."""
    damaged(here)
    for arguments, code, word in (
        (["--version"], 0, ""),
        (["plan", "gone.yaml"], 2, "trajgen: gone.yaml: no such file"),
        (["verify", "finished"], 1, "not what was committed"),
    ):
        process = start(*arguments, cwd=here)
        _, err = process.communicate(timeout=60)
        assert process.returncode == code
        assert word in err
        assert "Traceback" not in err


def test_the_pipeline_of_these_tests_is_good() -> None:
    """Each wrong input above is wrong for one reason."""
    from trajgen.config import Pipeline

    assert Pipeline.model_validate(pipeline_data()).max_tasks == 12
