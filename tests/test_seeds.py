"""Domain folders -> seeds or quarantined lines: nothing is skipped, nothing raises."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trajgen.domains import load_domain
from trajgen.errors import InputError
from trajgen.loading import shipped
from trajgen.seeds import check_imported, check_source, load_lines, load_seeds

DOMAINS = ("household", "chemistry_lab", "retail_support")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a domain that may be damaged."""
    target = tmp_path / "household"
    shutil.copytree(shipped("seeds") / "household", target)
    return target


def first_line(folder: Path) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(lines(folder)[0])
    return line


def lines(folder: Path) -> list[str]:
    return (folder / "trajectories.jsonl").read_text("utf-8").splitlines()


def write(folder: Path, *texts: str | bytes) -> None:
    data = [t if isinstance(t, bytes) else t.encode("utf-8", "surrogatepass") for t in texts]
    (folder / "trajectories.jsonl").write_bytes(b"\n".join(data) + b"\n")


@pytest.mark.parametrize("name", DOMAINS)
def test_every_shipped_seed_passes_every_default_filter(name: str) -> None:
    seeds, quarantined = check_source(str(shipped("seeds") / name))
    assert quarantined == []
    assert seeds >= 8


@pytest.mark.parametrize("name", DOMAINS)
def test_shipped_domains_vary(name: str) -> None:
    found = load_seeds((str(shipped("seeds") / name),))
    outcomes = {seed.meta["outcome"] for seed in found.seeds}
    lengths = {len(seed.messages) for seed in found.seeds}
    assert {"success", "refusal"} <= outcomes
    assert max(lengths) >= 3 * min(lengths)


def test_all_three_together_and_the_order_of_lines_does_not_matter(folder: Path) -> None:
    sources = tuple(str(shipped("seeds") / name) for name in DOMAINS)
    assert len(load_seeds(sources).seeds) >= 24
    before = load_seeds((str(folder),))
    write(folder, *reversed(lines(folder)))
    after = load_seeds((str(folder),))
    assert before.digest == after.digest
    assert [s.id for s in before.seeds] == [s.id for s in after.seeds]


def test_the_digest_sees_every_file(folder: Path) -> None:
    digests = {load_seeds((str(folder),)).digest}
    for name, old, new in (
        ("policy.md", "robot", "robot helper"),
        ("tools.json", "Walk to", "Go to"),
        ("state.json", '"kitchen"', '"galley"'),
        ("domain.yaml", "Apache-2.0", "MIT"),
    ):
        path = folder / name
        text = path.read_text("utf-8")
        assert old in text, name
        path.write_text(text.replace(old, new), "utf-8")
        seeds, _ = load_lines(folder / "trajectories.jsonl", load_domain(folder))
        if seeds:
            digests.add(load_seeds((str(folder),)).digest)
        path.write_text(text, "utf-8")
    assert len(digests) >= 4


Change = Callable[[dict[str, Any]], Any]


def _set(**values: Any) -> Change:
    return lambda line: line.update(values)


def _message(index: int, **values: Any) -> Change:
    return lambda line: line["messages"][index].update(values)


def _tool_name(line: dict[str, Any]) -> None:
    calls = [m for m in line["messages"] if m.get("tool_calls")]
    calls[0]["tool_calls"][0]["function"]["name"] = "fly_to"


def _argument(line: dict[str, Any]) -> None:
    calls = [m for m in line["messages"] if m.get("tool_calls")]
    calls[0]["tool_calls"][0]["function"]["arguments"] = '{"place": "sink_1"}'


def _effect(line: dict[str, Any]) -> None:
    call, effects = next(iter(line["meta"]["effects"].items()))
    line["meta"]["effects"][call] = [{**effects[0], "path": "/nowhere/at/all"}]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_set(messages="hello"), "messages"),
        (_set(surprise=1), "surprise"),
        (_set(state=[1]), "state"),
        (_set(goal=[{"path": "/agent/at"}]), "goal"),
        (_set(goal=[{"path": "/agent/at", "is": 3}]), "goal"),
        (_message(0, content=None), "message 0"),
        (_message(0, role="system_admin"), "bad_role_order"),
        (_message(1, tool_calls=None), "message 1"),
        (lambda line: line["messages"].pop(), "no_final_answer"),
        (lambda line: line["messages"].pop(2), "unanswered_call"),
        (_tool_name, "unknown_tool"),
        (_argument, "message"),
        (_effect, "bad_effect"),
        (_message(0, content="Hi <|im_start|>system"), "control_tokens"),
        (_set(state={"note": "<|im_end|>"}), "control_tokens"),
    ],
)
def test_a_bad_line_is_quarantined_with_its_place_and_reason(
    folder: Path, change: Change, reason: str
) -> None:
    whole = lines(folder)
    bad = first_line(folder)
    change(bad)
    write(folder, whole[1], json.dumps(bad), *whole[2:])
    seeds, refused = load_lines(folder / "trajectories.jsonl", load_domain(folder), "here.jsonl")
    assert len(seeds) == len(whole) - 1
    (entry,) = refused
    assert (entry["file"], entry["line"]) == ("here.jsonl", 2)
    assert reason in entry["reason"], entry["reason"]


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[]",
        b"null",
        b'{"messages": []}',
        b"\xff\xfe\x00",
        b'{"messages": NaN}',
        b"[" * 20_000,
        b'{"id": "\\ud800", "messages": [{"role": "user", "content": "\\ud800"}]}',
    ],
)
def test_what_is_no_seed_at_all(folder: Path, text: bytes) -> None:
    write(folder, text, *lines(folder))
    seeds, refused = load_lines(folder / "trajectories.jsonl", load_domain(folder))
    assert [entry["line"] for entry in refused] == [1]
    assert refused[0]["reason"]
    assert seeds


def test_a_copy_is_quarantined_and_blank_lines_are_none(folder: Path) -> None:
    whole = lines(folder)
    write(folder, whole[0], "", "   ", whole[0], *whole[1:])
    seeds, refused = load_lines(folder / "trajectories.jsonl", load_domain(folder))
    assert len(seeds) == len(whole)
    assert [(e["line"], e["reason"]) for e in refused] == [(4, "copies line 1")]


def test_mutated_lines_never_raise_and_sums_hold(folder: Path) -> None:
    """1,000 lines with bytes changed, cut or doubled: each is a seed or quarantined."""
    draw, whole = random.Random(7), [line.encode() for line in lines(folder)]
    mutated = []
    for _ in range(1_000):
        line = bytearray(draw.choice(whole))
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(len(line))
            how = draw.randrange(3)
            if how == 0:
                line[at] = draw.choice(b'{}[]",:\\x0a1~\xff')
            elif how == 1:
                del line[at : at + draw.randint(1, 40)]
            else:
                line[at:at] = line[at : at + draw.randint(1, 20)]
        mutated.append(bytes(line).replace(b"\n", b" ") or b"x")
    write(folder, *mutated)
    seeds, refused = load_lines(folder / "trajectories.jsonl", load_domain(folder))
    blank = sum(not line.strip() for line in mutated)
    assert len(seeds) + len(refused) == len(mutated) - blank
    assert all(entry["reason"] for entry in refused)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("domain.yaml", "name: [", "YAML"),
        ("domain.yaml", "name: x\nlicence: MIT\n", "did you mean 'license'"),
        ("domain.yaml", "name: x\ntools: {fly: {kind: read}}\n", "unknown tool 'fly'"),
        ("tools.json", "[", "JSON"),
        ("tools.json", "{}", "list"),
        ("tools.json", '[{"type": "function"}]', "tool 0"),
        ("state.json", "[]", "object"),
        ("state.json", '{"a": Infinity}', "JSON"),
        ("policy.md", "Obey. <|im_start|>", "control token"),
    ],
)
def test_a_bad_domain_file_is_named(folder: Path, name: str, text: str, message: str) -> None:
    (folder / name).write_text(text, "utf-8")
    with pytest.raises(InputError, match=message) as caught:
        load_domain(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", ["domain.yaml", "tools.json", "policy.md", "trajectories.jsonl"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InputError, match=name):
        load_seeds((str(folder),))


def test_no_seed_at_all_says_so(folder: Path) -> None:
    write(folder, "nonsense")
    with pytest.raises(InputError, match=r"no usable seed.*trajectories.jsonl:1"):
        load_seeds((str(folder),))


def test_two_domains_of_one_name(folder: Path) -> None:
    with pytest.raises(InputError, match="two sources are named 'household'"):
        load_seeds((str(folder), "seeds/household"))


def test_a_bad_line_takes_no_good_one_with_it(folder: Path) -> None:
    """What says the same as a refused line is no copy of a seed."""
    whole = lines(folder)
    bad = first_line(folder)
    bad["meta"]["applies"] = {"nobody": True}
    write(folder, json.dumps(bad), *whole)
    seeds, refused = load_lines(folder / "trajectories.jsonl", load_domain(folder))
    assert len(seeds) == len(whole)
    assert [entry["line"] for entry in refused] == [1]


def test_a_record_that_is_imported_twice_is_told(folder: Path) -> None:
    """Records read = seeds + refused."""
    domain = load_domain(folder)
    seeds, _ = load_lines(folder / "trajectories.jsonl", domain)
    _, good, bad = check_imported(domain, (*seeds, seeds[2]), (), "mine:all")
    assert good == seeds
    assert bad == [{"file": "mine:all", "line": len(seeds) + 1, "reason": "copies one before it"}]
