"""No library sends reports of use, and a run speaks to nobody but its engines."""

from __future__ import annotations

import ast
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import trajgen
from tests.small_pipeline import REPO, environment, start, write_pipeline
from trajgen import telemetry

PACKAGE = Path(trajgen.__file__).parent
REPORTING = {"datasets", "huggingface_hub", "peft", "ray", "transformers", "trl", "vllm"}
IMPORTS = re.compile(rf"(?:from|import) (?:{'|'.join(REPORTING)}|trajgen\.train\.sft)\b")
# Functions that run only after one of the same room has switched reports off.
LATER = {
    *("engines/vllm.py:_load", "engines/vllm.py:complete", "engines/vllm.py:_sampling"),
    *("engines/vllm.py:_adapter", "engines/vllm.py:_on_cpu", "engines/vllm.py:_preemptions"),
    "train/sft.py:",  # imported by train/command.py alone
}


def reporting(node: ast.AST) -> bool:
    """Whether a node imports a library that reports, or the file that imports several."""
    if isinstance(node, ast.ImportFrom):
        root = (node.module or "").partition(".")[0]
        return root in REPORTING or node.module == "trajgen.train.sft"
    names = [a.name.partition(".")[0] for a in node.names] if isinstance(node, ast.Import) else []
    return bool(REPORTING & set(names))


def late(body: list[ast.stmt]) -> bool:
    """Whether statements import such a library before `telemetry.off()`."""
    nodes = [n for s in body for n in own_nodes(s)]
    offs = [
        n.lineno
        for n in nodes
        if isinstance(n, ast.Call) and ast.unparse(n.func) == "telemetry.off"
    ]
    first = min(offs, default=sys.maxsize)
    return any(reporting(n) and n.lineno < first for n in nodes)


def own_nodes(node: ast.AST) -> list[ast.AST]:
    """A node and what is in it, without the bodies of functions and of type checking."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return []
    return [node, *(n for child in ast.iter_child_nodes(node) for n in own_nodes(child))]


def late_places(name: str, source: str) -> set[str]:
    tree = ast.parse(source)
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = {f"{name}:{f.name}" for f in functions if late(f.body)}
    return found | ({f"{name}:"} if late(tree.body) else set())


def test_reports_are_off_before_a_library_that_sends_them_is_imported() -> None:
    texts = {p.relative_to(PACKAGE).as_posix(): p.read_text("utf-8") for p in PACKAGE.rglob("*.py")}
    named = {name: text for name, text in texts.items() if IMPORTS.search(text)}
    assert {place for name, text in named.items() for place in late_places(name, text)} == LATER


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("def f():\n    import ray", True),
        ("def f():\n    from vllm.x import y\n    telemetry.off()", True),
        ("def f():\n    telemetry.off()\n    import ray", False),
        ("import datasets", True),
        ("if TYPE_CHECKING:\n    import datasets", False),
    ],
)
def test_a_late_switch_would_be_seen(source: str, wrong: bool) -> None:
    assert bool(late_places("x.py", source)) is wrong


def test_the_libraries_read_what_is_switched() -> None:
    """The hub client is asked itself; it is what datasets, transformers and TRL send through."""
    program = (
        "from trajgen import telemetry; telemetry.off()\n"
        "from huggingface_hub import constants; print(constants.HF_HUB_DISABLE_TELEMETRY)"
    )
    assert python(program, **dict.fromkeys(telemetry.OFF, "")) == "True"


@pytest.mark.slow
def test_ray_and_vllm_read_what_is_switched() -> None:
    program = (
        "from trajgen import telemetry; telemetry.off()\n"
        "from ray._common.usage.usage_lib import usage_stats_enabled\n"
        "from vllm.usage.usage_lib import is_usage_stats_enabled\n"
        "print(usage_stats_enabled(), is_usage_stats_enabled())"
    )
    assert python(program, **dict.fromkeys(telemetry.OFF, "")).endswith("False False")


def python(program: str, **changes: str) -> str:
    """What a program prints; a change to "" takes a variable away."""
    env = {k: v for k, v in environment(**changes).items() if v}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=True)
    return done.stdout.strip()


def test_what_the_environment_says_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in telemetry.OFF:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    telemetry.off()
    told = {name: os.environ[name] for name in telemetry.OFF}
    assert told == telemetry.OFF | {"RAY_USAGE_STATS_ENABLED": "1"}


# No connection leaves the machine

GUARD = """
import os, sys
def _watch(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        at = args[0] if event == "socket.getaddrinfo" else args[1]
        host = at[0] if isinstance(at, tuple) else at  # a path: a socket of this machine
        with open(os.environ["TRAJGEN_TEST_TALK"], "a") as file:
            file.write(f"{event} {host!r}\\n")
sys.addaudithook(_watch)
"""
HERE = {repr(host) for host in ("127.0.0.1", "localhost", "::1")}


def talk(tmp_path: Path, address: str) -> set[str]:
    """Hosts that the processes of a scripted run have looked up or spoken to."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    log = tmp_path / "talk"
    log.touch()
    pipeline = write_pipeline(tmp_path, cluster={"address": address})
    env = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "guard"), str(REPO)]),
        "TRAJGEN_TEST_TALK": str(log),
    }
    process = start("run", pipeline, "--out", "run", cwd=tmp_path, **env)
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 0, told
    return {line.split(" ", 1)[1] for line in log.read_text().splitlines()}


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever speaks to another process by a socket of Python's fails."""

    def refuse(*address: object, **_: object) -> None:
        raise AssertionError(f"speaks to {address}")

    for where, name in ((socket.socket, "connect"), (socket.socket, "sendto")):
        monkeypatch.setattr(where, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(AssertionError, match="speaks to"):
        socket.create_connection(("192.0.2.1", 9), timeout=1)


@pytest.mark.usefixtures("silent")
def test_a_run_speaks_to_nobody(tmp_path: Path) -> None:
    run = trajgen.run(write_pipeline(tmp_path), tmp_path / "run", limit=4)
    assert run.status()["complete"]


@pytest.mark.slow
@pytest.mark.usefixtures("silent")
def test_reading_a_run_speaks_to_nobody(tmp_path: Path) -> None:
    run = trajgen.run(write_pipeline(tmp_path), tmp_path / "run")
    assert len(run.dataset()) == len(run.frame()) == len(run)


@pytest.mark.slow
def test_no_process_of_a_run_speaks_to_anybody(tmp_path: Path) -> None:
    assert talk(tmp_path, "inline") == set()


@pytest.mark.slow
def test_a_run_through_ray_speaks_to_this_machine_alone(tmp_path: Path) -> None:
    hosts = talk(tmp_path, "local")
    assert hosts & HERE, "the guard saw nothing at all"
    assert {h for h in hosts - HERE if not h.startswith("'/")} == set()
