"""The beginning of a task: what the user wants, and how the world stands."""

from __future__ import annotations

from trajgen import script
from trajgen.cast import Question, speech
from trajgen.ids import canonical, stream
from trajgen.ledger import Ledger
from trajgen.pointers import EffectError, excerpt, join, lookup
from trajgen.records import Json, Reason, Seed, Task, calls_of
from trajgen.schemas import scenario
from trajgen.stage import Stage
from trajgen.worlds import Scene

CHANGES_STATE = ("entity_swap", "variant_outcome", "new_scenario")
STATE_CHARS = 4000
SIBLINGS = 2
INSTRUCTION_TOKENS = 240  # an instruction is longer than one turn of the user


async def set_scene(stage: Stage, task: Task, ledger: Ledger) -> tuple[str, list[Reason]]:
    """The user's instruction, or the problems that were left after the last attempt.

    The scenario may change the initial state by effects that fit; `ledger` then starts there.
    """
    seed = stage.seeds[task.seed_id]
    prepares = stage.world.takes_state and task.strategy in CHANGES_STATE
    may_change = bool(ledger.state) and prepares
    question = _question(stage, task, seed, ledger, may_change)

    def check(answer: dict[str, Json]) -> list[Reason]:
        return _problems(stage, task, answer, ledger)

    given = await stage.cast.ask(task, question, check)
    if given.answer is None or given.problems:
        return "", list(given.problems)
    ledger.apply(given.answer.get("effects", []))
    return given.answer["instruction"], []


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
    kept: list[str] = []
    for path in paths:
        if len(canonical(excerpt(ledger.state, [*kept, path]))) <= STATE_CHARS:
            kept.append(path)
    return excerpt(ledger.state, kept)


def _question(stage: Stage, task: Task, seed: Seed, ledger: Ledger, may_change: bool) -> Question:
    domain, partner = stage.domains[task.domain], stage.seeds.get(task.partner)
    about = {"name": domain.name, "description": domain.description}
    head = {"domain": about}
    body = {
        "strategy": task.strategy,
        "example": script.lines(seed.messages),
        "partner": script.lines(partner.messages) if partner else [],
        "state": shown_state(stage, task, seed, ledger) if may_change else None,
        "may_change_state": may_change,
    }
    return Question(
        role="scenario",
        key="0",
        max_tokens=max(INSTRUCTION_TOKENS, stage.cast.role("scenario").max_tokens),
        messages=(
            speech("system", stage.cast.prompts.render("scenario.system", head)),
            speech("user", stage.cast.prompts.render("scenario.user", body)),
        ),
        guide=scenario(may_change, guide=True),
        schema=scenario(may_change, guide=False),
        context={
            "task": task,
            "seed": {"messages": list(seed.messages), "meta": dict(seed.meta)},
            "partner": {"messages": list(partner.messages)} if partner else None,
        },
    )


def _problems(stage: Stage, task: Task, answer: dict[str, Json], ledger: Ledger) -> list[Reason]:
    if not answer["instruction"].strip():
        return [Reason("bad_answer", None, "scenario: the instruction is empty")]
    begins = ledger.fork()
    scene = Scene(stage.domains[task.domain], stage.seeds[task.seed_id], task, begins)
    try:
        if begins.apply(answer.get("effects", [])):
            stage.world.begin(scene).close()  # a real environment may not hold such a state
    except EffectError as error:
        return [Reason("bad_effect", None, f"scenario: {error}")]
    return []
