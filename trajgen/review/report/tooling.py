"""Which tools kept rows use, and which follows which. Crash rule: pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from trajgen.filters.reading import exchanges
from trajgen.review.report.blocks import (
    Block,
    Cell,
    Section,
    Table,
    Text,
    count,
    named,
    shaded,
    share,
)
from trajgen.review.report.gather import Gathered
from trajgen.review.report.tally import END, START, ToolUse

DOMAINS, TOOLS = 8, 16  # that a heat map is drawn for
OTHERS = "(others)"
HEAD = ("tool", "calls", "rows", "of kept rows", "did not apply", "planned faults", "in seeds")


def tooling(of: Gathered) -> Section:
    about = (
        "Counted over kept rows. A call does not apply where its precondition does not hold; a "
        "good corpus has some, with an agent that finds another way."
    )
    blocks: list[Block] = []
    for domain in sorted(of.tools):
        blocks += [_coverage(of, domain), *_never(of, domain)]
    for domain in sorted(of.tools)[:DOMAINS]:
        blocks += _moves(of, domain)
    return Section("tools", "Tools", about, blocks or [Text("There is no row yet.")])


def never_called(of: Gathered, domain: str) -> list[str]:
    """The tools of a domain that no kept row calls."""
    return [tool for tool in of.tools.get(domain, ()) if (domain, tool) not in of.tally.tools]


def _coverage(of: Gathered, domain: str) -> Table:
    called = {tool: use for (name, tool), use in of.tally.tools.items() if name == domain}
    names = sorted({*called, *of.tools[domain]}, key=lambda t: (-_calls(called.get(t)), t))
    seeds = Counter(
        call.tool
        for seed in of.origin.seeds.values()
        if seed.domain == domain
        for call, _, _ in exchanges(seed.messages)
    )
    kept, _ = of.tally.of("domain", domain)
    rows = (_row(name, called.get(name, ToolUse()), kept, seeds[name]) for name in names)
    return Table(f"Tools of {domain}", HEAD, tuple(rows), wide=True)


def _row(name: str, use: ToolUse, kept: int, seeds: int) -> tuple[Cell, ...]:
    refused = share(use.refused, use.calls, "rejected")
    counts = count(use.calls), count(use.rows), share(use.rows, kept, "kept")
    return (named(name), *counts, refused, count(use.faults), count(seeds))


def _calls(use: ToolUse | None) -> int:
    return use.calls if use else 0


def _never(of: Gathered, domain: str) -> Iterator[Text]:
    if never := never_called(of, domain):
        yield Text(f"No kept row of {domain} calls these tools:", tuple(never))


def _moves(of: Gathered, domain: str) -> Iterator[Table]:
    """What follows what: each row adds up to 100 %."""
    moves = {(a, b): n for (name, a, b), n in of.tally.moves.items() if name == domain}
    if not moves:
        return
    often = Counter[str]()
    for (tool, _), n in moves.items():
        often[tool] += n if tool != START else 0
    shown = {tool for tool, _ in often.most_common(TOOLS)} | {START, END}
    folded = Counter[tuple[str, str]]()
    for (a, b), n in moves.items():
        folded[a if a in shown else OTHERS, b if b in shown else OTHERS] += n
    tools = sorted(shown - {START, END}, key=lambda tool: (-often[tool], tool))
    tools += [OTHERS] if any(OTHERS in pair for pair in folded) else []
    rows = (_from(tool, [*tools, END], folded) for tool in (START, *tools))
    caption = f"Which tool of {domain} follows which, in percent of the moves from the first"
    yield Table(caption, ("from", *tools, END), tuple(rows), wide=True)


def _from(tool: str, others: list[str], moves: Counter[tuple[str, str]]) -> tuple[Cell, ...]:
    whole = sum(n for (a, _), n in moves.items() if a == tool)
    cells = (moves[tool, other] for other in others)
    return (named(tool), *(shaded(n, whole, _percent(n, whole)) for n in cells))


def _percent(n: int, whole: int) -> str:
    return f"{100 * n / whole:.0f}" if whole and n / whole >= 0.005 else "<1"
