"""The notebook view is well-formed, says what happened, and lets no content act."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from trajgen.records import Reason, Seed, Step, Trajectory
from trajgen.review.beside import beside, paired
from trajgen.review.changes import changes_of
from trajgen.review.codes import CODES
from trajgen.review.markup import html as as_html
from trajgen.review.notebook import STYLE, conversation, fragment, html, run_html
from trajgen.review.run import Sample

HOSTILE = "</div><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;\x1b[2J\u202e\ud800"
VOID = {"br", "img", "hr", "meta", "link", "input"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that tags close in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def example(text: str = "hello", **more: Any) -> Trajectory:
    call = {"id": "c1", "type": "function", "function": {"name": text, "arguments": {text: text}}}
    step = Step(
        message=1, call_id="c1", tool=text, applies=False, why=text,
        effects=({"op": "set", "path": f"/{text}", "value": text},), source="model",
        state_before="a" * 32, state_after="b" * 32, fault=text,
        verdicts=(Reason("effect_missing", 1), Reason(text, 1, text)),
    )  # fmt: skip
    values: dict[str, Any] = {
        "messages": (
            {"role": "user", "content": text},
            {"role": "assistant", "content": text, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": text},
            {"role": text, "content": text},
        ),
        "steps": (step,),
        "state_initial": {text: "old"},
        "reasons": ("effect_missing", text),
        "seed_id": text,
        "scores": {
            "ended": text,
            "detail": text,
            text: text,
            "reasons": [{"code": text, "at": 3, "detail": f"{text}!"}],
        },
    }
    return Trajectory(text, text, **{**values, **more})


def test_the_page_says_what_happened() -> None:
    page = Page(fragment(example()))
    for words in (
        "hello · rejected",
        f"effect_missing: {CODES['effect_missing']}",
        "does not apply: hello",
        'set /hello"old""hello"',  # the change, what stood there before, what after
        "state aaaaaaaa to bbbbbbbb",
        "✗ broke here: hello: hello",
        "✗ broke here: hello: hello!",
    ):
        assert words in page.text
    assert page.tags.count("table") == 2  # the arguments, and the changes
    assert page.tags.count("li") == 4
    assert {"aria-label", "scope", "dir"} <= set(page.attributes)


def test_hostile_content_never_becomes_markup() -> None:
    tame, wild = Page(html(example("hello"))), Page(html(example(HOSTILE)))
    assert wild.tags == tame.tags
    assert wild.attributes == tame.attributes
    assert not {"script", "img", "a", "iframe", "link"} & set(wild.tags)
    assert not any(name.startswith("on") or name in ("src", "href") for name in wild.attributes)
    source = html(example(HOSTILE))
    assert not any(mark in source for mark in ("\x1b", "\u202e", "\ud800", "<script"))
    assert r"\x1b[2J\u202e\ud800" in wild.text
    source.encode("utf-8")


def test_hostile_arguments_and_leftover_steps_are_text_too() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": HOSTILE}}
    messages = ({"role": "assistant", "content": None, "tool_calls": [call]},)
    page = Page(html(example(HOSTILE, messages=messages)))
    assert "script" not in page.tags
    assert "step without a call" in page.text


def test_long_content_is_folded_and_huge_content_cut() -> None:
    short, long = "x" * 700, "x" * 701
    assert "details" not in Page(fragment(Trajectory("t", "d", (user(short),)))).tags
    page = Page(fragment(Trajectory("t", "d", (user(long),))))
    assert page.tags.count("details") == page.tags.count("summary") == 1
    assert "(701 characters)" in page.text
    huge = fragment(Trajectory("t", "d", (user("&" * 1_000_000),)))
    assert "[900,000 more characters]" in huge
    assert len(huge) < 600_000


def test_a_trajectory_shows_itself_and_stands_alone() -> None:
    shown = example()._repr_html_()
    assert shown == STYLE + fragment(example())
    assert "http" not in shown
    assert "@import" not in shown
    assert "url(" not in shown


@pytest.mark.parametrize("done", [0, 12])
def test_a_run_in_short(done: int) -> None:
    page = Page(run_html(FakeRun(done)))  # type: ignore[arg-type]
    assert f"{done} of 20 tasks" in page.text
    assert ("83%" if done else "nothing done yet") in page.text
    assert ("<b>x</b>" in page.text) == bool(done)
    assert "not finished" in page.text


class FakeRun:
    path = Path("x")

    def __init__(self, done: int) -> None:
        self.done = done

    def status(self) -> dict[str, Any]:
        counts = {"kept": 10, "rejected": 1, "dead": 1} if self.done else {}
        empty = {"kept": 0, "rejected": 0, "dead": 0}
        reasons = {"<b>x</b>": 1} if self.done else {}
        rest = {"complete": False, "planned": 20, "done": self.done, "reasons": reasons}
        return {"name": "<i>r</i>", **empty, **counts, **rest}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_without_its_style_sheet_a_page_still_shows_its_lines() -> None:
    page = fragment(Trajectory("t", "d", (user("first\nsecond\n<third>"),)))
    assert "first<br>second<br>&lt;third&gt;" in page


def test_a_sample_shows_every_conversation_folded_under_what_it_is() -> None:
    page = Page(Sample([example("one"), example("two", reasons=())])._repr_html_())
    assert page.tags.count("article") == page.tags.count("summary") == 2
    assert "failure · rejected ·  · one" in page.text
    assert "failure · kept ·  · two" in page.text
    assert "no trajectory" in Page(Sample()._repr_html_()).text
    assert "script" not in Page(Sample([example(HOSTILE)])._repr_html_()).tags


# --- the seed beside the rollout


def seed(*messages: dict[str, Any]) -> Seed:
    return Seed("s", "d", messages)


def agent(text: str, *tools: str) -> dict[str, Any]:
    calls = [{"id": "c", "function": {"name": tool, "arguments": {"a": 1}}} for tool in tools]
    return {"role": "assistant", "content": text} | ({"tool_calls": calls} if calls else {})


def test_messages_pair_up_by_who_speaks_and_what_is_called() -> None:
    left = (user("a"), agent("", "read"), agent("bye"))
    right = (user("b"), agent("", "write"), agent("", "read"), agent("bye"))
    assert paired(left, right) == [
        (left[0], right[0]), (None, right[1]), (left[1], right[2]), (left[2], right[3]),
    ]  # fmt: skip


def test_what_differs_from_the_seed_is_marked() -> None:
    rollout = Trajectory("t", "d", (user("Cancel W2 now."), agent("Done.", "cancel")))
    shown = as_html(conversation(rollout, seed(user("Cancel W1."), agent("Done.", "cancel"))))
    assert "Beside its seed: 1 of 2 messages differ" in shown
    assert "Cancel <del>W1</del>." in shown
    assert "Cancel <ins>W2 now</ins>." in shown
    assert shown.count("<ins>") == 1
    assert shown.count("cancel(a=1)") == 2


def test_a_long_pair_is_shown_whole_and_unmarked() -> None:
    shown = as_html(beside(seed(user("a " * 1000)), Trajectory("t", "d", (user("b " * 1000),))))
    assert "<ins>" not in shown
    assert "b b b" in shown


def test_hostile_words_beside_each_other_stay_text() -> None:
    rollout = Trajectory("t", "d", (user(f"hi {HOSTILE}"),))
    page = Page(as_html(beside(seed(user(HOSTILE)), rollout)))
    assert not {"script", "img"} & set(page.tags)


def test_a_row_without_an_opened_run_says_nothing_of_its_seed() -> None:
    assert "eside" not in fragment(example())


# --- what changed


def change_of(state: Any, *effects: dict[str, Any], moved: bool = True) -> list[tuple[str, ...]]:
    step = Step(0, "c", "f", True, "", effects, "model", "a", "b" if moved else "a")
    row = Trajectory("t", "d", (), steps=(step,), state_initial=state)
    return [(c.op, c.path, c.before, c.after) for c in changes_of(row)[0]]


def test_a_change_shows_what_stood_there_and_what_does_now() -> None:
    effects: list[dict[str, Any]] = [
        {"op": "set", "path": "/a", "value": 2}, {"op": "increment", "path": "/a", "value": 3},
        {"op": "add", "path": "/b", "value": None}, {"op": "remove", "path": "/a"},
        {"op": "append", "path": "/l", "value": "x"}, {"op": "move", "path": "/b", "value": "/c"},
    ]  # fmt: skip
    assert change_of({"a": 1, "l": []}, *effects) == [
        ("set", "/a", "1", "2"), ("increment", "/a", "2", "5"), ("add", "/b", "nothing", "null"),
        ("remove", "/a", "5", "nothing"), ("append", "/l", "0 items", 'one more: "x"'),
        ("move", "/b", "null", "now at /c"),
    ]  # fmt: skip


def test_effects_that_do_not_fit_are_shown_as_they_were_given() -> None:
    assert change_of(None, {"op": "set", "path": "/a", "value": 2}) == [("set", "/a", "", "2")]
    assert change_of({}, {"op": "fly"}, {"path": 3, "value": {}}) == [
        ("fly", "?", "", ""), ("?", "3", "", "{}"),
    ]  # fmt: skip
