"""The documents say what the code does: commands and Python of the manual run, tables agree.

TRAJGEN_UPDATE_DOCS=1 writes shown output and the list of files anew instead of comparing them.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import yaml
from pydantic import BaseModel

import trajgen
from trajgen import cli, config, pipeline_file
from trajgen.domains import DomainFile
from trajgen.effects import OPS
from trajgen.engines.scripted import Script
from trajgen.records import Step
from trajgen.review.codes import CODES
from trajgen.shards import SCHEMA
from trajgen.train import recipe

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
SUBJECTS = (  # the pages of the manual, of which everything runs that needs no model
    *("install", "commands", "domains", "pipeline", "corpora", "environments", "cluster"),
    *("rows", "filters", "exports", "reading", "fidelity", "train", "security", "files"),
)
MANUAL = [ROOT / "README.md", *(ROOT / "docs" / f"{subject}.md" for subject in SUBJECTS)]
TEXT = "\n".join(path.read_text("utf-8") for path in MANUAL)
ROWS = (ROOT / "docs" / "rows.md").read_text("utf-8")
TRAIN = (ROOT / "docs" / "train.md").read_text("utf-8")
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "design").glob("*.md")])
OTHERS = [page for page in PAGES if page not in MANUAL]
DOCUMENTS = [*(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")), *PAGES]
UPDATE = "TRAJGEN_UPDATE_DOCS" in os.environ
INLINE = ["--set", "cluster.address=inline"]
# Pages that do not speak of commands.
SILENT = {"cluster.md", "domains.md", "environments.md", "files.md", "filters.md", "rows.md"}
NEEDS_MORE = re.compile(  # a model, a GPU, a server, a package or a network; parsed only
    r"model pull|doctor|tau2:|^train |run pipelines/(?!smoke)|s3://|--set engines\.main"
)


class Block(NamedTuple):
    """A fenced block: its language and text, and the file it is said to be, if any."""

    language: str
    text: str
    file: str


def _blocks(document: str = TEXT) -> list[Block]:
    pattern = re.compile(r"(?:^`([\w/.]+)`[^\n]*:\n\n)?^```(\w*)\n(.*?)^```$", re.M | re.S)
    return [Block(m[2], m[3], m[1] or "") for m in pattern.finditer(document)]


def _section(document: str, heading: str) -> str:
    """What stands under `heading`, up to the next heading of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", document, re.M | re.S)
    assert found, f"no heading {heading!r}"
    return found[1]


def _table(document: str, heading: str) -> dict[str, list[str]]:
    """First column, without its code marks -> the other cells, of the section's first table."""
    found = re.search(r"(?:^\|.*\n)+", _section(document, heading), re.M)
    assert found, f"no table under {heading!r}"
    lines = found[0].splitlines()
    rows = [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]
    table = {row[0].strip("`"): row[1:] for row in rows}
    assert len(table) == len(rows), f"a key stands twice under {heading!r}"
    return table


def _shell(document: str) -> list[list[str]]:
    """The words of every line in the shell blocks of a document."""
    shell = [b.text for b in _blocks(document) if b.language in ("bash", "console")]
    lines = "\n".join(shell).replace("\\\n", " ").splitlines()
    return [shlex.split(line.removeprefix("$ "), comments=True) for line in lines if line]


def _commands() -> list[list[str]]:
    """The arguments of every `trajgen` command in the manual's shell blocks."""
    return [words[1:] for words in _shell(TEXT) if words[:1] == ["trajgen"]]


def _spoken(document: str) -> Iterator[list[str]]:
    """The arguments of every command that stands in the text between code marks."""
    text = re.sub(r"(?ms)^```.*?^```$", "", document)
    for code in re.findall(r"`trajgen ([^`]+)`", text):
        yield code.replace("\\|", "|").split()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder as a reader has it who wrote every file that the manual shows."""
    folder = tmp_path_factory.mktemp("desk")
    for block in _blocks():
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_content(block), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.setenv("COLUMNS", "80")
        assert cli.main(["run", "pipelines/smoke.yaml", "--limit", "40", *INLINE]) == 0
        yield folder
    for name in ("my_world", "my_filter", "my_engine", "my_importer", "my_exporter"):
        sys.modules.pop(name, None)


def _content(block: Block) -> str:
    if block.file.endswith(".jsonl"):  # shown over several lines, one in the file
        return json.dumps(json.loads(block.text)) + "\n"
    return block.text


# --- commands ------------------------------------------------------------------------------


def test_the_manual_shows_commands() -> None:
    assert len(_commands()) >= 12
    assert sum(not NEEDS_MORE.search(" ".join(c)) for c in _commands()) >= 8


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_commands_of_the_manual_work(
    words: list[str], desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = cli._parser().parse_args(words)
    if NEEDS_MORE.search(" ".join(words)):
        if words[0] == "run":
            pipeline_file.load_pipeline(ROOT / arguments.pipeline, arguments.set)
        return
    extra = INLINE if words[0] == "run" else []
    assert cli.main([*words, *extra]) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("path", OTHERS, ids=lambda p: p.name)
def test_commands_of_the_other_pages_are_whole(path: Path) -> None:
    """They take hours or a model, so they are parsed, and the files that they name are read."""
    for words in _shell(path.read_text("utf-8")):
        words = words[: words.index(">")] if ">" in words else words
        if words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]), words
            continue
        assert words[0] == "trajgen", words
        arguments = cli._parser().parse_args(words[1:])
        if words[1] == "train":
            recipe.load_recipe(str(ROOT / arguments.recipe), arguments.set)
        elif words[1] in ("run", "fidelity"):
            pipeline_file.load_pipeline(ROOT / arguments.pipeline, arguments.set)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_commands_that_are_spoken_of_exist(path: Path) -> None:
    verbs = dict(_verbs(cli._parser()))
    named = list(_spoken(path.read_text("utf-8")))
    assert named or path.name in SILENT
    for words in named:
        if words == ["--help"]:
            continue
        verb = next((v for v in (" ".join(words[:2]), words[0]) if v in verbs), None)
        assert verb, words
        given = (word.strip("[],").partition("=")[0] for word in words)
        options = {word for word in given if word.startswith("-")}
        assert options <= verbs[verb] | {"--debug"}, words


def _verbs(parser: argparse.ArgumentParser, before: str = "") -> Iterator[tuple[str, set[str]]]:
    """Every command with its options."""
    choices = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for action in choices:
        for name, below in action.choices.items():
            yield from _verbs(below, f"{before} {name}".strip())
    if not choices:
        options = {o for a in parser._actions for o in a.option_strings if a.help != "==SUPPRESS=="}
        yield before, options - {"-h", "--help"}


def test_the_command_table_is_the_parser() -> None:
    rows = [key.removeprefix("trajgen ") for key in _table(TEXT, "Commands")]
    option = re.compile(r"(?<=\[)--?[\w-]+|--out(?= DIR)|--format(?= F )|--world(?= W )")
    documented = {re.split(r" [A-Z\[]", row)[0]: set(option.findall(row)) for row in rows}
    assert documented == dict(_verbs(cli._parser()))


def test_exit_codes_are_those_of_the_errors() -> None:
    from trajgen.errors import CheckFailed, InputError, MachineError

    codes = {int(c) for c in re.findall(r"^\| (\d+) \|", _section(TEXT, "Commands"), re.M)}
    used = {CheckFailed.exit_code, InputError.exit_code, MachineError.exit_code}
    assert codes == {0, *used, cli.INTERRUPTED}


SHOWN = [block for block in _blocks() if block.language == "console"]


@pytest.mark.parametrize("block", SHOWN, ids=lambda b: b.text.partition("\n")[0][:40])
def test_shown_output_is_real(block: Block, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, _, shown = block.text.partition("\n")
    words = shlex.split(command.removeprefix("$ "))[1:]
    extra = [*INLINE, "--out", str(desk / "shown")] if words[0] == "run" else INLINE
    assert cli.main([*words, *extra]) == 0
    out = capsys.readouterr().out.replace(str(desk / "shown"), "runs/smoke")
    real = _excerpt([line.rstrip() for line in out.splitlines()], shown)
    if UPDATE:
        _rewrite(shown, real)
    else:
        assert _steady(shown) == _steady(real), "TRAJGEN_UPDATE_DOCS=1 writes it anew"


def _rewrite(old: str, new: str) -> None:
    """Put `new` in the place of `old`, wherever in the manual it stands."""
    for path in MANUAL:
        path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")


def _excerpt(lines: list[str], shown: str) -> str:
    """As many paragraphs of `lines` as `shown` has, from where it begins."""
    first = _steady(shown.splitlines()[0])
    start = next(i for i, line in enumerate(lines) if _steady(line) == first)
    paragraphs = "\n".join(lines[start:]).split("\n\n")
    return "\n\n".join(paragraphs[: shown.count("\n\n") + 1]).rstrip() + "\n"


def _steady(text: str) -> str:
    """Without what another prompt or another second changes."""
    text = re.sub(r"run-[0-9a-f]{20}", "run", text)
    return re.sub(r"(?m)^  tokens .*$", "  tokens", text)


# --- Python and YAML -----------------------------------------------------------------------


def test_python_of_the_manual_runs(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", desk / "cache")
    names: dict[str, Any] = {"check_": _check}
    n_checks = 0
    for block in _blocks():
        if block.language != "python":
            continue
        source, n = re.subn(r"(?m)^(\S.*?)  # -> (.*)$", _checked, block.text)
        source, m = re.subn(r"(?ms)^(duckdb\.sql\(.*?)  # -> (.*?)$", _checked, source)
        n_checks += n + m
        code = compile(source, block.file or "the manual", "exec")
        if not block.file and "# needs a model" not in source:
            exec(code, names)
    assert n_checks >= 8


def _checked(match: re.Match[str]) -> str:
    return f"check_({match[1]}, {match[2]!r})"


def _check(value: object, shown: str) -> None:
    assert str(value) == shown


YAML = [block for block in _blocks() if block.language == "yaml"]


@pytest.mark.parametrize("block", YAML, ids=lambda b: b.text.partition("\n")[0])
def test_yaml_of_the_manual_is_valid(block: Block, desk: Path) -> None:
    data = yaml.safe_load(block.text)
    if block.file.endswith("domain.yaml"):
        assert trajgen.load_domain(desk / "seeds/lamps").name == data["name"]
    elif block.file.endswith("recipe.yaml"):
        assert recipe.load_recipe(str(desk / block.file))[0].name == data["name"]
    elif block.file:
        pipeline_file.load_pipeline(desk / block.file)
    else:
        retail = yaml.safe_load((ROOT / "pipelines/retail.yaml").read_text("utf-8"))
        config.Pipeline.model_validate({**retail, **data})


# --- pipeline keys -------------------------------------------------------------------------

MODEL_TABLES: dict[str, tuple[type[BaseModel], set[str]]] = {
    "Top level": (config.Pipeline, set(config.Pipeline.model_fields)),
    "`engines.<name>`: what decides the text": (
        config.EngineConfig,
        set(config.EngineConfig.model_fields) - set(config.PLACEMENT),
    ),
    "`engines.<name>`: how it is served": (config.EngineConfig, set(config.PLACEMENT)),
    "`roles.agent`, `roles.user`, `roles.world`, `roles.judge`": (
        config.RoleConfig,
        set(config.RoleConfig.model_fields),
    ),
    "`rollout`": (config.RolloutConfig, set(config.RolloutConfig.model_fields)),
    "`world`": (config.WorldConfig, set(config.WorldConfig.model_fields)),
    "`world.agreement`": (config.AgreementConfig, set(config.AgreementConfig.model_fields)),
    "`judge`": (config.JudgeConfig, set(config.JudgeConfig.model_fields)),
    "`variations`": (config.VariationsConfig, set(config.VariationsConfig.model_fields)),
    "`variations.faults`": (config.FaultsConfig, set(config.FaultsConfig.model_fields)),
    "`limits`": (config.LimitsConfig, set(config.LimitsConfig.model_fields)),
    "`shards`": (config.ShardsConfig, set(config.ShardsConfig.model_fields)),
    "`cluster`": (config.ClusterConfig, set(config.ClusterConfig.model_fields)),
    "`stop`": (config.StopConfig, set(config.StopConfig.model_fields)),
    "`fidelity`": (config.FidelityConfig, set(config.FidelityConfig.model_fields)),
    "`fidelity.require`": (config.BarsConfig, set(config.BarsConfig.model_fields)),
    "Engines, roles, adapters": (Script, set(Script.model_fields)),
}


@pytest.mark.parametrize("heading", MODEL_TABLES)
def test_every_pipeline_key_is_documented_and_none_invented(heading: str) -> None:
    model, keys = MODEL_TABLES[heading]
    table = _table(TEXT, heading)
    assert set(table) == keys
    for key, (shown, *_) in table.items():
        assert shown in ("see below", _default(model, key)), f"{heading} {key}"


RECIPE_TABLES: dict[str, type[BaseModel]] = {
    "Recipe": recipe.Recipe,
    "data": recipe.DataConfig,
    "tune": recipe.LoraTune,
    "optimizer": recipe.OptimizerConfig,
    "checkpoints": recipe.CheckpointsConfig,
    "evaluate": recipe.EvaluateConfig,
}


@pytest.mark.parametrize("heading", RECIPE_TABLES)
def test_every_recipe_key_is_documented_and_none_invented(heading: str) -> None:
    model = RECIPE_TABLES[heading]
    named = {field.alias or name: name for name, field in model.model_fields.items()}
    table = _table(TRAIN, heading)
    assert table.keys() == named.keys()
    for key, (shown, *_) in table.items():
        assert shown == _default(model, named[key]), f"{heading} {key}"


def test_what_may_change_in_a_recipe_is_documented() -> None:
    told = TRAIN[TRAIN.index("everything but") : TRAIN.index("Other data is refused")]
    assert tuple(re.findall(r"`(\w+)`", told)) == recipe.UNDECISIVE


def _default(model: type[BaseModel], key: str) -> str:
    """The default of a key as the tables write it."""
    if (model, key) == (config.Pipeline, "max_tasks"):
        return "4 x `target`"
    if model is Script:
        return "`0`" if key == "delay_ms" else "`{}`"
    field = model.model_fields[key]
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "see below"
    return "none" if value is None else f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}: {_plain(v)}' for k, v in value.items())}}}"
    return f"{value:g}" if isinstance(value, float) and value >= 1 else str(value)


def test_every_section_of_a_pipeline_has_its_table() -> None:
    told = {config.RolesConfig, config.JudgeRoleConfig}  # by name, and as the other roles
    covered = {model for model, _ in MODEL_TABLES.values()} | told
    models = {m for m in vars(config).values() if isinstance(m, type) and issubclass(m, BaseModel)}
    assert models - {config.Model, BaseModel} <= covered


def test_roles_strategies_personas_faults_and_families() -> None:
    from trajgen.filters import FAMILIES

    heading = "`roles.agent`, `roles.user`, `roles.world`, `roles.judge`"
    assert set(re.findall(r"`roles\.(\w+)`", heading)) == set(config.RolesConfig.model_fields)
    about = "Strategies, personas, faults"
    assert tuple(_table(TEXT, about)) == config.STRATEGIES
    text = _section(TEXT, about)
    template = (ROOT / "prompts" / "user.system.jinja").read_text("utf-8")
    personas = re.findall(r'persona == "(\w+)"', template)
    told = text[text.index("Personas") : text.index("; any other")]
    assert sorted(re.findall(r"`(\w+)`", told)) == sorted(personas)
    planned = text[text.index("A planned fault") :]
    assert set(re.findall(r"`(\w+)`", planned)) == set(get_args(config.Fault))
    families = _table(TEXT, "Top level")["filters"][1]
    assert set(re.findall(r"`(\w+)`", families)) == {"default", *FAMILIES}


def test_the_domain_file_is_documented() -> None:
    section = _section(TEXT, "Your own domain")
    example = yaml.safe_load(next(b.text for b in _blocks(section) if b.language == "yaml"))
    defaults = {k: f.get_default() for k, f in DomainFile.model_fields.items() if k not in example}
    assert set(example) | set(defaults) == set(DomainFile.model_fields)
    for key, value in defaults.items():
        shown = json.dumps(value) if isinstance(value, tuple) else value
        assert f"`{key}: {shown}`" in section


def test_what_a_tool_may_declare_is_documented() -> None:
    from trajgen.declared import KEYS
    from trajgen.declared.conditions import SUBJECTS
    from trajgen.domains import ToolSemantics

    section = _section(TEXT, "Tools answered by code")
    assert tuple(_table(TEXT, "Tools answered by code")) == KEYS
    assert {*KEYS, "kind"} == set(ToolSemantics.model_fields)
    for word in (*SUBJECTS, "when", "else", "decrement"):
        assert re.search(rf"`[^`]*\b{word}\b[^`]*`", section), word


def test_every_shipped_pipeline_is_named() -> None:
    for path in (ROOT / "pipelines").glob("*.yaml"):
        assert f"`{path.name}`" in _section(TEXT, "Pipeline file")


def test_every_probe_and_verdict_of_a_fidelity_is_documented() -> None:
    from trajgen.fidelity.probes import KINDS
    from trajgen.fidelity.score import WRONG_IN

    text = (ROOT / "docs" / "fidelity.md").read_text("utf-8")
    probes = text[text.index("| probe |") : text.index("A probe fits")]
    assert re.findall(r"(?m)^\| `(\w+)` \|", probes) == list(KINDS)
    assert {code for code in WRONG_IN if f"`{code}`" not in text} == set()


# --- rows ----------------------------------------------------------------------------------


def test_every_column_is_documented_with_its_type() -> None:
    types = {"string": "string", "int32": "int32", "list<element: string>": "list of string"}
    known = {f.name: types.get(str(f.type), "list of JSON") for f in SCHEMA}
    assert {name: cells[0] for name, cells in _table(ROWS, "Columns").items()} == known


def test_every_key_of_a_step_and_every_effect_is_documented() -> None:
    step = Step(0, "c", "t", True, "", (), "code", "", "", 1, "timeout", 0.5)
    assert list(_table(ROWS, "Steps")) == list(step.json())
    assert tuple(_table(ROWS, "Effects")) == OPS


def test_scores_are_documented() -> None:
    from trajgen.records import Reason, Trajectory
    from trajgen.trajectories import End, judged

    reason = Reason("bad_answer", None, "")
    row = Trajectory("t", "d", (), scores=End("bad_answer", reason).json())
    more = {"agreement", "goal", "judge"}  # where there are any
    assert set(_table(ROWS, "Scores")) == set(judged(row, [reason]).scores) | more
    ends = set(re.findall(r"`(\w+)`", _table(ROWS, "Scores")["ended"][0]))
    words = (End.__doc__ or "").removeprefix("How a rollout ended: ").partition(";")[0]
    assert ends == set(re.findall(r"\w+", words)) - {"or"}


def _documented_codes() -> dict[str, str]:
    under = ROWS[ROWS.index("## Reason codes") : ROWS.index("## Dead tasks")]
    return dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", under, re.M))


def test_every_reason_code_is_documented_in_its_own_words() -> None:
    documented = {k: v.removesuffix(" (not yet)") for k, v in _documented_codes().items()}
    assert documented == CODES
    assert list(documented) == list(CODES)


def test_codes_not_given_yet_are_marked() -> None:
    sources = [p for p in (ROOT / "trajgen").rglob("*.py") if p.name != "codes.py"]
    text = "\n".join(path.read_text("utf-8") for path in sources)
    idle = {code for code in CODES if f'"{code}"' not in text}
    assert {k for k, v in _documented_codes().items() if v.endswith("(not yet)")} == idle


# --- the documents themselves --------------------------------------------------------------


def test_the_readme_is_read_in_ten_minutes() -> None:
    """At 240 words a minute; what runs and the tree of files are looked at, not read."""
    assert len(re.sub(r"(?ms)^```.*?^```$", "", README).split()) < 2_400


def test_the_readme_names_every_page_and_every_folder() -> None:
    assert {p.name for p in PAGES if f"(docs/{p.relative_to(ROOT / 'docs')}" not in README} == set()
    tree = _blocks(_section(README, "File structure"))[0].text
    rooms = {p.name for p in (ROOT / "trajgen").iterdir() if (p / "__init__.py").exists()}
    assert {room for room in rooms if f"{room}/" not in tree} == set()
    for path, _ in _listed(tree):
        assert (ROOT / path).exists(), path


def test_file_structure_lists_exactly_the_modules() -> None:
    block = _blocks(_section(TEXT, "Files"))[0]
    listed = _listed(block.text)
    if UPDATE:
        _rewrite(block.text, _relisted(listed))
        return
    assert len(listed) == len({path for path, _ in listed})
    assert {path for path, _ in listed if not (ROOT / path).exists()} == set()
    assert _modules() - {path for path, _ in listed} == set()


def _modules() -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / "trajgen").rglob("*.py")}


def _listed(text: str) -> list[tuple[str, str]]:
    """(path, what is said of it) for each line of the tree; folders end in a slash."""
    listed, parents = [], [""] * 6
    for line in text.splitlines():
        name, _, about = line.strip().partition(" ")
        depth = (len(line) - len(line.lstrip())) // 2
        parents[depth + 1] = f"{parents[depth]}{name}"
        listed.append((parents[depth + 1], about.strip()))
    return listed


def _relisted(listed: list[tuple[str, str]]) -> str:
    """The tree without what is gone; what is new ends its folder, in its docstring's words."""
    kept = [entry for entry in listed if (ROOT / entry[0]).exists()]
    for module in sorted(_modules() - {path for path, _ in kept}):
        source = ast.parse((ROOT / module).read_text("utf-8"))
        about = (ast.get_docstring(source) or "").partition("\n")[0].rstrip(".")
        folder = f"{module.rpartition('/')[0]}/"
        if folder not in (path for path, _ in kept):
            _insert(kept, folder, "")
        _insert(kept, module, about)
    lines = []
    for path, about in kept:
        depth = path.rstrip("/").count("/")
        name = path.rstrip("/").rpartition("/")[2] + ("/" if path.endswith("/") else "")
        lines.append(f"{'  ' * depth}{name}".ljust(24) + f" {about}")
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _insert(kept: list[tuple[str, str]], path: str, about: str) -> None:
    folder = f"{path.rstrip('/').rpartition('/')[0]}/"
    last = max(i for i, (known, _) in enumerate(kept) if known.startswith(folder))
    kept.insert(last + 1, (path, about))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"(?ms)^```.*?^```$", "", path.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text("utf-8"), re.M)
            assert anchor in map(_anchor, headings), target


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_documents_hold_no_machine_paths(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.findall(r"(?<![\w.\"`:])/(?:work|tmp|root|home|mnt|data|usr)\b", text) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_make_targets_exist(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([\w./-]+):", makefile, re.M))
    named = set(
        re.findall(r"(?:`|^)make (?:PYTHON=\S+ )?([\w./-]+)", path.read_text("utf-8"), re.M)
    )
    assert named <= targets


def test_every_extra_is_documented() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    section = _section(TEXT, "Install")
    for extra in project["optional-dependencies"]:
        assert f"`{extra}`" in section or f"[{extra}" in section or f",{extra}]" in section


def test_the_version_is_in_the_changelog() -> None:
    assert f"## [{trajgen.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
