"""A small real world in code, as good as it gets and broken in several ways, with its seeds.

`Bazaar` answers from the ledger; `Stall` keeps a state of its own that every step moves, as
real environments do.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.playing import tool
from trajgen.importers import Imported, write_domain
from trajgen.ledger import Ledger
from trajgen.pointers import EffectError
from trajgen.records import Call, Domain, Json, Message, Seed
from trajgen.worlds import Answer, Scene

TEXT = {"type": "string"}
STREET = {"street": TEXT, "city": TEXT, "zip": TEXT}


def order(owner: str, status: str, total: int, street: str = "Elm 1") -> dict[str, Json]:
    address = {"street": street, "city": "Ulm", "zip": "89073"}
    return {"owner": owner, "status": status, "total": total, "note": "-", "address": address}


STATE: dict[str, Any] = {
    "users": {"ana_11": {"balance": 5}, "bob_22": {"balance": 0}, "cem_33": {"balance": 9}},
    "orders": {
        "R1001": order("ana_11", "pending", 20),
        "R1002": order("ana_11", "shipped", 35),
        "R1003": order("bob_22", "pending", 50),
        "R1004": order("bob_22", "shipped", 12),
        "R1005": order("cem_33", "pending", 70),
    },
    "invoices": {},
}
DOMAIN = Domain(
    name="bazaar",
    policy="Change pending orders of the user only.",
    tools=(
        tool("get_order", order_id=TEXT),
        tool("set_note", order_id=TEXT, note=TEXT),
        tool("cancel_order", user_id=TEXT, order_id=TEXT),
        tool("move_order", user_id=TEXT, order_id=TEXT, **STREET),
        tool("write_invoice", order_id=TEXT),
    ),
    description="A market.",
    license="Apache-2.0",
    kinds={
        "get_order": "read",
        **dict.fromkeys(("set_note", "cancel_order", "move_order", "write_invoice"), "write"),
    },
    state=STATE,
)


def said(data: Json) -> str:
    return json.dumps(data)


def refused(why: str) -> Answer:
    return Answer(False, why, (), said({"error": why}), "real")


def effect(op: str, path: str, value: Json) -> dict[str, Json]:
    return {"op": op, "path": path, "value": value}


def answer(ledger: Ledger, call: Call) -> Answer:
    """What the market answers to `call` in the state of `ledger`."""
    given, path = call.arguments, f"/orders/{call.arguments['order_id']}"
    found = ledger.state["orders"].get(given["order_id"])
    if found is None:
        return refused("there is no such order")
    if given.get("user_id", found["owner"]) != found["owner"]:
        return refused("that is somebody else's order")
    if call.tool in ("cancel_order", "move_order") and found["status"] != "pending":
        return refused(f"the order is {found['status']}")
    if call.tool == "write_invoice" and given["order_id"] in ledger.state["invoices"]:
        return refused("that order has its invoice")
    effects = tuple(_effects(call, path, found))
    after = ledger.fork()
    after.apply(effects)
    return Answer(True, "it can be done", effects, said(after.get(path)), "real")


def _effects(call: Call, path: str, found: dict[str, Json]) -> list[dict[str, Json]]:
    given = call.arguments
    if call.tool == "set_note":
        return [effect("set", f"{path}/note", given["note"])]
    if call.tool == "cancel_order":
        refund = effect("increment", f"/users/{found['owner']}/balance", found["total"])
        return [effect("set", f"{path}/status", "cancelled"), refund]
    if call.tool == "move_order":
        return [effect("set", f"{path}/address/{key}", given[key]) for key in STREET]
    if call.tool == "write_invoice":
        invoice = {"total": found["total"], "owner": found["owner"], **found["address"]}
        return [effect("add", f"/invoices/{given['order_id']}", invoice)]
    return []


class Bazaar:
    """The real one."""

    name = "bazaar"
    takes_state = True

    def __init__(self, config: Any) -> None:
        self.config = config

    def begin(self, scene: Scene) -> Market:
        return Market(self, scene.ledger)

    def bend(self, call: Call, ledger: Ledger, real: Answer) -> Answer:
        """What this world makes of the real answer."""
        return real


class Market:
    def __init__(self, world: Bazaar, ledger: Ledger) -> None:
        self.world, self.ledger = world, ledger

    async def step(self, call: Call) -> Answer:
        return self.world.bend(call, self.ledger, answer(self.ledger, call))

    def observe(self, call: Call, answer: Answer) -> None: ...

    def reached(self) -> bool | None:
        return None

    def close(self) -> None: ...


class Stall(Bazaar):
    """The same with a state of its own, which no ledger can set."""

    takes_state = False
    begun = open_now = 0

    def begin(self, scene: Scene) -> Counter:
        Stall.begun += 1
        Stall.open_now += 1
        return Counter(self, Ledger(STATE))


class Counter(Market):
    async def step(self, call: Call) -> Answer:
        found = await super().step(call)
        self.ledger.apply(found.effects)
        return found

    def reached(self) -> bool | None:
        return bool(self.ledger.state["orders"]["R1001"]["status"] == "cancelled")

    def close(self) -> None:
        Stall.open_now -= 1


class Obliging(Bazaar):
    """Lets everything work."""

    def bend(self, call: Call, ledger: Ledger, real: Answer) -> Answer:
        return real if real.applies else replace(real, applies=True, observation='{"ok": true}')


class Refusing(Bazaar):
    def bend(self, call: Call, ledger: Ledger, real: Answer) -> Answer:
        return refused("not today")


class Forgetful(Bazaar):
    """Says that it wrote, and did not."""

    def bend(self, call: Call, ledger: Ledger, real: Answer) -> Answer:
        return replace(real, effects=())


class Meddling(Bazaar):
    """Writes one field too many."""

    def bend(self, call: Call, ledger: Ledger, real: Answer) -> Answer:
        more = effect("increment", "/users/cem_33/balance", 1)
        return replace(real, effects=(*real.effects, more)) if real.effects else real


class Confused(Bazaar):
    """Tells of another order than it was asked for."""

    def bend(self, call: Call, ledger: Ledger, real: Answer) -> Answer:
        other = "R1005" if call.arguments["order_id"] == "R1004" else "R1004"
        return replace(real, observation=said(STATE["orders"][other]))


class Picky(Bazaar):
    """Can be in no state at all."""

    def begin(self, scene: Scene) -> Market:
        raise EffectError("/users", "there are too many")


# Its seeds: what a user says, and the calls that follow.

ADDRESS = {"street": "Oak 7", "city": "Bonn", "zip": "53111"}
ANA, BOB = {"user_id": "ana_11", "order_id": "R1001"}, {"user_id": "bob_22", "order_id": "R1003"}
PLAYS: dict[str, tuple[str, list[tuple[str, dict[str, Json]]]]] = {
    "move and cancel": (
        "I am ana_11. Look at R1001, note 'gift', move it to Oak 7, Bonn 53111. Then cancel it.",
        [
            ("get_order", {"order_id": "R1001"}),
            ("set_note", {"order_id": "R1001", "note": "gift"}),
            ("move_order", {**ANA, **ADDRESS}),
            ("cancel_order", ANA),
        ],
    ),
    "invoice": (
        "This is bob_22. I want an invoice for R1003.",
        [("get_order", {"order_id": "R1003"}), ("write_invoice", {"order_id": "R1003"})],
    ),
    "too late": (
        "bob_22 here. Please cancel R1004.",
        [("cancel_order", {**BOB, "order_id": "R1004"})],
    ),
}
GOALS = {
    "move and cancel": ({"path": "/orders/R1001/status", "equals": "cancelled"},),
    "invoice": ({"path": "/invoices/R1003/total", "equals": 50},),
}


def seed(name: str) -> Seed:
    """The seed of a play, with what the market really answers."""
    says, plays = PLAYS[name]
    ledger, effects = Ledger(STATE), {}
    messages: list[Message] = [{"role": "user", "content": says}]
    for n, (name_, arguments) in enumerate(plays, 1):
        function = {"name": name_, "arguments": arguments}
        made = {"id": f"call_{n}", "type": "function", "function": function}
        real = answer(ledger, Call(f"call_{n}", name_, arguments, 0))
        ledger.apply(real.effects)
        if real.effects:
            effects[f"call_{n}"] = list(real.effects)
        messages.append({"role": "assistant", "content": "", "tool_calls": [made]})
        result = {"role": "tool", "tool_call_id": f"call_{n}", "content": real.observation}
        messages.append(result)
    messages.append({"role": "assistant", "content": "That is how it stands now."})
    outcome = "success" if name in GOALS else "refusal"
    return Seed(
        id=f"seed-{name.replace(' ', '-')}",
        domain="bazaar",
        messages=tuple(messages),
        goal=GOALS.get(name, ()),
        meta={"outcome": outcome, "effects": effects},
    )


SEEDS = tuple(seed(name) for name in PLAYS)


def write_bazaar(folder: Path) -> Path:
    """The domain as a folder."""
    write_domain(Imported(DOMAIN, SEEDS), folder)
    return folder
