"""The terminal view: what it says, where, and that hostile content stays text."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from trajgen.records import Message, Reason, Step, Trajectory
from trajgen.review.codes import CODES, explain
from trajgen.review.reading import visible
from trajgen.review.terminal import folded, plain, render

HOSTILE = (
    "a\x1b[31mred\x1b[0m\x07\x9b2J\r\x00 \u202eevil\u2066x\ufeff [bold red]x[/] :smile: \ud800"
)


def ask(*calls: tuple[str, str, object], content: str = "") -> Message:
    made = [
        {"id": i, "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, name, arguments in calls
    ]
    return {"role": "assistant", "content": content, "tool_calls": made}


def step(call_id: str, message: int = 1, **more: object) -> Step:
    values: dict[str, object] = {
        "message": message,
        "call_id": call_id,
        "tool": "cancel_order",
        "applies": True,
        "why": "the order is pending",
        "effects": ({"op": "set", "path": "/orders/W1/status", "value": "cancelled"},),
        "source": "model",
        "state_before": "a" * 32,
        "state_after": "b" * 32,
    }
    return Step(**{**values, **more})  # type: ignore[arg-type]


def example(**more: object) -> Trajectory:
    values: dict[str, object] = {
        "id": "task-1",
        "domain": "retail",
        "messages": (
            {"role": "user", "content": "Cancel W1, please."},
            ask(("c1", "cancel_order", {"order_id": "W1", "n": 3}), content="One moment."),
            {"role": "tool", "tool_call_id": "c1", "content": '{"status": "cancelled"}'},
            {"role": "assistant", "content": "Done."},
        ),
        "steps": (step("c1"),),
        "seed_id": "seed-9",
        "strategy": "rephrase",
        "persona": "terse",
        "fault": "timeout",
        "outcome": "success",
        "n_tokens": 1234,
        "n_target_tokens": 400,
    }
    return Trajectory(**{**values, **more})  # type: ignore[arg-type]


def test_a_kept_trajectory_reads_as_a_conversation() -> None:
    text = plain(example())
    head = "  outcome success · domain retail · seed seed-9 · strategy rephrase · persona terse"
    assert text.startswith(f"task-1 · kept\n{head}")
    assert "tokens 1,234 (400 trained on)" in text
    order = [
        "0  user",
        "Cancel W1, please.",
        "1  assistant",
        '→ cancel_order(order_id="W1", n=3)',
        "applies: the order is pending",
        'set /orders/W1/status = "cancelled"',
        "state aaaaaaaa to bbbbbbbb",
        "2  tool · cancel_order",
        '    {"status": "cancelled"}',
        "3  assistant",
        "Done.",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert str(example()) == text


def test_reasons_stand_at_the_top_and_verdicts_at_the_step_that_broke() -> None:
    calls = ask(("c1", "cancel_order", {}), ("c2", "get_order", {}))
    verdict = Reason("bad_effect", 1, "/orders/W9: nothing is there to set")
    steps = (step("c1"), step("c2", tool="get_order", applies=False, why="", verdicts=(verdict,)))
    text = plain(example(messages=(calls,), steps=(step("c0"),), reasons=("bad_effect",)))
    assert "step without a call, message 1: cancel_order" in text
    text = plain(
        example(
            messages=({"role": "user", "content": "hi"}, calls),
            steps=steps,
            reasons=("bad_effect", "my_code"),
        )
    )
    top, _, rest = text.partition("0  user")
    assert f"✗ bad_effect: {CODES['bad_effect']}" in top
    assert f"✗ my_code: {explain('my_code')}" in top
    first, _, second = rest.partition("→ get_order()")
    assert "broke here" not in first
    assert "does not apply" in second
    assert "✗ broke here: bad_effect: /orders/W9: nothing is there to set" in second


def test_reasons_of_filters_are_marked_at_the_message_that_broke() -> None:
    reasons = [
        {"code": "bad_effect", "at": 1, "detail": "said by the step already"},
        {"code": "repetition", "at": 3, "detail": "'Done.' 9 times"},
        {"code": "no_final_answer", "at": None, "detail": ""},
    ]
    cause = {"code": "too_long", "at": 3, "detail": "20 of 20"}
    verdict = Reason("bad_effect", 1, "said by the step already")
    text = plain(
        example(
            steps=(step("c1", verdicts=(verdict,)),),
            reasons=("bad_effect", "repetition", "no_final_answer", "own"),
            scores={"ended": "turns", "cause": cause, "reasons": reasons, "judge": 0.5},
        ),
        200,
    )
    top, _, rest = text.partition("0  user")
    assert "ended turns (20 of 20)" in top
    assert "judge 0.5" in top
    assert f"✗ repetition: {CODES['repetition']} Message 3. 'Done.' 9 times" in top
    assert f"✗ no_final_answer: {CODES['no_final_answer']}\n" in top
    assert "✗ own: " in top
    assert rest.count("said by the step already") == 1
    last = rest.partition("3  assistant")[2]
    assert "✗ broke here: repetition: 'Done.' 9 times" in last


def test_steps_of_calls_with_the_same_id_are_each_shown_once() -> None:
    calls = ask(("c", "first", {}), ("c", "second", {}))
    steps = (step("c", 0, why="one"), step("c", 0, why="two"))
    text = plain(example(messages=(calls,), steps=steps))
    assert text.index("first()") < text.index("one") < text.index("second()") < text.index("two")
    assert "step without a call" not in text


@pytest.mark.parametrize("width", [20, 40, 100, 200])
def test_hostile_content_stays_text_at_any_width(width: int) -> None:
    reason = Reason(HOSTILE, 1, HOSTILE)
    evil = step(
        HOSTILE, tool=HOSTILE, why=HOSTILE, fault=HOSTILE, verdicts=(reason,),
        effects=({"op": HOSTILE, "path": HOSTILE, "value": HOSTILE},),
    )  # fmt: skip
    trajectory = example(
        id=HOSTILE,
        persona=HOSTILE,
        reasons=(HOSTILE,),
        messages=(
            {"role": HOSTILE, "content": HOSTILE},
            ask((HOSTILE, HOSTILE, {HOSTILE: HOSTILE}), content=HOSTILE),
            {"role": "tool", "tool_call_id": HOSTILE, "content": HOSTILE},
        ),
        steps=(evil,),
    )
    text = plain(trajectory, width)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]", text)
    assert max(cell_len(line) for line in text.split("\n")) <= width
    joined = re.sub(r"\s", "", text)
    for shown in (r"\x1b[31mred", r"\x9b2J\x0d\x00", r"\u202eevil\u2066x\ufeff", "[boldred]x[/]"):
        assert shown in joined
    assert ":smile:" in joined
    text.encode("utf-8")


def test_on_a_colour_terminal_only_our_own_styles_reach_the_screen() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, color_system="standard", width=100)
    console.print(render(example(messages=({"role": "user", "content": HOSTILE},), steps=())))
    written = screen.getvalue()
    assert "\x1b[1m" in written
    assert not re.search("[\x00\x07\x0d\x9b\u202e]", written)
    assert r"\x1b[31mred" in written


def test_long_texts_are_folded_and_say_how_much_is_missing() -> None:
    long = example(
        messages=(
            {"role": "assistant", "content": "y" * 7000},
            {"role": "tool", "tool_call_id": "?", "content": "x" * 5000},
            {"role": "tool", "tool_call_id": "?", "content": "\n".join("z" * 40)},
        ),
        steps=(),
    )
    text = plain(long, 200)
    assert "[1,000 more characters]" in text
    assert "[3,800 more characters]" in text
    assert text.count("z") == 16
    assert folded("short", 10, 1) == "short"


def test_odd_rows_are_shown_instead_of_raising() -> None:
    odd = example(
        messages=(
            {"role": "user", "content": None},
            {"role": "user", "content": [{"type": "text", "text": "part"}]},
            {"role": "assistant", "content": "", "tool_calls": None},
            ask(("c", "raw", '{"a": 1')),
            {"content": "no role", "tool_calls": [{}]},
        ),
        steps=(),
        scores={},
    )
    text = plain(odd)
    assert '[{"type": "text", "text": "part"}]' in text
    assert 'raw({"a": 1)' in text
    assert "?()" in text
    assert plain(Trajectory("t", "d", ())).startswith("t · kept\n  outcome failure · domain d")


def test_letters_of_every_script_and_joined_emoji_stay_as_they_are() -> None:
    text = "Grüße 你好 مرحبا नमस्ते \U0001f469\u200d\U0001f4bb\tx\ny"
    assert visible(text) == text
    assert visible("\U000e0041") == r"\U000e0041"


def test_every_code_of_the_filters_has_its_sentence() -> None:
    package = Path(__file__).parent.parent / "trajgen"
    sources = [*package.glob("filters/*.py"), *package.glob("worlds/*.py")]
    used = {
        code
        for source in sources
        for code in re.findall(r"Reason\(\s*\"([a-z_]+)\"", source.read_text("utf-8"))
    }
    assert used <= set(CODES)
    assert all(s.endswith(".") and s.count(". ") == 0 for s in CODES.values())
