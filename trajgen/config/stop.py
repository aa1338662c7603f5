"""When a run is hopeless: the shares of tasks that may come to nothing."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from trajgen.config.model import Model


def _share(value: Any) -> Any:
    """`5%` as 0.05."""
    if not isinstance(value, str) or not value.rstrip().endswith("%"):
        return value
    try:
        return float(value.rstrip().removesuffix("%")) / 100
    except ValueError as error:
        raise ValueError(f"{value[:40]!r} is no share such as 5% or 0.05") from error


Share = Annotated[float, BeforeValidator(_share), Field(ge=0, le=1)]


class StopConfig(Model):
    """The largest share of the tasks that may be `dead`, or `rejected`, once `after` tasks have
    ended. Past it a run stops."""

    dead: Share | None = None
    rejected: Share | None = None
    after: int = Field(200, ge=1)

    @model_validator(mode="after")
    def _limits_something(self) -> StopConfig:
        if self.dead is None and self.rejected is None:
            raise ValueError("name a limit, such as dead: 5%")
        return self
