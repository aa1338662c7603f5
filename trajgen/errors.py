"""What can go wrong, and who hears of it.

A bad rollout is data, not a crash: it becomes a rejected row with reason codes, or a
dead task with an error type, and the run goes on. What follows is everything else.

    TrajgenError
      InputError      a seed, pipeline file, option or schema is wrong; the user mends it   exit 2
      CheckFailed     the work is done, but a stated threshold or check failed              exit 1
      MachineError    disk, GPU, endpoint or engine failed; nothing is wrong with the input exit 3
        CommitError   a shard could not be written; the run stops, what is committed stays
          Conflict    an object store holds another version than the writer has seen
        RunLocked     another driver holds this run folder
      RolloutError    stays inside a run, told apart by type, never by text
        RequestError  this task cannot run as it is: dead, with the reason kept
          PromptTooLong the model's context is full: the rollout ends as too_long
        EngineDead    the engine is gone: restart it, give its tasks back to the queue
        Timeout       no answer in time: the task goes back to the queue, then is dead

Every error says what, where and what to do. The command line prints that as one message;
`--debug` adds the traceback.
"""

from __future__ import annotations

MOST_CHARS = 4000  # of a message: input of any length may stand in it


class TrajgenError(Exception):
    """Base of all errors of this package.

    `what` happened, `where` (`file:line`, key, folder), and `fix`: what the user can do.
    The three are plain strings, so errors cross process borders by pickle unchanged.
    """

    exit_code = 3

    def __init__(self, what: str, where: str = "", fix: str = "") -> None:
        what, where = what[:MOST_CHARS], where[:MOST_CHARS]
        super().__init__(what, where, fix)
        self.what, self.where, self.fix = what, where, fix

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f"\n  {self.fix}" if self.fix else ""
        return f"{place}{self.what}{advice}"


class InputError(TrajgenError):
    """Something the user wrote is wrong."""

    exit_code = 2


class CheckFailed(TrajgenError):
    """Work ended, but a stated threshold or check did not hold."""

    exit_code = 1


class MachineError(TrajgenError):
    """The machine, an endpoint or an engine failed."""


class CommitError(MachineError):
    """A result could not be written; committed shards stay as they are."""


class Conflict(CommitError):
    """An object store holds another version of an object than the writer has seen."""


class RunLocked(MachineError):
    """Another driver works in this run folder."""


class RolloutError(TrajgenError):
    """An error inside one rollout; the worker turns it into an outcome."""


class RequestError(RolloutError):
    """This request can never succeed as it is (too long, refused schema, 4xx)."""


class PromptTooLong(RequestError):
    """The prompt leaves no room for an answer in the model's context."""


class EngineDead(RolloutError):
    """The engine stopped; its requests may succeed on a fresh one."""


class EngineHangs(EngineDead):
    """The engine answers nothing within the limit, and is taken for dead."""


class Timeout(RolloutError):
    """No answer within the limit."""
