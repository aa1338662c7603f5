"""Prompts: sandboxed, strict, rendered once, from one folder, told apart by their text."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from trajgen import script
from trajgen.config import STRATEGIES
from trajgen.errors import InputError, PromptTooLong
from trajgen.loading import shipped
from trajgen.prompts import MAX_CHARS, Prompts

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_order",
            "description": "Reads an order.",
            "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}},
        },
    },
    {
        "type": "function",
        "function": {"name": "ping", "description": None, "parameters": {"type": "object"}},
    },
]
EXAMPLE = script.lines(
    [
        {"role": "user", "content": "Where is o1?"},
        script.agent_message(
            {"say": "", "calls": [{"name": "get_order", "arguments": {"order_id": "o1"}}]}, 0
        ),
        {"role": "tool", "tool_call_id": "call_0", "content": '{"status": "sent"}'},
    ]
)
DOMAIN = {"name": "shop", "description": "A small shop."}
HEAD = {"domain": DOMAIN, "policy": "Be brief.", "tools": TOOLS, "kinds": {"get_order": "read"}}
PLOT: dict[str, Any] = {
    "domain": DOMAIN,
    "example": EXAMPLE,
    "partner": EXAMPLE,
    "state": {"orders": {"o1": {"status": "sent"}}},
    "strategy": "extend",
    "persona": "terse",
    "fault": "timeout",
    "may_change_state": True,
    "may_state_goal": True,
}
CONTEXTS: dict[str, dict[str, Any]] = {
    "agent.results": {"results": [{"call_id": "call_0", "content": "sent"}]},
    "agent.system": {**HEAD, "example": EXAMPLE},
    "author.system": HEAD,
    "author.user": PLOT,
    "feedback": {"problems": ["bad_effect: /orders/o9: nothing is there to set"]},
    "judge.system": HEAD,
    "judge.user": {
        "wish": "You want o1 cancelled.",
        "conversation": EXAMPLE,
        "changes": [{"call_id": "call_0", "op": "set", "path": "/orders/o1/status", "value": "x"}],
        "outcome": "success",
    },
    "scenario.system": PLOT,
    "scenario.user": PLOT,
    "user.begin": {},
    "user.system": {
        "domain": DOMAIN,
        "instruction": "You want to cancel o1.",
        "persona": "terse",
    },
    "world.call": {
        "call": {"name": "get_order", "arguments": {"order_id": "o1"}},
        "state": {"orders": {"o1": {"status": "sent"}}},
        "examples": [{"arguments": {"order_id": "o2"}, "observation": '{"status": "new"}'}],
    },
    "world.system": HEAD,
}


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return Prompts()


def folder_of(path: Path, **templates: str) -> Path:
    path.mkdir(exist_ok=True)
    for name, text in templates.items():
        (path / f"{name}.jinja").write_text(text, "utf-8")
    return path


def render(path: Path, text: str, **context: Any) -> str:
    return Prompts(folder_of(path, one=text)).render("one", context)


# the shipped prompts


def test_every_shipped_prompt_is_covered_here() -> None:
    assert {path.stem for path in shipped("prompts").glob("*.jinja")} == set(CONTEXTS)


@pytest.mark.parametrize("name", sorted(CONTEXTS))
def test_a_shipped_prompt_renders(prompts: Prompts, name: str) -> None:
    text = prompts.render(name, CONTEXTS[name])
    assert text
    assert text == text.strip()
    for mark in ("{{", "{%", "Undefined", "None"):
        assert mark not in text


@pytest.mark.parametrize("name", sorted(CONTEXTS))
def test_a_shared_prompt_is_the_prompt(prompts: Prompts, name: str) -> None:
    """Once it is made and again, and for another context another one."""
    text = prompts.render(name, CONTEXTS[name])
    assert [prompts.shared(name, CONTEXTS[name]) for _ in range(2)] == [text, text]
    assert pickle.loads(pickle.dumps(prompts)).shared(name, CONTEXTS[name]) == text


def test_a_shared_prompt_is_made_once_for_the_same_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompts, made = Prompts(), list[str]()
    render = Prompts.render
    monkeypatch.setattr(
        Prompts, "render", lambda self, *given: made.append(given[0]) or render(self, *given)
    )
    context = CONTEXTS["agent.system"]
    first = prompts.shared("agent.system", context)
    assert prompts.shared("agent.system", dict(context)) is first  # another dict of the same
    assert made == ["agent.system"]
    other = prompts.shared("agent.system", {**context, "policy": "Take your time."})
    assert "Take your time." in other
    assert "Take your time." not in prompts.shared("agent.system", context)
    assert len(made) == 2


def test_prompts_say_what_they_were_given(prompts: Prompts) -> None:
    system = prompts.render("agent.system", CONTEXTS["agent.system"])
    assert "Be brief." in system
    assert '- get_order: Reads an order. Arguments: {"order_id": {"type": "string"}}' in system
    assert "- ping:  Arguments: {}" in system
    assert "User: Where is o1?" in system
    world = prompts.render("world.system", CONTEXTS["world.system"])
    assert "- get_order (read):" in world
    assert "- ping (read or write):" in world
    call = prompts.render("world.call", CONTEXTS["world.call"])
    assert 'Call: get_order {"order_id": "o1"}' in call
    assert '{"order_id": "o2"} -> {"status": "new"}' in call
    assert "[call_0] sent" in prompts.render("agent.results", CONTEXTS["agent.results"])
    assert "/orders/o9" in prompts.render("feedback", CONTEXTS["feedback"])


@pytest.mark.parametrize("name", ["scenario.user", "author.user"])
def test_each_strategy_is_asked_for_in_other_words(prompts: Prompts, name: str) -> None:
    texts = {prompts.render(name, PLOT | {"strategy": strategy}) for strategy in STRATEGIES}
    assert len(texts) == len(STRATEGIES)


@pytest.mark.parametrize("name", ["scenario.user", "author.user", "world.call"])
def test_prompts_do_without_state_partner_and_examples(prompts: Prompts, name: str) -> None:
    bare = {"state": None, "partner": [], "examples": [], "fault": "", "may_change_state": False}
    bare["may_state_goal"] = False
    full, less = (prompts.render(name, CONTEXTS[name] | more) for more in ({}, bare))
    assert len(less) < len(full)
    assert "None" not in less
    assert '"effects"' not in less


def test_a_domain_without_description_goes_by_its_name(prompts: Prompts) -> None:
    head = HEAD | {"domain": {"name": "shop", "description": ""}}
    assert "Domain: shop" in prompts.render("world.system", head)


def test_a_persona_of_ones_own_is_named(prompts: Prompts) -> None:
    own = {"instruction": "x", "persona": "a pirate"}
    assert "You are a pirate." in prompts.render("user.system", own)
    assert "You are short of words" in prompts.render("user.system", own | {"persona": "terse"})


def test_the_user_prompt_knows_nothing_of_tools_and_state(prompts: Prompts) -> None:
    """The user never sees tool results: its prompt takes the instruction and persona alone."""
    text = prompts.render("user.system", CONTEXTS["user.system"])
    assert "cancel o1" in text
    assert "get_order" not in text


# short prompts, and other folders laid over the shipped one


def test_short_prompts_render_for_every_role() -> None:
    short, plain = Prompts(shipped("prompts") / "short"), Prompts()
    for name, context in CONTEXTS.items():
        text = short.render(name, context)
        assert text == text.strip()
        assert bool(text) == (name != "feedback")  # a taught model is asked anew, with no word
        assert len(text) <= len(plain.render(name, context))
        assert "None" not in text
    assert short.render("world.call", CONTEXTS["world.call"]) == (
        '{"order_id": "o2"} -> {"status": "new"}\n'
        '{"orders": {"o1": {"status": "sent"}}}\n'
        'get_order {"order_id": "o1"}'
    )
    roles = ("agent", "scenario", "user", "world")
    systems = {short.render(f"{role}.system", CONTEXTS[f"{role}.system"] | PLOT) for role in roles}
    assert len(systems) == 4  # each role knows which one it is
    assert all(text.startswith("shop: ") for text in systems)


def test_short_prompts_do_without_what_there_is_not() -> None:
    short = Prompts(shipped("prompts") / "short")
    bare = {"state": None, "partner": [], "examples": []}
    call = short.render("world.call", CONTEXTS["world.call"] | bare)
    assert call == 'get_order {"order_id": "o1"}'
    assert short.render("scenario.user", PLOT | bare) == f"extend\n{EXAMPLE[0]}"
    assert short.render("world.call", CONTEXTS["world.call"] | {"state": {}, "examples": []}) == (
        '{}\nget_order {"order_id": "o1"}'
    )


def test_every_short_prompt_stands_for_a_shipped_one() -> None:
    names = {path.stem for path in (shipped("prompts") / "short").glob("*.jinja")}
    assert {"world.call", "agent.results"} < names < set(CONTEXTS)


def test_a_folder_of_ones_own_is_laid_over_the_shipped_one(tmp_path: Path) -> None:
    own = Prompts(folder_of(tmp_path, **{"world.system": "mine", "my.own": "more"}))
    assert own.render("world.system", HEAD) == "mine"
    assert own.render("my.own", {}) == "more"
    for name in sorted(set(CONTEXTS) - {"world.system"}):
        assert own.render(name, CONTEXTS[name]) == Prompts().render(name, CONTEXTS[name])
    assert own.digest != Prompts().digest
    folder_of(tmp_path, **{"world.system": "mine too"})
    assert Prompts(tmp_path).digest != own.digest


# data is data


@pytest.mark.parametrize(
    "text", ["{{ 7 * 7 }}", "{% for x in y %}", "{# note #}", "{{ x.__class__ }}", "{%", "}}"]
)
def test_data_that_looks_like_a_template_stays_text(prompts: Prompts, text: str) -> None:
    rendered = prompts.render("user.system", {"instruction": text, "persona": text})
    assert rendered.count(text) == 2
    results = {"results": [{"call_id": "call_0", "content": text}]}
    assert prompts.render("agent.results", results) == f"[call_0] {text}"


def test_data_is_not_escaped(prompts: Prompts) -> None:
    text = '<b>&"quoted"</b> é 🙂'
    assert text in prompts.render("user.system", {"instruction": text, "persona": "terse"})


# a folder of one's own


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ x['__class__'] }}",
        "{{ x|attr('__class__') }}",
        "{{ lipsum.__globals__['os'] }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ x.append(1) }}",
        "{% set _ = y.update({'a': 1}) %}",
        "{{ '{0.__class__}'.format(x) }}",
    ],
)
def test_the_sandbox_holds(tmp_path: Path, text: str) -> None:
    x, y = [1], {"a": 0}
    with pytest.raises(InputError, match="prompt fails"):
        render(tmp_path, text, x=x, y=y)
    assert (x, y) == ([1], {"a": 0})


@pytest.mark.parametrize(
    "text",
    [
        "{{ missing }}",
        "{{ missing.inner }}",
        "{{ x.missing }}",
        "{{ missing | json }}",
        "{% for item in missing %}{% endfor %}",
        "{% if missing %}{% endif %}",
        "{{ x + 1 }}",
        "{{ 1 / 0 }}",
        "{{ range(10 ** 9) }}",
        "{% include 'other.jinja' %}",
        "{% include '../one.jinja' %}",
        "{{ x | json }}{{ [1] | map('nothing') | list }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ],
)
def test_what_fails_in_a_template_is_the_users_mistake(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as caught:
        render(tmp_path, text, x={})
    assert "one.jinja" in caught.value.where


@pytest.mark.parametrize("text", ["a\n{% if %}", "a\n{{ x", "a\n{{ x | nofilter }}"])
def test_a_broken_template_is_told_with_its_line_before_a_run(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="no valid template") as caught:
        Prompts(folder_of(tmp_path, one=text))
    assert caught.value.where.endswith("one.jinja:2")


def test_an_unknown_prompt(tmp_path: Path) -> None:
    prompts = Prompts(folder_of(tmp_path, one="x"))
    for name in ("two", "../one", "sub/one", ""):
        with pytest.raises(InputError, match="prompt fails"):
            prompts.render(name, {})


def test_only_templates_of_the_folder_itself_are_there(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", one="{% include 'sub/two.jinja' %}")
    folder_of(folder / "sub", two="hidden from the digest")
    (folder / "note.txt").write_text("no template")
    for text in ("{% include 'sub/two.jinja' %}", "{% include 'note.txt' %}"):
        with pytest.raises(InputError, match="prompt fails"):
            render(folder, text)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    outside = folder_of(tmp_path / "outside", secret="secret")
    folder = folder_of(tmp_path / "p", one="x")
    (folder / "two.jinja").symlink_to(outside / "secret.jinja")
    with pytest.raises(InputError, match="link out of its folder"):
        Prompts(folder)


def test_a_link_within_the_folder_and_to_the_folder_is_fine(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "p", one="x")
    (folder / "two.jinja").symlink_to(folder / "one.jinja")
    (tmp_path / "link").symlink_to(folder)
    assert Prompts(tmp_path / "link").render("two", {}) == "x"


@pytest.mark.parametrize("what", ["folder", "broken link", "not text"])
def test_a_template_that_cannot_be_read(tmp_path: Path, what: str) -> None:
    folder, file = folder_of(tmp_path / "p", one="x"), tmp_path / "p" / "two.jinja"
    if what == "folder":
        file.mkdir()
    elif what == "broken link":
        file.symlink_to(folder / "nothing.jinja")
    else:
        file.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read") as caught:
        Prompts(folder)
    assert caught.value.where == str(file)


@pytest.mark.parametrize("name", ["empty", "none"])
def test_a_folder_without_templates(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no prompt templates"):
        Prompts(tmp_path / name)


def test_a_prompt_has_a_bound(tmp_path: Path) -> None:
    assert len(render(tmp_path, "{{ x }}", x="a" * MAX_CHARS)) == MAX_CHARS
    with pytest.raises(PromptTooLong, match="takes"):
        render(tmp_path, "{{ x }}", x="a" * (MAX_CHARS + 1))


# the digest, and what it stands for


def test_the_digest_changes_with_text_and_names_alone(tmp_path: Path) -> None:
    first = Prompts(folder_of(tmp_path / "a", one="x", two="y")).digest
    assert Prompts(folder_of(tmp_path / "b", two="y", one="x")).digest == first
    assert Prompts(folder_of(tmp_path / "c", one="x", two="y ")).digest != first
    assert Prompts(folder_of(tmp_path / "d", one="x", three="y")).digest != first
    assert Prompts(folder_of(tmp_path / "e", one="y", two="x")).digest != first


def test_a_template_changed_during_a_run_is_not_seen(tmp_path: Path) -> None:
    prompts = Prompts(folder_of(tmp_path, one="before"))
    folder_of(tmp_path, one="after", two="new")
    assert prompts.render("one", {}) == "before"


def test_prompts_cross_process_borders(tmp_path: Path) -> None:
    prompts = Prompts(folder_of(tmp_path, one="x {{ y }}"))
    assert prompts.render("one", {"y": 1}) == "x 1"
    (tmp_path / "one.jinja").unlink()  # another node has no such folder
    other: Prompts = pickle.loads(pickle.dumps(prompts))
    assert other.render("one", {"y": 2}) == "x 2"
    assert other.digest == prompts.digest
    assert other.folder == prompts.folder
