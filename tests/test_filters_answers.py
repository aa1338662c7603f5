"""What answers and names of tools say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.conversations import SHOP
from trajgen.filters.answers import denies, is_transient, kind_of, outcome, words_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Error: no", "failed"),
        ('{"error": "no"}', "failed"),
        ('{"status": "failed", "reason": "x"}', "failed"),
        ('{"status": "failed", "id": 1, "total": 2, "items": []}', "ok"),  # of a payment, say
        ("You cannot do that.", "unclear"),
        ("", "unclear"),
        ("Done.", "ok"),
        ('{"status": "pending"}', "ok"),
    ],
)
def test_outcome(text: str, expected: str) -> None:
    assert outcome(text, SHOP) == expected


def test_failures_that_say_nothing_of_the_world() -> None:
    assert is_transient("Error: request timed out")
    assert is_transient("HTTP 503")
    assert not is_transient("Error: order 503 is shipped")


@pytest.mark.parametrize("text", ["Order not found", "no such user", "Error: it does not exist"])
def test_denies(text: str) -> None:
    assert denies(text)
    assert not denies("Error: not allowed")


def test_the_words_of_a_name() -> None:
    assert words_of("Shop.cancelOrder") == ("cancel", "order")
    assert words_of("files__list_all") == ("list", "all")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("get_order", "read"),
        ("listOrders", "read"),
        ("ls", "read"),
        ("get", ""),
        ("cancel_order", ""),
        ("check_in", ""),
        ("", ""),
    ],
)
def test_a_kind_that_nobody_declared(name: str, kind: str) -> None:
    assert kind_of(name, replace(SHOP, kinds={})) == kind
    assert kind_of(name, replace(SHOP, kinds={name: "write"})) == "write"
