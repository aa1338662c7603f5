"""What was played -> a judged trajectory: outcome, token counts, lineage, reasons."""

from __future__ import annotations

from dataclasses import dataclass, replace

from trajgen import filters
from trajgen.filters.corpus import copy_of_seed
from trajgen.goals import holds
from trajgen.ledger import Ledger
from trajgen.records import Json, Message, Reason, Seed, Step, Task, Trajectory, calls_of
from trajgen.stage import Stage

FOLLOWS = ("no_final_answer", "unanswered_call", "bad_effect")  # from an end before its time


@dataclass(frozen=True, slots=True)
class End:
    """How a rollout ended: done, turns, tool_calls, tokens, truncated, violation or
    bad_answer; the `cause` of all but the first."""

    how: str = "done"
    cause: Reason | None = None

    def json(self) -> dict[str, Json]:
        """As `scores` holds it."""
        return {"ended": self.how} | ({"cause": self.cause.json()} if self.cause else {})


def assemble(
    stage: Stage,
    task: Task,
    messages: list[Message],
    steps: list[Step],
    ledger: Ledger,
    verdict: str,
    end: End,
    reached: bool | None = None,
    goal: tuple[dict[str, Json], ...] = (),
) -> Trajectory:
    """The trajectory of a rollout that ended, with every reason against keeping it.

    `verdict` is the outcome as the user saw it; `reached` whether a world that can tell says
    that the goal of the seed's task holds; `goal` what the scenario says the task's goal is.
    """
    if task.strategy == "rephrase":  # the seed's goal still is the task's
        goal = stage.seeds[task.seed_id].goal
    else:
        reached = None
    ledger.touch(condition["path"] for condition in goal)
    domain, cast = stage.domains[task.domain], stage.cast
    sizes = cast.engine("agent").count_tokens(tuple(messages), domain.tools) if messages else []
    target = [n for n, m in zip(sizes, messages, strict=True) if m["role"] == "assistant"]
    trajectory = Trajectory(
        id=task.id,
        domain=domain.name,
        messages=tuple(messages),
        tools=domain.tools,
        steps=tuple(steps),
        seed_id=task.seed_id,
        strategy=task.strategy,
        persona=task.persona,
        fault=task.fault,
        state_initial=ledger.touched_initial(),
        state_final=ledger.touched_final(),
        outcome=_outcome(goal, ledger, verdict, end.how, reached),
        scores={**end.json(), **_agreement(steps), **({"goal": list(goal)} if goal else {})},
        n_turns=sum(m["role"] == "user" for m in messages),
        n_tool_calls=len(steps),
        n_tokens=sum(sizes),
        n_target_tokens=sum(target),
        agent_model=cast.engine("agent").model,
        user_model=cast.engine("user").model,
        world_model=stage.world.name,
        run_id=stage.run_id,
        prompt_digest=cast.prompts.digest,
        seed_license=domain.license,
    )
    return judged(trajectory, _reasons(stage, trajectory, end))


def _agreement(steps: list[Step]) -> dict[str, Json]:
    """The lowest and the mean agreement of the steps where it was measured."""
    shares = [step.agreement for step in steps if step.agreement is not None]
    if not shares:
        return {}
    mean = round(sum(shares) / len(shares), 4)
    return {"agreement": {"min": round(min(shares), 4), "mean": mean}}


def judged(trajectory: Trajectory, reasons: list[Reason]) -> Trajectory:
    """`trajectory` with its reasons: the codes as a column, place and detail in `scores`."""
    if not reasons:
        return trajectory
    codes = tuple(dict.fromkeys(reason.code for reason in reasons))
    details = [reason.json() for reason in reasons]
    return replace(trajectory, reasons=codes, scores={**trajectory.scores, "reasons": details})


def _reasons(stage: Stage, trajectory: Trajectory, end: End) -> list[Reason]:
    domain, seed = stage.domains[trajectory.domain], stage.seeds[trajectory.seed_id]
    reasons = filters.check(trajectory, domain, stage.pipeline.filters)
    if end.cause:
        reasons = _broken_off(reasons, end.cause)
    if end.how == "done" and trajectory.n_tokens > (most := stage.pipeline.limits.tokens):
        reasons.append(Reason("too_long", None, f"{trajectory.n_tokens} tokens of {most}"))
    if copy := copy_of_seed(trajectory, seed):
        reasons.append(copy)
    if end.how == "done" and _nothing_done(trajectory, seed):
        what = f"ends in {trajectory.outcome} without a call, where its seed made some"
        reasons.append(Reason("goal_not_reached", None, what))
    reasons += stage.benchmarks.check(trajectory, domain)
    if not reasons and trajectory.outcome not in stage.pipeline.keep:
        kept = ", ".join(stage.pipeline.keep)
        reasons.append(Reason("unwanted_outcome", None, f"{trajectory.outcome}; kept: {kept}"))
    return reasons


def _nothing_done(trajectory: Trajectory, seed: Seed) -> bool:
    """Whether a wish was fulfilled, or given up, by words alone: every strategy asks for wishes
    that tools serve, so where the seed made calls only a refusal needs none."""
    words_alone = trajectory.outcome != "refusal" and not trajectory.n_tool_calls
    return words_alone and any(calls_of(seed.messages))


def _broken_off(reasons: list[Reason], cause: Reason) -> list[Reason]:
    """The cause of the end first, whatever filters there are, and none of what only follows."""
    own = [r for r in reasons if r.code == cause.code or r.code not in FOLLOWS]
    return list(dict.fromkeys([cause, *own]))


def _outcome(
    goal: tuple[dict[str, Json], ...], ledger: Ledger, verdict: str, how: str, reached: bool | None
) -> str:
    """By code where the task's goal is known; else what the user concluded.

    Where the goal holds because nothing was to change, the user tells a refusal from a success.
    """
    if how != "done":
        return "failure"
    if not goal and reached is None:
        return verdict
    if reached is None:
        reached = all(holds(ledger.state, condition) for condition in goal)
    if reached:
        untouched = ledger.state is ledger.initial
        return "refusal" if untouched and verdict == "refusal" else "success"
    return "refusal" if verdict == "refusal" else "failure"
