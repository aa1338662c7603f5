"""Which tasks ScienceWorld has, and which of them are short enough to be a conversation."""

from __future__ import annotations

from collections.abc import Iterator

from trajgen.errors import InputError
from trajgen.worlds.scienceworld.server import check_package

# their solutions take about 50 to 200 actions, and up to half a minute to find
LONG = (
    "grow-fruit",
    "grow-plant",
    "inclined-plane-determine-angle",
    "inclined-plane-friction-named-surfaces",
    "inclined-plane-friction-unnamed-surfaces",
    "mendelian-genetics-known-plant",
    "mendelian-genetics-unknown-plant",
)
VARIATIONS = 15  # imported of one task
QUICK = ("find-", "lifespan-")  # two each of `all`


def names() -> list[str]:
    """All tasks, as ScienceWorld names them. Raises InputError without the package."""
    check_package()
    from scienceworld.constants import ID2TASK

    return [str(name) for name in ID2TASK.values()]


def check_domain(domain: str) -> None:
    """Raises InputError when `domain` is no task and not `all`."""
    if domain not in ("all", *names()):
        raise InputError(
            f"scienceworld has no task {domain!r}",
            f"scienceworld:{domain}",
            f"Known: all, {', '.join(names())}.",
        )


def chosen(domain: str) -> Iterator[str]:
    """The tasks that `scienceworld:<domain>` imports, long ones as well."""
    for name in sorted(names()):
        if domain == "all":
            count = 2 if name.startswith(QUICK) else 1
            yield from (f"{name}-{number}" for number in range(count))
        elif name == domain:
            yield from (f"{name}-{number}" for number in range(VARIATIONS))
