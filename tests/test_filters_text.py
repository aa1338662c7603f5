"""Control tokens, loops, boilerplate, secrets, personal data."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conversations import SHOP, calls, codes, result, says, trajectory, user
from trajgen.control_tokens import find_control_token
from trajgen.filters.text import check


def found(*messages: Any) -> list[tuple[str, int | None]]:
    return codes(check(trajectory(*messages), SHOP))


def everywhere(text: str) -> list[list[Any]]:
    """Conversations with `text` in every place that can hold it; the index is 1 or 2."""
    note = calls(("c1", "cancel_order", {"order_id": "W1", "reason": {"deep": [f"a {text} b"]}}))
    return [
        [user("a"), says(f"Well: {text} b"), user("c"), says("d")],
        [user("a"), note, result("c1", "ok"), says("d")],
        [user("a"), says("b"), user(f"Well: {text} b"), says("d")],
    ]


@pytest.mark.parametrize(
    "token",
    [
        "<|im_start|>", "<|endoftext|>", "<|eot_id|>", "<|reserved_special_token_12|>", "</s>",
        "<s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<start_of_turn>", "<end_of_turn>",
        "<tool_call>", "</tool_call>", "<tool_response>", "<function_calls>", "<function=get>",
        "<parameter=id>", "<invoke name=", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "<bos>", "<eos>",
        "<pad>", "[gMASK]", "<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<extra_id_0>", "</think>",
        "<think>", "<arg_key>", "\x00", "\ud83d", "\n\nHuman: hi", "\n### Assistant:",
    ],
)  # fmt: skip
def test_control_tokens(token: str) -> None:
    for messages in everywhere(token):
        assert found(*messages) in ([("control_tokens", 1)], [("control_tokens", 2)])
    assert found(user("a"), says(f"{token} b"), user("c"), says("d"))[0][1] == 1
    assert find_control_token(f"a {token} b") is not None


@pytest.mark.parametrize(
    "text",
    [
        "a <| b |> c", "x < y, y > z", "Use <b>bold</b> or <span>", "arr[INSTANCE]", "a <system> b",
        "User: ana\nAssistant: shop", "[tool] calls", "5 </ 3", "<order_id>", "## Response",
        "thinking <thin>", "😀 Ünïcödé", "List<s>trings is not<sup>1</sup>"[:4],
    ],
)  # fmt: skip
def test_text_without_control_tokens(text: str) -> None:
    for messages in everywhere(text):
        assert found(*messages) == []
    assert find_control_token(text) is None


def test_a_closed_thought_before_an_answer_is_no_forgery() -> None:
    assert found(user("a"), says("<think>Let me see.</think>\nHello.")) == []
    assert found(user("<think>x</think> a"), says("Hello.")) == [("control_tokens", 0)]
    inside = says("<think>a <|im_end|> b</think>\nHello.")
    assert found(user("a"), inside) == [("control_tokens", 1)]


SENTENCE = "I will look into your order right now. "


@pytest.mark.parametrize(
    "text",
    [
        SENTENCE * 5,
        "Here is what I found. " + "The order is on its way to you. " * 4 + "Bye.",
        "no " * 20,
        "Please wait a moment\n" * 8,
        "I can help with that and " * 6,
        "a" * 60,
        "lol" * 30,
        "我可以帮你查询订单。" * 6,
        "First we look at the order, then we cancel the order, then we refund the order today. "
        * 3,
    ],
)
def test_repetition(text: str) -> None:
    assert found(user("a"), says(text)) == [("repetition", 1)]
    look = calls(("c1", "search", {"query": "q"}))
    assert found(user("a"), look, result("c1", {"text": text}), says("b"))[:1] == [
        ("repetition", 2)
    ]


ROWS = [{"sku": f"MUG-{n}", "status": "available", "price": 9.5} for n in range(30)]


@pytest.mark.parametrize(
    "text",
    [
        "no no no no, please don't! " + "very " * 4 + "much",
        "\n".join(f"- order W{n}: delivered\n  status: delivered" for n in range(20)),
        "| a | b |\n|---|---|\n" + "| x | y |\n" * 20,
        "x\ty\tz\n" * 20,
        "- T-shirt, M, $20\n" * 6,
        "```\n" + "print('again')\n" * 20 + "```",
        "=" * 80 + "\n" + "-" * 80,
        "0 0 0 0 0 0 0 0 0\n0 1 0 1 0 1 0 1 0",
        "ha ha ha, that is funny",
        "I can cancel the order. I can refund the order. I can change the order.",
        "https://example.com/aaaa/bbbb/cccc/dddd/eeee/ffff/gggg/hhhh",
        "",
    ],
)
def test_lists_tables_and_emphasis_are_no_loops(text: str) -> None:
    look = calls(("c1", "search", {"query": "q"}))
    assert found(user("a"), look, result("c1", text), says(text or "b")) == []


def test_json_rows_are_no_loop() -> None:
    look = calls(("c1", "search", {"query": "q"}))
    assert found(user("a"), look, result("c1", ROWS), says("b")) == []


def test_the_same_words_a_third_time() -> None:
    words = "Could you please tell me the number of your order?"
    messages = [user("a"), says(words), user("b"), says(words), user("c"), says(words)]
    assert found(*messages) == [("repetition", 5)]
    assert found(*messages[:4]) == []
    beside = [user("a")]
    for n in range(4):
        beside += [calls((f"c{n}", "x", {}), text=words), result(f"c{n}", "ok")]
    assert found(*beside, says("b")) == []


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I don't have access to orders.",
        "as a large language model I cannot do that",
        "I'm sorry, but I cannot assist with that request.",
        "I’m sorry, but I can’t assist with that.",
        "I'm sorry, I can't help with that request. Is there anything else?",
        "I apologize, but I am unable to fulfill that request.",
        "I am Qwen, created by Alibaba Cloud.",
        "I was trained by OpenAI and know nothing of it.",
        "My knowledge cutoff is 2023.",
    ],
)
def test_refusal_text(text: str) -> None:
    assert found(user("a"), says(text)) == [("refusal_text", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't cancel W1002 because it is already shipped.",
        "I'm sorry, but I cannot help with that: our policy allows returns within 30 days only.",
        "Unfortunately I can't change the address of a delivered order.",
        "I cannot provide a refund for a delivered order.",
        "I'm sorry to hear that. I can help with your request.",
        "I am an AI assistant of the shop; how can I help?",
        "I can't help with that until you tell me your e-mail address.",
        "Sorry for the wait! I am looking for it.",
    ],
)
def test_a_refusal_with_its_reason_passes(text: str) -> None:
    assert found(user("a"), says(text)) == []


def test_a_user_may_be_called_claude() -> None:
    assert found(user("Hi, I'm Claude Martin"), says("Hello Claude.")) == []
    broken = [user("As an AI language model, I have no order."), says("Ah.")]
    assert found(*broken) == [("refusal_text", 0)]


SECRETS = [
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----",
    "AKIA" + "Q2XW7ZP4LM9KD3RT",
    "ghp_" + "a1B2c3D4e5" * 4,
    "github_pat_" + "11ABCDEFG0abcdefghij_klmno",
    "sk-" + "proj-a1B2c3D4e5F6g7H8i9J0",
    "xoxb-" + "123456789012-abcdefGHIJKL",
    "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
    "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz012345",
    "sk_live_" + "a1B2c3D4e5F6g7H8",
    "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcDEF123456-_x",
    "postgres://shop:hunter22@db.internal/orders",
    "aws_secret_access_key = " + "wJalrXUtnFEMIxK7MDENGxbPxRfiCYzzzzzzzKEY",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_secret(secret: str) -> None:
    for messages in everywhere(secret):
        assert [code for code, _ in found(*messages)] == ["secret"]
        detail = next(iter(check(trajectory(*messages), SHOP))).detail
        assert secret not in detail


CARD = "4539 1488 0343 6467"


@pytest.mark.parametrize(
    "text",
    [CARD, CARD.replace(" ", ""), CARD.replace(" ", "-"), "378282246310005", "3782 822463 10005",
     "4111111111111111", "123-45-6789"],
)  # fmt: skip
def test_pii(text: str) -> None:
    for messages in everywhere(text):
        assert [code for code, _ in found(*messages)] == ["pii"]


@pytest.mark.parametrize(
    "text",
    [
        "4539 1488 0343 6468", "item 1725100896", "tracking 941843889570", "1715688000000",
        "ana.diaz@example.com", "name@example.com", "+1 555-123-4567", "2024-05-16 2024-05-17",
        "000-12-3456", "123-456-7890", "0.4539148803436467", "id-4539148803436467",
        "credit_card_9513926", "sk-order", "AKIAIOSFODNN7EXAMPLE", "https://example.com/a:b@c"[:19],
        "W1001 W1002 W1003", "12 34 56 78 90 12 34 56",
    ],
)  # fmt: skip
def test_harmless_numbers_and_names(text: str) -> None:
    for messages in everywhere(text):
        assert found(*messages) == []


@given(st.text(max_size=200), st.integers(1, 30))
def test_any_text_is_survived(text: str, times: int) -> None:
    made = trajectory(user(text or "a"), says(text * times))
    assert list(check(made, SHOP)) == list(check(made, SHOP))
