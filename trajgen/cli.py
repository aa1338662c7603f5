"""The commands. Each verb calls one function; results go to stdout, progress to stderr.

Exit codes: 0 done; 1 done, but a stated threshold or check failed; 2 bad input or usage;
3 the machine or an engine failed; 130 on Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from trajgen import __version__, telemetry, verbs
from trajgen.errors import MachineError, TrajgenError
from trajgen.exporters import EXPORTERS
from trajgen.loop import Stop
from trajgen.output import say
from trajgen.process import end_now
from trajgen.verbs import Arguments

INTERRUPTED = 130
_GOES_ON: dict[Callable[[Arguments], None], str] = {
    verbs.run: " Committed shards are safe; run the same command to go on.",
    verbs.explore: " Committed shards are safe; run the same command to go on.",
    verbs.train: " Complete checkpoints are safe; run the same command to go on.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    telemetry.off()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # text that no terminal can show
    try:
        with Stop(lambda: _end_at_once(arguments.call)):
            arguments.call(arguments)
    except TrajgenError as error:
        return _failed(error, error.exit_code, arguments.debug)
    except KeyboardInterrupt:
        say(_stopped(arguments.call))
        return INTERRUPTED
    except BrokenPipeError:  # `trajgen show | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a path that may not be looked at, a name that is too long
        return _failed(error, MachineError.exit_code, arguments.debug)
    return 0


def _failed(error: Exception, code: int, debug: bool) -> int:
    if debug:
        say(traceback.format_exc())
    say(f"trajgen: {error}")
    return code


def _stopped(call: Callable[[Arguments], None]) -> str:
    return f"trajgen: stopped.{_GOES_ON.get(call, '')}"


def _end_at_once(call: Callable[[Arguments], None]) -> None:
    """From the thread that watches for signals, while the main thread is at anything."""
    shown = "\x1b[?25h" if os.isatty(2) else ""  # a live view hides the cursor
    end_now(INTERRUPTED, f"{shown}{_stopped(call)}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trajgen", description="Synthetic trajectories for training agents."
    )
    parser.add_argument("--version", action="version", version=f"trajgen {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_jobs(commands)
    _add_fidelity(commands)
    _add_explore(commands)
    _add_train(commands)
    _add_seeds(commands)
    _add_runs(commands)
    _add_export(commands)
    _add_machine(commands)
    return parser


def _verb(commands: Any, name: str, call: Callable[[Arguments], None], text: str) -> Any:
    verb = commands.add_parser(name, help=text, description=text)
    verb.set_defaults(call=call)
    verb.add_argument(
        "--debug", action="store_true", help=argparse.SUPPRESS, default=argparse.SUPPRESS
    )
    return verb


def _add_jobs(commands: Any) -> None:
    for name, call, text in (
        ("run", verbs.run, "run a pipeline, or resume it"),
        ("preview", verbs.preview, "roll out a few tasks and print them; writes nothing"),
        ("plan", verbs.plan, "print the plan's counts and a sample, without a model"),
    ):
        verb = _verb(commands, name, call, text)
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


def _add_fidelity(commands: Any) -> None:
    verb = _verb(commands, "fidelity", verbs.fidelity, "score the world model against a real world")
    verb.add_argument("pipeline", metavar="PIPELINE.yaml")
    verb.add_argument("--world", metavar="W", help="such as tau2:retail (default: the file's)")
    verb.add_argument("-n", type=int, metavar="N", help="seeds to measure on (default 20)")
    verb.add_argument("--no-replay", action="store_true", help="roll nothing out")
    verb.add_argument("--set", action="append", default=[], metavar="a.b=c", help="override a key")
    verb.add_argument("--json", action="store_true")
    verb.add_argument("--plot", metavar="FILE.png", help="draw the figures there")
    verb.add_argument("--answers", metavar="FILE.jsonl", help="each answer beside the true one")


def _add_explore(commands: Any) -> None:
    verb = _verb(commands, "explore", verbs.explore, "collect real transitions of a world")
    verb.add_argument("domain", metavar="DOMAIN", help="a domain folder or an import source")
    verb.add_argument("--world", required=True, metavar="W", help="declared, tau2:retail, …")
    verb.add_argument("--out", required=True, metavar="DIR", help="run folder")
    verb.add_argument("-n", type=int, default=2000, help="transitions to collect (default 2000)")
    verb.add_argument("--seed", type=int, default=0, help="of what is drawn (default 0)")
    verb.add_argument("--json", action="store_true", help="print the counts as JSON")


def _add_train(commands: Any) -> None:
    verb = _verb(commands, "train", verbs.train, "teach a model from runs and seeds, or go on")
    verb.add_argument("recipe", metavar="RECIPE.yaml")
    verb.add_argument("--out", metavar="DIR", help="its folder (default runs/train/<name>)")
    verb.add_argument("--set", action="append", default=[], metavar="a.b=c", help="override a key")


def _add_seeds(commands: Any) -> None:
    seeds = commands.add_parser("seeds", help="check or import seeds")
    actions = seeds.add_subparsers(required=True, metavar="ACTION")
    check = _verb(actions, "check", verbs.seeds_check, "validate seeds; list every bad line")
    check.add_argument("path", metavar="PATH", help="a domain folder or an import source")
    check.add_argument("--json", action="store_true")
    load = _verb(actions, "import", verbs.seeds_import, "make an import source a domain folder")
    load.add_argument("source", metavar="SOURCE", help="such as tau2:airline or sharegpt:FILE")
    load.add_argument("--out", required=True, metavar="DIR")
    load.add_argument("--domain", metavar="DIR", help="policy and tools that a corpus lacks")


def _add_runs(commands: Any) -> None:
    for name, call, text in (
        ("status", verbs.status, "progress and yield of a run"),
        ("verify", verbs.verify, "check every file of a run"),
    ):
        verb = _verb(commands, name, call, text)
        verb.add_argument("run", metavar="RUN")
        verb.add_argument("--json", action="store_true")
    show = _verb(commands, "show", verbs.show, "read trajectories in the terminal")
    show.add_argument("run", metavar="RUN")
    show.add_argument("--id", help="one trajectory, by id or its unique beginning")
    show.add_argument("--rejected", action="store_true", help="rejected ones instead of kept ones")
    show.add_argument("--reason", metavar="R", help="rejected for this reason code")
    show.add_argument("-n", type=int, default=3, help="how many (default 3)")
    page = _verb(commands, "report", verbs.report, "a run as one HTML page that needs nothing else")
    page.add_argument("run", metavar="RUN")
    page.add_argument("--out", metavar="FILE", help="write it there (default RUN/report.html)")
    check = _verb(commands, "filter", verbs.filter, "run the filters over trajectories that exist")
    check.add_argument("source", metavar="SOURCE", help="a JSONL or Parquet file, a run, a source")
    check.add_argument("--domain", metavar="DIR", help="the domain they belong to")
    check.add_argument("--out", metavar="DIR", help="write kept.jsonl and rejects.jsonl there")
    check.add_argument("--json", action="store_true")


def _add_export(commands: Any) -> None:
    verb = _verb(commands, "export", verbs.export, "write a run's rows as a trainer takes them")
    verb.add_argument("run", metavar="RUN")
    verb.add_argument("--format", required=True, metavar="F", help=", ".join(EXPORTERS))
    verb.add_argument("--out", required=True, metavar="DIR", help="a new folder")
    verb.add_argument("-n", type=int, metavar="N", help="exactly so many rows, drawn from all")
    verb.add_argument("--where", metavar="EXPR", help="\"strategy = 'extend' and n_tokens < 4096\"")
    verb.add_argument(
        "--split", action="append", default=[], metavar="NAME=SHARE", help="such as eval=0.1"
    )
    verb.add_argument("--template", metavar="T", help="a model, or a .jinja file")


def _add_machine(commands: Any) -> None:
    model = commands.add_parser("model", help="make the embedded model ready")
    actions = model.add_subparsers(required=True, metavar="ACTION")
    pull = _verb(actions, "pull", verbs.model_pull, "fetch, check and unpack an embedded model")
    pull.add_argument("name", metavar="NAME", help="such as smollm2-135m")
    doctor = _verb(commands, "doctor", verbs.doctor, "what of this machine and install works")
    doctor.add_argument("--json", action="store_true")
