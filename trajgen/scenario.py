"""The beginning of a task: what the user wants, and how the world stands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from trajgen import script
from trajgen.cast import Question, speech
from trajgen.goals import CONDITIONS, holds, is_condition
from trajgen.ids import stream
from trajgen.json_text import canonical
from trajgen.ledger import Ledger
from trajgen.pointers import MISSING, EffectError, excerpt, join, lookup, split
from trajgen.records import Json, Message, Reason, Seed, Task, calls_of
from trajgen.schemas import scenario
from trajgen.shapes import Shape, bad_effects, misfits
from trajgen.stage import Stage
from trajgen.views import about
from trajgen.worlds import Scene
from trajgen.worlds.shown import folded

CHANGES_STATE = ("entity_swap", "variant_outcome", "new_scenario")
STATE_CHARS = 4000
SIBLINGS = 2
INSTRUCTION_TOKENS = 240  # an instruction is longer than one turn of the user


@dataclass(frozen=True, slots=True)
class Opening:
    """How a task begins: the user's instruction and, where the scenario states one, the goal
    as conditions on the final state; or the problems left after the last attempt."""

    instruction: str = ""
    goal: tuple[dict[str, Json], ...] = ()
    problems: tuple[Reason, ...] = ()


async def set_scene(stage: Stage, task: Task, ledger: Ledger) -> Opening:
    """The task's opening.

    Where the strategy changes the wish, the scenario may change the initial state by effects
    that fit (`ledger` then starts there) and state a goal that does not hold yet.
    """
    seed = stage.seeds[task.seed_id]
    question = _question(stage, task, seed, ledger)

    def check(answer: dict[str, Json]) -> list[Reason]:
        effects = answer.get("effects", [])
        problems = _problems(stage, task, answer, ledger)
        if problems or not effects:
            return problems
        return bad_effects(stage.shapes.of(task.domain), ledger.state, effects, None)

    given = await stage.cast.ask(task, question, check)
    if given.answer is None or given.problems:
        return Opening(problems=given.problems)
    ledger.apply(given.answer.get("effects", []))
    return Opening(given.answer["instruction"], tuple(given.answer.get("goal", ())))


def shown_state(stage: Stage, task: Task, seed: Seed, ledger: Ledger) -> Json:
    """What the seed's calls name of the state and, for other entities to choose from, some
    neighbours of each, drawn for this task."""
    paths: dict[str, None] = {}
    for call in calls_of(seed.messages):
        paths.update(dict.fromkeys(ledger.relevant(call.arguments)))
    draw = stream("neighbours", task.id)
    for path in list(paths):
        parent = path.rpartition("/")[0]
        keys = sorted(lookup(ledger.state, parent))
        drawn = draw.sample(keys, min(SIBLINGS, len(keys)))
        paths.update(dict.fromkeys(join(parent, key) for key in drawn))
    kept = _within_room(ledger.state, list(paths))
    shown = excerpt(ledger.state, kept)
    return folded(shown, kept) if stage.pipeline.world.state == "outline" else shown


def _within_room(state: Json, paths: list[str]) -> list[str]:
    """Those of `paths`, in their order, that STATE_CHARS have room for."""
    if len(canonical(excerpt(state, paths))) <= STATE_CHARS:
        return paths
    kept: list[str] = []
    for path in paths:
        if len(canonical(excerpt(state, [*kept, path]))) <= STATE_CHARS:
            kept.append(path)
    return kept


def prompt(stage: Stage, task: Task, ledger: Ledger) -> tuple[Message, ...]:
    """What is asked for the opening of `task`, whose seed begins in the state of `ledger`."""
    seed, sees_state = stage.seeds[task.seed_id], _sees_state(task, ledger)
    domain, partner = stage.domains[task.domain], stage.seeds.get(task.partner)
    head = {"domain": about(domain)}
    body = {
        "strategy": task.strategy,
        "example": script.told(seed.messages),
        "partner": script.told(partner.messages) if partner else [],
        "state": shown_state(stage, task, seed, ledger) if sees_state else None,
        "may_change_state": sees_state and stage.world.takes_state,
        "may_state_goal": sees_state,
    }
    return (
        speech("system", stage.cast.prompts.render("scenario.system", head)),
        speech("user", stage.cast.prompts.render("scenario.user", body)),
    )


@lru_cache
def _schema(may_change_state: bool, may_state_goal: bool, guide: bool) -> dict[str, Json]:
    """One schema for all tasks of a kind, so that its validator is found at once."""
    return scenario(may_change_state, may_state_goal, guide)


def _sees_state(task: Task, ledger: Ledger) -> bool:
    return bool(ledger.state) and task.strategy in CHANGES_STATE


def _question(stage: Stage, task: Task, seed: Seed, ledger: Ledger) -> Question:
    sees_state, partner = _sees_state(task, ledger), stage.seeds.get(task.partner)
    may_change = sees_state and stage.world.takes_state
    return Question(
        role="scenario",
        key="0",
        max_tokens=max(INSTRUCTION_TOKENS, stage.cast.role("scenario").max_tokens),
        messages=prompt(stage, task, ledger),
        guide=_schema(may_change, sees_state, guide=True),
        schema=_schema(may_change, sees_state, guide=False),
        context={
            "task": task,
            "seed": {"messages": list(seed.messages), "meta": dict(seed.meta)},
            "partner": {"messages": list(partner.messages)} if partner else None,
        },
    )


def _problems(stage: Stage, task: Task, answer: dict[str, Json], ledger: Ledger) -> list[Reason]:
    if not answer["instruction"].strip():
        return [Reason("bad_answer", None, "scenario: the instruction is empty")]
    prepared = ledger.fork()
    scene = Scene(stage.domains[task.domain], stage.seeds[task.seed_id], task, prepared)
    try:
        if prepared.apply(answer.get("effects", [])):
            stage.world.begin(scene).close()  # a real environment may not hold such a state
    except EffectError as error:
        return [Reason("bad_effect", None, f"scenario: {error}")]
    shape = stage.shapes.of(task.domain)
    problem = _goal_problem(answer.get("goal", []), prepared.state, shape)
    return [Reason("bad_answer", None, f"scenario: goal: {problem}")] if problem else []


def _goal_problem(goal: list[Json], state: Json, shape: Shape) -> str:
    """What keeps `goal` from being one that can still be reached from `state`, or "". A value
    that no effect may give to its field cannot be reached."""
    for condition in goal:
        if not is_condition(condition):
            known = ", ".join(CONDITIONS)
            return f"a condition is a JSON pointer and one of {known}; found {canonical(condition)}"
        if not _points_somewhere(state, condition["path"]):
            return f"{condition['path'] or '/'} points nowhere in the state"
    if goal and all(holds(state, condition) for condition in goal):
        return "holds already, so that there is nothing to do"
    wanted = ({"op": "set", "path": c["path"], "value": c["equals"]} for c in goal if "equals" in c)
    return next(misfits(shape, state, wanted), "")


def _points_somewhere(state: Json, path: str) -> bool:
    """Whether `path` is a field, or may become one: of what is there, or of an entity that is
    elsewhere in the state and may be moved there."""
    parent = path.rpartition("/")[0]
    if not path or lookup(state, parent) is not MISSING:
        return bool(path)
    collection, name = parent.rpartition("/")[0], split(parent)[-1]
    return lookup(state, collection) is not MISSING and bool(Ledger(state, 0).relevant([name]))
