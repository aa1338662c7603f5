"""States and values for the tests of pointers, goals, effects and the ledger."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

KEYS = st.sampled_from(["a", "b", "a/b", "m~n", "", "0", "-", "é"])
SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 1.0, "", "x"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)
STATES = st.dictionaries(KEYS, VALUES, max_size=4)


def shop() -> dict[str, Any]:
    return {
        "orders": {
            "o1": {"status": "paid", "total": 10.5, "items": ["i1", "i2"], "tracking": None},
            "o2": {"status": "sent", "total": 3, "items": [], "tracking": "T9"},
        },
        "users": {"u1": {"name": "Ana", "member": True, "orders": ["o1", "o2"]}},
        "queue": [{"id": "q1"}, {"id": "q2"}, {"id": "q3"}],
    }
