"""The ledger: typed effects all or none, a hash that follows, and states that never change."""

from __future__ import annotations

import copy
import sys
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.states import KEYS, STATES, VALUES, shop
from trajgen.effects import OPS, SMALL_COLLECTION
from trajgen.json_text import canonical
from trajgen.ledger import MAX_DEPTH, Ledger, _keys, node_hash
from trajgen.pointers import (
    MISSING,
    EffectError,
    join,
    lookup,
)


def pointers(value: Any, path: str = "") -> list[str]:
    """Every pointer that leads somewhere in `value`, its root left out."""
    items = value.items() if isinstance(value, dict) else []
    items = enumerate(value) if isinstance(value, list) else items
    below = [(join(path, key), item) for key, item in items]
    return [p for at, item in below for p in [at, *pointers(item, at)]]


def apply(state: Any, *effects: dict[str, Any]) -> Any:
    ledger = Ledger(state)
    ledger.apply(effects)
    return ledger.state


def refused(state: Any, *effects: dict[str, Any]) -> str:
    """The text of the error, after a check that nothing was changed by it."""
    ledger, before = Ledger(state), copy.deepcopy(state)
    hash_before = ledger.hash
    with pytest.raises(EffectError) as caught:
        ledger.apply(effects)
    assert ledger.state is state
    assert state == before
    assert ledger.hash == hash_before
    assert ledger.touched_final() == {}
    return str(caught.value)


def effect(op: str, path: str, *value: Any) -> dict[str, Any]:
    return {"op": op, "path": path, **({"value": value[0]} if value else {})}


# random sequences


@st.composite
def effects_for(draw: st.DrawFn, state: Any) -> dict[str, Any]:
    known = st.sampled_from(pointers(state) or ["/a"])
    beside = st.builds(join, known | st.just(""), KEYS)
    junk = st.sampled_from(["", "a", "/x/y", "/a/9", "/a/-", "/a/01", "/a~"])
    paths = known | beside | junk
    op = draw(st.sampled_from(OPS))
    value = draw(paths | known.map(lambda p: f"{p}/-")) if op == "move" else draw(VALUES)
    return effect(op, draw(paths), value)


def play(ledger: Ledger, batch: list[dict[str, Any]]) -> bool:
    """Apply `batch` and hold the ledger to its promises; whether the batch fitted."""
    state, number, kept = ledger.state, ledger.hash, copy.deepcopy(ledger.state)
    try:
        changed = ledger.apply(batch)
    except EffectError:
        fitted = False
        assert ledger.state is state
        assert ledger.hash == number
    else:
        fitted = True
        assert ledger.hash == Ledger(ledger.state).hash
        assert changed == (ledger.hash != number)
        assert changed == (not strictly_equal(ledger.state, kept))
    assert strictly_equal(state, kept)
    return fitted


@given(STATES, st.data())
@settings(max_examples=40)
def test_any_effects_move_the_hash_with_the_state(
    initial: dict[str, Any], data: st.DataObject
) -> None:
    kept, ledger = copy.deepcopy(initial), Ledger(initial)
    for _ in range(3):
        play(ledger, data.draw(st.lists(effects_for(ledger.state), min_size=1, max_size=3)))
    assert strictly_equal(initial, kept)
    assert ledger.initial is initial


def likely_effect(random: Random, state: Any) -> dict[str, Any]:
    """An effect that fits more often than not."""
    path = random.choice(pointers(state) or ["/a"])
    old, op = lookup(state, path), random.choice(OPS)
    if op == "add":
        return effect(op, join(path, random.choice("xyz")), random.choice([1, [], {"k": 2}]))
    if op == "increment":
        return effect(op, path, random.choice([1, -2, 0.5]))
    if op == "append":
        return effect(op, path, old[-1] if isinstance(old, list) and old else "i7")
    if op == "move":
        target = random.choice(pointers(state) or ["/a"])
        return effect(op, path, f"{target}/{random.choice('-xyz')}")
    return effect(op, path, random.choice([old, old, None, "new", 7]))


def test_likely_effects_move_the_hash_with_the_state() -> None:
    random, fitted = Random(7), 0
    for _ in range(60):
        initial, kept = shop(), shop()
        ledger = Ledger(initial)
        for _ in range(12):
            batch = [likely_effect(random, ledger.state) for _ in range(random.choice([1, 1, 2]))]
            fitted += play(ledger, batch)
        assert strictly_equal(initial, kept)
    assert 200 < fitted < 600  # both ways are walked often


def strictly_equal(left: Any, right: Any) -> bool:
    """Equal as JSON text, where True, 1 and 1.0 differ."""
    return bool(canonical(left) == canonical(right))


@given(STATES, STATES)
@settings(max_examples=60)
def test_equal_states_have_equal_hashes_and_others_do_not(
    left: dict[str, Any], right: dict[str, Any]
) -> None:
    same = dict(reversed(list(left.items())))
    assert Ledger(same).hash == Ledger(left).hash
    assert (Ledger(left).hash == Ledger(right).hash) == strictly_equal(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"a": {}}, {"a": []}),
        ({"a": {}}, {"a": "{}"}),
        ({"a": []}, {"a": None}),
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"a": True}),
        ({"a": {"b": 1}}, {"a/b": 1}),
        ({"a": ["x", "y"]}, {"a": ["y", "x"]}),
        ({"a": ["x"]}, {"a": {"0": "x"}}),
        ({"a": "b\0c"}, {"a\0b": "c"}),
    ],
)
def test_look_alikes_have_other_hashes(left: Any, right: Any) -> None:
    assert node_hash("", left) != node_hash("", right)


def test_the_hash_does_not_depend_on_the_way() -> None:
    one, other = Ledger({"a": 1, "b": []}), Ledger({"a": 1, "b": []})
    one.apply([effect("set", "/a", 2), effect("append", "/b", "x"), effect("set", "/a", 3)])
    other.apply([effect("append", "/b", "x"), effect("increment", "/a", 2)])
    assert one.hash == other.hash
    assert len(one.hash) == 32


# the six effects


@pytest.mark.parametrize(
    ("one", "path", "value"),
    [
        (effect("set", "/orders/o1/status", "sent"), "/orders/o1/status", "sent"),
        (effect("set", "/orders/o1/total", 7), "/orders/o1/total", 7),
        (effect("set", "/orders/o1/tracking", "T1"), "/orders/o1/tracking", "T1"),
        (effect("set", "/orders/o2/tracking", None), "/orders/o2/tracking", None),
        (effect("set", "/queue/1/id", "q9"), "/queue/1", {"id": "q9"}),
        (effect("add", "/orders/o3", {"status": "new"}), "/orders/o3", {"status": "new"}),
        (effect("add", "/orders/o1/note", None), "/orders/o1/note", None),
        (effect("remove", "/orders/o2"), "/orders/o2", MISSING),
        (effect("remove", "/queue/0"), "/queue", [{"id": "q2"}, {"id": "q3"}]),
        (effect("increment", "/orders/o2/total", -1.5), "/orders/o2/total", 1.5),
        (effect("append", "/orders/o2/items", "i9"), "/orders/o2/items", ["i9"]),
        (effect("append", "/orders/o1/items", "i3"), "/orders/o1/items/2", "i3"),
        (effect("move", "/orders/o2", "/users/u1/last"), "/users/u1/last/total", 3),
        (effect("move", "/queue/0", "/users/q1"), "/users/q1", {"id": "q1"}),
        (effect("move", "/orders/o1/items/0", "/orders/o2/items/-"), "/orders/o2/items", ["i1"]),
    ],
)
def test_an_effect_changes_what_it_says(one: dict[str, Any], path: str, value: Any) -> None:
    state, ledger = shop(), Ledger(shop())
    assert ledger.apply([one])
    assert ledger.get(path) == value
    assert ledger.hash == Ledger(ledger.state).hash
    assert state == ledger.initial


def test_a_move_leaves_its_place() -> None:
    state = apply(shop(), effect("move", "/queue/0", "/users/q1"))
    assert state["queue"] == [{"id": "q2"}, {"id": "q3"}]
    state = apply(shop(), effect("move", "/orders/o1/items/0", "/orders/o2/items/-"))
    assert state["orders"]["o1"]["items"] == ["i2"]
    assert "o2" not in apply(shop(), effect("move", "/orders/o2", "/users/o2"))["orders"]


def test_effects_are_applied_in_order_and_see_each_other() -> None:
    added = effect("add", "/orders/o3", {"items": []})
    state = apply(shop(), added, effect("append", "/orders/o3/items", "i1"))
    assert state["orders"]["o3"] == {"items": ["i1"]}


def test_an_effect_that_changes_nothing_is_no_change() -> None:
    ledger = Ledger(shop())
    assert not ledger.apply([effect("set", "/orders/o1/status", "paid")])
    assert not ledger.apply([])
    assert not ledger.apply([effect("increment", "/orders/o2/total", 0)])
    assert ledger.apply([effect("increment", "/orders/o2/total", 1)])


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (effect("replace", "/a", 1), "unknown effect 'replace'"),
        ({"path": "/orders"}, "unknown effect None"),
        ({"op": "set", "value": 1}, "the whole state"),
        (effect("set", "", {}), "the whole state"),
        (effect("remove", ""), "the whole state"),
        (effect("set", "orders/o1", 1), "begin with '/'"),
        ({"op": "set", "path": None, "value": 1}, "not a JSON pointer"),
        ({"op": "set", "path": 5, "value": 1}, "not a JSON pointer"),
        ({"op": ["set"], "path": "/a", "value": 1}, "unknown effect"),
        (effect("set", "/orders~2o1", 1), "~0"),
        (effect("set", "/orders/o1/status"), "needs a value"),
        (effect("set", "/orders/o9/status", "x"), "nothing is there"),
        (effect("set", "/orders/o1/colour", "x"), "nothing is there"),
        (effect("set", "/orders/o1/status/x", "x"), "nothing is there"),
        (effect("set", "/orders/o1/status", 5), "holds string, cannot become number"),
        (effect("set", "/orders/o1/total", True), "holds number, cannot become boolean"),
        (effect("set", "/users/u1/member", 1), "holds boolean, cannot become number"),
        (effect("set", "/orders/o1/items", {}), "holds array, cannot become object"),
        (effect("set", "/queue/3", {}), "nothing is there"),
        (effect("set", "/queue/-", {}), "nothing is there"),
        (effect("set", "/queue/01", {}), "nothing is there"),
        (effect("set", "/queue/-1", {}), "nothing is there"),
        (effect("set", "/queue/१", {}), "nothing is there"),
        (effect("set", "/queue/" + "1" * 5000, {}), "nothing is there"),
        (effect("add", "/orders/o1", {}), "is there already"),
        (effect("add", "/carts/c1", {}), "no object"),
        (effect("add", "/queue/3", {}), "no object"),
        (effect("add", "/orders/o1/status/x", 1), "no object"),
        (effect("remove", "/orders/o9"), "nothing is there"),
        (effect("increment", "/orders/o1/status", 1), "cannot add number to string"),
        (effect("increment", "/orders/o1/total", "1"), "cannot add string to number"),
        (effect("increment", "/orders/o1/total", True), "cannot add boolean to number"),
        (effect("increment", "/users/u1/member", 1), "cannot add number to boolean"),
        (effect("increment", "/orders/o1/tracking", 1), "cannot add number to null"),
        (effect("append", "/orders", 1), "not a list"),
        (effect("append", "/orders/o1/items", 5), "holds string, cannot become number"),
        (effect("append", "/orders/o1/none", 5), "nothing is there"),
        (effect("move", "/orders/o1", "/orders/o2"), "is there already"),
        (effect("move", "/orders/o1", "/orders/o1"), "into itself"),
        (effect("move", "/orders/o1", "/orders/o1/copy"), "into itself"),
        (effect("move", "/queue", "/queue/-"), "into itself"),
        (effect("move", "/queue/0", "/queue/-"), "in that list already"),
        (effect("move", "/orders/o1", "/carts/c1"), "no object"),
        (effect("move", "/orders/o1", "/users/-"), "not a list"),
        (effect("move", "/orders/o1", ""), "is there already"),
        (effect("move", "/orders/o1", 5), "not a JSON pointer"),
        (effect("move", "/orders/o9", "/orders/o3"), "nothing is there"),
    ],
)
def test_what_does_not_fit_is_refused_whole(bad: dict[str, Any], why: str) -> None:
    assert why in refused(shop(), bad)
    assert why in refused(shop(), effect("set", "/orders/o1/status", "lost"), bad)


def test_an_error_says_where() -> None:
    with pytest.raises(EffectError) as caught:
        Ledger(shop()).apply([effect("remove", "/orders/o9")])
    assert caught.value.path == "/orders/o9"
    assert str(caught.value) == "/orders/o9: nothing is there to remove"


def test_numbers_too_large_to_add_are_an_effect_error() -> None:
    assert "too large" in refused({"n": 10**400}, effect("increment", "/n", 0.5))
    assert "too large" in refused({"n": 1e308}, effect("increment", "/n", 1e308))


def test_states_stay_shallow_enough_to_walk() -> None:
    deep: Any = 1
    for _ in range(MAX_DEPTH):
        deep = {"k": deep}
    ledger = Ledger(deep)  # as deep as it may be
    assert len(ledger.hash) == 32
    with pytest.raises(EffectError, match="nests deeper"):
        Ledger({"k": deep})
    assert "nests deeper" in refused({"a": {}}, effect("add", "/a/b", deep))
    very_deep: Any = 1
    for _ in range(sys.getrecursionlimit() * 2):
        very_deep = [very_deep]
    assert "nests deeper" in refused_deep({"a": {}}, effect("add", "/a/b", very_deep))


def refused_deep(state: Any, bad: dict[str, Any]) -> str:
    with pytest.raises(EffectError) as caught:
        Ledger(state).apply([bad])
    return str(caught.value)


def test_a_large_collection_is_not_changed_as_a_whole() -> None:
    crowd = {f"u{n}": {"name": "x"} for n in range(SMALL_COLLECTION + 1)}
    state = {"users": crowd, "old": {}}
    assert "65 entries" in refused(state, effect("remove", "/users"))
    assert "65 entries" in refused(state, effect("set", "/users", {}))
    assert "65 entries" in refused(state, effect("move", "/users", "/old/users"))
    assert "u1" not in apply(state, effect("remove", "/users/u1"))["users"]


def test_keys_with_slash_and_tilde_are_escaped() -> None:
    state = {"a/b": {"m~n": 1}}
    ledger = Ledger(state)
    ledger.apply([effect("set", "/a~1b/m~0n", 2), effect("add", "/a~1b/~01", "x")])
    assert ledger.state == {"a/b": {"m~n": 2, "~1": "x"}}
    assert ledger.hash == Ledger(ledger.state).hash


def test_the_empty_key_is_a_key() -> None:
    ledger = Ledger({"": {"": 1}})
    ledger.apply([effect("increment", "//", 1)])
    assert ledger.state == {"": {"": 2}}
    assert ledger.hash == Ledger(ledger.state).hash


def test_updates_share_what_they_do_not_change() -> None:
    state = shop()
    ledger = Ledger(state)
    ledger.apply([effect("set", "/orders/o1/status", "lost")])
    assert ledger.state["users"] is state["users"]
    assert ledger.state["orders"]["o2"] is state["orders"]["o2"]
    assert state == shop()


def test_a_value_put_in_twice_is_not_shared_with_later_changes() -> None:
    value: dict[str, Any] = {"n": [1]}
    ledger = Ledger({"a": {}})
    ledger.apply([effect("add", "/a/x", value), effect("add", "/a/y", value)])
    ledger.apply([effect("append", "/a/x/n", 2)])
    assert ledger.state == {"a": {"x": {"n": [1, 2]}, "y": {"n": [1]}}}
    assert value == {"n": [1]}


def test_no_state_is_an_empty_object() -> None:
    assert Ledger(None).state == {}
    assert Ledger(None).hash == Ledger({}).hash


# forks and what was touched


def test_a_fork_goes_its_own_way() -> None:
    ledger = Ledger(shop())
    ledger.apply([effect("set", "/orders/o1/status", "lost")])
    fork = ledger.fork()
    assert fork.hash == ledger.hash
    fork.apply([effect("remove", "/orders/o1")])
    assert ledger.get("/orders/o1/status") == "lost"
    assert fork.initial["orders"]["o1"]["status"] == "lost"
    assert ledger.touched_final() == {"orders": {"o1": {"status": "lost"}}}


def test_touched_holds_before_and_after() -> None:
    ledger = Ledger(shop())
    ledger.touch(["/users/u1/name"])
    ledger.apply([effect("remove", "/orders/o2"), effect("add", "/orders/o3", {"total": 1})])
    assert ledger.touched_initial() == {
        "users": {"u1": {"name": "Ana"}},
        "orders": {"o2": shop()["orders"]["o2"]},
    }
    assert ledger.touched_final() == {
        "users": {"u1": {"name": "Ana"}},
        "orders": {"o3": {"total": 1}},
    }


def test_the_touched_excerpt_is_enough_to_replay() -> None:
    effects = [
        effect("set", "/orders/o1/status", "lost"),
        effect("move", "/orders/o1/items/0", "/orders/o2/items/-"),
        effect("remove", "/queue/1"),
        effect("add", "/users/u2", {"name": "Bo"}),
    ]
    ledger = Ledger(shop())
    ledger.apply(effects)
    replay = Ledger(ledger.touched_initial())
    replay.apply(effects)
    assert replay.state == ledger.touched_final()


def test_relevant_finds_the_named_entities_only() -> None:
    ledger = Ledger(shop())
    assert ledger.relevant({"order_id": "o2"}) == ["/orders/o2"]
    assert ledger.relevant({"ids": ["o1", {"user": "u1"}]}) == ["/orders/o1", "/users/u1"]
    assert ledger.relevant({"o1": "zzz"}) == []  # a key names nothing
    assert ledger.relevant({"flag": True, "none": None}) == []
    assert Ledger({"rooms": {"12": {}}}).relevant({"room": 12}) == ["/rooms/12"]
    assert Ledger({"rooms": {"True": {}}}).relevant({"all": True}) == []
    assert ledger.relevant({}) == []


def test_relevant_looks_into_small_collections_only() -> None:
    nested = {"shops": {"s1": {"shelves": {"x7": {"n": 1}}}}}
    assert Ledger(nested).relevant({"shelf": "x7"}) == ["/shops/s1/shelves/x7"]
    crowd = {f"s{n}": {"x7": 1} for n in range(SMALL_COLLECTION + 1)}
    ledger = Ledger({"shops": crowd})
    assert ledger.relevant({"shelf": "x7"}) == []
    assert ledger.relevant({"shop": "s40"}) == ["/shops/s40"]


@given(STATES, st.lists(KEYS, max_size=4))
@settings(max_examples=60, deadline=None)
def test_relevant_is_what_a_plain_walk_finds(state: Any, names: list[str]) -> None:
    def walk(value: Any, path: str) -> list[str]:
        if not isinstance(value, dict):
            return []
        own = [n for n in dict.fromkeys(names) if n in value]
        own = [n for n in own if not (isinstance(value[n], dict | list) and len(value[n]) > 64)]
        inner = value.items() if len(value) <= SMALL_COLLECTION else ()
        below = [found for k, v in inner if k not in own for found in walk(v, join(path, k))]
        return [*(join(path, name) for name in own), *below]

    ledger = Ledger(copy.deepcopy(state))
    for _ in range(2):  # the second time from what was kept
        assert ledger.relevant(names) == walk(ledger.state, "")


def test_relevant_is_that_of_the_state_as_it_is_now() -> None:
    ledger = Ledger(shop())
    assert ledger.relevant({"id": "o9"}) == []
    ledger.relevant({"id": "o9"}).append("not kept")
    ledger.apply([{"op": "add", "path": "/orders/o9", "value": {"status": "new"}}])
    assert ledger.relevant({"id": "o9"}) == ["/orders/o9"]


def test_a_database_is_never_an_entity() -> None:
    """A call that says "users" must not bring all users into its row."""
    users = {f"u{n}": {} for n in range(SMALL_COLLECTION + 1)}
    ledger = Ledger({"users": users, "desk": {"n": 1}})
    assert ledger.relevant({"table": "users", "id": "u3", "at": "desk"}) == ["/desk", "/users/u3"]


def test_a_large_collection_below_a_small_one_is_searched_and_not_remembered() -> None:
    users: dict[str, Any] = {f"u{n}": {"name": "Ann"} for n in range(SMALL_COLLECTION + 1)}
    ledger = Ledger({"db": {"users": users, "orders": {"W1": {"by": "u7"}}}})
    assert ledger.relevant(["u7", "W1"]) == ["/db/users/u7", "/db/orders/W1"]
    ledger.apply([{"op": "set", "path": "/db/users/u7/name", "value": "Bo"}])
    assert ledger.relevant(["u7"]) == ["/db/users/u7"]
    kept = [value for value, _ in _keys._known.values()]
    assert not any(len(value) > SMALL_COLLECTION for value in kept)
