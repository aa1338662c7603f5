"""The household seeds against the rules of the house, written down here a second time.

The rules are a table: per tool the conditions in order, each with the words of its
failure, then what is said and what is written, as JSON pointers with {argument}s.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen.declared import answer, undeclared
from trajgen.domains import load_domain
from trajgen.goals import holds
from trajgen.ledger import Ledger
from trajgen.pointers import lookup, overlay
from trajgen.records import Call, calls_of

FOLDER = Path(__file__).parent.parent / "seeds" / "household"
DOMAIN = yaml.safe_load((FOLDER / "domain.yaml").read_text("utf-8"))
POLICY = (FOLDER / "policy.md").read_text("utf-8")
TOOLS = {
    t["function"]["name"]: t["function"] for t in json.loads((FOLDER / "tools.json").read_text())
}
STATE = json.loads((FOLDER / "state.json").read_text("utf-8"))
SEEDS = {
    seed["id"]: seed
    for seed in map(json.loads, (FOLDER / "trajectories.jsonl").read_text("utf-8").splitlines())
}
each_seed = pytest.mark.parametrize("seed", SEEDS.values(), ids=SEEDS)

PLACE, HELD = "/places/{place}", "/agent/hand/{object}"
KNOWN = ({"path": PLACE, "exists": True}, "There is no place called {place}.")
NEAR = [KNOWN, ({"path": "/agent/at", "equals": "{place}"}, "You cannot reach {place} from here.")]


def holding(verb: str) -> tuple[dict[str, Any], str]:
    return (
        {"path": HELD, "exists": True},
        f"You cannot {verb} {{object}}: you are not holding it.",
    )


def ajar(verb: str) -> tuple[dict[str, Any], str]:
    why = f"You cannot {verb} {{object}}: {{place}} is closed."
    return ({"path": f"{PLACE}/open", "not_equals": False}, why)


def door(verb: str, before: bool, word: str) -> dict[str, Any]:
    locked = (
        {"path": f"{PLACE}/locked", "not_equals": True},
        "You cannot open {place}: it is locked.",
    )
    return {
        "requires": [
            *NEAR,
            (
                {"path": f"{PLACE}/open", "exists": True},
                f"You cannot {verb} {{place}}: it has no door.",
            ),
            *([locked] if verb == "open" else []),
            (
                {"path": f"{PLACE}/open", "equals": before},
                f"Nothing happens: {{place}} is already {word}.",
            ),
        ],
        "writes": [{"op": "set", "path": f"{PLACE}/open", "value": not before}],
        "says": f"You {verb} {{place}}.",
    }


def appliance(verb: str, use: str, field: str, value: str) -> dict[str, Any]:
    no = f"You cannot {verb} {{object}}: {{place}}"
    return {
        "requires": [
            *NEAR,
            ({"path": f"{PLACE}/use", "equals": use}, f"{no} does not {verb}."),
            holding(verb),
            ajar(verb),
            ({"path": f"{PLACE}/power", "not_equals": "off"}, f"{no} is off."),
            (
                {"path": f"{HELD}/{field}", "not_equals": value},
                f"Nothing happens: {{object}} is already {value}.",
            ),
        ],
        "writes": [{"op": "set", "path": f"{HELD}/{field}", "value": value}],
        "says": f"You {verb} {{object}} at {{place}}.",
    }


RULES: dict[str, dict[str, Any]] = {
    "look": {
        "requires": [
            *NEAR,
            (
                {"path": f"{PLACE}/open", "not_equals": False},
                "You cannot see inside {place}: it is closed.",
            ),
        ],
        "reads": PLACE,
    },
    "examine": {
        "requires": [holding("examine")],
        "reads": HELD,
        "says": "You examine {object}. Material: {material}. Condition: {condition}. "
        "Temperature: {temperature}.",
    },
    "go_to": {
        "requires": [
            KNOWN,
            (
                {"path": "/agent/at", "not_equals": "{place}"},
                "Nothing happens: you are already at {place}.",
            ),
        ],
        "reads": PLACE,
        "writes": [{"op": "set", "path": "/agent/at", "value": "{place}"}],
        "says": "You walk to {place} in the {room}.",
    },
    "open": door("open", False, "open"),
    "close": door("close", True, "closed"),
    "take": {
        "requires": [
            *NEAR,
            ajar("take"),
            (
                {"path": f"{PLACE}/contents/{{object}}", "exists": True},
                "You cannot take {object}: it is not at {place}.",
            ),
            ({"path": "/agent/hand", "equals": {}}, "You cannot take {object}: your hand is full."),
        ],
        "writes": [{"op": "move", "path": f"{PLACE}/contents/{{object}}", "value": HELD}],
        "says": "You take {object} from {place}.",
    },
    "put": {
        "requires": [
            *NEAR,
            (
                {"path": f"{PLACE}/contents", "exists": True},
                "You cannot put down {object}: nothing fits at {place}.",
            ),
            holding("put down"),
            ajar("put down"),
        ],
        "writes": [{"op": "move", "path": HELD, "value": f"{PLACE}/contents/{{object}}"}],
        "says": "You put {object} down at {place}.",
    },
    "heat": appliance("heat", "heat", "temperature", "hot"),
    "cool": appliance("cool", "cool", "temperature", "cold"),
    "clean": appliance("clean", "wash", "condition", "clean"),
    "switch": {
        "requires": [
            *NEAR,
            (
                {"path": f"{PLACE}/power", "exists": True},
                "You cannot switch {place}: it has no switch.",
            ),
            (
                {"path": f"{PLACE}/power", "not_equals": "{to}"},
                "Nothing happens: {place} is already {to}.",
            ),
        ],
        "writes": [{"op": "set", "path": f"{PLACE}/power", "value": "{to}"}],
        "says": "You switch {place} {to}.",
    },
}


def fill(template: dict[str, Any], args: dict[str, Any]) -> dict[str, Any]:
    return {k: v.format(**args) if isinstance(v, str) else v for k, v in template.items()}


def view(place: str, seen: dict[str, Any]) -> str:
    """What `look` says: door, switch and, in alphabetical order, what the place holds."""
    says = f"You look at {place}."
    says += " It is open." if "open" in seen else ""
    says += f" It is {seen['power']}." if "power" in seen else ""
    held = ", ".join(sorted(seen.get("contents", ()))) or "nothing"
    return says + (f" It holds {held}." if "contents" in seen else "")


def house(state: Any, tool: str, args: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """The observation and the effects of one call in `state`."""
    rule = RULES[tool]
    for condition, why in rule["requires"]:
        if not holds(state, fill(condition, args)):
            return why.format(**args), []
    seen = lookup(state, rule["reads"].format(**args)) if "reads" in rule else {}
    says = view(args["place"], seen) if tool == "look" else rule["says"].format(**args, **seen)
    return says, [fill(effect, args) for effect in rule.get("writes", ())]


def start(seed: dict[str, Any]) -> Any:
    return overlay(STATE, seed.get("state"))


def answers(seed: dict[str, Any]) -> dict[str, str]:
    return {m["tool_call_id"]: m["content"] for m in seed["messages"] if m["role"] == "tool"}


def failed(observation: str) -> bool:
    return observation.startswith(tuple(DOMAIN["failure_prefixes"]))


def end(seed: dict[str, Any]) -> Any:
    ledger = Ledger(start(seed))
    for effects in seed["meta"]["effects"].values():
        ledger.apply(effects)
    return ledger.state


def things(state: Any) -> list[str]:
    held = [o for p in state["places"].values() for o in p.get("contents", ())]
    return sorted([*held, *state["agent"]["hand"]])


@each_seed
def test_every_call_follows_the_rules_of_the_house(seed: dict[str, Any]) -> None:
    ledger, told, effects_of = Ledger(start(seed)), answers(seed), seed["meta"]["effects"]
    calls = list(calls_of(seed["messages"]))
    assert [c.id for c in calls] == [f"call_{i + 1}" for i in range(len(calls))] == list(told)
    assert effects_of.keys() <= told.keys()
    for call in calls:
        effects = effects_of.get(call.id, [])
        assert house(ledger.state, call.tool, call.arguments) == (told[call.id], effects)
        changed = ledger.apply(effects)
        writes = DOMAIN["tools"][call.tool]["kind"] == "write"
        assert changed == (writes and not failed(told[call.id])), call
    assert things(ledger.state) == things(ledger.initial)


@each_seed
def test_the_goal_holds_exactly_in_a_success(seed: dict[str, Any]) -> None:
    def reached(state: Any) -> bool:
        return all(holds(state, condition) for condition in seed["goal"])

    assert seed["goal"]
    assert reached(end(seed)) == (seed["meta"]["outcome"] == "success")
    if seed["meta"]["outcome"] == "success":
        assert not reached(start(seed)), "there was nothing to do"


@each_seed
def test_arguments_are_valid_and_were_seen_before(seed: dict[str, Any]) -> None:
    for call in calls_of(seed["messages"]):
        schema = TOOLS[call.tool]["parameters"]
        jsonschema_rs.validate(schema, call.arguments)
        seen = [m["content"] for m in seed["messages"][: call.message] if m["role"] != "assistant"]
        ids = set(re.findall(r"[a-z]+_\d+", " ".join([POLICY, *seen])))
        assert {call.arguments[k] for k in ("object", "place") if k in call.arguments} <= ids, call


@each_seed
def test_messages_are_a_well_formed_conversation(seed: dict[str, Any]) -> None:
    messages, wanted = seed["messages"], {"user"}
    for message in messages:
        assert message["role"] in wanted, message
        assert isinstance(message["content"], str)
        assert message["content"] or "tool_calls" in message
        assert len(message.get("tool_calls", [None])) == 1
        calling = "tool_calls" in message
        after = {"user": {"assistant"}, "tool": {"assistant"}, "assistant": {"user"}}
        wanted = {"tool"} if calling else after[message["role"]]
    assert messages[-1]["role"] == "assistant"
    assert "null" not in json.dumps(seed)


@each_seed
def test_the_agent_obeys_the_safety_rules(seed: dict[str, Any]) -> None:
    ledger = Ledger(start(seed))
    banned = {"microwave_1": {"steel"}, "stove_1": {"plastic", "paper", "cloth"}}
    examined: set[str] = set()
    for call in calls_of(seed["messages"]):
        args = call.arguments
        if call.tool == "go_to":
            assert ledger.get("/places/fridge_1/open") is False
            leaves_stove = ledger.get("/agent/at") == "stove_1"
            assert not leaves_stove or ledger.get("/places/stove_1/power") == "off"
        if call.tool == "heat":
            held = ledger.get(f"/agent/hand/{args['object']}")
            assert held["material"] not in banned[args["place"]]
            assert held["material"] == "food" or args["object"] in examined
        examined |= {args["object"]} if call.tool == "examine" else set()
        ledger.apply(seed["meta"]["effects"].get(call.id, []))
    assert ledger.get("/places/stove_1/power") == "off"
    assert ledger.get("/places/fridge_1/open") is False


def test_the_seeds_vary() -> None:
    lengths = [len(list(calls_of(s["messages"]))) for s in SEEDS.values()]
    assert len(SEEDS) == 12
    assert min(lengths) == 2
    assert 12 <= max(lengths) <= 14
    assert {s["meta"]["outcome"] for s in SEEDS.values()} == {"success", "refusal", "failure"}
    assert sum(sum(m["role"] == "user" for m in s["messages"]) > 1 for s in SEEDS.values()) >= 2
    used = {c.tool for s in SEEDS.values() for c in calls_of(s["messages"])}
    assert used == set(TOOLS) == set(DOMAIN["tools"]) == set(RULES)
    said = [text for s in SEEDS.values() for text in answers(s).values()]
    for prefix in DOMAIN["failure_prefixes"]:
        assert any(text.startswith(prefix) for text in said), prefix


def test_the_house_is_small_and_the_policy_names_its_places() -> None:
    assert len((FOLDER / "state.json").read_bytes()) < 6000
    assert len(POLICY.splitlines()) < 60
    listed = POLICY.partition("Places:")[2].partition("How the house works:")[0]
    assert set(re.findall(r"[a-z]+_\d", listed)) == set(STATE["places"])
    assert len(things(STATE)) == len(set(things(STATE)))
    for seed in SEEDS.values():
        assert set(start(seed)["places"]) == set(STATE["places"])


PROBES = [
    ("go_to", {"place": "hallway_1"}, "Nothing happens: you are already at hallway_1."),
    ("go_to", {"place": "garage_1"}, "There is no place called garage_1."),
    ("open", {"place": "hallway_1"}, "You cannot open hallway_1: it has no door."),
    ("examine", {"object": "mug_1"}, "You cannot examine mug_1: you are not holding it."),
    (
        "put",
        {"object": "mug_1", "place": "hallway_1"},
        "You cannot put down mug_1: you are not holding it.",
    ),
    (
        "clean",
        {"object": "shoes_1", "place": "hallway_1"},
        "You cannot clean shoes_1: hallway_1 does not clean.",
    ),
    ("look", {"place": "bed_1"}, "You cannot reach bed_1 from here."),
    (
        "switch",
        {"place": "hallway_1", "to": "on"},
        "You cannot switch hallway_1: it has no switch.",
    ),
]


@pytest.mark.parametrize(("tool", "args", "observation"), PROBES)
def test_a_call_that_does_not_apply_says_so(
    tool: str, args: dict[str, str], observation: str
) -> None:
    assert house(STATE, tool, args) == (observation, [])
    assert failed(observation)


# what domain.yaml declares, against the rules above

DECLARED = load_domain(FOLDER)


def declared(state: Any, tool: str, args: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    found = answer(DECLARED, Call("c", tool, args, 1), state)
    assert found is not None
    assert found.applies != failed(found.observation)
    return found.observation, list(found.effects)


def test_every_tool_is_declared() -> None:
    assert undeclared(DECLARED) == []
    assert {n: s["kind"] for n, s in DOMAIN["tools"].items()} == DECLARED.kinds


@each_seed
def test_code_answers_as_in_the_seed(seed: dict[str, Any]) -> None:
    ledger, told = Ledger(start(seed)), answers(seed)
    for call in calls_of(seed["messages"]):
        effects = seed["meta"]["effects"].get(call.id, [])
        assert declared(ledger.state, call.tool, call.arguments) == (told[call.id], effects)
        ledger.apply(effects)


@pytest.mark.parametrize(("tool", "args", "observation"), PROBES)
def test_code_refuses_what_does_not_apply(
    tool: str, args: dict[str, str], observation: str
) -> None:
    assert declared(STATE, tool, args) == (observation, [])


OBJECTS = [*things(STATE), "ghost_1", "a/b~c", ""]
PLACES = [*STATE["places"], "garage_1", "cabinet_1/contents", "~"]


@st.composite
def chores(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    tool = draw(st.sampled_from(sorted(TOOLS)))
    values = {
        "place": draw(st.sampled_from([*PLACES, "", *["here"] * len(PLACES)])),
        "object": draw(st.sampled_from([*OBJECTS, *["held"] * len(OBJECTS)])),
        "to": draw(st.sampled_from(["on", "off"])),
    }
    return tool, {key: values[key] for key in TOOLS[tool]["parameters"]["properties"]}


@given(st.lists(chores(), max_size=60), st.sampled_from(sorted(SEEDS)))
@settings(max_examples=150, deadline=None)
@pytest.mark.slow
def test_code_and_rules_agree_wherever_a_job_leads(
    jobs: list[tuple[str, dict[str, str]]], name: str
) -> None:
    """Calls at random, many of them where the robot stands and with what it holds."""
    ledger = Ledger(start(SEEDS[name]))
    for tool, wanted in jobs:
        hand = next(iter(ledger.get("/agent/hand")), "ghost_1")
        near = {"here": ledger.get("/agent/at"), "held": hand}
        args = {key: near.get(value, value) for key, value in wanted.items()}
        if not {"/", "~"} & set("".join(args.values())) and all(args.values()):
            assert declared(ledger.state, tool, args) == house(ledger.state, tool, args)
        said, effects = declared(ledger.state, tool, args)
        changed = ledger.apply(effects)
        assert changed == (DOMAIN["tools"][tool]["kind"] == "write" and not failed(said))
    assert things(ledger.state) == things(ledger.initial)
