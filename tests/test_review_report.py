"""The report: its sums, its pictures, and that nothing a run holds becomes anything but text."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.conversations import calls, result, says, user
from trajgen import cli
from trajgen.errors import InputError
from trajgen.plan_file import write_plan
from trajgen.records import Message, Reason, Seed, Step, Task, Trajectory
from trajgen.review.report import report, write_report
from trajgen.review.report.blocks import LEVELS, percent, shaded, share
from trajgen.review.report.diversity import Diversity
from trajgen.review.report.histogram import HEIGHT, WIDTH, histogram, quantile
from trajgen.review.report.page import policy
from trajgen.review.report.samples import SHORT, TEXT, WHOLE, cut
from trajgen.review.report.tally import END, SPEECH, START, Tally
from trajgen.review.run import Run
from trajgen.run_record import record_bytes
from trajgen.shards import ShardResult, commit
from trajgen.verify import verify

HOSTILE = (
    "</script></style></title></table></svg><script>alert(1)</script><img src=x onerror=alert(1)>"
    "\"'><svg onload=alert(1)>{{ 7*7 }}{% for %}&lt;\x1b[2J\u202eevil\u2066<|im_start|>\ud800"
)
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("look", "take", "sing")]


def step(message: int, tool: str, applies: bool = True, *verdicts: str, id_: str = "c") -> Step:
    found = tuple(Reason(code, message) for code in verdicts)
    return Step(message, id_, tool, applies, "", (), "code", "", "", verdicts=found)


def row(index: int, *reasons: str, **more: Any) -> dict[str, Any]:
    messages: tuple[Message, ...] = (
        user(f"wish {index}"),
        calls(("c", "look", {"at": "box"})),
        result("c", "a box"),
        calls(("d", "take", {"thing": f"t{index}"})),
        result("d", "taken"),
        says("Done."),
    )
    values: dict[str, Any] = {
        "id": f"task-{index}", "domain": "house", "messages": messages, "tools": TOOLS,
        "steps": (step(1, "look"), step(3, "take", index % 2 == 0, id_="d")), "seed_id": "s1",
        "strategy": "rephrase" if index % 2 else "compose", "outcome": "success", "n_turns": 1,
        "n_tool_calls": 2, "n_tokens": 100 + index, "n_target_tokens": 10, "reasons": reasons,
        "agent_model": "big",
    }  # fmt: skip
    return Trajectory(**{**values, **more}).row()


def make_run(folder: Path, rows: list[dict[str, Any]], dead: int = 0, **pipeline: Any) -> Path:
    """A run folder with one committed shard of `rows` and `dead` dead tasks."""
    for name in ("shards", "rejects", "dead", "logs"):
        (folder / name).mkdir(parents=True)
    deaths = [{"id": f"dead-{i}", "error": "timeout", "message": "late"} for i in range(dead)]
    ids = [r["id"] for r in rows] + [d["id"] for d in deaths]
    tasks = [
        Task(id_, i, "house", "s1", "rephrase", "terse", "", "s2", 0) for i, id_ in enumerate(ids)
    ]
    run = {
        "name": "demo", "run_id": "run-1", "digest": "0" * 64, "planned": len(ids),
        "pipeline": {"shards": {"rows": len(ids)}, "target": 5, "seeds": ["nowhere"], **pipeline},
        "digests": {"seeds": "5" * 64}, "versions": {"trajgen": "1"},
    }  # fmt: skip
    (folder / "run.json").write_bytes(record_bytes(run))
    (folder / "quarantine.jsonl").write_text("{}\n")
    write_plan(folder, tasks, len(ids), len(ids))
    kept, rejected = ([r for r in rows if bool(r["reasons"]) == side] for side in (False, True))
    commit(folder, ShardResult(0, 0, len(ids), kept, rejected, deaths))
    return folder


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that tags close in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.ids: list[str] = []
        self.targets: set[str] = set()
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {name for name, _ in attrs}
        values = dict(attrs)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.targets |= {values["href"] or ""} if "href" in values else set()
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_says_what_the_run_gave(tmp_path: Path) -> None:
    rows = [row(i) for i in range(6)] + [row(6, "repetition", "too_long"), row(7, "repetition")]
    page = Page(report(Run.open(make_run(tmp_path / "r", rows, dead=2))))
    for words in (
        "6 of 10 tasks gave a row that was kept (60%), with 60 tokens to train on.",
        "The run is not finished.",
        "kept rows wanted 5",
        "repetition The text repeats itself over and over. 2 20%",
        "timeout 2 20%",
        "compose 3 1 0 75%",  # kept, rejected, dead, yield
        "rephrase 3 1 2 50%",
        "look 6 6 100% 0% 0 0",
        "take 6 6 100% 50% 0 0",
        "sing 0 0 0%",
        "No kept row of house calls these tools: sing",
        "(start) 100",
        "Seed lines that were refused, and are in quarantine.jsonl: 1.",
        "These seeds were not found",
        "agent model big",
    ):
        assert words in page.text, words


def test_headings_anchors_and_tables_are_in_order(tmp_path: Path) -> None:
    source = report(Run.open(make_run(tmp_path / "r", [row(0), row(1, "repetition")])))
    page = Page(source)
    assert len(page.ids) == len(set(page.ids))
    assert {target.removeprefix("#") for target in page.targets} <= set(page.ids)
    assert page.tags["h1"] == 1
    assert page.tags["h2"] == source.count("<section aria-labelledby=")
    own = source.partition('id="kept"')[0]
    assert own.count("<table>") == own.count("<caption>") > 8
    assert len(re.findall(r'<svg class="histogram"[^>]* role="img" aria-label="[^"]+', own)) == 4
    assert re.search(r"<html lang=\"en\">.*<title>demo · trajgen report</title>", source, re.S)


def test_a_page_loads_and_runs_nothing(tmp_path: Path) -> None:
    source = report(Run.open(make_run(tmp_path / "r", [row(0)])))
    style = source.partition("<style>")[2].partition("</style>")[0]
    assert policy(style).replace("'", "&#39;") in source  # the hash is that of what is there
    assert source.index("Content-Security-Policy") < source.index("<style>")
    assert not re.search(r"https?:|url\(|@import|<script|<link|\bsrc=|\bstyle=", source)


def test_nothing_in_a_row_becomes_markup(tmp_path: Path) -> None:
    def wild(text: str) -> list[dict[str, Any]]:
        call = {
            "id": text,
            "type": "function",
            "function": {"name": text, "arguments": {text: text}},
        }
        messages = (user(text), {"role": "assistant", "content": text, "tool_calls": [call]})
        tools = ({"type": "function", "function": {"name": text}},)
        more = dict.fromkeys(("domain", "seed_id", "strategy", "persona", "fault", "outcome"), text)
        steps = (step(1, text, True, text, id_=text),)
        row_ = {**more, "messages": messages, "tools": tools, "steps": steps, "agent_model": text}
        return [row(0, **row_, scores={text: text}), row(1, text, **row_)]

    tame, evil = (
        report(Run.open(make_run(tmp_path / name, wild(text), about=text.replace("\ud800", ""))))
        for name, text in (("tame", "x" * len(HOSTILE)), ("evil", HOSTILE))
    )
    assert Page(evil).tags == Page(tame).tags
    assert Page(evil).attributes == Page(tame).attributes
    assert not any(
        mark in evil for mark in ("\x1b", "\u202e", "\u2066", "\ud800", "<script", "<img")
    )
    assert r"\x1b[2J\u202eevil\u2066" in Page(evil).text
    assert "{{ 7*7 }}" in Page(evil).text  # data is never a template


def test_a_page_stays_small_whatever_rows_hold(tmp_path: Path) -> None:
    rows = [row(i, messages=(user("&" * 1_000_000),) * 2, strategy="n" * 5000) for i in (0, 1)]
    source = report(Run.open(make_run(tmp_path / "r", rows)))
    assert len(source) < 700_000
    assert source.count("[980,000 more characters]") == 4
    assert "… [4,400 more characters]" in source


def test_fidelity_and_reviews_are_shown_where_there_are_any(tmp_path: Path) -> None:
    run = Run.open(make_run(tmp_path / "r", [row(0), row(1)]))
    page = Page(report(run))
    assert not {"fidelity", "reviews"} & set(page.ids)
    run.judge("task-0", "drop", note="<b>rude</b>", by="ada")
    right, tools = {"n": 4, "correct": 3}, {"n": 4, "exact": 2}
    figures = {
        "world": "tau2:retail", "model": "small", "steps": 8, "effects": tools,
        "precondition": {"applicable": right, "inapplicable": right},
        "observation": {**tools, "field_f1": 0.9}, "per_tool": {},
        "replay": {"n": 3, "consistency_ratio": 0.5},
    }  # fmt: skip
    (run.path / "fidelity.json").write_bytes(record_bytes({"figures": figures}))
    page = Page(report(run))
    assert {"fidelity", "reviews"} <= set(page.ids)
    for words in (
        "small against tau2:retail, before the run: 8 steps.",
        "calls that apply, not refused 4 75%",
        "effects exact 4 50%",
        "consistency ratio of rollouts 3 0.50",
        "task-0 drop ada <b>rude</b>",
    ):
        assert words in page.text, words


def test_a_run_without_rows_has_a_report_too(tmp_path: Path) -> None:
    page = Page(report(Run.open(make_run(tmp_path / "r", [], dead=1))))
    assert "0 of 1 tasks" in page.text
    assert "No row was rejected." in page.text
    assert page.text.count("There is none.") == 2


def test_long_texts_and_lists_are_cut_and_say_how_much_is_missing() -> None:
    long = Trajectory("t", "d", (user("x" * (TEXT + 5)),) * 14, scores={"list": [1] * 1000})
    short = cut(long)
    texts = [m["content"] for m in short.messages]
    assert texts[0] == "x" * TEXT + " … [5 more characters]"
    assert texts[-1] == "x" * SHORT + f" … [{TEXT + 5 - SHORT:,} more characters]"
    assert sum(map(len, texts)) < 1.01 * WHOLE
    assert [m["role"] for m in short.messages] == ["user"] * 14
    assert short.scores["list"][199:] == [1, "… [800 more]"]
    many = cut(Trajectory("t", "d", (user("x"),) * 300))
    assert (len(many.messages), many.messages[-1]["content"]) == (201, "[100 more messages]")
    kept = row(0)
    assert cut(Trajectory.parse(kept)).messages == Trajectory.parse(kept).messages


# counts


def test_a_reason_is_counted_at_the_tool_that_it_points_at() -> None:
    placed = [{"code": "a", "at": 1}, {"code": "b", "at": 4}, {"code": "c", "at": 5}]
    tally = Tally()
    tally.reject(row(0, "a", "b", "c", "d", scores={"reasons": placed}))
    tally.reject(row(1, "e", steps=(step(1, "look", False, "e"),)))
    assert dict(tally.broke) == {
        ("house", "look", "a"): 1,
        ("house", "take", "b"): 1,
        ("house", SPEECH, "c"): 1,
        ("house", SPEECH, "d"): 1,
        ("house", "look", "e"): 1,
    }
    assert tally.codes == Counter("abcde")


def test_moves_go_from_start_to_end() -> None:
    tally = Tally()
    tally.keep(row(0))
    tally.keep(row(1, steps=(), messages=(user("hi"), says("hello"))))
    moves = {(a, b): n for (_, a, b), n in tally.moves.items()}
    assert moves == {(START, "look"): 1, ("look", "take"): 1, ("take", END): 1, (START, END): 1}


def test_the_copy_ratio_is_the_share_of_word_pairs_from_the_seeds() -> None:
    seeds = {
        "s1": Seed("s1", "d", (user("one two three four"),)),
        "s2": Seed("s2", "d", (user("five six"), calls(("c", "look", {"at": 1})))),
    }
    found = Diversity(seeds, {"both": "s2"})
    found.add({"id": "a", "seed_id": "s1", "strategy": "x"}, [user("one two three four")])
    found.add({"id": "b", "seed_id": "s1", "strategy": "x"}, [user("new words here")])
    same = [user("five six"), calls(("k", "look", {"at": 1})), calls(("l", "look", {"at": 2}))]
    found.add({"id": "both", "seed_id": "s1", "strategy": "y"}, same)
    found.add({"id": "c", "seed_id": "gone", "strategy": "y"}, [user("five six")])
    assert found.groups["x"].copied == [1.0, 0.0]
    assert found.groups["x"].median == 0.5
    assert 0.7 < found.groups["y"].copied[0] < 1
    assert len(found.copied) == 3
    whole = found.whole
    assert (whole.rows, whole.calls, whole.from_seed, len(whole.distinct)) == (4, 2, 1, 2)
    assert found.seed_calls() == (1, 1)


def test_quantiles_and_bars_of_a_histogram() -> None:
    counts = dict.fromkeys(range(1, 101), 1)
    assert [quantile(counts, part) for part in (0, 0.25, 0.5, 0.75, 1)] == [1, 25, 50, 75, 100]
    assert quantile({}, 0.5) == 0
    shown = histogram("T", "turns", counts, {1000: 3})
    assert all(b.x >= 0 and b.x + b.width <= WIDTH and 0 <= b.y <= HEIGHT for b in shown.bins)
    low = [b for b in shown.bins if b.kind == "rejected"]
    assert len(low) == 1  # beyond the kept rows: in the last bar
    assert "or more turns: 100.0% of rejected rows" in low[0].words
    assert low[0].y == shown.line
    assert histogram("T", "turns", {1: 2}, {}).bins[0].words == "1 turns: 100.0% of kept rows"
    assert "half of them at most 50" in shown.words
    assert [text for _, text in shown.ticks] == ["0", "20", "40", "60", "80", "100"]


@pytest.mark.parametrize("counts", [{}, {0: 1}, {7: 5}, {1: 1, 10**9: 1}])
def test_odd_lengths_make_a_histogram_too(counts: dict[int, int]) -> None:
    for kept, rejected in ((counts, {}), ({}, counts), (counts, counts)):
        shown = histogram("T", "x", kept, rejected)
        assert len(shown.bins) <= 2 * 31
        assert all(b.height > 0 and b.width > 0 for b in shown.bins)


def test_shares_in_words() -> None:
    assert [percent(x) for x in (0, 0.0004, 0.0126, 0.5, 0.9949, 0.999, 1)] == [
        "0%", "<0.1%", "1.3%", "50%", "99%", "99.9%", "100%",
    ]  # fmt: skip
    assert share(1, 0).text == "–"
    assert share(1, 4).bar == 0.25
    assert [shaded(n, 10, "x").shade for n in (0, 1, 10, 20)] == [0, 1, LEVELS, LEVELS]


# the command


def test_the_command_writes_one_file_and_leaves_the_run_sound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(tmp_path / "r", [row(0)])
    before = verify(folder)
    assert cli.main(["report", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    first = (folder / "report.html").read_bytes()
    assert first.startswith(b"<!doctype html>")
    assert verify(folder) == before
    elsewhere = tmp_path / "new" / "page.html"
    assert cli.main(["report", str(folder), "--out", str(elsewhere)]) == 0
    assert elsewhere.read_bytes() == first  # the same run gives the same page
    assert cli.main(["report", str(folder), "--out", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
    with pytest.raises(InputError):
        write_report(Run.open(folder), tmp_path)
