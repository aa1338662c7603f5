"""The commands. Each verb calls one function; results go to stdout, progress to stderr.

Exit codes: 0 done; 1 done, but a stated threshold or check failed; 2 bad input or usage;
3 the machine or an engine failed; 130 on Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from trajgen import __version__
from trajgen.errors import CheckFailed, InputError, MachineError, TrajgenError

Arguments = argparse.Namespace
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # text that no terminal can show
    try:
        with _sigterm_as_ctrl_c():
            arguments.call(arguments)
    except TrajgenError as error:
        return _failed(error, error.exit_code, arguments.debug)
    except KeyboardInterrupt:
        goes_on = " Committed shards are safe; run the same command to go on."
        _say(f"trajgen: stopped.{goes_on if arguments.call is _run else ''}")
        return INTERRUPTED
    except BrokenPipeError:  # `trajgen show | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a path that may not be looked at, a name that is too long
        return _failed(error, MachineError.exit_code, arguments.debug)
    return 0


def _failed(error: Exception, code: int, debug: bool) -> int:
    if debug:
        _say(traceback.format_exc())
    _say(f"trajgen: {error}")
    return code


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """A polite kill ends any command as Ctrl-C does, whatever it is at."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _chatter_on_stderr() -> AbstractContextManager[Any]:
    """Ray prints to stdout when a worker is lost; only results belong there."""
    return redirect_stdout(sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trajgen", description="Synthetic trajectories for training agents."
    )
    parser.add_argument("--version", action="version", version=f"trajgen {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_jobs(verbs)
    _add_fidelity(verbs)
    _add_seeds(verbs)
    _add_runs(verbs)
    _add_machine(verbs)
    return parser


def _verb(verbs: Any, name: str, call: Callable[[Arguments], None], text: str) -> Any:
    verb = verbs.add_parser(name, help=text, description=text)
    verb.set_defaults(call=call)
    verb.add_argument(
        "--debug", action="store_true", help=argparse.SUPPRESS, default=argparse.SUPPRESS
    )
    return verb


def _add_jobs(verbs: Any) -> None:
    for name, call, text in (
        ("run", _run, "run a pipeline, or resume it"),
        ("preview", _preview, "roll out a few tasks and print them; writes nothing"),
        ("plan", _plan, "print the plan's counts and a sample, without a model"),
    ):
        verb = _verb(verbs, name, call, text)
        verb.add_argument("pipeline", metavar="PIPELINE.yaml")
        verb.add_argument(
            "--set", action="append", default=[], metavar="a.b=c", help="override a key"
        )
        if name == "run":
            verb.add_argument("--out", metavar="DIR", help="run folder (default runs/<name>)")
        if name == "preview":
            verb.add_argument("-n", type=int, default=2, help="tasks to roll out (default 2)")
        else:
            verb.add_argument("--limit", type=int, metavar="N", help="plan at most N tasks")
        if name == "plan":
            verb.add_argument("--json", action="store_true")


def _add_fidelity(verbs: Any) -> None:
    verb = _verb(verbs, "fidelity", _fidelity, "score the world model against a real world")
    verb.add_argument("pipeline", metavar="PIPELINE.yaml")
    verb.add_argument("--world", metavar="W", help="such as tau2:retail (default: the file's)")
    verb.add_argument("-n", type=int, metavar="N", help="seeds to measure on (default 20)")
    verb.add_argument("--no-replay", action="store_true", help="roll nothing out")
    verb.add_argument("--set", action="append", default=[], metavar="a.b=c", help="override a key")
    verb.add_argument("--json", action="store_true")
    verb.add_argument("--plot", metavar="FILE.png", help="draw the figures there")


def _add_seeds(verbs: Any) -> None:
    seeds = verbs.add_parser("seeds", help="check or import seeds")
    actions = seeds.add_subparsers(required=True, metavar="ACTION")
    check = _verb(actions, "check", _seeds_check, "validate seeds; list every bad line")
    check.add_argument("path", metavar="PATH", help="a domain folder or an import source")
    check.add_argument("--json", action="store_true")
    load = _verb(actions, "import", _seeds_import, "turn an import source into a domain folder")
    load.add_argument("source", metavar="SOURCE", help="such as tau2:airline")
    load.add_argument("--out", required=True, metavar="DIR")


def _add_runs(verbs: Any) -> None:
    for name, call, text in (
        ("status", _status, "progress and yield of a run"),
        ("verify", _verify, "check every file of a run"),
    ):
        verb = _verb(verbs, name, call, text)
        verb.add_argument("run", metavar="RUN")
        verb.add_argument("--json", action="store_true")
    show = _verb(verbs, "show", _show, "read trajectories in the terminal")
    show.add_argument("run", metavar="RUN")
    show.add_argument("--id", help="one trajectory, by id or its unique beginning")
    show.add_argument("--rejected", action="store_true", help="rejected ones instead of kept ones")
    show.add_argument("--reason", metavar="R", help="rejected for this reason code")
    show.add_argument("-n", type=int, default=3, help="how many (default 3)")
    check = _verb(verbs, "filter", _filter, "run the filters over trajectories that exist")
    check.add_argument("source", metavar="SOURCE", help="a JSONL or Parquet file, a run, a source")
    check.add_argument("--domain", metavar="DIR", help="the domain they belong to")
    check.add_argument("--out", metavar="DIR", help="write kept.jsonl and rejects.jsonl there")
    check.add_argument("--json", action="store_true")


def _add_machine(verbs: Any) -> None:
    model = verbs.add_parser("model", help="make the embedded model ready")
    actions = model.add_subparsers(required=True, metavar="ACTION")
    pull = _verb(actions, "pull", _model_pull, "fetch, check and unpack an embedded model")
    pull.add_argument("name", metavar="NAME", help="such as smollm2-135m")
    doctor = _verb(verbs, "doctor", _doctor, "what of this machine and install works")
    doctor.add_argument("--json", action="store_true")


def _run(arguments: Arguments) -> None:
    from trajgen.pipeline import run
    from trajgen.review.summary import summary

    with _chatter_on_stderr():
        done = run(arguments.pipeline, arguments.out, arguments.limit, arguments.set)
    _print(summary(done))


def _preview(arguments: Arguments) -> None:
    from trajgen.preview import preview

    _refuse_none(arguments.n)
    with _chatter_on_stderr():
        found = preview(arguments.pipeline, arguments.n, arguments.set, _say)
    for trajectory in found:
        _show_one(trajectory)


def _plan(arguments: Arguments) -> None:
    from trajgen.pipeline import load
    from trajgen.plan import counts, plan

    loaded = load(arguments.pipeline, arguments.set, arguments.limit)
    seeds, pipeline = loaded.seeds.seeds, loaded.pipeline

    def tasks(n: int) -> Any:
        return plan(seeds, pipeline.variations, n, pipeline.seed)

    counted = counts(tasks(pipeline.max_tasks), len(seeds))
    if arguments.json:
        return _print(json.dumps(counted))
    for key, value in counted.items():
        _print(f"{key}: {_listed(value)}")
    if loaded.seeds.quarantined:
        _print(f"quarantined seed lines: {len(loaded.seeds.quarantined)}")
    names = {seed.id: seed.meta.get("name") or seed.id for seed in seeds}
    for task in tasks(min(5, pipeline.max_tasks)):
        _print(f"  {task.id}  {names[task.seed_id]}  {task.strategy}  {task.persona}  {task.fault}")
    return None


def _fidelity(arguments: Arguments) -> None:
    from trajgen.fidelity.command import fidelity
    from trajgen.fidelity.plot import save_plot
    from trajgen.fidelity.table import table

    if arguments.n is not None:
        _refuse_none(arguments.n)
    with _chatter_on_stderr():
        found = fidelity(
            arguments.pipeline,
            arguments.world,
            arguments.n,
            not arguments.no_replay,
            arguments.set,
            _say,
        )
    _print(json.dumps(found.figures) if arguments.json else table(found.figures))
    if arguments.plot:
        save_plot(found.figures, Path(arguments.plot))
    found.check()


def _seeds_check(arguments: Arguments) -> None:
    from trajgen.seeds import check_source

    seeds, quarantined = check_source(arguments.path)
    if arguments.json:
        _print(json.dumps({"seeds": seeds, "quarantined": quarantined}))
    else:
        for entry in quarantined:
            _print(f"{entry['file']}:{entry['line']}: {entry['reason']}")
        _print(f"{seeds} seeds, {len(quarantined)} quarantined")
    if quarantined or not seeds:
        what = f"{len(quarantined)} lines are no seeds" if quarantined else "there is no seed here"
        advice = "Mend or remove them; a run sets them aside and goes on with the others."
        raise InputError(
            what, arguments.path, advice if seeds else "See README, 'Your own domain'."
        )


def _seeds_import(arguments: Arguments) -> None:
    from trajgen.importers import import_source, refuse_filled, write_domain

    refuse_filled(Path(arguments.out))  # before minutes of reading
    imported = import_source(arguments.source)
    write_domain(imported, Path(arguments.out))
    for entry in imported.refused:
        _say(f"{entry['file']}:{entry['line']}: {entry['reason']}")
    _print(f"{len(imported.seeds)} seeds in {arguments.out}, {len(imported.refused)} refused")


def _status(arguments: Arguments) -> None:
    from trajgen.review.summary import status_lines
    from trajgen.status import status

    now = status(Path(arguments.run))
    _print(json.dumps(now) if arguments.json else status_lines(now))


def _verify(arguments: Arguments) -> None:
    from trajgen.verify import verify

    problems = verify(Path(arguments.run))
    if arguments.json:
        _print(json.dumps({"ok": not problems, "problems": problems}))
    else:
        for problem in problems:
            _print(f"{problem['file']}: {problem['what']}")
        _print("every file is sound" if not problems else f"{len(problems)} problems")
    if problems:
        raise CheckFailed(
            f"{len(problems)} files are not what was committed",
            arguments.run,
            "Run the pipeline again: damaged shards are set aside and made anew.",
        )


def _show(arguments: Arguments) -> None:
    from trajgen.review.run import Run

    _refuse_none(arguments.n)
    run = Run.open(arguments.run)
    if arguments.id is not None:
        return _show_one(run.find(arguments.id))
    found = run.sample(arguments.n, rejected=arguments.rejected, reason=arguments.reason)
    if not found:
        _say("trajgen: there is no such trajectory in this run yet; try --rejected")
    for trajectory in found:
        _show_one(trajectory)
    return None


def _filter(arguments: Arguments) -> None:
    from trajgen.filtering import filter_to

    domain = None
    if arguments.domain:
        from trajgen import load_domain

        domain = load_domain(arguments.domain)
    out = Path(arguments.out) if arguments.out else None
    totals = filter_to(arguments.source, domain, out, _print if arguments.json else None)
    _print(json.dumps(totals) if arguments.json else _filtered(totals))


def _filtered(totals: dict[str, Any]) -> str:
    lines = [f"{totals['trajectories']} trajectories, {totals['kept']} kept"]
    return "\n".join(lines + [f"  {code}: {n}" for code, n in totals["reasons"].items()])


def _model_pull(arguments: Arguments) -> None:
    from trajgen.models import pull

    pull(arguments.name, _say)


def _doctor(arguments: Arguments) -> None:
    from trajgen.doctor import examine

    checks = examine()
    ok = all(check["ok"] for check in checks)
    if arguments.json:
        _print(json.dumps({"ok": ok, "checks": checks}))
    else:
        for check in checks:
            _print(f"{'ok  ' if check['ok'] else 'FAIL'}  {check['name']}: {check['detail']}")
    if not ok:
        raise CheckFailed("not everything works here", fix="See the lines marked FAIL.")


def _refuse_none(n: int) -> None:
    if n < 1:
        raise InputError("-n must be at least 1")


def _show_one(trajectory: Any) -> None:
    from rich.console import Console

    from trajgen.review.terminal import render

    console = Console()
    with console.capture() as shown:  # rich itself would end the process at a closed pipe
        console.print(render(trajectory))
    _print(shown.get().rstrip("\n"))


def _listed(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {count}" for key, count in value.items())
    return str(value)


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
