"""Which entities a call may change."""

from __future__ import annotations

from typing import Any

import pytest

from trajgen.filters.links import strangers
from trajgen.ledger import Ledger
from trajgen.records import Call

STATE = {
    "orders": {f"W{n}": {"status": "new", "customer_id": f"C{n}"} for n in range(4)},
    "customers": {f"C{n}": {"credit": n} for n in range(4)},
    "bench": {"on": False},
}
CALL = Call("c", "cancel_order", {"order_id": "W1"}, 3)


def to(path: str, op: str = "set") -> dict[str, Any]:
    return {"op": op, "path": path, "value": "x"}


@pytest.mark.parametrize(
    "effect",
    [
        to("/orders/W1/status"),
        to("/customers/C1/credit"),  # the order's own customer
        to("/bench/on"),
        to("/orders/W9", "add"),
        to("/customers/C3/credit"),  # the answer names it
    ],
)
def test_what_is_named_or_linked_may_change(effect: Any) -> None:
    assert strangers(CALL, [effect], "Done for C3.", Ledger(STATE)) == []


def test_a_stranger_does_not_change() -> None:
    (reason,) = strangers(CALL, [to("/customers/C2/credit")], "Done.", Ledger(STATE))
    assert (reason.code, reason.at) == ("bad_effect", 3)
    assert "C2" in reason.detail
