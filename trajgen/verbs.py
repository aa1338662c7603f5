"""What each command does: one call of one function, and its result on stdout.

Imports stand inside the verbs, so that `trajgen --help` is there at once.
"""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from trajgen.errors import CheckFailed, InputError
from trajgen.loading import file_to_be, user_path
from trajgen.output import chatter_on_stderr, conversations, result, say

Arguments = argparse.Namespace
EXPORT_PROCESSES = 8  # at most; each holds a part of the run and, maybe, a tokenizer


def run(arguments: Arguments) -> None:
    from trajgen.pipeline import run
    from trajgen.review.summary import summary

    with chatter_on_stderr():
        done = run(arguments.pipeline, arguments.out, arguments.limit, arguments.set)
    result(summary(done))


def preview(arguments: Arguments) -> None:
    from trajgen.preview import preview

    _refuse_none(arguments.n)
    with chatter_on_stderr():
        found = preview(arguments.pipeline, arguments.n, arguments.set, say)
    conversations(found)


def plan(arguments: Arguments) -> None:
    from trajgen.pipeline import load
    from trajgen.plan import counts, plan

    loaded = load(arguments.pipeline, arguments.set, arguments.limit)
    seeds, pipeline = loaded.seeds.seeds, loaded.pipeline

    def tasks(n: int) -> Any:
        return plan(seeds, pipeline.variations, n, pipeline.seed)

    counted = counts(tasks(pipeline.max_tasks), len(seeds))
    if arguments.json:
        return result(json.dumps(counted))
    for key, value in counted.items():
        result(f"{key}: {_listed(value)}")
    if loaded.seeds.quarantined:
        result(f"quarantined seed lines: {len(loaded.seeds.quarantined)}")
    names = {seed.id: seed.meta.get("name") or seed.id for seed in seeds}
    for task in tasks(min(5, pipeline.max_tasks)):
        result(f"  {task.id}  {names[task.seed_id]}  {task.strategy}  {task.persona}  {task.fault}")
    return None


def fidelity(arguments: Arguments) -> None:
    from trajgen.fidelity.answers import write_answers
    from trajgen.fidelity.command import fidelity
    from trajgen.fidelity.plot import save_plot
    from trajgen.fidelity.table import table

    if arguments.n is not None:
        _refuse_none(arguments.n)
    answers, plot = (file_to_be(name) for name in (arguments.answers, arguments.plot))
    with chatter_on_stderr():
        wanted = (arguments.world, arguments.n, not arguments.no_replay)
        found = fidelity(arguments.pipeline, *wanted, arguments.set, say)
    result(json.dumps(found.figures) if arguments.json else table(found.figures))
    if answers:
        write_answers(answers, found.answers)
    if plot:
        save_plot(found.figures, plot)
    found.check()


def explore(arguments: Arguments) -> None:
    from trajgen.explore.command import explore
    from trajgen.explore.table import table

    _refuse_none(arguments.n)
    with chatter_on_stderr():
        found = explore(
            arguments.domain, arguments.world, arguments.out, arguments.n, arguments.seed, say
        )
    result(json.dumps(found) if arguments.json else table(found))


def train(arguments: Arguments) -> None:
    from trajgen.train.command import train

    with chatter_on_stderr():
        target = train(arguments.recipe, arguments.out, arguments.set, say)
    result(str(target))


def seeds_check(arguments: Arguments) -> None:
    from trajgen.seeds import check_source

    seeds, quarantined = check_source(arguments.path)
    if arguments.json:
        result(json.dumps({"seeds": seeds, "quarantined": quarantined}))
    else:
        for entry in quarantined:
            result(f"{entry['file']}:{entry['line']}: {entry['reason']}")
        result(f"{seeds} seeds, {len(quarantined)} quarantined")
    if quarantined or not seeds:
        what = (
            f"lines that are no seeds: {len(quarantined)}"
            if quarantined
            else "there is no seed here"
        )
        advice = "Mend or remove them; a run sets them aside and goes on with the others."
        raise InputError(
            what, arguments.path, advice if seeds else "See README, 'Your own domain'."
        )


def seeds_import(arguments: Arguments) -> None:
    from trajgen.importers.command import import_to

    out, domain = user_path(arguments.out), _domain(arguments)
    seeds, refused = import_to(arguments.source, out, domain, say)
    result(f"{seeds} seeds in {out}, {refused} refused")


def status(arguments: Arguments) -> None:
    from trajgen.objects import place_of
    from trajgen.review.summary import now
    from trajgen.status import status

    folder = place_of(arguments.run)
    result(json.dumps(status(folder)) if arguments.json else now(folder))


def verify(arguments: Arguments) -> None:
    from trajgen.objects import place_of
    from trajgen.verify import verify

    problems = verify(place_of(arguments.run))
    if arguments.json:
        result(json.dumps({"ok": not problems, "problems": problems}))
    else:
        for problem in problems:
            result(f"{problem['file']}: {problem['what']}")
        result("every file is sound" if not problems else f"{len(problems)} problems")
    if problems:
        raise CheckFailed(
            f"{len(problems)} files are not what was committed",
            arguments.run,
            "Run the pipeline again: damaged shards are set aside and made anew.",
        )


def show(arguments: Arguments) -> None:
    from trajgen.review.run import Run

    _refuse_none(arguments.n)
    run = Run.open(arguments.run)
    if arguments.id is not None:
        return conversations([run.find(arguments.id)])
    found = run.sample(arguments.n, rejected=arguments.rejected, reason=arguments.reason)
    if not found:
        fate = "rejected" if arguments.rejected or arguments.reason else "kept"
        why = f" for {arguments.reason}" if arguments.reason else ""
        say(f"trajgen: no row was {fate}{why} yet; `trajgen status {arguments.run}` counts them")
    return conversations(found)


def report(arguments: Arguments) -> None:
    from trajgen.review.report import write_report
    from trajgen.review.run import Run

    run = Run.open(arguments.run)
    out = write_report(run, user_path(arguments.out) if arguments.out else None)
    result(str(out))


def export(arguments: Arguments) -> None:
    from trajgen.export.command import export

    if arguments.n is not None:
        _refuse_none(arguments.n)
    done = export(
        arguments.run,
        arguments.format,
        arguments.out,
        arguments.n,
        arguments.where,
        arguments.split,
        arguments.template,
        min(os.cpu_count() or 1, EXPORT_PROCESSES),
        say,
    )
    if done.refused:
        say(f"{done.refused} trajectories do not fit {arguments.format}: see refused.jsonl")
    if done.left_out:
        say(f"{done.left_out} trajectories tell the wishes of seeds in two splits: left out")
    for name, rows in done.rows.items():
        result(f"{name}: {rows} rows of {done.trajectories[name]} trajectories")
    result(str(done.path))


def filter(arguments: Arguments) -> None:
    from trajgen.corpora import formats
    from trajgen.filtering import filter_to

    domain = _domain(arguments)
    for name, form in formats(arguments.source).items():
        say(f"{name}: {form or 'no known format'}")
    out = user_path(arguments.out) if arguments.out else None
    totals = filter_to(arguments.source, domain, out, result if arguments.json else None)
    result(json.dumps(totals) if arguments.json else _filtered(totals))


def _domain(arguments: Arguments) -> Any:
    """The domain of `--domain DIR`, or None without one."""
    from trajgen.domains import load_domain
    from trajgen.loading import find

    return load_domain(find(arguments.domain)) if arguments.domain else None


def _filtered(totals: dict[str, Any]) -> str:
    lines = [f"{totals['trajectories']} trajectories, {totals['kept']} kept"]
    return "\n".join(lines + [f"  {code}: {n}" for code, n in totals["reasons"].items()])


def model_pull(arguments: Arguments) -> None:
    from trajgen.models import pull

    pull(arguments.name, say)


def doctor(arguments: Arguments) -> None:
    from trajgen.doctor import examine

    checks = examine()
    ok = all(check["ok"] for check in checks)
    if arguments.json:
        result(json.dumps({"ok": ok, "checks": checks}))
    else:
        for check in checks:
            result(f"{'ok  ' if check['ok'] else 'FAIL'}  {check['name']}: {check['detail']}")
    if not ok:
        raise CheckFailed("not everything works here", fix="See the lines marked FAIL.")


def _refuse_none(n: int) -> None:
    if n < 1:
        raise InputError("-n must be at least 1")


def _listed(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {count}" for key, count in value.items())
    return str(value)
