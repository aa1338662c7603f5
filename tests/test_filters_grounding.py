"""Where the agent's ids and numbers come from, and who may know what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conversations import ORDER, SHOP, calls, codes, result, says, tool, trajectory, user
from trajgen.filters.grounding import check

BARE = replace(SHOP, state=None)


def found(*messages: Any, domain: Any = SHOP, **more: Any) -> list[tuple[str, int | None]]:
    return codes(check(trajectory(*messages, **more), domain))


def asked(said: str, arguments: dict[str, Any], name: str = "refund") -> list[Any]:
    made = calls(("c1", name, arguments))
    return [user(said), made, result("c1", "ok"), says("Done.")]


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        ("refund my order", {"order_id": "W1001"}),
        ("refund W10012", {"order_id": "W1001"}),
        ("refund W1001", {"order_id": "W1010"}),
        ("refund AB12345", {"order_id": "AB12346"}),
        ("refund mug 42", {"order_id": "CUP-42"}),
        ("refund W1001", {"order_id": "<order_id>"}),
        ("refund W1001", {"order_id": "YOUR_ORDER_ID"}),
        ("refund W1001", {"order_id": "{{order_id}}"}),
        ("I'm Ana", {"customer_id": "ana_diaz_77"}),
        ("I'm Ana Diaz", {"email": "ana.diaz@example.com"}),
        ("refund 54.50", {"amount": 8731.25}),
        ("refund 1200 of it", {"amount": 1234}),
        ("come on 2024-05-16", {"day": "2024-09-28"}),
        ("come on May 16", {"day": "2024-05-17"}),
        ("come at 14:30", {"at": "16:45"}),
        ("zip is 69001", {"zip": "69002"}),
        ("call 555-123-4567", {"phone": "555-123-4568"}),
        ("come on 16 May 2026", {"day": "2026-05-19"}),
        ("come the 16th of May 2026, next to the gate", {"day": "2026-05-19"}),
        ("the last day of May 2026", {"day": "2026-06-30"}),
        ("the card expires 11/25", {"expires": "12/2025"}),
        ("write to ann5", {"handle": "@ann6"}),
        ("refund 79", {"order_id": "W79.5"}),
        ("both", {"ids": ["W1001", "W1002"]}),
        ("I have 1000 and 234", {"order_number": 1234}),
    ],
)
def test_invented_argument(said: str, arguments: dict[str, Any]) -> None:
    reasons = found(*asked(said, arguments), domain=BARE)
    assert reasons
    assert set(reasons) == {("invented_argument", 1)}


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        ("refund #w1001 please", {"order_id": "W1001"}),
        ("refund W1001", {"order_id": "#W1001"}),
        ("refund W 1001", {"order_id": "W1001"}),
        ("orders W1001, W1002.", {"ids": ["W1001", "W1002"], "all": "W1001,W1002"}),
        ("the W orders, number 1001", {"order_id": "W1001"}),
        ("it is Ana dash 77", {"customer_id": "ana-77"}),
        ("ANA.DIAZ@EXAMPLE.COM", {"email": "ana.diaz@example.com"}),
        ("ana dot diaz at example dot com", {"email": "ana.diaz@example.com"}),
        ("call (555) 123 4567", {"phone": "+1-555-123-4567"}),
        ("come on May 16", {"day": "2024-05-16"}),
        ("come on the 16th of May", {"day": "2024-05-16"}),
        ("May 16 to 18", {"day": "2024-05-18"}),
        ("come on the 16th day of May in 2026", {"day": "2026-05-16"}),
        ("the 16th of the year 2026's fifth month", {"day": "2026-05-16"}),
        ("the 16th of next month, that is May 2026", {"day": "2026-05-16"}),
        ("the last day of May 2026", {"day": "2026-05-31"}),
        ("two days after the 14th, in May 2026", {"day": "2026-05-16"}),
        ("the card expires 12/25", {"expires": "12/2025"}),
        ("write to ann5", {"handle": "@ann5"}),
        ("name it by the number of bytes", {"file_name": "79.pdf"}),
        ("say it all", {"content": "{result: fine, details: all systems go}"}),
        ("come 5/16", {"day": "2024-05-16"}),
        ("come tomorrow", {"day": "2024-05-15"}),
        ("next Friday", {"day": "2024-05-17"}),
        ("I was born on 3.7.1990", {"day": "1990-07-03"}),
        ("at half past two", {"at": "14:30"}),
        ("at 2:30 PM", {"at": "14:30"}),
        ("at 2pm", {"at": "14:00"}),
        ("at noon", {"at": "12:00"}),
        ("I paid 1,234.50", {"amount": 1234.5}),
        ("I paid 1.5k", {"amount": 1500}),
        ("12 pieces at 104.25", {"amount": 1251}),
        ("15% of 2000.40", {"amount": 300.06}),
        ("2000.40 less 15%", {"amount": 1700.34}),
        ("54.50 and 1220.25", {"amount": 1274.75}),
        ("54.50, 12.25 and 1220.25", {"amount": 1287}),
        ("at most a thousand", {"limit": 1000}),
        ("a big one", {"limit": 12, "page": 100, "deep": True}),
        ("mugs", {"query": "mug-330ml"}),
        ("mugs", {"note": "customer 4711 asked", "reason": "no longer needed"}),
        ("express", {"method": "express"}),
    ],
)
def test_arguments_that_were_seen_in_some_form(said: str, arguments: dict[str, Any]) -> None:
    assert found(*asked(said, arguments), domain=BARE) == []


def test_what_counts_as_seen() -> None:
    look = calls(("c2", "get_order", {"order_id": "W7777"}))
    end = [look, result("c2", "ok"), says("Done.")]
    search = calls(("c1", "search", {"query": "q"}))
    assert found(user("W7777"), *end) == []
    assert found({"role": "system", "content": "W7777"}, user("a"), *end) == []
    assert found(user("a"), search, result("c1", '{"id": "W7777"}'), *end) == []
    assert found(user("a"), *end, domain=replace(SHOP, policy="The test order is W7777.")) == []
    own = [user("a"), says("Is it W7777?"), user("yes"), *end]
    assert found(*own) == [("invented_argument", 3)]
    late = [user("a"), *end[:2], says("?"), user("W7777"), says("b")]
    assert found(*late) == [("invented_argument", 1)]
    enum = tool("get_order", order_id={"enum": ["W7777"]})
    assert found(user("a"), *end, tools=(enum,)) == []


def test_a_call_at_the_very_end_is_checked() -> None:
    """Its argument is the last that was seen, and nothing follows."""
    assert found(user("W1001"), calls(("c1", "get_order", {"order_id": "W1001"}))) == []
    made = calls(("c1", "get_order", {"order_id": "W1009"}))
    assert found(user("W1001"), made) == [("invented_argument", 1)]


def test_escaped_text_is_read() -> None:
    shown = '{"id": "caf\\u00e9-77\\/a"}'
    search = calls(("c1", "search", {"query": "q"}))
    look = calls(("c2", "get_order", {"order_id": "café-77/a"}))
    messages = [user("a"), search, result("c1", shown), look, result("c2", "ok"), says("b")]
    assert found(*messages) == []


def test_a_total_of_a_list_is_worked_out() -> None:
    rows = [{"sku": f"S{n}", "price": 100.5 + n} for n in range(6)]
    search = calls(("c1", "search", {"query": "q"}))
    pay = calls(("c2", "refund", {"order_id": "S0", "amount": 618.0}))
    messages = [user("a"), search, result("c1", rows), pay, result("c2", "ok"), says("b")]
    assert found(*messages) == []


SEARCH = calls(("c1", "search", {"query": "q"}))
SHOWN = result("c1", {"items": [{"sku": "MUG-42"}, {"sku": "QX-9931"}]})


@pytest.mark.parametrize(
    ("messages", "at"),
    [
        ([user("a"), says("Is it about W1002?")], 1),
        ([user("a"), says("Are you ana_diaz_77?"), user("yes"), says("Good.")], 1),
        ([user("a"), says("The code is QX-9931."), user("b"), SEARCH, SHOWN, says("c")], 1),
        ([user("a"), SEARCH, SHOWN, says("Anything else?"), user("Take QX-9931."), says("c")], 4),
    ],
)
def test_leaked_hidden_state(messages: list[Any], at: int) -> None:
    assert found(*messages) == [("leaked_hidden_state", at)]


@pytest.mark.parametrize(
    "messages",
    [
        [user("It is W 1002"), says("So W1002.")],
        [user("a"), SEARCH, SHOWN, says("I found QX-9931."), user("QX-9931 it is"), says("c")],
        [user("QX-9931?"), SEARCH, SHOWN, says("Yes."), user("Take QX-9931."), says("c")],
        [user("a"), SEARCH, SHOWN, says("Which one?"), user("QX-9931"), says("c")],
        [user("a"), SEARCH, SHOWN, says("Yes."), user("And my order QX-9931?"), says("c")],
        [user("a"), says("We open at 09:30 on 2024-05-16, room B2, PLEASE come.")],
        [user("a"), says("Your reference is NEW-4711.")],
    ],
)
def test_what_may_be_said(messages: list[Any]) -> None:
    assert found(*messages) == []


def test_the_state_of_the_trajectory_counts_too() -> None:
    state = {"orders": {"W5555": {"status": "pending"}}}
    messages = [user("a"), says("Is it W5555?")]
    assert found(*messages, domain=BARE) == []
    expected = [("leaked_hidden_state", 1)]
    assert found(*messages, domain=BARE, state_initial=state) == expected


@given(st.from_regex(r"[A-Z]{2}[0-9]{4,8}", fullmatch=True), st.integers(0, 7))
def test_an_id_changed_in_one_digit_is_invented(id_: str, place: int) -> None:
    at = 2 + place % (len(id_) - 2)
    other = id_[:at] + str((int(id_[at]) + 1) % 10) + id_[at + 1 :]
    assert found(*asked(f"It is {id_}.", {"order_id": id_}), domain=BARE) == []
    changed = found(*asked(f"It is {id_}.", {"order_id": other}), domain=BARE)
    assert changed == [("invented_argument", 1)]


def test_work_is_bounded_whatever_was_seen() -> None:
    import time

    many = " ".join(str(1.37 * n * n) for n in range(3000))
    begin = time.perf_counter()
    found(*asked(many, {"amount": 123456.78}))
    assert time.perf_counter() - begin < 2
    assert ORDER["order_id"] == "W1001"
