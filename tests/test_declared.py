"""Declared tools: the language construct by construct, and what code answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.states import STATES, VALUES
from trajgen.declared import Result, answer, problems, rules, undeclared
from trajgen.declared.placeholders import Malformed
from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.pointers import excerpt
from trajgen.records import Call, Domain

ARGUMENTS = ("id", "note", "n", "flag", "data")
STATE: dict[str, Any] = {
    "orders": {
        "o1": {"status": "paid", "total": 10.5, "tags": ["new"], "owner": "u1", "note": None},
        "a/b~c": {"status": "sent", "total": 3, "tags": [], "owner": "u2", "note": "x"},
    },
    "users": {"u1": {"name": "Ana", "stock": 5}, "u2": {"name": "Bo", "stock": 0}},
    "open": True,
    "empty": {},
    "list": ["a", "b", {"c": 1}],
}


def domain(text: str = "", prefixes: tuple[str, ...] = ("Error",), **declared: Any) -> Domain:
    """A domain whose one tool `act` is declared as in `text` (YAML) or by keywords."""
    properties = {name: {} for name in ARGUMENTS}
    parameters = {"type": "object", "properties": properties, "required": ["id"]}
    function = {"name": "act", "parameters": parameters}
    return Domain(
        name="small",
        policy="",
        tools=({"type": "function", "function": function},),
        failure_prefixes=prefixes,
        state=STATE,
        semantics={"act": yaml.safe_load(text) if text else declared},
    )


def ask(text: str, state: Any = STATE, *, id: Any = "o1", **arguments: Any) -> Result:
    found = answer(domain(text), Call("c", "act", {"id": id, **arguments}, 1), state)
    assert found is not None
    return found


def shown(template: Any, **arguments: Any) -> Any:
    """What `returns` makes of a template; the text of the failure when it cannot."""
    found = answer(domain(returns={"it": template}), Call("c", "act", arguments, 1), STATE)
    assert found is not None
    data = json.loads(found.observation)
    return data["it"] if found.applies else data["error"]


# placeholders


@pytest.mark.parametrize("value", ["x", "", 7, 2.5, True, None, [1, "a"], {"k": {"d": []}}])
def test_one_placeholder_keeps_its_type(value: Any) -> None:
    assert shown("{data}", data=value) == value
    assert shown(["{data}", {"deep": "{data}"}], data=value) == [value, {"deep": value}]


@pytest.mark.parametrize(
    ("value", "text"),
    [("é", "é"), (7, "7"), (2.5, "2.5"), (True, "true"), (None, "null"), ([1], "[1]")],
)
def test_within_text_a_value_is_written_as_json(value: Any, text: str) -> None:
    assert shown("it is {data}.", data=value) == f"it is {text}."


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{/orders/{id}/status}", "paid"),
        ("{/orders/{id}/total}", 10.5),
        ("{/orders/o1/note}", None),
        ("{/users/{/orders/{id}/owner}/name}", "Ana"),
        ("{/list/1}", "b"),
        ("{/orders/{id}/tags}", ["new"]),
        ("{/orders/a~1b~0c/status}", "sent"),
        ("{keys /users}", "u1, u2"),
        ("{keys /users/{/orders/{id}/owner}}", "name, stock"),
        ("{keys /empty}", ""),
        ("{{{id}}}", "{o1}"),
        ("{{id}}", "{id}"),
        ("a }} b {{ c", "a } b { c"),
        ("", ""),
        (3, 3),
        (None, None),
    ],
)
def test_what_placeholders_hold(template: Any, value: Any) -> None:
    assert shown(template, id="o1") == value


@pytest.mark.parametrize(
    "template",
    ["{/orders/o9/status}", "{/users/{/orders/o9/owner}/name}", "{keys /open}", "{keys /nowhere}"],
)
@pytest.mark.parametrize("form", ["{}", "text {}", "list"])
def test_what_is_not_there_fails_the_call(template: str, form: str) -> None:
    wanted: Any = [template] if form == "list" else form.replace("{}", template)
    assert "not there" in shown(wanted)


def test_keys_are_in_alphabetical_order_whatever_the_state_says() -> None:
    text = "says: 'It holds {keys /box}.'"
    for keys in (["b", "a", "c"], ["c", "b", "a"]):
        assert ask(text, {"box": dict.fromkeys(keys, 1)}).observation == "It holds a, b, c."


@pytest.mark.parametrize(
    "key", ["a/b~c", "../o1", "/orders/o1", "{id}", "~1", "", "é", "o1/status"]
)
def test_an_argument_is_one_key_of_a_pointer_and_leads_nowhere_else(key: str) -> None:
    text = """
      requires: {path: "/orders/{id}", exists: true, else: "No {id}."}
      writes: {path: "/orders/{id}/status", value: gone}
      reads: /orders/{id}/status
    """
    found = ask(text, id=key)
    assert found.applies == (key in STATE["orders"])
    if found.applies:
        ledger = Ledger(STATE)
        assert ledger.apply(found.effects)
        assert ledger.state["orders"][key]["status"] == "gone"
        assert ledger.state["orders"]["o1"] == STATE["orders"]["o1"]
    else:
        assert json.loads(found.observation) == {"error": f"No {key}."}


def test_text_within_a_key_and_numbers_as_keys() -> None:
    state = {"rows": {"row_7": "seven"}, "list": ["zero", "one"]}
    assert ask("reads: /rows/row_{n}", state, n=7).observation == '"seven"'
    assert ask("reads: /list/{n}", state, n=1).observation == '"one"'
    assert not ask("reads: /list/{n}", state, n=1.0).applies
    assert not ask("reads: /list/{n}", state, n=True).applies


def test_data_is_never_a_template() -> None:
    assert shown("{note}", note="{/orders/o1/status}") == "{/orders/o1/status}"
    assert shown("say {note}", note="{keys /users}") == "say {keys /users}"
    state = {"a": "{id}", "b": {"{id}": 1}}
    assert ask("returns: {it: '{/a} {keys /b}'}", state).observation == '{"it": "{id} {id}"}'


# optional arguments


def test_a_key_whose_argument_is_left_out_is_left_out() -> None:
    template = {"id": "{id}", "note": "{note}", "deep": {"n": "{n}"}}
    assert shown(template, id=1) == {"id": 1, "deep": {}}
    assert shown(template, id=1, note="", n=0) == {"id": 1, "note": "", "deep": {"n": 0}}
    assert "not there" in shown({"note": "a {note}"}, id=1)
    assert "not there" in shown(["{note}"], id=1)


def test_when_asks_for_an_optional_argument() -> None:
    text = """
      requires:
        - when: {argument: n, exists: true}
          argument: n
          at_most: 3
          else: "{n} is too many."
      writes:
        - {path: "/orders/{id}/status", value: seen}
        - {when: {argument: note, exists: true}, path: "/orders/{id}/note", value: "{note}"}
      returns:
        - {when: {argument: note, exists: true}, value: {noted: "{note}"}}
        - {value: {noted: false}}
    """
    assert len(ask(text).effects) == 1
    assert ask(text).observation == '{"noted": false}'
    assert ask(text, n=3, note="hi").effects[1]["value"] == "hi"
    assert ask(text, note="hi").observation == '{"noted": "hi"}'
    assert ask(text, n=4).observation == '{"error": "4 is too many."}'


# requires


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("{path: '/orders/{id}/status', equals: paid}", True),
        ("{path: '/orders/{id}/status', equals: sent}", False),
        ("{path: '/orders/{id}/status', equals: '{note}'}", True),
        ("{path: '/orders/{id}/owner', equals: '{/orders/o1/owner}'}", True),
        ("{path: '/orders/{id}/total', equals: '{n}'}", False),
        ("{path: '/orders/{id}/note', equals: null}", True),
        ("{path: '/orders/{id}/note', exists: true}", True),
        ("{path: '/orders/x/note', exists: false}", True),
        ("{path: '/orders/{data}/note', exists: false}", True),
        ("{path: '/orders/x/note', not_equals: 1}", True),
        ("{path: '/orders/x/note', equals: '{/orders/y/note}'}", False),
        ("{path: '/orders/{id}/status', not_equals: '{/orders/y/note}'}", True),
        ("{path: '/orders/{id}/tags', contains: new}", True),
        ("{path: '/orders/{id}/tags', contains: '{note}'}", False),
        ("{path: /users, contains: u1}", True),
        ("{path: '/orders/{id}/total', at_least: 10.5}", True),
        ("{path: '/orders/{id}/total', at_most: '{n}'}", False),
        ("{path: '/orders/{id}/status', at_least: 1}", False),
        ("{path: /empty, equals: {}}", True),
        ("{argument: n, equals: 10}", True),
        ("{argument: n, equals: true}", False),
        ("{argument: flag, exists: false}", True),
        ("{argument: flag, not_equals: true}", True),
        ("{argument: note, equals: '{/orders/{id}/status}'}", True),
        ("{any: [{path: /x, exists: true}, {path: /open, equals: true}]}", True),
        ("{any: [{path: /x, exists: true}, {path: /open, equals: false}]}", False),
        ("{any: [[{path: /open, equals: true}, {path: /x, exists: true}]]}", False),
        ("{not: {path: /open, equals: true}}", False),
        ("{not: [{path: /open, equals: true}, {path: /x, exists: true}]}", True),
    ],
)
def test_conditions(condition: str, holds: bool) -> None:
    text = f"requires: [{condition}]\nreturns: {{ok: true}}"
    assert ask(text, note="paid", n=10).applies == holds


def test_the_first_condition_that_fails_decides() -> None:
    text = """
      requires:
        - {path: "/orders/{id}", exists: true, else: "Error: no order {id}"}
        - {path: "/orders/{id}/status", equals: sent, else: "Error: {/orders/{id}/status}"}
        - {path: /x, exists: true, else: "Error: last"}
      writes: {path: /open, value: false}
      says: Done.
    """
    for id_, said in (("o9", "no order o9"), ("o1", "paid"), ("a/b~c", "last")):
        found = ask(text, id=id_)
        assert (found.applies, found.effects) == (False, ())
        assert found.observation == found.why == f"Error: {said}"


def test_a_condition_is_asked_only_when_its_when_holds() -> None:
    text = """
      requires: {when: {path: /open, equals: false}, path: /x, exists: true, else: never}
      returns: {ok: true}
    """
    assert ask(text).applies
    assert not ask(text, {"open": False}).applies


def test_failures_have_the_form_of_the_tool() -> None:
    fails = "requires: {path: /x, exists: true"
    assert ask(f"{fails}, else: 'Error: no {{n}}'}}\nsays: ok", n=3).observation == "Error: no 3"
    assert ask(f"{fails}, else: nope}}\nreturns: 1").observation == '{"error": "nope"}'
    coded = ask(f"{fails}, else: {{error: nope, code: '{{n}}'}}}}\nreturns: 1", n=4)
    assert json.loads(coded.observation) == {"error": "nope", "code": 4}
    assert ask(f"{fails}, else: '{{n}}'}}\nreturns: 1", n=4).observation == '{"error": "4"}'
    for odd in ("", {"k": 1}, None):
        for words in ("'{note}'", "{error: '{note}'}"):
            text = f"{fails}, else: {words}}}\nreturns: 1"
            assert json.loads(ask(text, note=odd).observation)["error"]
            assert json.loads(ask(text).observation)["error"]


def test_a_condition_without_words_says_what_was_required() -> None:
    text = "requires: {path: '/orders/{id}/status', equals: sent}\nreads: /orders/{id}"
    assert ask(text).observation == '{"error": "/orders/o1/status: equals sent does not hold"}'
    text = "requires: {any: [{path: /x, exists: true}]}\nsays: ok"
    assert ask(text).observation == "Error: this call does not apply here"


# writes


@pytest.mark.parametrize(
    ("write", "effect"),
    [
        ("{path: '/orders/{id}/status', value: x}", {"op": "set", "value": "x"}),
        ("{path: '/orders/{id}/status2', value: x}", {"op": "add", "value": "x"}),
        ("{path: '/orders/{id}/note', value: '{n}'}", {"op": "set", "value": 2}),
        ("{path: '/orders/{id}/x', value: {a: ['{n}', 'n{n}']}}", {"op": "add"}),
        ("{op: remove, path: '/orders/{id}/note'}", {"op": "remove"}),
        ("{op: increment, path: '/orders/{id}/total', value: '{n}'}", {"value": 2}),
        ("{op: decrement, path: '/orders/{id}/total', value: 2}", {"op": "increment", "value": -2}),
        ("{op: append, path: '/orders/{id}/tags', value: '{note}'}", {"value": "hi"}),
        ("{op: move, path: '/orders/{id}', value: /empty/o1}", {"value": "/empty/o1"}),
        ("{op: move, path: '/orders/{id}', value: '/empty/{note}'}", {"value": "/empty/hi"}),
    ],
)
def test_typed_effects(write: str, effect: Mapping[str, Any]) -> None:
    found = ask(f"writes: {write}", n=2, note="hi")
    assert found.applies
    assert found.observation == '{"ok": true}'
    (made,) = found.effects
    assert made.items() >= effect.items()
    assert made["path"].startswith("/orders/o1")
    assert Ledger(STATE).apply(found.effects)


def test_removing_a_list_item_moves_up_what_is_behind_it() -> None:
    found = ask("writes: {op: remove, path: '/list/{n}'}\nreads: /list", n=0)
    assert json.loads(found.observation) == ["b", {"c": 1}]


def test_writes_come_from_the_state_before_and_are_shown_in_the_state_after() -> None:
    text = """
      writes:
        - {path: "/orders/{id}/status", value: "{/users/u1/name}"}
        - {path: /users/u1/name, value: "{/orders/{id}/status}"}
      returns: ["{/orders/{id}/status}"]
    """.replace('["{', '{it: "{').replace('"]', '"}')
    found = ask(text)
    assert [effect["value"] for effect in found.effects] == ["Ana", "paid"]
    assert json.loads(found.observation) == {"it": "Ana"}


def test_effects_apply_in_order() -> None:
    text = """
      writes:
        - {path: /new, value: {}}
        - {path: "/new/{id}", value: 1}
        - {op: increment, path: "/new/{id}", value: 2}
      reads: /new
    """
    found = ask(text)
    assert [e["op"] for e in found.effects] == ["add", "add", "increment"]
    assert found.observation == '{"o1": 3}'


@pytest.mark.parametrize(
    "write",
    [
        "{path: '/orders/{id}/status', value: 3}",
        "{path: '/nowhere/deep', value: 3}",
        "{op: set, path: /x, value: 1}",
        "{op: add, path: /open, value: 1}",
        "{op: increment, path: /open, value: 1}",
        "{op: decrement, path: '/orders/{id}/total', value: '{note}'}",
        "{op: append, path: '/orders/{id}/tags', value: 1}",
        "{op: remove, path: '/orders/{note}'}",
        "{op: move, path: /users, value: /orders}",
        "{op: move, path: /users, value: '/empty/{data}'}",
        "{path: '/orders/{data}/status', value: x}",
        "{path: '/orders/{id}/status', value: '{/nowhere}'}",
    ],
)
def test_a_write_that_does_not_fit_fails_the_call_whole(write: str) -> None:
    text = f"writes: [{{path: /open, value: false}}, {write}]"
    found = ask(text, note="x")
    assert (found.applies, found.effects) == (False, ())
    assert json.loads(found.observation)["error"]
    said = ask(f"{text}\nsays: Done.", note="x").observation
    assert said.startswith("Error: ")


def test_a_value_cannot_nest_without_end() -> None:
    text = "writes: {path: /log, value: {before: '{/log}'}}"
    state: Any = {"log": {}}
    found = ask(text, state)
    while found.applies:
        ledger = Ledger(state)
        ledger.apply(found.effects)
        state, found = ledger.state, ask(text, ledger.state)
    assert "nests deeper" in found.observation


# what is shown


def test_reads() -> None:
    assert json.loads(ask("reads: /orders/{id}").observation) == STATE["orders"]["o1"]
    both = ask("reads: {order: '/orders/{id}', who: '/users/{/orders/{id}/owner}'}")
    assert json.loads(both.observation) == {
        "order": STATE["orders"]["o1"],
        "who": STATE["users"]["u1"],
    }
    missing = ask("reads: {order: '/orders/{id}', who: /users/u9}")
    assert missing.observation == '{"error": "/users/u9: does not exist"}'
    assert not missing.applies


def test_says_joins_the_parts_whose_when_holds() -> None:
    text = """
      says:
        - "{id}:"
        - {when: {path: /open, equals: true}, text: " open"}
        - {when: {path: /open, equals: false}, text: " shut"}
        - " ({/orders/{id}/total})"
    """
    assert ask(text).observation == "o1: open (10.5)"
    assert not ask("says: [{when: {path: /x, exists: true}, text: x}]").applies


def test_returns_the_first_case_that_holds() -> None:
    text = """
      returns:
        - {when: {path: "/orders/{id}/status", equals: sent}, value: {sent: true}}
        - {when: {path: "/orders/{id}/status", equals: paid}, value: ["{id}"]}
    """
    assert ask(text).observation == '["o1"]'
    assert ask(text, id="a/b~c").observation == '{"sent": true}'
    assert ask(text, id="o9").observation == '{"error": "none of the cases it returns holds"}'


def test_the_state_is_never_changed() -> None:
    before = canonical(STATE)
    ask("writes: [{op: remove, path: '/orders/{id}'}, {path: /x, value: 1}]")
    assert canonical(STATE) == before


def test_a_domain_without_a_state_answers_too() -> None:
    text = "requires: {path: /x, exists: false}\nwrites: {path: /x, value: 1}"
    assert ask(text, None).effects == ({"op": "add", "path": "/x", "value": 1},)


# what an answer depends on


def test_an_excerpt_of_what_was_touched_gives_the_same_answer() -> None:
    text = """
      requires:
        - {path: "/users/{/orders/{id}/owner}/stock", at_least: 1, else: none left}
        - {any: [{path: /shut, equals: true}, {path: /open, equals: true}], else: closed}
      writes: {op: decrement, path: "/users/{/orders/{id}/owner}/stock", value: 1}
      returns: {left: "{/users/{/orders/{id}/owner}/stock}", all: "{keys /empty}"}
    """
    for id_ in ("o1", "a/b~c", "o9"):
        found = ask(text, id=id_)
        part = excerpt(STATE, found.touched())
        assert canonical(part) != canonical(STATE)
        assert ask(text, part, id=id_) == found
    assert "/users/u1/stock" in ask(text).touched()
    assert "/open" in ask(text).touched()


# malformed declarations

MALFORMED = [
    ("require: []", "unknown key 'require'; did you mean 'requires'?"),
    ("{}", "neither writes nor shows"),
    ("requires: []", "neither writes nor shows"),
    ("says: x\nreads: /open", "one of says, returns and reads"),
    ("reads: orders", "no JSON pointer"),
    ("reads: 3", "no JSON pointer"),
    ("reads: {}", "no JSON pointer"),
    ("reads: ''", "no JSON pointer"),
    ("reads: /orders/{ids}", "{ids} is no argument of the tool; did you mean 'id'?"),
    ("reads: /orders/{id", "never closed"),
    ("reads: /orders/id}", "closes nothing"),
    ("reads: /orders/a~2", "'~' in a key is written ~0"),
    ("reads: '/orders/{}'", "a placeholder is an argument, a pointer"),
    ("reads: '/orders/{id.upper()}'", "a placeholder is an argument, a pointer"),
    ("reads: '/orders/{key /users}'", "a placeholder is an argument, a pointer"),
    ("says: '{/users/{nam}}'", "{nam} is no argument"),
    ("says: '" + "{/a" * 9 + "}" * 9 + "'", "nest deeper"),
    ("says: ''", "says.*nothing"),
    ("says: []", "says.*nothing"),
    ("says: [3]", "says.0: is text or {when, text}, found 3"),
    ("says: [{text: x, if: y}]", "unknown key 'if'"),
    ("says: {when: {path: /x, exists: true}}", "text or {when, text}"),
    ("says: 'Error: it worked'", "begins as a failure"),
    ("returns: {'{id}': 1}", "keys are text without placeholders"),
    ("returns: {day: 2024-05-01}", "no JSON value"),
    ("returns: {n: .inf}", "no JSON value"),
    ("returns: []", "list of cases"),
    ("returns: ['{id}']", "a case {when, value}"),
    ("returns: {error: nope}", "says that the call failed"),
    ("returns: [{value: {success: false}}]", "returns.0.value: says that the call failed"),
    ("writes: []", "writes nothing"),
    ("writes: [3]", "an effect is a mapping"),
    ("writes: {value: 3}", "has a path"),
    ("writes: {path: /x}", "needs a value"),
    ("writes: {path: /x, op: remove, value: 3}", "remove takes no value"),
    ("writes: {path: /x, op: sett, value: 3}", "unknown effect 'sett'; did you mean 'set'?"),
    ("writes: {path: /x, vale: 3}", "unknown key 'vale'; did you mean 'value'?"),
    ("writes: {path: /x, op: increment, value: [1]}", "is a number or a placeholder"),
    ("writes: {path: /x, op: move, value: y}", "writes.value: 'y' is no JSON pointer"),
    ("writes: {path: /x, value: 1, when: {path: /y}}", "writes.when: a condition has one test"),
    ("says: x\nrequires: 3", "a condition is a mapping"),
    ("says: x\nrequires: [{exists: true}]", "one of path, argument, any, not"),
    ("says: x\nrequires: [{path: /x, argument: id, exists: true}]", "one of path, argument"),
    ("says: x\nrequires: [{path: /x}]", "requires.0: a condition has one test"),
    ("says: x\nrequires: [{path: /x, exists: true, equals: 1}]", "one test"),
    ("says: x\nrequires: [{path: /x, equal: 1}]", "unknown key 'equal'; did you mean 'equals'?"),
    ("says: x\nrequires: [{path: /x, exists: 1}]", "true or false"),
    ("says: x\nrequires: [{path: /x, at_least: [1]}]", "a number or a placeholder"),
    ("says: x\nrequires: [{argument: ids, exists: true}]", "'ids' is no argument of the tool"),
    ("says: x\nrequires: [{any: {path: /x, exists: true}}]", "any: is a list of conditions"),
    ("says: x\nrequires: [{any: []}]", "any: is a list of conditions"),
    ("says: x\nrequires: [{not: []}]", "an empty list says nothing"),
    ("says: x\nrequires: [{any: [{path: /x, exists: true}], path: /y}]", "one of path, argument"),
    ("says: x\nrequires: [{path: /x, exists: true, else: No.}]", "none of failure_prefixes"),
    ("says: x\nrequires: [{path: /x, exists: true, else: '{id} fails'}]", "failure_prefixes"),
    ("says: x\nrequires: [{path: /x, exists: true, else: {error: x}}]", "only beside reads"),
    ("reads: /x\nrequires: [{path: /x, exists: true, else: {why: x}}]", "has an `error`"),
    ("reads: /x\nrequires: [{path: /x, exists: true, else: 3}]", "text or a JSON object"),
    ("reads: /x\nrequires: [{path: /x, exists: true, else: ' '}]", "says nothing"),
    ("says: x\nrequires: " + "[{not: " * 9 + "{path: /x, exists: true}" + "}]" * 9, "nest deeper"),
]


@pytest.mark.parametrize(("text", "told"), MALFORMED)
def test_a_malformed_declaration_is_told_by_its_key(text: str, told: str) -> None:
    (problem,) = problems(domain(text))
    assert problem.startswith("tools.act")
    head, _, tail = told.partition(".*")
    assert head in problem
    assert tail in problem


def test_every_malformed_tool_is_told_and_none_is_answered() -> None:
    wrong = replace(domain("says: x"), semantics={"act": {"says": "{x}"}, "fly": {"says": "x"}})
    assert [p.partition(":")[0] for p in problems(wrong)] == ["tools.act.says", "tools.fly"]
    with pytest.raises(Malformed, match=r"tools\.act\.says"):
        rules(wrong)


def test_a_tool_that_says_needs_prefixes_for_its_failures() -> None:
    assert "failure_prefixes" in problems(domain("says: x", prefixes=()))[0]
    assert problems(domain("returns: x", prefixes=())) == []


def test_what_is_not_declared_has_no_answer() -> None:
    declared = domain("says: x")
    assert answer(replace(declared, semantics={}), Call("c", "act", {}, 1), STATE) is None
    assert answer(declared, Call("c", "other", {}, 1), STATE) is None
    assert undeclared(declared) == []
    assert undeclared(replace(declared, semantics={})) == ["act"]


def test_declarations_are_compiled_once_a_domain() -> None:
    first, other = domain("says: x"), domain("says: y")
    assert rules(first) is rules(first)
    assert rules(first) is not rules(other)
    renamed = replace(first, failure_prefixes=("No",))
    assert rules(renamed)["act"].form.prefixes == ("No",)


# any state, any arguments

ANY = """
  requires:
    - when: {argument: note, exists: true}
      any: [{path: "/{note}", exists: true}, {argument: n, at_least: "{/a/{id}}"}]
      else: "no {note} {/a}"
    - {not: {path: "/a/{id}", equals: "{data}"}}
  writes:
    - {path: "/{id}", value: {kept: "{data}", old: "{/{id}}"}, when: {path: "/{id}", exists: true}}
    - {path: "/{note}", value: "{data}"}
    - {op: increment, path: "/a", value: "{n}", when: {argument: n, exists: true}}
    - {op: move, path: "/b/{id}", value: "/{id}/0", when: {path: "/b/{id}", exists: true}}
    - {op: remove, path: "/a/{id}", when: {path: "/a/{id}", exists: true}}
  returns: {id: "{id}", now: "{/{id}}", all: "x {keys /b} {data}"}
"""
PLAIN = "writes: {path: '/{id}', value: '{data}'}\nreads: /{id}"
ids = st.sampled_from(["a", "b", "a/b", "m~n", "", "0", "-", "{id}", 0, 1.5, None, True])


@pytest.mark.slow
@given(STATES, ids, st.dictionaries(st.sampled_from(ARGUMENTS[1:]), VALUES), st.booleans())
@settings(max_examples=400, deadline=None)
def test_no_state_and_no_arguments_raise(state: Any, id: Any, more: Any, plain: bool) -> None:
    before = canonical(state)
    found = ask(PLAIN if plain else ANY, state, **{"id": id, **more})
    assert canonical(state) == before
    assert ask(PLAIN if plain else ANY, state, **{"id": id, **more}) == found
    ledger = Ledger(state)
    ledger.apply(found.effects)
    assert json.loads(found.observation) is not None or found.applies
    if not found.applies:
        assert found.effects == ()
        assert json.loads(found.observation)["error"]
    part = excerpt(state, found.touched())
    assert ask(PLAIN if plain else ANY, part, **{"id": id, **more}) == found
