"""What was measured, as one JSON object, a table and a plot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.detection.kinds import HELD_OUT, KINDS, STEPS
from benchmarks.detection.measure import Count, recall, rejected, speed
from benchmarks.detection.sources import Clean, clean
from benchmarks.detection.typical import typical
from trajgen.records import Json

BARS = {"false_rejects": 0.01, "recall": 0.98, "kind_recall": 0.95, "right_step": 0.95}
SPEED = 2000.0  # trajectories a second
FORMS = ("bare", "alone", "steps")
GROUPS = (
    ("bare", "kinds", KINDS),
    ("bare", "held out", HELD_OUT),
    ("alone", "kinds", KINDS),
    ("alone", "held out", HELD_OUT),
    ("steps", "kinds", KINDS),
    ("steps", "held out", HELD_OUT),
    ("steps", "steps", STEPS),
)


def measured(sources: Sequence[str], per: int) -> dict[str, Json]:
    """Everything: clean, corrupted, speed."""
    cleans = {source: list(clean(source)) for source in sources}
    every = [one for found in cleans.values() for one in found]
    rows = []
    for form, group, kinds in GROUPS:
        for name, count in recall(every, kinds, form, per).items():
            if count.n:
                rows.append({"form": form, "group": group, "kind": name, **count.json()})
    return {
        "clean": [_clean(s, found, f) for s, found in cleans.items() for f in FORMS],
        "kinds": rows,
        "speed": round(speed(*typical())),
    }


def _clean(source: str, cleans: Sequence[Clean], form: str) -> dict[str, Json]:
    here = [c for c in cleans if form != "steps" or c.stepped is not None]
    found = [
        {"id": c.bare.id, "reasons": [r.json() for r in reasons]}
        for c, reasons in rejected(here, form)
    ]
    return {"source": source, "form": form, "n": len(here), "rejected": found}


def passed(found: dict[str, Json]) -> bool:
    """Whether every bar is met."""
    return not list(_failures(found))


def _failures(found: dict[str, Json]) -> Iterator[str]:
    n = sum(row["n"] for row in found["clean"])
    wrong = sum(len(row["rejected"]) for row in found["clean"])
    if wrong > BARS["false_rejects"] * n:
        yield f"false rejects: {wrong} of {n}"
    total = _sum(found["kinds"])
    if total.caught < BARS["recall"] * total.n:
        yield f"recall: {total.caught} of {total.n}"
    if total.right_step < BARS["right_step"] * total.caught:
        yield f"right step: {total.right_step} of {total.caught}"
    for row in found["kinds"]:
        if row["caught"] < BARS["kind_recall"] * row["n"]:
            yield f"{row['kind']} ({row['form']}): {row['caught']} of {row['n']}"
    if found["speed"] < SPEED:
        yield f"speed: {found['speed']}/s"


def table(found: dict[str, Json]) -> str:
    """The figures as text."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: dict[str, Json]) -> Iterator[str]:
    yield f"{'clean':44} {'form':6} {'n':>6} {'rejected':>9}"
    for row in found["clean"]:
        if row["n"]:
            yield f"{row['source']:44} {row['form']:6} {row['n']:6} {len(row['rejected']):9}"
        for one in row["rejected"]:
            first = one["reasons"][0]
            yield f"    {one['id']}: {first['code']} at {first['at']}: {first['detail'][:120]}"
    yield ""
    yield f"{'kind':34} {'group':9} {'form':6} {'n':>6} {'caught':>8} {'step':>8} {'code':>8}"
    for row in found["kinds"]:
        yield _row(row["kind"], row["group"], row["form"], row)
    for form, group, _ in GROUPS:
        rows = [r for r in found["kinds"] if (r["form"], r["group"]) == (form, group)]
        yield _row("all", group, form, _sum(rows).json())
    yield _row("all", "all", "both", _sum(found["kinds"]).json())
    yield f"speed: {found['speed']} trajectories/s on one core"
    failures = list(_failures(found))
    yield "bars: " + ("; ".join(failures) if failures else "all met")


def _row(kind: str, group: str, form: str, row: dict[str, Json]) -> str:
    n, caught = row["n"], row["caught"]
    shares = [_share(caught, n), _share(row["right_step"], caught)]
    shares.append(_share(row["right_code"], caught))
    return f"{kind:34} {group:9} {form:6} {n:6} " + " ".join(f"{s:>8}" for s in shares)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _sum(rows: Iterable[dict[str, Json]]) -> Count:
    total = Count()
    for row in rows:
        total.n += row["n"]
        total.caught += row["caught"]
        total.right_step += row["right_step"]
        total.right_code += row["right_code"]
    return total


def plot(found: dict[str, Json], path: Path) -> None:
    """Recall by kind and form as bars."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = sorted(found["kinds"], key=lambda r: (r["form"], r["caught"] / r["n"], r["kind"]))
    figure, axes = pyplot.subplots(figsize=(8, 0.2 * len(rows) + 1))
    colors = {"kinds": "tab:blue", "held out": "tab:orange", "steps": "tab:green"}
    axes.barh(
        [f"{r['kind']} ({r['form']}, n={r['n']})" for r in rows],
        [100 * r["caught"] / r["n"] for r in rows],
        color=[colors[r["group"]] for r in rows],
    )
    axes.axvline(100 * BARS["kind_recall"], color="black", linewidth=0.8)
    axes.set_xlabel("caught, %")
    axes.tick_params(labelsize=6)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
