"""What models see: the rows of a view, in published chat templates that know tools, are the
text of the messages that they were made of (slow: transformers)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import trajgen
from tests.conversations import TOOLS, calls, result, says, user
from tests.written_runs import TALK, trajectory, write_run
from trajgen.errors import InputError
from trajgen.export.command import export
from trajgen.exporters import Unfit
from trajgen.exporters.templates import Template
from trajgen.records import Message, Trajectory
from trajgen.review.corpus import load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.filterwarnings("ignore")]

# As TRL ships them, byte for byte those of the models; Apache-2.0 (trl/chat_templates/README.md).
PUBLISHED = (
    *("qwen2_5", "qwen3", "qwen3_5_think", "qwen3_6", "llama3_1", "llama3_2", "glm4moe", "gptoss"),
    *("nemotron_3_nano", "lfm2_2_5", "deepseekv3", "gemma4_v5"),
)
# One call a turn (Llama's refuse more, gpt-oss drops them), and nothing that is said beside it.
# DeepSeek's keeps that for the first calls of a conversation alone.
LOSSY = {"llama3_1", "llama3_2", "gptoss", "deepseekv3"}
TEXT_ARGUMENTS = {"deepseekv3"}  # as OpenAI's API has them
COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
SINGLE: tuple[Message, ...] = (
    user("Cancel W1001, please."),
    calls(("c00000001", "cancel_order", {"order_id": "W1001", "reason": "naïve “test” 谢谢"})),
    result("c00000001", {"order_id": "W1001", "status": "cancelled"}),
    says("It is cancelled."),
)


def template(name: str) -> str:
    from trl import chat_templates

    return str(Path(next(iter(chat_templates.__path__)), f"{name}.jinja"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Trajectory]]:
    """Real rollouts, and talks with few and with parallel calls."""
    folder = tmp_path_factory.mktemp("templates")
    smoke = ["cluster.address=inline", "shards.rows=12"]
    played = list(trajgen.run("pipelines/smoke.yaml", folder / "played", 12, smoke))
    made = [*played, trajectory(1), trajectory(2, messages=SINGLE), trajectory(3, messages=SINGLE)]
    return write_run(folder / "run", made), made


def dated(text: str) -> str:
    """A view's day is always the same one; templates that ask for the day get today's, or 2024."""
    return re.sub(r"Today Date: \d\d \w\w\w \d{4}", "Today Date: TODAY", text)


def _with_text(message: Any) -> Any:
    calls = [
        {**call, "function": {**made, "arguments": COMPACT.encode(made["arguments"])}}
        for call in message.get("tool_calls", ())
        for made in [call["function"]]
    ]
    return {**message, "tool_calls": calls} if calls else message


def loaded(view: Path) -> list[dict[str, Any]]:
    files = sorted((view / "train").iterdir())
    return list(load(files, sum(1 for _ in files)))


def rendered(name: str, messages: Sequence[Any], tools: Sequence[Any]) -> str:
    """The template by transformers' own function, or the error that it raises."""
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    source = Path(template(name)).read_text("utf-8")
    given = list(map(_with_text, messages)) if name in TEXT_ARGUMENTS else list(messages)
    try:
        found, _ = render_jinja_template([given], tools=list(tools), chat_template=source)
    except TemplateError as error:
        return f"refused: {error}"
    text: str = found[0]
    return text


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_text_of_a_view_is_that_of_the_messages(
    rows: tuple[Path, list[Trajectory]], tmp_path: Path, name: str
) -> None:
    run, made = rows
    view = loaded(export(run, "trl", tmp_path / "trl").path)
    ours, whole = Template(template(name)), 0
    for row, original in zip(view, made, strict=True):
        text = rendered(name, row["messages"], row["tools"])
        assert text == rendered(name, original.messages, original.tools)
        try:
            assert dated(ours.text(original.messages, original.tools)) == dated(text)
        except Unfit:
            assert name in LOSSY
            continue
        whole += 1
        assert "None" not in text
        for message in original.messages:
            assert _shown(message["content"].strip(), text)
            for call in message.get("tool_calls", ()):
                assert all(_shown(v, text) for v in _leaves(call["function"]["arguments"]))
    assert whole >= 2 if name in LOSSY else whole == len(made)


def test_most_templates_lose_nothing() -> None:
    assert len(set(PUBLISHED) - LOSSY) >= 8


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


def _shown(value: Any, text: str) -> bool:
    """As it is, as JSON, or as Python writes it."""
    written = json.dumps(value), json.dumps(value, ensure_ascii=False), str(value)
    inside = [word[1:-1] if word.startswith('"') else word for word in written]
    return any(word in text for word in (*written, *inside))


@pytest.mark.parametrize("name", ["qwen2_5", "llama3_1"])
def test_the_text_view_is_the_template_and_refuses_what_that_refuses(
    rows: tuple[Path, list[Trajectory]], tmp_path: Path, name: str
) -> None:
    run, made = rows
    done = export(run, "text", tmp_path / "text", template=template(name))
    found = {row["id"]: row for row in loaded(done.path)}
    for original in made:
        text = rendered(name, original.messages, original.tools)
        if text.startswith("refused: ") or (name in LOSSY and _says_beside_a_call(original)):
            assert original.id not in found
        else:
            row = found.pop(original.id)
            assert dated(row["text"]) == dated(text)
            assert json.loads(row["messages"]) == list(original.messages)
    assert found == {}
    assert (done.refused > 0) == (name == "llama3_1")


def _says_beside_a_call(row: Trajectory) -> bool:
    return any(m["content"].strip() for m in row.messages if "tool_calls" in m)


def test_a_template_that_knows_no_calls_refuses_them(tmp_path: Path) -> None:
    plain = tmp_path / "plain.jinja"
    plain.write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    run = write_run(
        tmp_path / "run", [trajectory(0), trajectory(1, messages=(user("a"), says("b")))]
    )
    done = export(run, "text", tmp_path / "view", template=str(plain))
    assert (done.refused, done.rows) == (1, {"train": 1})
    assert loaded(done.path)[0]["text"] == "user: a\nassistant: b\n"
    with pytest.raises(InputError, match="no such file"):
        Template("nowhere.jinja")


def test_tokens_are_counted_in_the_template_of_the_model_that_is_named(tmp_path: Path) -> None:
    """The embedded model's own template knows no calls, so a copy gets one that does."""
    from transformers import AutoTokenizer

    from trajgen.models import local_path

    tokenizer = AutoTokenizer.from_pretrained(local_path("smollm2-135m"))
    tokenizer.chat_template = Path(template("qwen2_5")).read_text("utf-8")
    tokenizer.save_pretrained(tmp_path / "model")
    short = (user("a"), says("b"))
    run = write_run(tmp_path / "run", [trajectory(0), trajectory(1, messages=short, n_tokens=9999)])
    model = str(tmp_path / "model")
    for messages in (TALK, short):
        text = tokenizer.apply_chat_template(list(messages), tools=list(TOOLS), tokenize=False)
        n = len(tokenizer.encode(text, add_special_tokens=False))
        view = export(run, "trl", tmp_path / str(n), where=f"n_tokens = {n}", template=model).path
        (row,) = loaded(view)
        assert row["n_tokens"] == n
        assert tuple(row["messages"]) == messages
    card = (view / "README.md").read_text("utf-8")
    assert "in the template of `model`" in card
