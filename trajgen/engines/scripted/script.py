"""The `script:` of a scripted engine, as a pipeline writes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from trajgen.config.model import Model
from trajgen.engines import Role

Share = Annotated[float, Field(ge=0, le=1)]


class Delay(Model):
    """Milliseconds each answer takes; a share `tail_rate` of them takes `tail` instead."""

    base: float = Field(default=0, ge=0)
    tail: float = Field(default=0, ge=0)
    tail_rate: Share = 0


class Cue(Model):
    """The tasks, by id, that something happens to."""

    tasks: tuple[str, ...] = ()


class Death(Cue):
    """`error`: EngineDead until restarted; `kill`: SIGKILL to the own process.

    `rate` is a share of the requests, `tasks` are certain.
    """

    how: Literal["error", "kill"] = "error"
    rate: Share = 0


def _delay(value: Any) -> Any:
    return {"base": value} if isinstance(value, int | float) else value


class Script(Model):
    """The `script:` of a scripted engine; `quality` is the share of answers played well."""

    quality: dict[Role, Share] = Field(default_factory=dict)
    delay_ms: Annotated[Delay, BeforeValidator(_delay)] = Delay()
    die: Death = Death()
    hang: Cue = Cue()
    refuse: Cue = Cue()
