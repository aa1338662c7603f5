"""The chemistry_lab seeds tell the truth: replayed call by call, state and text agree."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from trajgen.goals import holds
from trajgen.ledger import Ledger
from trajgen.pointers import overlay
from trajgen.records import calls_of

FOLDER = Path(__file__).parent.parent / "seeds" / "chemistry_lab"
STATE = json.loads((FOLDER / "state.json").read_text("utf-8"))
POLICY = (FOLDER / "policy.md").read_text("utf-8")
DOMAIN = yaml.safe_load((FOLDER / "domain.yaml").read_text("utf-8"))
TOOLS = {
    t["function"]["name"]: t["function"]
    for t in json.loads((FOLDER / "tools.json").read_text("utf-8"))
}
LINES = (FOLDER / "trajectories.jsonl").read_text("utf-8").splitlines()
SEEDS = {seed["id"]: seed for seed in map(json.loads, LINES)}
JSON_TOOLS = {
    "look_up",
    "set_protection",
    "set_control",
    "transfer",
    "measure",
    "tell_technician",
}
IDS = ("id", "source_id", "vessel_id", "vessel_ids", "instrument_id", "subject_id")
HOT_C = 40
G_PER_ML = {"R109": 0.998, "R110": 0.806}
QUANTITY = {"BAL1": ("mass", "g"), "PH1": ("pH", "pH"), "SPEC1": ("absorbance", "AU")}

Json = Any
each_seed = pytest.mark.parametrize("seed", SEEDS.values(), ids=SEEDS)


@dataclass
class Played:
    """One call as it was replayed: the state around it and what the agent had read so far."""

    tool: str
    arguments: dict[str, Json]
    text: str
    failed: bool
    changed: bool
    before: Json
    after: Json
    seen: str


def replay(seed: dict[str, Json]) -> Iterator[Played]:
    """Every call of `seed` in order; parallel calls take effect one after the other."""
    ledger = Ledger(overlay(STATE, seed.get("state")))
    answers = {m["tool_call_id"]: m["content"] for m in seed["messages"] if m["role"] == "tool"}
    for call in calls_of(seed["messages"]):
        before, text = ledger.state, answers[call.id]
        changed = ledger.apply(seed["meta"]["effects"].get(call.id, []))
        failed = text.startswith("Error") or (text[0] == "{" and "error" in json.loads(text))
        seen = "\n".join([POLICY, *map(visible, seed["messages"][: call.message])])
        yield Played(call.tool, call.arguments, text, failed, changed, before, ledger.state, seen)


def visible(message: dict[str, Json]) -> str:
    calls = message.get("tool_calls", [])
    return "\n".join([message["content"], *(json.dumps(c["function"]["arguments"]) for c in calls)])


def final_state(seed: dict[str, Json]) -> Json:
    return list(replay(seed))[-1].after


def test_the_set_is_varied() -> None:
    assert len(SEEDS) == len(LINES) == 10
    assert {s["meta"]["outcome"] for s in SEEDS.values()} == {"success", "refusal", "failure"}
    lengths = [len(list(replay(s))) for s in SEEDS.values()]
    assert min(lengths) == 2
    assert max(lengths) == 12
    used = {p.tool for s in SEEDS.values() for p in replay(s)}
    assert used == set(TOOLS) == set(DOMAIN["tools"])
    assert (FOLDER / "state.json").stat().st_size < 6000


@each_seed
def test_messages_are_well_formed(seed: dict[str, Json]) -> None:
    messages = seed["messages"]
    assert messages[0]["role"] == "user"
    assert messages[-1]["role"] == "assistant"
    waiting: list[str] = []
    previous = ""
    for message in messages:
        assert isinstance(message["content"], str)
        assert message["content"] or message.get("tool_calls")
        if message["role"] == "tool":
            assert message["tool_call_id"] == waiting.pop(0)
        else:
            assert not waiting, "a call was left unanswered"
            expected = {"": ["user"], "user": ["assistant"], "tool": ["assistant"]}
            assert message["role"] in expected.get(previous, ["user"])
        waiting += [c["id"] for c in message.get("tool_calls", [])]
        previous = message["role"]
    assert "tool_calls" not in messages[-1]
    ids = [c.id for c in calls_of(messages)]
    assert len(set(ids)) == len(ids)
    assert set(seed["meta"]["effects"]) <= set(ids)


def test_tool_schemas_are_closed_and_valid() -> None:
    for function in TOOLS.values():
        jsonschema_rs.meta.validate(function["parameters"])
        assert set(function["parameters"]["required"]) <= set(function["parameters"]["properties"])
        for node in objects(function["parameters"]):
            assert node["additionalProperties"] is False


def objects(node: Json) -> Iterator[dict[str, Json]]:
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield node
        for value in node.values():
            yield from objects(value)


@each_seed
def test_arguments_fit_their_schema(seed: dict[str, Json]) -> None:
    for played in replay(seed):
        jsonschema_rs.validate(TOOLS[played.tool]["parameters"], played.arguments)


@each_seed
def test_only_writes_that_apply_change_the_state(seed: dict[str, Json]) -> None:
    for played in replay(seed):
        writes = DOMAIN["tools"][played.tool]["kind"] == "write"
        assert played.changed == (writes and not played.failed), (played.tool, played.arguments)


@each_seed
def test_effects_have_no_idle_part(seed: dict[str, Json]) -> None:
    ledger = Ledger(overlay(STATE, seed.get("state")))
    for call in calls_of(seed["messages"]):
        for effect in seed["meta"]["effects"].get(call.id, []):
            assert ledger.apply([effect]), (call.id, effect)


@each_seed
def test_goals_hold_exactly_on_success(seed: dict[str, Json]) -> None:
    if "goal" not in seed:
        assert not seed["meta"]["effects"], "a seed that changes the state needs a goal"
        return
    start = overlay(STATE, seed.get("state"))
    assert not all(holds(start, c) for c in seed["goal"]), "the goal holds before anything is done"
    reached = all(holds(final_state(seed), condition) for condition in seed["goal"])
    assert reached == (seed["meta"]["outcome"] == "success")


@each_seed
def test_ids_and_numbers_were_seen_before(seed: dict[str, Json]) -> None:
    for played in replay(seed):
        for key in IDS:
            value = played.arguments.get(key, [])
            for name in value if isinstance(value, list) else [value]:
                assert re.search(rf"\b{re.escape(name)}\b", played.seen), (played.tool, name)
        known = {float(n) for n in re.findall(r"\d+(?:\.\d+)?", played.seen)}
        assert set(numbers(played.arguments)) <= known, (played.tool, played.arguments)


def numbers(value: Json) -> Iterator[float]:
    if isinstance(value, dict):
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


@each_seed
def test_json_observations_agree_with_the_state(seed: dict[str, Json]) -> None:
    for played in replay(seed):
        if played.tool not in JSON_TOOLS:
            assert played.text[0] != "{"
            continue
        seen = json.loads(played.text)
        if played.failed:
            assert list(seen) == ["error"]
            assert isinstance(seen["error"], str)
        else:
            assert seen == told(played)


def told(played: Played) -> Json:
    """What the tool has to answer, made from the state alone."""
    state, args = played.after, played.arguments
    if played.tool == "look_up":
        return state[args["kind"]][args["id"]]
    if played.tool == "set_protection":
        assert state["bench"] == args
        return state["bench"]
    if played.tool == "set_control":
        setting = state["instruments"][args["instrument_id"]][args["control"]]
        return {**args, "setting": setting}
    if played.tool == "measure":
        entry = list(state["notebook"])[-1]
        return {"entry": entry, **state["notebook"][entry]}
    if played.tool == "tell_technician":
        name = list(state["notes"])[-1]
        assert state["notes"][name] == args
        return {"note_id": name, "about": args["about"], "subject_id": args["subject_id"]}
    vessel = state["vessels"][args["vessel_id"]]
    told = {"vessel_id": args["vessel_id"], "added": vessel["contents"][-1]}
    told |= {"volume_ml": vessel["volume_ml"], "look": vessel["look"]}
    return told | {"source_left": left(state, args["source_id"])}


def left(state: Json, source: str) -> float:
    if source in state["reagents"]:
        return state["reagents"][source]["left"]
    return state["vessels"][source]["volume_ml"]


@each_seed
def test_text_observations_agree_with_the_state(seed: dict[str, Json]) -> None:
    for played in replay(seed):
        if played.tool not in JSON_TOOLS and not played.failed:
            assert played.text == spoken(played)


def spoken(played: Played) -> str:
    """The text a tool has to answer, made from the state alone."""
    state, args = played.after, played.arguments
    if played.tool == "list_items":
        return "\n".join(listed(key, item) for key, item in state[args["kind"]].items())
    if played.tool == "calibrate":
        return f"{args['instrument_id']} is calibrated with {args['standard']}."
    if played.tool == "spin":
        tubes = [t for t in args["vessel_ids"] if state["vessels"][t] != vessel_of(played, t)]
        looks = "".join(f" {t} now looks: {state['vessels'][t]['look']}." for t in tubes)
        names = ", ".join(args["vessel_ids"])
        return f"{names} were spun at {args['rpm']} rpm for {args['minutes']} min.{looks}"
    name = args["vessel_id"]
    vessel = state["vessels"][name]
    if played.tool == "let_cool":
        return f"{name} has cooled to {vessel['temp_c']} C."
    if played.tool == "heat_and_stir":
        program = args["program"]
        assert vessel["temp_c"] == program["target_c"]
        stirred = f"stirred at {program['stir_rpm']} rpm for {program['minutes']} min"
        return f"{name} was {stirred} and is at {vessel['temp_c']} C. It looks: {vessel['look']}."
    gone, box = vessel_of(played, name)["volume_ml"], state["waste"][args["container"]]
    assert (vessel["volume_ml"], vessel["contents"], vessel["look"]) == (0, [], "empty")
    held = f"which now holds {box['used_ml']} of {box['capacity_ml']} ml"
    return f"{gone} ml from {name} went into {args['container']}, {held}. {name} is empty."


def vessel_of(played: Played, name: str) -> Json:
    return played.before["vessels"][name]


def listed(key: str, item: Json) -> str:
    if "capacity_ml" in item:
        return f"{key} {item['kind']}, {item['volume_ml']} of {item['capacity_ml']} ml"
    amount = f"{item['left']} {item['unit']}" if "left" in item else item["status"]
    return f"{key} {item['name']}, {amount}"


@each_seed
def test_a_call_fails_exactly_when_the_laboratory_forbids_it(seed: dict[str, Json]) -> None:
    for played in replay(seed):
        forbidden = list(obstacles(played.before, played.tool, played.arguments))
        assert bool(forbidden) == played.failed, (played.tool, played.arguments, forbidden)
        for word in forbidden[:1]:
            assert word in played.text
            known = {*played.before["instruments"], *played.before["reagents"]}
            named = set(re.findall(r"\b[A-Z]+\d+\b", played.text))
            assert named, "an error names what is in the way"
            assert named <= known


def obstacles(state: Json, tool: str, args: dict[str, Json]) -> Iterator[str]:
    """A telling word for each reason why `tool` cannot be used now."""
    bench, hood = state["bench"], state["instruments"]["HOOD1"]
    names = args.get("vessel_ids") or [args.get("vessel_id"), args.get("source_id")]
    vessels = [state["vessels"][n] for n in names if n in state["vessels"]]
    hazards = {
        h for n in names if n for r in inside(state, n) for h in state["reagents"][r]["hazards"]
    }
    if tool in ("transfer", "heat_and_stir", "spin", "dispose"):
        if not bench["goggles"]:
            yield "goggles"
        if hazards and not bench["gloves"]:
            yield "gloves"
        if "volatile" in hazards and hood["power"] == "off":
            yield "HOOD1"
    if tool in ("transfer", "measure", "dispose") and any(v["temp_c"] > HOT_C for v in vessels):
        yield "hot"
    if tool == "transfer":
        source, amount = args["source_id"], args["amount"]["value"]
        if amount > left(state, source):
            yield f"only {left(state, source)}"
        if (
            args["amount"]["unit"] == "ml"
            and vessels[0]["volume_ml"] + amount > vessels[0]["capacity_ml"]
        ):
            yield "full"
    device = {"spin": "CEN1", "heat_and_stir": "HOT1"}.get(tool, args.get("instrument_id"))
    if device:
        yield from trouble(state["instruments"][device], tool, args)
    if tool == "dispose":
        box = state["waste"][args["container"]]
        if box["used_ml"] + vessels[0]["volume_ml"] > box["capacity_ml"]:
            yield "full"


def trouble(device: Json, tool: str, args: dict[str, Json]) -> Iterator[str]:
    if device["status"] != "ok":
        yield "out of order"
    if tool != "set_control" and device.get("lid") == "open":
        yield "lid"
    if tool == "heat_and_stir" and device["power"] == "off":
        yield "off"
    if tool == "calibrate" and args["standard"] != device["standard"]:
        yield "standard"
    if tool == "measure" and not device["calibrated"]:
        yield "not calibrated"
    if tool == "set_control" and args["control"] not in device:
        yield "has no"


def inside(state: Json, name: str) -> set[str]:
    """The reagents in a vessel, through the vessels it was filled from; a reagent is itself."""
    if name in state["reagents"]:
        return {name}
    parts = state["vessels"][name]["contents"]
    return {reagent for part in parts for reagent in inside(state, part["of"])}


@each_seed
def test_transfers_conserve_what_they_move(seed: dict[str, Json]) -> None:
    for played in replay(seed):
        if played.tool != "transfer" or played.failed:
            continue
        args, amount = played.arguments, played.arguments["amount"]
        source, vessel = args["source_id"], args["vessel_id"]
        moved = {"of": source, "amount": amount["value"], "unit": amount["unit"]}
        contents = vessel_of(played, vessel)["contents"]
        assert played.after["vessels"][vessel]["contents"] == [*contents, moved]
        taken = left(played.before, source) - left(played.after, source)
        assert taken == pytest.approx(amount["value"])
        risen = left(played.after, vessel) - left(played.before, vessel)
        assert risen == (amount["value"] if amount["unit"] == "ml" else 0)
        solid = played.before["reagents"].get(source, {}).get("form") == "solid"
        assert (amount["unit"] == "g") == solid


@each_seed
def test_entries_are_numbered_in_order(seed: dict[str, Json]) -> None:
    final = final_state(seed)
    for letters, collection in (("N", final["notebook"]), ("TN", final["notes"])):
        assert list(collection) == [f"{letters}{n + 1}" for n in range(len(collection))]


@each_seed
def test_readings_are_physical(seed: dict[str, Json]) -> None:
    for played in replay(seed):
        if played.tool != "measure" or played.failed:
            continue
        entry = json.loads(played.text)
        assert (entry["quantity"], entry["unit"]) == QUANTITY[entry["instrument_id"]]
        assert entry.get("wavelength_nm") == played.arguments.get("wavelength_nm")
        if entry["quantity"] == "mass":
            vessel = played.before["vessels"][entry["vessel_id"]]
            grams = sum(p["amount"] * G_PER_ML.get(p["of"], 1) for p in vessel["contents"])
            assert entry["value"] == pytest.approx(vessel["tare_g"] + grams, abs=0.01)


@each_seed
def test_nothing_that_must_be_kept_apart_meets(seed: dict[str, Json]) -> None:
    for vessel in final_state(seed)["vessels"]:
        held = inside(final_state(seed), vessel)
        for reagent in held:
            assert not held & set(STATE["reagents"][reagent]["keep_apart_from"])


def test_keep_apart_goes_both_ways() -> None:
    for name, reagent in STATE["reagents"].items():
        for other in reagent["keep_apart_from"]:
            assert name in STATE["reagents"][other]["keep_apart_from"], (name, other)


def test_waste_goes_where_the_policy_says() -> None:
    right = {"R103": "heavy_metal", "R104": "acid_base", "R106": "acid_base", "R110": "organic"}
    thrown = 0
    for seed in SEEDS.values():
        for played in replay(seed):
            if played.tool == "dispose":
                held = inside(played.before, played.arguments["vessel_id"])
                boxes = {right[r] for r in held if r in right}
                assert boxes == {played.arguments["container"]}
                thrown += 1
    assert thrown == 4
