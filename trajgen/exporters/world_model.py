"""The world's own lessons: each step as the question that a world model is asked, and the
answer that stood, or that did not.

Prompts are those of a rollout with the run's own `world` settings and prompts, made where
`trajgen train` makes them (train/lessons.py). `label` says whether the answer was right as far
as code could tell: true for steps that stood, false for the one that a rejected trajectory
broke at. What came after that one is left out, as are planned faults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from trajgen.cast import speech
from trajgen.config import Pipeline
from trajgen.engines import make_engine
from trajgen.errors import InputError
from trajgen.exporters import Exporter, Source, Unfit, View
from trajgen.exporters.columns import JSON_LIST, texts
from trajgen.exporters.trl import training_script
from trajgen.loading import find
from trajgen.origin import run_seeds
from trajgen.pointers import EffectError
from trajgen.prompts import Prompts
from trajgen.records import Json, Trajectory
from trajgen.run_record import existing_run
from trajgen.stage import make_stage
from trajgen.train.lessons import lessons
from trajgen.transitions import WRONG
from trajgen.worlds.llm import LlmWorld


class WorldModel(Exporter):
    """`prompt` (system: domain and policy; user: state and call), `completion` (assistant:
    precondition, effects, observation) and `label`; a row a step."""

    reads = ("messages", "tools", "steps", "state_initial", "state_final")
    rejected = True
    schema = pa.schema(
        {
            "prompt": JSON_LIST,
            "completion": JSON_LIST,
            "label": pa.bool_(),
            "tool": pa.string(),
            "applies": pa.bool_(),
            "source": pa.string(),
            "id": pa.string(),
            "call_id": pa.string(),
        }
    )
    without_rows = "no step of this run was answered by its world"

    def __init__(self, source: Source) -> None:
        seeds = run_seeds(source.run.path)
        pipeline = _asking(existing_run(source.run.path)["pipeline"])
        prompts = Prompts(find(pipeline.prompts) if pipeline.prompts else None)
        engines = {name: make_engine(config) for name, config in pipeline.engines.items()}
        world = make_stage(pipeline, seeds, prompts, engines, "exported").world
        if not isinstance(world, LlmWorld):
            raise InputError(f"world.kind is {pipeline.world.kind}", str(source.run.path))
        self._world, self._domains, self._run = world, seeds.domains, source.run.path

    def rows(self, trajectory: Trajectory) -> Iterator[dict[str, Json]]:
        if trajectory.domain not in self._domains:
            raise InputError(
                f"its seeds have no domain {trajectory.domain!r} any more", str(self._run)
            )
        domain, wrong_at = self._domains[trajectory.domain], _wrong_at(trajectory)
        try:
            for lesson in lessons(self._world, domain, trajectory, refused=True):
                step = lesson.step.step
                codes = {verdict.code for verdict in step.verdicts}
                if codes and not codes <= WRONG:
                    return  # what could not be read is no answer
                wrong = bool(codes) or step.call_id in wrong_at
                yield {
                    "prompt": texts(lesson.prompt),
                    "completion": texts([speech("assistant", lesson.said)]),
                    "label": not wrong,
                    "tool": step.tool,
                    "applies": step.applies,
                    "source": step.source,
                    "id": trajectory.id,
                    "call_id": step.call_id,
                }
                if wrong:
                    return
        except EffectError as error:
            raise Unfit(f"its effects do not fit the state of its domain ({error})") from error

    def files(self, view: View) -> Mapping[str, str]:
        script = training_script(view, "completion_only_loss", "Qwen/Qwen2.5-0.5B-Instruct")
        right = (
            'rows = rows.filter(lambda row: row["label"])  # with KTO, keep the wrong ones too\n'
        )
        return {"train.py": script.replace("SFTTrainer(\n", f"{right}SFTTrainer(\n", 1)}


def _asking(run: Mapping[str, Json]) -> Pipeline:
    """A pipeline that asks a world model as the run did or, where its world is no model, as
    one is asked by default. Its engine is never asked."""
    world = run.get("world", {})
    return Pipeline.model_validate(
        {
            "name": "exported",
            "seeds": run["seeds"],
            "target": 1,
            "engines": {"none": {"kind": "scripted"}},
            "roles": dict.fromkeys(("user", "agent", "world"), "none"),
            "world": world if world.get("kind") == "llm" else {},
            "prompts": run.get("prompts"),
        }
    )


def _wrong_at(trajectory: Trajectory) -> set[str]:
    """The calls that filters found a wrong answer to, by id."""
    found = (trajectory.scores or {}).get("reasons", ())
    broken = {reason["at"] for reason in found if reason["code"] in WRONG}
    ids = set()
    for at, message in enumerate(trajectory.messages):
        if at in broken and message["role"] == "tool":
            ids.add(message["tool_call_id"])
        elif at in broken:
            ids |= {call["id"] for call in message.get("tool_calls", ())}
    return ids
